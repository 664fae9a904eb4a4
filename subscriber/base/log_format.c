/* A layout is cut into pieces once; a line is printed piece by piece. */
#include "base/log_format.h"

#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NUMBER_SIZE 64
#define WIDTH_MAX   500
#define MODULE_MAX  150 /* of a module, of a function: they are our own */

enum field {
    FIELD_TEXT, /* of the layout itself */
    FIELD_ASCTIME,
    FIELD_CREATED,
    FIELD_FILENAME,
    FIELD_FUNCTION,
    FIELD_LEVEL_NAME,
    FIELD_LEVEL_NUMBER,
    FIELD_LINE,
    FIELD_MESSAGE,
    FIELD_MODULE,
    FIELD_MILLISECONDS,
    FIELD_NAME,
    FIELD_PATH,
    FIELD_PROCESS,
    FIELD_PROCESS_NAME,
    FIELD_RELATIVE,
    FIELD_THREAD,
    FIELD_THREAD_NAME
};

static const struct {
    const char *name;
    enum field field;
    bool number;
} fields[] = {
    {"asctime", FIELD_ASCTIME, false},
    {"created", FIELD_CREATED, true},
    {"filename", FIELD_FILENAME, false},
    {"funcName", FIELD_FUNCTION, false},
    {"levelname", FIELD_LEVEL_NAME, false},
    {"levelno", FIELD_LEVEL_NUMBER, true},
    {"lineno", FIELD_LINE, true},
    {"message", FIELD_MESSAGE, false},
    {"module", FIELD_MODULE, false},
    {"msecs", FIELD_MILLISECONDS, true},
    {"name", FIELD_NAME, false},
    {"pathname", FIELD_PATH, false},
    {"process", FIELD_PROCESS, true},
    {"processName", FIELD_PROCESS_NAME, false},
    {"relativeCreated", FIELD_RELATIVE, true},
    {"thread", FIELD_THREAD, true},
    {"threadName", FIELD_THREAD_NAME, false},
};

struct piece {
    enum field field;
    const char *text; /* of FIELD_TEXT, in the copy of the layout */
    int length;
    bool left, zero, plus;
    int width, precision; /* precision -1: none */
    char conversion;      /* s, d or f */
};

struct log_format {
    char *text;
    struct piece *pieces;
    size_t count;
};

/* ---- parsing ---- */

static struct piece *add_piece(struct log_format *format)
{
    format->pieces = memory_resize(format->pieces, format->count + 1, sizeof(*format->pieces));
    format->pieces[format->count] = (struct piece){.precision = -1};
    return &format->pieces[format->count++];
}

static void add_text(struct log_format *format, const char *text, int length)
{
    struct piece *piece = length ? add_piece(format) : NULL;

    if (piece) {
        piece->text = text;
        piece->length = length;
    }
}

static bool find_field(const char *name, int length, struct piece *piece, bool *number,
                       struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (strncmp(fields[i].name, name, (size_t)length) == 0 && !fields[i].name[length]) {
            piece->field = fields[i].field;
            *number = fields[i].number;
            return true;
        }
    return error_set(err, ERROR_OPERATOR,
                     "log format: there is no '%%(%.*s)'; known are asctime, levelname, process, "
                     "name, funcName, message, lineno, filename, thread and some more",
                     length, name);
}

static const char *parse_number(const char *at, int *number)
{
    for (*number = 0; isdigit((unsigned char)*at); at++)
        if (*number <= WIDTH_MAX)
            *number = *number * 10 + *at - '0';
    return at;
}

static const char *parse_flags(const char *at, struct piece *piece)
{
    for (;; at++) {
        if (*at == '-')
            piece->left = true;
        else if (*at == '0')
            piece->zero = true;
        else if (*at == '+')
            piece->plus = true;
        else if (*at != ' ' && *at != '#')
            break;
    }
    at = parse_number(at, &piece->width);
    if (*at == '.')
        at = parse_number(at + 1, &piece->precision);
    return at;
}

