/* Hosts: whose turn it is, and when one is left alone, on a clock that stands still. */
#include "stages/hosts.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ACTIVE_MAX 2

struct waiter {
    struct list_link link;
    struct host *host;
    char name;
};

static int scene_open(void **state)
{
    clock_hold(-1, 100000);
    *state = hosts_open(ACTIVE_MAX);
    return 0;
}

static int scene_close(void **state)
{
    while (hosts_take_any(*state)) {
    }
    hosts_close(*state);
    hosts_close(NULL);
    clock_hold(-1, -1);
    return 0;
}

static void pass(int64_t ms)
{
    clock_hold(-1, clock_now_ms() + ms);
}

static bool come(struct hosts *hosts, struct waiter *waiter, const char *url)
{
    waiter->host = hosts_get(hosts, url);
    return host_wait(waiter->host, &waiter->link);
}

static struct waiter *take_turn(struct hosts *hosts)
{
    struct list_link *link = hosts_take_turn(hosts);

    return link ? LIST_ITEM(link, struct waiter, link) : NULL;
}

/* One transfer from beginning to end; how many that waited were turned away. */
static int fetch(struct hosts *hosts, const char *url, enum host_news news, int64_t rest_ms)
{
    struct waiter waiter = {0};
    struct list turned_away;
    int count = 0;

    assert_true(come(hosts, &waiter, url));
    assert_ptr_equal(take_turn(hosts), &waiter);
    list_init(&turned_away);
    host_done(waiter.host, news, rest_ms, &turned_away);
    while (list_take_first(&turned_away))
        count++;
    return count;
}

static void hosts_take_turns(void **state)
{
    static const char *const urls[] = {"http://a/1", "http://a/2", "http://a:80/3",
                                       "http://b/4", "http://a/5", "http://b?6"};
    struct waiter waiters[COUNT_OF(urls)] = {0}, *next;
    struct list turned_away;
    char order[8] = "";
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        waiters[i].name = (char)('1' + (int)i);
        assert_true(come(*state, &waiters[i], urls[i]));
    }
    while ((next = take_turn(*state)))
        order[count++] = next->name;
    assert_string_equal(order, "13426");
    list_init(&turned_away);
    host_done(waiters[0].host, HOST_WELL, -1, &turned_away);
    assert_ptr_equal(take_turn(*state), &waiters[4]);
}

static void trouble_in_a_row_pauses(void **state)
{
    const char *url = "http://a/x";

    assert_int_equal(fetch(*state, url, HOST_TROUBLE, -1), 0);
    assert_int_equal(fetch(*state, url, HOST_TROUBLE, -1), 0);
    assert_int_equal(fetch(*state, url, HOST_WELL, -1), 0);
    assert_int_equal(fetch(*state, url, HOST_TROUBLE, -1), 0);
    assert_int_equal(fetch(*state, url, HOST_TROUBLE, -1), 0);
    assert_int_equal(hosts_pause_ms(*state, url), 0);
    fetch(*state, url, HOST_TROUBLE, -1);
    assert_in_range(hosts_pause_ms(*state, "http://a/other"), 750, 1000);
    assert_int_equal(hosts_pause_ms(*state, "http://b/x"), 0);
}

static void a_paused_host_turns_away(void **state)
{
    struct waiter waiters[5] = {0};
    struct list turned_away;

    for (size_t i = 0; i < COUNT_OF(waiters); i++)
        assert_true(come(*state, &waiters[i], "http://a/x"));
    assert_non_null(take_turn(*state));
    assert_non_null(take_turn(*state));
    assert_null(take_turn(*state));
    list_init(&turned_away);
    host_done(waiters[0].host, HOST_TROUBLE, 5000, &turned_away);
    assert_int_equal(hosts_pause_ms(*state, "http://a/x"), 5000);
    for (size_t i = 2; i < COUNT_OF(waiters); i++)
        assert_ptr_equal(list_take_first(&turned_away), &waiters[i].link);
    assert_true(list_is_empty(&turned_away));
    host_done(waiters[1].host, HOST_WELL, -1, &turned_away);
    assert_false(come(*state, &waiters[2], "http://a/x"));
}

