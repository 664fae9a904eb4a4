/*
 * Carries out what announcements ask for apart from content: symbolic and hard links, removals,
 * renames, directories made and removed.
 *
 * All of it runs in the loop's pool: the events of one turn that have the same directory are one
 * piece of work, done in the order in which they were started, made durable together and then
 * reported. Everything can be done twice: after a crash the second time finds it done and says so.
 *
 * Nothing is ever done outside of the directories that a plan names. Links on the way to a name are
 * followed as far as they stay below the directory, the last component never is; a link that would
 * lead out of it is not made, and not moved to where it would.
 *
 * The events are those of sr3's fileOp: sr_post(7).
 */
#pragma once

#include "base/loop.h"

struct events;

enum events_durability { /* as enum writer_durability */
                         EVENTS_DURABILITY_NONE,
                         EVENTS_DURABILITY_GROUP,
                         EVENTS_DURABILITY_EACH
};

struct events_settings {
    enum events_durability durability;
};

enum events_op {
    EVENTS_NOTHING, /* of `otherwise`: the caller fetches the file */
    EVENTS_LINK,    /* a symbolic link to `target`, in the place of a file or link */
    EVENTS_HLINK,   /* a hard link to the regular file at the other path, else `otherwise` */
    EVENTS_REMOVE,  /* a file, a link, or a directory that is empty; none there is fine */
    EVENTS_RENAME,  /* from the other path; if that is not there, `otherwise` */
    EVENTS_MKDIR,   /* one that is there is fine, and keeps its mode */
    EVENTS_OPS
};

/* Texts are copied. */
struct events_plan {
    enum events_op op;
    const char *directory; /* absolute; made when missing, but not for a removal */
    const char *path;      /* below it, clean (base/path.h) */

    /* Rename, hard link: where the former name or the file is; NULL: it is not there. */
    const char *other_directory, *other_path;
    int64_t size_bytes; /* what is renamed is a file of another size: out of date; 0: unknown */

    enum events_op otherwise; /* what else is done; with EVENTS_NOTHING, but ... */
    int refuse_code;          /* ... not 0: it is EVENTS_REJECTED with this and ... */
    const char *refuse_reason;

    const char *target; /* of a symbolic link, stored as it is */
    bool link_outside;  /* it may lead anywhere */
    int mode;           /* of a new directory */
};

enum events_outcome {
    EVENTS_DONE,     /* and durable as far as the settings ask */
    EVENTS_FETCH,    /* there is nothing to make it of: to be downloaded as if it were new */
    EVENTS_BLOCKED,  /* a directory that is not empty, or something else, is in the way. Its own
                        removal may be on its way, so a few tries are due; then it is a rejection
                        with the code */
    EVENTS_REJECTED, /* never to be done: see code and err */
    EVENTS_LATE,     /* the time in which it might be done is over: nothing was done */
    EVENTS_FAILED    /* see err: worth a retry */
};

struct events_result {
    void *ticket;
    enum events_outcome outcome;
    enum events_op deed; /* done: what was, the op of the plan or what it says to do otherwise */
    int code;            /* done 201, rejected 202, 422 or 500, blocked 500; else 0 */
    struct error err;
};

/* `settings` is copied. */
struct events *events_open(struct loop *loop, const struct events_settings *settings) MUST_CHECK;
void events_close(struct events *events); /* waits for what is in the pool; NULL is fine */

/*
 * Takes an event on; a result will follow. It is carried out as long as the steady clock is before
 * *until_ms, which may be moved meanwhile and must live until the result is taken; NULL: whenever.
 */
void events_start(struct events *events, const struct events_plan *plan,
                  const _Atomic int64_t *until_ms, void *ticket);

/* Starts the work on everything that was started since the last time. */
void events_step(struct events *events);

bool events_take_result(struct events *events, struct events_result *result);

/* "link", "hlink", ... */
const char *events_op_name(enum events_op op);
