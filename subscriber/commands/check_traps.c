/*
 * The traps. A heuristic that cries wolf is soon ignored, so a warning here needs a reason that
 * holds for nearly every configuration that gets it.
 */
#include "commands/check_traps.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS_MAX 64

/* ---- subtopics ---- */

struct level {
    const char *text;
    size_t length;
};

static bool level_is(struct level level, const char *text)
{
    return level.length == strlen(text) && strncmp(level.text, text, level.length) == 0;
}

static bool level_is_wild(struct level level)
{
    return level_is(level, "*") || level_is(level, "#");
}

static size_t split_levels(const char *topic, struct level levels[LEVELS_MAX])
{
    size_t count = 0;

    while (count < LEVELS_MAX) {
        levels[count].text = topic;
        levels[count++].length = strcspn(topic, ".");
        topic += strcspn(topic, ".");
        if (!*topic++)
            break;
    }
    return count;
}

/* "file:line: subtopic '...'" */
static void say(struct check *check, const struct config *config,
                const struct config_binding *binding, const char *what)
{
    if (binding->line)
        check_say(check, false, "%s:%d: subtopic, bound as '%s': %s", binding->file, binding->line,
                  binding->topic, what);
    else
        check_say(check, false, "%s: binding '%s': %s",
                  binding->file ? binding->file : config->path, binding->topic, what);
}

/* The part of a topic that the subtopic line gave. */
static const char *below_prefix(const struct config *config, const char *topic)
{
    const char *prefix = config->topic_prefix ? config->topic_prefix : "";
    size_t length = strlen(prefix);

    if (length && strncmp(topic, prefix, length) == 0 && topic[length] == '.')
        return topic + length + 1;
    return topic;
}

/* What is wrong with a topic whatever the server; NULL: nothing. */
static const char *wrong_levels(const struct level *levels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!levels[i].length)
            return "it has an empty level, which directories do not have; remove the '.' or '/' "
                   "that is too many";
        if (!level_is_wild(levels[i])
            && (memchr(levels[i].text, '*', levels[i].length)
                || memchr(levels[i].text, '#', levels[i].length)))
            return "'*' and '#' stand for whole levels only, within a word they match nothing; "
                   "bind to more and use accept to choose";
    }
    return NULL;
}

static bool is_prefix_word(struct level level)
{
    return level_is(level, "v02") || level_is(level, "v03") || level_is(level, "post");
}

