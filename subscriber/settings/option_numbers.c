/*
 * The kinds of option values that are numbers: durations, counts, sizes, permissions.
 *
 * Numbers are read by hand: strtod() would take "nan", "0x1p3" and, in some locales, a comma.
 */
#include "settings/option_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DURATION_MAX_MS   (36500 * DAY_MS)
#define EXACT_INTEGER_MAX 9007199254740992.0 /* 2^53, up to where a double holds every integer */

/* Reads `12`, `1.5` or `.5` and moves *text behind it. */
static bool number_take(const char **text, double *number, bool *integer)
{
    const char *start = *text;
    double value = 0, weight = 1;
    size_t digits = 0;

    for (; isdigit((unsigned char)**text); ++*text, digits++)
        value = value * 10 + (**text - '0');
    *integer = **text != '.';
    if (!*integer)
        ++*text;
    for (; !*integer && isdigit((unsigned char)**text); ++*text, digits++) {
        weight /= 10;
        value += (**text - '0') * weight;
    }
    if (!digits)
        *text = start;
    *number = value;
    return digits > 0;
}

/* The text of a limit, allocated. */
static char *limit_print(int64_t value, bool is_duration)
{
    static const struct {
        int64_t ms;
        char letter;
    } units[] = {{DAY_MS, 'd'}, {HOUR_MS, 'h'}, {MINUTE_MS, 'm'}, {SECOND_MS, 's'}};

    if (!is_duration)
        return memory_format("%" PRId64, value);
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (value && value % units[i].ms == 0)
            return memory_format("%" PRId64 "%c", value / units[i].ms, units[i].letter);
    return memory_format("%.10gs", (double)value / 1000);
}

static bool in_range(const struct option *option, const char *text, double value, int64_t type_max,
                     bool is_duration, struct error *err)
{
    int64_t max = option->max ? option->max : type_max;
    char *low, *high, *right;

    if (value >= (double)option->min && value <= (double)max)
        return true;
    low = limit_print(option->min, is_duration);
    high = limit_print(max, is_duration);
    right = memory_format("%s from %s to %s", is_duration ? "a duration" : "a number", low, high);
    option_refuse(err, text, "is out of range", right);
    free(low);
    free(high);
    free(right);
    return false;
}

/* For what is known to be in range. */
static int64_t rounded(double value)
{
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

#define DURATION_RIGHT "a duration such as 90, 1.5s, 5m, 2h, 1d, 3w or 1h30m"

/* From small to large, so that the next smaller unit is one to the left. */
static const struct {
    char letter;
    double seconds;
} time_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};

/* Reads the letter of a unit, if there is one, and moves *text behind it. -1: none. */
static int unit_take(const char **text)
{
    int letter = tolower((unsigned char)**text);

    for (int i = 0; i < (int)COUNT_OF(time_units); i++)
        if (letter == time_units[i].letter) {
            ++*text;
            return i;
        }
    return -1;
}

static bool seconds_read(const char *text, double *seconds)
{
    double more;
    bool integer, more_integer;
    int unit, sign = *text == '-' ? -1 : 1;

    if (*text == '-' || *text == '+')
        text++;
    if (!number_take(&text, seconds, &integer))
        return false;
    unit = unit_take(&text);
    *seconds *= sign * (unit >= 0 ? time_units[unit].seconds : 1);
    if (!*text)
        return true;
    if (unit < 1 || !integer || !number_take(&text, &more, &more_integer)
        || unit_take(&text) != unit - 1)
        return false;
    *seconds += sign * more * time_units[unit - 1].seconds;
    return !*text;
}

static bool parse_duration(const struct option *option, const char *text, void *target,
                           struct error *err)
{
    const char *on = option->on ? option->on : option->fallback;
    const char *read = text;
    double seconds = 0;

    if (on && (!strcasecmp(text, "on") || !strcasecmp(text, "true")))
        read = on;
    if (!option_is_off_word(read) && !seconds_read(read, &seconds))
        return option_refuse(err, text, "is no duration", DURATION_RIGHT);
    if (!in_range(option, text, seconds * 1000, DURATION_MAX_MS, true, err))
        return false;
    *(int64_t *)target = rounded(seconds * 1000);
    return true;
}

