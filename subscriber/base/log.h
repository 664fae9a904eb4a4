/*
 * One line per event, in the layout that scripts around sr3 know:
 *
 *     2026-11-21 10:21:41,719 [INFO] 10 sarracenia.flowcb.log after_accept accepted: (lag: 0.42 )
 * ...
 *
 * `where` is "module function" as sr3 prints it (its log lines are grepped by module name);
 * events that sr3 does not have say "sr3sub.module function". Lines are gathered and written by
 * log_flush(), once per turn of the loop; ERROR and worse are written at once, unless they tell the
 * fate of an announcement (log_fate()).
 *
 * Control characters in a message are printed as \xNN, so that one event stays one line; passwords
 * in URLs are replaced by ***. Warnings and errors that come in numbers are counted instead of
 * being written one by one (base/log_repeat.h), fates never. A reader that does not read never
 * makes the program wait (base/log_output.h); what was dropped then is told when it reads again.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

struct log_settings {
    enum log_level level; /* what is below is not written */
    const char *path;     /* appended to; NULL: standard error, or ... */
    bool to_stdout;       /* ... standard output */
    unsigned mode;        /* permissions of a new log file */
    bool with_pid;        /* foreground layout: the process id behind the level */
    const char *format;   /* another layout, see base/log_format.h; NULL: sr3's */
    bool json;            /* with a file: JSON lines in NAME.json beside NAME.log; else instead */
    int64_t rotate_interval_ms; /* how long a file is written to; 0: for ever */
    int64_t rotate_count;       /* how many old ones are kept; 0: all */
    bool rotate_compress;
    int64_t repeat_limit; /* warnings and errors of one kind in ten seconds; 0: no limit */
};

/* Until it is called, lines go to standard error at once. On failure the log stays as it was. */
bool log_open(const struct log_settings *settings, struct error *err) MUST_CHECK;

/* Opens the file again under its name, for rotation from outside (SIGHUP). */
bool log_reopen(struct error *err) MUST_CHECK;

bool log_writes(enum log_level level);
void log_write_line(enum log_level level, bool fate, const char *file, int line, const char *where,
                    const char *format, ...) PRINTF_LIKE(6, 7);
void log_flush(void); /* also rotates, when it is time */
void log_close(void);
bool log_is_behind(void); /* a reader is slow: log_flush() should be called soon */

/*
 * What is left to do for files that were put aside: NULL, or a chore to be run once, which may be
 * in another thread. No other is given out before that one has ended.
 */
struct log_chore *log_take_chore(void) MUST_CHECK;
void log_chore_run(void *chore);
void log_chore_end(void *chore);

/* "debug", "info", ...; false if `name` is none of them. Letter case does not matter. */
bool log_level_parse(const char *name, enum log_level *level);

#define log_line(level, where, ...)                                                                \
    log_write_line(level, false, __FILE__, __LINE__, where, __VA_ARGS__)
/* How an announcement ended: written each time, however many end alike. */
#define log_fate(level, where, ...)                                                                \
    log_write_line(level, true, __FILE__, __LINE__, where, __VA_ARGS__)
#define log_debug(where, ...)                                                                      \
    do {                                                                                           \
        if (log_writes(LOG_DEBUG))                                                                 \
            log_line(LOG_DEBUG, where, __VA_ARGS__);                                               \
    } while (0)
#define log_info(where, ...)    log_line(LOG_INFO, where, __VA_ARGS__)
#define log_warning(where, ...) log_line(LOG_WARNING, where, __VA_ARGS__)
#define log_error(where, ...)   log_line(LOG_ERROR, where, __VA_ARGS__)
