/*
 * The part of writer.c that touches the disk: one file being written, one group being placed.
 *
 * Everything here may block and runs in the pool. A disk_file is worked on by one thread at a time;
 * a disk_root is shared, and locked inside where it has to be.
 */
#pragma once

#include "base/list.h"
#include "stages/writer.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sys/types.h>

/* A directory that files are placed below. */
struct disk_root {
    char *name; /* absolute path */
    int fd;     /* -1: not opened yet, or not there; under `mutex` */
    dev_t device;
    pthread_mutex_t mutex;
};

void disk_root_init(struct disk_root *root, const char *name);
void disk_root_clear(struct disk_root *root);

struct disk_file {
    struct list_link link; /* in the group that is worked on */
    struct disk_root *root;
    char *directory;          /* below the root; "" is the root */
    char *name;               /* final */
    char *inflight_directory; /* below the root */
    char *inflight_name;
    int64_t announced_size_bytes;
    const EVP_MD *digest; /* NULL: nothing to compute */
    char *announced_digest;
    int mode;
    int64_t mtime_ns, atime_ns;
    char *accept;                    /* fingerprint to be placed in any case */
    const _Atomic int64_t *until_ms; /* not renamed later than that; NULL: no matter when */

    int fd, directory_fd, inflight_fd; /* -1 while not open */
    dev_t device;
    EVP_MD_CTX *context;
    int64_t size_bytes;
    char *bytes; /* what is to be written next; the file's own */
    size_t length;
    enum writer_outcome outcome;
    struct error err; /* set: nothing more is done to it */
    char fingerprint[WRITER_FINGERPRINT_SIZE];
};

/* Closes what is open, and with it the lock. */
void disk_close(struct disk_file *file);
void disk_file_clear(struct disk_file *file); /* closes and frees its members */

/* Writes `bytes` under the inflight name, which is opened and locked with the first of them. */
void disk_write(struct disk_file *file);

/* Writes what is left, checks, sets mode and times. Afterwards err, or outcome, is final but for
 * the rename. */
void disk_complete(struct disk_file *file, bool sync);

/* Makes everything written below `root` so far durable, renames included. */
bool disk_sync(struct disk_root *root, struct error *err) MUST_CHECK;

/* Renames to the final name, if it is not too late, and lets go; with `sync` the rename is durable
 * on return. */
void disk_rename(struct disk_file *file, bool sync);

/* Removes what is there under the inflight name, unless somebody else holds its lock. */
void disk_discard(struct disk_file *file);
