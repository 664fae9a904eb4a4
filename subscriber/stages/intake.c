/* Turns come in even steps. Whoever did not use them for a while has a tenth of a second of them
 * left, so that wakeups that come late cost nothing. */
#include "stages/intake.h"

#include "base/clock.h"

#include <math.h>

#define LEFT_MS 100

static int64_t take_turn(struct intake *intake)
{
    double now_ms = (double)clock_now_ms(), turn_ms;

    if (intake->rate_max <= 0)
        return 0;
    turn_ms = fmax(intake->next_ms, now_ms - LEFT_MS);
    intake->next_ms = turn_ms + 1000 / intake->rate_max;
    return turn_ms > now_ms ? (int64_t)ceil(turn_ms - now_ms) : 0;
}

bool intake_take(struct intake *intake, int64_t *delay_ms)
{
    if (intake_is_full(intake))
        return false;
    intake->taken++;
    *delay_ms = take_turn(intake);
    return true;
}

bool intake_is_full(const struct intake *intake)
{
    return intake->count_max > 0 && intake->taken >= intake->count_max;
}

void intake_forget_turns(struct intake *intake)
{
    intake->next_ms = fmin(intake->next_ms, (double)clock_now_ms());
}

int intake_limit_prefetch(double rate_max, int prefetch)
{
    double most = ceil(rate_max * INTAKE_AHEAD_S);

    return rate_max > 0 && most < prefetch ? (int)most : prefetch;
}
