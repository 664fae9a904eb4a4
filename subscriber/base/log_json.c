/* A log line as a JSON object, for programs that gather logs. */
#include "base/log_format.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define TAIL_SIZE 512 /* what stands behind the message */

/* Bytes of the character at `text`; 0 if it is no UTF-8. */
static size_t character_length(const unsigned char *text)
{
    size_t length = *text < 0x80             ? 1
                    : (*text & 0xe0) == 0xc0 ? 2
                    : (*text & 0xf0) == 0xe0 ? 3
                    : (*text & 0xf8) == 0xf0 ? 4
                                             : 0;

    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((length == 2 && *text < 0xc2) || (length == 3 && *text == 0xe0 && text[1] < 0xa0)
        || (length == 3 && *text == 0xed && text[1] > 0x9f)
        || (length == 4
            && (*text > 0xf4 || (*text == 0xf0 && text[1] < 0x90)
                || (*text == 0xf4 && text[1] > 0x8f))))
        return 0;
    return length;
}

/* One character into `out`, which has room for 6 bytes; returns how many it took of `text`. */
static size_t put_character(const unsigned char *text, char *out, size_t *used)
{
    size_t length = character_length(text);

    if (!length) {
        memcpy(out, "\xef\xbf\xbd", 3);
        *used += 3;
        return 1;
    }
    if (*text == '"' || *text == '\\') {
        out[0] = '\\';
        out[1] = (char)*text;
        *used += 2;
    } else if (*text < 0x20 || *text == 0x7f) {
        char code[8];

        snprintf(code, sizeof(code), "\\u%04x", *text);
        memcpy(out, code, 6);
        *used += 6;
    } else {
        memcpy(out, text, length);
        *used += length;
    }
    return length;
}

/* `"name": "text", ` as far as there is room. */
static size_t put_text(const char *name, const char *text, size_t length, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "\"%s\": \"", name);

    for (size_t at = 0; at < length && text[at] && used + 16 < size;)
        at += put_character((const unsigned char *)text + at, out + used, &used);
    memcpy(out + used, "\", ", 3);
    return used + 3;
}

size_t log_json_print(const struct log_record *record, char out[LOG_LINE_MAX])
{
    const char *function, *slash = strrchr(record->file, '/');
    int module = log_where_split(record->where, &function);
    const char *file = slash ? slash + 1 : record->file;
    char date[LOG_DATE_SIZE];
    size_t used;

    log_date_print(record->wall_ns, date);
    used = (size_t)snprintf(out, LOG_LINE_MAX,
                            "{\"asctime\": \"%s\", \"levelname\": \"%s\", \"process\": %d, ", date,
                            log_level_name(record->level), log_process_id());
    used += put_text("name", record->where, module < 150 ? (size_t)module : 150, out + used, 400);
    used += put_text("funcName", function, 100, out + used, 300);
    used += put_text("message", record->message, strlen(record->message), out + used,
                     LOG_LINE_MAX - used - TAIL_SIZE);
    used += put_text("filename", file, 100, out + used, 300);
    used += (size_t)snprintf(out + used, LOG_LINE_MAX - used, "\"lineno\": %d, \"created\": %.3f}",
                             record->line, (double)record->wall_ns / NS_PER_S);
    return used;
}
