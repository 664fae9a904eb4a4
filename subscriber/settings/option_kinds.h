/*
 * The kinds of option values: how their text is read and checked.
 *
 * A kind is one object, option_DURATION and so on, that rows of options.def name; a new kind is a
 * C type (OPTION_TYPE_...), an object and, if its rows need more than there is, a member of struct
 * option. Kinds whose order in the file matters append to lists of struct config; they live in
 * config_kinds.c.
 *
 *     flag      true yes on 1, or no value: on; everything else: off; any letter case
 *     duration  90, 1.5s, 5m, 2h, 1d, 3w, 1h30m, 2w3d; none off false: 0; on true: the row's `on`
 *               or `fallback`. Kept in milliseconds
 *     count     25, 1k (1000), 1ki or 1kb (1024), also m g t; a whole number
 *     size      the same in bytes, 1.5m allowed
 *     float     a number with a fraction
 *     perm      octal: 644, 0755
 *     string    the rest of the line; None: unset (NULL)
 *     path      a string made absolute; ~ and ~user are home directories
 *     template  a path with variables that differ from file to file; one that begins with such a
 *               variable stays as it is
 *     strip     a number, or a pattern; 0: NULL
 *     flatten   a string; '/': NULL
 *     list      each line adds a string; None empties it
 *     url       as in base/url.h, of one of the schemes in the row's `choices`
 *     choice    index in the row's `choices`; any letter case
 *     set       a bit for each of the row's `choices`: `a,b` replaces, `+a` adds, `-a` removes,
 *               `none`, `all`
 *     inflight  a string, as far as it can name temporary files; none off false: NULL
 *
 * Unlike sr3, which logs and takes 0, a text that is none of that is an error of kind
 * ERROR_OPERATOR; what the option held before stays.
 *
 * Format: sr3_options(7), option types.
 */
#pragma once

#include "base/url.h"

#include <stddef.h>
#include <stdint.h>

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

struct option_url {
    char *text;       /* as written, with its password: not for messages; NULL: not set */
    struct url parts; /* zeroed when not set */
};

struct option_list {
    char **items;
    size_t count;
};

#define OPTION_TYPE_FLAG     bool
#define OPTION_TYPE_DURATION int64_t
#define OPTION_TYPE_COUNT    int
#define OPTION_TYPE_SIZE     int64_t
#define OPTION_TYPE_FLOAT    double
#define OPTION_TYPE_PERM     unsigned
#define OPTION_TYPE_STRING   char *
#define OPTION_TYPE_PATH     char *
#define OPTION_TYPE_TEMPLATE char *
#define OPTION_TYPE_STRIP    char *
#define OPTION_TYPE_FLATTEN  char *
#define OPTION_TYPE_LIST     struct option_list
#define OPTION_TYPE_URL      struct option_url
#define OPTION_TYPE_CHOICE   int
#define OPTION_TYPE_SET      unsigned
#define OPTION_TYPE_INFLIGHT char *

struct option;

struct option_kind {
    bool bare_allowed; /* the name alone is a setting */
    bool whole_line;   /* the value is the rest of the line, otherwise one word */
    bool (*parse)(const struct option *option, const char *text, void *target, struct error *err);

    /* The value as it could be written, allocated; NULL when there is none. It may hold a
     * password. A kind without it has no value of its own: it is in a list of struct config. */
    char *(*print)(const struct option *option, const void *target);

    void (*clear)(void *target); /* NULL: nothing to free */
    const char *type;            /* for the manual */
};

struct option {
    const struct option_kind *kind;
    size_t offset;        /* of its member in struct config */
    const char *name;     /* as sr3 spells it */
    const char *synonyms; /* comma list; NULL: none */
    const char *fallback; /* text of the default; NULL: zero or NULL */
    const char *on;       /* duration: what `on` stands for; NULL: the fallback */
    const char *unit;     /* for the manual */
    const char *choices;  /* comma list; names of the same choice are separated by '|' */
    int64_t min, max;     /* of numbers; max 0: what the type holds, 100 years for a duration */
    bool captured;        /* a value counts for the accept and reject lines below it */
    const char *help;     /* one line of the manual */

    /*
     * What this version does not do about a value that differs from the default; NULL: it obeys,
     * or there is nothing to be done. A value that would change which files arrive, or what
     * happens to them, is refused when the subscription is run; a `mild` one is only warned of.
     */
    const char *pending;
    bool mild;
};

extern const struct option_kind option_FLAG, option_DURATION, option_COUNT, option_SIZE,
    option_FLOAT, option_PERM, option_STRING, option_PATH, option_TEMPLATE, option_STRIP,
    option_FLATTEN, option_LIST, option_URL, option_CHOICE, option_SET, option_INFLIGHT;

/* true false yes no on off 1 0 none: whether `word` was meant as the value of a flag. */
bool option_is_flag_word(const char *word);

/* Whether `name` is the option's name or one of its synonyms; letter case matters. */
bool option_is_called(const struct option *option, const char *name);

/* The first variable in `text`, without "${", that no announcement gives a value to; or NULL. */
const char *option_unknown_variable(const char *text, size_t *length);

/* The next item of a comma list such as `synonyms`, not NUL-terminated; false at the end. */
bool option_list_take(const char **list, const char *separators, const char **item, size_t *length);

/*
 * `text` as a message may quote it, allocated: what stands between "://" and '@' is replaced, long
 * texts are cut.
 */
char *option_quote(const char *text) MUST_CHECK;

/* How many letters have to be changed, added or removed to make `b` of `a`; letter case is free. */
size_t option_distance(const char *a, const char *b);

/* Whether a word with `distance` letters wrong is likely to be meant by `name`. */
bool option_is_near(const char *name, size_t distance);
