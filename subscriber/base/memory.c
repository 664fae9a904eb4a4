/* Allocation that never returns NULL: the one place that decides what happens when memory is out.
 */
#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *memory_must(void *block)
{
    if (!block) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return block;
}

void *memory_new(size_t size)
{
    return memory_must(calloc(1, size ? size : 1));
}

void *memory_resize(void *old, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return memory_must(NULL);
    return memory_must(realloc(old, count && size ? count * size : 1));
}

char *memory_copy(const char *text)
{
    return text ? memory_must(strdup(text)) : NULL;
}

char *memory_copy_bytes(const void *bytes, size_t length)
{
    char *copy = memory_resize(NULL, length + 1, 1);

    if (length)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

char *memory_format_list(const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    return memory_must(text);
}

char *memory_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = memory_format_list(format, args);
    va_end(args);
    return text;
}

void memory_replace(char **slot, char *text)
{
    free(*slot);
    *slot = text;
}