/* `at` is behind the '%'. Returns what follows the piece; NULL: it is none. */
static const char *parse_piece(struct log_format *format, const char *at, struct error *err)
{
    const char *start = at - 1, *end = *at == '(' ? strchr(at, ')') : NULL;
    struct piece *piece = add_piece(format);
    bool number = false;

    if (end) {
        if (!find_field(at + 1, (int)(end - at) - 1, piece, &number, err))
            return NULL;
        at = parse_flags(end + 1, piece);
        piece->conversion = *at == 'i' || *at == 'u' ? 'd' : *at;
        if (*at && strchr(number ? "diufs" : "s", *at) && piece->width <= WIDTH_MAX)
            return at + 1;
    }
    error_set(err, ERROR_OPERATOR,
              "log format: '%.20s' is not of the form '%%(name)s'; a percent sign is '%%%%'",
              start);
    return NULL;
}

static bool parse(struct log_format *format, struct error *err)
{
    const char *at = format->text, *start = at;

    while ((at = strchr(at, '%'))) {
        add_text(format, start, (int)(at - start));
        if (at[1] == '%') {
            start = at + 1; /* the second one is text */
            at += 2;
        } else {
            start = at = parse_piece(format, at + 1, err);
            if (!at)
                return false;
        }
    }
    add_text(format, start, (int)strlen(start));
    return true;
}

struct log_format *log_format_parse(const char *text, struct error *err)
{
    struct log_format *format = memory_new(sizeof(*format));

    format->text = memory_copy(text);
    if (parse(format, err))
        return format;
    log_format_free(format);
    return NULL;
}

void log_format_free(struct log_format *format)
{
    if (!format)
        return;
    free(format->text);
    free(format->pieces);
    free(format);
}

/* ---- printing ---- */

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {
        [LOG_DEBUG] = "DEBUG", [LOG_INFO] = "INFO",         [LOG_WARNING] = "WARNING",
        [LOG_ERROR] = "ERROR", [LOG_CRITICAL] = "CRITICAL",
    };

    return names[level];
}

/* Most lines are of the same second as the one before. */
void log_date_print(int64_t wall_ns, char text[LOG_DATE_SIZE])
{
    static time_t known;
    static char date[LOG_DATE_SIZE - 12];
    time_t second = (time_t)(wall_ns / NS_PER_S);
    size_t length;

    if (second != known || !date[0]) {
        struct tm local;

        localtime_r(&second, &local);
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
        known = second;
    }
    length = strlen(date);
    memcpy(text, date, length);
    text[length++] = ',';
    for (int unit = 100; unit; unit /= 10)
        text[length++] = (char)('0' + wall_ns / NS_PER_MS / unit % 10);
    text[length] = '\0';
}

