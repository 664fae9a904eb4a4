/* What the broker stage needs to know of a configuration: the same for a subscriber and for the
 * commands that declare and delete. */
#pragma once

#include "settings/config.h"
#include "stages/broker.h"

struct broker_settings_kept {
    struct broker_binding *bindings;
    char *record;
};

/*
 * Its texts are the configuration's, and those of `kept`, which has to be cleared when the settings
 * are not needed any more.
 */
struct broker_settings broker_settings_for(const struct config *config,
                                           struct broker_settings_kept *kept);
void broker_settings_kept_clear(struct broker_settings_kept *kept);
