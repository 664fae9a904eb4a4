/* The name of a configuration, and the names of the directories and files that follow from it. */
#include "settings/config_names.h"

#include "settings/config_loader.h"
#include "settings/config_variables.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 200 /* of a configuration: it becomes part of file names */

static char *user_directory(const char *variable, const char *below_home)
{
    const char *set = getenv(variable), *home = getenv("HOME");
    const struct passwd *entry = home && *home ? NULL : getpwuid(getuid());

    if (set && *set)
        return memory_format("%s/sr3", set);
    return memory_format("%s/%s/sr3", entry ? entry->pw_dir : home ? home : "", below_home);
}

static bool refuse_config_name(const char *typed, struct error *err)
{
    char *quoted = option_quote(typed);

    error_set(err, ERROR_OPERATOR,
              "'%s' names no configuration; write " CONFIG_COMPONENT "/NAME for the file NAME.conf",
              quoted);
    free(quoted);
    return false;
}

/* Those of configuration files, in the order in which they are looked for. */
static const char *const suffixes[] = {".conf", ".yaml", ".yml"};

/* How many letters of `name` are its suffix; 0: it has none. */
static size_t suffix_length(const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        size_t suffix = strlen(suffixes[i]);

        if (length > suffix && !strcmp(name + length - suffix, suffixes[i]))
            return suffix;
    }
    return 0;
}

/* Takes the name as typed apart. */
static bool name_config(struct config *config, const struct config_request *request,
                        struct error *err)
{
    size_t length = strlen(request->name);
    const char *slash = strchr(request->name, '/'), *name = slash ? slash + 1 : request->name;
    size_t suffix = suffix_length(request->name);

    if (slash
        && ((size_t)(slash - request->name) != strlen(CONFIG_COMPONENT)
            || strncmp(request->name, CONFIG_COMPONENT, strlen(CONFIG_COMPONENT)) != 0))
        return refuse_config_name(request->name, err);
    memory_replace(&config->process_name, memory_copy_bytes(request->name, length - suffix));
    memory_replace(&config->name, memory_copy(config->process_name + (name - request->name)));
    for (const char *c = config->name; *c; c++)
        if (*c == '/' || iscntrl((unsigned char)*c))
            return refuse_config_name(request->name, err);
    if (!*config->name || *config->name == '.' || strlen(config->name) > NAME_MAX_BYTES)
        return refuse_config_name(request->name, err);
    if (!request->from_config_option)
        memory_replace(&config->process_name, memory_copy(config->name));
    return true;
}

/* The configuration whose name resembles `wanted` most, allocated; NULL if none does. */
static char *nearest_config(const char *directory, const char *wanted)
{
    DIR *list = opendir(directory);
    size_t least = NAME_MAX_BYTES;
    char *nearest = NULL;

    for (struct dirent *entry; list && (entry = readdir(list));) {
        size_t suffix = suffix_length(entry->d_name), distance;
        char *name;

        if (*entry->d_name == '.' || !suffix)
            continue;
        name = memory_copy_bytes(entry->d_name, strlen(entry->d_name) - suffix);
        distance = option_distance(wanted, name);
        if (distance < least && option_is_near(wanted, distance)) {
            least = distance;
            memory_replace(&nearest, memory_copy(name));
        }
        free(name);
    }
    if (list)
        closedir(list);
    return nearest;
}

static bool check_exists(const struct config *config, struct error *err)
{
    char *directory, *nearest;

    if (!access(config->path, F_OK) || errno != ENOENT)
        return true;
    directory = memory_format("%s/" CONFIG_COMPONENT, config->config_dir);
    nearest = nearest_config(directory, config->name);
    if (nearest)
        error_set(err, ERROR_OPERATOR,
                  "read '%s': there is no such file; did you mean " CONFIG_COMPONENT "/%s?",
                  config->path, nearest);
    else
        error_set(err, ERROR_OPERATOR, "read '%s': there is no such file", config->path);
    free(directory);
    free(nearest);
    return false;
}

char *config_directory(void)
{
    return user_directory("XDG_CONFIG_HOME", ".config");
}

char *config_state_directory(void)
{
    return user_directory("XDG_CACHE_HOME", ".cache");
}

/* NAME.conf unless there is another; two files of one name are a question only a person answers. */
static bool choose_file(struct config *config, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        char *path = memory_format("%s/" CONFIG_COMPONENT "/%s%s", config->config_dir, config->name,
                                   suffixes[i]);

        if (!config->path)
            config->path = path;
        else if (access(path, F_OK))
            free(path);
        else if (access(config->path, F_OK))
            memory_replace(&config->path, path);
        else {
            error_set(err, ERROR_OPERATOR,
                      "there are both '%s' and '%s'; give one of them another name", config->path,
                      path);
            free(path);
            return false;
        }
    }
    return true;
}

bool config_names_find(struct config *config, struct error *err)
{
    config->config_dir = config_directory();
    if (!name_config(config, config->loader->request, err))
        return false;
    return choose_file(config, err) && check_exists(config, err);
}

void config_names_set_state(struct config *config)
{
    config->state_dir = config_state_directory();
    if (config->statehost) {
        char *host = config_variables_host(false);

        memory_replace(&config->state_dir, memory_format("%s/%s", config->state_dir, host));
        free(host);
    }
    config->subscription_dir =
        memory_format("%s/" CONFIG_COMPONENT "/%s", config->state_dir, config->name);
    config->log_path = memory_format("%s/log/" CONFIG_COMPONENT "_%s_%02d.log", config->state_dir,
                                     config->name, config->instance);
    if (!config->metrics_filename)
        config->metrics_path = memory_format("%s/metrics/" CONFIG_COMPONENT "_%s_%02d.json",
                                             config->state_dir, config->name, config->instance);
    else if (*config->metrics_filename == '/')
        config->metrics_path = memory_copy(config->metrics_filename);
    else
        config->metrics_path =
            memory_format("%s/metrics/%s", config->state_dir, config->metrics_filename);
}
