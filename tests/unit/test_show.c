/* show: every value with its line, in both forms, and never a password. */
#include "config_home.h"

#include "commands/commands.h"

static const char text[] = BROKER "topicPrefix v02.post\n"
                                  "subtopic *.WXO-DD.a.#\n"
                                  "queueName q_${BROKER_USER}\n"
                                  "directory /data\n"
                                  "mirror on\n"
                                  "expire 2h\n"
                                  "prefetch 10\n"
                                  "nodupe_redis_serverurl redis://:geheim@redis:6379/0\n"
                                  "post_baseUrl http://joe:geheim@h/x\n"
                                  "vip 10.0.0.1\n"
                                  "vip 10.0.0.2\n"
                                  "declare env API_TOKEN=geheim\n"
                                  "declare env COLOUR=red\n"
                                  "reject .*secret.*\n"
                                  "accept .*\n";

static char *show(const char *config_text, bool json, bool defaults)
{
    struct config *config = must_load(config_text);
    struct show_settings settings = {.json = json, .defaults = defaults};
    char *printed, *shortened;
    size_t size;
    FILE *out = open_memstream(&printed, &size);

    show_print(config, &settings, out);
    fclose(out);
    config_free(config);
    shortened = shorten(printed);
    free(printed);
    return shortened;
}

static json_t *show_json(bool defaults)
{
    char *printed = show(text, true, defaults);
    json_t *json = json_loads(printed, 0, NULL);

    assert_non_null(json);
    free(printed);
    return json;
}

static const struct {
    const char *name, *value; /* JSON */
    int line;
} options[] = {
    {"broker", "\"amqps://anonymous@dd.weather.gc.ca:5671/\"", 1},
    {"topicPrefix", "\"v02.post\"", 2},
    {"queueName", "\"q_anonymous\"", 4},
    {"mirror", "true", 6},
    {"prefetch", "10", 8},
    {"post_baseUrl", "\"http://joe:***@h/x\"", 10},
    {"vip", "[\"10.0.0.1\", \"10.0.0.2\"]", 12},
};

static void options_have_their_place(void **state)
{
    json_t *all = show_json(false), *list = json_object_get(all, "options");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        json_t *entry = json_object_get(list, options[i].name);
        json_t *want = json_loads(options[i].value, JSON_DECODE_ANY, NULL);

        if (!json_equal(want, json_object_get(entry, "value")) ||
            json_integer_value(json_object_get(entry, "line")) != options[i].line ||
            strcmp(json_string_value(json_object_get(entry, "file")),
                   "~/.config/sr3/subscribe/t.conf") != 0)
            fail_msg("%s: %s", options[i].name, entry ? json_dumps(entry, 0) : "is not there");
        json_decref(want);
    }
    assert_null(json_object_get(list, "housekeeping"));
    json_decref(all);
}

static void defaults_are_shown_when_asked(void **state)
{
    json_t *all = show_json(true), *list = json_object_get(all, "options");
    json_t *entry = json_object_get(list, "housekeeping");

    (void)state;
    assert_non_null(entry);
    assert_true(json_is_null(json_object_get(entry, "file")));
    assert_true(json_object_size(list) > 100);
    json_decref(all);
}

static void rules_bindings_and_names_are_shown(void **state)
{
    json_t *all = show_json(false), *rule, *binding, *names;

    (void)state;
    assert_int_equal(json_array_size(json_object_get(all, "rules")), 2);
    rule = json_array_get(json_object_get(all, "rules"), 0);
    assert_string_equal(json_string_value(json_object_get(rule, "rule")), "reject");
    assert_string_equal(json_string_value(json_object_get(rule, "pattern")), ".*secret.*");
    assert_int_equal(json_integer_value(json_object_get(rule, "line")), 15);
    binding = json_array_get(json_object_get(all, "bindings"), 0);
    assert_string_equal(json_string_value(json_object_get(binding, "topic")),
                        "v02.post.*.WXO-DD.a.#");
    assert_int_equal(json_integer_value(json_object_get(binding, "line")), 3);
    names = json_object_get(all, "names");
    assert_string_equal(json_string_value(json_object_get(names, "queue")), "q_anonymous");
    assert_string_equal(json_string_value(json_object_get(names, "state")),
                        "~/.cache/sr3/subscribe/t");
    json_decref(all);
}

static void the_text_has_the_same(void **state)
{
    static const char *const parts[] = {
        "subscribe/t, from ~/.config/sr3/subscribe/t.conf\n",
        "  mirror                   on                                        "
        "~/.config/sr3/subscribe/t.conf:6\n",
        "  vip                      10.0.0.1, 10.0.0.2                        "
        "~/.config/sr3/subscribe/t.conf:12\n",
        "  accept                   .*                                        "
        "~/.config/sr3/subscribe/t.conf:16\n    directory              /data\n",
        "  xpublic                  v02.post.*.WXO-DD.a.#                     "
        "~/.config/sr3/subscribe/t.conf:3\n",
        "  COLOUR                   red\n",
        "  queue                    q_anonymous\n",
    };
    char *printed = show(text, false, false);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (!strstr(printed, parts[i]))
            fail_msg("'%s' is not in:\n%s", parts[i], printed);
    free(printed);
}

static void no_form_has_a_password(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        char *printed = show(text, form & 1, form & 2);

        if (strstr(printed, "geheim"))
            fail_msg("form %d: %s", form, printed);
        free(printed);
    }
}

static const struct {
    const char *text, *hidden;
} secrets[] = {
    {"plain", "plain"},
    {"http://h/x", "http://h/x"},
    {"http://joe@h/x", "http://joe@h/x"},
    {"http://joe:pw@h/x", "http://joe:***@h/x"},
    {"redis://:pw@h", "redis://:***@h"},
    {"ftp://u:a@b/c@h/x", "ftp://u:***@h/x"},
    {"get http://a:b@c 'http://d:e@f' http://g", "get http://a:***@c 'http://d:***@f' http://g"},
    {"http://a:@h", "http://a:@h"},
};

static void passwords_are_hidden(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        char *hidden = command_hide_secrets(secrets[i].text);

        assert_string_equal(hidden, secrets[i].hidden);
        free(hidden);
    }
    assert_null(command_hide_secrets(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_have_their_place),
        cmocka_unit_test(defaults_are_shown_when_asked),
        cmocka_unit_test(rules_bindings_and_names_are_shown),
        cmocka_unit_test(the_text_has_the_same),
        cmocka_unit_test(no_form_has_a_password),
        cmocka_unit_test(passwords_are_hidden),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
