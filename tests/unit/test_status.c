/*
 * status and health: what is read of metrics files, how instances add up, which state they are in,
 * and the table, which is compared with one that sr3 printed.
 */
#include "commands/status_parts.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "config_home.h"

#include <fcntl.h>
#include <math.h>

#define NOW_S 1795258460.29 /* when sr3 printed the table */

static char *metrics_path(const char *file)
{
    return memory_format("%s/.cache/sr3/metrics/%s", home, file);
}

static void make_directory(const char *name)
{
    char *path = memory_format("%s/%s", home, name);

    mkdir(path, 0700);
    free(path);
}

/* Writes a metrics file that was written `age_s` ago. */
static void write_metrics(const char *file, const char *text, double age_s)
{
    char *path = metrics_path(file);
    FILE *out;
    struct timespec times[2] = {{.tv_sec = (time_t)(NOW_S - age_s)},
                                {.tv_sec = (time_t)(NOW_S - age_s)}};

    make_directory(".cache");
    make_directory(".cache/sr3");
    make_directory(".cache/sr3/metrics");
    out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void remove_metrics(const char *file)
{
    char *path = metrics_path(file);

    unlink(path);
    free(path);
}

static char *read_data(const char *file)
{
    char *path = memory_format(TEST_DATA "/status/%s", file), *text = memory_new(1 << 16);
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    assert_true(fread(text, 1, (1 << 16) - 1, in) > 0);
    fclose(in);
    free(path);
    return text;
}

static void write_sample(const char *file, double age_s)
{
    char *text = read_data(file);

    write_metrics(file, text, age_s);
    free(text);
}

static int hold_clock(void **state)
{
    (void)state;
    clock_hold((int64_t)(NOW_S * 1000) * NS_PER_MS, 1000);
    write_file("subscribe/t.conf", BROKER);
    return 0;
}

static int release_clock(void **state)
{
    static const char *const files[] = {"subscribe_t_01.json", "subscribe_dd_all_02.json",
                                        "subscribe_other_name_07.json", "subscribe_t_03.json",
                                        "subscribe_dd_all_01.json"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        remove_metrics(files[i]);
    clock_hold(-1, -1);
    return 0;
}

/* ---- reading ---- */

static const struct {
    const char *text;
    bool accepted;
    double rx_good;
} contents[] = {
    {"{\"flow\": {}}", true, 0},
    {"{\"gather.message\": {\"rxGoodCount\": 7}}\n", true, 7},
    {"{\"flow\": {}, \"gather.message\": {\"rxGoodCount\": -7}}", true, 0},
    {"{\"flow\": {}, \"gather.message\": {\"rxGoodCount\": \"7\"}}", true, 0},
    {"{\"flow\": {}, \"gather.message\": {\"rxGoodCount\": 1e300}}", true, 0},
    {"{\"flow\": {\"transferRxLast\": \"yesterday\"}, \"gather.message\": []}", true, 0},
    {"{\"flow\": {\"transferRxLast\": 7}, \"retry\": null}", true, 0},
    {"{\"flow\": 1}", false, 0},
    {"", false, 0},
    {"[]", false, 0},
    {"{\"flow\": {\"transferRx", false, 0},
    {"{\"other\": {}}", false, 0},
    {"\xff\xfe", false, 0},
};

static void any_file_is_read(void **state)
{
    char *path = metrics_path("subscribe_t_01.json");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        struct error err = {0};
        struct status_sample sample;
        bool accepted;

        write_metrics("subscribe_t_01.json", contents[i].text, 0);
        accepted = status_sample_read(path, &sample, &err);
        if (accepted != contents[i].accepted || (!accepted && !strstr(err.text, path)))
            fail_msg("'%s': %d %s", contents[i].text, accepted, err.text);
        if (accepted && fabs(sample.rx_good - contents[i].rx_good) > 1e-9)
            fail_msg("'%s': %f", contents[i].text, sample.rx_good);
    }
    free(path);
}

static void what_sr3_wrote_is_read(void **state)
{
    char *path = metrics_path("subscribe_dd_all_02.json");
    struct status_sample sample;
    struct error err = {0};

    (void)state;
    write_sample("subscribe_dd_all_02.json", 7);
    assert_true(status_sample_read(path, &sample, &err));
    assert_true(sample.connected && !sample.stop_requested && !sample.ours);
    assert_float_equal(sample.written_s, NOW_S - 7, 1e-3);
    assert_float_equal(sample.transfer_rx_bytes, 225242, 1e-9);
    assert_float_equal(sample.rx_good, 50, 1e-9);
    assert_float_equal(sample.lag_max_s, 0.2814009189605713, 1e-9);
    assert_float_equal(sample.transfer_last_s, 1795258452.216083, 1e-3);
    free(path);
}

/* What is read of our own member has the names that are written. */
static void what_we_write_is_read(void **state)
{
    struct metrics metrics = {.connected = true, .in_flight = 7, .progress_last_s = 1795258400.5};
    char *path = metrics_path("subscribe_t_01.json"), *text = metrics_print(&metrics);
    struct status_sample sample;
    struct error err = {0};

    (void)state;
    write_metrics("subscribe_t_01.json", text, 2);
    assert_true(status_sample_read(path, &sample, &err));
    assert_true(sample.ours && sample.connected && !sample.stop_requested);
    assert_float_equal(sample.open, 7, 1e-9);
    assert_float_equal(sample.progress_last_s, 1795258400.5, 1e-6);
    free(text);
    free(path);
}

/* ---- the table ---- */

#define OURS(flow, broker, rest)                                                                   \
    "{\"flow\": {\"last_housekeeping\": 1795258400" flow                                           \
    "}, \"gather.message\": {\"connected\": true" broker "}, \"sr3sub\": {}" rest "}"
#define BUSY ", \"rxGoodCount\": 100, \"rxLast\": \"20261121T105415\""

/* `text` with one '0' for each number and "B" for each unit of bytes. */
static char *layout(const char *text)
{
    char *copy = memory_copy(text), *out = copy;

    for (const char *at = text; *at; at++) {
        bool digit = (*at >= '0' && *at <= '9') || *at == '.';

        if ((digit && out > copy && out[-1] == '0') || strncmp(at, "ytes", 4) == 0)
            at += digit ? 0 : 3;
        else if (strncmp(at, "KiB", 3) == 0 || strncmp(at, "MiB", 3) == 0)
            at++;
        else
            *out++ = digit ? '0' : *at;
    }
    *out = '\0';
    return copy;
}

static char *print_more(const char *name, unsigned more)
{
    struct status_list list;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    status_gather(&name, name ? 1 : 0, &list);
    status_print_table(&list, more, out);
    fclose(out);
    status_list_clear(&list);
    return text;
}

static char *print_table(const char *name)
{
    return print_more(name, 0);
}

/* Line `number` of `text`, allocated. */
static char *line_of(const char *text, int number)
{
    while (number-- > 0)
        text = strchr(text, '\n') + 1;
    return memory_copy_bytes(text, (size_t)(strchr(text, '\n') - text));
}

/* Everything above the foot is the same to the letter; of the foot, its form. */
static void the_table_is_that_of_sr3(void **state)
{
    char *expected = read_data("table.txt"), *text;

    (void)state;
    write_sample("subscribe_dd_all_01.json", 2);
    write_sample("subscribe_dd_all_02.json", 2);
    text = print_table("dd_all");
    for (int i = 0; i < 10; i++) {
        char *wanted = line_of(expected, i), *found = line_of(text, i);
        char *wanted_layout = layout(wanted), *found_layout = layout(found);

        if (strcmp(i < 6 ? wanted : wanted_layout, i < 6 ? found : found_layout) != 0)
            fail_msg("line %d:\n'%s'\n'%s'", i, wanted, found);
        free(wanted);
        free(found);
        free(wanted_layout);
        free(found_layout);
    }
    free(expected);
    free(text);
}

static void more_is_shown_when_asked_for(void **state)
{
    char *text;

    (void)state;
    write_metrics("subscribe_t_01.json",
                  OURS(", \"transferRxBytes\": 4096, \"transferRxFiles\": 7, \"cpuTime\": 2", BUSY,
                       ", \"log\": {\"lagTotal\": 1500, \"lagMessageCount\": 100}"),
                  2);
    text = print_more(NULL, STATUS_BARS | STATUS_FULL);
    assert_non_null(strstr(text, "Lag             Msg/scpu   subBytes   Accepted "));
    assert_non_null(strstr(text, "---             --------   --------   -------- "));
    assert_non_null(strstr(text, " [#####.....]        50m         0B       100m         0m "));
    assert_non_null(strstr(text, "     4.0KiB         7f         0B         0f       1m0s "));
    free(text);
    text = print_more(NULL, 0);
    assert_null(strstr(text, "Msg/scpu"));
    assert_null(strstr(text, "[#"));
    free(text);
}

/* ---- states ---- */

static const struct {
    const char *options, *metrics; /* NULL: none */
    double age_s;
    enum status_state state;
    int running, expected;
} states[] = {
    {"", NULL, 0, STATUS_STOPPED, 0, 0},
    {"", OURS("", BUSY, ""), 2, STATUS_RUNNING, 1, 1},
    {"", OURS("", "", ""), 2, STATUS_RUNNING, 1, 1},
    {"", OURS("", BUSY, ""), 100, STATUS_MISSING, 0, 1},
    {"", OURS("", BUSY, ""), 301, STATUS_STOPPED, 0, 0},
    {"metrics_writeInterval 0.1\n", OURS("", BUSY, ""), 4, STATUS_RUNNING, 1, 1},
    {"metrics_writeInterval 0\n", OURS("", BUSY, ""), 6, STATUS_MISSING, 0, 1},
    {"metrics_writeInterval 60\n", OURS("", BUSY, ""), 100, STATUS_RUNNING, 1, 1},
    {"", OURS(", \"stop_requested\": true", BUSY, ""), 2, STATUS_STOPPED, 0, 0},
    {"instances 3\n", OURS("", BUSY, ""), 2, STATUS_PARTIAL, 1, 3},
    {"instances 3\n", OURS("", BUSY, ""), 100, STATUS_MISSING, 0, 3},
    {"", OURS("", BUSY, ", \"retry\": {\"msgs_in_download_retry\": 1001}"), 2, STATUS_RETRY, 1, 1},
    {"runStateThreshold_retry 5\n", OURS("", BUSY, ", \"retry\": {\"msgs_in_download_retry\": 5}"),
     2, STATUS_RUNNING, 1, 1},
    {"", OURS("", BUSY, ", \"log\": {\"lagTotal\": 3100, \"lagMessageCount\": 100}"), 2,
     STATUS_LAGGING, 1, 1},
    {"runStateThreshold_lag 40\n",
     OURS("", BUSY, ", \"log\": {\"lagTotal\": 3100, \"lagMessageCount\": 100}"), 2, STATUS_RUNNING,
     1, 1},
    {"", OURS("", BUSY, ", \"log\": {\"rejectCount\": 81}"), 2, STATUS_REJECT, 1, 1},
    {"", OURS("", ", \"rxLast\": \"20261121T103000\"", ""), 2, STATUS_IDLE, 1, 1},
    {"runStateThreshold_idle 1h\n", OURS("", ", \"rxLast\": \"20261121T103000\"", ""), 2,
     STATUS_RUNNING, 1, 1},
    {"runStateThreshold_slow 1000\n", OURS("", BUSY, ""), 2, STATUS_SLOW, 1, 1},
    {"runStateThreshold_cpuSlow 1000\n", OURS(", \"cpuTime\": 1.0", BUSY, ""), 2, STATUS_CPU_SLOW,
     1, 1},
    {"brokre amqp://nosuch\n", OURS("", BUSY, ""), 2, STATUS_RUNNING, 1, 1},
};

static void states_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        char *text = memory_format(BROKER "%s", states[i].options);
        struct status_list list;
        const struct status_subscription *found;

        write_file("subscribe/t.conf", text);
        if (states[i].metrics)
            write_metrics("subscribe_t_01.json", states[i].metrics, states[i].age_s);
        status_gather(NULL, 0, &list);
        assert_int_equal(list.count, 1);
        found = &list.items[0];
        if (found->state != states[i].state || found->running != states[i].running
            || found->expected != states[i].expected)
            fail_msg("%zu: %s %d/%d, expected %s", i, status_state_name(found->state),
                     found->running, found->expected, status_state_name(states[i].state));
        assert_int_equal(found->problem != NULL, strstr(states[i].options, "brokre") != NULL);
        status_list_clear(&list);
        free(text);
        remove_metrics("subscribe_t_01.json");
    }
}

