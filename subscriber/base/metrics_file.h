/*
 * The metrics file that Telegraf and sr3's status read, and its history.
 *
 * The file is replaced as a whole: written under a name that does not end in .json, then renamed.
 * Everything that touches the disk runs in the pool.
 *
 * An instance that is replaced by one of the same number may still run when that begins. Both write
 * the file; the one that stops leaves it to the other.
 */
#pragma once

#include "base/loop.h"
#include "base/metrics.h"

struct metrics_file;

struct metrics_file_settings {
    const char *path;            /* its directory is made when missing, at the first write */
    bool keep;                   /* after the end */
    bool history;                /* each sample is appended to PATH.TIME, too */
    int64_t history_interval_ms; /* after which a new one is begun, the old one compressed */
    int history_count;           /* so many are kept */
};

/* `settings` is copied. */
struct metrics_file *metrics_file_open(struct loop *loop,
                                       const struct metrics_file_settings *settings) MUST_CHECK;

/* Writes in the pool. While an earlier write is under way, this one is left out. */
void metrics_file_write(struct metrics_file *file, const struct metrics *metrics);

/* For how long a write has been under way; 0: none is. */
int64_t metrics_file_busy_ms(const struct metrics_file *file);

/* What /proc said about this process at the last write. */
void metrics_file_process(const struct metrics_file *file, int64_t *memory_bytes, int64_t *fds);

/* Waits for a write under way; then writes a last time, or removes the file if it is still ours.
 * NULL is fine. */
void metrics_file_close(struct metrics_file *file, const struct metrics *metrics);
