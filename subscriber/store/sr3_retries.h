/*
 * What sr3 left in its retry queues: handed over entry by entry, and removed when it is kept.
 *
 * sr3 has them in Redis (sr3_lists.c) or in files (sr3_files.c). An entry leaves its place only
 * after it was settled, so whatever dies in the middle loses nothing; at worst an entry is handed
 * over twice. Entries that cannot be read are moved aside, to LIST.unreadable or FILE.unreadable.
 * Several instances may do this at once, also beside an sr3 that is still running.
 *
 * Nothing waits: files are read in the loop's pool. At most one piece, 64 entries and some MiB, is
 * in memory.
 */
#pragma once

#include "base/loop.h"

struct sr3_retries;
struct redis_settings;

struct sr3_retries_settings {
    const char *directory;              /* where sr3's files are; NULL: there are none */
    const struct redis_settings *redis; /* NULL: only the files */
    const char *queue;                  /* COMPONENT.QUEUE, as in the names of sr3's lists */
};

struct sr3_entry {
    const char *text; /* what record_parse_sr3() reads; no NUL behind it */
    size_t length;
    const char *place; /* the file or list it is from, for messages */
    bool kept;         /* private, as what follows */
    bool cut;          /* the line goes on in the next entry */
};

/* Begins to look. `settings` is copied. NULL and ERROR_OPERATOR as from redis_link_open(). */
struct sr3_retries *sr3_retries_open(struct loop *loop, const struct sr3_retries_settings *settings,
                                     struct error *err) MUST_CHECK;

/* The next entry, good until all that were taken are settled. NULL: none has arrived. */
struct sr3_entry *sr3_retries_take_entry(struct sr3_retries *retries);

/*
 * `entry` is safe elsewhere (kept), or cannot be read and is moved aside. Once for each entry
 * taken, in any order; further entries come when all of a piece are settled.
 */
void sr3_retries_settle(struct sr3_retries *retries, struct sr3_entry *entry, bool kept);

/* There is nothing more to come: it can be closed. */
bool sr3_retries_is_done(const struct sr3_retries *retries);

/* Why something stays where it is, or Redis is waited for; NULL while all is well. */
const char *sr3_retries_failure(const struct sr3_retries *retries);

/* Entries not settled stay where they are. Waits for what is under way, a moment only. NULL is
 * fine.
 */
void sr3_retries_close(struct sr3_retries *retries);
