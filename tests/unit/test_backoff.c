/* The delay before the next try: doubles, is bounded, and a quarter of it is left to chance. */
#include "base/backoff.h"

#include "base/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
    int tries;
    int64_t first_ms, most_ms;
    int64_t delay_ms; /* the longest; the shortest is a quarter less */
} delays[] = {
    {1, 1000, 300000, 1000},
    {2, 1000, 300000, 2000},
    {3, 1000, 300000, 4000},
    {9, 1000, 300000, 256000},
    {10, 1000, 300000, 300000},
    {11, 1000, 300000, 300000},
    {INT_MAX, 1000, 300000, 300000},
    {1, 5000, 1000, 1000},
    {1, 0, 1000, 0},
    {1, 1, 1000, 1},
    {60, 1, (int64_t)1 << 50, (int64_t)1 << 50},
    {0, 1000, 300000, 1000},
    {5, 1000, 0, 0},
};

static void delays_grow_within_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(delays); i++)
        for (int k = 0; k < 200; k++) {
            int64_t most_ms = delays[i].delay_ms, least_ms = most_ms - most_ms / 4;
            int64_t ms = backoff_ms(delays[i].tries, delays[i].first_ms, delays[i].most_ms);

            if (ms < least_ms || ms > most_ms)
                fail_msg("%d tries: %" PRId64 " ms, expected %" PRId64 " to %" PRId64,
                         delays[i].tries, ms, least_ms, most_ms);
        }
}

static void delays_are_spread(void **state)
{
    int64_t least_ms = INT64_MAX, most_ms = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t ms = backoff_ms(1, 100000, 100000);

        least_ms = ms < least_ms ? ms : least_ms;
        most_ms = ms > most_ms ? ms : most_ms;
    }
    if (most_ms - least_ms < 20000)
        fail_msg("1000 delays lie between %" PRId64 " and %" PRId64 " ms", least_ms, most_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delays_grow_within_bounds),
        cmocka_unit_test(delays_are_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
