/* One line per event. The date is formatted once a second, the lines are written once a turn. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LOG_BUFFER_SIZE 32768
#define LOG_LINE_MAX    8192

static struct {
    enum log_level level;
    char *path;
    unsigned mode;
    bool with_pid, open;
    int fd;
    time_t second; /* what `date` shows */
    char date[32];
    size_t used;
    char buffer[LOG_BUFFER_SIZE];
} logger = {.level = LOG_INFO, .fd = STDERR_FILENO, .with_pid = true};

static const char *const level_names[] = {
    [LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO",         [LOG_WARNING] = "WARNING",
    [LOG_ERROR] = "ERROR", [LOG_CRITICAL] = "CRITICAL",
};

/* Takes the place of the descriptor that was written to before. */
static void log_use(int fd)
{
    log_flush();
    if (logger.fd > STDERR_FILENO)
        close(logger.fd);
    logger.fd = fd;
}

static bool log_use_file(const char *path, unsigned mode, struct error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode);

    if (fd < 0)
        return error_set(err, ERROR_OPERATOR, "open log file '%s': %s", path, strerror(errno));
    log_use(fd);
    return true;
}

bool log_open(const struct log_settings *settings, struct error *err)
{
    if (settings->path && !log_use_file(settings->path, settings->mode, err))
        return false;
    if (!settings->path)
        log_use(settings->to_stdout ? STDOUT_FILENO : STDERR_FILENO);
    memory_replace(&logger.path, memory_copy(settings->path));
    logger.level = settings->level;
    logger.with_pid = settings->with_pid;
    logger.mode = settings->mode;
    logger.open = true;
    return true;
}

bool log_reopen(struct error *err)
{
    return !logger.path || log_use_file(logger.path, logger.mode, err);
}

bool log_writes(enum log_level level)
{
    return level >= logger.level;
}

void log_flush(void)
{
    size_t done = 0;

    while (done < logger.used) {
        ssize_t written = write(logger.fd, logger.buffer + done, logger.used - done);

        if (written < 0 && errno != EINTR)
            break; /* a log that cannot be written must not stop the work */
        done += written > 0 ? (size_t)written : 0;
    }
    logger.used = 0;
}

void log_close(void)
{
    log_use(STDERR_FILENO);
    logger.open = false;
    memory_replace(&logger.path, NULL);
}

static const char *log_date(int64_t wall_ns)
{
    time_t second = (time_t)(wall_ns / NS_PER_S);

    if (second != logger.second || !logger.date[0]) {
        struct tm local;

        localtime_r(&second, &local);
        strftime(logger.date, sizeof(logger.date), "%Y-%m-%d %H:%M:%S", &local);
        logger.second = second;
    }
    return logger.date;
}

/* Copies `text` into `out`, control characters as \xNN; returns the bytes written. */
static size_t log_escape(const char *text, char *out, size_t size)
{
    size_t used = 0;

    for (; *text && used + 5 < size; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte >= 0x20 && byte != 0x7f)
            out[used++] = (char)byte;
        else
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", byte);
    }
    return used;
}

void log_line(enum log_level level, const char *where, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    int64_t now = clock_wall_ns();
    char pid[16] = "";
    va_list args;
    int head;

    if (!log_writes(level))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (logger.with_pid)
        snprintf(pid, sizeof(pid), "%d ", (int)getpid());
    if (sizeof(logger.buffer) - logger.used < LOG_LINE_MAX + 256)
        log_flush();
    head = snprintf(logger.buffer + logger.used, 256, "%s,%03d [%s] %s%.150s ", log_date(now),
                    (int)(now / NS_PER_MS % 1000), level_names[level], pid, where);
    logger.used += (size_t)head;
    logger.used += log_escape(text, logger.buffer + logger.used, LOG_LINE_MAX);
    logger.buffer[logger.used++] = '\n';
    if (level >= LOG_ERROR || !logger.open)
        log_flush();
}

bool log_level_parse(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++) {
        if (strcasecmp(name, level_names[i]) == 0) {
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
