/*
 * What dedupe asks of a store: the facts that several instances share.
 *
 * A store knows which announcements have been placed, who is at work on which announcement and on
 * which place on disk (claims: leases that end by themselves), and how new the version at a place
 * is. sqlite.c keeps them in a file for the instances of one host, redis.c in Redis for all.
 *
 * Nothing waits: questions are gathered with store_ask(), go off together with store_send(), and
 * come back, in any order, from store_take_answer().
 */
#pragma once

#include "base/list.h"
#include "base/loop.h"

#define STORE_OWNER_SIZE 40

enum store_action {
    STORE_CLAIM,   /* CLAIMED, DUPLICATE, OLDER or BUSY */
    STORE_CONFIRM, /* the file is placed: remember it and its publication time, drop our claims;
                      LOST and nothing remembered if not both are ours: since they lapsed somebody
                      may have put an older version on top */
    STORE_RELEASE, /* drop our claims */
    STORE_RENEW    /* our claims live for another lease: DONE; one that lapsed is taken anew if
                      nobody else came: CLAIMED; or is not to be had any more: LOST */
};

enum store_verdict {
    STORE_CLAIMED,   /* both claims are ours for lease_ms, and were not before */
    STORE_DUPLICATE, /* already placed; its life was refreshed */
    STORE_OLDER,     /* what is at the place was published later */
    STORE_BUSY,      /* somebody else has a claim; busy_ms says for how long at most */
    STORE_DONE,      /* confirmed, released or renewed */
    STORE_LOST,      /* renew, confirm: the claim lapsed; we hold neither */
    STORE_FAILED     /* no answer; nothing is known about what happened. `failure` says why */
};

struct store_identity {
    unsigned char path[16], key[16]; /* hashes of the announcement's path and duplicate key */
    unsigned char place[16];         /* hash of the destination below the directory */
};

struct store;

/* Belongs to the asker, who must not touch it between store_ask() and store_take_answer(). */
struct store_question {
    struct list_link link; /* the store's, meanwhile */
    struct store *store;   /* that was asked last */
    enum store_action action;
    struct store_identity identity;
    char owner[STORE_OWNER_SIZE]; /* whose claim: unique per process and announcement */
    int64_t pub_time_ns;          /* all but release */
    const char *path_text;        /* the path itself, which sr3 finds in Redis; all but release */
    enum store_verdict verdict;
    int64_t busy_ms;
};

struct store_settings {
    int64_t lease_ms;      /* how long a claim lives without being renewed */
    int64_t nodupe_ttl_ms; /* how long placed files are remembered; 0: not at all */
    int64_t latest_ttl_ms; /* how long the publication time at a place is remembered */
};

struct store_functions {
    void (*ask)(struct store *store, struct store_question *question);
    void (*send)(struct store *store);
    struct store_question *(*take_answer)(struct store *store);
    const char *(*failure)(const struct store *store);
    void (*close)(struct store *store);
};

/* What every implementation's struct begins with. */
struct store {
    const struct store_functions *functions;
};

static inline void store_ask(struct store *store, struct store_question *question)
{
    question->store = store;
    store->functions->ask(store, question);
}

static inline void store_send(struct store *store)
{
    store->functions->send(store);
}

/* The next answer, NULL if none has arrived. */
static inline struct store_question *store_take_answer(struct store *store)
{
    return store->functions->take_answer(store);
}

/* Why the last questions failed, for the log; NULL while all is well. */
static inline const char *store_failure(const struct store *store)
{
    return store->functions->failure(store);
}

/* Waits for what is under way; questions not taken back are forgotten. NULL is fine. */
static inline void store_close(struct store *store)
{
    if (store)
        store->functions->close(store);
}

/* The embedded store, in the file `path`, which is made when missing (its directory is not). */
struct store *store_open_sqlite(struct loop *loop, const char *path,
                                const struct store_settings *settings,
                                struct error *err) MUST_CHECK;

struct redis_settings;

/*
 * In Redis. `key_base` is the prefix of its keys, with which the identities' hashes were made. The
 * keys, with H for the 32 hexadecimal digits of a hash:
 *
 *     BASE:H(key).H(path)        placed: sr3's own key and value, `time|quoted path`
 *     BASE.claim:H(key).H(path)  the owner of a claim on the announcement
 *     BASE.place:H(destination)  the owner of a claim on the place
 *     BASE.latest:H(destination) publication time of the version placed or removed there last
 */
struct store *store_open_redis(struct loop *loop, const struct redis_settings *redis,
                               const char *key_base, const struct store_settings *settings,
                               struct error *err) MUST_CHECK;
