/*
 * The store in Redis, against real servers: the claim protocol between two instances, what sr3
 * finds there and leaves there, and what breaks.
 */
#include "store_protocol.h"

#include "base/clock.h"
#include "base/log.h"
#include "stages/dedupe.h"
#include "store/redis_link.h"

#include "redis_server.h"

#include <inttypes.h>

#define BASE        "sr3.nodupe.subscribe.subscribe/dd_all"
#define DEADLINE_MS 20000
#define WITHIN_MS   8000 /* so late may an answer about a remaining life come */
#define MANY        10000
#define ZEROS       "00000000000000000000000000000000"
#define ONES        "01000000010101010101010101010101" /* of question_of(..., 1, ...) */
#define PLACE_ONE   "01010101010101010101010101010101"

struct scene {
    struct redis_server server;
    struct loop *loop;
    struct store *stores[2]; /* two instances */
};

static struct store *open_store(struct scene *scene, int64_t nodupe_ttl_ms, int64_t timeout_ms)
{
    struct store_settings settings = {
        .lease_ms = LEASE_MS, .nodupe_ttl_ms = nodupe_ttl_ms, .latest_ttl_ms = LATEST_MS};
    char *text = memory_format("unix://%s", scene->server.socket);
    struct url url = redis_url_of(text);
    struct redis_settings redis = {
        .url = &url, .connect_timeout_ms = 5000, .command_timeout_ms = timeout_ms};
    struct error err = {0};
    struct store *store = store_open_redis(scene->loop, &redis, BASE, &settings, &err);

    if (!store)
        fail_msg("%s", err.text);
    url_clear(&url);
    free(text);
    return store;
}

static void set_mark(void *context)
{
    *(bool *)context = true;
}

/* Turns the loop until the store has an answer (`answer`), or no failure. */
static void turn_until(struct scene *scene, struct store *store, struct store_question **answer)
{
    bool late = false;
    struct loop_timer *deadline = loop_timer_open(scene->loop, set_mark, &late);

    loop_timer_set(deadline, DEADLINE_MS);
    while (!late && (answer ? !(*answer = store_take_answer(store)) : !!store_failure(store)))
        loop_wait(scene->loop);
    loop_timer_close(deadline);
    if (late)
        fail_msg("waited too long; failure '%s'", store_failure(store));
}

static void open_two(struct scene *scene, int64_t nodupe_ttl_ms)
{
    for (int i = 0; i < 2; i++) {
        scene->stores[i] = open_store(scene, nodupe_ttl_ms, 5000);
        turn_until(scene, scene->stores[i], NULL);
    }
}

static void close_two(struct scene *scene)
{
    for (int i = 0; i < 2; i++) {
        store_close(scene->stores[i]);
        scene->stores[i] = NULL;
    }
}

static int server_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    redis_server_start(&scene->server);
    scene->loop = loop_open();
    *state = scene;
    return 0;
}

static int two_open(void **state)
{
    server_open(state);
    open_two(*state, NODUPE_MS);
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    close_two(scene);
    loop_close(scene->loop);
    redis_server_end(&scene->server);
    free(scene);
    clock_hold(-1, -1);
    return 0;
}

static void wait_for(struct scene *scene, struct store *store, struct store_question *question)
{
    struct store_question *answer = NULL;

    turn_until(scene, store, &answer);
    assert_ptr_equal(answer, question);
}

static enum store_verdict ask(struct scene *scene, struct store *store,
                              struct store_question *question)
{
    store_ask(store, question);
    assert_null(store_take_answer(store));
    store_send(store);
    wait_for(scene, store, question);
    return question->verdict;
}

static enum store_verdict ask_one(struct scene *scene, size_t store, enum store_action action,
                                  char owner, int key)
{
    struct store_question question = question_of(action, owner, key, key, T0);

    return ask(scene, scene->stores[store], &question);
}

/* ---- the protocol ---- */

