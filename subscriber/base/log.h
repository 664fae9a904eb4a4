/*
 * One line per event, in the layout that scripts around sr3 know:
 *
 *     2026-11-21 10:21:41,719 [INFO] 10 sarracenia.flowcb.log after_accept accepted: (lag: 0.42 )
 * ...
 *
 * `where` is "module function" as sr3 prints it (spec: its log lines are grepped by module name);
 * events that sr3 does not have say "sr3sub.module function". Lines are gathered and written by
 * log_flush(), once per turn of the loop; ERROR and worse are written at once.
 *
 * Control characters in a message are printed as \xNN, so that one event stays one line.
 */
#pragma once

#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

struct log_settings {
    enum log_level level; /* what is below is not written */
    const char *path;     /* appended to; NULL: standard error, or ... */
    bool to_stdout;       /* ... standard output */
    unsigned mode;        /* permissions of a new log file */
    bool with_pid;        /* foreground layout: the process id behind the level */
};

/* Until it is called, lines go to standard error at once. On failure the log stays as it was. */
bool log_open(const struct log_settings *settings, struct error *err) MUST_CHECK;

/* Opens the file again under its name, for rotation from outside (SIGHUP). */
bool log_reopen(struct error *err) MUST_CHECK;

bool log_writes(enum log_level level);
void log_line(enum log_level level, const char *where, const char *format, ...) PRINTF_LIKE(3, 4);
void log_flush(void);
void log_close(void);

/* "debug", "info", ...; false if `name` is none of them. Letter case does not matter. */
bool log_level_parse(const char *name, enum log_level *level);

#define log_debug(where, ...)                                                                      \
    do {                                                                                           \
        if (log_writes(LOG_DEBUG))                                                                 \
            log_line(LOG_DEBUG, where, __VA_ARGS__);                                               \
    } while (0)
#define log_info(where, ...)    log_line(LOG_INFO, where, __VA_ARGS__)
#define log_warning(where, ...) log_line(LOG_WARNING, where, __VA_ARGS__)
#define log_error(where, ...)   log_line(LOG_ERROR, where, __VA_ARGS__)
