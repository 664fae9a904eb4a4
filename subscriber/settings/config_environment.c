/*
 * Settings in the environment. Every option has at most one variable, so they are kept by option,
 * which also makes their order that of the table, whatever the order of the environment.
 */
#include "settings/config_environment.h"

#include "settings/config_kinds.h"
#include "settings/config_notes.h"
#include "settings/config_table.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX      "SR3_"
#define FILE_SUFFIX "_FILE"

struct variable {
    char *place; /* "environment variable SR3_PREFETCH"; NULL: it is not set */
    char *value;
};

struct config_environment {
    struct variable variables[CONFIG_OPTIONS];
    int at;           /* whose turn it is; CONFIG_OPTIONS is added for those of many lines */
    char *line;       /* the one handed out last */
    const char *rest; /* of its value; NULL: none of it was handed out */
};

/* What others read: the command line, and credentials.conf. */
static bool is_own_name(const char *name)
{
    static const char *const names[] = {"CONFIG", "INSTANCE", "CREDENTIALS_FILE"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

/* Its values are in a list of struct config, one for each line. */
static bool takes_many(const struct option *option)
{
    return !option->kind->print;
}

/* ---- names ---- */

/* In small letters and without '_'; allocated. */
static char *simplify(const char *name, size_t length)
{
    char *simple = memory_copy_bytes(name, length), *to = simple;

    for (const char *from = simple; *from; from++)
        if (*from != '_')
            *to++ = (char)tolower((unsigned char)*from);
    *to = '\0';
    return simple;
}

static bool is_called(const struct option *option, const char *simple)
{
    const char *rest = option->synonyms, *item = option->name;
    size_t length = strlen(option->name);

    do {
        char *own = simplify(item, length);
        bool same = !strcmp(own, simple);

        free(own);
        if (same)
            return true;
    } while (option_list_take(&rest, ",", &item, &length));
    return false;
}

static const struct option *find(const char *name, size_t length)
{
    char *simple = simplify(name, length);
    const struct option *found = NULL;

    for (int i = 0; i < CONFIG_OPTIONS && !found; i++) {
        const struct option *option = config_option((enum config_option)i);

        if (option->kind != &option_INCLUDE && is_called(option, simple))
            found = option;
    }
    free(simple);
    return found;
}

char *config_environment_name(const char *name)
{
    char *spelled = memory_copy(PREFIX);

    for (const char *c = name; *c; c++) {
        bool begins_word = c > name && isupper((unsigned char)*c) && islower((unsigned char)c[-1]);

        memory_replace(&spelled, memory_format("%s%s%c", spelled, begins_word ? "_" : "",
                                               toupper((unsigned char)*c)));
    }
    return spelled;
}

static void warn_of_name(struct config *config, const char *name)
{
    char *simple = simplify(name, strlen(name)), *nearest = config_table_nearest(simple);
    char *spelled = nearest ? config_environment_name(nearest) : NULL;
    char *quoted = option_quote(name);
    char *text =
        memory_format("environment variable " PREFIX "%s: there is no such option%s%s%s", quoted,
                      spelled ? "; did you mean " : "", spelled ? spelled : "", spelled ? "?" : "");

    config_notes_warn(config, text);
    free(text);
    free(quoted);
    free(spelled);
    free(nearest);
    free(simple);
}

/* ---- reading ---- */

/* The value of a file is what it holds up to the line ends behind it. */
static char *read_value(const char *path, struct error *err)
{
    size_t length;
    char *text;

    if (!conf_file_read(path, &text, &length, err))
        return NULL;
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
    return text;
}

static bool keep(struct config_environment *environment, const struct option *option,
                 const char *name, const char *value, bool from_file, struct error *err)
{
    struct variable *variable = &environment->variables[config_table_index(option)];
    char *place = memory_format("environment variable " PREFIX "%s", name);

    if (variable->place) {
        error_set(err, ERROR_OPERATOR, "%s: option '%s' is set by another one, too: %s", place,
                  option->name, variable->place);
        free(place);
        return false;
    }
    variable->place = place;
    variable->value = from_file ? read_value(value, err) : memory_copy(value);
    return variable->value || error_wrap(err, "%s: option '%s'", place, option->name);
}

/* `name` without the prefix. */
static bool take_in(struct config_environment *environment, struct config *config, const char *name,
                    const char *value, struct error *err)
{
    size_t length = strlen(name), suffix = strlen(FILE_SUFFIX);
    const struct option *option = find(name, length);
    bool from_file = !option && length > suffix && !strcmp(name + length - suffix, FILE_SUFFIX);

    if (from_file)
        option = find(name, length - suffix);
    if (option)
        return keep(environment, option, name, value, from_file, err);
    warn_of_name(config, name);
    return true;
}

struct config_environment *config_environment_read(struct config *config, struct error *err)
{
    struct config_environment *environment = memory_new(sizeof(*environment));
    bool done = true;

    for (char **entry = environ; done && entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        char *name;

        if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0 || !equals || !equals[1])
            continue;
        name =
            memory_copy_bytes(*entry + strlen(PREFIX), (size_t)(equals - *entry) - strlen(PREFIX));
        done = is_own_name(name) || take_in(environment, config, name, equals + 1, err);
        free(name);
    }
    if (done)
        return environment;
    config_environment_close(environment);
    return NULL;
}

void config_environment_close(struct config_environment *environment)
{
    if (!environment)
        return;
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        free(environment->variables[i].place);
        free(environment->variables[i].value);
    }
    free(environment->line);
    free(environment);
}

/* ---- taking ---- */

void config_environment_rewind(struct config_environment *environment)
{
    environment->at = 0;
    environment->rest = NULL;
}

/* The next line that is not empty, or all there is; false when there is no more. */
static bool take_line(struct config_environment *environment, const char *value, bool whole)
{
    const char *line = environment->rest ? environment->rest : value;
    size_t length;

    line += strspn(line, " \t\r\n");
    length = whole ? strlen(line) : strcspn(line, "\r\n");
    memory_replace(&environment->line, memory_copy_bytes(line, length));
    environment->rest = line + length;
    return length > 0;
}

bool config_environment_take(struct config_environment *environment, struct conf_setting *setting)
{
    for (; environment->at < 2 * CONFIG_OPTIONS; environment->at++, environment->rest = NULL) {
        int index = environment->at % CONFIG_OPTIONS;
        const struct option *option = config_option((enum config_option)index);
        const struct variable *variable = &environment->variables[index];
        bool many = environment->at >= CONFIG_OPTIONS;

        if (!variable->place || takes_many(option) != many
            || !take_line(environment, variable->value, !many))
            continue;
        *setting = (struct conf_setting){.name = option->name,
                                         .value = environment->line,
                                         .written = environment->line,
                                         .file = variable->place};
        return true;
    }
    return false;
}