/* Servers whose trees begin with a date and the name of the source. */
static bool has_dated_tree(const char *host)
{
    static const char *const ends[] = {"weather.gc.ca", "meteo.gc.ca", "hpfx.collab.science.gc.ca",
                                       "cmc.ec.gc.ca"};
    size_t length = strlen(host);

    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (length >= strlen(ends[i]) && !strcasecmp(host + length - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

static bool may_be_date(struct level level)
{
    if (level_is_wild(level) || level_is(level, "today") || level_is(level, "yesterday"))
        return true;
    for (size_t i = 0; i < level.length; i++)
        if (!isdigit((unsigned char)level.text[i]))
            return false;
    return level.length == 8;
}

/* Sources have names in capitals: WXO-DD. Directories of products have not. */
static bool may_be_source(struct level level)
{
    if (level_is_wild(level))
        return true;
    for (size_t i = 0; i < level.length; i++)
        if (islower((unsigned char)level.text[i]))
            return false;
    return true;
}

/* Levels that a dated tree has and the topic misses; NULL: none. */
static const char *missing_levels(const struct level *levels, size_t count)
{
    if (!may_be_date(levels[0]))
        return "topics of this server begin with a date and the source; write "
               "'*.WXO-DD.' in front, or nothing will come";
    if (level_is(levels[0], "#") || count < 2 || may_be_source(levels[1]))
        return NULL;
    return "topics of this server have the source behind the date; write '*.WXO-DD.' in the place "
           "of the first '*.', or nothing will come";
}

static void check_subtopic(struct check *check, const struct config *config,
                           const struct config_binding *binding)
{
    struct level levels[LEVELS_MAX];
    size_t count = split_levels(below_prefix(config, binding->topic), levels);
    const char *what = wrong_levels(levels, count);

    if (!what && count > 1 && is_prefix_word(levels[0]))
        what = "the prefix is in it twice, or it does not fit topicPrefix: what the subtopic line "
               "says comes behind topicPrefix";
    if (!what && config->broker.parts.host && has_dated_tree(config->broker.parts.host)
        && strcmp(binding->exchange, "xpublic") == 0)
        what = missing_levels(levels, count);
    if (what)
        say(check, config, binding, what);
}

void check_subtopics(struct check *check, const struct config *config)
{
    for (size_t i = 0; i < config->binding_count; i++)
        check_subtopic(check, config, &config->bindings[i]);
    if (!config->binding_count && config->queue_bind)
        check_say(check, false,
                  "%s: the queue is bound to nothing; it only gets what somebody else bound it to",
                  config->path);
}

/* ---- directories ---- */

/* As much of a directory as is the same for all files, allocated. */
static char *fixed_part(const char *directory)
{
    const char *variable = strstr(directory, "${");
    char *copy =
        memory_copy_bytes(directory, variable ? (size_t)(variable - directory) : strlen(directory));
    char *slash = variable ? strrchr(copy, '/') : NULL;

    if (slash)
        slash[slash == copy] = '\0';
    return copy;
}

/* Cuts `path` to the nearest directory that exists. */
static void cut_to_existing(char *path, struct stat *status)
{
    char *slash;

    while (stat(path, status) != 0 && (errno == ENOENT || errno == ENOTDIR)
           && (slash = strrchr(path, '/')) && path[1])
        slash[slash == path] = '\0';
}

/* Why files cannot be put into `directory`, allocated; NULL: they can. */
static char *unusable(const char *directory)
{
    struct stat status;
    char *path = fixed_part(directory), *why = NULL;

    if (*path == '/') {
        cut_to_existing(path, &status);
        if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
            why = memory_format("'%s' is not a directory", path);
        else if (access(path, W_OK | X_OK) != 0)
            why = memory_format("'%s' cannot be written to: %s", path, strerror(errno));
    }
    free(path);
    return why;
}

static void check_directory(struct check *check, const char *directory, const char *file, int line)
{
    char *why = unusable(directory);

    if (why && line)
        check_say(check, true, "%s:%d: directory '%s': %s", file, line, directory, why);
    else if (why)
        check_say(check, true, "%s: directory '%s': %s", file, directory, why);
    free(why);
}

/* Whether a rule above rule `index` has the same directory. */
static bool is_repeated(const struct config *config, size_t index)
{
    for (size_t i = index; i-- > 0;)
        if (config->rules[i].accept)
            return strcmp(config->rules[i].directory, config->rules[index].directory) == 0;
    return false;
}

static bool rule_has(const struct config *config, const char *directory)
{
    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].accept && strcmp(config->rules[i].directory, directory) == 0)
            return true;
    return false;
}

static bool takes_unmatched(const struct config *config)
{
    for (size_t i = 0; i < config->rule_count; i++)
        if (strcmp(config->rules[i].pattern, ".*") == 0)
            return false;
    return config->accept_unmatched;
}

void check_directories(struct check *check, const struct config *config)
{
    const struct config_origin *origin = &config->origins[CONFIG_OPTION_directory];

    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].accept && !is_repeated(config, i))
            check_directory(check, config->rules[i].directory, config->rules[i].file,
                            config->rules[i].line);
    if (takes_unmatched(config) && !rule_has(config, config->directory))
        check_directory(check, config->directory, origin->file ? origin->file : config->path,
                        origin->line);
}

/* ---- mirror ---- */

/* One directory of the server only: no two files in it have the same name. */
static bool binds_one_directory(const struct config *config)
{
    return config->binding_count == 1 && !strpbrk(config->bindings[0].topic, "*#");
}

/* Names or directories that are made of more than the announced name. */
static bool tells_apart(const char *directory, const char *flatten, const char *filename)
{
    return flatten || filename || strstr(directory, "${");
}

void check_mirror(struct check *check, const struct config *config)
{
    const struct config_origin *origin = &config->origins[CONFIG_OPTION_mirror];
    char *place;
    bool collides = takes_unmatched(config)
                    && !tells_apart(config->directory, config->flatten, config->filename);

    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].accept
            && !tells_apart(config->rules[i].directory, config->rules[i].flatten,
                            config->rules[i].filename))
            collides = true;
    if (config->mirror || !collides || binds_one_directory(config) || !config->download)
        return;
    place = origin->line ? memory_format("%s:%d", origin->file, origin->line)
                         : memory_copy(origin->file ? origin->file : config->path);
    check_say(check, false,
              "%s: mirror is off: files of equal names from different directories replace one "
              "another; set 'mirror on', or 'flatten -' to make one name of directories and name",
              place);
    free(place);
}
