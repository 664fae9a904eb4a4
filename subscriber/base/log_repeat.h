/*
 * Warnings and errors that come in numbers: of those that begin at the same place in the program,
 * with the same format, some are written as they are, the others are counted and told in one line
 * when ten seconds are over. Of lines with the very same text the first one is written.
 *
 * Lines below WARNING pass always: they are about single files. So do CRITICAL ones.
 */
#pragma once

#include "base/log_format.h"

#define LOG_REPEAT_SLOTS 32
#define LOG_REPEAT_MS    10000

struct log_repeat {
    struct log_repeat_slot {
        const char *where, *format, *file; /* their addresses are what counts; NULL: unused */
        int line;
        enum log_level level;
        int64_t began_ms, shown, held;
        uint64_t text_hash;              /* of the line that was shown last */
        char text[LOG_MESSAGE_MAX / 16]; /* the start of the line that was held last */
    } slots[LOG_REPEAT_SLOTS];
};

/* Whether the line is to be written; if not, it is counted. At most `limit` of a kind are. */
bool log_repeat_passes(struct log_repeat *repeat, const struct log_record *record,
                       const char *format, int64_t limit, int64_t now_ms);

/*
 * One line for lines that were held, whose ten seconds are over (or, with `all`, are not). False if
 * there is none. `record` points into `repeat` and `text`, until the next call.
 */
bool log_repeat_take(struct log_repeat *repeat, int64_t now_ms, bool all, struct log_record *record,
                     char text[LOG_MESSAGE_MAX]);