int log_where_split(const char *where, const char **function)
{
    const char *blank = strchr(where, ' ');

    *function = blank ? blank + 1 : "";
    return blank ? (int)(blank - where) : (int)strlen(where);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Bytes of the control character at `text`, of ASCII or of Unicode; 0: it is none. */
static size_t control_length(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;

    if (bytes[0] == 0xc2 && bytes[1] >= 0x80 && bytes[1] < 0xa0)
        return 2;
    return bytes[0] < 0x20 || bytes[0] == 0x7f;
}

/* How many characters are printable ones of ASCII, as nearly all are. */
static size_t plain_length(const char *text)
{
    size_t length = 0;

    while ((unsigned char)(text[length] - 0x20) < 0x7f - 0x20)
        length++;
    return length;
}

/* Copies `text` into `out`, control characters as \xNN; returns the bytes written. */
static size_t escape(const char *text, char *out, size_t size)
{
    size_t used = 0, plain, control;

    while (*text && used + 9 < size) {
        plain = plain_length(text);
        plain = plain < size - used - 9 ? plain : size - used - 9;
        memcpy(out + used, text, plain);
        used += plain;
        text += plain;
        control = control_length(text);
        for (size_t i = 0; *text && i < control; i++)
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", (unsigned char)*text++);
        if (*text && !control && used + 9 < size)
            out[used++] = *text++;
    }
    return used;
}

/* The value of a field that is text, and its length; `buffer` may be used for it. */
static const char *text_value(enum field field, const struct log_record *record,
                              char buffer[LOG_MESSAGE_MAX], size_t *length)
{
    const char *text = "MainThread", *function;
    int module = log_where_split(record->where, &function);

    switch (field) {
    case FIELD_ASCTIME:
        log_date_print(record->wall_ns, buffer);
        text = buffer;
        break;
    case FIELD_FILENAME:
        text = base_name(record->file);
        break;
    case FIELD_MODULE:
        text = base_name(record->file);
        *length = strcspn(text, ".");
        return text;
    case FIELD_NAME:
        *length = (size_t)(module < MODULE_MAX ? module : MODULE_MAX);
        return record->where;
    case FIELD_FUNCTION:
        text = function;
        break;
    case FIELD_LEVEL_NAME:
        text = log_level_name(record->level);
        break;
    case FIELD_MESSAGE:
        *length = escape(record->message, buffer, LOG_MESSAGE_MAX);
        return buffer;
    case FIELD_PATH:
        text = record->file;
        break;
    case FIELD_PROCESS_NAME:
        text = "MainProcess";
        break;
    default:
        break;
    }
    *length = strlen(text);
    return text;
}

int log_process_id(void)
{
    static int known;

    if (!known)
        known = (int)getpid();
    return known;
}

static bool number_value(enum field field, const struct log_record *record, double *value)
{
    static int64_t began_ns;

    if (!began_ns)
        began_ns = record->wall_ns;
    switch (field) {
    case FIELD_CREATED:
        *value = (double)record->wall_ns / NS_PER_S;
        return true;
    case FIELD_LEVEL_NUMBER:
        *value = 10 * ((int)record->level + 1);
        return true;
    case FIELD_LINE:
        *value = record->line;
        return true;
    case FIELD_MILLISECONDS:
        *value = (double)(record->wall_ns / NS_PER_MS % 1000);
        return true;
    case FIELD_PROCESS:
        *value = log_process_id();
        return true;
    case FIELD_RELATIVE:
        *value = (double)(record->wall_ns - began_ns) / NS_PER_MS;
        return true;
    case FIELD_THREAD:
        *value = gettid();
        return true;
    default:
        return false;
    }
}

/* In front of the digits, behind a sign. */
static void put_zero(char digits[NUMBER_SIZE])
{
    char *at = digits + (*digits == '+' || *digits == '-');

    memmove(at + 1, at, strlen(at) + 1);
    *at = '0';
}

/* As printf() does it, which takes longer than all the rest of a line. */
static size_t put(const struct piece *piece, const char *text, size_t length, char *out,
                  size_t size)
{
    size_t width = (size_t)piece->width > length ? (size_t)piece->width : length;
    size_t before = piece->left ? 0 : width - length;

    width = width < size ? width : size;
    before = before < width ? before : width;
    memset(out, ' ', width);
    memcpy(out + before, text, length < width - before ? length : width - before);
    return width;
}

/* The process id is in every line. No number here is negative. */
static void print_whole(int64_t value, char digits[NUMBER_SIZE])
{
    char *end = digits + 1;

    for (int64_t rest = value; rest >= 10; rest /= 10)
        end++;
    *end = '\0';
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (end > digits);
}

static size_t put_number(const struct piece *piece, double value, char *out, size_t size)
{
    char digits[NUMBER_SIZE];
    bool fraction =
        piece->conversion == 'f' || (piece->conversion == 's' && piece->field == FIELD_CREATED);

    if (fraction)
        snprintf(digits, NUMBER_SIZE - 1, "%.*f",
                 piece->precision >= 0 && piece->precision < 18 ? piece->precision : 6, value);
    else
        print_whole((int64_t)value, digits);
    if (piece->plus && *digits != '-') {
        memmove(digits + 1, digits, strlen(digits) + 1);
        *digits = '+';
    }
    if (piece->zero && !piece->left && piece->conversion != 's')
        for (; (int)strlen(digits) < piece->width && strlen(digits) + 1 < sizeof(digits);)
            put_zero(digits);
    return put(piece, digits, strlen(digits), out, size);
}

static size_t print_piece(const struct piece *piece, const struct log_record *record, char *out,
                          size_t size)
{
    char buffer[LOG_MESSAGE_MAX];
    const char *text = piece->text;
    size_t length = (size_t)piece->length;
    double number;

    if (piece->field != FIELD_TEXT) {
        if (number_value(piece->field, record, &number))
            return put_number(piece, number, out, size);
        text = text_value(piece->field, record, buffer, &length);
        if (piece->precision >= 0 && (size_t)piece->precision < length)
            length = (size_t)piece->precision;
    }
    return put(piece, text, length, out, size);
}

size_t log_format_print(const struct log_format *format, const struct log_record *record,
                        char out[LOG_LINE_MAX])
{
    size_t used = 0;

    for (size_t i = 0; i < format->count; i++)
        used += print_piece(&format->pieces[i], record, out + used, LOG_LINE_MAX - 2 - used);
    return used;
}
