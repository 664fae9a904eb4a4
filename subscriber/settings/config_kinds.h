/*
 * Private to config: the kinds of options whose order in the file matters. Their parse appends to a
 * list of the struct config that the member is part of; the member counts the lines.
 */
#pragma once

#include "settings/config.h"

extern const struct option_kind option_ACCEPT, option_REJECT, option_SUBTOPIC, option_INCLUDE,
    option_DECLARE, option_HEADER;

/*
 * Sets the exchange that sr3 uses when none is named, which the user of the broker decides; as in
 * sr3 it stays from then on.
 */
void config_kinds_choose_exchange(struct config *config);

/* Binds to `topic` below the prefix; either may separate its levels with '/'. */
bool config_kinds_add_binding(struct config *config, const char *topic,
                              struct error *err) MUST_CHECK;
