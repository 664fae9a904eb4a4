/*
 * One line per event. Lines are printed when they come and written once a turn of the loop.
 *
 * There are two places to write to, each with a layout: the log, and the JSON lines beside it.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_format.h"
#include "base/log_output.h"
#include "base/log_repeat.h"
#include "base/log_rotate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define LOG_BUFFER_SIZE 32768
#define LOG_SINKS       2

#define FILE_LAYOUT "%(asctime)s [%(levelname)s] %(name)s %(funcName)s %(message)s"
#define FOREGROUND_LAYOUT                                                                          \
    "%(asctime)s [%(levelname)s] %(process)d %(name)s %(funcName)s %(message)s"

struct log_sink {
    bool open;
    bool json;  /* and not in the layout */
    char *path; /* NULL: it is no file of ours */
    struct log_output output;
    struct log_rotation rotation;
    size_t used;
    char buffer[LOG_BUFFER_SIZE];
};

struct log_chore {
    char *paths[LOG_SINKS];
    int64_t count;
    bool compress;
};

static struct {
    enum log_level level;
    unsigned mode;
    bool open, chore_out;
    struct log_format *format;
    int64_t rotate_count, rotate_interval_ms, repeat_limit;
    bool rotate_compress;
    struct log_sink sinks[LOG_SINKS];
    struct log_repeat repeat;
} logger = {.level = LOG_INFO};

/* ---- where lines go ---- */

static void sink_flush(struct log_sink *sink)
{
    log_output_write(&sink->output, sink->buffer, sink->used);
    sink->used = 0;
}

static void sink_close(struct log_sink *sink)
{
    if (!sink->open)
        return;
    sink_flush(sink);
    log_output_close(&sink->output);
    log_rotation_clear(&sink->rotation);
    memory_replace(&sink->path, NULL);
    sink->open = sink->json = false;
}

/* `path` may be the one that the sink has. */
static void sink_open(struct log_sink *sink, int fd, const char *path, bool json)
{
    bool chore_due = sink->rotation.chore_due;
    char *copy = memory_copy(path);

    sink_close(sink);
    sink->open = true;
    sink->json = json;
    sink->path = copy;
    log_output_open(&sink->output, fd, copy != NULL);
    if (copy)
        log_rotation_begin(&sink->rotation, copy, logger.rotate_interval_ms, clock_wall_ns());
    sink->rotation.chore_due = chore_due;
}

static int open_file(const char *path, unsigned mode, struct error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode);

    if (fd < 0)
        error_set(err, ERROR_OPERATOR, "open log file '%s': %s", path, strerror(errno));
    return fd;
}

/* NAME.json for NAME.log and for NAME, allocated. */
static char *json_path(const char *path)
{
    size_t length = strlen(path);
    bool suffix = length > 4 && strcmp(path + length - 4, ".log") == 0;

    return memory_format("%.*s.json", (int)(suffix ? length - 4 : length), path);
}

/* Descriptors of the files, or of the stream; -1: none. */
static bool open_places(const struct log_settings *settings, const char *beside, int fds[LOG_SINKS],
                        struct error *err)
{
    fds[0] = settings->to_stdout ? STDOUT_FILENO : STDERR_FILENO;
    fds[1] = -1;
    if (!settings->path)
        return true;
    fds[0] = open_file(settings->path, settings->mode, err);
    if (fds[0] < 0 || !settings->json)
        return fds[0] >= 0;
    fds[1] = open_file(beside, settings->mode, err);
    if (fds[1] < 0)
        close(fds[0]);
    return fds[1] >= 0;
}

static void keep_settings(const struct log_settings *settings, struct log_format *format)
{
    log_format_free(logger.format);
    logger.format = format;
    logger.level = settings->level;
    logger.mode = settings->mode;
    logger.rotate_interval_ms = settings->rotate_interval_ms;
    logger.rotate_count = settings->rotate_count;
    logger.rotate_compress = settings->rotate_compress;
    logger.repeat_limit = settings->repeat_limit;
    logger.open = true;
}

