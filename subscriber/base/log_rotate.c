#include "base/log_rotate.h"

#include "base/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define DAY_MS     86400000LL
#define PIECE_SIZE 65536
#define NAMES_MAX  1000 /* of one time, should they be taken */

/* ---- when ---- */

/* Local midnight `days` after the day of `second`. */
static time_t midnight(time_t second, int days)
{
    struct tm local;

    localtime_r(&second, &local);
    local.tm_mday += days;
    local.tm_hour = local.tm_min = local.tm_sec = 0;
    local.tm_isdst = -1;
    return mktime(&local);
}

/* A file that was there already began when it was written last: sr3 sees no other time either. */
static int64_t beginning(const char *path, int64_t wall_ns)
{
    struct stat status;

    if (stat(path, &status) || !status.st_size)
        return wall_ns;
    return (int64_t)status.st_mtim.tv_sec * NS_PER_S + status.st_mtim.tv_nsec;
}

void log_rotation_begin(struct log_rotation *rotation, const char *path, int64_t interval_ms,
                        int64_t wall_ns)
{
    memory_replace(&rotation->path, interval_ms > 0 ? memory_copy(path) : NULL);
    rotation->interval_ms = interval_ms;
    if (!rotation->path)
        return;
    rotation->began_ns = beginning(path, wall_ns);
    rotation->due_ns = interval_ms < DAY_MS
                           ? rotation->began_ns + interval_ms * NS_PER_MS
                           : (int64_t)midnight((time_t)(rotation->began_ns / NS_PER_S),
                                               (int)(interval_ms / DAY_MS))
                                 * NS_PER_S;
}

void log_rotation_clear(struct log_rotation *rotation)
{
    free(rotation->path);
    *rotation = (struct log_rotation){0};
}

bool log_rotation_is_due(const struct log_rotation *rotation, int64_t wall_ns)
{
    return rotation->path && wall_ns >= rotation->due_ns;
}

/* ---- putting aside ---- */

/* Whether `path` is still the file that is open. */
static bool is_current(int fd, const char *path)
{
    struct stat opened, named;

    return !fstat(fd, &opened) && !stat(path, &named) && opened.st_ino == named.st_ino
           && opened.st_dev == named.st_dev;
}

static bool exists(const char *path)
{
    char *compressed = memory_format("%s.gz", path);
    bool found = !access(path, F_OK) || !access(compressed, F_OK);

    free(compressed);
    return found;
}

/* A name that nobody has, allocated: when the clock was set back, two files began at one time. */
static char *free_name(const struct log_rotation *rotation)
{
    time_t began = (time_t)(rotation->began_ns / NS_PER_S);
    char suffix[40], *name;
    struct tm local;

    localtime_r(&began, &local);
    strftime(suffix, sizeof(suffix),
             rotation->interval_ms < DAY_MS ? "%Y-%m-%d_%H-%M-%S" : "%Y-%m-%d", &local);
    name = memory_format("%s.%s", rotation->path, suffix);
    for (int i = 1; i < NAMES_MAX && exists(name); i++)
        memory_replace(&name, memory_format("%s.%s.%03d", rotation->path, suffix, i));
    return name;
}

void log_rotation_put_aside(struct log_rotation *rotation, int fd)
{
    char *name;

    if (!is_current(fd, rotation->path))
        return;
    name = free_name(rotation);
    rotation->chore_due = !rename(rotation->path, name);
    free(name);
}

/* ---- tidying ---- */

/* Whether `suffix` is 2026-11-21 or 2026-11-21_10-21-41, perhaps with .001, perhaps with `end`. */
static bool is_time(const char *suffix, const char *end)
{
    static const char form[] = "dddd-dd-dd_dd-dd-dd";
    size_t at = 0;

    for (; form[at]
           && (form[at] == 'd' ? isdigit((unsigned char)suffix[at]) != 0 : suffix[at] == form[at]);)
        at++;
    if (at != sizeof("dddd-dd-dd") - 1 && form[at])
        return false;
    suffix += at;
    if (*suffix == '.' && isdigit((unsigned char)suffix[1]))
        suffix += 1 + strspn(suffix + 1, "0123456789");
    return strcmp(suffix, end) == 0;
}

static bool compress_into(gzFile out, int in)
{
    char *piece = memory_new(PIECE_SIZE);
    ssize_t length;

    while ((length = read(in, piece, PIECE_SIZE)) > 0)
        if (gzwrite(out, piece, (unsigned)length) != length)
            break;
    free(piece);
    return length == 0;
}

/* The new file has the permissions of the old one and takes its place when it is whole. */
static void compress_file(const char *path)
{
    char *temporary = memory_format("%s.gz.tmp", path), *name = memory_format("%s.gz", path);
    int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat status;
    int out = in >= 0 && !fstat(in, &status)
                  ? open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, status.st_mode & 0777)
                  : -1;
    gzFile stream = out >= 0 ? gzdopen(out, "wb") : NULL;
    bool done = stream && compress_into(stream, in);

    if (stream)
        done = gzclose(stream) == Z_OK && done;
    else if (out >= 0)
        close(out);
    if (done && !rename(temporary, name))
        unlink(path);
    else
        unlink(temporary);
    if (in >= 0)
        close(in);
    free(temporary);
    free(name);
}

static int newest_first(const void *a, const void *b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

struct old_logs {
    char **paths;
    size_t count;
};

/* Those of `path`; what a compression left that did not end is removed. */
static void list_old(const char *path, struct old_logs *logs)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *directory =
        slash ? memory_copy_bytes(path, (size_t)(slash - path) + 1) : memory_copy("./");
    size_t length = strlen(base);
    DIR *list = opendir(directory);

    for (struct dirent *entry; list && (entry = readdir(list));) {
        const char *suffix = entry->d_name + length + 1;
        char *name;

        if (strncmp(entry->d_name, base, length) != 0 || entry->d_name[length] != '.')
            continue;
        name = memory_format("%s%s", directory, entry->d_name);
        if (is_time(suffix, ".gz.tmp"))
            unlink(name);
        if (is_time(suffix, "") || is_time(suffix, ".gz")) {
            logs->paths = memory_resize(logs->paths, logs->count + 1, sizeof(*logs->paths));
            logs->paths[logs->count++] = name;
        } else {
            free(name);
        }
    }
    if (list)
        closedir(list);
    free(directory);
}

void log_rotation_tidy(const char *path, int64_t count, bool compress)
{
    struct old_logs logs = {0};

    list_old(path, &logs);
    if (logs.count)
        qsort(logs.paths, logs.count, sizeof(*logs.paths), newest_first);
    for (size_t i = 0; i < logs.count; i++) {
        size_t length = strlen(logs.paths[i]);

        if (count > 0 && (int64_t)i >= count)
            unlink(logs.paths[i]);
        else if (compress && strcmp(logs.paths[i] + length - 3, ".gz") != 0)
            compress_file(logs.paths[i]);
        free(logs.paths[i]);
    }
    free(logs.paths);
}
