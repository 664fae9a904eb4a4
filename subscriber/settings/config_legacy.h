/*
 * Private to config: lines of older files that mean an option of today by another name, or one that
 * depends on their value, such as `notify_only` alone for `download off`.
 *
 * Source: sr3_options(7).
 */
#pragma once

#include "settings/conf_file.h"
#include "settings/config.h"

/*
 * Puts what the setting means today in its place. *text is what its value may point to; free it
 * when the setting is done with. False: nothing is left to be applied.
 */
bool config_legacy_translate(struct config *config, struct conf_setting *setting, char **text);

bool config_legacy_knows(const char *name);
