/*
 * Settings in the environment: names, files, order, what is refused, and that no value of a secret
 * is ever in a text.
 */
#include "settings/config_environment.h"

#include "config_home.h"

#define SET_MAX 4

static void clear_environment(void)
{
    for (size_t i = 0; environ[i];) {
        char *name = memory_copy_bytes(environ[i], strcspn(environ[i], "="));

        if (strncmp(name, "SR3_", 4) || unsetenv(name))
            i++;
        free(name);
    }
}

/* Variables as "NAME=value"; '~' at the start of a value is the home directory. */
static void set_environment(const char *const *set)
{
    clear_environment();
    for (size_t i = 0; i < SET_MAX && set[i]; i++) {
        const char *equals = strchr(set[i], '=');
        char *name = memory_copy_bytes(set[i], (size_t)(equals - set[i]));
        char *value = memory_format("%s%s", equals[1] == '~' ? home : "",
                                    equals + (equals[1] == '~' ? 2 : 1));

        setenv(name, value, 1);
        free(name);
        free(value);
    }
}

static int forget_variables(void **state)
{
    (void)state;
    clear_environment();
    return 0;
}

/* The first warning about a variable; NULL: there is none. */
static const char *warning_of(const struct config *config)
{
    for (size_t i = 0; i < config->warning_count; i++)
        if (!strncmp(config->warnings[i], "environment variable ", 21))
            return config->warnings[i];
    return NULL;
}

/* ---- values ---- */

static const struct {
    const char *variable;
    enum config_option index;
    const char *value; /* as the option prints it */
} values[] = {
    {"SR3_prefetch=7", CONFIG_OPTION_prefetch, "7"},
    {"SR3_PREFETCH=7", CONFIG_OPTION_prefetch, "7"},
    {"SR3_LOG_LEVEL=debug", CONFIG_OPTION_log_level, "debug"},
    {"SR3_LOGLEVEL=debug", CONFIG_OPTION_log_level, "debug"},
    {"SR3_logLevel=debug", CONFIG_OPTION_log_level, "debug"},
    {"SR3_LOG_STDOUT=on", CONFIG_OPTION_log_stdout, "on"},
    {"SR3_LOG_FILE=/x.log", CONFIG_OPTION_log_file, "/x.log"},
    {"SR3_NODUPE_TTL=60", CONFIG_OPTION_nodupe_ttl_ms, "1m"},
    {"SR3_NODUPE_TTL_FILE=~/sixty", CONFIG_OPTION_nodupe_ttl_ms, "1m"},
    {"SR3_QUEUE_NAME=q_${X}_$Y", CONFIG_OPTION_queue_name, "q_${X}_$Y"},
};

static void values_are_taken(void **state)
{
    (void)state;
    write_file("../../sixty", "60\r\n\n");
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        const struct option *option = config_option(values[i].index);
        const struct config_origin *origin;
        struct config *c;
        char *value;

        set_environment((const char *const[SET_MAX]){values[i].variable});
        c = must_load(BROKER "prefetch 5\n");
        value = option->kind->print(option, (const char *)c + option->offset);
        origin = &c->origins[values[i].index];
        if (strcmp(value, values[i].value) || warning_of(c) || origin->line
            || strncmp(origin->file, "environment variable SR3_", 25))
            fail_msg("%s: '%s' of %s; %s", values[i].variable, value, origin->file,
                     warning_of(c) ? warning_of(c) : "no warning");
        free(value);
        config_free(c);
    }
}

static void the_command_line_wins(void **state)
{
    const struct config_argument arguments[] = {{"prefetch", "9"}};
    struct config_request request = {.name = "t", .arguments = arguments, .argument_count = 1};
    struct error err;
    struct config *c;

    (void)state;
    set_environment((const char *const[SET_MAX]){"SR3_PREFETCH=8", "SR3_ATTEMPTS=8"});
    c = load_with(BROKER "prefetch 7\nattempts 7\n", &request, &err);
    assert_non_null(c);
    assert_int_equal(c->prefetch, 9);
    assert_int_equal(c->attempts, 8);
    assert_string_equal(c->origins[CONFIG_OPTION_attempts].file,
                        "environment variable SR3_ATTEMPTS");
    config_free(c);
}

