/*
 * Reader of sr3 configuration files: lines of `name value...`, handed out one by one.
 *
 *     # comment
 *     broker amqps://dd.weather.gc.ca/
 *     directory ${HOME}/data
 *     include radar.inc
 *
 * The reader knows the syntax: comments, included files, variables. It knows no option: what a
 * setting means, and what a variable stands for at this line, is the business of its host. So
 * settings are taken one at a time, and the host has acted upon one before the next is read.
 * Included settings come in the place of the `include` line. A file that cannot be included is a
 * warning and reading goes on, as in sr3.
 *
 * Format: sr3_options(7), the manual of Sarracenia's configuration.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

#define CONF_FILE_DEPTH_MAX 16        /* files including files */
#define CONF_FILES_MAX      1000      /* included in all, however nested */
#define CONF_TEXT_SIZE_MAX  (1 << 20) /* bytes of a line after its variables were replaced */

struct conf_file;

struct conf_setting {
    const char *name;    /* the first word */
    const char *value;   /* the other words, joined by single blanks; "" when there are none */
    const char *written; /* the value before variables were replaced */
    const char *file;    /* where it stands ... */
    int line;            /* ... counted from 1 */

    /* Of the YAML reader. */
    int column;       /* of the value, counted from 1; 0: not known */
    bool for_next;    /* counts for the next rule or binding only */
    bool use_default; /* no value was given: back to the default */
};

/* What the reader asks of its user. */
struct conf_host {
    void *context;

    /* The value of ${name}, allocated; NULL leaves it as it is written. */
    char *(*variable)(void *context, const char *name);

    /* Finds and reads the file of an `include` line; *path and *text are then the reader's. */
    bool (*include)(void *context, const char *name, char **path, char **text, size_t *size_bytes,
                    struct error *err);

    /* `text` begins with "file:line: ". */
    void (*warn)(void *context, const char *text);
};

/* `host` is copied. NULL, errno and an error that names `path` when it cannot be read. */
struct conf_file *conf_file_open(const char *path, const struct conf_host *host,
                                 struct error *err) MUST_CHECK;

/* Reads a copy of `size_bytes` at `text`; `path` is only a name for messages. */
struct conf_file *conf_file_open_memory(const char *path, const char *text, size_t size_bytes,
                                        const struct conf_host *host) MUST_CHECK;

void conf_file_close(struct conf_file *file); /* NULL is fine */

/*
 * Takes the next setting, whose texts are good until the next call. False at the end, with
 * err->kind ERROR_NONE, and for an error, which begins with "file:line: "; close it then.
 */
bool conf_file_take(struct conf_file *file, struct conf_setting *setting,
                    struct error *err) MUST_CHECK;

/*
 * Reads a whole file of at most 16 MiB; *text is the caller's and has a NUL behind it. When it
 * fails, errno says why.
 */
bool conf_file_read(const char *path, char **text, size_t *size_bytes,
                    struct error *err) MUST_CHECK;
