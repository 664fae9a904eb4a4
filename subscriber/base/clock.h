/*
 * Wall clock, steady clock, and the text forms of times.
 *
 * Wall time is int64_t nanoseconds since 1970-01-01 UTC (announcements order by it), steady time
 * is int64_t milliseconds that never go back (deadlines use it). A test can hold both still.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

int64_t clock_wall_ns(void);
double clock_wall_s(void); /* the same, as metrics have it */
int64_t clock_now_ms(void);

/* For tests: from now on the clocks show these values. Negative: back to the real ones. */
void clock_hold(int64_t wall_ns, int64_t now_ms);

/*
 * The time form of announcements: YYYYMMDD[T]HHMMSS[.fraction], UTC, the fraction any float text
 * (an exponent form occurs). False when it is not of that form or no such date exists.
 */
bool clock_parse(const char *text, int64_t *wall_ns);

/* The longest text that clock_print() writes, with its NUL. */
#define CLOCK_TEXT_SIZE 26

/* Writes YYYYMMDDTHHMMSS.fraction, trailing zeros and an empty fraction left out. */
void clock_print(int64_t wall_ns, char text[CLOCK_TEXT_SIZE]);
