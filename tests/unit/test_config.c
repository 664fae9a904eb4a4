/*
 * Configurations: order, variables, names, what is resolved, and where settings come from.
 */
#include "base/log.h"
#include "config_home.h"

static void defaults_are_those_of_sr3(void **state)
{
    struct config *c = must_load(BROKER);

    (void)state;
    assert_string_equal(c->broker.parts.user, "anonymous");
    assert_string_equal(c->broker.parts.password, "anonymous");
    assert_string_equal(c->broker_url, "amqps://anonymous@dd.weather.gc.ca:5671/");
    assert_string_equal(c->broker_vhost, "/");
    assert_string_equal(c->exchange, "xpublic");
    assert_int_equal(c->binding_count, 1);
    assert_string_equal(c->bindings[0].topic, "v03.#");
    assert_string_equal(c->queue, "q_anonymous.subscribe.t.t");
    assert_string_equal(c->directory, home);
    assert_string_equal(c->nodupe_base, "sr3.nodupe.subscribe.t");
    assert_true(c->queue_declare && c->queue_bind && c->durable && !c->auto_delete);
    assert_true(c->accept_unmatched && !c->mirror && c->download && c->overwrite);
    assert_true(c->perm_copy && c->time_copy && !c->log_stdout && !c->statehost);
    assert_int_equal(c->prefetch, 256);
    assert_int_equal(c->attempts, 3);
    assert_int_equal(c->timeout_ms, 300000);
    assert_int_equal(c->expire_ms, 0);
    assert_int_equal(c->retry_ttl_ms, 0);
    assert_int_equal(c->nodupe_ttl_ms, 0);
    assert_int_equal(c->nodupe_driver, CONFIG_DRIVER_DISK);
    assert_int_equal(c->tls_rigour, CONFIG_TLS_NORMAL);
    assert_int_equal(c->durability, CONFIG_DURABILITY_GROUP);
    assert_int_equal(c->perm_dir_default, 0775);
    assert_int_equal(c->perm_log, 0600);
    assert_null(c->log_file);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->log_events, CONFIG_LOG_AFTER_ACCEPT | CONFIG_LOG_AFTER_POST |
                                        CONFIG_LOG_AFTER_WORK | CONFIG_LOG_ON_HOUSEKEEPING);
    assert_int_equal(c->transfers_max, 32);
    assert_int_equal(c->transfers_max_per_host, 16);
    assert_int_equal(c->stop_grace_ms, 8000);
    assert_null(c->inflight);
    assert_null(c->origins[CONFIG_OPTION_expire_ms].file);
    config_free(c);
}

static void settings_are_applied(void **state)
{
    struct config *c = must_load(BROKER "prefetch 0\nexpiry 10m\nlogEvents +gather\nlogReject\n"
                                        "debug on\nexpire 20m\nll none\nat 7\ntls_rigour LAX\n");

    (void)state;
    assert_int_equal(c->prefetch, 256);
    assert_int_equal(c->expire_ms, 1200000);
    assert_int_equal(c->retry_ttl_ms, 1200000);
    assert_int_equal(c->origins[CONFIG_OPTION_expire_ms].line, 7);
    assert_string_equal(c->origins[CONFIG_OPTION_expire_ms].file, c->path);
    assert_true(c->log_events & CONFIG_LOG_GATHER && c->log_events & CONFIG_LOG_REJECT);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->attempts, 7);
    assert_int_equal(c->tls_rigour, CONFIG_TLS_LAX);
    config_free(c);
    c = must_load(BROKER "expire 10m\nretry_ttl 0\nnodupe_ttl on\n");
    assert_int_equal(c->retry_ttl_ms, 0);
    assert_int_equal(c->nodupe_ttl_ms, 300000);
    config_free(c);
}

/* sr3 takes it for the age of files that may be read, and then downloads nothing. */
static void an_age_for_inflight_names_no_file(void **state)
{
    struct config *c = must_load(BROKER "inflight 5m\n");

    (void)state;
    assert_null(c->inflight);
    assert_int_equal(c->file_age_min_ms, 300000);
    config_free(c);
    c = must_load(BROKER "inflight 30tmp/\n");
    assert_string_equal(c->inflight, "30tmp/");
    assert_int_equal(c->file_age_min_ms, 0);
    config_free(c);
}

