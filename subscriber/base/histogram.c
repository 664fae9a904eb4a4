/* Distributions. Quantiles count in sixteen steps for each doubling of the value. */
#include "base/histogram.h"

#include <math.h>

#define STEPS 16 /* in each doubling; below that many milliseconds each has a bucket of its own */

void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, double value)
{
    int bucket = 0;

    while (bucket < bounds->count && value > bounds->upper[bucket])
        bucket++;
    histogram->buckets[bucket]++;
    histogram->count++;
    if (value > 0) /* or the sum, a counter, would seem to have begun anew */
        histogram->sum += value;
}

static int bucket_of(double ms)
{
    int exponent, bucket;
    double fraction;

    if (!(ms >= STEPS))
        return ms > 0 ? (int)ms : 0;
    if (isinf(ms))
        return QUANTILES_BUCKETS - 1;
    fraction = frexp(ms, &exponent); /* ms = fraction * 2^exponent, fraction from 0.5 to 1 */
    if (exponent > QUANTILES_BUCKETS / STEPS)
        return QUANTILES_BUCKETS - 1;
    bucket = (exponent - 4) * STEPS + (int)((fraction - 0.5) * 2 * STEPS);
    return bucket < QUANTILES_BUCKETS ? bucket : QUANTILES_BUCKETS - 1;
}

/* The greatest value that the bucket counts. */
static double upper_ms(int bucket)
{
    if (bucket < STEPS)
        return bucket + 1;
    return ldexp(0.5 + (bucket % STEPS + 1) / (2.0 * STEPS), bucket / STEPS + 4);
}

void quantiles_add(struct quantiles *quantiles, double seconds)
{
    if (!(seconds > 0))
        seconds = 0;
    quantiles->buckets[bucket_of(seconds * 1000)]++;
    quantiles->count++;
    if (seconds > quantiles->max_s)
        quantiles->max_s = seconds;
}

double quantiles_find(const struct quantiles *quantiles, double share)
{
    int64_t wanted = (int64_t)ceil(share * (double)quantiles->count), seen = 0;
    double found_s;

    if (!quantiles->count)
        return 0;
    for (int i = 0; i < QUANTILES_BUCKETS; i++) {
        seen += quantiles->buckets[i];
        found_s = upper_ms(i) / 1000;
        if (seen >= wanted && seen > 0)
            return found_s < quantiles->max_s ? found_s : quantiles->max_s;
    }
    return quantiles->max_s;
}
