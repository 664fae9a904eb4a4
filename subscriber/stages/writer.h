/*
 * Puts files in place: inflight name, identity check, mode and times, rename, made durable.
 *
 * The bytes of a file come in pieces; small files are kept in memory until they are whole. All that
 * touches the disk runs in the loop's pool. Files that are whole at the same moment are one group:
 * written, checked and made durable together, renamed, and reported once the rename is durable too.
 * Nothing is ever seen under its final name before it is complete, and everything stays below the
 * directory it belongs to.
 *
 * The inflight name is the same for every instance and every attempt at the same version, so what
 * a crash left behind is written over and not left for good. It is locked while it is written.
 */
#pragma once

#include "base/loop.h"

struct writer;
struct writer_file;

enum writer_durability {
    WRITER_DURABILITY_NONE,  /* the operating system writes when it likes */
    WRITER_DURABILITY_GROUP, /* one flush of the file system for all files of a group */
    WRITER_DURABILITY_EACH   /* one fsync for each file */
};

struct writer_settings {
    const char *inflight; /* as sr3's option: ".tmp", ".", "tmp/"; NULL: ".tmp" */
    enum writer_durability durability;
};

/* What the file has to be. Texts are copied. */
struct writer_plan {
    const char *directory;                        /* absolute; made when missing */
    const char *path;                             /* below it, clean (base/path.h) */
    int64_t size_bytes;                           /* 0: unknown */
    const char *identity_method, *identity_value; /* as announced; NULL: none */
    int mode;                                     /* permission bits; -1: leave them to the umask */
    int64_t mtime_ns;                             /* -1: both times are now */
    int64_t atime_ns;                             /* -1: the same as mtime_ns */
};

#define WRITER_FINGERPRINT_SIZE 112

enum writer_outcome {
    WRITER_PLACED,   /* under its final name, and durable as far as the settings ask */
    WRITER_MISMATCH, /* whole, but not what was announced: nothing was placed */
    WRITER_LATE,     /* whole, but the time in which it might be placed is over: nothing was */
    WRITER_FAILED    /* see err: ERROR_PERMANENT for an impossible name, otherwise worth a retry */
};

struct writer_result {
    void *ticket;
    enum writer_outcome outcome;
    struct error err;
    int64_t size_bytes;                        /* received */
    char fingerprint[WRITER_FINGERPRINT_SIZE]; /* of what was received: equal bytes, equal text */
};

/* `settings` is copied. NULL and ERROR_OPERATOR for an inflight pattern that makes no sense. */
struct writer *writer_open(struct loop *loop, const struct writer_settings *settings,
                           struct error *err) MUST_CHECK;
void writer_close(struct writer *writer); /* gives up what is not finished; NULL is fine */

/* The inflight name of a file, absolute and allocated; `inflight` as in the settings. */
char *writer_print_inflight(const char *inflight, const struct writer_plan *plan) MUST_CHECK;

/* Begins a file. Never fails: what goes wrong is told when it is finished. */
struct writer_file *writer_begin(struct writer *writer, const struct writer_plan *plan,
                                 void *ticket);

/*
 * Adds bytes. False: there is no room now and nothing was taken; the ticket comes back from
 * writer_take_drained() when there is.
 */
bool writer_append(struct writer_file *file, const char *bytes, size_t length);

/*
 * All bytes are there: check and place. A file with the fingerprint `accept` (of an earlier result,
 * or NULL) is placed whatever was announced. It is renamed as long as the steady clock is before
 * *until_ms, which may be moved meanwhile and must live until the result is taken; NULL: whenever.
 * The file is the writer's from here on; a result will follow.
 */
void writer_finish(struct writer_file *file, const char *accept, const _Atomic int64_t *until_ms);

/* Gives the file up and removes what was written of it. No result follows. */
void writer_cancel(struct writer_file *file);

/* Removes what an earlier attempt, perhaps of a killed instance, left under the inflight name. */
void writer_discard(struct writer *writer, const struct writer_plan *plan);

/* Starts the work on everything that was finished since the last time, as one group. */
void writer_step(struct writer *writer);

bool writer_take_drained(struct writer *writer, void **ticket);
bool writer_take_result(struct writer *writer, struct writer_result *result);