static void rules_capture_the_directory(void **state)
{
    static const struct {
        bool accept;
        const char *pattern, *directory;
        int line;
    } rules[] = {{true, ".*first", "~", 2},
                 {true, ".*GIF.*", "~/data", 4},
                 {false, ".*", "~/data", 5},
                 {true, "x#y", "/other", 7}};
    struct config *c = must_load(BROKER "accept .*first\ndirectory ~/data\naccept .*GIF.*  # c\n"
                                        "reject .*\ndirectory /other\naccept x#y None\n"
                                        "directory /end\n");

    (void)state;
    assert_int_equal(c->rule_count, COUNT_OF(rules));
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        char *directory = shorten(c->rules[i].directory);

        assert_int_equal(c->rules[i].accept, rules[i].accept);
        assert_string_equal(c->rules[i].pattern, rules[i].pattern);
        assert_string_equal(directory, rules[i].directory);
        assert_int_equal(c->rules[i].line, rules[i].line);
        assert_string_equal(c->rules[i].file, c->path);
        free(directory);
    }
    assert_string_equal(c->directory, "/end");
    assert_int_equal(c->warning_count, 2); /* the comment; the shared name of the queue */
    config_free(c);
}

static const struct {
    const char *lines, *bindings; /* "exchange topic;" for each */
} bindings[] = {
    {BROKER, "xpublic v03.#;"},
    {BROKER "topicPrefix v02.post\nsubtopic #\n", "xpublic v02.post.#;"},
    {BROKER "topicPrefix v02/post\nsubtopic */a/b.#\n", "xpublic v02.post.*.a.b.#;"},
    {BROKER "subtopic # # comment\n", "xpublic v03.#;"},
    {BROKER "subtopic None\n", ""},
    {BROKER "subtopic off\n", ""},
    {BROKER "subtopic a\nexchange x2\ntopicPrefix v02.post\nsubtopic b\n",
     "xpublic v03.a;x2 v02.post.b;"},
    {BROKER "exchangeSuffix s\nsubtopic a\nexchangeSuffix t\nsubtopic b\n",
     "xpublic_s v03.a;xpublic_s v03.b;"},
    {BROKER "exchangeSuffix s\nexchange x\nsubtopic a\n", "x v03.a;"},
    {BROKER "topicPrefix None\nsubtopic a\n", "xpublic a;"},
    {"broker amqp://bob:x@h/v\nsubtopic a\n", "xs_bob v03.a;"},
    {"broker amqp://bob:x@h/v\nexchange_suffix s\n", "xs_bob_s v03.#;"},
};

static void bindings_are_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bindings); i++) {
        struct config *c = must_load(bindings[i].lines);
        char *got = memory_copy("");

        for (size_t j = 0; j < c->binding_count; j++)
            memory_replace(&got, memory_format("%s%s %s;", got, c->bindings[j].exchange,
                                               c->bindings[j].topic));
        if (strcmp(got, bindings[i].bindings) != 0)
            fail_msg("'%s': got '%s'", bindings[i].lines, got);
        free(got);
        config_free(c);
    }
}

static const struct {
    const char *lines, *queue;
} queues[] = {
    {BROKER, "q_anonymous.subscribe.t.t"},
    {BROKER "queueShare s\n", "q_anonymous.subscribe.t.s"},
    {BROKER "queueShare s\nqueueName q_x\n", "q_x"},
    {BROKER "qn q_${BROKER_USER}.${PROGRAM}.${CONFIG}.${NOSUCH}\n",
     "q_anonymous.subscribe.t.${NOSUCH}"},
    {"queue q_${BROKER_USER}\n" BROKER, "q_${BROKER_USER}"},
    {"broker amqp://bob:x@h/\n", "q_bob.subscribe.t.t"},
    {BROKER "queueName q_${SR_INSTANCE}_${INSTANCE}\n", "q_3_3"},
    {BROKER "source s9\nqueueName q_${SOURCE}_${EXCHANGE}\n", "q_s9_env"},
    {BROKER "declare env A=a b=c\ndeclare env HOME=no\nqueueName ${A}\n", "a b=c"},
    {BROKER "queueName q\nqueueName None\n", "q_anonymous.subscribe.t.t"},
};

