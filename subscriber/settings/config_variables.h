/*
 * Private to config: what a variable stands for at the line being read.
 *
 *     ${HOSTNAME} ${BROKER_USER} ${RAND8}   known to sr3
 *     ${SOURCE}                             value of the option `source`, set above
 *     ${HOME}                               of the environment, else of a `declare env` line above
 *
 * Format: sr3_options(7), variables.
 */
#pragma once

#include "settings/config.h"

/* The value of ${name}, allocated; NULL if it has none. `config` is being loaded. */
char *config_variables_value(struct config *config, const char *name) MUST_CHECK;

/* This host's name, allocated: up to the first dot, or with the domain as far as it is known. */
char *config_variables_host(bool full) MUST_CHECK;
