/*
 * explain: every row of the rules about verdicts and paths, from tests/data/explain.
 *
 * A line with "conf" is the configuration of the lines below it, behind a broker line. The others
 * are one case each: "in" is the line that is read, as JSON or, in a text, as it is; "out" has
 * members of the answer. There "*" and "?" stand for what is not compared, as in file names. A
 * configuration that this version refuses to run is passed over.
 */
#include "config_home.h"

#include "base/clock.h"
#include "commands/commands.h"

#include <fnmatch.h>

#define WALL "20261121T120000"

struct set {
    const char *name;
    size_t cases_min;
    size_t cases, skipped;
    struct config *config;
    bool skipping;
    bool failed;
};

static const char *const members[] = {"verdict",  "code", "reason", "rule",  "path",
                                      "inflight", "url",  "op",     "nodupe"};

/* Reads `text` as announcements; what is printed is allocated. */
static char *explain_text(const struct config *config, const char *text, bool as_text,
                          struct error *err)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    char *printed;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    bool explained;

    *err = (struct error){0};
    explained = explain_run(config, as_text, in, out, err);
    fclose(in);
    fclose(out);
    assert_true(explained == !err->kind);
    return printed;
}

static bool same_json(const json_t *want, const json_t *got)
{
    const char *name;
    json_t *value;

    if (json_is_string(want) && json_is_string(got)) {
        char *text = shorten(json_string_value(got));
        bool same = strcmp(json_string_value(want), text) == 0 ||
                    fnmatch(json_string_value(want), text, FNM_NOESCAPE) == 0;

        free(text);
        return same;
    }
    if (!json_is_object(want) || !json_is_object(got))
        return json_equal(want, got);
    json_object_foreach((json_t *)(uintptr_t)want, name,
                        value) if (!same_json(value, json_object_get(got, name))) return false;
    return true;
}

static void compare(struct set *set, const char *name, const json_t *want, const char *printed)
{
    json_t *got = json_loads(printed, 0, NULL), *value;
    const char *member;

    if (!got || strchr(printed, '\n') != printed + strlen(printed) - 1)
        fail_msg("%s: %s: '%s' is not one line of JSON", set->name, name, printed);
    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (!json_object_get(got, members[i]))
            fail_msg("%s: %s: there is no '%s' in %s", set->name, name, members[i], printed);
    json_object_foreach((json_t *)(uintptr_t)want, member, value)
    {
        if (strcmp(member, "bad_line") == 0 || same_json(value, json_object_get(got, member)))
            continue;
        print_error("%s: %s: '%s' is not as wanted in %s", set->name, name, member, printed);
        set->failed = true;
    }
    json_decref(got);
}

static void run_case(struct set *set, const json_t *line)
{
    const json_t *in = json_object_get(line, "in"), *want = json_object_get(line, "out");
    const char *name = json_string_value(json_object_get(line, "case"));
    char *text = json_is_string(in) ? memory_copy(json_string_value(in)) : json_dumps(in, 0);
    char *printed;
    struct error err;

    printed = explain_text(set->config, text, false, &err);
    compare(set, name, want, printed);
    if (!err.kind != !json_object_get(want, "bad_line"))
        fail_msg("%s: %s: error '%s'", set->name, name, err.text);
    free(printed);
    free(text);
    set->cases++;
}

static void change_config(struct set *set, const json_t *line)
{
    const char *rest = json_string_value(json_object_get(line, "conf"));
    char *text = memory_format(BROKER "%s", rest);
    struct error err = {0};

    config_free(set->config);
    set->config = must_load(text);
    set->skipping = !config_check_supported(set->config, &err);
    free(text);
}

