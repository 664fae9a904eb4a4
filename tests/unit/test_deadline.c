/* Deadlines on a clock that stands still until it is moved. */
#include "base/deadline.h"

#include "base/clock.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINES 500

static int scene_open(void **state)
{
    clock_hold(-1, 1000);
    *state = deadlines_open();
    return 0;
}

static int scene_close(void **state)
{
    deadlines_close(*state);
    deadlines_close(NULL);
    clock_hold(-1, -1);
    return 0;
}

/* ---- a story in steps: put or remove a deadline, move the clock, what is due then ---- */

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

static void deadlines_come_when_due(void **state)
{
    struct deadlines *deadlines = *state;
    struct deadline entries[4] = {0}, *deadline;

    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        char due[10] = "";
        size_t count = 0;

        if (steps[i].put)
            deadline_set(deadlines, &entries[steps[i].put - 'a'], steps[i].delay_ms);
        if (steps[i].remove)
            deadline_clear(deadlines, &entries[steps[i].remove - 'a']);
        clock_hold(-1, steps[i].clock_ms);
        while ((deadline = deadlines_take_due(deadlines)) && count < sizeof(due) - 1)
            due[count++] = (char)('a' + (deadline - entries));
        if (strcmp(due, steps[i].due) != 0 || deadlines_next_ms(deadlines) != steps[i].next_ms)
            fail_msg("step %zu: due '%s', expected '%s'; next in %" PRId64 " ms, expected %d", i,
                     due, steps[i].due, deadlines_next_ms(deadlines), steps[i].next_ms);
    }
}

/* Many, put and removed by chance: each comes once, in the order of its time. */
static void many_keep_their_order(void **state)
{
    struct deadlines *deadlines = *state;
    static struct deadline entries[DEADLINES];
    struct deadline *deadline;
    int64_t last_ms = 0;
    size_t waiting = 0, taken = 0;

    memset(entries, 0, sizeof(entries));
    srandom(7);
    for (size_t i = 0; i < DEADLINES * 20; i++) {
        deadline = &entries[(size_t)random() % DEADLINES];
        deadline->ticket = deadline;
        if (deadline->waiting)
            deadline_clear(deadlines, deadline);
        else
            deadline_set(deadlines, deadline, random() % 1000);
    }
    for (size_t i = 0; i < DEADLINES; i++)
        waiting += entries[i].waiting;
    for (int64_t now_ms = 1000; now_ms <= 2000; now_ms += 10) {
        clock_hold(-1, now_ms);
        for (; (deadline = deadlines_take_due(deadlines)); last_ms = deadline->due_ms, taken++)
            if (deadline->due_ms > now_ms || deadline->due_ms < last_ms || deadline->waiting
                || deadline->ticket != deadline)
                fail_msg("at %" PRId64 ": due %" PRId64 " behind %" PRId64 ", waiting %d", now_ms,
                         deadline->due_ms, last_ms, deadline->waiting);
    }
    if (taken != waiting || deadlines_next_ms(deadlines) != -1)
        fail_msg("%zu waited, %zu were taken", waiting, taken);
}

static void all_can_be_taken(void **state)
{
    struct deadlines *deadlines = *state;
    struct deadline entries[3] = {0};

    for (size_t i = 0; i < COUNT_OF(entries); i++)
        deadline_set(deadlines, &entries[i], 1000000);
    assert_null(deadlines_take_due(deadlines));
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        assert_non_null(deadlines_take_any(deadlines));
    assert_null(deadlines_take_any(deadlines));
    for (size_t i = 0; i < COUNT_OF(entries); i++)
        assert_false(entries[i].waiting);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(deadlines_come_when_due),
        CASE(many_keep_their_order),
        CASE(all_can_be_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
