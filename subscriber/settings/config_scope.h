/*
 * Private to config: values for the next rule or binding only, and options set back.
 *
 * In a .conf file what stands above a rule counts for all rules below it. A rule in YAML has its
 * own values; when it was added, those of the whole file count again.
 */
#pragma once

#include "settings/config.h"

/* Puts the value of `option`, which must be a text, aside; the next one is for one rule only. */
void config_scope_enter(struct config *config, const struct option *option);

/* Whether such values end behind `option`: a rule, a binding. */
bool config_scope_ends(const struct option *option);

/* Brings back what was put aside. */
void config_scope_leave(struct config *config);

/* Gives `option` its default, as if it had never been set. */
void config_scope_unset(struct config *config, const struct option *option);
