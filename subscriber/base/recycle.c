/* Kept blocks hang in a list for each size. A block that is given back goes to the largest size
 * that fits into it, so it does not matter who has allocated it. */
#include "base/recycle.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP      32
#define SIZES     128 /* from STEP to 4096 bytes; larger ones are not kept */
#define SIZE_MOST (STEP * SIZES)
#define KEPT_MOST (512 * 1024) /* bytes */

struct block {
    struct block *next;
};

static _Thread_local struct {
    bool keeps;
    size_t kept; /* bytes */
    struct block *blocks[SIZES];
} bin;

void recycle_begin(void)
{
#ifndef SR3SUB_SANITIZED /* which is to see who uses what was given back */
    bin.keeps = true;
#endif
}

void recycle_end(void)
{
    bin.keeps = false;
    for (size_t i = 0; i < SIZES; i++) {
        while (bin.blocks[i]) {
            struct block *block = bin.blocks[i];

            bin.blocks[i] = block->next;
            free(block);
        }
    }
    bin.kept = 0;
}

void *recycle_take(size_t size)
{
    size_t i = size ? (size - 1) / STEP : 0;
    struct block *block;

    if (!bin.keeps || size > SIZE_MOST)
        return malloc(size);
    block = bin.blocks[i];
    if (!block)
        return malloc((i + 1) * STEP);
    bin.blocks[i] = block->next;
    bin.kept -= (i + 1) * STEP;
    return block;
}

void *recycle_zeroed(size_t count, size_t size)
{
    void *block;

    if (!bin.keeps || (size && count > SIZE_MOST / size))
        return calloc(count, size);
    block = recycle_take(count * size);
    if (block)
        memset(block, 0, count * size);
    return block;
}

void recycle_free(void *freed)
{
    struct block *block = freed;
    size_t size;

    if (!bin.keeps || !block) {
        free(block);
        return;
    }
    size = malloc_usable_size(block) / STEP * STEP;
    if (size < STEP || size > SIZE_MOST || bin.kept + size > KEPT_MOST) {
        free(block);
        return;
    }
    block->next = bin.blocks[size / STEP - 1];
    bin.blocks[size / STEP - 1] = block;
    bin.kept += size;
}

void *recycle_resize(void *old, size_t size)
{
    size_t had = old ? malloc_usable_size(old) : 0;
    void *block;

    if (!bin.keeps || had > SIZE_MOST + STEP)
        return realloc(old, size);
    if (old && size <= had / STEP * STEP)
        return old;
    block = recycle_take(size);
    if (!block || !old)
        return block;
    memcpy(block, old, had < size ? had : size);
    recycle_free(old);
    return block;
}

char *recycle_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = recycle_take(size);

    return copy ? memcpy(copy, text, size) : NULL;
}
