/*
 * The history of the metrics file: each sample is a line `"20250102-123456" : {...},` as sr3 writes
 * it, in FILE.20250102, or FILE.20250102-1230 when a new one is begun more often than once a day.
 * Finished ones are compressed with gzip. Everything here may block: it runs in the pool.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct metrics_history {
    const char *path; /* of the metrics file, the caller's */
    int64_t interval_ms;
    int count;
    char *current; /* what was appended to last; NULL: nothing yet */
};

/* A history that has `interval_ms` 0 is never begun anew, but at midnight. */
void metrics_history_init(struct metrics_history *history, const char *path, int64_t interval_ms,
                          int count);
void metrics_history_clear(struct metrics_history *history);

/* Appends `text`, a JSON object and a newline. */
bool metrics_history_append(struct metrics_history *history, const char *text, int64_t wall_ns,
                            struct error *err);
