/*
 * How much is taken from the broker: so many announcements in all, and so many a second.
 *
 * Those that come too soon are told how long to wait for their turn. They are few enough to wait in
 * hand, unread, because the broker is asked for no more than can be taken in a minute.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INTAKE_AHEAD_S 60 /* so much of what comes at the greatest rate may be in hand */

/* The first two are set, the rest zeroed. */
struct intake {
    int64_t count_max; /* 0: no limit */
    double rate_max;   /* per second; 0: no limit */
    int64_t taken;     /* so far */
    double next_ms;    /* steady clock: when the turn of the next one comes */
};

/* Counts one more, which has to wait `*delay_ms`. False: it is one too many, hand it back. */
bool intake_take(struct intake *intake, int64_t *delay_ms);

/* As many were taken as may be. */
bool intake_is_full(const struct intake *intake);

/* Those that waited for their turn were handed back: the next one has it. */
void intake_forget_turns(struct intake *intake);

/* `prefetch`, or less if the rate makes less of it. */
int intake_limit_prefetch(double rate_max, int prefetch);
