/*
 * Which stores a configuration asks for: on this host or in Redis, for what has been placed
 * (nodupe_driver) and for what waits for another try (retry_driver).
 */
#pragma once

#include "settings/config.h"
#include "store/redis_link.h"
#include "store/retry_store.h"
#include "store/store.h"

/* How long Redis may take to be connected, and to answer. */
#define STORES_CONNECT_TIMEOUT_MS 5000
#define STORES_COMMAND_TIMEOUT_MS 5000

/* Whether the URLs of the Redis that are used make sense; the error says which line does not. */
bool stores_check(const struct config *config, struct error *err) MUST_CHECK;

/* The base that the identities' hashes are made with: dedupe's key_base. */
const char *store_key_base(const struct config *config);

struct store *store_open_for(const struct config *config, struct loop *loop,
                             const struct store_settings *settings, struct error *err) MUST_CHECK;

struct retry_store *retry_store_open_for(const struct config *config, struct loop *loop,
                                         struct error *err) MUST_CHECK;

/* Whether there can be any records: an embedded store is made when an instance first runs. */
bool retry_store_exists_for(const struct config *config);

/* Of the retry records in Redis, allocated: "sr3sub.retry.COMPONENT.QUEUE". */
char *retry_store_name(const struct config *config) MUST_CHECK;

struct sr3_retries;

/* What sr3 left where this subscription's retries belong. */
struct sr3_retries *sr3_retries_open_for(const struct config *config, struct loop *loop,
                                         struct error *err) MUST_CHECK;

/* How to reach the Redis of the retry records. */
struct redis_settings retry_store_redis(const struct config *config);
