/*
 * Private to config: settings in the environment, which is all that a container has.
 *
 *     SR3_PREFETCH=50                             the option prefetch
 *     SR3_LOG_LEVEL=debug                         logLevel: letter case and '_' do not count
 *     SR3_BROKER_FILE=/run/secrets/broker         the value is in that file
 *     SR3_CREDENTIALS_FILE=/run/secrets/logins    in the place of credentials.conf
 *
 * They win over files. Those that accept lines take over from the lines above them, such as
 * directory, count for the accept lines of the file where it does not set them itself.
 *
 * A variable that is empty is none at all. Options of which there can be many, such as accept, take
 * each line of the value for itself. Nothing is replaced in values: what set the environment did
 * that already, and a password may have a '$'.
 */
#pragma once

#include "settings/conf_file.h"
#include "settings/config.h"

struct config_environment;

/*
 * Reads what there is. A name that is no option is a warning of `config`, an error what can only be
 * wrong: two variables of one option, a file that cannot be read.
 */
struct config_environment *config_environment_read(struct config *config,
                                                   struct error *err) MUST_CHECK;
void config_environment_close(struct config_environment *environment); /* NULL is fine */

/*
 * Takes the settings one by one, options of one value first. `setting` is good until the next call;
 * its place is "environment variable SR3_...", without a line. False behind the last.
 */
bool config_environment_take(struct config_environment *environment, struct conf_setting *setting);

/* Begins with the first setting again. */
void config_environment_rewind(struct config_environment *environment);

/* The variable that sets the option `name`, as people write it: "SR3_LOG_LEVEL"; allocated. */
char *config_environment_name(const char *name) MUST_CHECK;
