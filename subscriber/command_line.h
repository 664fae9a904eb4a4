/*
 * The words behind the program's name, taken apart: the command, what it works on, the words of the
 * command line itself, and the options of configurations, which are passed on.
 *
 * Long names may be cut as long as they stay the only ones that begin so.
 */
#pragma once

#include "settings/config.h"

#define COMMAND_LINE_NAMES    64
#define COMMAND_LINE_CONFIG   "SR3_CONFIG"
#define COMMAND_LINE_INSTANCE "SR3_INSTANCE"

/* What was typed. Texts point into argv, or into `words`. */
struct command_line {
    const char *action;
    const char *names[COMMAND_LINE_NAMES];
    size_t name_count;
    const char *config; /* of --config */
    int instance;
    bool has_instance; /* --no was given */
    bool help, version;
    bool bash;                         /* of the command `options` */
    bool json, defaults;               /* of `show`; json of others too */
    bool watch, full;                  /* of `status` */
    bool text;                         /* of `explain` */
    long danger;                       /* of --dangerWillRobinson */
    struct config_argument *arguments; /* options of the configuration */
    size_t argument_count;
    char **words; /* copies of the parts of --name=value */
    size_t word_count;
};

/* False and what is wrong; the line is to be cleared either way. */
bool command_line_parse(struct command_line *line, int argc, char **argv,
                        struct error *err) MUST_CHECK;
void command_line_clear(struct command_line *line);

/*
 * The configuration and the instance from SR3_CONFIG and SR3_INSTANCE, where the words say nothing
 * about them; a variable that is empty says nothing either.
 */
bool command_line_add_environment(struct command_line *line, struct error *err) MUST_CHECK;

/* "<what> '<which>'"; always false. */
bool command_line_refuse(struct error *err, const char *what, const char *which);
