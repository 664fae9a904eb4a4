/* The retry store in Redis, against a real server: what every one must do, and what breaks. */
#include "retry_store_cases.h"

#include "store/redis_link.h"

#include "redis_server.h"

#define NAME        "sr3sub.retry.subscribe.q_anonymous.dd_all"
#define DEADLINE_MS 20000

static struct redis_server *server_of(const struct retry_scene *scene)
{
    return scene->own;
}

static void set_mark(void *context)
{
    *(bool *)context = true;
}

/* Turns the loop until the store can be used. */
static void wait_until_well(struct retry_scene *scene, struct retry_store *store)
{
    bool late = false;
    struct loop_timer *deadline = loop_timer_open(scene->loop, set_mark, &late);

    loop_timer_set(deadline, DEADLINE_MS);
    while (!late && retry_store_failure(store))
        loop_wait(scene->loop);
    loop_timer_close(deadline);
    if (late)
        fail_msg("%s", retry_store_failure(store));
}

struct retry_store *scene_open_store(struct retry_scene *scene, struct error *err)
{
    char *text = memory_format("unix://%s", server_of(scene)->socket);
    struct url url = redis_url_of(text);
    struct redis_settings settings = {
        .url = &url, .connect_timeout_ms = 5000, .command_timeout_ms = DEADLINE_MS};
    struct retry_store *store = retry_store_open_redis(scene->loop, &settings, NAME, err);

    url_clear(&url);
    free(text);
    if (store)
        wait_until_well(scene, store);
    return store;
}

static long long redis_clock_ms(const struct retry_scene *scene)
{
    char *text = redis_server_ask(server_of(scene), "EVAL %s 0",
                                  "local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000");
    long long ms = atoll(text);

    free(text);
    return ms;
}

/* Its clock cannot be held, so this takes as long as it says. */
void scene_pass(struct retry_scene *scene, int64_t ms)
{
    long long end = redis_clock_ms(scene) + ms;

    while (redis_clock_ms(scene) < end)
        ;
}

void scene_clear(struct retry_scene *scene)
{
    redis_server_expect(server_of(scene), "OK", "FLUSHALL");
}

static int open_none(void **state)
{
    struct retry_scene *scene = memory_new(sizeof(*scene));

    scene->own = memory_new(sizeof(struct redis_server));
    redis_server_start(server_of(scene));
    *state = scene;
    return 0;
}

static int open_two(void **state)
{
    struct retry_scene *scene;

    open_none(state);
    scene = *state;
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene);
    scene->stores[1] = must_open(scene);
    return 0;
}

static int close_scene(void **state)
{
    struct retry_scene *scene = *state;

    retry_store_close(scene->stores[0]);
    retry_store_close(scene->stores[1]);
    loop_close(scene->loop);
    redis_server_end(server_of(scene));
    free(scene->own);
    free(scene);
    return 0;
}

#define HEX_A0 "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0"
#define HEX_ID HEX_A0 "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a01f"

static void keys_are_as_documented(void **state)
{
    struct retry_scene *scene = *state;

    keep(scene, scene->stores[0], 0x1f, 1000, "abc");
    redis_server_expect(server_of(scene), "abc", "HGET %s.body %s", NAME, HEX_ID);
    redis_server_expect(server_of(scene), "1", "ZCARD %s.due", NAME);
    assert_true(redis_clock_ms(scene) > 1000);
    redis_server_expect(server_of(scene), "1", "ZCOUNT %s.due %lld +inf", NAME,
                        redis_clock_ms(scene) - DEADLINE_MS);
    drop(scene, scene->stores[1], 0x1f);
    redis_server_expect(server_of(scene), "0", "EXISTS %s.due %s.body", NAME, NAME);
}

static void a_member_without_a_body_is_removed(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 1, 0, "a");
    keep(scene, scene->stores[0], 0x1f, 0, "b");
    redis_server_expect(server_of(scene), "1", "HDEL %s.body %s", NAME, HEX_ID);
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.waiting, 1);
    expect_bodies(&taken, "without a body", 1, "a");
}

