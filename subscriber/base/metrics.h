/*
 * This instance's counters and gauges, in the forms in which others read them: sr3's JSON, the
 * text that Prometheus scrapes, and a chapter of the manual.
 *
 * The table metrics.def is the only place that knows a metric.
 */
#pragma once

#include "base/error.h"
#include "base/histogram.h"

#include <stdint.h>
#include <stdio.h>

#define METRIC_ABSENT INT64_MIN /* of a MAYBE: not in the file */

struct metrics {
#define METRIC_TYPE_COUNTER              int64_t
#define METRIC_TYPE_GAUGE                int64_t
#define METRIC_TYPE_NUMBER               double
#define METRIC_TYPE_FLAG                 bool
#define METRIC_TYPE_TIME                 int64_t
#define METRIC_TYPE_MAYBE                int64_t
#define METRIC(member, kind, field, ...) METRIC_TYPE_##kind field;
#define HISTOGRAM(field, ...)            struct histogram field;
#include "base/metrics.def"
};

extern const struct histogram_bounds metrics_lag_bounds, metrics_time_bounds, metrics_size_bounds;

/* Restarts what sr3 restarts at every housekeeping; what was counted is added to `before`. */
void metrics_reset(struct metrics *metrics, struct metrics *before);

/* The file's text: one JSON object and a newline. The caller's. */
char *metrics_print(const struct metrics *metrics) MUST_CHECK;

/*
 * The text of the endpoint, in the format of Prometheus (text/plain; version=0.0.4). The caller's.
 * Counters are those of `metrics` and `before` together; `labels`, such as `config="x"`, tells what
 * this process is.
 */
char *metrics_print_prometheus(const struct metrics *metrics, const struct metrics *before,
                               const char *labels) MUST_CHECK;

/* The manual's chapter. */
void metrics_print_markdown(FILE *out);

/* CPU seconds, user and system, of this process so far. */
double metrics_cpu_s(void);