static void run_step(struct scene *scene, const char *name, size_t number, const struct step *step)
{
    struct store *store = scene->stores[step->owner < 'a'];
    struct store_question question = question_of(step->action, step->owner, step->key, step->place,
                                                 T0 + step->pub_ms * NS_PER_MS);

    if (step->pass_ms)
        redis_server_pass(&scene->server, step->pass_ms);
    ask(scene, store, &question);
    if (question.verdict != step->verdict || question.busy_ms > step->busy_ms
        || question.busy_ms + WITHIN_MS < step->busy_ms || (step->busy_ms && question.busy_ms < 1))
        fail_msg("%s, step %zu: got %s, %lld ms (%s)", name, number + 1,
                 verdict_names[question.verdict], (long long)question.busy_ms,
                 store_failure(store) ? store_failure(store) : "no failure");
}

static void scripts_are_followed(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        open_two(scene, scripts[i].nodupe_ttl_ms);
        for (size_t k = 0; k < STEPS_MAX && scripts[i].steps[k].owner; k++)
            run_step(scene, scripts[i].name, k, &scripts[i].steps[k]);
        close_two(scene);
        if (!scripts[i].nodupe_ttl_ms)
            redis_server_expect(&scene->server, "0 elements", "KEYS %s", BASE ":*");
        redis_server_expect(&scene->server, "OK", "FLUSHALL");
    }
}

static void a_claim_without_end_gets_one(void **state)
{
    struct scene *scene = *state;
    struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0);
    const char *key = BASE ".place:" PLACE_ONE;

    redis_server_expect(&scene->server, "OK", "SET %s somebody", key);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_BUSY);
    assert_int_equal(question.busy_ms, LEASE_MS);
    redis_server_pass(&scene->server, LEASE_MS);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
}

static enum store_verdict place(struct scene *scene, struct store_question *question)
{
    if (ask(scene, scene->stores[0], question) != STORE_CLAIMED)
        return question->verdict;
    question->action = STORE_CONFIRM;
    return ask(scene, scene->stores[0], question);
}

static enum store_verdict place_one(struct scene *scene)
{
    struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0);

    return place(scene, &question);
}

/* Nanoseconds of today have more digits than a Lua number holds; odd times do no harm. */
static void times_are_compared_exactly(void **state)
{
    struct scene *scene = *state;
    struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0 + 1);

    assert_int_equal(place(scene, &question), STORE_DONE);
    redis_server_expect(&scene->server, "001735790592.751000001", "GET %s",
                        BASE ".latest:" PLACE_ONE);
    question = question_of(STORE_CLAIM, 'a', 2, 1, T0);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_OLDER);
    question.pub_time_ns = T0 + 1;
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
    question = question_of(STORE_CLAIM, 'a', 3, 3, -5);
    assert_int_equal(place(scene, &question), STORE_DONE);
    question = question_of(STORE_CLAIM, 'a', 4, 3, INT64_MIN);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
    redis_server_expect(&scene->server, "OK", "SET %s nonsense", BASE ".latest:" PLACE_ONE);
    question = question_of(STORE_CLAIM, 'a', 5, 1, T0);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
}

/* ---- together with sr3 ---- */

static const struct {
    const char *key, *path;
    const char *name, *value;
} examples[] = {
    {"md5,c1/E3fVQHpcBSOQu+aSMOg==",
     "observations/swob-ml/20250102/CYUL/2025-01-02-0400-CYUL-AUTO-swob.xml",
     BASE ":daa538a430b7969077fb024ee94686b1.068cca85d5b69cf9cade94b11bd7725a",
     "1735790592.751|observations/swob-ml/20250102/CYUL/2025-01-02-0400-CYUL-AUTO-swob.xml"},
    {"/citypage_weather/xml/QC/s0000635 e.xml,20250102T040312.75",
     "citypage_weather/xml/QC/s0000635 e.xml",
     BASE ":e6f2d0be7316f67ffbb37396bdb634f3.b542ae8989c58a32c903d48dfb40e2e9",
     "1735790592.751|citypage_weather/xml/QC/s0000635%20e.xml"},
    {"\xc3\xa9 b.txt", "\xc3\xa9 b.txt",
     BASE ":950e23b59a751d19cc4c574a3ad0ba45.950e23b59a751d19cc4c574a3ad0ba45",
     "1735790592.751|%C3%A9%20b.txt"},
};