static void queues_are_named(void **state)
{
    (void)state;
    setenv("EXCHANGE", "env", 1); /* an option that is set wins, one that is not does not */
    setenv("SOURCE", "env", 1);
    for (size_t i = 0; i < COUNT_OF(queues); i++) {
        struct config *c = must_load(queues[i].lines);

        if (strcmp(c->queue, queues[i].queue) != 0)
            fail_msg("'%s': got '%s'", queues[i].lines, c->queue);
        config_free(c);
    }
    unsetenv("EXCHANGE");
    unsetenv("SOURCE");
}

/* --- where settings come from ---------------------------------------------------------------- */

static void general_files_come_first(void **state)
{
    struct config *c;
    char *text;

    (void)state;
    write_file("admin.conf", "timeout 1\nexpire 1\nmirror on\n");
    write_file("default.conf", BROKER "timeout 2\ndownload off\ndirectory /default\n");
    c = must_load("timeout 3\naccept .*\nqueueName q\n");
    assert_int_equal(c->timeout_ms, 3000);
    assert_int_equal(c->expire_ms, 1000);
    assert_false(c->mirror);
    assert_true(c->download);
    assert_null(c->origins[CONFIG_OPTION_mirror].file);
    assert_string_equal(c->rules[0].directory, "/default");
    assert_int_equal(c->warning_count, 2);
    text = shorten(c->warnings[0]);
    assert_string_equal(text, "~/.config/sr3/admin.conf:3: option 'mirror': has no effect in this "
                              "file, set it in each configuration");
    free(text);
    config_free(c);
    remove_config("admin.conf");
    remove_config("default.conf");
}

static void arguments_come_last(void **state)
{
    const struct config_argument arguments[] = {
        {"b", "amqp://carl:pw@h/v/"}, {"debug", NULL}, {"attempts", "9"}};
    const struct config_argument wrong[] = {{"attempts", "none"}};
    struct config_request request = {.name = "t", .arguments = arguments, .argument_count = 3};
    struct error err;
    struct config *c = load_with("attempts 4\nsubtopic a\n", &request, &err);

    (void)state;
    if (!c)
        fail_msg("%s", err.text);
    assert_string_equal(c->broker_url, "amqp://carl@h:5672/v/");
    assert_string_equal(c->broker_vhost, "v");
    assert_string_equal(c->bindings[0].exchange, "xs_carl");
    assert_int_equal(c->attempts, 9);
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_string_equal(c->origins[CONFIG_OPTION_attempts].file, "command line");
    config_free(c);
    request = (struct config_request){.name = "t", .arguments = wrong, .argument_count = 1};
    assert_null(load_with(BROKER, &request, &err));
    assert_string_equal(err.text, "command line: option 'attempts': 'none' is no number; write "
                                  "digits, such as 25");
}

static void credentials_are_used(void **state)
{
    struct config *c;

    (void)state;
    write_file("credentials.conf", "amqps://alice:pw@b.example.org/\namqps://x:y@z/ nosuch\n");
    c = must_load("broker amqps://alice@b.example.org\nqueueName q\n");
    assert_string_equal(c->broker.parts.password, "pw");
    assert_int_equal(c->warning_count, 1);
    config_free(c);
    c = must_load("broker amqps://b.example.org/\n");
    assert_string_equal(c->broker_url, "amqps://alice@b.example.org:5671/");
    assert_string_equal(c->exchange, "xs_alice");
    config_free(c);
    remove_config("credentials.conf");
}

