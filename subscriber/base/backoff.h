/* How long to wait before the next try. */
#pragma once

#include <stdint.h>

/*
 * The delay after `tries` failed tries (at least 1): `first_ms`, doubled with each further one, at
 * most `most_ms`. A quarter of it is left to chance, so that what failed together does not come
 * back together.
 */
int64_t backoff_ms(int tries, int64_t first_ms, int64_t most_ms);
