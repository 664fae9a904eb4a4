/*
 * What a configuration asks for and this version does not do: the rows of options.def that say so.
 *
 * This is looked at when a subscription is run and not when its file is read, so that it can be
 * shown, checked and converted in the meantime.
 */
#include "settings/config_pending.h"

#include "settings/config_notes.h"
#include "settings/config_table.h"

#include <stdlib.h>
#include <string.h>

#define REFUSED "is not carried out yet: %s; remove the line if that will do"

static bool refuse_origin(const struct config *config, enum config_option index,
                          const char *pending, struct error *err)
{
    error_set(err, ERROR_OPERATOR, REFUSED, pending);
    return config_notes_wrap_origin(config, index, err);
}

bool config_check_option(const struct config *config, enum config_option index, struct error *err)
{
    const struct option *option = config_option(index);

    if (!option->pending || option->mild || config_table_has_fallback(config, option))
        return true;
    return refuse_origin(config, index, option->pending, err);
}

static bool refuse_rule(const struct config_rule *rule, enum config_option index,
                        const char *pending, struct error *err)
{
    return error_set(err, ERROR_OPERATOR, "%s:%d: option '%s': " REFUSED, rule->file, rule->line,
                     config_option(index)->name, pending);
}

/* Values that the rule captured, when the end of the file has others. */
static bool check_rule(const struct config_rule *rule, struct error *err)
{
    const struct {
        enum config_option index;
        const char *value;
    } captured[] = {{CONFIG_OPTION_strip, rule->strip},
                    {CONFIG_OPTION_flatten, rule->flatten},
                    {CONFIG_OPTION_filename, rule->filename}};

    for (size_t i = 0; i < COUNT_OF(captured); i++)
        if (captured[i].value && config_option(captured[i].index)->pending)
            return refuse_rule(rule, captured[i].index, config_option(captured[i].index)->pending,
                               err);
    return true;
}

/* Variables that differ from file to file. */
static bool check_directories(const struct config *config, struct error *err)
{
    static const char pending[] = "this version does not replace variables for each file";

    for (size_t i = 0; i < config->rule_count; i++)
        if (strstr(config->rules[i].directory, "${"))
            return refuse_rule(&config->rules[i], CONFIG_OPTION_directory, pending, err);
    if (!strstr(config->directory, "${"))
        return true;
    return refuse_origin(config, CONFIG_OPTION_directory, pending, err);
}

bool config_check_supported(const struct config *config, struct error *err)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        if (!config_check_option(config, (enum config_option)i, err))
            return false;
    for (size_t i = 0; i < config->rule_count; i++)
        if (!check_rule(&config->rules[i], err))
            return false;
    return check_directories(config, err);
}

void config_pending_warn(struct config *config)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);

        if (option->pending && option->mild && !config_table_has_fallback(config, option))
            config_notes_warn_origin(config, (enum config_option)i, option->pending);
    }
}
