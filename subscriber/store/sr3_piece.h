/* Some entries of one of sr3's retry queues, as they go from their place to whoever keeps them. */
#pragma once

#include "store/sr3_retries.h"

#include <stdlib.h>

#define SR3_PIECE_ENTRIES_MAX 64
#define SR3_PIECE_SIZE        (1 << 20) /* more only for an entry that is larger */
#define SR3_ENTRY_SIZE_MAX    (8 << 20) /* larger ones are moved aside unread */

struct sr3_piece {
    struct sr3_entry entries[SR3_PIECE_ENTRIES_MAX];
    size_t count, taken, settled;
    char *text; /* what the entries point into */
};

static inline void sr3_piece_clear(struct sr3_piece *piece)
{
    free(piece->text);
    *piece = (struct sr3_piece){0};
}
