/*
 * Private to config: what is said about a setting, with the place where it stands.
 *
 * "Here" is the setting being applied, so it needs config->loader->current. "Origin" is where an
 * option was set last.
 */
#pragma once

#include "settings/config.h"

/* Adds `text`, which is copied, to the warnings of the configuration. */
void config_notes_warn(struct config *config, const char *text);

/*
 * While a configuration is checked: adds `err`, which is clear afterwards, to its errors and
 * returns true. Otherwise, or if there are too many, returns false.
 */
bool config_notes_gather(struct config *config, struct error *err);

/* Adds "file:line: option 'name': what"; about an option that has its default, nothing. */
void config_notes_warn_here(struct config *config, const struct option *option, const char *what);
void config_notes_warn_origin(struct config *config, enum config_option index, const char *what);

/* The same about a name that is no option. */
void config_notes_warn_name_here(struct config *config, const char *name, const char *what);

/* Puts "file:line" in front of `err`. Returns false. */
bool config_notes_wrap_here(const struct config *config, struct error *err);

/* A copy of `file` that lives as long as the configuration. */
const char *config_notes_keep_file(struct config *config, const char *file);