bool log_open(const struct log_settings *settings, struct error *err)
{
    const char *layout = settings->with_pid ? FOREGROUND_LAYOUT : FILE_LAYOUT;
    char *beside = settings->path ? json_path(settings->path) : NULL;
    struct log_format *format = log_format_parse(settings->format ? settings->format : layout, err);
    int fds[LOG_SINKS];
    bool opened = format && open_places(settings, beside, fds, err);

    if (opened) {
        log_flush();
        keep_settings(settings, format);
        sink_open(&logger.sinks[0], fds[0], settings->path, settings->json && !settings->path);
        sink_close(&logger.sinks[1]);
        if (fds[1] >= 0)
            sink_open(&logger.sinks[1], fds[1], beside, true);
    } else {
        log_format_free(format);
    }
    free(beside);
    return opened;
}

static bool sink_reopen(struct log_sink *sink, struct error *err)
{
    int fd = sink->path ? open_file(sink->path, logger.mode, err) : -1;

    if (fd >= 0)
        sink_open(sink, fd, sink->path, sink->json);
    return fd >= 0 || !sink->path;
}

bool log_reopen(struct error *err)
{
    bool reopened = true;

    for (size_t i = 0; i < LOG_SINKS; i++)
        reopened = sink_reopen(&logger.sinks[i], err) && reopened;
    return reopened;
}

/* Before the log is opened: standard error. */
static void prepare(void)
{
    struct error err = {0};

    if (!logger.format)
        logger.format = log_format_parse(FOREGROUND_LAYOUT, &err);
    if (!logger.sinks[0].open)
        sink_open(&logger.sinks[0], STDERR_FILENO, NULL, false);
}

/* ---- lines ---- */

bool log_writes(enum log_level level)
{
    return level >= logger.level;
}

static void sink_add(struct log_sink *sink, const struct log_record *record)
{
    if (sizeof(sink->buffer) - sink->used < LOG_LINE_MAX)
        sink_flush(sink);
    sink->used += sink->json ? log_json_print(record, sink->buffer + sink->used)
                             : log_format_print(logger.format, record, sink->buffer + sink->used);
    sink->buffer[sink->used++] = '\n';
}

static void add(const struct log_record *record)
{
    prepare();
    for (size_t i = 0; i < LOG_SINKS; i++)
        if (logger.sinks[i].open)
            sink_add(&logger.sinks[i], record);
}

/*
 * Where the password behind "scheme://" begins and ends; false if there is none. One with a '/' in
 * it was not encoded; one without its '@' was cut off, but digits alone may be a port.
 */
static bool find_password(char *url, char **password, char **end)
{
    size_t all = strcspn(url, " \t'\""), authority = strcspn(url, "/?# \t'\"");
    char *colon = memchr(url, ':', authority), *at = memrchr(url, '@', authority);
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

    if (!colon || *url == '[')
        return false;
    if (!at || at < colon) {
        if (digits && !isalnum((unsigned char)colon[1 + digits]))
            return false;
        at = memrchr(colon, '@', all - (size_t)(colon - url));
    }
    *password = colon + 1;
    *end = at ? at : url + authority;
    return *end > *password;
}

/* The password in each "scheme://user:password@" becomes "***", in place. JSON may escape a '/'. */
static void hide_passwords(char *text)
{
    for (char *at = text; (at = strchr(at, ':'));) {
        char *password, *end;
        size_t length;

        at++;
        if (at[0] == '/' && at[1] == '/')
            at += 2;
        else if (*at == '\\' && strncmp(at, "\\/\\/", 4) == 0)
            at += 4;
        else
            continue;
        if (!find_password(at, &password, &end))
            continue;
        length = (size_t)(end - password) < 3 ? (size_t)(end - password) : 3;
        memset(password, '*', length);
        memmove(password + length, end, strlen(end) + 1);
        at = password + length;
    }
}

/* The summary of lines that were held. */
static void add_repeats(bool all)
{
    struct log_record record;
    char text[LOG_MESSAGE_MAX];

    while (log_repeat_take(&logger.repeat, clock_now_ms(), all, &record, text)) {
        record.wall_ns = clock_wall_ns();
        add(&record);
    }
}

