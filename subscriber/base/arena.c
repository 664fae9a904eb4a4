/* Memory for many small texts that live and die together. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_SIZE 1536 /* holds every field of an ordinary announcement */

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static size_t arena_round(size_t size)
{
    return (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
}

void *arena_take(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;

    if (!block || block->size - block->used < size) {
        size_t room = size > ARENA_BLOCK_SIZE / 4 ? arena_round(size) : ARENA_BLOCK_SIZE;

        block = memory_resize(NULL, 1, sizeof(*block) + room);
        block->used = 0;
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }

    void *taken = block->bytes + block->used;

    block->used += arena_round(size);
    if (block->used > block->size)
        block->used = block->size;
    return taken;
}

char *arena_copy(struct arena *arena, const char *bytes, size_t length)
{
    char *copy = arena_take(arena, length + 1);

    if (length)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

/* Printed where it is to be, and once more only when that is too small. */
char *arena_format(struct arena *arena, const char *format, ...)
{
    struct arena_block *block = arena->blocks;
    size_t room = block ? block->size - block->used : 0, size;
    char *text = block ? block->bytes + block->used : NULL;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, room, format, args);
    va_end(args);

    size = (size_t)(length < 0 ? 0 : length) + 1;
    text = arena_take(arena, size);
    if (length >= 0 && size <= room)
        return text;
    text[0] = '\0';
    va_start(args, format);
    vsnprintf(text, size, format, args);
    va_end(args);
    return text;
}

void arena_clear(struct arena *arena)
{
    struct arena_block *block = arena->blocks;

    while (block) {
        struct arena_block *next = block->next;

        free(block);
        block = next;
    }
    arena->blocks = NULL;
}
