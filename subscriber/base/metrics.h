/*
 * This instance's counters and gauges, and the metrics file that Telegraf and sr3's status read.
 *
 * The table metrics.def is the only place that knows a metric. The file's form is that of sr3 (its
 * source: sr3's metrics files). It is replaced as a whole: written under a name that does not end
 * in .json, then renamed.
 */
#pragma once

#include "base/loop.h"

struct metrics {
#define METRIC_TYPE_COUNTER                            int64_t
#define METRIC_TYPE_GAUGE                              int64_t
#define METRIC_TYPE_NUMBER                             double
#define METRIC_TYPE_FLAG                               bool
#define METRIC_TYPE_TIME                               int64_t
#define METRIC(member, kind, field, name, reset, help) METRIC_TYPE_##kind field;
#include "base/metrics.def"
};

/* Restarts what sr3 restarts at every housekeeping. */
void metrics_reset(struct metrics *metrics);

/* The file's text: one JSON object and a newline. The caller's. */
char *metrics_print(const struct metrics *metrics) MUST_CHECK;

/* CPU seconds, user and system, of this process so far. */
double metrics_cpu_s(void);

struct metrics_file;

/* `path` is copied; its directory is made when missing, at the first write. */
struct metrics_file *metrics_file_open(struct loop *loop, const char *path) MUST_CHECK;

/* Writes in the pool. While an earlier write is under way, this one is left out. */
void metrics_file_write(struct metrics_file *file, const struct metrics *metrics);

/* Waits for a write under way, then writes a last time. NULL is fine. */
void metrics_file_close(struct metrics_file *file, const struct metrics *metrics);
