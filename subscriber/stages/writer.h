/*
 * Puts files in place: what is there already, inflight name, identity check, mode and times,
 * rename, made durable.
 *
 * The bytes of a file come in pieces; small files are kept in memory until they are whole. All that
 * touches the disk runs in the loop's pool. Files that are whole at the same moment are one group:
 * written, checked and made durable together, renamed, and reported once the rename is durable too.
 * Nothing is ever seen under its final name before it is complete, and everything stays below the
 * directory it belongs to.
 *
 * The inflight name is the same for every instance and every attempt at the same version, so what
 * a crash left behind is written over and not left for good. It is locked while it is written. Of a
 * large file whose server tells its time of change, what has arrived survives a broken transfer and
 * a killed process, and the next attempt goes on from there.
 *
 * A directory whose disk is full, read-only or away is paused: nothing new is to be begun for it
 * until a single file, let through when the pause is over, shows that it works again.
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

/* What is done with a file that is not what was announced, the second time it comes the same. */
enum writer_mismatch { WRITER_MISMATCH_PLACE, WRITER_MISMATCH_RETRY, WRITER_MISMATCH_REJECT };

struct writer_settings {
    const char *inflight; /* as sr3's option: ".tmp", ".", "tmp/", "/abs/dir/"; NULL: hidden */
    int directory_mode;   /* of inflight directories that are made, less the umask; 0: 0775 */
    enum writer_durability durability;
    enum writer_mismatch mismatch;
    bool accept_wrong_size;  /* one that differs is as good as the announced one */
    bool without_attributes; /* no extended attributes are written or looked at */
};

/* What the file has to be. Texts are copied. */
struct writer_plan {
    const char *directory;                        /* absolute; made when missing */
    const char *path;                             /* below it, clean (base/path.h) */
    int64_t size_bytes;                           /* 0: unknown, or a file without bytes */
    bool has_size;                                /* the announcement says a size, be it 0 */
    const char *identity_method, *identity_value; /* as announced; NULL: none */
    int mode;                                     /* permission bits; -1: leave them to the umask */
    int64_t mtime_ns;                             /* -1: both times are now */
    int64_t atime_ns;                             /* -1: the same as mtime_ns */
    int64_t announced_mtime_ns; /* even if the file is not to get it; -1: unknown */
    bool keep_existing;         /* a file that is there is never replaced */
};

#define WRITER_FINGERPRINT_SIZE 112

enum writer_outcome {
    WRITER_PLACED,   /* under its final name, and durable as far as the settings ask */
    WRITER_MISMATCH, /* whole, but not what was announced: nothing was placed */
    WRITER_KEPT,     /* what is there stays: see code and reason; only of files that were probed */
    WRITER_LATE,     /* whole, but the time in which it might be placed is over: nothing was */
    WRITER_NO_ROOM,  /* the disk does not take it, or any other: see writer_pause_ms() */
    WRITER_FAILED    /* see err: ERROR_PERMANENT for an impossible name, ERROR_OPERATOR for what
                        stands in its way, otherwise worth a retry */
};

struct writer_result {
    void *ticket;
    enum writer_outcome outcome;
    int code;           /* KEPT: as of a probe */
    const char *reason; /* the same */
    bool changed; /* not what was announced, but the same as last time: it has changed since */
    struct error err;
    int64_t size_bytes;                        /* of the file */
    char fingerprint[WRITER_FINGERPRINT_SIZE]; /* of what was received: equal bytes, equal text */
};

enum writer_advice {
    WRITER_FETCH,  /* from from_byte on */
    WRITER_KEEP,   /* what is there stays: see code and reason */
    WRITER_REFUSED /* it could not be placed: see outcome and err */
};

