/*
 * What the retry stage asks of a store: announcements that wait for another try, shared by all
 * instances.
 *
 * A record is a text with an id and a time at which it is due. It is taken under a lease: it stays
 * in the store, hidden until the lease ends, so that an instance that dies with it loses nothing.
 * Ids are made from what is announced, so copies of one announcement are one record.
 *
 * As with store.h nothing waits: questions are gathered, sent together, and come back answered.
 * All times are wall clock milliseconds of the store's (Redis) or this host's (SQLite) clock;
 * askers give and get delays, never times.
 */
#pragma once

#include "base/list.h"
#include "base/loop.h"

#define RETRY_ID_SIZE  48 /* raw bytes: struct store_identity */
#define RETRY_TAKE_MAX 64

enum retry_action {
    RETRY_KEEP, /* `body` under `id`, due in delay_ms; what was kept under this id is replaced */
    RETRY_HIDE, /* `id` is due in delay_ms, 0: at once. Nothing happens if it is gone */
    RETRY_DROP, /* `id` is forgotten; nothing happens if it is gone */
    RETRY_TAKE, /* up to `most` of those that are due, the longest due first, hidden for delay_ms */
    RETRY_LIST  /* up to `most` in the order of their due times, from number `first`; none hidden */
};

struct retry_item {
    unsigned char id[RETRY_ID_SIZE];
    char *body; /* allocated; the asker's */
    size_t body_size;
    int64_t due_in_ms; /* with RETRY_LIST: negative: since; with RETRY_TAKE: how long it was due */
};

/* Belongs to the asker, who must not touch it between ask and answer. */
struct retry_question {
    struct list_link link; /* the store's, meanwhile */
    enum retry_action action;
    unsigned char id[RETRY_ID_SIZE];
    const char *body; /* RETRY_KEEP: stays the asker's */
    size_t body_size;
    int64_t delay_ms;
    int64_t due_after_ms; /* RETRY_LIST: only those due later than in so many ms; INT64_MIN: all */
    size_t first;         /* RETRY_LIST */
    size_t most;          /* RETRY_TAKE, RETRY_LIST: at most RETRY_TAKE_MAX */

    /* the answer */
    bool done; /* false: no answer, nothing is known about what happened; `failure` says why */
    struct retry_item *items; /* RETRY_TAKE, RETRY_LIST: room for `most`, the asker's */
    size_t item_count;        /* of which so many were filled */
    int64_t waiting;     /* RETRY_TAKE, RETRY_LIST: records in the store, hidden ones included */
    int64_t next_due_ms; /* RETRY_TAKE: in how many ms the next one will be due; -1: none waits */
};

struct retry_store;

struct retry_store_functions {
    void (*ask)(struct retry_store *store, struct retry_question *question);
    void (*send)(struct retry_store *store);
    struct retry_question *(*take_answer)(struct retry_store *store);
    const char *(*failure)(const struct retry_store *store);
    void (*close)(struct retry_store *store);
};

/* What every implementation's struct begins with. */
struct retry_store {
    const struct retry_store_functions *functions;
};

static inline void retry_store_ask(struct retry_store *store, struct retry_question *question)
{
    store->functions->ask(store, question);
}

static inline void retry_store_send(struct retry_store *store)
{
    store->functions->send(store);
}

/* The next answer, NULL if none has arrived. */
static inline struct retry_question *retry_store_take_answer(struct retry_store *store)
{
    return store->functions->take_answer(store);
}

/* Why the last questions failed, for the log; NULL while all is well. */
static inline const char *retry_store_failure(const struct retry_store *store)
{
    return store->functions->failure(store);
}

/* Waits for what is under way, a moment only; questions not taken back are forgotten. NULL is fine.
 */
static inline void retry_store_close(struct retry_store *store)
{
    if (store)
        store->functions->close(store);
}

/*
 * A table of its own in the file of the embedded store, `path`, which is made when missing. What
 * was kept survives a power cut: commits are flushed to the disk.
 */
struct retry_store *retry_store_open_sqlite(struct loop *loop, const char *path,
                                            struct error *err) MUST_CHECK;

struct redis_settings;

/*
 * In Redis: NAME.due, a sorted set of ids by due time, and NAME.body, a hash of bodies by id (ids
 * in hexadecimal), where NAME is sr3sub.retry.COMPONENT.QUEUE.
 */
struct retry_store *retry_store_open_redis(struct loop *loop, const struct redis_settings *redis,
                                           const char *name, struct error *err) MUST_CHECK;
