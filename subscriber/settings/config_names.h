/* Private to config: which file is meant, and where its state, log and metrics are kept. */
#pragma once

#include "settings/config.h"

/*
 * Takes the name in the request apart and looks for the file: sets name, process_name, config_dir
 * and path. If there is no such file, the error offers the name of one that is.
 */
bool config_names_find(struct config *config, struct error *err) MUST_CHECK;

/* Sets state_dir and all paths below it; `statehost` and the name must be known. */
void config_names_set_state(struct config *config);
