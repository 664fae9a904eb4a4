/*
 * Log files that are put aside when their time is over, as Python's TimedRotatingFileHandler does
 * it: at local midnight every so many days, or, when the interval is less than a day, every so many
 * seconds since the file was begun. The old file gets the time of its beginning as a suffix:
 * NAME.2026-11-21, or NAME.2026-11-21_10-21-41.
 *
 * Putting aside is two system calls. Removing what is too old, and compressing, is left to a chore
 * that may run in another thread.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct log_rotation {
    char *path; /* NULL: it is not rotated */
    int64_t interval_ms, count;
    bool compress;
    int64_t began_ns, due_ns; /* wall clock */
    bool chore_due;
};

/* `path` is written to from now on, or again; interval 0: it is not rotated. */
void log_rotation_begin(struct log_rotation *rotation, const char *path, int64_t interval_ms,
                        int64_t wall_ns);
void log_rotation_clear(struct log_rotation *rotation);

bool log_rotation_is_due(const struct log_rotation *rotation, int64_t wall_ns);

/*
 * Renames the file, unless `fd` is another one: then somebody else has done that. In any case the
 * file is to be opened again under its name.
 */
void log_rotation_put_aside(struct log_rotation *rotation, int fd);

/* Removes all but the `count` newest files beside `path`, 0: none; compresses those that stay. */
void log_rotation_tidy(const char *path, int64_t count, bool compress);