/* Containers: nothing but the shared metrics directory is here, not even the configuration. */
static void what_has_no_configuration_is_shown(void **state)
{
    static const char *const names[] = {"subscribe/other*"};
    struct status_list list;

    (void)state;
    write_metrics("subscribe_other_name_07.json", OURS("", BUSY, ""), 2);
    write_metrics("subscribe_t_01.json", OURS("", BUSY, ""), 2);
    status_gather(names, 1, &list);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].title, "subscribe/other_name");
    assert_int_equal(list.items[0].instances[0].number, 7);
    assert_int_equal(list.items[0].state, STATUS_RUNNING);
    status_list_clear(&list);
    status_gather(NULL, 0, &list);
    assert_int_equal(list.count, 2);
    status_list_clear(&list);
}

/* Rates of --watch: since the last look; a counter that began anew counts from 0. */
static void rates_since_the_last_look(void **state)
{
    struct status_list before, list;

    (void)state;
    write_metrics("subscribe_t_01.json", OURS(", \"transferRxBytes\": 5000", BUSY, ""), 0);
    status_gather(NULL, 0, &before);
    clock_hold((int64_t)(NOW_S * 1000 + 10000) * NS_PER_MS, 1000);
    write_metrics("subscribe_t_01.json",
                  OURS(", \"transferRxBytes\": 400", ", \"rxGoodCount\": 150", ""), 0);
    status_gather(NULL, 0, &list);
    status_rates_since(&list.items[0], &before.items[0]);
    assert_float_equal(list.items[0].rates.messages, 5, 1e-6);
    assert_float_equal(list.items[0].rates.rx_bytes, 40, 1e-6);
    status_list_clear(&before);
    status_list_clear(&list);
}

