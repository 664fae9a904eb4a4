/*
 * Memory for libraries that ask for the same small blocks over and over: libcurl takes some fifty
 * of them for each file, jansson one for each value.
 *
 * The thread that has called recycle_begin() keeps what it gives back, by size and up to a limit,
 * and takes it from there the next time, without asking the heap. In every other thread, and for
 * large blocks, the functions are those of the C library. All blocks are the heap's own: free()
 * does for any of them, and recycle_free() for any other.
 */
#pragma once

#include <stddef.h>

/* This thread keeps its blocks from now on; until recycle_end(), which frees them. */
void recycle_begin(void);
void recycle_end(void);

/* Like malloc(), calloc(), realloc(), strdup() and free(). */
void *recycle_take(size_t size);
void *recycle_zeroed(size_t count, size_t size);
void *recycle_resize(void *block, size_t size);
char *recycle_copy(const char *text);
void recycle_free(void *block);
