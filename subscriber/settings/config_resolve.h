/* Private to config: the last step of loading. */
#pragma once

#include "settings/config.h"

/*
 * Sets the members of `config` that follow from several options or from none: broker_url and vhost,
 * bindings, queue, nodupe_base, paths, defaults that depend on other options. Everything that was
 * to be applied has been. False if something is missing or cannot be.
 */
bool config_resolve(struct config *config, struct error *err) MUST_CHECK;
