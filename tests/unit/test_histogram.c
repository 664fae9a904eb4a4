/* Histograms with bounds, and quantiles within a sixteenth. */
#include "base/histogram.h"

#include "base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void values_fall_into_their_buckets(void **state)
{
    static const struct histogram_bounds bounds = {3, {1, 10, 100}};
    static const double values[] = {-5, 0, 1, 1.5, 10, 99, 100, 101, INFINITY};
    static const int64_t expected[] = {3, 2, 2, 2};
    struct histogram histogram = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++)
        histogram_add(&histogram, &bounds, values[i]);
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_int_equal(histogram.buckets[i], expected[i]);
    assert_int_equal(histogram.count, COUNT_OF(values));
}

static void a_single_value_is_found(void **state)
{
    (void)state;
    for (double value_s = 0.001; value_s < 1e6; value_s *= 1.07) {
        struct quantiles quantiles = {0};

        quantiles_add(&quantiles, value_s);
        quantiles_add(&quantiles, 1e6);
        double found_s = quantiles_find(&quantiles, 0.5);

        if (found_s < value_s || found_s > value_s * 17 / 16 + 0.001)
            fail_msg("%g was found as %g", value_s, found_s);
        assert_true(quantiles_find(&quantiles, 1) <= 1e6);
    }
}

static void shares_are_those_of_an_even_spread(void **state)
{
    static const double shares[] = {0.01, 0.5, 0.95, 0.99, 1};
    struct quantiles quantiles = {0};

    (void)state;
    for (int i = 1; i <= 10000; i++)
        quantiles_add(&quantiles, i / 1000.0);
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        double wanted_s = shares[i] * 10, found_s = quantiles_find(&quantiles, shares[i]);

        if (found_s < wanted_s || found_s > wanted_s * 17 / 16 + 0.001)
            fail_msg("%g of 10 s is %g", shares[i], found_s);
    }
    assert_true(quantiles.max_s == 10);
}

static void odd_values_do_no_harm(void **state)
{
    static const double values[] = {-1, 0, NAN, 1e300, INFINITY, 1e-300};
    struct quantiles quantiles = {0};

    (void)state;
    assert_true(quantiles_find(&quantiles, 0.5) == 0);
    for (size_t i = 0; i < COUNT_OF(values); i++)
        quantiles_add(&quantiles, values[i]);
    assert_int_equal(quantiles.count, COUNT_OF(values));
    assert_true(quantiles_find(&quantiles, 0.5) < 0.002); /* of the first bucket */
    assert_true(quantiles_find(&quantiles, 1) > 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fall_into_their_buckets),
        cmocka_unit_test(a_single_value_is_found),
        cmocka_unit_test(shares_are_those_of_an_even_spread),
        cmocka_unit_test(odd_values_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
