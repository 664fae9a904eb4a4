/*
 * Private to config: finds options by name, and the member of struct config that belongs to one.
 * Rows by index are in config.h (config_option).
 */
#pragma once

#include "settings/config.h"

/* The option called `name`, or with that synonym; NULL if there is none. */
const struct option *config_table_find(const char *name);

enum config_option config_table_index(const struct option *option);

/* Where `config` holds the value of `option`. */
void *config_table_member(struct config *config, const struct option *option);

/* Whether it has its default, however that came. */
bool config_table_has_fallback(const struct config *config, const struct option *option);

/* Sets the default; what has none stays as it is. */
void config_table_set_fallback(struct config *config, const struct option *option);

/*
 * The name that resembles `wanted` most, be it that of an option or one that has no meaning here;
 * allocated, NULL if none is near.
 */
char *config_table_nearest(const char *wanted) MUST_CHECK;

/* Returns false; the error says that no option is called `name`, and which one resembles it. */
bool config_table_refuse_name(const char *name, struct error *err);
