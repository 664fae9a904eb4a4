/* The metrics file, written in the pool. */
#include "base/metrics_file.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_history.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* As /proc says. */
struct process_sample {
    int64_t memory_bytes, fds;
};

/* Which file it is; the time, since numbers of removed files are given out again. */
struct file_mark {
    dev_t device;
    ino_t number;
    struct timespec written;
};

struct metrics_file {
    struct loop *loop;
    struct metrics_file_settings settings;
    char *path, *temporary;
    char *text; /* being written */
    bool busy, failed;
    bool leaving;          /* whoever else writes this file has it */
    bool written, shared;  /* at least once; another one wrote it, too, since then */
    struct file_mark mark; /* of what was written last */
    int64_t began_ms;
    struct metrics_history history;
    struct process_sample sample, seen; /* taken in the pool, and what was taken last */
    struct error err;
};

static int64_t count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int64_t count = 0;

    if (!directory)
        return 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* without the one that it is read through */
}

static struct process_sample take_sample(void)
{
    struct process_sample sample = {.fds = count_fds()};
    FILE *file = fopen("/proc/self/statm", "re");
    int64_t pages;

    if (!file)
        return sample;
    if (fscanf(file, "%*d %" SCNd64, &pages) == 1)
        sample.memory_bytes = pages * sysconf(_SC_PAGESIZE);
    fclose(file);
    return sample;
}

/* Processes of different containers have the same number; they differ in this. */
static unsigned random_number(void)
{
    unsigned number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (unsigned)getpid();
    return number;
}

struct metrics_file *metrics_file_open(struct loop *loop,
                                       const struct metrics_file_settings *settings)
{
    struct metrics_file *file = memory_new(sizeof(*file));
    const char *path = settings->path, *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) + 1 : 0;

    file->loop = loop;
    file->settings = *settings;
    file->settings.path = file->path = memory_copy(path);
    file->temporary =
        memory_format("%.*s.%s.%08x.tmp", directory, path, path + directory, random_number());
    metrics_history_init(&file->history, file->path, settings->history_interval_ms,
                         settings->history_count);
    file->seen = take_sample();
    return file;
}

/* ---- whose it is ---- */

static void mark_set(struct file_mark *mark, const struct stat *status)
{
    *mark = (struct file_mark){status->st_dev, status->st_ino, status->st_mtim};
}

/* While a container is replaced, the old one and the new one write the same file for a moment. */
static bool file_is_foreign(const struct metrics_file *file)
{
    const struct file_mark *mark = &file->mark;
    struct stat status;

    if (!file->written || stat(file->path, &status) != 0)
        return false;
    return status.st_dev != mark->device || status.st_ino != mark->number
           || status.st_mtim.tv_sec != mark->written.tv_sec
           || status.st_mtim.tv_nsec != mark->written.tv_nsec;
}

/* ---- write ---- */

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

static bool file_replace(struct metrics_file *file)
{
    size_t length = strlen(file->text);
    struct stat status;
    bool good;
    int fd;

    if (!file_create(file, &fd))
        return error_set(&file->err, ERROR_OPERATOR, "write metrics file '%s': %s", file->path,
                         strerror(errno));
    good = write(fd, file->text, length) == (ssize_t)length && fstat(fd, &status) == 0;
    close(fd);
    if (good && rename(file->temporary, file->path) == 0) {
        mark_set(&file->mark, &status);
        return file->written = true;
    }
    error_set(&file->err, ERROR_OPERATOR, "write metrics file '%s': %s", file->path,
              strerror(errno));
    unlink(file->temporary);
    return false;
}

static void file_write_work(void *context)
{
    struct metrics_file *file = context;

    file->err.kind = ERROR_NONE;
    file->sample = take_sample();
    file->shared = file_is_foreign(file);
    if (file->leaving && file->shared)
        return;
    if (file_replace(file) && file->settings.history)
        metrics_history_append(&file->history, file->text, clock_wall_ns(), &file->err);
}

static void file_write_done(void *context)
{
    struct metrics_file *file = context;

    file->busy = false;
    file->seen = file->sample;
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
    file->began_ms = clock_now_ms();
    file->text = metrics_print(metrics);
    file->leaving = metrics->stop_requested;
    loop_work(file->loop, file_write_work, file_write_done, file);
}

int64_t metrics_file_busy_ms(const struct metrics_file *file)
{
    return file->busy ? clock_now_ms() - file->began_ms : 0;
}

void metrics_file_process(const struct metrics_file *file, int64_t *memory_bytes, int64_t *fds)
{
    *memory_bytes = file->seen.memory_bytes;
    *fds = file->seen.fds;
}

static void file_remove_work(void *context)
{
    struct metrics_file *file = context;

    file->err.kind = ERROR_NONE;
    if (file->shared || file_is_foreign(file))
        return;
    if (unlink(file->path) != 0 && errno != ENOENT)
        error_set(&file->err, ERROR_OPERATOR, "remove metrics file '%s': %s", file->path,
                  strerror(errno));
}

static void file_remove(struct metrics_file *file)
{
    file->busy = true;
    loop_work(file->loop, file_remove_work, file_write_done, file);
}

static void file_wait(struct metrics_file *file)
{
    while (file->busy)
        loop_wait(file->loop);
}

void metrics_file_close(struct metrics_file *file, const struct metrics *metrics)
{
    if (!file)
        return;
    file_wait(file);
    if (file->settings.keep || file->settings.history)
        metrics_file_write(file, metrics);
    file_wait(file);
    if (!file->settings.keep)
        file_remove(file);
    file_wait(file);
    metrics_history_clear(&file->history);
    free(file->path);
    free(file->temporary);
    free(file);
}
