/* A bucket that fills with time, and holds what arrives in a twentieth of a second. */
#include "stages/rate.h"

#include "base/clock.h"

#define HELD_MS     50
#define WAIT_MIN_MS 5 /* so that a small debt does not become a busy loop */
#define PIECE_LEAST 1024
#define RATE_MOST   1000000000000 /* more than any network: no limit */

void rate_init(struct rate *rate, int64_t bytes_per_s)
{
    *rate = (struct rate){.bytes_per_s = bytes_per_s < RATE_MOST ? bytes_per_s : 0,
                          .filled_ms = clock_now_ms()};
}

static int64_t held_most(const struct rate *rate)
{
    return rate->bytes_per_s * HELD_MS;
}

bool rate_has(struct rate *rate)
{
    int64_t now_ms, passed_ms;

    if (rate->bytes_per_s <= 0)
        return true;
    now_ms = clock_now_ms();
    passed_ms = now_ms - rate->filled_ms;
    rate->filled_ms = now_ms;
    if (passed_ms > 0 && passed_ms > (held_most(rate) - rate->left) / rate->bytes_per_s)
        rate->left = held_most(rate);
    else if (passed_ms > 0)
        rate->left += passed_ms * rate->bytes_per_s;
    return rate->left > 0;
}

void rate_take(struct rate *rate, size_t length)
{
    if (rate->bytes_per_s > 0)
        rate->left -= (int64_t)length * 1000;
}

int64_t rate_wait_ms(const struct rate *rate)
{
    int64_t wait_ms = rate->left < 0 ? -rate->left / rate->bytes_per_s + 1 : 0;

    return wait_ms > WAIT_MIN_MS ? wait_ms : WAIT_MIN_MS;
}

int64_t rate_piece(const struct rate *rate, int64_t most)
{
    int64_t piece = rate->bytes_per_s / (1000 / HELD_MS);

    if (rate->bytes_per_s <= 0 || piece > most)
        return most;
    return piece > PIECE_LEAST ? piece : PIECE_LEAST;
}
