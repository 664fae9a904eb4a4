/* The record of bindings: read as sr3 writes it, written so that sr3 can read it. */
#include "stages/subscriptions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUEUE "\"queue\": {\"name\": \"q\"}"
#define OURS  "\"broker\": \"amqp://anna@broker.example/\", " QUEUE

static char directory[] = "/tmp/sr3sub-test-XXXXXX";
static char *path;

static const struct broker_binding bindings[] = {
    {"xpublic", "v02.post.obs.#", strlen("v02.post")},
    {"xpublic", "no.prefix", 0},
};

static struct broker_settings settings(void)
{
    return (struct broker_settings){.host = "broker.example",
                                    .port = 5672,
                                    .vhost = "/",
                                    .user = "anna",
                                    .url = "amqp://anna@broker.example/",
                                    .queue = "q",
                                    .declare = true,
                                    .bind = true,
                                    .durable = true,
                                    .expire_ms = 600000,
                                    .prefetch = 25,
                                    .bindings = bindings,
                                    .binding_count = COUNT_OF(bindings)};
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *read_file(void)
{
    char text[8192];
    FILE *file = fopen(path, "r");
    size_t length;

    assert_non_null(file);
    length = fread(text, 1, sizeof(text), file);
    fclose(file);
    return memory_copy_bytes(text, length);
}

/* "exchange topic, ..." of what is to be unbound; "!" when the file is refused. Allocated. */
static char *stale_of(const struct broker_settings *wanted)
{
    struct error err = {0};
    struct subscriptions *subscriptions = subscriptions_read(path, &err);
    struct arena texts = {0};
    char *list = memory_copy("");
    struct broker_binding *stale;
    size_t count;

    if (!subscriptions) {
        assert_non_null(strstr(err.text, path));
        memory_replace(&list, memory_copy("!"));
        return list;
    }
    stale = subscriptions_find_stale(subscriptions, wanted, &texts, &count);
    for (size_t i = 0; i < count; i++)
        memory_replace(&list, memory_format("%s%s%s %s", list, i ? ", " : "", stale[i].exchange,
                                            stale[i].topic));
    free(stale);
    arena_clear(&texts);
    subscriptions_free(subscriptions);
    return list;
}

static const struct {
    const char *text, *stale;
} records[] = {
    {"[]", ""},
    {"[{" OURS ", \"bindings\": [{\"exchange\": \"xpublic\", \"prefix\": [\"v02\", \"post\"], "
     "\"sub\": [\"obs\", \"#\"]}]}]",
     ""},
    {"[{" OURS ", \"bindings\": [{\"exchange\": \"xpublic\", \"prefix\": [\"v02\", \"post\"], "
     "\"sub\": [\"radar\", \"#\"]}]}]",
     "xpublic v02.post.radar.#"},
    {"[{" OURS ", \"bindings\": [{\"exchange\": \"x2\", \"prefix\": [\"v02\", \"post\"], "
     "\"sub\": [\"obs\", \"#\"]}, {\"exchange\": \"x2\", \"sub\": [\"no\", \"prefix\"]}]}]",
     "x2 v02.post.obs.#, x2 no.prefix"},
    {"[{" OURS ", \"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}, "
     "{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     "x a"},
    {"[{" OURS ", \"bindings\": [{\"exchange\": \"x\", \"sub\": [\"\", \"a\"]}]}]", "x .a"},

    /* another queue, broker, user, vhost; the same one written in another way */
    {"[{\"broker\": \"amqp://anna@broker.example/\", \"queue\": {\"name\": \"r\"}, "
     "\"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     ""},
    {"[{\"broker\": \"amqp://anna@broker.example/v\", " QUEUE ", "
     "\"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     ""},
    {"[{\"broker\": \"amqps://anna@broker.example/\", " QUEUE ", "
     "\"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     ""},
    {"[{\"broker\": \"amqp://bob@broker.example/\", " QUEUE ", "
     "\"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     ""},
    {"[{\"broker\": \"amqp://anna@BROKER.example:5672\", " QUEUE ", "
     "\"bindings\": [{\"exchange\": \"x\", \"sub\": [\"a\"]}]}]",
     "x a"},

    /* nothing that could be used */
    {"[{" OURS "}]", ""},
    {"[{" OURS ", \"bindings\": 7}]", ""},
    {"[{" OURS ", \"bindings\": [7, {}, {\"exchange\": \"\", \"sub\": [\"a\"]}, "
     "{\"exchange\": \"x\", \"sub\": [7]}, {\"exchange\": \"x\", \"sub\": \"a\"}, "
     "{\"exchange\": \"x\"}]}]",
     ""},
    {"[7, null, {}, {\"broker\": 7, \"queue\": []}, {\"queue\": {\"name\": \"q\"}}]", ""},
    {"[{\"broker\": \"nonsense\", " QUEUE "}]", ""},
    {"", "!"},
    {"{}", "!"},
    {"[", "!"},
    {"[{\"a\": 1, }]", "!"},
};

static void what_is_not_wanted_any_more_is_found(void **state)
{
    struct broker_settings wanted = settings();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        char *stale;

        write_file(records[i].text);
        stale = stale_of(&wanted);
        if (strcmp(stale, records[i].stale) != 0)
            fail_msg("%s:\n got %s\nwant %s", records[i].text, stale, records[i].stale);
        free(stale);
    }
}

static void names_too_long_for_amqp_are_no_bindings(void **state)
{
    struct broker_settings wanted = settings();
    char *stale;

    (void)state;
    for (int length = 254; length <= 257; length++) {
        char *text = memory_format("[{" OURS ", \"bindings\": [{\"exchange\": \"x\", \"sub\": "
                                   "[\"%0*d\", \"#\"]}]}]",
                                   length - 2, 0);

        write_file(text);
        free(text);
        stale = stale_of(&wanted);
        assert_int_equal(strlen(stale), length <= 255 ? 2 + length : 0);
        free(stale);
    }
}

static void record(const struct broker_settings *wanted, const struct broker_binding *others,
                   size_t count)
{
    struct error err = {0};
    struct subscriptions *subscriptions = subscriptions_read(path, &err);

    assert_non_null(subscriptions);
    if (!subscriptions_record(subscriptions, wanted, others, count, &err))
        fail_msg("%s", err.text);
    subscriptions_free(subscriptions);
}

static void assert_file(const char *want)
{
    char *text = read_file();

    assert_string_equal(text, want);
    free(text);
}

static void it_is_written_as_sr3_writes_it(void **state)
{
    static const struct broker_binding refused = {"x old", "v03.#", 0};
    struct broker_settings wanted = settings();

    (void)state;
    unlink(path);
    record(&wanted, NULL, 0);
    assert_file("[{\"broker\": \"amqp://anna@broker.example/\", \"bindings\": [{\"exchange\": "
                "\"xpublic\", \"prefix\": [\"v02\", \"post\"], \"sub\": [\"obs\", \"#\"]}, "
                "{\"exchange\": \"xpublic\", \"prefix\": [], \"sub\": [\"no\", \"prefix\"]}], "
                "\"queue\": {\"name\": \"q\", \"cleanup_needed\": null, \"durable\": true, "
                "\"expire\": 600.0, \"prefetch\": 25, \"bind\": true, \"declare\": true}}]");

    wanted.binding_count = 0;
    wanted.expire_ms = 0;
    record(&wanted, &refused, 1);
    assert_file("[{\"broker\": \"amqp://anna@broker.example/\", \"bindings\": [{\"exchange\": "
                "\"x old\", \"prefix\": [], \"sub\": [\"v03\", \"#\"]}], "
                "\"queue\": {\"name\": \"q\", \"cleanup_needed\": null, \"durable\": true, "
                "\"expire\": null, \"prefetch\": 25, \"bind\": true, \"declare\": true}}]");
}

static void what_others_wrote_is_kept(void **state)
{
    struct broker_settings wanted = settings();

    (void)state;
    wanted.binding_count = 0;
    write_file("[7, {\"queue\": {\"name\": \"r\"}}, {\"queue\": {\"more\": [1], \"name\": \"q\", "
               "\"cleanup_needed\": true}, \"z\": 1, \"broker\": \"amqp://anna@broker.example\"}]");
    record(&wanted, NULL, 0);
    assert_file("[7, {\"queue\": {\"name\": \"r\"}}, {\"queue\": {\"more\": [1], \"name\": \"q\", "
                "\"cleanup_needed\": true, \"durable\": true, \"expire\": 600.0, \"prefetch\": 25, "
                "\"bind\": true, \"declare\": true}, \"z\": 1, \"broker\": "
                "\"amqp://anna@broker.example\", \"bindings\": []}]");
}

static void it_is_left_alone_when_it_is_right(void **state)
{
    struct broker_settings wanted = settings();
    struct stat before, after;

    (void)state;
    unlink(path);
    record(&wanted, NULL, 0);
    assert_int_equal(stat(path, &before), 0);
    record(&wanted, NULL, 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_mode & 0777, 0644);
}

static void it_does_not_grow_for_ever(void **state)
{
    struct broker_settings wanted = settings();
    char name[32];
    size_t entries = 0;
    char *text;

    (void)state;
    unlink(path);
    wanted.queue = name;
    wanted.binding_count = 0;
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof(name), "q%d.", i);
        record(&wanted, NULL, 0);
    }
    text = read_file();
    for (const char *at = text; (at = strstr(at, "\"broker\"")); at++)
        entries++;
    assert_true(entries < 101);
    assert_null(strstr(text, "\"q0.\""));
    free(text);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    struct error err = {0};
    struct broker_settings wanted = settings();
    char *nowhere = memory_format("%s/none/subscriptions.json", directory);
    struct subscriptions *subscriptions = subscriptions_read(nowhere, &err);

    (void)state;
    assert_non_null(subscriptions);
    assert_false(subscriptions_record(subscriptions, &wanted, NULL, 0, &err));
    assert_non_null(strstr(err.text, nowhere));
    subscriptions_free(subscriptions);
    free(nowhere);

    assert_null(subscriptions_read(directory, &err));
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    path = memory_format("%s/subscriptions.json", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    free(path);
    return rmdir(directory); /* fails when a temporary file was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_wanted_any_more_is_found),
        cmocka_unit_test(names_too_long_for_amqp_are_no_bindings),
        cmocka_unit_test(it_is_written_as_sr3_writes_it),
        cmocka_unit_test(what_others_wrote_is_kept),
        cmocka_unit_test(it_is_left_alone_when_it_is_right),
        cmocka_unit_test(it_does_not_grow_for_ever),
        cmocka_unit_test(a_file_that_cannot_be_written_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