struct writer_probed {
    void *ticket;
    enum writer_advice advice;
    int64_t from_byte;           /* so much of this version is there; 0: nothing */
    int64_t last_modified_s;     /* which the server told then; -1: from_byte is 0 */
    int code;                    /* KEEP: sr3's 204, 304 or 406 */
    const char *reason;          /* the same as text */
    enum writer_outcome outcome; /* REFUSED: WRITER_FAILED or WRITER_NO_ROOM */
    struct error err;
};

/* `settings` is copied. NULL and ERROR_OPERATOR for an inflight pattern that makes no sense. */
struct writer *writer_open(struct loop *loop, const struct writer_settings *settings,
                           struct error *err) MUST_CHECK;
void writer_close(struct writer *writer); /* gives up what is not finished; NULL is fine */

/* The inflight name of a file, absolute and allocated; `inflight` as in the settings. A directory
 * of its own is not used for a file that goes to another file system than it is on. */
char *writer_print_inflight(const char *inflight, const struct writer_plan *plan) MUST_CHECK;

/* Begins a file. Never fails: what goes wrong is told when it is finished. */
struct writer_file *writer_begin(struct writer *writer, const struct writer_plan *plan,
                                 void *ticket);

/*
 * Asks, before it is fetched, whether the file is worth it and from where on; the answer comes from
 * writer_take_probed(). All files of a turn are looked at together; small ones only when they are
 * placed, as long as none of them is found to be there. Not asking means: fetch it and place it.
 */
void writer_probe(struct writer_file *file);

/* The same for one that need not be fetched: it is looked for when it is placed, and no answer
 * follows. What is there may be read as a whole then, so it must be small, and its size known. */
void writer_probe_late(struct writer_file *file);

/* The next answer; false if there is none. Unless it is to be fetched the file is gone with it. */
bool writer_take_probed(struct writer *writer, struct writer_probed *probed);

/*
 * To be called when the server's answer begins, if its time of change is known or it continues what
 * was probed. `from_byte`: the next byte's place, 0 or as probed. `last_modified_s`: -1 if the
 * server does not tell; then nothing can be kept of a broken transfer.
 */
void writer_continue(struct writer_file *file, int64_t from_byte, int64_t last_modified_s);

/*
 * Adds bytes. False: there is no room now and nothing was taken; the ticket comes back from
 * writer_take_drained() when there is.
 */
bool writer_append(struct writer_file *file, const char *bytes, size_t length);

/* Something went wrong with it: further bytes are fetched for nothing. Finish it for the reason. */
bool writer_has_failed(const struct writer_file *file);

/*
 * All bytes are there: check and place. `accept` is the fingerprint of an earlier result, or NULL:
 * a file that has it again, whatever was announced, is dealt with as the settings say. It is
 * renamed as long as the steady clock is before *until_ms, which may be moved meanwhile and must
 * live until the result is taken; NULL: whenever. The file is the writer's from here on; a result
 * will follow.
 */
void writer_finish(struct writer_file *file, const char *accept, const _Atomic int64_t *until_ms);

/* Gives the file up and removes what was written of it. No result follows. */
void writer_cancel(struct writer_file *file);

/* The same, but what is worth it is kept for the next attempt. */
void writer_suspend(struct writer_file *file);

/* Removes what an earlier attempt, perhaps of a killed instance, left under the inflight name. */
void writer_discard(struct writer *writer, const struct writer_plan *plan);

/* Starts the work on everything that was probed or finished since the last time, as one group. */
void writer_step(struct writer *writer);

/* For how long nothing new is to be begun below `directory`, because it is in trouble; 0: go on. */
int64_t writer_pause_ms(const struct writer *writer, const char *directory);

/* What is wrong, with its path and cause, for one log line when it changes; NULL: all is well. */
const char *writer_trouble(const struct writer *writer);

/* The least room there is on a disk that files are placed on, as seen lately; -1: not known. */
int64_t writer_free_bytes(const struct writer *writer);

bool writer_take_drained(struct writer *writer, void **ticket);
bool writer_take_result(struct writer *writer, struct writer_result *result);
