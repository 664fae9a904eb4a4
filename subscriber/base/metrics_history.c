/* The history of the metrics file: appended to, begun anew, compressed, removed. */
#include "base/metrics_history.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define DAY_MS    86400000
#define STAMP_MAX 24

void metrics_history_init(struct metrics_history *history, const char *path, int64_t interval_ms,
                          int count)
{
    *history = (struct metrics_history){.path = path, .count = count < 1 ? 1 : count};
    history->interval_ms = interval_ms <= 0 || interval_ms > DAY_MS ? DAY_MS : interval_ms;
    if (history->interval_ms < 60000)
        history->interval_ms = 60000;
}

void metrics_history_clear(struct metrics_history *history)
{
    memory_replace(&history->current, NULL);
}

static struct tm time_parts(int64_t seconds)
{
    time_t moment = (time_t)seconds;
    struct tm parts = {0};

    gmtime_r(&moment, &parts);
    return parts;
}

/* ---- finished ones ---- */

static bool copy_compressed(int from, gzFile to)
{
    char bytes[65536];
    ssize_t length;

    while ((length = read(from, bytes, sizeof(bytes))) > 0)
        if (gzwrite(to, bytes, (unsigned)length) != length)
            return false;
    return length == 0;
}

/* Leaves it as it is when that fails, for another time. */
static void compress_file(const char *path)
{
    char *packed = memory_format("%s.gz", path), *temporary = memory_format("%s.tmp", packed);
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    gzFile to = from < 0 ? NULL : gzopen(temporary, "wbe");
    bool good = to && copy_compressed(from, to);

    good = to && gzclose(to) == Z_OK && good;
    if (from >= 0)
        close(from);
    if (good && rename(temporary, packed) == 0)
        unlink(path);
    else if (to)
        unlink(temporary);
    free(packed);
    free(temporary);
}

/* Whether the name, behind that of the metrics file, is that of a history. */
static bool is_history(const char *rest)
{
    size_t length = *rest == '.' ? strspn(rest + 1, "0123456789-") : 0;

    return length >= 8 && (!rest[1 + length] || strcmp(rest + 1 + length, ".gz") == 0);
}

static int compare_names(const void *one, const void *other)
{
    return strcmp(*(char *const *)other, *(char *const *)one);
}

/* The paths of all there are, the newest first; the caller's, and each of them. */
static char **list_all(const struct metrics_history *history, size_t *count)
{
    const char *slash = strrchr(history->path, '/'), *name = slash ? slash + 1 : history->path;
    char *folder = slash ? memory_format("%.*s", (int)(slash - history->path + 1), history->path)
                         : memory_copy("./");
    DIR *directory = opendir(folder);
    size_t length = strlen(name);
    char **paths = NULL;

    *count = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strncmp(entry->d_name, name, length) != 0 || !is_history(entry->d_name + length))
            continue;
        paths = memory_resize(paths, *count + 1, sizeof(*paths));
        paths[(*count)++] = memory_format("%s%s", folder, entry->d_name);
    }
    if (directory)
        closedir(directory);
    free(folder);
    if (*count)
        qsort(paths, *count, sizeof(*paths), compare_names);
    return paths;
}

static bool is_compressed(const char *path)
{
    size_t length = strlen(path);

    return length > 3 && strcmp(path + length - 3, ".gz") == 0;
}

/* A new one was begun. */
static void rotate(const struct metrics_history *history)
{
    const char *slash = strrchr(history->current, '/');
    const char *current = slash ? slash + 1 : history->current;
    size_t count;
    char **paths = list_all(history, &count);

    for (size_t i = 0; i < count; i++) {
        if (i >= (size_t)history->count)
            unlink(paths[i]);
        else if (strcmp(strrchr(paths[i], '/') + 1, current) != 0 && !is_compressed(paths[i]))
            compress_file(paths[i]);
        free(paths[i]);
    }
    free(paths);
}

/* ---- the current one ---- */

static char *name_at(const struct metrics_history *history, int64_t seconds)
{
    struct tm parts = time_parts(seconds - seconds % (history->interval_ms / 1000));
    char stamp[STAMP_MAX];

    if (history->interval_ms < DAY_MS)
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M", &parts);
    else
        strftime(stamp, sizeof(stamp), "%Y%m%d", &parts);
    return memory_format("%s.%s", history->path, stamp);
}

bool metrics_history_append(struct metrics_history *history, const char *text, int64_t wall_ns,
                            struct error *err)
{
    int64_t seconds = wall_ns / NS_PER_S;
    char *path = name_at(history, seconds);
    bool begun = !history->current || strcmp(path, history->current) != 0;
    char stamp[STAMP_MAX];
    FILE *file = fopen(path, "ae");
    struct tm parts = time_parts(seconds);
    bool good = file && strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &parts);

    good = good && fprintf(file, "\"%s\" : %.*s,\n", stamp, (int)strcspn(text, "\n"), text) > 0;
    if (file && fclose(file) != 0)
        good = false;
    if (!good)
        error_set(err, ERROR_OPERATOR, "append to metrics history '%s': %s", path, strerror(errno));
    memory_replace(&history->current, path);
    if (begun && good)
        rotate(history);
    return good;
}