static void json_is_printed(void **state)
{
    struct status_list list;
    json_t *array, *object;

    (void)state;
    write_metrics("subscribe_t_01.json", OURS("", BUSY, ""), 2);
    status_gather(NULL, 0, &list);
    array = status_print_json(&list);
    object = json_array_get(array, 0);
    assert_string_equal(json_string_value(json_object_get(object, "name")), "subscribe/t");
    assert_string_equal(json_string_value(json_object_get(object, "state")), "running");
    assert_int_equal(json_array_size(json_object_get(object, "instances")), 1);
    json_decref(array);
    status_list_clear(&list);
}

/* Whoever may write into the directory of metrics can give a file any name and any numbers. */
static void hostile_files_are_shown_harmlessly(void **state)
{
    static const char *const files[] = {"subscribe_a\033[2J\n\302\233m_01.json",
                                        "subscribe_a\033[2J\n\302\233m_02.json"};
    struct status_list list;
    char *text;
    json_t *array;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        write_metrics(files[i],
                      "{\"flow\": {\"last_housekeeping\": 1e-300, \"transferRxBytes\": 9.9e17},"
                      " \"retry\": {\"msgs_in_download_retry\": 9.9e17, "
                      "\"msgs_in_post_retry\": 9.9e17}, \"sr3sub\": {\"inFlight\": 9.9e17},"
                      " \"gather.message\": {\"brokerQueuedMessageCount\": 9.9e17,"
                      " \"disconnectTime\": 9.9e17}, \"log\": {\"lagMax\": 9.9e17}}",
                      2);
    text = print_table(NULL);
    assert_non_null(strstr(text, "subscribe/a?[2J???m "));
    for (const char *at = text; *at; at++)
        assert_true((*at >= 0x20 && *at < 0x7f) || *at == '\n' || *at == '\t');
    free(text);
    status_gather(NULL, 0, &list);
    array = status_print_json(&list);
    assert_true(json_integer_value(json_object_get(json_array_get(array, 0), "retry")) > 0);
    json_decref(array);
    status_list_clear(&list);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        remove_metrics(files[i]);
}

