/* This instance's counters and gauges, and the text of the metrics file. */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/metrics_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

const struct histogram_bounds metrics_lag_bounds = {
    12, {0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}};
const struct histogram_bounds metrics_time_bounds = {
    12, {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600}};
const struct histogram_bounds metrics_size_bounds = {12,
                                                     {256, 1024, 4096, 16384, 65536, 262144,
                                                      1048576, 4194304, 16777216, 67108864,
                                                      268435456, 1073741824}};

const struct metric metric_table[] = {
#define METRIC(member_, kind_, field_, name_, reset_, unit_, family_, label_, help_)               \
    {.member = member_,                                                                            \
     .name = name_,                                                                                \
     .kind = METRIC_##kind_,                                                                       \
     .offset = offsetof(struct metrics, field_),                                                   \
     .size = sizeof(((struct metrics *)NULL)->field_),                                             \
     .reset = reset_,                                                                              \
     .unit = unit_,                                                                                \
     .family = family_,                                                                            \
     .label = label_,                                                                              \
     .help = help_},
#include "base/metrics.def"
};
const size_t metric_count = COUNT_OF(metric_table);

const struct metric_histogram metric_histograms[] = {
#define HISTOGRAM(field_, bounds_, unit_, family_, help_)                                          \
    {.offset = offsetof(struct metrics, field_),                                                   \
     .bounds = &metrics_##bounds_,                                                                 \
     .unit = unit_,                                                                                \
     .family = family_,                                                                            \
     .help = help_},
#include "base/metrics.def"
};
const size_t metric_histogram_count = COUNT_OF(metric_histograms);

static void add_to(const struct metric *metric, const struct metrics *metrics,
                   struct metrics *before)
{
    const char *value = (const char *)metrics + metric->offset;
    char *sum = (char *)before + metric->offset;

    if (metric->kind == METRIC_COUNTER)
        *(int64_t *)sum += *(const int64_t *)value;
    else if (metric->kind == METRIC_NUMBER)
        *(double *)sum += *(const double *)value;
}

void metrics_reset(struct metrics *metrics, struct metrics *before)
{
    for (size_t i = 0; i < metric_count; i++) {
        const struct metric *metric = &metric_table[i];

        if (!metric->reset)
            continue;
        add_to(metric, metrics, before);
        memset((char *)metrics + metric->offset, 0, metric->size);
    }
}

bool metric_number(const struct metric *metric, const struct metrics *metrics, double *number)
{
    const void *value = (const char *)metrics + metric->offset;

    switch (metric->kind) {
    case METRIC_NUMBER:
        *number = *(const double *)value;
        return true;
    case METRIC_FLAG:
        *number = *(const bool *)value;
        return true;
    case METRIC_TIME:
        *number = (double)*(const int64_t *)value / (double)NS_PER_S;
        return *number > 0;
    case METRIC_MAYBE:
        *number = (double)*(const int64_t *)value;
        return *number >= 0;
    default:
        *number = (double)*(const int64_t *)value;
        return true;
    }
}

static json_t *metric_value(const struct metric *metric, const struct metrics *metrics)
{
    const void *value = (const char *)metrics + metric->offset;
    char text[CLOCK_TEXT_SIZE];

    switch (metric->kind) {
    case METRIC_NUMBER:
        return json_real(*(const double *)value);
    case METRIC_FLAG:
        return json_boolean(*(const bool *)value);
    case METRIC_TIME:
        if (!*(const int64_t *)value)
            return NULL;
        clock_print(*(const int64_t *)value, text);
        return json_string(text);
    case METRIC_MAYBE:
        if (*(const int64_t *)value == METRIC_ABSENT)
            return NULL;
        return json_integer(*(const int64_t *)value);
    default:
        return json_integer(*(const int64_t *)value);
    }
}

char *metrics_print(const struct metrics *metrics)
{
    json_t *object = json_object();
    char *json, *text;

    for (size_t i = 0; i < metric_count; i++) {
        const struct metric *metric = &metric_table[i];
        json_t *member = json_object_get(object, metric->member);
        json_t *value = metric_value(metric, metrics);

        if (!member) {
            member = json_object();
            json_object_set_new(object, metric->member, member);
        }
        if (value)
            json_object_set_new(member, metric->name, value);
    }
    json = json_dumps(object, 0);
    text = memory_format("%s\n", json ? json : "{}");
    free(json);
    json_decref(object);
    return text;
}

double metrics_cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
