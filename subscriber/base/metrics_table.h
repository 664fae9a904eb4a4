/* Private to metrics: the table as an array. */
#pragma once

#include "base/metrics.h"

#include <stddef.h>

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_NUMBER,
    METRIC_FLAG,
    METRIC_TIME,
    METRIC_MAYBE
};

struct metric {
    const char *member, *name;
    enum metric_kind kind;
    size_t offset, size;
    bool reset;
    const char *unit, *family, *label, *help;
};

struct metric_histogram {
    size_t offset;
    const struct histogram_bounds *bounds;
    const char *unit, *family, *help;
};

extern const struct metric metric_table[];
extern const size_t metric_count;
extern const struct metric_histogram metric_histograms[];
extern const size_t metric_histogram_count;

/* A value as a number; false: there is none. */
bool metric_number(const struct metric *metric, const struct metrics *metrics, double *number);