static void read_hash(const char *digits, unsigned char hash[16])
{
    for (size_t i = 0; i < 16; i++)
        sscanf(digits + 2 * i, "%2hhx", &hash[i]);
}

static struct store_question question_about(enum store_action action, size_t example)
{
    struct store_question question = question_of(action, 'a', 0, (int)example + 1, T0);
    const char *hashes = strchr(examples[example].name, ':') + 1;

    read_hash(hashes, question.identity.key);
    read_hash(hashes + 33, question.identity.path);
    question.path_text = examples[example].path;
    return question;
}

static void sr3_finds_what_was_placed(void **state)
{
    struct scene *scene = *state;

    scene->stores[0] = open_store(scene, 86400000000, 5000);
    turn_until(scene, scene->stores[0], NULL);
    clock_hold(T0, -1);
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        char *name = dedupe_print_redis_key(BASE, examples[i].key, examples[i].path);
        struct store_question question = question_about(STORE_CLAIM, i);
        long long ttl;

        assert_string_equal(name, examples[i].name);
        assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
        redis_server_expect(&scene->server, "0", "EXISTS %s", name);
        question.action = STORE_CONFIRM;
        assert_int_equal(ask(scene, scene->stores[0], &question), STORE_DONE);
        redis_server_expect(&scene->server, examples[i].value, "GET %s", name);
        ttl = redis_server_number(&scene->server, "TTL", name);
        if (ttl > 86400000 || ttl < 86400000 - WITHIN_MS / 1000)
            fail_msg("%s lives for %lld s", name, ttl);
        free(name);
    }
}

static void what_sr3_saw_is_a_duplicate(void **state)
{
    struct scene *scene = *state;
    struct store_question question = question_about(STORE_CLAIM, 1);

    redis_server_expect(&scene->server, "OK", "SET %s %s EX 9", examples[1].name, "1700000000.0|x");
    clock_hold(1735790593000000000, -1);
    assert_int_equal(ask(scene, scene->stores[0], &question), STORE_DUPLICATE);
    redis_server_expect(&scene->server, "1735790593.0|citypage_weather/xml/QC/s0000635%20e.xml",
                        "GET %s", examples[1].name);
    assert_true(redis_server_number(&scene->server, "TTL", examples[1].name) > 9);
}

static const struct {
    int64_t wall_ns;
    const char *text;
} times[] = {
    {1735790592751000000, "1735790592.751|"},    {1735790592000000000, "1735790592.0|"},
    {1735790592000001999, "1735790592.000001|"}, {1735790592100000000, "1735790592.1|"},
    {1735790592123456789, "1735790592.123456|"}, {1999999999999999999, "1999999999.999999|"},
};

static void times_are_printed_as_sr3_does(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(place_one(scene), STORE_DONE);
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        clock_hold(times[i].wall_ns, -1);
        assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_DUPLICATE);
        redis_server_expect(&scene->server, times[i].text, "GET %s", BASE ":" ONES "." ZEROS);
    }
}

/* sr3 says EX 1 at least, and whole seconds. */
static void short_lives_are_a_second(void **state)
{
    struct scene *scene = *state;
    int64_t left;

    scene->stores[0] = open_store(scene, 10, 5000);
    turn_until(scene, scene->stores[0], NULL);
    assert_int_equal(place_one(scene), STORE_DONE);
    left = redis_server_number(&scene->server, "PTTL", BASE ":" ONES "." ZEROS);
    assert_true(left == -2 || (left > 10 && left <= 1000));
}

/* ---- asking and sending ---- */

static void many_questions_go_together(void **state)
{
    struct scene *scene = *state;
    struct store_question *questions = memory_new(MANY * sizeof(*questions)), *answer;

    for (int action = STORE_CLAIM; action <= STORE_CONFIRM; action++) {
        for (int i = 0; i < MANY; i++) {
            questions[i] = question_of((enum store_action)action, 'a', i + 1, 0, T0);
            memcpy(questions[i].identity.place, &i, sizeof(i));
            questions[i].path_text = "a/path of some/length, as they are.grib2";
            store_ask(scene->stores[0], &questions[i]);
        }
        store_send(scene->stores[0]);
        for (int i = 0; i < MANY; i++) {
            turn_until(scene, scene->stores[0], &answer);
            assert_int_equal(answer->verdict, action == STORE_CLAIM ? STORE_CLAIMED : STORE_DONE);
        }
    }
    redis_server_expect(&scene->server, "20000", "DBSIZE"); /* placed and latest */
    free(questions);
}