void log_write_line(enum log_level level, bool fate, const char *file, int line, const char *where,
                    const char *format, ...)
{
    char text[LOG_MESSAGE_MAX];
    struct log_record record = {
        .level = level, .where = where, .message = text, .file = file, .line = line};
    va_list args;

    if (!log_writes(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    hide_passwords(text);
    if (!fate
        && !log_repeat_passes(&logger.repeat, &record, format, logger.repeat_limit, clock_now_ms()))
        return;
    record.wall_ns = clock_wall_ns();
    add(&record);
    if ((level >= LOG_ERROR && !fate) || !logger.open)
        log_flush();
}

/* ---- writing ---- */

static void tell_dropped(struct log_sink *sink)
{
    int64_t dropped = log_output_take_dropped(&sink->output);
    char text[100];
    struct log_record record = {.level = LOG_WARNING,
                                .wall_ns = clock_wall_ns(),
                                .where = "sr3sub.log write",
                                .message = text,
                                .file = __FILE__,
                                .line = __LINE__};

    if (!dropped)
        return;
    snprintf(text, sizeof(text), "%" PRId64 " lines of the log could not be written and are lost",
             dropped);
    sink_add(sink, &record);
    sink_flush(sink);
    if (sink->output.dropped) /* this one, too */
        sink->output.dropped = dropped;
}

static void rotate(struct log_sink *sink)
{
    size_t used = sink->used;
    struct error err = {0};

    if (!used || !log_rotation_is_due(&sink->rotation, clock_wall_ns()))
        return;
    log_rotation_put_aside(&sink->rotation, sink->output.fd);
    sink->used = 0;               /* what is in the buffer belongs to the new file */
    if (!sink_reopen(sink, &err)) /* the old file is written to on, another try comes later */
        sink->rotation.due_ns = clock_wall_ns() + NS_PER_S;
    sink->used = used;
}

void log_flush(void)
{
    add_repeats(false);
    for (size_t i = 0; i < LOG_SINKS; i++) {
        struct log_sink *sink = &logger.sinks[i];

        if (!sink->open)
            continue;
        rotate(sink);
        sink_flush(sink);
        tell_dropped(sink);
    }
}

bool log_is_behind(void)
{
    return logger.sinks[0].output.kept || logger.sinks[1].output.kept;
}

void log_close(void)
{
    add_repeats(true);
    log_flush();
    for (size_t i = 0; i < LOG_SINKS; i++)
        sink_close(&logger.sinks[i]);
    log_format_free(logger.format);
    logger.format = NULL;
    logger.open = false;
    logger.repeat_limit = 0;
}

/* ---- files that were put aside ---- */

struct log_chore *log_take_chore(void)
{
    struct log_chore *chore = NULL;

    for (size_t i = 0; i < LOG_SINKS && !logger.chore_out; i++) {
        struct log_rotation *rotation = &logger.sinks[i].rotation;

        if (!rotation->chore_due || !rotation->path)
            continue;
        if (!chore)
            chore = memory_new(sizeof(*chore));
        rotation->chore_due = false;
        chore->paths[i] = memory_copy(rotation->path);
        chore->count = logger.rotate_count;
        chore->compress = logger.rotate_compress;
    }
    logger.chore_out = logger.chore_out || chore;
    return chore;
}

void log_chore_run(void *context)
{
    const struct log_chore *chore = context;

    for (size_t i = 0; i < LOG_SINKS; i++)
        if (chore->paths[i])
            log_rotation_tidy(chore->paths[i], chore->count, chore->compress);
}

void log_chore_end(void *context)
{
    struct log_chore *chore = context;

    for (size_t i = 0; i < LOG_SINKS; i++)
        free(chore->paths[i]);
    free(chore);
    logger.chore_out = false;
}

bool log_level_parse(const char *name, enum log_level *level)
{
    for (int i = LOG_DEBUG; i <= LOG_CRITICAL; i++) {
        if (strcasecmp(name, log_level_name((enum log_level)i)) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    if (strcasecmp(name, "none") == 0)
        *level = LOG_CRITICAL;
    else if (strcasecmp(name, "notset") == 0)
        *level = LOG_DEBUG;
    else
        return false;
    return true;
}
