/* The metrics file: every row of the table in its place, the file replaced as a whole. */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_file.h"
#include "base/metrics_history.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#define AT_NS       (1735790592LL * NS_PER_S + 750000000)
#define DEADLINE_MS 10000

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    if (!object)
        fail_msg("'%s': %s", text, error.text);
    return object;
}

static json_t *find(json_t *object, const char *member, const char *name)
{
    return json_object_get(json_object_get(object, member), name);
}

/* Each kind of metric with a value of its own, so that one cannot be taken for another. */
#define VALUE_COUNTER(row) (1000000000000 + (row))
#define VALUE_GAUGE(row)   (row)
#define VALUE_NUMBER(row)  ((row) + 0.5)
#define VALUE_FLAG(row)    true
#define VALUE_TIME(row)    (AT_NS + (row)*NS_PER_S)
#define VALUE_MAYBE(row)   (row)

#define FOUND_COUNTER(value) json_integer_value(value)
#define FOUND_GAUGE(value)   json_integer_value(value)
#define FOUND_NUMBER(value)  json_real_value(value)
#define FOUND_FLAG(value)    json_is_true(value)
#define FOUND_TIME(value)    found_time(value)
#define FOUND_MAYBE(value)   json_integer_value(value)

static int64_t found_time(const json_t *value)
{
    int64_t ns = -1;

    return json_is_string(value) && clock_parse(json_string_value(value), &ns) ? ns : -1;
}

static void fill(struct metrics *metrics)
{
    int row = 0;

    memset(metrics, 0, sizeof(*metrics));
#define METRIC(member, kind, field, name, reset, ...)                                              \
    ++row;                                                                                         \
    metrics->field = VALUE_##kind(row);
#include "base/metrics.def"
}

