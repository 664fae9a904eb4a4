/*
 * Private to config: names that sr3 knows and that have no meaning here. What merely logs, counts
 * or concerns other components is skipped without a word; python code that would change which files
 * arrive, or what happens to them, is skipped with a warning that says what there is instead.
 *
 * Source: sr3_options(7).
 */
#pragma once

#include "settings/conf_file.h"
#include "settings/config.h"

/* Skips the setting if its name is one of them, perhaps with a warning; false: it is none. */
bool config_ignored_skip(struct config *config, const struct conf_setting *setting);

bool config_ignored_knows(const char *name);

/* The names one by one, some with '*' for the rest; NULL behind the last. */
const char *config_ignored_name(size_t index);
