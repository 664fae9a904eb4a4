/*
 * What failed for now and cannot be kept in hand: records in a store that all instances share.
 *
 * A record is kept until its time comes, then taken by whichever instance asks first, worked on
 * under a lease, and at last dropped, or kept again with a later time. If its instance dies it
 * comes back when the lease ends. So whoever works on it need not be afraid of anything, and what
 * is stored may be acked to the broker.
 *
 * No call waits: questions go out together with retry_send(), which also renews leases and looks
 * for records that are due, so it is called at least in every sixth of the lease.
 */
#pragma once

#include "store/retry_store.h"

struct retry;

struct retry_settings {
    int64_t lease_ms;
    int work_max; /* records that may be worked on here at once */
};

/* Of the last answer. */
enum retry_verdict {
    RETRY_KEPT,    /* in the store */
    RETRY_SETTLED, /* dropped, or let go of: not ours any more */
    RETRY_UNKNOWN  /* the store failed: ask again later; what was held still is */
};

/* Part of whoever works on a record; zeroed before its first use. Private but for the last four. */
struct retry_hold {
    struct retry_question question; /* one at a time */
    struct list_link held_link;     /* in the list of leases to renew */
    struct list_link answer_link;
    char *body;
    bool asked, renewing, wanted;
    enum retry_action next; /* goes out when the question under way is answered, if wanted */
    int64_t next_delay_ms;
    int64_t renew_at_ms;
    bool hold_on; /* after keeping it */

    bool held; /* the record is in the store, hidden from others as long as it is renewed */
    bool busy; /* an answer is still to come */
    enum retry_verdict verdict;
    void *ticket; /* the asker's own */
};

/* `store` stays the caller's and must outlive it. */
struct retry *retry_open(struct retry_store *store,
                         const struct retry_settings *settings) MUST_CHECK;
void retry_close(struct retry *retry); /* NULL is fine */

/*
 * Keeps `body` (allocated; the stage's from here on) under `id`, due in `delay_ms`. With `hold_on`
 * it goes on being worked on here: it is hidden and held.
 */
void retry_keep(struct retry *retry, struct retry_hold *hold, const unsigned char id[RETRY_ID_SIZE],
                char *body, int64_t delay_ms, bool hold_on);

/* The outcome is safe: forget the record. */
void retry_drop(struct retry *retry, struct retry_hold *hold);

/* Somebody else, or this instance later, is to work on it. */
void retry_let_go(struct retry *retry, struct retry_hold *hold, int64_t delay_ms);

/* Renews leases that are due, looks for due records if there is room, sends all questions. */
void retry_send(struct retry *retry);

/* The next hold with an answer (see its verdict), NULL if there is none. */
struct retry_hold *retry_take_answer(struct retry *retry);

/*
 * The next record whose time has come: its `body` is the caller's, who then calls retry_adopt().
 * False if there is none.
 */
bool retry_take_due(struct retry *retry, struct retry_item *item);

/* Holds a record that was taken. */
void retry_adopt(struct retry *retry, struct retry_hold *hold,
                 const unsigned char id[RETRY_ID_SIZE]);

/* No more records, please, until it is said again; those that are on their way still come. */
void retry_pause(struct retry *retry, bool paused);

/* False: so many are being worked on that no more are taken. */
bool retry_has_room(const struct retry *retry);

/* Records in the store, when it was asked last. */
int64_t retry_waiting(const struct retry *retry);
