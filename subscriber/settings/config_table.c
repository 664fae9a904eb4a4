/*
 * The option table: options.def made into rows, and names looked up in it.
 *
 * A name that is not in the table is refused and not skipped: an option such as strip decides where
 * files go, and no file in a wrong place is better than many.
 */
#include "settings/config_table.h"

#include "settings/config_ignored.h"
#include "settings/config_kinds.h"
#include "settings/config_legacy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_NAME_MAX 64 /* longer words resemble no option */

static const struct option options[] = {
#define OPTION(kind_, field_, ...)                                                                 \
    {.kind = &option_##kind_, .offset = offsetof(struct config, field_), __VA_ARGS__},
#include "settings/options.def"
};

const struct option *config_option(enum config_option index)
{
    return &options[index];
}

const struct option *config_table_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (option_is_called(&options[i], name))
            return &options[i];
    return NULL;
}

bool config_option_takes_value(const char *name, bool *known)
{
    const struct option *option = config_table_find(name);

    *known = option || config_legacy_knows(name) || config_ignored_knows(name);
    return option && !option->kind->bare_allowed && !config_legacy_knows(name);
}

/* Adds `name` to what was found; names of one option count once. */
static void note_match(enum config_match *match, const char **found, const char *name)
{
    if (*match == CONFIG_MATCH_NONE) {
        *match = CONFIG_MATCH_ONE;
        *found = name;
    } else if (strcmp(*found, name) != 0) {
        *match = CONFIG_MATCH_SEVERAL;
    }
}

/* Whether `option`, or a synonym of it, begins with `typed`. */
static bool option_begins(const struct option *option, const char *typed)
{
    const char *rest = option->synonyms, *item;
    size_t length, typed_length = strlen(typed);

    if (!strncmp(option->name, typed, typed_length))
        return true;
    while (option_list_take(&rest, ",", &item, &length))
        if (length > typed_length && !strncmp(item, typed, typed_length))
            return true;
    return false;
}

enum config_match config_option_complete(const char *typed, const char **name)
{
    enum config_match match = CONFIG_MATCH_NONE;
    bool known;

    *name = typed;
    config_option_takes_value(typed, &known);
    if (known)
        return CONFIG_MATCH_ONE;
    for (size_t i = 0; *typed && i < COUNT_OF(options); i++)
        if (options[i].kind != &option_INCLUDE && option_begins(&options[i], typed))
            note_match(&match, name, options[i].name);
    return match;
}

enum config_option config_table_index(const struct option *option)
{
    return (enum config_option)(option - options);
}

void *config_table_member(struct config *config, const struct option *option)
{
    return (char *)config + option->offset;
}

/* The name that resembles a wanted one most. */
struct nearest {
    const char *wanted;
    size_t distance;
    char *name; /* allocated; NULL: none so far */
};

static void nearest_try(struct nearest *nearest, const char *name, size_t length)
{
    char *copy = memory_copy_bytes(name, length);
    size_t distance = option_distance(nearest->wanted, copy);

    if (distance < nearest->distance && option_is_near(nearest->wanted, distance)) {
        nearest->distance = distance;
        memory_replace(&nearest->name, memory_copy(copy));
    }
    free(copy);
}

static void nearest_try_option(struct nearest *nearest, const struct option *option)
{
    const char *rest = option->synonyms, *item;
    size_t length;

    nearest_try(nearest, option->name, strlen(option->name));
    while (option_list_take(&rest, ",", &item, &length))
        if (length > 2)
            nearest_try(nearest, item, length);
}

char *config_table_nearest(const char *wanted)
{
    struct nearest nearest = {.wanted = wanted, .distance = OPTION_NAME_MAX};
    const char *name;

    if (strlen(wanted) >= OPTION_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(options); i++)
        nearest_try_option(&nearest, &options[i]);
    for (size_t i = 0; (name = config_ignored_name(i)); i++)
        if (!strchr(name, '*') && strlen(name) > 3)
            nearest_try(&nearest, name, strlen(name));
    return nearest.name;
}

bool config_table_refuse_name(const char *name, struct error *err)
{
    char *nearest = config_table_nearest(name), *quoted = option_quote(name);

    if (nearest)
        error_set(err, ERROR_OPERATOR, "option '%s' is unknown; did you mean '%s'?", quoted,
                  nearest);
    else
        error_set(err, ERROR_OPERATOR,
                  "option '%s' is unknown, to sr3 too; remove the line, or put '#' in front of it",
                  quoted);
    free(nearest);
    free(quoted);
    return false;
}

bool config_table_has_fallback(const struct config *config, const struct option *option)
{
    union {
        int64_t number;
        double fraction;
        struct option_url url;
        struct option_list list;
    } fallback = {.url = {.text = NULL}};
    const char *member = (const char *)config + option->offset;
    struct error err = {0};
    char *value, *usual;
    bool same;

    if (!option->kind->print)
        return true;
    if (option->fallback && !option->kind->parse(option, option->fallback, &fallback, &err))
        return false;
    value = option->kind->print(option, member);
    usual = option->kind->print(option, &fallback);
    same = value && usual ? !strcmp(value, usual) : value == usual;
    free(value);
    free(usual);
    if (option->kind->clear)
        option->kind->clear(&fallback);
    return same;
}

void config_table_set_fallback(struct config *config, const struct option *option)
{
    struct error err = {0};

    if (option->fallback) {
        bool parsed = option->kind->parse(option, option->fallback,
                                          config_table_member(config, option), &err);
        assert(parsed);
        (void)parsed;
    }
}
