/*
 * Distributions: a histogram with few bounds that only grows, as Prometheus wants it, and quantiles
 * of what came lately. Adding a value takes the same few steps however many came before.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 13

/* Ascending; a bucket counts what is not above its bound. */
struct histogram_bounds {
    int count;
    double upper[HISTOGRAM_BOUNDS_MAX];
};

struct histogram {
    int64_t buckets[HISTOGRAM_BOUNDS_MAX + 1]; /* the last: above all bounds; not cumulative */
    int64_t count;
    double sum;
};

/* Zeroed: empty. Always with the same bounds. */
void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds,
                   double value);

#define QUANTILES_BUCKETS 512

/* Within 1/16 of the value, from a millisecond to some weeks. Zeroed: empty. */
struct quantiles {
    uint32_t buckets[QUANTILES_BUCKETS];
    int64_t count;
    double max_s;
};

void quantiles_add(struct quantiles *quantiles, double seconds); /* below 0 is 0 */

/* The value that `share` (0 to 1) of all are not above; 0 if there are none. */
double quantiles_find(const struct quantiles *quantiles, double share);