/* ---- health ---- */

static const struct {
    const char *metrics; /* NULL: there is no file */
    double age_s;
    const char *says; /* NULL: it is well */
} healths[] = {
    {OURS("", BUSY, ""), 2, NULL},
    {OURS("", "", ""), 14, NULL},
    {NULL, 0, "No such file"},
    {"{", 0, "read metrics file"},
    {OURS("", BUSY, ""), 15, "ended or hangs"},
    {OURS(", \"stop_requested\": true", BUSY, ""), 2, "told to stop"},
    {OURS("", ", \"connected\": false", ""), 2, "not connected"},
    {"{\"flow\": {}}", 2, "not connected"},
    {"{\"gather.message\": {\"connected\": true}, \"sr3sub\": {\"inFlight\": 3, \"progressLast\": "
     "1795256000}}",
     2, "stuck: 3 announcements"},
    {"{\"gather.message\": {\"connected\": true}, \"sr3sub\": {\"inFlight\": 3, \"progressLast\": "
     "1795257000}}",
     2, NULL},
    {"{\"gather.message\": {\"connected\": true}, \"sr3sub\": {\"inFlight\": 0, \"progressLast\": "
     "1795256000}}",
     2, NULL},
    {"{\"gather.message\": {\"connected\": true}, \"sr3sub\": {\"inFlight\": 3}}", 2, NULL},
};

static void health_is_judged(void **state)
{
    struct config *config;
    struct error err;

    (void)state;
    config = must_load(BROKER);
    for (size_t i = 0; i < COUNT_OF(healths); i++) {
        bool healthy;

        err = (struct error){0};
        if (healths[i].metrics)
            write_metrics("subscribe_t_03.json", healths[i].metrics, healths[i].age_s);
        healthy = health_run(config, &err);
        if (healthy
                ? healths[i].says != NULL
                : !healths[i].says || !strstr(err.text, healths[i].says) || strchr(err.text, '\n'))
            fail_msg("%zu: %d '%s'", i, healthy, err.text);
        remove_metrics("subscribe_t_03.json");
    }
    config_free(config);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, hold_clock, release_clock)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(any_file_is_read),
        CASE(what_sr3_wrote_is_read),
        CASE(what_we_write_is_read),
        CASE(the_table_is_that_of_sr3),
        CASE(more_is_shown_when_asked_for),
        CASE(states_are_named),
        CASE(what_has_no_configuration_is_shown),
        CASE(rates_since_the_last_look),
        CASE(json_is_printed),
        CASE(hostile_files_are_shown_harmlessly),
        CASE(health_is_judged),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