static char *print_duration(const struct option *option, const void *target)
{
    (void)option;
    return limit_print(*(const int64_t *)target, true);
}

const struct option_kind option_DURATION = {
    .parse = parse_duration, .print = print_duration, .type = "duration"};

/* Reads `[kmgt][i][b]`; 0 if there is anything else. */
static double factor_read(const char *text)
{
    static const char letters[] = "kmgt";
    const char *letter = *text ? strchr(letters, tolower((unsigned char)*text)) : NULL;
    double base = 1000, factor = 1;

    if (letter)
        text++;
    if (tolower((unsigned char)*text) == 'i' && text++)
        base = 1024;
    if (tolower((unsigned char)*text) == 'b' && text++)
        base = 1024;
    for (const char *c = letters; letter && c <= letter; c++)
        factor *= base;
    return *text ? 0 : factor;
}

static bool amount_read(const char *text, double *amount)
{
    bool integer;
    double factor;
    int sign = *text == '-' ? -1 : 1;

    if (*text == '-' || *text == '+')
        text++;
    if (!number_take(&text, amount, &integer))
        return false;
    factor = factor_read(text);
    *amount *= sign * factor;
    return factor > 0;
}

static bool parse_count(const struct option *option, const char *text, void *target,
                        struct error *err)
{
    double count;

    if (!amount_read(text, &count))
        return option_refuse(err, text, "is no number", "digits, such as 25");
    if (!in_range(option, text, count, INT_MAX, false, err))
        return false;
    if (count != (double)(int)count)
        return option_refuse(err, text, "is no whole number", "digits, such as 25");
    *(int *)target = (int)count;
    return true;
}

static char *print_count(const struct option *option, const void *target)
{
    (void)option;
    return memory_format("%d", *(const int *)target);
}

const struct option_kind option_COUNT = {
    .parse = parse_count, .print = print_count, .type = "count"};

static bool parse_size(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    double bytes;

    if (!amount_read(text, &bytes))
        return option_refuse(err, text, "is no size", "bytes, such as 4096, 64k, 1.5m or 2gb");
    if (!in_range(option, text, bytes, (int64_t)EXACT_INTEGER_MAX, false, err))
        return false;
    *(int64_t *)target = rounded(bytes);
    return true;
}

static char *print_size(const struct option *option, const void *target)
{
    (void)option;
    return limit_print(*(const int64_t *)target, false);
}

const struct option_kind option_SIZE = {.parse = parse_size, .print = print_size, .type = "size"};

static bool parse_float(const struct option *option, const char *text, void *target,
                        struct error *err)
{
    double number;

    if (!amount_read(text, &number))
        return option_refuse(err, text, "is no number", "digits, such as 25 or 0.5");
    if (!in_range(option, text, number, (int64_t)EXACT_INTEGER_MAX, false, err))
        return false;
    *(double *)target = number;
    return true;
}

static char *print_float(const struct option *option, const void *target)
{
    (void)option;
    return memory_format("%.10g", *(const double *)target);
}

const struct option_kind option_FLOAT = {
    .parse = parse_float, .print = print_float, .type = "number"};

static bool parse_perm(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    size_t digits = strspn(text, "01234567");
    unsigned long mode = strtoul(text, NULL, 8);

    (void)option;
    if (!digits || text[digits] || digits > 9 || mode > 07777)
        return option_refuse(err, text, "are no permissions", "octal digits, such as 644");
    *(unsigned *)target = (unsigned)mode;
    return true;
}

static char *print_perm(const struct option *option, const void *target)
{
    unsigned mode = *(const unsigned *)target;

    (void)option;
    return mode ? memory_format("0%o", mode) : memory_copy("0");
}

const struct option_kind option_PERM = {
    .parse = parse_perm, .print = print_perm, .type = "permissions"};