static void what_is_not_sent_waits(void **state)
{
    struct scene *scene = *state;
    struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0);

    store_ask(scene->stores[0], &question);
    assert_int_equal(ask_one(scene, 1, STORE_CLAIM, 'b', 1), STORE_CLAIMED);
    store_send(scene->stores[0]);
    wait_for(scene, scene->stores[0], &question);
    assert_int_equal(question.verdict, STORE_BUSY);
}

static void close_does_what_was_sent(void **state)
{
    struct scene *scene = *state;
    struct store_question released = question_of(STORE_RELEASE, 'a', 1, 1, T0);

    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
    store_ask(scene->stores[0], &released);
    store_send(scene->stores[0]);
    store_close(scene->stores[0]);
    scene->stores[0] = NULL;
    assert_int_equal(ask_one(scene, 1, STORE_CLAIM, 'b', 1), STORE_CLAIMED);
}

/* ---- what breaks ---- */

static void before_it_is_connected_questions_fail(void **state)
{
    struct scene *scene = *state;

    scene->stores[0] = open_store(scene, NODUPE_MS, 5000);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_FAILED);
    turn_until(scene, scene->stores[0], NULL);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
}

static void a_restarted_server_is_used_again(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
    redis_server_kill(&scene->server);
    assert_int_equal(ask_one(scene, 0, STORE_CONFIRM, 'a', 1), STORE_FAILED);
    assert_non_null(store_failure(scene->stores[0]));
    redis_server_start(&scene->server);
    turn_until(scene, scene->stores[0], NULL);
    assert_int_equal(ask_one(scene, 0, STORE_CONFIRM, 'a', 1), STORE_LOST); /* it has forgotten */
    assert_int_equal(place_one(scene), STORE_DONE);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'b', 1), STORE_DUPLICATE);
}

static void forgotten_scripts_do_no_harm(void **state)
{
    struct scene *scene = *state;

    redis_server_expect(&scene->server, "OK", "SCRIPT FLUSH");
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
    redis_server_expect(&scene->server, "OK", "SCRIPT FLUSH");
    assert_int_equal(ask_one(scene, 0, STORE_RENEW, 'a', 1), STORE_DONE);
    assert_int_equal(ask_one(scene, 0, STORE_CONFIRM, 'a', 1), STORE_DONE);
    assert_int_equal(ask_one(scene, 0, STORE_RELEASE, 'a', 1), STORE_DONE);
    assert_int_equal(ask_one(scene, 1, STORE_CLAIM, 'b', 1), STORE_DUPLICATE);
    assert_null(store_failure(scene->stores[0]));
}

static void a_silent_server_fails_questions(void **state)
{
    struct scene *scene = *state;

    scene->stores[0] = open_store(scene, NODUPE_MS, 300);
    turn_until(scene, scene->stores[0], NULL);
    redis_server_pause(&scene->server);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_FAILED);
    assert_non_null(strstr(store_failure(scene->stores[0]), "no answer"));
    redis_server_continue(&scene->server);
    turn_until(scene, scene->stores[0], NULL);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
}

/* Nothing is half done. */
static void full_memory_fails_what_writes(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_CLAIMED);
    redis_server_expect(&scene->server, "OK", "CONFIG SET maxmemory 1");
    assert_int_equal(ask_one(scene, 0, STORE_CONFIRM, 'a', 1), STORE_FAILED);
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 2), STORE_FAILED);
    assert_non_null(strstr(store_failure(scene->stores[0]), "out of memory"));
    redis_server_expect(&scene->server, "2", "DBSIZE");
    assert_int_equal(ask_one(scene, 0, STORE_RELEASE, 'a', 1), STORE_DONE);
    redis_server_expect(&scene->server, "OK", "CONFIG SET maxmemory 0");
    assert_int_equal(ask_one(scene, 1, STORE_CLAIM, 'b', 1), STORE_CLAIMED);
}

