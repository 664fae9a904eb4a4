/*
 * What is kept for another try: who asks the store for what, and when. The store is the embedded
 * one, shared by two instances, on a clock that stands still until it is moved.
 */
#include "stages/retry.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define T0       1735790592751000000
#define LEASE_MS 30000
#define WORK_MAX 3

struct scene {
    struct loop *loop;
    char directory[40], path[64];
    struct retry_store *stores[2];
    struct retry *stages[2]; /* two instances */
    struct retry_hold holds[6];
};

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));
    struct retry_settings settings = {.lease_ms = LEASE_MS, .work_max = WORK_MAX};
    struct error err = {0};

    snprintf(scene->directory, sizeof(scene->directory), "/tmp/test_retry.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    snprintf(scene->path, sizeof(scene->path), "%s/store.sqlite", scene->directory);
    clock_hold(T0, 100000);
    scene->loop = loop_open();
    for (int i = 0; i < 2; i++) {
        scene->stores[i] = retry_store_open_sqlite(scene->loop, scene->path, &err);
        if (!scene->stores[i])
            fail_msg("%s", err.text);
        scene->stages[i] = retry_open(scene->stores[i], &settings);
    }
    for (size_t i = 0; i < COUNT_OF(scene->holds); i++)
        scene->holds[i].ticket = scene;
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    static const char *const suffixes[] = {"", "-wal", "-shm"};

    for (int i = 0; i < 2; i++) {
        retry_store_close(scene->stores[i]);
        retry_close(scene->stages[i]);
    }
    retry_close(NULL);
    for (size_t i = 0; i < COUNT_OF(scene->holds); i++)
        free(scene->holds[i].body);
    loop_close(scene->loop);
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char *path = memory_format("%s%s", scene->path, suffixes[i]);

        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(scene->directory), 0);
    free(scene);
    clock_hold(-1, -1);
    return 0;
}

static void pass(int64_t ms)
{
    clock_hold(clock_wall_ns() + ms * NS_PER_MS, clock_now_ms() + ms);
}

static void id_of(char name, unsigned char id[RETRY_ID_SIZE])
{
    memset(id, name, RETRY_ID_SIZE);
}

static void keep(struct scene *scene, int stage, int hold, char name, int64_t delay_ms,
                 bool hold_on)
{
    unsigned char id[RETRY_ID_SIZE];

    id_of(name, id);
    retry_keep(scene->stages[stage], &scene->holds[hold], id, memory_format("body of %c", name),
               delay_ms, hold_on);
}

static void expect_answer(struct scene *scene, int stage, int hold, enum retry_verdict verdict)
{
    struct retry_hold *answered;

    retry_send(scene->stages[stage]);
    while (!(answered = retry_take_answer(scene->stages[stage])))
        loop_wait(scene->loop);
    assert_ptr_equal(answered, &scene->holds[hold]);
    assert_int_equal(answered->verdict, verdict);
    assert_false(answered->busy);
}

/* Lets an instance look once, and takes what it finds: "ab". */
static void expect_due(struct scene *scene, int stage, const char *expected)
{
    struct retry *retry = scene->stages[stage];
    struct retry_item item;
    char found[8] = "";
    size_t count = 0;

    retry_send(retry);
    retry_store_send(scene->stores[stage]);
    for (int turns = 0; turns < 3; turns++) { /* what is under way is one piece of work */
        struct retry_hold probe = {0};
        unsigned char id[RETRY_ID_SIZE] = {0};

        retry_keep(retry, &probe, id, memory_copy("probe"), INT32_MAX, false);
        retry_send(retry);
        while (retry_take_answer(retry) != &probe)
            loop_wait(scene->loop);
        retry_drop(retry, &probe);
        retry_send(retry);
        while (retry_take_answer(retry) != &probe)
            loop_wait(scene->loop);
    }
    while (retry_take_due(retry, &item)) {
        found[count++] = (char)item.id[0];
        assert_int_equal(item.body_size, strlen("body of x"));
        assert_int_equal(item.body[item.body_size - 1], item.id[0]);
        free(item.body);
    }
    assert_string_equal(found, expected);
}