static void empty_variables_say_nothing(void **state)
{
    struct config *c;

    (void)state;
    set_environment(
        (const char *const[SET_MAX]){"SR3_PREFETCH=", "SR3_BROKER_FILE=", "SR3_NOSUCH="});
    c = must_load(BROKER "prefetch 7\n");
    assert_int_equal(c->prefetch, 7);
    assert_null(warning_of(c));
    config_free(c);
}

static void the_broker_is_known_to_the_file(void **state)
{
    struct config *c;

    (void)state;
    write_file("../../broker", "amqps://alice:pa$$w%2f@b.example.org/\n");
    set_environment((const char *const[SET_MAX]){"SR3_BROKER_FILE=~/broker"});
    c = must_load("subtopic a\nqueueName q_${BROKER_USER}\n");
    assert_string_equal(c->broker_url, "amqps://alice@b.example.org:5671/");
    assert_string_equal(c->broker.parts.password, "pa$$w/");
    assert_string_equal(c->bindings[0].exchange, "xs_alice");
    assert_string_equal(c->queue, "q_alice");
    config_free(c);
}

/* What rules of the file take over is there before them, so that it counts where they say nothing.
 */
static void rules_take_over_what_is_set(void **state)
{
    struct config *c;

    (void)state;
    set_environment((const char *const[SET_MAX]){"SR3_DIRECTORY=/env", "SR3_STRIP=2"});
    c = must_load(BROKER "accept .*a\ndirectory /file\naccept .*b\n");
    assert_string_equal(c->rules[0].directory, "/env");
    assert_string_equal(c->rules[0].strip, "2");
    assert_string_equal(c->rules[1].directory, "/file");
    assert_string_equal(c->directory, "/env");
    config_free(c);
}

static void each_line_is_a_rule_of_its_own(void **state)
{
    struct config *c;

    (void)state;
    set_environment((const char *const[SET_MAX]){"SR3_ACCEPT=.*a\n\n  .*b\n", "SR3_REJECT=.*c",
                                                 "SR3_SUBTOPIC=x.#\ny.#", "SR3_STRIP=2"});
    c = must_load(BROKER "accept .*first\n");
    assert_int_equal(c->rule_count, 4);
    assert_string_equal(c->rules[0].pattern, ".*first");
    assert_string_equal(c->rules[1].pattern, ".*a");
    assert_string_equal(c->rules[1].strip, "2");
    assert_string_equal(c->rules[2].pattern, ".*b");
    assert_string_equal(c->rules[2].file, "environment variable SR3_ACCEPT");
    assert_false(c->rules[3].accept);
    assert_int_equal(c->binding_count, 2);
    assert_string_equal(c->bindings[1].topic, "v03.y.#");
    config_free(c);
}

static void credentials_may_be_elsewhere(void **state)
{
    struct error err;
    struct config *c;

    (void)state;
    write_file("../../logins", "amqps://alice:elsewhere@b.example.org/\n");
    set_environment((const char *const[SET_MAX]){"SR3_CREDENTIALS_FILE=~/logins"});
    c = must_load("broker amqps://alice@b.example.org\n");
    assert_string_equal(c->broker.parts.password, "elsewhere");
    config_free(c);
    set_environment((const char *const[SET_MAX]){"SR3_CREDENTIALS_FILE=/nowhere/logins"});
    assert_null(load(BROKER, &err));
    assert_string_equal(err.text, "environment variable SR3_CREDENTIALS_FILE: read "
                                  "'/nowhere/logins': No such file or directory");
}

/* ---- what is wrong ---- */

static const struct {
    const char *variables[SET_MAX];
    const char *says; /* the end of the error */
} wrong[] = {
    {{"SR3_PREFETCH=many"},
     "environment variable SR3_PREFETCH: option 'prefetch': 'many' is no number; write digits, "
     "such as 25"},
    {{"SR3_BROKER_FILE=/nowhere/broker"},
     "environment variable SR3_BROKER_FILE: option 'broker': read '/nowhere/broker': No such file "
     "or directory"},
    {{"SR3_LOGLEVEL=info", "SR3_LOG_LEVEL=info"}, "is set by another one, too: "},
    {{"SR3_PREFETCH_FILE=~/sixty", "SR3_PREFETCH=1"}, "is set by another one, too: "},
    {{"SR3_BROKER=amqps://u:Sesame-4711@"}, "environment variable SR3_BROKER: option 'broker': "},
};

