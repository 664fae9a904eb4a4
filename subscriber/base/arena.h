/*
 * Memory for many small texts that live and die together.
 *
 * An arena starts empty (zeroed is enough), takes one block from the heap for all of an
 * announcement's fields, and gives everything back at once.
 */
#pragma once

#include "base/memory.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
};

/* `size` bytes, not zeroed, aligned for any type; they live until arena_clear(). */
void *arena_take(struct arena *arena, size_t size) MUST_CHECK;

/* A NUL-terminated copy of `length` bytes. */
char *arena_copy(struct arena *arena, const char *bytes, size_t length) MUST_CHECK;
char *arena_format(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

void arena_clear(struct arena *arena);
