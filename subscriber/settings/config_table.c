/*
 * The option table: options.def made into rows, and names looked up in it.
 *
 * A name that is not in the table is refused and not skipped: an option such as strip decides where
 * files go, and no file in a wrong place is better than many.
 */
#include "settings/config_table.h"

#include "settings/config_kinds.h"

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

    *known = option != NULL;
    return option && !option->kind->bare_allowed;
}

enum config_option config_table_index(const struct option *option)
{
    return (enum config_option)(option - options);
}

void *config_table_member(struct config *config, const struct option *option)
{
    return (char *)config + option->offset;
}

/* The option whose name resembles `name` most, NULL if none does. */
static const struct option *option_nearest(const char *name)
{
    const struct option *nearest = NULL;
    size_t least = OPTION_NAME_MAX;

    for (size_t i = 0; i < COUNT_OF(options) && strlen(name) < OPTION_NAME_MAX; i++) {
        size_t distance = option_distance(name, options[i].name);

        if (distance < least) {
            least = distance;
            nearest = &options[i];
        }
    }
    return nearest && option_is_near(name, least) ? nearest : NULL;
}

bool config_table_refuse_name(const char *name, struct error *err)
{
    const struct option *nearest = option_nearest(name);
    char *quoted = option_quote(name);

    if (nearest)
        error_set(err, ERROR_OPERATOR, "option '%s' is unknown to this version; did you mean '%s'?",
                  quoted, nearest->name);
    else
        error_set(err, ERROR_OPERATOR,
                  "option '%s' is unknown to this version; remove the line if files can be "
                  "handled without it",
                  quoted);
    free(quoted);
    return false;
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