static void one_tries_whether_it_is_well_again(void **state)
{
    struct waiter waiters[3] = {0};
    struct list turned_away;
    int64_t first_ms;

    for (int i = 0; i < 3; i++)
        fetch(*state, "http://a/x", HOST_TROUBLE, -1);
    first_ms = hosts_pause_ms(*state, "http://a/x");
    pass(first_ms);
    for (size_t i = 0; i < COUNT_OF(waiters); i++)
        assert_true(come(*state, &waiters[i], "http://a/x"));
    assert_ptr_equal(take_turn(*state), &waiters[0]);
    assert_null(take_turn(*state));
    list_init(&turned_away);
    host_done(waiters[0].host, HOST_TROUBLE, -1, &turned_away);
    assert_in_range(hosts_pause_ms(*state, "http://a/x"), 1500, 2000);
    pass(2000);
    list_init(&turned_away);
    for (size_t i = 0; i < COUNT_OF(waiters); i++) {
        waiters[i] = (struct waiter){0};
        assert_true(come(*state, &waiters[i], "http://a/x"));
    }
    assert_ptr_equal(take_turn(*state), &waiters[0]);
    host_done(waiters[0].host, HOST_WELL, -1, &turned_away);
    assert_ptr_equal(take_turn(*state), &waiters[1]);
    assert_ptr_equal(take_turn(*state), &waiters[2]);
}

/* A server cannot silence us for as long as it likes, nor fill our memory with names. */
static void what_servers_ask_for_has_bounds(void **state)
{
    char url[40];

    fetch(*state, "http://a/x", HOST_TROUBLE, 1000000000);
    assert_int_equal(hosts_pause_ms(*state, "http://a/x"), 3600000);
    for (int i = 0; i < 10000; i++) {
        snprintf(url, sizeof(url), "http://host%d/x", i);
        fetch(*state, url, HOST_TROUBLE, 60000);
    }
    assert_int_equal(hosts_pause_ms(*state, "http://a/x"), 0);
    assert_int_equal(hosts_pause_ms(*state, url), 60000);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

/* ---- crowds ---- */

static bool always(const struct list_link *waiting)
{
    return waiting != NULL;
}

static int disperse(struct hosts *hosts)
{
    struct list turned_away;
    int count = 0;

    list_init(&turned_away);
    hosts_disperse(hosts, always, &turned_away);
    while (list_take_first(&turned_away))
        count++;
    return count;
}

static void done(struct waiter *waiter, enum host_news news)
{
    struct list turned_away;

    list_init(&turned_away);
    host_done(waiter->host, news, -1, &turned_away);
    assert_true(list_is_empty(&turned_away));
}

/* Only those behind the active ones go, and one that ends well lets others come again. */
static void crowds_are_dispersed(void **state)
{
    struct hosts *hosts = *state;
    struct waiter waiters[5] = {0}, good = {0};

    for (int i = 0; i < 4; i++)
        assert_true(come(hosts, &waiters[i], "http://slow/x"));
    assert_int_equal(disperse(hosts), 0); /* they have not been given a turn yet */
    for (int i = 0; i < ACTIVE_MAX; i++)
        assert_ptr_equal(take_turn(hosts), &waiters[i]);
    assert_true(come(hosts, &good, "http://good/x"));
    assert_int_equal(disperse(hosts), 2);
    assert_true(hosts_pause_ms(hosts, "http://slow/y") > 0);
    assert_false(come(hosts, &waiters[4], "http://slow/y"));
    assert_ptr_equal(take_turn(hosts), &good);
    done(&good, HOST_WELL);
    done(&waiters[0], HOST_WELL);
    assert_true(come(hosts, &waiters[4], "http://slow/y"));
    assert_ptr_equal(take_turn(hosts), &waiters[4]);
    done(&waiters[4], HOST_WELL);
    done(&waiters[1], HOST_WELL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hosts_take_turns),
        CASE(trouble_in_a_row_pauses),
        CASE(a_paused_host_turns_away),
        CASE(one_tries_whether_it_is_well_again),
        CASE(what_servers_ask_for_has_bounds),
        CASE(crowds_are_dispersed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
