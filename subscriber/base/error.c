/* What went wrong, and whether trying again helps. */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;

    err->kind = kind;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return false;
}

bool error_wrap(struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *context = memory_format_list(format, args);
    va_end(args);
    char *text = memory_format("%s: %s", context, err->text);

    snprintf(err->text, sizeof(err->text), "%s", text);
    free(context);
    free(text);
    return false;
}
