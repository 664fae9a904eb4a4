/*
 * The layout of log lines, as Python's logging writes it: %(asctime)s, %(levelname)-8s and so on.
 *
 * Known are asctime, created, msecs, relativeCreated, levelname, levelno, process, processName,
 * thread, threadName, name, funcName, message, module, filename, pathname, lineno. Flags, widths
 * and precisions are printf's. (Format: Python's documentation, "LogRecord attributes".)
 */
#pragma once

#include "base/log.h"

#include <stdint.h>

#define LOG_MESSAGE_MAX 8192
#define LOG_LINE_MAX    (LOG_MESSAGE_MAX + 1024) /* of a line, the newline included */
#define LOG_DATE_SIZE   40

struct log_record {
    enum log_level level;
    int64_t wall_ns;
    const char *where; /* "module function" */
    const char *message;
    const char *file; /* of the source, perhaps with its directory */
    int line;
};

struct log_format;

/* NULL: an unknown name, or no such format; the error says which. */
struct log_format *log_format_parse(const char *text, struct error *err) MUST_CHECK;
void log_format_free(struct log_format *format); /* NULL is fine */

/*
 * Writes the line, without a newline or a NUL, and returns its length. Control characters become
 * \xNN; what is too long is cut.
 */
size_t log_format_print(const struct log_format *format, const struct log_record *record,
                        char out[LOG_LINE_MAX]);

/* The same as one JSON object: asctime, levelname, process, name, funcName, message, filename,
 * lineno, created. What is no UTF-8 becomes U+FFFD. */
size_t log_json_print(const struct log_record *record, char out[LOG_LINE_MAX]);

/* "2026-11-21 10:21:41,719", local time. */
void log_date_print(int64_t wall_ns, char text[LOG_DATE_SIZE]);

const char *log_level_name(enum log_level level);
int log_process_id(void); /* asked for once: the process does not fork */

/* Length of the module in "module function"; *function is what stands behind. */
int log_where_split(const char *where, const char **function);