static void foreign_members_are_passed_over(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    redis_server_expect(server_of(scene), "1", "ZADD %s.due 0 foreign", NAME);
    redis_server_expect(server_of(scene), "1", "HSET %s.body foreign x", NAME);
    keep(scene, scene->stores[0], 1, 0, "a");
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.waiting, 2);
    expect_bodies(&taken, "beside foreign members", 1, "a");
}

static void ask_in_vain(struct retry_scene *scene, enum retry_action action, const char *word)
{
    struct retry_question question = question_of(action, 1, 0);
    struct retry_item items[8];
    const char *failure;

    question.body = "x";
    question.body_size = 1;
    question.items = items;
    question.most = COUNT_OF(items);
    retry_store_ask(scene->stores[0], &question);
    retry_store_send(scene->stores[0]);
    wait_for(scene, scene->stores[0], &question);
    failure = retry_store_failure(scene->stores[0]);
    if (question.done || !failure || !strstr(failure, word))
        fail_msg("action %d: '%s' has no '%s'", action, failure, word);
    assert_int_equal(question.item_count, 0);
}

static void keys_of_another_type_are_named(void **state)
{
    static const char *const keys[] = {NAME ".due", NAME ".body"};
    struct retry_scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        scene_clear(scene);
        redis_server_expect(server_of(scene), "OK", "SET %s foreign", keys[i]);
        ask_in_vain(scene, RETRY_KEEP, keys[i]);
        ask_in_vain(scene, RETRY_DROP, keys[i]);
        if (i == 0) {
            ask_in_vain(scene, RETRY_HIDE, keys[i]);
            ask_in_vain(scene, RETRY_TAKE, keys[i]);
            ask_in_vain(scene, RETRY_LIST, keys[i]);
        }
    }
    scene_clear(scene);
    keep(scene, scene->stores[0], 1, 0, "a");
    assert_null(retry_store_failure(scene->stores[0]));
}

static void a_server_that_goes_comes_back(void **state)
{
    struct retry_scene *scene = *state;

    redis_server_kill(server_of(scene));
    ask_in_vain(scene, RETRY_KEEP, "redis");
    ask_in_vain(scene, RETRY_TAKE, "redis");
    redis_server_start(server_of(scene));
    wait_until_well(scene, scene->stores[0]);
    keep(scene, scene->stores[0], 1, 0, "a");
}

static void a_full_server_fails_and_passes(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 2, LONG_MS, "b");
    redis_server_expect(server_of(scene), "OK", "CONFIG SET maxmemory 1");
    ask_in_vain(scene, RETRY_KEEP, "memory");
    drop(scene, scene->stores[1], 2); /* what frees memory goes on */
    redis_server_expect(server_of(scene), "OK", "CONFIG SET maxmemory 0");
    wait_until_well(scene, scene->stores[1]);
    keep(scene, scene->stores[1], 1, 0, "a");
    take(scene, scene->stores[1], 8, LONG_MS, &taken);
    expect_bodies(&taken, "after the full server", 1, "a");
}

static void close_forgets_what_gets_no_answer(void **state)
{
    struct retry_scene *scene = *state;
    struct retry_question question = question_of(RETRY_DROP, 1, 0);

    redis_server_pause(server_of(scene));
    retry_store_ask(scene->stores[0], &question);
    retry_store_send(scene->stores[0]);
    retry_store_close(scene->stores[0]);
    scene->stores[0] = NULL;
    redis_server_continue(server_of(scene));
    keep(scene, scene->stores[1], 1, 0, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RETRY_STORE_TESTS(open_two, open_none, close_scene),
        cmocka_unit_test_setup_teardown(keys_are_as_documented, open_two, close_scene),
        cmocka_unit_test_setup_teardown(a_member_without_a_body_is_removed, open_two, close_scene),
        cmocka_unit_test_setup_teardown(foreign_members_are_passed_over, open_two, close_scene),
        cmocka_unit_test_setup_teardown(keys_of_another_type_are_named, open_two, close_scene),
        cmocka_unit_test_setup_teardown(a_server_that_goes_comes_back, open_two, close_scene),
        cmocka_unit_test_setup_teardown(a_full_server_fails_and_passes, open_two, close_scene),
        cmocka_unit_test_setup_teardown(close_forgets_what_gets_no_answer, open_two, close_scene),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
