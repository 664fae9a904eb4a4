/* This instance's counters and gauges, printed from one table. */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_NUMBER, METRIC_FLAG, METRIC_TIME };

static const struct metric {
    const char *member, *name;
    enum metric_kind kind;
    size_t offset, size;
    bool reset;
} metric_table[] = {
#define METRIC(member_, kind_, field_, name_, reset_, help_)                                       \
    {.member = member_,                                                                            \
     .name = name_,                                                                                \
     .kind = METRIC_##kind_,                                                                       \
     .offset = offsetof(struct metrics, field_),                                                   \
     .size = sizeof(((struct metrics *)NULL)->field_),                                             \
     .reset = reset_},
#include "base/metrics.def"
};

struct metrics_file {
    struct loop *loop;
    char *path, *temporary;
    char *text; /* being written */
    bool busy, failed;
    struct error err;
};

void metrics_reset(struct metrics *metrics)
{
    for (size_t i = 0; i < COUNT_OF(metric_table); i++)
        if (metric_table[i].reset)
            memset((char *)metrics + metric_table[i].offset, 0, metric_table[i].size);
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
    default:
        return json_integer(*(const int64_t *)value);
    }
}

char *metrics_print(const struct metrics *metrics)
{
    json_t *object = json_object();
    char *json, *text;

    for (size_t i = 0; i < COUNT_OF(metric_table); i++) {
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

struct metrics_file *metrics_file_open(struct loop *loop, const char *path)
{
    struct metrics_file *file = memory_new(sizeof(*file));
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) + 1 : 0;

    file->loop = loop;
    file->path = memory_copy(path);
    /* instances of other hosts or containers may, for a moment, share the name: not this one */
    file->temporary =
        memory_format("%.*s.%s.%d.tmp", directory, path, path + directory, (int)getpid());
    return file;
}

static bool file_create(struct metrics_file *file, int *fd)
{
    char *slash = strrchr(file->path, '/');
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;

    *fd = open(file->temporary, flags, 0644);
    if (*fd < 0 && errno == ENOENT && slash) {
        *slash = '\0';
        bool made = path_make_directory(file->path, 0775, &file->err);
        *slash = '/';
        *fd = made ? open(file->temporary, flags, 0644) : -1;
    }
    return *fd >= 0;
}

static void file_write_work(void *context)
{
    struct metrics_file *file = context;
    size_t length = strlen(file->text);
    int fd;

    file->err.kind = ERROR_NONE;
    if (!file_create(file, &fd)) {
        error_set(&file->err, ERROR_OPERATOR, "write metrics file '%s': %s", file->path,
                  strerror(errno));
        return;
    }
    if (write(fd, file->text, length) != (ssize_t)length
        || rename(file->temporary, file->path) != 0) {
        error_set(&file->err, ERROR_OPERATOR, "write metrics file '%s': %s", file->path,
                  strerror(errno));
        unlink(file->temporary);
    }
    close(fd);
}

static void file_write_done(void *context)
{
    struct metrics_file *file = context;

    file->busy = false;
    if (file->err.kind && !file->failed)
        log_warning("sr3sub.metrics write", "%s", file->err.text);
    file->failed = file->err.kind != ERROR_NONE;
    memory_replace(&file->text, NULL);
}

void metrics_file_write(struct metrics_file *file, const struct metrics *metrics)
{
    if (file->busy)
        return;
    file->busy = true;
    file->text = metrics_print(metrics);
    loop_work(file->loop, file_write_work, file_write_done, file);
}

void metrics_file_close(struct metrics_file *file, const struct metrics *metrics)
{
    if (!file)
        return;
    while (file->busy)
        loop_wait(file->loop);
    metrics_file_write(file, metrics);
    while (file->busy)
        loop_wait(file->loop);
    free(file->path);
    free(file->temporary);
    free(file);
}