static void every_metric_is_printed(void **state)
{
    struct metrics metrics;
    char *text;
    json_t *object;
    int row = 0;

    (void)state;
    fill(&metrics);
    text = metrics_print(&metrics);
    object = parse(text);
#define METRIC(member, kind, field, name, reset, ...)                                              \
    ++row;                                                                                         \
    if (FOUND_##kind(find(object, member, name)) != VALUE_##kind(row))                             \
        fail_msg("%s %s is not as it was set: %s", member, name, text);
#include "base/metrics.def"
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_null(memchr(text, '\n', strlen(text) - 1));
    json_decref(object);
    free(text);
}

static void unknown_times_are_absent(void **state)
{
    struct metrics metrics = {0};
    char *text = metrics_print(&metrics);
    json_t *object = parse(text);

    (void)state;
#define TIMES_COUNTER false
#define TIMES_GAUGE   false
#define TIMES_NUMBER  false
#define TIMES_FLAG    false
#define TIMES_TIME    true
#define TIMES_MAYBE   false
#define METRIC(member, kind, field, name, reset, ...)                                              \
    if ((find(object, member, name) == NULL) != TIMES_##kind)                                      \
        fail_msg("%s %s: %s", member, name, text);
#include "base/metrics.def"
    json_decref(object);
    free(text);
}

static void reset_restarts_what_is_counted_by_period(void **state)
{
    struct metrics metrics, before = {0};
    int row = 0;

    (void)state;
    fill(&metrics);
    metrics_reset(&metrics, &before);
#define METRIC(member, kind, field, name, reset, ...)                                              \
    ++row;                                                                                         \
    if (metrics.field != ((reset) ? 0 : VALUE_##kind(row)))                                        \
        fail_msg("%s %s is %g after the reset", member, name, (double)metrics.field);
#include "base/metrics.def"
}

/* ---- sr3's own files ---- */

static const char *const samples[] = {"started", "transfers", "housekeeping", "stopped"};

static const char *type_of(const json_t *value)
{
    if (json_is_boolean(value))
        return "a flag";
    return json_is_number(value) ? "a number" : json_is_string(value) ? "a text" : "something else";
}

static void check_member(const char *sample, const char *member, json_t *theirs, json_t *ours)
{
    const char *name;
    json_t *value;

    json_object_foreach(theirs, name, value)
    {
        json_t *found = json_object_get(ours, name);

        if (!found || strcmp(type_of(value), type_of(found)) != 0)
            fail_msg("%s: %s %s is %s, but here %s", sample, member, name, type_of(value),
                     found ? type_of(found) : "missing");
    }
}

static void every_field_of_sr3_is_there(void **state)
{
    struct metrics metrics;
    json_t *ours;
    char *text;

    (void)state;
    fill(&metrics);
    text = metrics_print(&metrics);
    ours = parse(text);
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        char *path = memory_format(TEST_DATA "/metrics/%s.json", samples[i]);
        json_t *theirs = json_load_file(path, 0, NULL), *fields;
        const char *member;

        if (!theirs)
            fail_msg("'%s' cannot be read", path);
        json_object_foreach(theirs, member, fields)
            check_member(path, member, fields, json_object_get(ours, member));
        json_decref(theirs);
        free(path);
    }
    json_decref(ours);
    free(text);
}

/* What sr3's file has right after a housekeeping is 0 in ours, too, and what it keeps we keep. */
static void sr3_restarts_the_same(void **state)
{
    static const struct {
        const char *member, *name;
        bool restarts;
    } fields[] = {
        {"flow", "transferRxBytes", true},
        {"flow", "transferRxFiles", true},
        {"flow", "transferConnectTime", true},
        {"flow", "msgRate", false},
        {"gather.message", "connected", false},
        {"gather.message", "disconnectCount", true},
        {"gather.message", "disconnectTime", true},
        {"gather.message", "disconnectLast", true},
        {"gather.message", "rxByteCount", true},
        {"gather.message", "rxGoodCount", true},
        {"gather.message", "rxBadCount", true},
        {"gather.message", "rxLast", false},
        {"gather.message", "brokerQueuedMessageCount", false},
        {"retry", "msgs_in_download_retry", false},
        {"log", "lagMax", true},
        {"log", "lagTotal", true},
        {"log", "lagMessageCount", true},
        {"log", "rejectCount", true},
        {"sarracenia.transfer", "byteRateInstant", false},
    };
    struct metrics metrics, before = {0};
    json_t *object;
    char *text;

    (void)state;
    fill(&metrics);
    metrics_reset(&metrics, &before);
    text = metrics_print(&metrics);
    object = parse(text);
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        json_t *value = find(object, fields[i].member, fields[i].name);
        bool zero = json_is_number(value) && json_number_value(value) == 0;

        if (!value || zero != fields[i].restarts)
            fail_msg("%s %s: %s", fields[i].member, fields[i].name, text);
    }
    json_decref(object);
    free(text);
}

static void the_queue_is_absent_where_others_report_it(void **state)
{
    struct metrics metrics = {.queued = METRIC_ABSENT, .queue_messages = -2};
    char *text = metrics_print(&metrics);
    json_t *object = parse(text);

    (void)state;
    assert_null(find(object, "gather.message", "brokerQueuedMessageCount"));
    assert_int_equal(json_integer_value(find(object, "sr3sub", "queueMessages")), -2);
    json_decref(object);
    free(text);
    text = metrics_print_prometheus(&metrics, &metrics, "");
    assert_null(strstr(text, "broker_queue_messages"));
    free(text);
}

/* ---- the endpoint ---- */

static void expect_line(const char *text, const char *line)
{
    char *wanted = memory_format("\n%s\n", line);

    if (!strstr(text, wanted))
        fail_msg("no line '%s' in %s", line, text);
    free(wanted);
}

static void counters_of_the_endpoint_never_restart(void **state)
{
    struct metrics metrics = {.received = 5, .placed = 3, .older = 2}, before = {0};
    char *text;

    (void)state;
    metrics_reset(&metrics, &before);
    metrics.received = 1;
    metrics.claiming = 7;
    metrics.paused_disk = true;
    text = metrics_print_prometheus(&metrics, &before, "config=\"x\"");
    expect_line(text, "# TYPE sr3sub_received_total counter");
    expect_line(text, "sr3sub_received_total 6");
    expect_line(text, "sr3sub_settled_total{fate=\"placed\"} 3");
    expect_line(text, "sr3sub_settled_total{fate=\"older\"} 2");
    expect_line(text, "# TYPE sr3sub_in_flight gauge");
    expect_line(text, "sr3sub_in_flight{stage=\"claim\"} 7");
    expect_line(text, "sr3sub_intake_paused{reason=\"disk\"} 1");
    expect_line(text, "sr3sub_build_info{version=\"" SR3SUB_VERSION "\",config=\"x\"} 1");
    free(text);
}

static void histograms_add_up(void **state)
{
    struct metrics metrics = {0};
    char *text;

    (void)state;
    histogram_add(&metrics.lag, &metrics_lag_bounds, -1);
    histogram_add(&metrics.lag, &metrics_lag_bounds, 0.5);
    histogram_add(&metrics.lag, &metrics_lag_bounds, 0.75);
    histogram_add(&metrics.lag, &metrics_lag_bounds, 1e9);
    text = metrics_print_prometheus(&metrics, &metrics, "");
    expect_line(text, "# TYPE sr3sub_lag_seconds histogram");
    expect_line(text, "sr3sub_lag_seconds_bucket{le=\"0.5\"} 2");
    expect_line(text, "sr3sub_lag_seconds_bucket{le=\"1\"} 3");
    expect_line(text, "sr3sub_lag_seconds_bucket{le=\"3600\"} 3");
    expect_line(text, "sr3sub_lag_seconds_bucket{le=\"+Inf\"} 4");
    expect_line(text, "sr3sub_lag_seconds_count 4");
    expect_line(text, "sr3sub_lag_seconds_sum 1000000001.25");
    free(text);
}

/* Each family has one head, before its first row. */
static void families_stay_together(void **state)
{
    struct metrics metrics;
    const char *families[400];
    size_t count = 0;
    char *text, *rest;

    (void)state;
    fill(&metrics);
    text = rest = metrics_print_prometheus(&metrics, &metrics, "");
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strncmp(line, "# TYPE ", 7) != 0)
            continue;
        families[count] = line + 7;
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(families[i], families[count]);
        count++;
    }
    assert_true(count > 30);
    free(text);
}

