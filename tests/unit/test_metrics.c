/* The metrics file: every row of the table in its place, the file replaced as a whole. */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

#define FOUND_COUNTER(value) json_integer_value(value)
#define FOUND_GAUGE(value)   json_integer_value(value)
#define FOUND_NUMBER(value)  json_real_value(value)
#define FOUND_FLAG(value)    json_is_true(value)
#define FOUND_TIME(value)    found_time(value)

static int64_t found_time(const json_t *value)
{
    int64_t ns = -1;

    return json_is_string(value) && clock_parse(json_string_value(value), &ns) ? ns : -1;
}

static void fill(struct metrics *metrics)
{
    int row = 0;

    memset(metrics, 0, sizeof(*metrics));
#define METRIC(member, kind, field, name, reset, help)                                             \
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
#define METRIC(member, kind, field, name, reset, help)                                             \
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
#define METRIC(member, kind, field, name, reset, help)                                             \
    if ((find(object, member, name) == NULL) != TIMES_##kind)                                      \
        fail_msg("%s %s: %s", member, name, text);
#include "base/metrics.def"
    json_decref(object);
    free(text);
}

static void reset_restarts_what_is_counted_by_period(void **state)
{
    struct metrics metrics;
    int row = 0;

    (void)state;
    fill(&metrics);
    metrics_reset(&metrics);
#define METRIC(member, kind, field, name, reset, help)                                             \
    ++row;                                                                                         \
    if (metrics.field != ((reset) ? 0 : VALUE_##kind(row)))                                        \
        fail_msg("%s %s is %g after the reset", member, name, (double)metrics.field);
#include "base/metrics.def"
}

/* Consumers look them up by these names: a renamed row would go unnoticed otherwise. */
static const struct {
    const char *member, *name;
} known[] = {
    {"flow", "transferRxBytes"},        {"flow", "transferRxFiles"},
    {"flow", "last_housekeeping"},      {"gather.message", "rxGoodCount"},
    {"gather.message", "rxBadCount"},   {"gather.message", "connected"},
    {"gather.message", "disconnectCount"}, {"log", "lagMax"},
    {"log", "lagTotal"},                {"log", "lagMessageCount"},
    {"log", "rejectCount"},             {"retry", "msgs_in_download_retry"},
};

static void names_are_those_that_consumers_know(void **state)
{
    struct metrics metrics = {0};
    char *text = metrics_print(&metrics);
    json_t *object = parse(text);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (!find(object, known[i].member, known[i].name))
            fail_msg("no %s %s in %s", known[i].member, known[i].name, text);
    json_decref(object);
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

static void the_file_is_written_and_replaced(void **state)
{
    struct scene *scene = *state;
    struct metrics_file *file = metrics_file_open(scene->loop, scene->path);
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
    struct metrics_file *file = metrics_file_open(scene->loop, scene->path);
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
    struct metrics_file *file = metrics_file_open(scene->loop, scene->path);
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
    file = metrics_file_open(scene->loop, scene->path);
    metrics_file_close(file, &metrics);
    assert_int_equal(files_in_file(scene), 1);
    log_close();
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
        cmocka_unit_test(names_are_those_that_consumers_know),
        cmocka_unit_test(processor_time_does_not_go_back),
        CASE(the_file_is_written_and_replaced),
        CASE(close_waits_for_a_write),
        CASE(a_file_that_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
