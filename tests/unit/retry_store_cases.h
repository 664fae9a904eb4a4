/*
 * What every retry store must do, told by steps that are taken with two instances on one store, and
 * cases that need more than steps. test_retry_sqlite.c and test_retry_redis.c run all of it.
 */
#pragma once

#include "store/retry_store.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a store's test brings: how its store is opened, and how time passes for it. */
struct retry_scene {
    struct loop *loop;
    struct retry_store *stores[2]; /* two instances */
    void *own;
};

struct retry_store *scene_open_store(struct retry_scene *scene, struct error *err);
void scene_pass(struct retry_scene *scene, int64_t ms);
void scene_clear(struct retry_scene *scene); /* empties the store */

static inline struct retry_store *must_open(struct retry_scene *scene)
{
    struct error err = {0};
    struct retry_store *store = scene_open_store(scene, &err);

    if (!store)
        fail_msg("%s", err.text);
    return store;
}

static inline struct retry_question question_of(enum retry_action action, int id, int64_t delay_ms)
{
    struct retry_question question = {.action = action, .delay_ms = delay_ms};

    memset(question.id, 0xa0, sizeof(question.id));
    question.id[RETRY_ID_SIZE - 1] = (unsigned char)id;
    return question;
}

static inline void wait_for(struct retry_scene *scene, struct retry_store *store,
                            const struct retry_question *question)
{
    struct retry_question *answer;

    while (!(answer = retry_store_take_answer(store)))
        loop_wait(scene->loop);
    assert_ptr_equal(answer, question);
}

static inline void ask(struct retry_scene *scene, struct retry_store *store,
                       struct retry_question *question)
{
    retry_store_ask(store, question);
    retry_store_send(store);
    wait_for(scene, store, question);
    if (!question->done)
        fail_msg("%s", retry_store_failure(store));
}

static inline void keep(struct retry_scene *scene, struct retry_store *store, int id,
                        int64_t delay_ms, const char *body)
{
    struct retry_question question = question_of(RETRY_KEEP, id, delay_ms);

    question.body = body;
    question.body_size = strlen(body);
    ask(scene, store, &question);
}

static inline void drop(struct retry_scene *scene, struct retry_store *store, int id)
{
    struct retry_question question = question_of(RETRY_DROP, id, 0);

    ask(scene, store, &question);
}

struct taken {
    struct retry_question question;
    struct retry_item items[RETRY_TAKE_MAX];
};

static inline void ask_for_items(struct retry_scene *scene, struct retry_store *store,
                                 struct taken *taken)
{
    taken->question.items = taken->items;
    ask(scene, store, &taken->question);
}

static inline void take(struct retry_scene *scene, struct retry_store *store, size_t most,
                        int64_t lease_ms, struct taken *taken)
{
    taken->question = question_of(RETRY_TAKE, 0, lease_ms);
    taken->question.most = most;
    ask_for_items(scene, store, taken);
}

static inline void list(struct retry_scene *scene, struct retry_store *store, int64_t due_after_ms,
                        size_t first, size_t most, struct taken *taken)
{
    taken->question = question_of(RETRY_LIST, 0, 0);
    taken->question.due_after_ms = due_after_ms;
    taken->question.first = first;
    taken->question.most = most;
    ask_for_items(scene, store, taken);
}

static inline void taken_clear(struct taken *taken)
{
    for (size_t i = 0; i < taken->question.item_count; i++)
        free(taken->items[i].body);
    taken->question.item_count = 0;
}

/* The bodies in order, "ab" for two of them. */
static inline void expect_bodies(struct taken *taken, const char *name, size_t step,
                                 const char *bodies)
{
    char got[RETRY_TAKE_MAX + 1] = "";

    for (size_t i = 0; i < taken->question.item_count; i++)
        got[i] = *taken->items[i].body;
    if (strcmp(got, bodies) != 0)
        fail_msg("%s, step %zu: '%s' instead of '%s'", name, step, got, bodies);
    taken_clear(taken);
}

/* Times are far apart, so that the time that a slow machine takes does not matter. */
#define LONG_MS  600000
#define SHORT_MS 50

struct retry_step {
    char who; /* k, h, d, t, l: keep, hide, drop, take, list; capitals: the second instance */
    int id;
    int64_t ms;         /* delay, lease; list: due after */
    const char *bodies; /* keep: its body; take and list: what comes */
    size_t most, first;
    int64_t waiting; /* take and list */
};