/* ---- the file ---- */

struct scene {
    struct loop *loop;
    char base[64], directory[80], path[100];
};

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    scene->loop = loop_open();
    snprintf(scene->base, sizeof(scene->base), "/tmp/test_metrics.XXXXXX");
    assert_non_null(mkdtemp(scene->base));
    snprintf(scene->directory, sizeof(scene->directory), "%s/a", scene->base);
    snprintf(scene->path, sizeof(scene->path), "%s/subscribe_x_01.json", scene->directory);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    loop_close(scene->loop);
    unlink(scene->path);
    rmdir(scene->directory);
    unlink(scene->directory);
    rmdir(scene->base);
    free(scene);
    return 0;
}

static int64_t files_in_file(const struct scene *scene)
{
    json_t *object = json_load_file(scene->path, 0, NULL);
    int64_t files = object ? json_integer_value(find(object, "flow", "transferRxFiles")) : -1;

    json_decref(object);
    return files;
}

static void expect_alone(const struct scene *scene)
{
    DIR *directory = opendir(scene->directory);

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.' ? strcmp(entry->d_name, "subscribe_x_01.json") != 0
                                    : strlen(entry->d_name) > 2)
            fail_msg("'%s' was left", entry->d_name);
    closedir(directory);
}

static struct metrics_file *open_file(const struct scene *scene)
{
    struct metrics_file_settings settings = {.path = scene->path, .keep = true};

    return metrics_file_open(scene->loop, &settings);
}

static void the_file_is_written_and_replaced(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *file = open_file(scene);
    struct metrics metrics = {.transfer_rx_files = 1};
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

    metrics_file_write(file, &metrics); /* makes the directory */
    metrics.transfer_rx_files = 2;
    metrics_file_write(file, &metrics); /* left out: the first is under way */
    while (files_in_file(scene) < 0 && clock_now_ms() < deadline_ms)
        loop_wait(scene->loop);
    assert_int_equal(files_in_file(scene), 1);
    metrics.transfer_rx_files = 3;
    metrics_file_close(file, &metrics); /* waits, and writes a last time */
    assert_int_equal(files_in_file(scene), 3);
    expect_alone(scene);
    metrics_file_close(NULL, &metrics);
}

static void close_waits_for_a_write(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *file = open_file(scene);
    struct metrics metrics = {.transfer_rx_files = 1};

    metrics_file_write(file, &metrics);
    metrics.transfer_rx_files = 2;
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), 2);
    expect_alone(scene);
}

