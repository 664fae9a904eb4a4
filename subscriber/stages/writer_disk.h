/*
 * The part of the writer that touches the disk: one file being looked for, written and placed.
 *
 * Everything here may block and runs in the pool. A disk_file is worked on by one thread at a time;
 * a disk_root is shared, and locked inside where it has to be.
 *
 *     writer_root.c      the directory that files are placed below
 *     writer_disk.c      inflight name, lock, bytes, rename
 *     writer_verify.c    checksums, and whether a file is what was announced
 *     writer_resume.c    what is kept of large files
 *     writer_existing.c  what is there already
 */
#pragma once

#include "stages/writer.h"
#include "stages/writer_name.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sys/types.h>

#define DISK_PARTIAL_MIN (1 << 20) /* less is fetched again rather than kept */

/* A directory that files are placed below, or that inflight files are in. */
struct disk_root {
    char *name; /* absolute path */
    unsigned mode;
    int fd;    /* -1: not opened yet, or not there; under `mutex` */
    bool gone; /* it is not what its name leads to any more; under `mutex` */
    _Atomic dev_t device;
    ino_t inode;
    _Atomic bool no_attributes;    /* its file system has none */
    _Atomic int64_t free_bytes;    /* room for us, as seen lately; -1: not known */
    int64_t room_due_ms;           /* when it is looked at again; under `mutex` */
    _Atomic(EVP_MD_CTX *) context; /* of a file that needs it no more; NULL: none is spare */
    pthread_mutex_t mutex;
};

void disk_root_init(struct disk_root *root, const char *name, unsigned mode);
void disk_root_clear(struct disk_root *root);

/* Opens it, making it when it is missing; does nothing if it is open. */
bool disk_root_open(struct disk_root *root, struct error *err) MUST_CHECK;

/* Looks whether its name still leads to it; if not it is opened again with the next use. */
void disk_root_check(struct disk_root *root);

/* It is opened again in any case: a handle may be stale although the name is the same. */
void disk_root_forget(struct disk_root *root);

/* Whether names can be made in it. */
bool disk_root_is_writable(const struct disk_root *root);

/* Makes everything written below `root` so far durable, renames included. */
bool disk_sync(struct disk_root *root, struct error *err) MUST_CHECK;

enum disk_trouble {
    DISK_FINE,   /* or of this file only */
    DISK_DENIED, /* nothing can be made in the root: perhaps of this file only */
    DISK_PLACE   /* no file would fare better */
};

struct disk_file {
    const struct writer_settings *settings;
    struct disk_root *root;
    struct disk_root *inflight_root; /* NULL: below `root` */
    struct writer_name name;

    const char *method, *value;   /* as announced, among the texts of `name`; NULL: none */
    const EVP_MD *digest;         /* NULL: nothing to compute */
    const char *digest_method;    /* its name */
    bool compared;                /* value is such a digest, not the name of one */
    int64_t announced_size_bytes; /* 0: unknown */
    int64_t announced_mtime_ns;
    bool has_size, keep_existing;
    bool look_late; /* for what is there, when it is complete */
    int mode;
    int64_t mtime_ns, atime_ns;
    char *accept;                    /* fingerprint that this file had before */
    const _Atomic int64_t *until_ms; /* not renamed later than that; NULL: no matter when */

    int fd, directory_fd, inflight_fd; /* -1 while not open */
    bool borrowed;                     /* the directories are closed by another file */
    bool started;                      /* fd is at the end of what was written by us */
    mode_t opened_mode;                /* of fd */
    dev_t device;                      /* of fd, like inode */
    ino_t inode;
    EVP_MD_CTX *context;
    int64_t hashed_bytes; /* so much is in `context`; less than size_bytes after a resume */
    int64_t size_bytes;   /* so much came, or was kept */
    char *bytes;          /* what is to be written next; the file's own */
    size_t length;

    int64_t last_modified_s; /* which makes it worth keeping; -1: unknown */
    int64_t partial_bytes;   /* found by the probe */
    int64_t partial_s;       /* and what the server told of it; -1: nothing was found */
    bool marked;             /* its time of change says how much of it there is */
    int existing_fd;         /* the final file, whose checksum is asked for; -1: it is not */
    int64_t existing_bytes;

