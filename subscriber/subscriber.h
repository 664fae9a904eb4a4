/*
 * One instance of a subscription: the loop that waits in one place and moves jobs between stages.
 */
#pragma once

#include "base/error.h"

struct config;

/*
 * Runs until SIGTERM or SIGINT, then finishes what is active within the grace period and hands the
 * rest back to the broker; a second signal ends the grace period. True when it left that way,
 * false and `err` when it could not begin. A broker or a server that is away is no reason to end.
 */
bool subscriber_run(const struct config *config, struct error *err) MUST_CHECK;