#define RETRY_STEPS_MAX 14

static const struct retry_case {
    const char *name;
    struct retry_step steps[RETRY_STEPS_MAX];
} retry_cases[] = {
    {"what is due is taken once, by one instance",
     {
         {'k', 1, 0, "a", 0, 0, 0},
         {'t', 0, LONG_MS, "a", 8, 0, 1},
         {'T', 0, LONG_MS, "", 8, 0, 1},
         {'t', 0, LONG_MS, "", 8, 0, 1},
         {'d', 1, 0, NULL, 0, 0, 0},
         {'T', 0, LONG_MS, "", 8, 0, 0},
     }},
    {"what is not due is not taken",
     {
         {'k', 1, LONG_MS, "a", 0, 0, 0},
         {'T', 0, LONG_MS, "", 8, 0, 1},
         {'h', 1, 0, NULL, 0, 0, 0},
         {'T', 0, LONG_MS, "a", 8, 0, 1},
     }},
    {"hidden records come back when they are due",
     {
         {'k', 1, 0, "a", 0, 0, 0},
         {'t', 0, LONG_MS, "a", 8, 0, 1},
         {'H', 1, -1, NULL, 0, 0, 0},
         {'T', 0, LONG_MS, "a", 8, 0, 1},
         {'h', 1, LONG_MS, NULL, 0, 0, 0},
         {'t', 0, LONG_MS, "", 8, 0, 1},
     }},
    {"what is gone is neither hidden nor dropped",
     {
         {'h', 1, 0, NULL, 0, 0, 0},
         {'t', 0, LONG_MS, "", 8, 0, 0},
         {'d', 1, 0, NULL, 0, 0, 0},
         {'k', 2, 0, "b", 0, 0, 0},
         {'d', 2, 0, NULL, 0, 0, 0},
         {'d', 2, 0, NULL, 0, 0, 0},
         {'h', 2, 0, NULL, 0, 0, 0},
         {'T', 0, LONG_MS, "", 8, 0, 0},
     }},
    {"the same id is the same record",
     {
         {'k', 1, LONG_MS, "a", 0, 0, 0},
         {'K', 1, 0, "b", 0, 0, 0},
         {'t', 0, LONG_MS, "b", 8, 0, 1},
         {'k', 1, LONG_MS, "c", 0, 0, 0},
         {'T', 0, LONG_MS, "", 8, 0, 1},
         {'l', 0, INT64_MIN, "c", 8, 0, 1},
     }},
    {"the longest due comes first, as many as are asked for",
     {
         {'k', 1, -1000, "a", 0, 0, 0},
         {'k', 2, -3000, "b", 0, 0, 0},
         {'K', 3, -2000, "c", 0, 0, 0},
         {'k', 4, LONG_MS, "d", 0, 0, 0},
         {'t', 0, LONG_MS, "bc", 2, 0, 4},
         {'T', 0, LONG_MS, "a", 2, 0, 4},
         {'t', 0, LONG_MS, "", 2, 0, 4},
     }},
    {"a list has all, in the order of their due times, and hides nothing",
     {
         {'k', 1, 3 * LONG_MS, "a", 0, 0, 0},
         {'k', 2, -1000, "b", 0, 0, 0},
         {'k', 3, LONG_MS, "c", 0, 0, 0},
         {'k', 4, 2 * LONG_MS, "d", 0, 0, 0},
         {'l', 0, INT64_MIN, "bcda", 8, 0, 4},
         {'L', 0, INT64_MIN, "bc", 2, 0, 4},
         {'L', 0, INT64_MIN, "da", 2, 2, 4},
         {'L', 0, INT64_MIN, "", 2, 4, 4},
         {'l', 0, 0, "cda", 8, 0, 4},
         {'l', 0, LONG_MS + 1000, "da", 8, 0, 4},
         {'l', 0, INT64_MAX, "", 8, 0, 4},
         {'T', 0, LONG_MS, "b", 8, 0, 4},
     }},
    {"delays without end stay delays",
     {
         {'k', 1, INT64_MAX, "a", 0, 0, 0},
         {'k', 2, INT64_MIN, "b", 0, 0, 0},
         {'t', 0, INT64_MAX, "b", 8, 0, 2},
         {'t', 0, LONG_MS, "", 8, 0, 2},
         {'d', 1, 0, NULL, 0, 0, 0},
         {'T', 0, LONG_MS, "", 8, 0, 1},
     }},
};

