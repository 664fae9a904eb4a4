/* The words of the command line: which is an option, which has a value, which is a name. */
#include "command_line.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define INSTANCE_MAX 9999

bool command_line_refuse(struct error *err, const char *what, const char *which)
{
    return error_set(err, ERROR_OPERATOR, "%s '%s'", what, which);
}

void command_line_clear(struct command_line *line)
{
    for (size_t i = 0; i < line->word_count; i++)
        free(line->words[i]);
    free(line->words);
    free(line->arguments);
}

static char *keep_word(struct command_line *line, char *word)
{
    line->words = memory_resize(line->words, line->word_count + 1, sizeof(*line->words));
    line->words[line->word_count++] = word;
    return word;
}

/* `from` is how it was given: "--no", "SR3_INSTANCE". */
static bool parse_instance(struct command_line *line, const char *from, const char *text,
                           struct error *err)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end || number > INSTANCE_MAX)
        return error_set(err, ERROR_OPERATOR, "%s wants the number of the instance, not '%s'", from,
                         text);
    line->instance = (int)number;
    return line->has_instance = true;
}

static bool parse_danger(struct command_line *line, const char *text, struct error *err)
{
    char *end;

    line->danger = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end)
        return command_line_refuse(err, "--dangerWillRobinson wants a number, not", text);
    return true;
}

static void add_argument(struct command_line *line, const char *name, const char *value)
{
    line->arguments =
        memory_resize(line->arguments, line->argument_count + 1, sizeof(*line->arguments));
    line->arguments[line->argument_count++] =
        (struct config_argument){.name = name, .value = value};
}

/* The word of the command line, not of configurations, that begins with `name`, or is it. */
static const char *own_word(const char *name, bool whole)
{
    static const char *const words[] = {"help",     "version", "config",   "no",
                                        "markdown", "bash",    "defaults", "json",
                                        "text",     "watch",   "full",     "dangerWillRobinson"};

    for (size_t i = 0; *name && i < COUNT_OF(words); i++)
        if (whole ? strcmp(words[i], name) == 0 : strncmp(words[i], name, strlen(name)) == 0)
            return words[i];
    return NULL;
}

/* The whole name of an option that may have been cut, as --logStd. NULL: none, or several. */
static const char *complete_name(const char *typed, const char *name, struct error *err)
{
    const char *found;

    if (strncmp(typed, "--", 2) != 0 || own_word(name, true))
        return name;
    switch (config_option_complete(name, &found)) {
    case CONFIG_MATCH_ONE:
        return found;
    case CONFIG_MATCH_SEVERAL:
        error_set(err, ERROR_OPERATOR, "'%s' could be several options, such as '--%s'", typed,
                  found);
        return NULL;
    default:
        found = own_word(name, false);
        if (!found)
            command_line_refuse(err, "unknown option", typed);
        return found;
    }
}

/* The value of an option: behind its '=', or the next word unless a flag can do without it. */
static bool take_value(char **argv, int *at, const char *name, const char *inner,
                       const char **value, struct error *err)
{
    bool known = true;
    bool wanted = strcmp(name, "config") == 0 || strcmp(name, "no") == 0
                  || strcmp(name, "dangerWillRobinson") == 0
                  || config_option_takes_value(name, &known);
    const char *next = argv[*at + 1];

    *value = inner;
    if (!known)
        return command_line_refuse(err, "unknown option", argv[*at]);
    if (inner)
        return true;
    if (wanted && !next)
        return command_line_refuse(err, "a value is missing behind", argv[*at]);
    if (wanted || (next && option_is_flag_word(next)))
        *value = argv[++*at];
    return true;
}

/* Words that only some commands know, and that take no value. */
static bool set_flag(struct command_line *line, const char *name)
{
    if (strcmp(name, "markdown") == 0)
        line->bash = false;
    else if (strcmp(name, "bash") == 0)
        line->bash = true;
    else if (strcmp(name, "json") == 0)
        line->json = true;
    else if (strcmp(name, "defaults") == 0)
        line->defaults = true;
    else if (strcmp(name, "text") == 0)
        line->text = true;
    else if (strcmp(name, "watch") == 0)
        line->watch = true;
    else if (strcmp(name, "full") == 0)
        line->full = true;
    else
        return false;
    return true;
}

static bool parse_option(struct command_line *line, char **argv, int *at, struct error *err)
{
    const char *text = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *equals = strchr(text, '=');
    const char *name =
        equals ? keep_word(line, memory_copy_bytes(text, (size_t)(equals - text))) : text;
    const char *value;

    name = complete_name(argv[*at], name, err);
    if (!name)
        return false;
    if (strcmp(argv[*at], "-h") == 0 || strcmp(name, "help") == 0)
        return line->help = true;
    if (strcmp(argv[*at], "-v") == 0 || strcmp(name, "version") == 0)
        return line->version = true;
    if (set_flag(line, name))
        return true;
    if (strcmp(name, "c") == 0)
        name = "config";
    if (!take_value(argv, at, name, equals ? equals + 1 : NULL, &value, err))
        return false;
    if (strcmp(name, "config") == 0)
        line->config = value;
    else if (strcmp(name, "no") == 0)
        return parse_instance(line, "--no", value, err);
    else if (strcmp(name, "dangerWillRobinson") == 0)
        return parse_danger(line, value, err);
    else
        add_argument(line, name, value);
    return true;
}

bool command_line_parse(struct command_line *line, int argc, char **argv, struct error *err)
{
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-' && argv[at][1]) {
            if (!parse_option(line, argv, &at, err))
                return false;
        } else if (!line->action) {
            line->action = argv[at];
        } else if (line->name_count < COMMAND_LINE_NAMES) {
            line->names[line->name_count++] = argv[at];
        }
    }
    return true;
}

/* NULL: it says nothing. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

bool command_line_add_environment(struct command_line *line, struct error *err)
{
    const char *instance = variable(COMMAND_LINE_INSTANCE);

    if (!line->config && !line->name_count)
        line->config = variable(COMMAND_LINE_CONFIG);
    return line->has_instance || !instance
           || parse_instance(line, COMMAND_LINE_INSTANCE, instance, err);
}
