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
 *     perm      octal: 644, 0755
 *     string    the rest of the line; None: unset (NULL)
 *     path      a string made absolute; ~ and ~user are home directories
 *     url       as in base/url.h, of one of the schemes in the row's `choices`
 *     choice    index in the row's `choices`; any letter case
 *     set       a bit for each of the row's `choices`: `a,b` replaces, `+a` adds, `-a` removes,
 *               `none`, `all`
 *     inflight  a string, as far as it can name temporary files; none off false: NULL
 *
 * Unlike sr3, which logs and takes 0, a text that is none of that is an error of kind
 * ERROR_OPERATOR; what the option held before stays.
 *
 * Format: spec/options.md section 3.
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

#define OPTION_TYPE_FLAG     bool
#define OPTION_TYPE_DURATION int64_t
#define OPTION_TYPE_COUNT    int
#define OPTION_TYPE_SIZE     int64_t
#define OPTION_TYPE_PERM     unsigned
#define OPTION_TYPE_STRING   char *
#define OPTION_TYPE_PATH     char *
#define OPTION_TYPE_URL      struct option_url
#define OPTION_TYPE_CHOICE   int
#define OPTION_TYPE_SET      unsigned
#define OPTION_TYPE_INFLIGHT char *

struct option;

struct option_kind {
    bool bare_allowed; /* the name alone is a setting */
    bool whole_line;   /* the value is the rest of the line, otherwise one word */
    bool (*parse)(const struct option *option, const char *text, void *target, struct error *err);
    void (*clear)(void *target); /* NULL: nothing to free */
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
    const char *help;     /* one line of the manual */
};

extern const struct option_kind option_FLAG, option_DURATION, option_COUNT, option_SIZE,
    option_PERM, option_STRING, option_PATH, option_URL, option_CHOICE, option_SET, option_INFLIGHT;

/* true false yes no on off 1 0 none: whether `word` was meant as the value of a flag. */
bool option_is_flag_word(const char *word);

/* Whether `name` is the option's name or one of its synonyms; letter case matters. */
bool option_is_called(const struct option *option, const char *name);

/*
 * `text` as a message may quote it, allocated: what stands between "://" and '@' is replaced, long
 * texts are cut.
 */
char *option_quote(const char *text) MUST_CHECK;

/* How many letters have to be changed, added or removed to make `b` of `a`; letter case is free. */
size_t option_distance(const char *a, const char *b);

/* Whether a word with `distance` letters wrong is likely to be meant by `name`. */
bool option_is_near(const char *name, size_t distance);