static const struct {
    const char *typed;
    bool from_config_option;
    const char *name, *process_name, *base; /* name NULL: refused; process_name is the error */
} names[] = {
    {"subscribe/t", false, "t", "t", "sr3.nodupe.subscribe.t"},
    {"subscribe/t.conf", false, "t", "t", "sr3.nodupe.subscribe.t"},
    {"t", false, "t", "t", "sr3.nodupe.subscribe.t"},
    {"t.conf", true, "t", "t", "sr3.nodupe.subscribe.t"},
    {"subscribe/t.conf", true, "t", "subscribe/t", "sr3.nodupe.subscribe.subscribe/t"},
    {"subscribe/d.o_t", true, "d.o_t", "subscribe/d.o_t", "sr3.nodupe.subscribe.subscribe/d_o_t"},
    {"sarra/t", false, NULL,
     "'sarra/t' names no configuration; write subscribe/NAME for the file NAME.conf", NULL},
    {"subscribe/../t", false, NULL,
     "'subscribe/../t' names no configuration; write subscribe/NAME for the file NAME.conf", NULL},
    {"", false, NULL, "'' names no configuration; write subscribe/NAME for the file NAME.conf",
     NULL},
    {"..", false, NULL, "'..' names no configuration; write subscribe/NAME for the file NAME.conf",
     NULL},
    {"/etc/t.conf", false, NULL,
     "'/etc/t.conf' names no configuration; write subscribe/NAME for the file NAME.conf", NULL},
    {"subscribe/d.ot", false, NULL,
     "read '~/.config/sr3/subscribe/d.ot.conf': there is no such file; did you mean "
     "subscribe/d.o_t?",
     NULL},
    {"subscribe/zzz", false, NULL, "read '~/.config/sr3/subscribe/zzz.conf': there is no such file",
     NULL},
};

static void names_are_resolved(void **state)
{
    (void)state;
    write_file("subscribe/t.conf", BROKER);
    write_file("subscribe/d.o_t.conf", BROKER);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct config_request request = {.name = names[i].typed,
                                               .from_config_option = names[i].from_config_option};
        struct error err;
        struct config *c = load_with(NULL, &request, &err);
        char *text = shorten(err.text);

        if (!c != !names[i].name || (!c && strcmp(text, names[i].process_name) != 0))
            fail_msg("'%s': %s", names[i].typed, c ? "was taken" : text);
        if (c && (strcmp(c->name, names[i].name) != 0 ||
                  strcmp(c->process_name, names[i].process_name) != 0 ||
                  strcmp(c->nodupe_base, names[i].base) != 0))
            fail_msg("'%s': got %s, %s, %s", names[i].typed, c->name, c->process_name,
                     c->nodupe_base);
        free(text);
        config_free(c);
    }
}

static void paths_follow_the_environment(void **state)
{
    struct config *c = must_load(BROKER);
    char *log = shorten(c->log_path), *metrics = shorten(c->metrics_path);
    char *subscription = shorten(c->subscription_dir), host[256] = "", *wanted;

    (void)state;
    assert_string_equal(log, "~/.cache/sr3/log/subscribe_t_03.log");
    assert_string_equal(metrics, "~/.cache/sr3/metrics/subscribe_t_03.json");
    assert_string_equal(subscription, "~/.cache/sr3/subscribe/t");
    free(log);
    free(metrics);
    free(subscription);
    config_free(c);
    setenv("XDG_CACHE_HOME", "/x", 1);
    c = must_load(BROKER "statehost on\n");
    unsetenv("XDG_CACHE_HOME");
    gethostname(host, sizeof(host) - 1);
    host[strcspn(host, ".")] = '\0';
    wanted = memory_format("/x/sr3/%s", host);
    assert_string_equal(c->state_dir, wanted);
    free(wanted);
    config_free(c);
}

static void declared_variables_are_exported(void **state)
{
    struct config *c = must_load(BROKER "declare env SR3SUB_T=1\ndeclare env SR3SUB_T=2\n"
                                        "declare env HOME=/no\n");

    (void)state;
    config_export_environment(c);
    assert_string_equal(getenv("SR3SUB_T"), "2");
    assert_string_equal(getenv("HOME"), home);
    config_free(c);
    unsetenv("SR3SUB_T");
}

static void option_names_are_known(void **state)
{
    bool known;

    (void)state;
    assert_true(config_option_takes_value("timeout", &known) && known);
    assert_true(config_option_takes_value("queue_name", &known) && known);
    assert_false(config_option_takes_value("debug", &known));
    assert_true(known);
    assert_false(config_option_takes_value("Debug", &known));
    assert_false(known);
    assert_string_equal(config_option(CONFIG_OPTION_housekeeping_ms)->name, "housekeeping");
    assert_true(option_is_flag_word("False") && !option_is_flag_word("foreground"));
}