static void run_set(struct set *set)
{
    char *path = memory_format(TEST_DATA "/explain/%s.jsonl", set->name), *text = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0;

    assert_non_null(file);
    while (getline(&text, &room, file) > 0) {
        json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);

        assert_non_null(line);
        if (json_object_get(line, "conf"))
            change_config(set, line);
        else if (set->skipping)
            set->skipped++;
        else
            run_case(set, line);
        json_decref(line);
    }
    free(text);
    fclose(file);
    free(path);
    config_free(set->config);
    if (set->skipped)
        print_message("%s: %zu cases wait for options that are not carried out yet\n", set->name,
                      set->skipped);
    assert_true(set->cases + set->skipped >= set->cases_min);
}

static void announcements_are_explained(void **state)
{
    static struct set sets[] = {
        {.name = "rules", .cases_min = 26},  {.name = "malformed", .cases_min = 24},
        {.name = "urls", .cases_min = 17},   {.name = "names", .cases_min = 13},
        {.name = "nodupe", .cases_min = 11}, {.name = "operations", .cases_min = 20},
        {.name = "paths", .cases_min = 21},
    };
    int64_t wall_ns;

    (void)state;
    assert_true(clock_parse(WALL, &wall_ns));
    clock_hold(wall_ns, 0);
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        run_set(&sets[i]);
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        assert_false(sets[i].failed);
    clock_hold(-1, -1);
}

#define BODY(path)                                                                                 \
    "{\"pubTime\":\"20261121T115900\",\"baseUrl\":\"http://h/\",\"relPath\":\"" path "\"}\n"

static void a_bad_line_stops_nothing(void **state)
{
    struct config *config = must_load(BROKER "directory /data\n");
    struct error err;
    char *printed = explain_text(config, BODY("a") "\n  \n{]\n" BODY("b"), false, &err);
    size_t lines = 0;

    (void)state;
    for (const char *at = printed; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 3);
    assert_non_null(strstr(printed, "\"/data/b\""));
    assert_string_equal(err.text, "1 of 5 lines are not JSON");
    free(printed);
    config_free(config);
}

static void sentences_say_the_same(void **state)
{
    struct config *config = must_load(BROKER "directory /data\nreject .*no.*\naccept .*\n");
    struct error err;
    char *printed = explain_text(config, BODY("a/yes") BODY("a/no") "{\n", true, &err);
    char *text = shorten(printed);

    (void)state;
    assert_int_equal(
        fnmatch(
            "'a/yes' is accepted: the rule accepts it.\n"
            "  The rule that matches is 'accept .[*]' (~/.config/sr3/subscribe/t.conf:4).\n"
            "  It is fetched from http://h/a/yes.\n"
            "  The file goes to /data/yes.\n"
            "  Until it is whole its name is /data/.yes.????????.tmp.\n"
            "  It is a duplicate of what has the key 'a/yes,20261121T115900' and the path "
            "'a/yes'.\n"
            "'a/no' is rejected with code 404: the rule rejects it.\n"
            "  The rule that matches is 'reject .[*]no.[*]' (~/.config/sr3/subscribe/t.conf:3).\n"
            "Line 3 is malformed: the line is not JSON, *.\n",
            text, 0),
        0);
    free(text);
    free(printed);
    config_free(config);
}

static void sentences_drive_no_terminal(void **state)
{
    struct config *config = must_load(BROKER "directory /data\n");
    struct error err;
    char *printed = explain_text(config,
                                 "{\"pubTime\":\"20261121T115900\",\"baseUrl\":\"http://h/\","
                                 "\"relPath\":\"a\",\"identity\":{\"method\":\"arbitrary\","
                                 "\"value\":\"\\u001b[2J\"}}\n",
                                 true, &err);

    (void)state;
    assert_null(strchr(printed, '\033'));
    assert_non_null(strstr(printed, "\\x1B[2J"));
    free(printed);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(announcements_are_explained),
        cmocka_unit_test(a_bad_line_stops_nothing),
        cmocka_unit_test(sentences_say_the_same),
        cmocka_unit_test(sentences_drive_no_terminal),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
