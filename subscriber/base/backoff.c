/* How long to wait before the next try. */
#include "base/backoff.h"

#include <stdlib.h>
#include <sys/random.h>

static double backoff_chance(void)
{
    uint32_t number;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = (uint32_t)random();
    return number / 4294967296.0;
}

int64_t backoff_ms(int tries, int64_t first_ms, int64_t most_ms)
{
    int64_t delay = first_ms;

    for (int i = 1; i < tries && delay < most_ms; i++)
        delay *= 2;
    if (delay > most_ms)
        delay = most_ms;
    return delay - delay / 4 + (int64_t)(backoff_chance() * (double)(delay / 4));
}
