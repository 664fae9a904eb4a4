/*
 * Duplicate suppression: who works on what, and what is already placed.
 *
 * An announcement is claimed before it is downloaded and confirmed once the file is placed. Claims
 * live in the store, which all instances share; copies that meet inside one instance wait here,
 * without a question to the store, until the first of them is settled.
 *
 * No call waits. Questions go out together with dedupe_send(), answers come from
 * dedupe_take_answer(), one for each question. A claim lapses after its lease if its owner dies;
 * dedupe_send() renews those that are held, so it is called now and then even if nothing happens:
 * at least once in a sixth of the lease.
 */
#pragma once

#include "store/store.h"

struct dedupe;

struct dedupe_settings {
    const char *key_base; /* at most 64 bytes: key of the hash, as sr3 uses it */
    int64_t lease_ms;     /* as the store's; renewed every third of it */
};

enum dedupe_verdict {
    DEDUPE_CLAIMED,   /* ours: download it */
    DEDUPE_DUPLICATE, /* already placed: ack and forget */
    DEDUPE_OLDER,     /* a later version is there: ack and forget */
    DEDUPE_BUSY,      /* another instance is at it: ask again within busy_ms */
    DEDUPE_CONFIRMED, /* the store knows that the file is placed */
    DEDUPE_RELEASED,  /* the claims are free again */
    DEDUPE_LOST,   /* unasked, or of a confirm: the lease lapsed, and somebody else may have come */
    DEDUPE_UNKNOWN /* the store failed: ask the same again later; what is held stays held */
};

struct dedupe_node { /* private: a place in the table of what this instance works on */
    struct dedupe_node *next;
    const void *id;
    size_t id_size;
    struct dedupe_claim *claim;
};

/* Part of whoever asks; zeroed before its first use. Fields are private but for the last four. */
struct dedupe_claim {
    struct store_question question; /* one at a time: a confirm waits for a renewal under way */
    struct dedupe_node by_identity, by_place;
    struct list waiters;        /* claims of this instance that wait for this one */
    struct list_link link;      /* in another's waiters */
    struct list_link held_link; /* in the list of leases to renew */
    struct list_link answer_link;
    bool pinned;  /* by dedupe_pin() */
    bool lost;    /* it cannot be confirmed any more */
    bool working; /* in the table: the claim is asked for or held, others wait for it */
    bool held;    /* the store said that it is ours */
    bool asked;   /* the question is with the store */
    bool wanted;  /* `next` goes out when the renewal under way is answered */
    enum store_action next;
    int64_t asked_ms, renew_at_ms;
    /* Steady clock: until then nobody else can have the claim. Other threads may read it. */
    _Atomic int64_t sure_until_ms;
    enum dedupe_verdict verdict; /* of the last answer */
    int64_t busy_ms;             /* with DEDUPE_BUSY: the longest that the other's claim can live */
    void *ticket;                /* the asker's own */
};

/* `store` stays the caller's and must outlive it. */
struct dedupe *dedupe_open(struct store *store, const struct dedupe_settings *settings,
                           struct error *err) MUST_CHECK;

/*
 * Forgets all claims; those in the store end with their leases. Claims with a question under way
 * must stay until store_close(). NULL is fine.
 */
void dedupe_close(struct dedupe *dedupe);

/*
 * The name that sr3 and we give an announcement in Redis, KEY_BASE:HASH.HASH, allocated; NULL for a
 * `key_base` that is empty or longer than 64 bytes.
 */
char *dedupe_print_redis_key(const char *key_base, const char *key, const char *path) MUST_CHECK;

/*
 * Says what `claim` is about: the announcement's duplicate key and path, and its destination.
 * `path` must live as long as the claim is used.
 */
void dedupe_identify(struct dedupe *dedupe, struct dedupe_claim *claim, const char *key,
                     const char *path, const char *destination, int64_t pub_time_ns);

/*
 * Questions. One at a time for each claim, which must stay where it is until the answer is taken,
 * and while it is held. What is lost can be released too, or confirmed, which is answered with
 * DEDUPE_LOST; one that was not taken yet is not given any more.
 */
void dedupe_claim(struct dedupe *dedupe, struct dedupe_claim *claim);
void dedupe_confirm(struct dedupe *dedupe, struct dedupe_claim *claim);
void dedupe_release(struct dedupe *dedupe, struct dedupe_claim *claim);

/*
 * Whether a held claim is surely ours now. It is not when the lease may have lapsed, because this
 * process stood still, and after the store failed: it may have forgotten. Then wait: a renewal is
 * under way, and either makes it sure or ends in DEDUPE_LOST. What is placed without being sure may
 * take the place of a newer version.
 */
bool dedupe_is_sure(const struct dedupe_claim *claim);

/*
 * From now on the file may be put in its place. A claim that lapses then is lost, even if nobody
 * else has it when it is renewed: somebody may have come and gone, and put an older version on top.
 */
void dedupe_pin(struct dedupe_claim *claim);

/*
 * Lets go of a claim without a question, after the store failed: what the store knows of it ends
 * with its lease. No question may be under way.
 */
void dedupe_forget(struct dedupe *dedupe, struct dedupe_claim *claim);

/* A claim that only waits for another one of this instance stops waiting. False: it is not. */
bool dedupe_withdraw(struct dedupe *dedupe, struct dedupe_claim *claim);

/* Renews leases that are due, then sends all questions gathered since the last time. */
void dedupe_send(struct dedupe *dedupe);

/*
 * The next claim with an answer (see its verdict), NULL if there is none. What waited for a claim
 * that is settled is asked by this: dedupe_send() comes after it.
 */
struct dedupe_claim *dedupe_take_answer(struct dedupe *dedupe);

/* How the store did so far: answers, those that only said that it failed, and the time they took
 * together. */
struct dedupe_tally {
    int64_t answers, failures, waited_ms;
};

struct dedupe_tally dedupe_tally(const struct dedupe *dedupe);
