/* So many bytes a second, on a clock that is set. */
#include "stages/rate.h"

#include "base/clock.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* Takes what may be taken for so long, in such pieces, and waits as it is told to. */
static int64_t taken_in(int64_t bytes_per_s, size_t piece, int64_t ms)
{
    int64_t now_ms = 1000, end_ms = 1000 + ms, taken = 0;
    struct rate rate;

    clock_hold(-1, now_ms);
    rate_init(&rate, bytes_per_s);
    while (now_ms < end_ms) {
        while (rate_has(&rate)) {
            rate_take(&rate, piece);
            taken += (int64_t)piece;
        }
        if (rate_wait_ms(&rate) <= 0)
            fail_msg("%" PRId64 " bytes/s: a busy loop", bytes_per_s);
        now_ms += rate_wait_ms(&rate);
        clock_hold(-1, now_ms);
    }
    clock_hold(-1, -1);
    return taken;
}

static void the_rate_is_kept(void **state)
{
    static const int64_t rates[] = {1, 1000, 50000, 1000000, 123456789};
    static const size_t pieces[] = {1, 1024, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
        for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
            int64_t most, taken;

            if (pieces[k] * 100000 < (size_t)rates[i])
                continue; /* too many of them for a test */
            taken = taken_in(rates[i], pieces[k], 200000);
            most = rates[i] * 201 + (int64_t)pieces[k];
            if (taken > most || taken < rates[i] * 190 - (int64_t)pieces[k])
                fail_msg("%" PRId64 " bytes/s, pieces of %zu: %" PRId64 " in 200 s", rates[i],
                         pieces[k], taken);
        }
}

static void what_was_not_used_is_not_saved_up(void **state)
{
    struct rate rate;

    (void)state;
    clock_hold(-1, 1000);
    rate_init(&rate, 1000);
    clock_hold(-1, 1000 + 3600000);
    assert_true(rate_has(&rate));
    rate_take(&rate, 100);
    assert_false(rate_has(&rate));
    clock_hold(-1, 1000); /* a clock never goes back, but if it did nothing breaks */
    assert_false(rate_has(&rate));
    clock_hold(-1, -1);
}

static void without_a_limit_everything_may_be_taken(void **state)
{
    static const int64_t limits[] = {0, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rate rate;

        rate_init(&rate, limits[i]);
        for (int k = 0; k < 1000; k++) {
            assert_true(rate_has(&rate));
            rate_take(&rate, SIZE_MAX / 4096);
        }
        assert_int_equal(rate_piece(&rate, 65536), 65536);
    }
}

static void pieces_are_small_when_the_rate_is(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 100);
    assert_int_equal(rate_piece(&rate, 65536), 1024);
    rate_init(&rate, 200000);
    assert_int_equal(rate_piece(&rate, 65536), 10000);
    rate_init(&rate, 1 << 30);
    assert_int_equal(rate_piece(&rate, 65536), 65536);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(what_was_not_used_is_not_saved_up),
        cmocka_unit_test(without_a_limit_everything_may_be_taken),
        cmocka_unit_test(pieces_are_small_when_the_rate_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
