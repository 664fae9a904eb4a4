/* The marks of running instances, and the name of a queue that nobody chose. */
#include "config_home.h"

#include "running.h"

#define STATE ".cache/sr3/subscribe/t"

static char *read_state(const char *name)
{
    char text[300] = "", *path = memory_format("%s/" STATE "/%s", home, name);
    FILE *file = fopen(path, "r");

    free(path);
    if (!file)
        return NULL;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return memory_copy(text);
}

static void write_state(const char *name, const char *text)
{
    char *path = memory_format("%s/" STATE "/%s", home, name);
    FILE *file = fopen(path, "w");

    free(path);
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_state(void)
{
    char *path = memory_format("%s/" STATE, home);

    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static struct running *must_begin(const struct config *config)
{
    struct error err = {0};
    struct running *running = running_begin(config, &err);

    if (!running)
        fail_msg("%s", err.text);
    return running;
}

static void the_process_id_is_there_while_it_runs(void **state)
{
    struct config *config = must_load(BROKER "queueName q\n");
    struct running *running = must_begin(config);
    char *pid = read_state("subscribe_t_03.pid"), *want = memory_format("%d", (int)getpid());

    (void)state;
    assert_string_equal(pid, want);
    free(pid);
    free(want);
    running_end(running);
    assert_null(read_state("subscribe_t_03.pid"));
    assert_null(read_state("subscribe.t.anonymous.qname"));
    config_free(config);
    remove_state();
}

static void cleanup_waits_for_the_last_one(void **state)
{
    struct config *config = must_load(BROKER "queueName q\n");
    struct error err = {0};
    struct running *one, *other;
    int lock;

    (void)state;
    assert_int_equal(running_exclude(config, &err), -1); /* no directory, nothing to keep out */
    assert_int_equal(err.kind, ERROR_NONE);
    one = must_begin(config);
    other = must_begin(config);
    running_end(one);
    assert_int_equal(running_exclude(config, &err), -1);
    assert_string_equal(err.text, "subscribe/t is running; stop its instances first");
    running_end(other);

    err = (struct error){0};
    lock = running_exclude(config, &err);
    assert_true(lock >= 0);
    assert_null(running_begin(config, &err));
    assert_non_null(strstr(err.text, "is being cleaned up"));
    remove_state(); /* the lock's file too: others must not be fooled by it */
    other = must_begin(config);
    close(lock);
    assert_int_equal(running_exclude(config, &err), -1);
    running_end(other);
    config_free(config);
    remove_state();
}

/* Behind the broker's line; what the file holds; the name then used. */
static const struct {
    const char *lines, *file, *queue;
} names[] = {
    {"", NULL, "q_anonymous.subscribe.t.t"},
    {"", "q_old", "q_old"},
    {"", "q_old\n", "q_old"},
    {"queueName q_mine\n", "q_old", "q_mine"},
    {"queueName q_mine\nsubtopic #\n", "q_old", "q_mine"},
    {"queueShare here\n", "q_old", "q_anonymous.subscribe.t.here"},
    {"queueShare ${USER}_${HOSTNAME}_${RAND8}\n", "q_old", "q_old"},
    {"", "", "q_anonymous.subscribe.t.t"},
    {"", " \n", "q_anonymous.subscribe.t.t"},
    {"", "a\nb", "q_anonymous.subscribe.t.t"},
    {"", "\x01", "q_anonymous.subscribe.t.t"},
};

static void the_queue_that_was_used_before_is_used_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *lines = memory_format(BROKER "%s", names[i].lines);
        struct config *config = must_load("" BROKER "queueName q\n");

        running_end(must_begin(config)); /* makes the directory */
        config_free(config);
        if (names[i].file)
            write_state("subscribe.t.anonymous.qname", names[i].file);
        config = must_load(lines);
        if (strcmp(config->queue, names[i].queue) != 0)
            fail_msg("'%s', '%s': got %s, want %s", names[i].lines,
                     names[i].file ? names[i].file : "none", config->queue, names[i].queue);
        config_free(config);
        free(lines);
        remove_state();
    }
}

static void a_name_too_long_for_amqp_is_not_used(void **state)
{
    struct config *config = must_load(BROKER "queueName q\n");
    char name[257];

    (void)state;
    running_end(must_begin(config));
    config_free(config);
    memset(name, 'q', sizeof(name));
    name[256] = '\0';
    write_state("subscribe.t.anonymous.qname", name);
    config = must_load(BROKER);
    assert_string_equal(config->queue, "q_anonymous.subscribe.t.t");
    config_free(config);
    name[255] = '\0';
    write_state("subscribe.t.anonymous.qname", name);
    config = must_load(BROKER);
    assert_string_equal(config->queue, name);
    config_free(config);
    remove_state();
}

static void the_name_is_kept_for_the_next_start(void **state)
{
    struct config *config = must_load(BROKER "queueShare ${RAND8}\n"), *later;
    char *kept;

    (void)state;
    running_end(must_begin(config));
    kept = read_state("subscribe.t.anonymous.qname");
    assert_string_equal(kept, config->queue);
    later = must_load(BROKER "queueShare ${RAND8}\n");
    assert_string_equal(later->queue, config->queue);
    running_end(must_begin(later));
    config_free(config);
    config_free(later);
    free(kept);
    remove_state();
}

static size_t warnings_about_hosts(const char *lines, bool from_config_option, int instance)
{
    struct config_request request = {
        .name = "subscribe/t", .from_config_option = from_config_option, .instance = instance};
    struct error err;
    struct config *config = load_with(lines, &request, &err);
    size_t found = 0;

    assert_non_null(config);
    for (size_t i = 0; i < config->warning_count; i++)
        found += strstr(config->warnings[i], "each host or container") != NULL;
    config_free(config);
    return found;
}

/* --config is how containers are started: there the first one is as suspicious as the fifth. */
static void names_that_differ_between_containers_are_called_out(void **state)
{
    static const char lines[] = BROKER "queueName q_${HOSTNAME}\n";

    (void)state;
    assert_int_equal(warnings_about_hosts(lines, true, 1), 1);
    assert_int_equal(warnings_about_hosts(lines, false, 1), 0);
    assert_int_equal(warnings_about_hosts(lines, false, 2), 1);
    assert_int_equal(warnings_about_hosts(BROKER "queueShare ${HOSTDIR}\n", true, 1), 1);
    assert_int_equal(warnings_about_hosts(BROKER "queueName q_mine\n", true, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_id_is_there_while_it_runs),
        cmocka_unit_test(cleanup_waits_for_the_last_one),
        cmocka_unit_test(the_queue_that_was_used_before_is_used_again),
        cmocka_unit_test(a_name_too_long_for_amqp_is_not_used),
        cmocka_unit_test(the_name_is_kept_for_the_next_start),
        cmocka_unit_test(names_that_differ_between_containers_are_called_out),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
