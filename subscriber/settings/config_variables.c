/*
 * Variables, as ${name} in a configuration file.
 *
 * What a name stands for is looked for among the variables of sr3, options in lower case, the
 * environment of the process, lines with `declare env`, and stand-ins for what the environment
 * might have had, in this order.
 */
#include "settings/config_variables.h"

#include "settings/config_loader.h"
#include "settings/config_table.h"

#include <ctype.h>
#include <netdb.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

char *config_variables_host(bool full)
{
    char name[256] = "";
    struct addrinfo hints = {.ai_flags = AI_CANONNAME}, *found = NULL;
    char *copy;

    gethostname(name, sizeof(name) - 1);
    if (full && !strchr(name, '.') && !getaddrinfo(name, NULL, &hints, &found)
        && found->ai_canonname && strchr(found->ai_canonname, '.'))
        copy = memory_copy(found->ai_canonname);
    else
        copy = memory_copy(name);
    if (found)
        freeaddrinfo(found);
    copy[full ? strlen(copy) : strcspn(copy, ".")] = '\0';
    if (*copy && copy[strlen(copy) - 1] == '.')
        copy[strlen(copy) - 1] = '\0';
    return copy;
}

static char *variable_broker_user(const struct config *config)
{
    return memory_copy(config->broker.parts.user);
}

static char *variable_post_broker_user(const struct config *config)
{
    return memory_copy(config->post_broker.parts.user);
}

static char *variable_rand8(const struct config *config)
{
    unsigned number = 0;
    ssize_t got = getrandom(&number, sizeof(number), 0);

    (void)config;
    (void)got; /* a few bytes never fail, and nothing secret is made of them */
    return memory_format("%08u", number % 100000000);
}

static char *variable_randid(const struct config *config)
{
    return memory_format("%04x", config->loader->process_id);
}

static char *variable_program(const struct config *config)
{
    return memory_copy(config->component);
}

static char *variable_config(const struct config *config)
{
    return memory_copy(config->name);
}

static char *variable_hostname(const struct config *config)
{
    (void)config;
    return config_variables_host(true);
}

static char *variable_hostdir(const struct config *config)
{
    (void)config;
    return config_variables_host(false);
}

static char *variable_instance(const struct config *config)
{
    return memory_format("%d", config->instance);
}

static char *variable_user(const struct config *config)
{
    const struct passwd *entry = getpwuid(getuid());

    (void)config;
    return entry ? memory_copy(entry->pw_name) : NULL;
}

struct variable {
    const char *name;
    char *(*value)(const struct config *config);
};

static const struct variable built_in[] = {
    {"BROKER_USER", variable_broker_user},
    {"POST_BROKER_USER", variable_post_broker_user},
    {"RAND8", variable_rand8},
    {"RANDID", variable_randid},
    {"PROGRAM", variable_program},
    {"COMPONENT", variable_program},
    {"CONFIG", variable_config},
    {"HOSTNAME", variable_hostname},
    {"HOSTDIR", variable_hostdir},
};

/* When the environment does not have them. */
static const struct variable stand_in[] = {
    {"SR_INSTANCE", variable_instance},
    {"INSTANCE", variable_instance},
    {"USER", variable_user},
};

static char *variable_in(const struct variable *table, size_t count, const struct config *config,
                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i].name, name))
            return table[i].value(config);
    return NULL;
}

/* Whether `name` is `option_name` in capitals; only options in lower case can be had this way. */
static bool is_in_capitals(const char *name, const char *option_name)
{
    size_t at = 0;

    while (option_name[at] && !isupper((unsigned char)option_name[at])
           && name[at] == toupper((unsigned char)option_name[at]))
        at++;
    return !name[at] && !option_name[at];
}

static char *first_of(const struct option_list *list)
{
    return list->count ? memory_copy(list->items[0]) : NULL;
}

/* What the option `source` holds, for SOURCE. */
static char *variable_option(struct config *config, const char *name)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);

        if (!is_in_capitals(name, option->name))
            continue;
        if (option->kind == &option_URL)
            return NULL; /* may hold a password */
        if (option->kind == &option_LIST)
            return first_of(config_table_member(config, option));
        if (option->kind->clear)
            return option->kind->print(option, config_table_member(config, option));
        return memory_copy(config->origins[i].text ? config->origins[i].text : option->fallback);
    }
    return NULL;
}

static char *variable_declared(const struct config *config, const char *name)
{
    for (size_t i = config->environment_count; i > 0; i--)
        if (!strcmp(config->environment[i - 1].name, name))
            return memory_copy(config->environment[i - 1].value);
    return NULL;
}

char *config_variables_value(struct config *config, const char *name)
{
    char *value = variable_in(built_in, COUNT_OF(built_in), config, name);

    if (!value)
        value = variable_option(config, name);
    if (!value)
        value = memory_copy(getenv(name));
    if (!value)
        value = variable_declared(config, name);
    if (!value)
        value = variable_in(stand_in, COUNT_OF(stand_in), config, name);
    return value;
}
