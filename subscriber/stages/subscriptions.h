/*
 * What was declared and bound last time, so that a binding can be taken off the queue when it is
 * gone from the configuration. The broker itself cannot be asked for the bindings of a queue.
 *
 * The file is sr3's own, subscriptions.json in the state directory of a subscription:
 *
 *     [{"broker": "amqp://guest@localhost/",
 *       "bindings": [{"exchange": "xpublic", "prefix": ["v02", "post"], "sub": ["#"]}],
 *       "queue": {"name": "q_...", "cleanup_needed": null, "durable": true, "expire": 600.0,
 *                 "prefetch": 25, "bind": true, "declare": true}}]
 *
 * Entries of other queues and brokers, and members that are not known here, are kept as they are.
 *
 * It only reads and writes a small file, so it runs in the pool, as part of connecting.
 */
#pragma once

#include "stages/broker.h"

struct subscriptions;

/*
 * Reads `path`. A file that is missing is an empty record. NULL and `err` for one that cannot be
 * read or makes no sense; it is left alone.
 */
struct subscriptions *subscriptions_read(const char *path, struct error *err) MUST_CHECK;
void subscriptions_free(struct subscriptions *subscriptions); /* NULL is fine */

/*
 * The bindings recorded for the broker and queue of `settings` that `settings` does not have.
 * Allocated, their texts live in `texts`.
 */
struct broker_binding *subscriptions_find_stale(const struct subscriptions *subscriptions,
                                                const struct broker_settings *settings,
                                                struct arena *texts, size_t *count) MUST_CHECK;

/*
 * Records what `settings` says is bound, and `others` that are bound as well, and writes the file,
 * unless it says so already: under another name first, then in its place.
 */
bool subscriptions_record(struct subscriptions *subscriptions,
                          const struct broker_settings *settings,
                          const struct broker_binding *others, size_t other_count,
                          struct error *err) MUST_CHECK;
