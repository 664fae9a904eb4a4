/* So many announcements in all and a second, on a clock that is set. */
#include "stages/intake.h"

#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* All that come at once; when the last one has its turn, in milliseconds. */
static int64_t last_turn(double rate_max, int count)
{
    struct intake intake = {.rate_max = rate_max};
    int64_t delay_ms = -1, before_ms = 0;

    clock_hold(-1, 1000000);
    for (int i = 0; i < count; i++) {
        assert_true(intake_take(&intake, &delay_ms));
        assert_true(delay_ms >= before_ms);
        before_ms = delay_ms;
    }
    clock_hold(-1, -1);
    return delay_ms;
}

static void turns_come_at_the_rate(void **state)
{
    static const struct {
        double rate_max;
        int count;
        int64_t last_ms;
    } cases[] = {{0, 1000, 0},    {1, 1, 0},          {1, 2, 900},
                 {10, 101, 9900}, {0.1, 3, 19900},    {1000, 100, 0},
                 {1000, 101, 0},  {1000, 1101, 1000}, {0.001, 2, 999900}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t last_ms = last_turn(cases[i].rate_max, cases[i].count);

        if (last_ms != cases[i].last_ms)
            fail_msg("%g/s, %d: got %" PRId64 " ms", cases[i].rate_max, cases[i].count, last_ms);
    }
}

static void turns_are_not_saved_up(void **state)
{
    struct intake intake = {.rate_max = 10};
    int64_t delay_ms, now_ms = 1000;

    (void)state;
    for (int i = 0; i < 20; i++) { /* slower than it may be */
        clock_hold(-1, now_ms);
        assert_true(intake_take(&intake, &delay_ms) && delay_ms == 0);
        now_ms += 1000;
    }
    clock_hold(-1, now_ms);
    for (int i = 0; i < 11; i++)
        assert_true(intake_take(&intake, &delay_ms));
    assert_int_equal(delay_ms, 900);
    clock_hold(-1, -1);
}

static void turns_are_forgotten(void **state)
{
    struct intake intake = {.rate_max = 1};
    int64_t delay_ms;

    (void)state;
    clock_hold(-1, 1000);
    for (int i = 0; i < 50; i++)
        assert_true(intake_take(&intake, &delay_ms));
    intake_forget_turns(&intake);
    assert_true(intake_take(&intake, &delay_ms));
    assert_int_equal(delay_ms, 0);
    assert_true(intake_take(&intake, &delay_ms));
    assert_int_equal(delay_ms, 1000);
    clock_hold(-1, -1);
}

static void so_many_are_taken(void **state)
{
    struct intake intake = {.count_max = 3};
    int64_t delay_ms;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_false(intake_is_full(&intake));
        assert_true(intake_take(&intake, &delay_ms));
    }
    assert_true(intake_is_full(&intake));
    assert_false(intake_take(&intake, &delay_ms));
}

static void prefetch_follows_the_rate(void **state)
{
    (void)state;
    assert_int_equal(intake_limit_prefetch(0, 256), 256);
    assert_int_equal(intake_limit_prefetch(100, 256), 256);
    assert_int_equal(intake_limit_prefetch(1, 256), 60);
    assert_int_equal(intake_limit_prefetch(0.001, 256), 1);
    assert_int_equal(intake_limit_prefetch(1e300, 256), 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_come_at_the_rate),    cmocka_unit_test(turns_are_not_saved_up),
        cmocka_unit_test(turns_are_forgotten),       cmocka_unit_test(so_many_are_taken),
        cmocka_unit_test(prefetch_follows_the_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
