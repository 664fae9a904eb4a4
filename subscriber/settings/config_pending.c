/*
 * What a configuration asks for and this version does not do: the rows of options.def that say so.
 *
 * This is looked at when a subscription is run and not when its file is read, so that it can be
 * shown, checked and converted in the meantime.
 */
#include "settings/config_pending.h"

#include "settings/config_notes.h"
#include "settings/config_table.h"

#define REFUSED "is not carried out yet: %s; remove the line if that will do"

static bool refuse_origin(const struct config *config, enum config_option index,
                          const char *pending, struct error *err)
{
    error_set(err, ERROR_OPERATOR, REFUSED, pending);
    return config_wrap_origin(config, index, err);
}

bool config_check_option(const struct config *config, enum config_option index, struct error *err)
{
    const struct option *option = config_option(index);

    if (!option->pending || option->mild || config_table_has_fallback(config, option))
        return true;
    return refuse_origin(config, index, option->pending, err);
}

bool config_check_supported(const struct config *config, struct error *err)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        if (!config_check_option(config, (enum config_option)i, err))
            return false;
    return true;
}

void config_pending_warn(struct config *config)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);

        if (option->pending && option->mild && !config_table_has_fallback(config, option))
            config_notes_warn_origin(config, (enum config_option)i, option->pending);
    }
}
