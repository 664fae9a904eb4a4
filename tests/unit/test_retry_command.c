/* retry list, drop and now, on records in the embedded store. Clocks are held still. */
#include "config_home.h"

#include "base/clock.h"
#include "commands/commands.h"
#include "record.h"
#include "running.h"
#include "stores.h"

#define T0   1735790592751000000 /* 2025-01-02T04:03:12.751 */
#define MANY 150                 /* more than two pages */

static struct config *config;

/* ---- filling the store ---- */

static void wait_answered(struct loop *loop, struct retry_store *store)
{
    struct retry_question *question;

    retry_store_send(store);
    while (!(question = retry_store_take_answer(store)))
        loop_wait(loop);
    assert_true(question->done);
}

static void keep(int number, const char *body, int64_t delay_ms)
{
    struct error err = {0};
    struct loop *loop = loop_open();
    struct retry_store *store = retry_store_open_for(config, loop, &err);
    struct retry_question question = {
        .action = RETRY_KEEP, .body = body, .body_size = strlen(body), .delay_ms = delay_ms};

    assert_non_null(store);
    memcpy(question.id, &number, sizeof(number));
    retry_store_ask(store, &question);
    wait_answered(loop, store);
    retry_store_close(store);
    loop_close(loop);
}

static void keep_path(int number, const char *path, int64_t delay_ms, const char *more)
{
    char *body = memory_format(
        "{\"v\": 1, \"received\": \"20250102T040300\", \"exchange\": \"x\", \"topic\": "
        "\"v02.post.a\", \"contentType\": \"text/plain\", %s\"headers\": {}, "
        "\"body\": \"20250102040300.75 http://user:secret@host.example %s\"}",
        more, path);

    keep(number, body, delay_ms);
    free(body);
}

static void clear(void)
{
    char *path = memory_format("%s/store.sqlite", config->subscription_dir);

    unlink(path);
    free(path);
}

/* ---- asking ---- */

static char *retry(enum retry_command command, const char *pattern, bool json)
{
    struct retry_request request = {.command = command, .pattern = pattern, .json = json};
    struct error err = {0};
    char *printed;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    bool good = retry_run(config, &request, out, &err);

    fclose(out);
    if (!good)
        fail_msg("%s", err.text);
    return printed;
}