static inline void run_retry_step(struct retry_scene *scene, const struct retry_case *which,
                                  size_t number)
{
    const struct retry_step *step = &which->steps[number];
    struct retry_store *store = scene->stores[step->who < 'a'];
    struct taken taken;

    switch (step->who | 0x20) {
    case 'k':
        keep(scene, store, step->id, step->ms, step->bodies);
        return;
    case 'd':
        drop(scene, store, step->id);
        return;
    case 'h':
        taken.question = question_of(RETRY_HIDE, step->id, step->ms);
        ask(scene, store, &taken.question);
        return;
    case 't':
        take(scene, store, step->most, step->ms, &taken);
        break;
    case 'l':
        list(scene, store, step->ms, step->first, step->most, &taken);
        break;
    }
    if (taken.question.waiting != step->waiting)
        fail_msg("%s, step %zu: %lld wait", which->name, number + 1,
                 (long long)taken.question.waiting);
    expect_bodies(&taken, which->name, number + 1, step->bodies);
}

static inline void cases_are_followed(void **state)
{
    struct retry_scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(retry_cases); i++) {
        scene_clear(scene);
        for (size_t k = 0; k < RETRY_STEPS_MAX && retry_cases[i].steps[k].who; k++)
            run_retry_step(scene, &retry_cases[i], k);
    }
}

static inline void a_lease_ends(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 1, 0, "a");
    take(scene, scene->stores[0], 8, SHORT_MS, &taken);
    assert_true(taken.question.next_due_ms > 0 && taken.question.next_due_ms <= SHORT_MS);
    expect_bodies(&taken, "the first", 1, "a");
    scene_pass(scene, SHORT_MS);
    take(scene, scene->stores[1], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.item_count, 1);
    assert_true(taken.items[0].due_in_ms >= 0);
    assert_true(taken.question.next_due_ms > LONG_MS / 2);
    expect_bodies(&taken, "the second", 1, "a");
    drop(scene, scene->stores[1], 1);
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.next_due_ms, -1);
}

static inline void a_list_says_when(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 1, -LONG_MS, "a");
    keep(scene, scene->stores[0], 2, LONG_MS, "b");
    list(scene, scene->stores[1], INT64_MIN, 0, 8, &taken);
    assert_int_equal(taken.question.item_count, 2);
    assert_true(taken.items[0].due_in_ms <= -LONG_MS);
    assert_true(taken.items[1].due_in_ms > LONG_MS / 2 && taken.items[1].due_in_ms <= LONG_MS);
    assert_int_equal(taken.items[1].id[RETRY_ID_SIZE - 1], 2);
    taken_clear(&taken);
}

#define BIG_SIZE (1 << 20)

/* Every byte, and far more than fits into one page, packet or line. */
static inline void bodies_are_bytes(void **state)
{
    struct retry_scene *scene = *state;
    struct retry_question question = question_of(RETRY_KEEP, 0, 0);
    char *big = memory_new(BIG_SIZE);
    struct taken taken;

    for (size_t i = 0; i < BIG_SIZE; i++)
        big[i] = (char)(i + i / 256);
    question.body = big;
    for (size_t i = 0; i < 12; i++) {
        memset(question.id, (int)(17 * i), sizeof(question.id));
        question.delay_ms = -10000 * (int64_t)i;
        question.body_size = BIG_SIZE - i;
        ask(scene, scene->stores[0], &question);
    }
    for (size_t left = 12; left > 0;) {
        take(scene, scene->stores[1], RETRY_TAKE_MAX, LONG_MS, &taken);
        assert_in_range(taken.question.item_count, 1, 10); /* not all of them in memory at once */
        for (size_t i = 0; i < taken.question.item_count; i++) {
            unsigned char id[RETRY_ID_SIZE];

            left--;
            memset(id, (int)(17 * left), sizeof(id));
            assert_memory_equal(taken.items[i].id, id, sizeof(id));
            assert_int_equal(taken.items[i].body_size, BIG_SIZE - left);
            assert_memory_equal(taken.items[i].body, big, BIG_SIZE - left);
        }
        taken_clear(&taken);
    }
    free(big);
}

