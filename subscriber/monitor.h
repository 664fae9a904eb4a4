/*
 * Lets others see how this instance does: brings the metrics up to date, writes their file, and
 * answers for them and for the health of the instance over http.
 */
#pragma once

#include "base/loop.h"

struct config;
struct flow;
struct monitor;

/* Everything stays the caller's. Where it cannot listen it says so, and goes on without. */
struct monitor *monitor_open(struct loop *loop, const struct config *config,
                             struct flow *flow) MUST_CHECK;

/* Brings the metrics up to date; the flow must be open. */
void monitor_refresh(struct monitor *monitor);

/* One step of the loop: answers, and writes the file when it is time. */
void monitor_step(struct monitor *monitor);

/* Settles the file. The flow may be closed already. NULL is fine. */
void monitor_close(struct monitor *monitor);