static void assert_printed(enum retry_command command, const char *pattern, bool json,
                           const char *want)
{
    char *printed = retry(command, pattern, json);

    assert_string_equal(printed, want);
    free(printed);
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void nothing_waits_before_the_first_start(void **state)
{
    (void)state;
    assert_printed(RETRY_COMMAND_LIST, NULL, false, "");
    assert_printed(RETRY_COMMAND_DROP, NULL, false, "0 of 0 records dropped\n");
    assert_false(retry_store_exists_for(config)); /* looking made nothing */
}

static void they_are_listed_as_they_are_due(void **state)
{
    (void)state;
    keep_path(1, "/obs/later.xml", 125000,
              "\"failed\": \"20250102T040302\", \"tries\": 3, \"reason\": \"get "
              "'http://user:secret@host.example/x': HTTP 503\", ");
    keep_path(2, "/obs/first.xml", 0, "");
    keep(3, "{\"nonsense\"}", 8 * 3600000);
    clock_hold(T0 + 20000 * NS_PER_MS, 21000);

    char *list = retry(RETRY_COMMAND_LIST, NULL, false);

    assert_int_equal(count_lines(list), 3);
    assert_null(strstr(list, "secret"));
    assert_int_equal(strncmp(list,
                             "due since 20s     tries 0   age 32s     obs/first.xml\n"
                             "due    in 1m45s   tries 3   age 30s     obs/later.xml  get 'http://",
                             strlen("due since 20s     tries 0   age 32s     obs/first.xml\n"
                                    "due    in 1m45s   tries 3   age 30s     obs/later.xml  get "
                                    "'http://")),
                     0);
    assert_non_null(strstr(list, "HTTP 503\ndue    in 7h59m"));
    free(list);
    clear();
}

static void each_is_a_line_of_json(void **state)
{
    json_t *object;
    char *list;

    (void)state;
    keep_path(1, "/obs/a b.xml", 5500,
              "\"failed\": \"20250102T040302.5\", \"tries\": 2, \"reason\": \"none\", ");
    keep(2, "{}", 6000);
    list = retry(RETRY_COMMAND_LIST, NULL, true);
    assert_int_equal(count_lines(list), 2);
    object = json_loads(list, JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(object);
    assert_true(json_real_value(json_object_get(object, "dueIn")) == 5.5);
    assert_int_equal(json_integer_value(json_object_get(object, "tries")), 2);
    assert_string_equal(json_string_value(json_object_get(object, "failed")), "20250102T040302.5");
    assert_string_equal(json_string_value(json_object_get(object, "received")), "20250102T040300");
    assert_non_null(strstr(json_string_value(json_object_get(object, "relPath")), "obs/a"));
    assert_string_equal(json_string_value(json_object_get(object, "reason")), "none");
    assert_int_equal(strlen(json_string_value(json_object_get(object, "id"))), 2 * RETRY_ID_SIZE);
    assert_null(strstr(list, "secret"));
    assert_non_null(strstr(strchr(list, '\n'), "\"error\":"));
    json_decref(object);
    free(list);
    clear();
}

static void keep_many(void)
{
    for (int i = 0; i < MANY; i++) {
        char *path = memory_format("/%s/%03d", i % 3 ? "obs" : "radar", i);

        keep_path(i + 1, path, 60000 + i, "");
        free(path);
    }
}

static void what_matches_is_dropped(void **state)
{
    char *list;

    (void)state;
    keep_many();
    assert_printed(RETRY_COMMAND_DROP, "model/*", false, "0 of 150 records dropped\n");
    assert_printed(RETRY_COMMAND_DROP, "/radar/*", false, "50 of 150 records dropped\n");
    list = retry(RETRY_COMMAND_LIST, "*", false);
    assert_int_equal(count_lines(list), 100);
    assert_null(strstr(list, "radar"));
    free(list);
    assert_printed(RETRY_COMMAND_DROP, NULL, false, "100 of 100 records dropped\n");
    assert_printed(RETRY_COMMAND_LIST, NULL, false, "");
    clear();
}

static void what_matches_is_due_at_once(void **state)
{
    char *list, *at;

    (void)state;
    keep_many();
    assert_printed(RETRY_COMMAND_NOW, "*/1?[05]", false, "10 of 150 records due now\n");
    list = retry(RETRY_COMMAND_LIST, NULL, false);
    at = strstr(list, "1m");
    assert_non_null(at);
    *at = '\0';
    assert_int_equal(count_lines(list), 10); /* these come first */
    free(list);
    assert_printed(RETRY_COMMAND_NOW, NULL, false, "150 of 150 records due now\n");
    list = retry(RETRY_COMMAND_LIST, NULL, false);
    assert_int_equal(count_lines(list), MANY);
    assert_null(strstr(list, "1m"));
    free(list);
    clear();
}

static int begin(void **state)
{
    struct error err = {0};

    if (make_home(state))
        return -1;
    clock_hold(T0, 1000);
    config = must_load(BROKER "queueName q\n");
    running_end(running_begin(config, &err)); /* makes the state directory */
    return 0;
}

static int end(void **state)
{
    config_free(config);
    return remove_home(state);
}

static int hold_clocks(void **state)
{
    (void)state;
    clock_hold(T0, 1000);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_waits_before_the_first_start, hold_clocks),
        cmocka_unit_test_setup(they_are_listed_as_they_are_due, hold_clocks),
        cmocka_unit_test_setup(each_is_a_line_of_json, hold_clocks),
        cmocka_unit_test_setup(what_matches_is_dropped, hold_clocks),
        cmocka_unit_test_setup(what_matches_is_due_at_once, hold_clocks),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