static inline void a_body_may_be_empty(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 1, 0, "");
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.item_count, 1);
    assert_int_equal(taken.items[0].body_size, 0);
    taken_clear(&taken);
}

static inline void one_send_answers_many(void **state)
{
    struct retry_scene *scene = *state;
    static struct retry_question questions[200];
    struct taken taken;

    for (int i = 0; i < 200; i++) {
        questions[i] = question_of(RETRY_KEEP, i, -10000 * i);
        questions[i].body = "x";
        questions[i].body_size = 1;
        retry_store_ask(scene->stores[0], &questions[i]);
        if (i == 99)
            retry_store_send(scene->stores[0]);
    }
    assert_null(retry_store_take_answer(scene->stores[0]));
    retry_store_send(scene->stores[0]);
    for (int i = 0; i < 200; i++) {
        wait_for(scene, scene->stores[0], &questions[i]);
        assert_true(questions[i].done);
    }
    assert_null(retry_store_failure(scene->stores[0]));
    take(scene, scene->stores[1], RETRY_TAKE_MAX, LONG_MS, &taken);
    assert_int_equal(taken.question.waiting, 200);
    assert_int_equal(taken.question.item_count, RETRY_TAKE_MAX);
    assert_int_equal(taken.items[0].id[RETRY_ID_SIZE - 1], 199);
    taken_clear(&taken);
}

static inline void close_does_what_was_sent(void **state)
{
    struct retry_scene *scene = *state;
    struct retry_question questions[2] = {question_of(RETRY_KEEP, 1, 0),
                                          question_of(RETRY_KEEP, 2, 0)};
    struct taken taken;

    questions[0].body = questions[1].body = "abc";
    questions[0].body_size = questions[1].body_size = 3;
    drop(scene, scene->stores[0], 1); /* it is connected */
    retry_store_ask(scene->stores[0], &questions[0]);
    retry_store_send(scene->stores[0]);
    retry_store_ask(scene->stores[0], &questions[1]); /* not sent */
    retry_store_close(scene->stores[0]);
    scene->stores[0] = NULL;
    take(scene, scene->stores[1], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.item_count, 1);
    assert_int_equal(taken.items[0].id[RETRY_ID_SIZE - 1], 1);
    taken_clear(&taken);
}

/* In a child, which is killed when it has taken the record and said so. */
static inline void take_and_hang(struct retry_scene *scene, int fd)
{
    struct taken taken;

    scene->loop = loop_open();
    scene->stores[0] = must_open(scene);
    keep(scene, scene->stores[0], 1, 0, "a");
    take(scene, scene->stores[0], 8, SHORT_MS, &taken);
    if (taken.question.item_count != 1 || write(fd, "t", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* Before any loop is open: threads do not survive a fork. */
static inline void kill_a_taker(struct retry_scene *scene)
{
    int ends[2], status;
    char byte;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0)
        take_and_hang(scene, ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static inline void a_killed_instance_loses_nothing(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    kill_a_taker(scene);
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene);
    scene_pass(scene, SHORT_MS);
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.waiting, 1);
    expect_bodies(&taken, "after the kill", 1, "a");
}

/* open_two and close_scene are the store's test's own; open_none leaves loop and stores closed. */
#define RETRY_STORE_TESTS(open_two, open_none, close_scene)                                        \
    cmocka_unit_test_setup_teardown(cases_are_followed, open_two, close_scene),                    \
        cmocka_unit_test_setup_teardown(a_lease_ends, open_two, close_scene),                      \
        cmocka_unit_test_setup_teardown(a_list_says_when, open_two, close_scene),                  \
        cmocka_unit_test_setup_teardown(bodies_are_bytes, open_two, close_scene),                  \
        cmocka_unit_test_setup_teardown(a_body_may_be_empty, open_two, close_scene),               \
        cmocka_unit_test_setup_teardown(one_send_answers_many, open_two, close_scene),             \
        cmocka_unit_test_setup_teardown(close_does_what_was_sent, open_two, close_scene),          \
        cmocka_unit_test_setup_teardown(a_killed_instance_loses_nothing, open_none, close_scene)