    enum writer_advice advice; /* of the probe */
    int code;
    const char *reason;

    enum writer_outcome outcome;
    bool changed;
    struct error err; /* set: nothing more is done to it */
    enum disk_trouble trouble;
    int problem; /* errno of it */
    char fingerprint[WRITER_FINGERPRINT_SIZE];
};

/* A directory that is kept open for the files of one piece of work, which often share it. */
struct disk_directory {
    const char *path; /* NULL: none */
    int fd;
};

void disk_leave(struct disk_directory *directory);

/* All members that are not zero at first. */
void disk_file_init(struct disk_file *file);
void disk_file_clear(struct disk_file *file); /* closes and frees its members */
void disk_close(struct disk_file *file);      /* closes what is open, and with it the lock */
void disk_close_directories(struct disk_file *file);

/* The directories that `other` has open, if they are the same. It has to keep them open longer. */
void disk_borrow_directories(struct disk_file *file, const struct disk_file *other);

/* Fills file->err from errno, says whose trouble it is, and returns false. */
bool disk_failed(struct disk_file *file, const char *action);

/* Opens the directories; those that are missing are made, if so. */
bool disk_open_directories(struct disk_file *file, bool make);

/* Opens the inflight name and locks it; 1: done, 0: the name was changed meanwhile, -1: failed with
 * errno, EWOULDBLOCK when somebody else holds it. */
int disk_lock(struct disk_file *file, int flags);

/*
 * Writes `bytes` under the inflight name, which is opened and locked with the first of them. What
 * cannot be written is removed at once, to give room.
 */
void disk_write(struct disk_file *file);

/* Writes what is left, checks, sets mode and times. Afterwards err, or outcome, is final but for
 * the rename. */
void disk_complete(struct disk_file *file, bool sync);

/* Renames to the final name, if it is not too late, and lets go; with `sync` the rename is durable
 * on return. */
void disk_rename(struct disk_file *file, bool sync);

/* Removes what is there under the inflight name, unless somebody else holds its lock. */
void disk_discard(struct disk_file *file);
void disk_remove_inflight(struct disk_file *file); /* the same for what we hold ourselves */

/* ---- writer_verify.c ---- */

/* Counts `bytes` in, and hashes them if all before them are. */
bool disk_hash(struct disk_file *file);

/* Hashes up to `most` bytes that are on the disk and were passed over. */
void disk_hash_behind(struct disk_file *file, int64_t most);
bool disk_is_behind(const struct disk_file *file);

/* Hashes up to `most` bytes of `fd` from hashed_bytes on, not beyond `end`. */
bool disk_hash_piece(struct disk_file *file, int fd, int64_t most, int64_t end);

/* The digest of all that was hashed, as base64; "" when none was. Hashing is over with that. */
#define DISK_DIGEST_SIZE (EVP_MAX_MD_SIZE * 4 / 3 + 4)
void disk_print_digest(struct disk_file *file, char text[DISK_DIGEST_SIZE]);

/* True when the file is to be placed; otherwise outcome and err are set. */
bool disk_verify(struct disk_file *file, const char *digest);

/* ---- writer_resume.c ---- */

/* Looks for a part of this very version, and takes its lock. False: another instance has it. */
bool disk_find_partial(struct disk_file *file);

/* Marks what was written so far as a part that can be resumed; if it cannot, nothing happens. */
void disk_mark(struct disk_file *file);

/* Writes what is left, and keeps it or removes it. */
void disk_suspend(struct disk_file *file);

/* ---- writer_existing.c ---- */

/* The same as disk_probe() for a small file, in directory_fd. False: it is not to be placed. */
bool disk_look_late(struct disk_file *file);

/* Finds out about `advice`. It needs disk_compare() until existing_fd is -1. */
void disk_probe(struct disk_file *file, struct disk_directory *directory);
void disk_compare(struct disk_file *file, int64_t most);
