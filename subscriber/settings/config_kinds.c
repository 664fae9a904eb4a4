/*
 * Options whose order in the file matters.
 *
 * Each line appends to a list and captures what was set above it: a rule the directory, a binding
 * the exchange and the prefix of topics. That is why exchange and broker have to be known here and
 * cannot wait for the end of the file.
 */
#include "settings/config_kinds.h"

#include "base/filename.h"
#include "settings/config_loader.h"
#include "settings/config_notes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The configuration that `target`, the member of `option`, is part of. */
static struct config *config_around(const struct option *option, void *target)
{
    return (struct config *)((char *)target - option->offset);
}

/*
 * Ends the pattern behind its first word and returns the rule for file names, allocated: the second
 * word, else what is set above. NULL: none.
 */
static char *take_filename(struct config *config, const struct option *option, char *pattern)
{
    size_t end = strcspn(pattern, " ");
    char *rest = pattern + end + (pattern[end] != '\0'), *comment;

    pattern[end] = '\0';
    comment = rest + strcspn(rest, " ");
    if (*rest == '#')
        config_notes_warn_here(config, option,
                               "what follows the pattern is taken as a comment; sr3 takes it as "
                               "a rule for file names and fails");
    if (!*rest || *rest == '#')
        return memory_copy(config->filename);
    if (*comment && comment[1] != '#')
        config_notes_warn_here(config, option,
                               "what follows the rule for file names has no effect");
    *comment = '\0';
    return strcmp(rest, "None") ? memory_copy(rest) : NULL;
}

static bool add_rule(struct config *config, const struct option *option, const char *text,
                     struct error *err)
{
    const struct conf_setting *current = config->loader->current;
    char *pattern = memory_copy(text), *filename = take_filename(config, option, pattern);

    if (filename && !filename_check(filename, err)) {
        free(pattern);
        free(filename);
        return false;
    }
    config->rules = memory_resize(config->rules, config->rule_count + 1, sizeof(*config->rules));
    config->rules[config->rule_count++] = (struct config_rule){
        .accept = option->kind == &option_ACCEPT,
        .pattern = pattern,
        .directory = memory_copy(config->directory),
        .strip = memory_copy(config->strip),
        .flatten = memory_copy(config->flatten),
        .filename = filename,
        .file = config_notes_keep_file(config, current->file),
        .line = current->line,
    };
    return true;
}

static bool parse_accept(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    ++*(size_t *)target;
    return add_rule(config_around(option, target), option, text, err);
}

const struct option_kind option_ACCEPT = {
    .whole_line = true, .parse = parse_accept, .type = "pattern, rule for names"};

static bool parse_reject(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    ++*(size_t *)target;
    return add_rule(config_around(option, target), option, text, err);
}

const struct option_kind option_REJECT = {
    .whole_line = true, .parse = parse_reject, .type = "pattern, rule for names"};

void config_kinds_choose_exchange(struct config *config)
{
    const char *user = config->broker.parts.user, *suffix = config->exchange_suffix;

    if (config->exchange)
        return;
    config->exchange = memory_format("%s%s%s%s", strcmp(user, "anonymous") ? "xs_" : "xpublic",
                                     strcmp(user, "anonymous") ? user : "", suffix ? "_" : "",
                                     suffix ? suffix : "");
}

bool config_kinds_add_binding(struct config *config, const char *topic, struct error *err)
{
    const struct conf_setting *current = config->loader->current;
    const char *prefix = config->topic_prefix;
    char *whole = memory_format("%s%s%s", prefix ? prefix : "", prefix ? "." : "", topic);

    for (char *c = whole; *c; c++)
        if (*c == '/')
            *c = '.';
    config_kinds_choose_exchange(config);
    if (strlen(whole) > CONFIG_AMQP_NAME_MAX || strlen(config->exchange) > CONFIG_AMQP_NAME_MAX) {
        free(whole);
        return error_set(err, ERROR_OPERATOR,
                         "topic or exchange is too long: AMQP allows 255 bytes each");
    }
    config->bindings =
        memory_resize(config->bindings, config->binding_count + 1, sizeof(*config->bindings));
    config->bindings[config->binding_count++] = (struct config_binding){
        .exchange = memory_copy(config->exchange),
        .topic = whole,
        .prefix_length = prefix ? strlen(prefix) : 0,
        .file = current ? config_notes_keep_file(config, current->file) : NULL,
        .line = current ? current->line : 0};
    return true;
}

static bool parse_subtopic(const struct option *option, const char *text, void *target,
                           struct error *err)
{
    static const char *const none[] = {"None", "off", "False"};
    struct config *config = config_around(option, target);

    if (!config->broker.text)
        return error_set(err, ERROR_OPERATOR, "the broker line has to stand above it");
    ++*(size_t *)target;
    config->loader->late = CONFIG_NOT_LATE;
    for (size_t i = 0; i < COUNT_OF(none); i++)
        if (!strcasecmp(text, none[i]))
            return true;
    return config_kinds_add_binding(config, text, err);
}

const struct option_kind option_SUBTOPIC = {.parse = parse_subtopic, .type = "topic"};

/* Those in files are read by conf_file.c and never come here. */
static bool parse_include(const struct option *option, const char *text, void *target,
                          struct error *err)
{
    (void)option;
    (void)text;
    (void)target;
    return error_set(err, ERROR_OPERATOR, "works only in files");
}

const struct option_kind option_INCLUDE = {.parse = parse_include, .type = "path"};

static bool is_variable_name(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '_')
            return false;
    return length > 0 && !isdigit((unsigned char)*name);
}

/* Adds NAME=VALUE; `equals` is where its '=' stands. */
static void add_pair(struct config_variable **list, size_t *count, const char *text,
                     const char *equals)
{
    *list = memory_resize(*list, *count + 1, sizeof(**list));
    (*list)[(*count)++] = (struct config_variable){
        .name = memory_copy_bytes(text, (size_t)(equals - text)), .value = memory_copy(equals + 1)};
}

static bool parse_declare(const struct option *option, const char *text, void *target,
                          struct error *err)
{
    static const char *const of_admins[] = {"exchange", "source", "subscriber", "feeder"};
    struct config *config = config_around(option, target);
    const char *equals = strchr(text, '=');
    size_t length = strcspn(text, " ");

    for (size_t i = 0; i < COUNT_OF(of_admins); i++)
        if (strlen(of_admins[i]) == length && !strncmp(text, of_admins[i], length))
            return true;
    if (strncmp(text, "env ", 4) != 0) {
        config_notes_warn_here(config, option, "only 'declare env' has an effect");
        return true;
    }
    text += 4;
    if (!equals || equals < text || !is_variable_name(text, (size_t)(equals - text)))
        return error_set(err, ERROR_OPERATOR, "write it as 'declare env NAME=VALUE'");
    add_pair(&config->environment, &config->environment_count, text, equals);
    ++*(size_t *)target;
    return true;
}

const struct option_kind option_DECLARE = {
    .whole_line = true, .parse = parse_declare, .type = "text"};

static bool parse_header(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    struct config *config = config_around(option, target);
    const char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return error_set(err, ERROR_OPERATOR, "write it as 'header NAME=VALUE'");
    add_pair(&config->headers, &config->header_count, text, equals);
    ++*(size_t *)target;
    return true;
}

const struct option_kind option_HEADER = {
    .whole_line = true, .parse = parse_header, .type = "NAME=VALUE"};
