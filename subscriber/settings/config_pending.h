/* Private to config: see config_check_supported() in config.h. */
#pragma once

#include "settings/config.h"

/* Adds a warning for each option that is mildly pending and not at its default. */
void config_pending_warn(struct config *config);