static void wrong_values_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct error err;

        set_environment(wrong[i].variables);
        assert_null(load(BROKER, &err));
        if (!strstr(err.text, wrong[i].says) || strstr(err.text, "Sesame"))
            fail_msg("%s: '%s'", wrong[i].variables[0], err.text);
    }
}

static const struct {
    const char *variable, *warning;
} unknown[] = {
    {"SR3_PREFECTH=Sesame-4711",
     "environment variable SR3_PREFECTH: there is no such option; did you mean SR3_PREFETCH?"},
    {"SR3_LOG_LEVLE=Sesame-4711",
     "environment variable SR3_LOG_LEVLE: there is no such option; did you mean SR3_LOG_LEVEL?"},
    {"SR3_SOMETHING_ELSE=Sesame-4711",
     "environment variable SR3_SOMETHING_ELSE: there is no such option"},
    {"SR3_=Sesame-4711", "environment variable SR3_: there is no such option"},
    {"SR3__FILE=Sesame-4711", "environment variable SR3__FILE: there is no such option"},
    {"SR3_INCLUDE=Sesame-4711", "environment variable SR3_INCLUDE: there is no such option"},
};

static void unknown_names_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        struct config *c;
        const char *warning;

        set_environment((const char *const[SET_MAX]){unknown[i].variable});
        c = must_load(BROKER);
        warning = warning_of(c);
        if (!warning || strncmp(warning, unknown[i].warning, strlen(unknown[i].warning))
            || strstr(warning, "Sesame"))
            fail_msg("%s: '%s'", unknown[i].variable, warning ? warning : "");
        config_free(c);
    }
}

static void names_of_others_are_left_alone(void **state)
{
    struct config *c;

    (void)state;
    set_environment((const char *const[SET_MAX]){"SR3_CONFIG=subscribe/x.conf", "SR3_INSTANCE=x"});
    c = must_load(BROKER);
    assert_null(warning_of(c));
    config_free(c);
}

/* ---- the names ---- */

/* Every option has a name of its own, which is not that of a file for the value of another. */
static void names_are_unique(void **state)
{
    const struct config_request request = {.name = "subscribe/t", .checking = true};

    (void)state;
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);
        char *name = config_environment_name(option->name);
        char *variable = memory_format("%s=amqp://host/", name); /* an error, for most */
        struct error err;
        struct config *c;

        set_environment((const char *const[SET_MAX]){variable});
        c = load_with(BROKER, &request, &err);
        assert_non_null(c);
        if (option->kind->print && warning_of(c) && strstr(warning_of(c), "no such option"))
            fail_msg("%s", warning_of(c));
        for (size_t k = 0; k < c->error_count; k++)
            if (!strstr(c->errors[k], option->name))
                fail_msg("%s: '%s'", variable, c->errors[k]);
        config_free(c);
        free(variable);
        free(name);
    }
}

static void names_are_spelled_as_people_do(void **state)
{
    static const char *const names[][2] = {{"prefetch", "SR3_PREFETCH"},
                                           {"logLevel", "SR3_LOG_LEVEL"},
                                           {"nodupe_ttl", "SR3_NODUPE_TTL"},
                                           {"byteRateMax", "SR3_BYTE_RATE_MAX"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *name = config_environment_name(names[i][0]);

        assert_string_equal(name, names[i][1]);
        free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_are_taken, forget_variables),
        cmocka_unit_test_teardown(the_command_line_wins, forget_variables),
        cmocka_unit_test_teardown(empty_variables_say_nothing, forget_variables),
        cmocka_unit_test_teardown(the_broker_is_known_to_the_file, forget_variables),
        cmocka_unit_test_teardown(rules_take_over_what_is_set, forget_variables),
        cmocka_unit_test_teardown(each_line_is_a_rule_of_its_own, forget_variables),
        cmocka_unit_test_teardown(credentials_may_be_elsewhere, forget_variables),
        cmocka_unit_test_teardown(wrong_values_are_refused, forget_variables),
        cmocka_unit_test_teardown(unknown_names_are_told, forget_variables),
        cmocka_unit_test_teardown(names_of_others_are_left_alone, forget_variables),
        cmocka_unit_test_teardown(names_are_unique, forget_variables),
        cmocka_unit_test_teardown(names_are_spelled_as_people_do, forget_variables),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