static void a_replica_fails_what_writes(void **state)
{
    struct scene *scene = *state;

    redis_server_expect(&scene->server, "OK", "REPLICAOF 127.0.0.1 1");
    assert_int_equal(ask_one(scene, 0, STORE_CLAIM, 'a', 1), STORE_FAILED);
    assert_non_null(strstr(store_failure(scene->stores[0]), "read-only"));
    redis_server_expect(&scene->server, "OK", "REPLICAOF NO ONE");
    while (ask_one(scene, 0, STORE_CLAIM, 'a', 1) != STORE_CLAIMED)
        continue;
    assert_null(store_failure(scene->stores[0]));
}

static const char *const wrong_keys[] = {BASE ":" ONES "." ZEROS, BASE ".claim:" ONES "." ZEROS,
                                         BASE ".place:" PLACE_ONE, BASE ".latest:" PLACE_ONE};

/* What one of the scripts says is logged once, to the test's own file. */
static void expect_logged(struct scene *scene, const char *key)
{
    char *path = memory_format("%s/log", scene->server.directory), text[1000] = "";
    char *words = memory_format("key %s is a list", key);
    FILE *file = fopen(path, "r");

    log_flush();
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    if (!strstr(text, words) || !strstr(text, "DEL") || strchr(text, '\n') != strrchr(text, '\n'))
        fail_msg("'%s' has no, or many, '%s'", text, words);
    unlink(path);
    free(words);
    free(path);
}

static void keys_of_another_type_fail_their_question(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(wrong_keys); i++) {
        char *path = memory_format("%s/log", scene->server.directory);
        struct error err = {0};
        struct store_question other = question_of(STORE_CLAIM, 'a', 7, 7, T0);
        struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0);

        assert_true(log_open(&(struct log_settings){.path = path, .mode = 0600}, &err));
        free(path);
        scene->stores[0] = open_store(scene, NODUPE_MS, 5000);
        turn_until(scene, scene->stores[0], NULL);
        redis_server_expect(&scene->server, "1", "LPUSH %s x", wrong_keys[i]);
        store_ask(scene->stores[0], &question);
        store_ask(scene->stores[0], &other);
        store_send(scene->stores[0]);
        wait_for(scene, scene->stores[0], &question);
        wait_for(scene, scene->stores[0], &other);
        assert_int_equal(question.verdict, STORE_FAILED);
        assert_int_equal(other.verdict, STORE_CLAIMED);
        assert_null(store_failure(scene->stores[0]));
        assert_int_equal(ask(scene, scene->stores[0], &question), STORE_FAILED);
        expect_logged(scene, wrong_keys[i]);
        redis_server_expect(&scene->server, "1", "DEL %s", wrong_keys[i]);
        assert_int_equal(ask(scene, scene->stores[0], &question), STORE_CLAIMED);
        store_close(scene->stores[0]);
        scene->stores[0] = NULL;
        log_close();
        redis_server_expect(&scene->server, "OK", "FLUSHALL");
    }
}

#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(server_open, scripts_are_followed),
        WITH(two_open, a_claim_without_end_gets_one),
        WITH(two_open, times_are_compared_exactly),
        WITH(server_open, sr3_finds_what_was_placed),
        WITH(two_open, what_sr3_saw_is_a_duplicate),
        WITH(two_open, times_are_printed_as_sr3_does),
        WITH(server_open, short_lives_are_a_second),
        WITH(two_open, many_questions_go_together),
        WITH(two_open, what_is_not_sent_waits),
        WITH(two_open, close_does_what_was_sent),
        WITH(server_open, before_it_is_connected_questions_fail),
        WITH(two_open, a_restarted_server_is_used_again),
        WITH(two_open, forgotten_scripts_do_no_harm),
        WITH(server_open, a_silent_server_fails_questions),
        WITH(two_open, full_memory_fails_what_writes),
        WITH(two_open, a_replica_fails_what_writes),
        WITH(server_open, keys_of_another_type_fail_their_question),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
