/*
 * What is decided about one announcement before anything is done: wanted or not, why, where its
 * file goes, what is done there, and under which key it is known as a duplicate.
 *
 * A judgement depends on the configuration, the announcement and the time it was received only. So
 * `explain` gives the same judgement as the subscriber, without a broker and without touching the
 * disk, and what waited for another try is judged as it was at first.
 *
 * Codes are those that sr3 reports: 202 not asked for, 404 the rules, 410 the file is too old, 413
 * too large, 415 not supported, 422 it must not be carried out, 504 announced too long ago.
 */
#pragma once

#include "announcement.h"
#include "stages/events.h"
#include "stages/filter.h"
#include "stages/writer.h"

struct config;
struct judge;

enum judge_op {
    JUDGE_DOWNLOAD,
    JUDGE_LINK,  /* a symbolic link is made */
    JUDGE_HLINK, /* a hard link is made */
    JUDGE_REMOVE,
    JUDGE_RENAME, /* if the old name is there; otherwise a download */
    JUDGE_MKDIR,
    JUDGE_RMDIR,
    JUDGE_NOTHING, /* it counts as done: download is off */
    JUDGE_OPS
};

/* Texts live in the announcement's arena, those of the rule in the judge. */
struct judgement {
    bool accepted;
    int code;           /* of a rejection; 0: accepted */
    const char *reason; /* of a rejection; NULL: accepted */
    int64_t wait_ms;    /* accepted, but the file is to rest for so long first; 0: no */
    enum judge_op op;
    struct filter_verdict destination; /* without a path when rejected before it was known */
    const char *fetch_url; /* NULL: not known, or nothing is fetched, whatever becomes of `event` */
    struct events_plan event; /* accepted, and neither a download nor nothing: how it is done */
    bool renamed_away;        /* what is removed has a new name, which the rules reject */
    const char *key, *path;   /* the two texts of the duplicate key */
};

/* `config` stays the caller's. NULL when a pattern does not compile; the error says where. */
struct judge *judge_open(const struct config *config, struct error *err) MUST_CHECK;
void judge_close(struct judge *judge); /* NULL is fine */

/*
 * `now_ns`: wall clock; of an announcement that waited, the time at which it was first received.
 * Ages, date variables and wait_ms count from it, and it becomes the announcement's received_ns.
 */
void judge_decide(struct judge *judge, struct announcement *announcement, int64_t now_ns,
                  struct judgement *judgement);

/* What the writer is to make of a file that goes to `destination`; points into all of them. */
struct writer_plan judge_plan(const struct config *config, const struct announcement *announcement,
                              const struct filter_verdict *destination);

/* How the file at `destination` is removed again, for delete_destination. */
struct events_plan judge_removal(const struct filter_verdict *destination);

/* Whether rule `index` of the configuration would do: its pattern compiles. */
bool judge_check_rule(const struct config *config, size_t index, struct error *err) MUST_CHECK;

/* "download", "link", ... */
const char *judge_op_name(enum judge_op op);
