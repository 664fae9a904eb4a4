/*
 * The inflight names of files: pattern, path and version become a directory and a name.
 *
 * Format: sr3_options(7), inflight. A few hex digits for path and version stand before the suffix,
 * so that patterns which ignore inflight files still match.
 */
#pragma once

#include "base/arena.h"
#include "stages/writer.h"

struct writer_name {
    struct arena texts;       /* also of others that live as long */
    char *directory;          /* below the plan's directory; "" is that itself */
    char *name;               /* final */
    char *inflight_directory; /* below the plan's directory; NULL: the pattern's, absolute */
    char *inflight_name;
    char *hidden_name; /* beside the file, where the absolute directory cannot be used; or NULL */
};

/* Whether `pattern` can name files. */
bool writer_name_allows(const char *pattern);

/* Whether it is a directory of its own, wherever the file goes. */
bool writer_name_is_absolute(const char *pattern);

/* `pattern` NULL: hidden names beside the file. The caller clears `name`. */
void writer_name_init(struct writer_name *name, const char *pattern,
                      const struct writer_plan *plan);
void writer_name_clear(struct writer_name *name);