static void adopt(struct scene *scene, int stage, int hold, char name)
{
    unsigned char id[RETRY_ID_SIZE];

    id_of(name, id);
    retry_adopt(scene->stages[stage], &scene->holds[hold], id);
}

static void records_come_back_when_due(void **state)
{
    struct scene *scene = *state;

    keep(scene, 0, 0, 'a', 5000, false);
    expect_answer(scene, 0, 0, RETRY_KEPT);
    assert_false(scene->holds[0].held);
    pass(4999);
    expect_due(scene, 0, "");
    expect_due(scene, 1, "");
    pass(1000);
    expect_due(scene, 1, "a");
    adopt(scene, 1, 1, 'a');
    pass(1000);
    expect_due(scene, 0, ""); /* hidden while the other works on it */
    retry_drop(scene->stages[1], &scene->holds[1]);
    expect_answer(scene, 1, 1, RETRY_SETTLED);
    pass(LEASE_MS * 2);
    expect_due(scene, 0, "");
    assert_int_equal(retry_waiting(scene->stages[0]), 0);
}

static void leases_are_renewed_while_held(void **state)
{
    struct scene *scene = *state;

    keep(scene, 0, 0, 'a', 0, true);
    expect_answer(scene, 0, 0, RETRY_KEPT);
    assert_true(scene->holds[0].held);
    for (int i = 0; i < 12; i++) {
        pass(LEASE_MS / 3);
        expect_due(scene, 0, "");
        expect_due(scene, 1, "");
    }
    pass(LEASE_MS); /* as long as nobody renews it, as when its instance died */
    expect_due(scene, 1, "a");
}

static void letting_go_makes_it_due(void **state)
{
    struct scene *scene = *state;

    keep(scene, 0, 0, 'a', 0, true);
    expect_answer(scene, 0, 0, RETRY_KEPT);
    retry_let_go(scene->stages[0], &scene->holds[0], 0);
    expect_answer(scene, 0, 0, RETRY_SETTLED);
    assert_false(scene->holds[0].held);
    pass(1000);
    expect_due(scene, 1, "a");
}

/* What is wanted while a question is under way goes out afterwards; one answer is given. */
static void questions_wait_for_each_other(void **state)
{
    struct scene *scene = *state;

    keep(scene, 0, 0, 'a', 0, true);
    retry_send(scene->stages[0]);
    retry_drop(scene->stages[0], &scene->holds[0]);
    assert_true(scene->holds[0].busy);
    while (!retry_take_answer(scene->stages[0])) {
        loop_wait(scene->loop);
        retry_send(scene->stages[0]);
    }
    assert_int_equal(scene->holds[0].verdict, RETRY_SETTLED);
    assert_null(retry_take_answer(scene->stages[0]));
    pass(LEASE_MS * 2);
    expect_due(scene, 1, "");
}

static void no_more_is_taken_than_can_be_worked_on(void **state)
{
    struct scene *scene = *state;

    for (int i = 0; i < 5; i++) {
        keep(scene, 0, i, (char)('a' + i), 500 + i, false);
        expect_answer(scene, 0, i, RETRY_KEPT);
    }
    pass(1000);
    expect_due(scene, 1, "abc");
    for (int i = 0; i < WORK_MAX; i++)
        adopt(scene, 1, i, (char)('a' + i));
    pass(1000);
    expect_due(scene, 1, "");
    retry_drop(scene->stages[1], &scene->holds[0]);
    expect_answer(scene, 1, 0, RETRY_SETTLED);
    pass(1000);
    expect_due(scene, 1, "d");
    retry_pause(scene->stages[0], true);
    pass(1000);
    expect_due(scene, 0, "");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(records_come_back_when_due),
        CASE(leases_are_renewed_while_held),
        CASE(letting_go_makes_it_due),
        CASE(questions_wait_for_each_other),
        CASE(no_more_is_taken_than_can_be_worked_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
