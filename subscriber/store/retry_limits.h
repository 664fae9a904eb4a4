/* What both retry stores agree on. */
#pragma once

/* A take or a page ends early when its bodies are larger together: they are all in memory. */
#define RETRY_BODIES_SIZE_MAX (8 << 20)

/* Longer delays are cut: due times stay exact in a double, which is what Redis sorts by. */
#define RETRY_DELAY_MAX_MS (100LL * 365 * 24 * 3600 * 1000)
