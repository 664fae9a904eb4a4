/*
 * Answers http requests for the metrics and for the health of this instance: /metrics, /healthz,
 * /readyz. It never waits, what one client may use is limited, and so is how many there may be.
 */
#pragma once

#include "base/loop.h"

struct listener;

enum listener_page { LISTENER_METRICS, LISTENER_HEALTH, LISTENER_READY };

/* The text of a page, allocated. *good: 200, otherwise 503. */
typedef char *listener_print(void *context, enum listener_page page, bool *good);

/*
 * `where` is HOST:PORT, with the host in brackets if it is an IPv6 address; a port alone, and a
 * host `*`, are all addresses of this host. NULL and ERROR_OPERATOR when it cannot listen there.
 */
struct listener *listener_open(struct loop *loop, const char *where, listener_print *print,
                               void *context, struct error *err) MUST_CHECK;

/* What is ready is read and answered; clients that take too long are cut off. */
void listener_step(struct listener *listener); /* NULL is fine */

void listener_close(struct listener *listener); /* NULL is fine */
