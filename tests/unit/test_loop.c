/* The loop: what becomes ready is told, what is closed is not told of again. */
#include "base/loop.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 10000

struct scene {
    struct loop *loop;
    struct loop_timer *guard; /* so that no wait is for ever */
    bool overdue;
};

static void note_overdue(void *context)
{
    struct scene *scene = context;

    scene->overdue = true;
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    scene->loop = loop_open();
    scene->guard = loop_timer_open(scene->loop, note_overdue, scene);
    loop_timer_set(scene->guard, DEADLINE_MS);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    loop_timer_close(scene->guard);
    loop_close(scene->loop);
    loop_close(NULL);
    assert_false(loop_left_work());
    free(scene);
    return 0;
}

static void wait_for(struct scene *scene, const int *count, int wanted, const char *what)
{
    while (*count < wanted && !scene->overdue)
        loop_wait(scene->loop);
    if (*count < wanted)
        fail_msg("%s: %d of %d within %d ms", what, *count, wanted, DEADLINE_MS);
}

/* Turns that do not wait: whatever is ready now is told of. */
static void look(struct scene *scene)
{
    for (int i = 0; i < 3; i++) {
        loop_again(scene->loop);
        loop_wait(scene->loop);
    }
}

static void count_up(void *context)
{
    ++*(int *)context;
}

/* ---- timers ---- */

struct alarm {
    struct loop_timer *timer;
    int rings, order;
    bool closes, sets_again;
};

static int rung;

static void ring(void *context)
{
    struct alarm *alarm = context;

    alarm->rings++;
    alarm->order = ++rung;
    if (alarm->sets_again && alarm->rings < 3)
        loop_timer_set(alarm->timer, 1);
    if (alarm->closes)
        loop_timer_close(alarm->timer);
}

static void timers_ring_once(void **state)
{
    struct scene *scene = *state;
    struct alarm alarms[6] = {[3].closes = true, [4].sets_again = true};
    static const int delays_ms[] = {30, 5, 0, 1, 1, 10};

    rung = 0;
    for (size_t i = 0; i < COUNT_OF(alarms); i++) {
        alarms[i].timer = loop_timer_open(scene->loop, ring, &alarms[i]);
        loop_timer_set(alarms[i].timer, delays_ms[i]);
    }
    loop_timer_set(alarms[1].timer, 40); /* moves it behind the first */
    loop_timer_stop(alarms[5].timer);
    wait_for(scene, &alarms[1].rings, 1, "the last timer");
    look(scene);
    for (size_t i = 0; i < COUNT_OF(alarms); i++)
        if (alarms[i].rings != (i == 4 ? 3 : i == 5 ? 0 : 1))
            fail_msg("timer %zu rang %d times", i, alarms[i].rings);
    if (alarms[1].order < alarms[0].order || alarms[0].order < alarms[2].order)
        fail_msg("the order was %d %d %d", alarms[0].order, alarms[1].order, alarms[2].order);
    loop_timer_set(alarms[0].timer, -5); /* at once */
    look(scene);
    assert_int_equal(alarms[0].rings, 2);
    for (size_t i = 0; i < COUNT_OF(alarms); i++)
        if (!alarms[i].closes)
            loop_timer_close(alarms[i].timer);
    loop_timer_close(NULL);
}

static void again_does_not_wait(void **state)
{
    struct scene *scene = *state;

    for (int i = 0; i < 100; i++) {
        loop_again(scene->loop);
        loop_wait(scene->loop);
    }
    assert_false(scene->overdue);
}

/* ---- descriptors ---- */

struct seen {
    struct loop_watch *watch;
    int fd, calls, events;
    bool closes;
};

static void note_events(void *context, int fd, int events)
{
    struct seen *seen = context;

    seen->calls++;
    seen->events |= events;
    if (fd != seen->fd)
        fail_msg("told of descriptor %d instead of %d", fd, seen->fd);
    if (seen->closes)
        loop_watch_close(seen->watch);
}

