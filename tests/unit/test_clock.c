/* Clocks that can be held, and the text form of times. */
#include "base/clock.h"

#include "base/memory.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define REFUSED INT64_MIN
#define AT      1735790592LL /* 2025-01-02 04:03:12 */

static const struct {
    const char *text;
    int64_t ns;
} times[] = {
    {"20250102T040312", AT * NS_PER_S},
    {"20250102040312", AT * NS_PER_S},
    {"20250102T040312.75", AT * NS_PER_S + 750000000},
    {"20250102040312.719472885", AT * NS_PER_S + 719472885},
    {"20250102T040312.0882906914", AT * NS_PER_S + 88290691},
    {"20250102T040312.00135803e-05", AT * NS_PER_S + 13},
    {"20250102T040312.5E-1", AT * NS_PER_S + 50000000},
    {"20250102T040312.9e-99", AT * NS_PER_S},
    {"20250102T040312.", AT * NS_PER_S},
    {"19700101T000000", 0},
    {"20240229T235959", 1709251199LL * NS_PER_S},
    {"20000229T000000", 951782400LL * NS_PER_S},
    {"20991231T235959.999999999", 4102444799LL * NS_PER_S + 999999999},
    {"20250229T000000", REFUSED},
    {"21000229T000000", REFUSED},
    {"20251301T000000", REFUSED},
    {"20250001T000000", REFUSED},
    {"20250100T000000", REFUSED},
    {"20250132T000000", REFUSED},
    {"20250101T240000", REFUSED},
    {"20250101T006000", REFUSED},
    {"20250101T000061", REFUSED},
    {"19691231T235959", REFUSED},
    {"99991231T235959", REFUSED},
    {"", REFUSED},
    {"2025", REFUSED},
    {"20250102T", REFUSED},
    {"20250102T04031", REFUSED},
    {"20250102 040312", REFUSED},
    {"20250102t040312", REFUSED},
    {"2025-01-02T04:03:12Z", REFUSED},
    {"ABCDEFGHIJKLMN", REFUSED},
    {"20250102T040312Z", REFUSED},
    {"20250102T0403127", REFUSED},
    {"20250102T040312.7x", REFUSED},
    {"20250102T040312.e5", REFUSED},
    {"20250102T040312.5e5", REFUSED},
    {"20250102T040312.5e", REFUSED},
    {"20250102T040312.-5", REFUSED},
};

static void times_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        int64_t ns = REFUSED;
        bool parsed = clock_parse(times[i].text, &ns);

        if (parsed ? ns != times[i].ns : times[i].ns != REFUSED)
            fail_msg("'%s': got %" PRId64 ", parsed %d", times[i].text, ns, parsed);
    }
}

static const struct {
    int64_t ns;
    const char *text;
} prints[] = {
    {AT * NS_PER_S, "20250102T040312"},
    {AT * NS_PER_S + 750000000, "20250102T040312.75"},
    {AT * NS_PER_S + 719472885, "20250102T040312.719472885"},
    {AT * NS_PER_S + 13, "20250102T040312.000000013"},
    {AT * NS_PER_S + 100, "20250102T040312.0000001"},
    {0, "19700101T000000"},
};

static void times_are_printed_and_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(prints); i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t ns = -1;

        clock_print(prints[i].ns, text);
        if (strcmp(text, prints[i].text) != 0 || !clock_parse(text, &ns) || ns != prints[i].ns)
            fail_msg("%" PRId64 ": got '%s', which reads %" PRId64, prints[i].ns, text, ns);
    }
}

static void clocks_can_be_held(void **state)
{
    int64_t wall_ns, now_ms;

    (void)state;
    clock_hold(5, 7);
    assert_int_equal(clock_wall_ns(), 5);
    assert_int_equal(clock_now_ms(), 7);
    clock_hold(-1, -1);
    wall_ns = clock_wall_ns();
    now_ms = clock_now_ms();
    assert_true(wall_ns > AT * NS_PER_S);
    assert_true(clock_now_ms() >= now_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_parsed),
        cmocka_unit_test(times_are_printed_and_read_back),
        cmocka_unit_test(clocks_can_be_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