/* Metrics that cannot be written must not stop anything. */
static void a_file_that_cannot_be_written(void **state)
{
    struct scene *scene = *state;
    struct log_settings settings = {.level = LOG_CRITICAL};
    struct metrics_file *file = open_file(scene);
    struct metrics metrics = {.transfer_rx_files = 1};
    struct error err = {0};
    FILE *blocker = fopen(scene->directory, "w");

    assert_non_null(blocker);
    fclose(blocker);
    assert_true(log_open(&settings, &err));
    metrics_file_write(file, &metrics);
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), -1);
    assert_int_equal(unlink(scene->directory), 0);
    file = open_file(scene);
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), 1);
    log_close();
}

static void the_file_goes_at_the_end(void **state)
{
    struct scene *scene = *state;
    struct metrics_file_settings settings = {.path = scene->path};
    struct metrics_file *file = metrics_file_open(scene->loop, &settings);
    struct metrics metrics = {.transfer_rx_files = 1};
    int64_t memory_bytes, fds;

    metrics_file_process(file, &memory_bytes, &fds);
    assert_true(memory_bytes > 100000 && fds > 2);
    metrics_file_write(file, &metrics);
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), -1);
    assert_int_equal(rmdir(scene->directory), 0); /* it is empty */
}

/* So that health can say that nothing gets to the disk any more. */
static void how_long_a_write_takes_is_known(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *file = open_file(scene);
    struct metrics metrics = {.transfer_rx_files = 1};

    clock_hold(-1, 1000);
    assert_int_equal(metrics_file_busy_ms(file), 0);
    metrics_file_write(file, &metrics);
    clock_hold(-1, 121000);
    assert_int_equal(metrics_file_busy_ms(file), 120000); /* done, perhaps, but not told yet */
    clock_hold(-1, -1);
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), 1);
}

/* ---- two instances of one number, as while a container is replaced ---- */

static struct metrics_file *open_passing(const struct scene *scene)
{
    return metrics_file_open(scene->loop, &(struct metrics_file_settings){.path = scene->path});
}

static void write_files(const struct scene *scene, struct metrics_file *file, int64_t files,
                        bool stopping)
{
    struct metrics metrics = {.transfer_rx_files = files, .stop_requested = stopping};

    clock_hold(-1, 1);
    metrics_file_write(file, &metrics);
    clock_hold(-1, 2);
    while (metrics_file_busy_ms(file))
        loop_wait(scene->loop);
    clock_hold(-1, -1);
}

static void the_old_one_leaves_the_file_to_the_new_one(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *old = open_passing(scene), *new = open_passing(scene);
    struct metrics last = {.stop_requested = true};

    write_files(scene, old, 1, false);
    write_files(scene, new, 2, false);
    assert_int_equal(files_in_file(scene), 2);
    write_files(scene, old, 3, true);
    assert_int_equal(files_in_file(scene), 2);
    metrics_file_close(old, &last);
    assert_int_equal(files_in_file(scene), 2);
    expect_alone(scene);
    write_files(scene, new, 4, false);
    metrics_file_close(new, &last);
    assert_int_equal(files_in_file(scene), -1);
}

/* The old one wrote last: the new one is there all the same, and its health is looked at. */
static void the_file_stays_when_another_wrote_it_too(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *old = open_passing(scene), *new = open_passing(scene);
    struct metrics last = {.stop_requested = true};

    write_files(scene, old, 1, false);
    write_files(scene, new, 2, false);
    write_files(scene, old, 3, false);
    metrics_file_close(old, &last);
    assert_int_equal(files_in_file(scene), 3);
    write_files(scene, new, 4, false);
    assert_int_equal(files_in_file(scene), 4);
    write_files(scene, new, 5, false);
    metrics_file_close(new, &last);
    assert_int_equal(files_in_file(scene), -1);
}

static void one_that_keeps_its_file_leaves_another_s_alone(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *old = open_file(scene), *new = open_file(scene);
    struct metrics last = {.transfer_rx_files = 9, .stop_requested = true};

    write_files(scene, old, 1, false);
    write_files(scene, new, 2, false);
    metrics_file_close(old, &last);
    assert_int_equal(files_in_file(scene), 2);
    metrics_file_close(new, &last);
    assert_int_equal(files_in_file(scene), 9);
}

