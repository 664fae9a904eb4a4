/*
 * So many bytes a second, for all transfers together.
 *
 * Bytes are taken when there is something left, be it less than they are: the debt is waited for
 * afterwards. So the average is kept whatever the size of the pieces.
 *
 * Part of download.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate {
    int64_t bytes_per_s; /* 0: no limit */
    int64_t left;        /* in thousandths of a byte; less than 0: a debt */
    int64_t filled_ms;   /* steady clock */
};

void rate_init(struct rate *rate, int64_t bytes_per_s);

/* Whether bytes may be taken now. */
bool rate_has(struct rate *rate);
void rate_take(struct rate *rate, size_t length);

/* How long it takes until they may. */
int64_t rate_wait_ms(const struct rate *rate);

/* The size of pieces that makes it smooth, at most `most`. */
int64_t rate_piece(const struct rate *rate, int64_t most);
