/*
 * Allocation that never returns NULL.
 *
 * Running out of memory ends the process: nothing unacked is lost by that, the broker delivers it
 * again. Everything returned here is the caller's and goes back with free().
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define MUST_CHECK              __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, args) __attribute__((format(printf, text, args)))
#define COUNT_OF(array)         (sizeof(array) / sizeof((array)[0]))

/* `size` zeroed bytes. */
void *memory_new(size_t size) MUST_CHECK;

/* Room for `count` items of `size` bytes; what was in `old` (may be NULL) is kept and moved. */
void *memory_resize(void *old, size_t count, size_t size) MUST_CHECK;

/* A copy of `text`; NULL stays NULL. */
char *memory_copy(const char *text) MUST_CHECK;

/* A copy of `length` bytes with a NUL behind them. */
char *memory_copy_bytes(const void *bytes, size_t length) MUST_CHECK;

/* The text that printf would have written. */
char *memory_format(const char *format, ...) PRINTF_LIKE(1, 2) MUST_CHECK;
char *memory_format_list(const char *format, va_list args) PRINTF_LIKE(1, 0) MUST_CHECK;

/* Puts `text` (already allocated, now owned by *slot) in the place of what *slot held. */
void memory_replace(char **slot, char *text);