/* What was left by one that was killed is the successor's to remove. */
static void a_file_left_behind_is_taken_over(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *killed = open_file(scene), *file = open_passing(scene);
    struct metrics last = {.stop_requested = true};

    metrics_file_close(killed, &last);
    assert_int_equal(files_in_file(scene), 0);
    write_files(scene, file, 1, false);
    metrics_file_close(file, &last);
    assert_int_equal(files_in_file(scene), -1);
}

/* ---- the history ---- */

static void expect_history(const struct scene *scene, const char *suffix, bool there)
{
    char *path = memory_format("%s.%s", scene->path, suffix);

    if ((access(path, F_OK) == 0) != there)
        fail_msg("'%s' is %s", path, there ? "missing" : "there");
    if (there)
        unlink(path);
    free(path);
}

static char *first_line(const struct scene *scene, const char *suffix)
{
    char *path = memory_format("%s.%s", scene->path, suffix), *line = memory_new(200);
    gzFile file = gzopen(path, "rb"); /* reads what is not compressed, too */

    assert_non_null(file);
    assert_non_null(gzgets(file, line, 200));
    gzclose(file);
    free(path);
    return line;
}

static void the_history_is_begun_anew_and_compressed(void **state)
{
    struct scene *scene = *state;
    struct metrics_history history;
    struct error err = {0};
    char *line;

    mkdir(scene->directory, 0700);
    metrics_history_init(&history, scene->path, 3600000, 2);
    for (int hour = 0; hour < 4; hour++)
        for (int i = 0; i < 2; i++)
            assert_true(metrics_history_append(&history, "{\"x\": 1}\n",
                                               AT_NS + (hour * 3600 + i) * NS_PER_S, &err));
    metrics_history_clear(&history);
    line = first_line(scene, "20250102-0700");
    assert_string_equal(line, "\"20250102-070312\" : {\"x\": 1},\n");
    free(line);
    line = first_line(scene, "20250102-0600.gz");
    assert_string_equal(line, "\"20250102-060312\" : {\"x\": 1},\n");
    free(line);
    expect_history(scene, "20250102-0700", true);
    expect_history(scene, "20250102-0600.gz", true);
    expect_history(scene, "20250102-0600", false);
    expect_history(scene, "20250102-0500.gz", false);
    expect_history(scene, "20250102-0400.gz", false);
}

static void the_history_has_a_file_a_day(void **state)
{
    struct scene *scene = *state;
    struct metrics_history history;
    struct error err = {0};

    mkdir(scene->directory, 0700);
    metrics_history_init(&history, scene->path, 86400000, 5);
    assert_true(metrics_history_append(&history, "{}\n", AT_NS, &err));
    metrics_history_clear(&history);
    expect_history(scene, "20250102", true);
}

static void processor_time_does_not_go_back(void **state)
{
    double before_s = metrics_cpu_s();

    (void)state;
    assert_true(before_s >= 0);
    assert_true(metrics_cpu_s() >= before_s);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_is_printed),
        cmocka_unit_test(unknown_times_are_absent),
        cmocka_unit_test(reset_restarts_what_is_counted_by_period),
        cmocka_unit_test(every_field_of_sr3_is_there),
        cmocka_unit_test(sr3_restarts_the_same),
        cmocka_unit_test(the_queue_is_absent_where_others_report_it),
        cmocka_unit_test(counters_of_the_endpoint_never_restart),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(families_stay_together),
        cmocka_unit_test(processor_time_does_not_go_back),
        CASE(the_file_is_written_and_replaced),
        CASE(close_waits_for_a_write),
        CASE(a_file_that_cannot_be_written),
        CASE(the_file_goes_at_the_end),
        CASE(how_long_a_write_takes_is_known),
        CASE(the_old_one_leaves_the_file_to_the_new_one),
        CASE(the_file_stays_when_another_wrote_it_too),
        CASE(one_that_keeps_its_file_leaves_another_s_alone),
        CASE(a_file_left_behind_is_taken_over),
        CASE(the_history_is_begun_anew_and_compressed),
        CASE(the_history_has_a_file_a_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