static const struct {
    const char *what;
    int watched;
    bool bytes, closed; /* what the other end did */
    int told;
} events[] = {
    {"idle, readable", LOOP_READABLE, false, false, 0},
    {"idle, writable", LOOP_WRITABLE, false, false, LOOP_WRITABLE},
    {"idle, both", LOOP_READABLE | LOOP_WRITABLE, false, false, LOOP_WRITABLE},
    {"bytes, readable", LOOP_READABLE, true, false, LOOP_READABLE},
    {"bytes, both", LOOP_READABLE | LOOP_WRITABLE, true, false, LOOP_READABLE | LOOP_WRITABLE},
    {"bytes, none", 0, true, false, 0},
    {"closed, readable", LOOP_READABLE, false, true, LOOP_READABLE},
    {"closed, none", 0, false, true, 0},
};

static void descriptors_are_watched(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(events); i++) {
        int fds[2];
        struct seen seen = {0};

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        seen.fd = fds[0];
        seen.watch = loop_watch_open(scene->loop, fds[0], note_events, &seen);
        loop_watch_set(seen.watch, events[i].watched);
        if (events[i].bytes)
            assert_int_equal(write(fds[1], "x", 1), 1);
        if (events[i].closed)
            shutdown(fds[1], SHUT_RDWR);
        look(scene);
        if (seen.events != events[i].told)
            fail_msg("%s: told %d, expected %d", events[i].what, seen.events, events[i].told);
        loop_watch_set(seen.watch, 0);
        seen.calls = 0;
        look(scene);
        if (seen.calls)
            fail_msg("%s: told of what is not watched any more", events[i].what);
        loop_watch_close(seen.watch);
        close(fds[0]);
        close(fds[1]);
    }
    loop_watch_close(NULL);
}

/* Two that are ready in the same turn; the first that is told closes itself. */
static void a_closed_watch_is_silent(void **state)
{
    struct scene *scene = *state;
    struct seen seen[2] = {{.closes = true}, {.closes = true}};
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        seen[i].fd = fds[i];
        seen[i].watch = loop_watch_open(scene->loop, fds[i], note_events, &seen[i]);
        loop_watch_set(seen[i].watch, LOOP_WRITABLE);
    }
    look(scene);
    assert_int_equal(seen[0].calls, 1);
    assert_int_equal(seen[1].calls, 1);
    close(fds[0]);
    close(fds[1]);
}

/* ---- signals ---- */

static int signals_seen[2];

static void note_signal(void *context, int number)
{
    ++*(int *)context;
    if (number != SIGUSR1 && number != SIGUSR2)
        fail_msg("signal %d", number);
}

static void signals_are_told(void **state)
{
    struct scene *scene = *state;

    loop_on_signal(scene->loop, SIGUSR1, note_signal, &signals_seen[0]);
    loop_on_signal(scene->loop, SIGUSR2, note_signal, &signals_seen[1]);
    raise(SIGUSR1);
    wait_for(scene, &signals_seen[0], 1, "the first signal");
    raise(SIGUSR2);
    wait_for(scene, &signals_seen[1], 1, "the second signal");
    assert_int_equal(signals_seen[0], 1);
}

/* ---- work ---- */

struct work {
    _Atomic int worked;
    int *done;
};

static void do_work(void *context)
{
    struct work *work = context;

    usleep(200);
    work->worked++;
}

static void note_done(void *context)
{
    struct work *work = context;

    if (work->worked != 1)
        fail_msg("done after %d pieces of work", work->worked);
    ++*work->done;
}

static void work_is_done_in_the_pool(void **state)
{
    struct scene *scene = *state;
    struct work work[200] = {0};
    int done = 0;

    for (size_t i = 0; i < COUNT_OF(work); i++) {
        work[i].done = &done;
        loop_work(scene->loop, do_work, note_done, &work[i]);
    }
    wait_for(scene, &done, COUNT_OF(work), "work in the pool");
}

/* Closing the loop waits for what is under way. */
static void close_lets_work_end(void **state)
{
    struct loop *loop = loop_open();
    struct loop_timer *timer = loop_timer_open(loop, count_up, NULL);
    struct work work[20] = {0};
    int done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(work); i++) {
        work[i].done = &done;
        loop_work(loop, do_work, note_done, &work[i]);
    }
    loop_timer_set(timer, 1000000);
    loop_timer_close(timer);
    loop_close(loop);
    assert_int_equal(done, COUNT_OF(work));
    assert_false(loop_left_work());
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(timers_ring_once),
        CASE(again_does_not_wait),
        CASE(descriptors_are_watched),
        CASE(a_closed_watch_is_silent),
        CASE(signals_are_told),
        CASE(work_is_done_in_the_pool),
        CASE(close_lets_work_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