/* --- the example of this project ------------------------------------------------------------- */

static void link_example(const char *name)
{
    char *from = memory_format(PROJECT_DIR "/config/subscribe/%s", name);
    char *below = memory_format("subscribe/%s", name), *to = path_of(below);

    assert_int_equal(symlink(from, to), 0);
    free(from);
    free(below);
    free(to);
}

static void dd_all_means_what_it_says(void **state)
{
    const struct config_argument arguments[] = {{"logStdout", NULL}};
    const struct config_request request = {.name = "subscribe/dd_all.conf",
                                           .from_config_option = true,
                                           .instance = 5,
                                           .arguments = arguments,
                                           .argument_count = 1};
    struct error err;
    struct config *c;

    (void)state;
    link_example("dd_all.conf");
    c = load_with(NULL, &request, &err);
    if (!c)
        fail_msg("%s", err.text);
    assert_string_equal(c->broker_url, "amqps://anonymous@dd.weather.gc.ca:5671/");
    assert_string_equal(c->broker.parts.password, "anonymous");
    assert_string_equal(c->broker_vhost, "/");
    assert_string_equal(c->queue, "q_anonymous_subscribe.dd_all.10597298.62348623");
    assert_true(c->durable && !c->auto_delete);
    assert_int_equal(c->expire_ms, 600000);
    assert_int_equal(c->binding_count, 1);
    assert_string_equal(c->bindings[0].exchange, "xpublic");
    assert_string_equal(c->bindings[0].topic, "v02.post.#");
    assert_string_equal(c->directory, "/tmp/dd_all");
    assert_true(c->mirror && c->accept_unmatched && c->log_stdout);
    assert_int_equal(c->rule_count, 0);
    assert_int_equal(c->nodupe_ttl_ms, 86400000000);
    assert_int_equal(c->nodupe_driver, CONFIG_DRIVER_REDIS);
    assert_string_equal(c->nodupe_base, "sr3.nodupe.subscribe.subscribe/dd_all");
    assert_string_equal(c->nodupe_redis_serverurl.parts.password, "SuperSecure");
    assert_int_equal(c->retry_driver, CONFIG_DRIVER_REDIS);
    assert_string_equal(c->redisqueue_serverurl.text, "redis://:SuperSecure@redis:6379/0");
    assert_int_equal(c->retry_ttl_ms, 600000);
    assert_string_equal(strrchr(c->metrics_path, '/'), "/subscribe_dd_all_05.json");
    assert_int_equal(c->warning_count, 0);
    config_free(c);
}

static void dd_all_local_is_for_one_host(void **state)
{
    const struct config_request request = {.name = "subscribe/dd_all_local"};
    struct error err;
    struct config *c;
    char *directory;

    (void)state;
    link_example("dd_all_local.conf");
    c = load_with(NULL, &request, &err);
    if (!c)
        fail_msg("%s", err.text);
    directory = shorten(c->directory);
    assert_string_equal(directory, "~/dd_all");
    assert_int_equal(c->nodupe_driver, CONFIG_DRIVER_DISK);
    assert_int_equal(c->retry_driver, CONFIG_DRIVER_DISK);
    assert_int_equal(c->warning_count, 0);
    assert_null(strstr(c->queue, "${"));
    free(directory);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_sr3),
        cmocka_unit_test(settings_are_applied),
        cmocka_unit_test(an_age_for_inflight_names_no_file),
        cmocka_unit_test(rules_capture_the_directory),
        cmocka_unit_test(bindings_are_made),
        cmocka_unit_test(queues_are_named),
        cmocka_unit_test(general_files_come_first),
        cmocka_unit_test(arguments_come_last),
        cmocka_unit_test(credentials_are_used),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(paths_follow_the_environment),
        cmocka_unit_test(declared_variables_are_exported),
        cmocka_unit_test(option_names_are_known),
        cmocka_unit_test(dd_all_means_what_it_says),
        cmocka_unit_test(dd_all_local_is_for_one_host),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
