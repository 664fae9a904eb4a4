/* Wall clock, steady clock, and the text forms of times. */
#include "base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t held_wall_ns = -1, held_now_ms = -1;

static int64_t clock_read_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    return held_wall_ns >= 0 ? held_wall_ns : clock_read_ns(CLOCK_REALTIME);
}

double clock_wall_s(void)
{
    return (double)clock_wall_ns() / (double)NS_PER_S;
}

int64_t clock_now_ms(void)
{
    return held_now_ms >= 0 ? held_now_ms : clock_read_ns(CLOCK_BOOTTIME) / NS_PER_MS;
}

void clock_hold(int64_t wall_ns, int64_t now_ms)
{
    held_wall_ns = wall_ns;
    held_now_ms = now_ms;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar, without a look at any time zone. */
static int64_t days_since_epoch(int year, int month, int day)
{
    int y = year - (month <= 2);
    int era = y / 400, year_of_era = y - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return (int64_t)era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static int two_digits(const char *text)
{
    return (text[0] - '0') * 10 + text[1] - '0';
}

/* ".719", ".5803e-05" or nothing; what rounds up to a whole second is cut to just below it. */
static bool fraction_parse(const char *text, int64_t *ns)
{
    int64_t value = 0, unit = NS_PER_S / 10;
    const char *at = text + 1;

    *ns = 0;
    if (!*text)
        return true;
    if (*text != '.')
        return false;
    for (; isdigit((unsigned char)*at); at++, unit /= 10)
        value += (*at - '0') * unit;
    if ((*at == 'e' || *at == 'E') && at > text + 1) {
        char *end;
        long exponent = strtol(at + 1, &end, 10);

        if (end == at + 1 || *end || exponent > 0 || exponent < -99)
            return false;
        for (; exponent < 0 && value; exponent++)
            value /= 10;
        at = end;
    }
    *ns = value;
    return !*at;
}

bool clock_parse(const char *text, int64_t *wall_ns)
{
    char digits[14];
    size_t have = 0;
    int64_t fraction;

    for (; have < 14; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        digits[have++] = *text;
        if (have == 8 && text[1] == 'T')
            text++;
    }
    if (!fraction_parse(text, &fraction))
        return false;

    int year = two_digits(digits) * 100 + two_digits(digits + 2);
    int month = two_digits(digits + 4), day = two_digits(digits + 6);
    int hour = two_digits(digits + 8), minute = two_digits(digits + 10);
    int second = two_digits(digits + 12);

    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)
        || hour > 23 || minute > 59 || second > 60)
        return false;
    if (year > 2261) /* the last whole year that fits into 64 bits of nanoseconds */
        return false;
    *wall_ns = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 * NS_PER_S
               + second * NS_PER_S + fraction;
    return true;
}

void clock_print(int64_t wall_ns, char text[CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm utc;
    size_t length;

    gmtime_r(&seconds, &utc);
    length = strftime(text, CLOCK_TEXT_SIZE, "%Y%m%dT%H%M%S", &utc);
    if (wall_ns % NS_PER_S == 0)
        return;
    snprintf(text + length, CLOCK_TEXT_SIZE - length, ".%09u", (unsigned)(wall_ns % NS_PER_S));
    for (length = strlen(text); text[length - 1] == '0'; length--)
        text[length - 1] = '\0';
}
