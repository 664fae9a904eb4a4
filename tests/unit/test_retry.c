/* What waits for another try, on a clock that stands still until it is moved. */
#include "stages/retry.h"

#include "base/clock.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES 500

static int scene_open(void **state)
{
    clock_hold(-1, 1000);
    *state = retry_open();
    return 0;
}

static int scene_close(void **state)
{
    retry_close(*state);
    retry_close(NULL);
    clock_hold(-1, -1);
    return 0;
}

/* ---- a story in steps: put or remove an entry, move the clock, what is due then ---- */

static const struct {
    char put;
    int delay_ms;
    char remove;
    int clock_ms;
    const char *due; /* in this order */
    int next_ms;     /* afterwards */
} steps[] = {
    {.clock_ms = 1000, .due = "", .next_ms = -1},
    {.put = 'a', .delay_ms = 100, .clock_ms = 1000, .due = "", .next_ms = 100},
    {.put = 'b', .delay_ms = 50, .clock_ms = 1000, .due = "", .next_ms = 50},
    {.put = 'c', .delay_ms = 0, .clock_ms = 1000, .due = "c", .next_ms = 50},
    {.clock_ms = 1049, .due = "", .next_ms = 1},
    {.clock_ms = 1050, .due = "b", .next_ms = 50},
    {.put = 'b', .delay_ms = 10, .clock_ms = 1100, .due = "ba", .next_ms = -1},
    {.put = 'a', .delay_ms = 5, .clock_ms = 1100, .due = "", .next_ms = 5},
    {.remove = 'a', .clock_ms = 1200, .due = "", .next_ms = -1},
    {.remove = 'a', .clock_ms = 1200, .due = "", .next_ms = -1},
    {.remove = 'd', .clock_ms = 1200, .due = "", .next_ms = -1},
    {.put = 'a', .delay_ms = 7, .clock_ms = 1200, .due = "", .next_ms = 7},
    {.put = 'd', .delay_ms = 9, .remove = 'a', .clock_ms = 1200, .due = "", .next_ms = 9},
    {.put = 'c', .delay_ms = -50, .clock_ms = 1200, .due = "c", .next_ms = 9},
    {.clock_ms = 999999, .due = "d", .next_ms = -1},
};

static void entries_come_when_due(void **state)
{
    struct retry *retry = *state;
    struct retry_entry entries[4] = {0}, *entry;

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        char due[10] = "";
        size_t count = 0;

        if (steps[i].put)
            retry_put(retry, &entries[steps[i].put - 'a'], steps[i].delay_ms);
        if (steps[i].remove)
            retry_remove(retry, &entries[steps[i].remove - 'a']);
        clock_hold(-1, steps[i].clock_ms);
        while ((entry = retry_take_due(retry)) && count < sizeof(due) - 1)
            due[count++] = (char)('a' + (entry - entries));
        if (strcmp(due, steps[i].due) != 0 || retry_next_ms(retry) != steps[i].next_ms)
            fail_msg("step %zu: due '%s', expected '%s'; next in %" PRId64 " ms, expected %d", i,
                     due, steps[i].due, retry_next_ms(retry), steps[i].next_ms);
    }
}

/* Many, put and removed by chance: each comes once, in the order of its time. */
static void many_keep_their_order(void **state)
{
    struct retry *retry = *state;
    static struct retry_entry entries[ENTRIES];
    struct retry_entry *entry;
    int64_t last_ms = 0;
    size_t waiting = 0, taken = 0;

    memset(entries, 0, sizeof(entries));
    srandom(7);
    for (size_t i = 0; i < ENTRIES * 20; i++) {
        entry = &entries[(size_t)random() % ENTRIES];
        entry->ticket = entry;
        if (entry->waiting)
            retry_remove(retry, entry);
        else
            retry_put(retry, entry, random() % 1000);
    }
    for (size_t i = 0; i < ENTRIES; i++)
        waiting += entries[i].waiting;
    for (int64_t now_ms = 1000; now_ms <= 2000; now_ms += 10) {
        clock_hold(-1, now_ms);
        for (; (entry = retry_take_due(retry)); last_ms = entry->due_ms, taken++)
            if (entry->due_ms > now_ms || entry->due_ms < last_ms || entry->waiting
                || entry->ticket != entry)
                fail_msg("at %" PRId64 ": due %" PRId64 " behind %" PRId64 ", waiting %d", now_ms,
                         entry->due_ms, last_ms, entry->waiting);
    }
    if (taken != waiting || retry_next_ms(retry) != -1)
        fail_msg("%zu waited, %zu were taken", waiting, taken);
}

static void all_can_be_taken(void **state)
{
    struct retry *retry = *state;
    struct retry_entry entries[3] = {0};

    for (size_t i = 0; i < COUNT_OF(entries); i++)
        retry_put(retry, &entries[i], 1000000);
    assert_null(retry_take_due(retry));
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        assert_non_null(retry_take_any(retry));
    assert_null(retry_take_any(retry));
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        assert_false(entries[i].waiting);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(entries_come_when_due),
        CASE(many_keep_their_order),
        CASE(all_can_be_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
