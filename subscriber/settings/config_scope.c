/* Values for the next rule or binding only, and options set back. */
#include "settings/config_scope.h"

#include "settings/config_kinds.h"
#include "settings/config_loader.h"
#include "settings/config_table.h"

#include <assert.h>
#include <stdlib.h>

static struct config_origin *origin_of(struct config *config, const struct option *option)
{
    return &config->origins[config_table_index(option)];
}

void config_scope_enter(struct config *config, const struct option *option)
{
    struct config_aside *aside = config->loader->aside;
    char **member = config_table_member(config, option);
    size_t i = 0;

    while (i < CONFIG_ASIDE_MAX && aside[i].option && aside[i].option != option)
        i++;
    assert(i < CONFIG_ASIDE_MAX && option->kind->clear);
    if (aside[i].option)
        return;
    aside[i] = (struct config_aside){option, *member, *origin_of(config, option)};
    *member = NULL;
    *origin_of(config, option) = (struct config_origin){0};
}

bool config_scope_ends(const struct option *option)
{
    return option->kind == &option_ACCEPT || option->kind == &option_REJECT
           || option->kind == &option_SUBTOPIC;
}

void config_scope_leave(struct config *config)
{
    for (size_t i = 0; i < CONFIG_ASIDE_MAX; i++) {
        struct config_aside *aside = &config->loader->aside[i];

        if (!aside->option)
            continue;
        memory_replace(config_table_member(config, aside->option), aside->value);
        free(origin_of(config, aside->option)->text);
        *origin_of(config, aside->option) = aside->origin;
        aside->option = NULL;
    }
}

void config_scope_unset(struct config *config, const struct option *option)
{
    struct config_origin *origin = origin_of(config, option);
    void *member = config_table_member(config, option);
    struct error err = {0};

    if (config->loader->current->for_next)
        config_scope_enter(config, option);
    if (option->kind->clear)
        option->kind->clear(member);
    else if (!option->fallback && !option->kind->parse(option, "0", member, &err))
        assert(false);
    config_table_set_fallback(config, option);
    memory_replace(&origin->text, NULL);
    origin->file = NULL;
}
