/* Which configurations are meant: names, shell patterns, or all there are. */
#include "commands/commands.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

struct names {
    char **items;
    size_t count;
};

static void add(struct names *names, char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) {
            free(name);
            return;
        }
    names->items = memory_resize(names->items, names->count + 1, sizeof(*names->items));
    names->items[names->count++] = name;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Length of a name without the suffix of configuration files; 0: it has none, or is hidden. */
static size_t bare_length(const char *name)
{
    static const char *const endings[] = {".conf", ".yaml", ".yml"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; *name != '.' && dot && i < COUNT_OF(endings); i++)
        if (strcmp(dot, endings[i]) == 0)
            return (size_t)(dot - name);
    return 0;
}

/* Adds what matches, as subscribe/NAME.conf; all when `pattern` is NULL. */
static bool add_matching(struct names *names, const char *pattern, struct error *err)
{
    char *directory = config_directory(), *path = memory_format("%s/subscribe", directory);
    char *whole = !pattern || strchr(pattern, '/') ? memory_copy(pattern)
                                                   : memory_format("subscribe/%s", pattern);
    DIR *list = opendir(path);

    if (!list)
        error_set(err, ERROR_OPERATOR, "read '%s': %m", path);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        size_t bare = bare_length(entry->d_name);
        char *file = memory_format("subscribe/%s", entry->d_name);
        char *name = memory_format("subscribe/%.*s", (int)bare, entry->d_name);

        if (bare && (!whole || !fnmatch(whole, name, 0) || !fnmatch(whole, file, 0)))
            add(names, memory_copy(file));
        free(file);
        free(name);
    }
    if (list)
        closedir(list);
    free(directory);
    free(path);
    free(whole);
    return list != NULL;
}

static bool is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

static bool add_named(struct names *names, const char *name, struct error *err)
{
    size_t before = names->count;

    if (!is_pattern(name)) {
        add(names, memory_copy(name));
        return true;
    }
    if (!add_matching(names, name, err))
        return false;
    if (names->count == before)
        return error_set(err, ERROR_OPERATOR, "no configuration is called '%s'", name);
    qsort(names->items + before, names->count - before, sizeof(*names->items), compare_names);
    return true;
}

char **command_find_names(const char *const *patterns, size_t pattern_count, size_t *count,
                          struct error *err)
{
    struct names names = {.items = memory_resize(NULL, 1, sizeof(char *))};
    bool found = true;

    for (size_t i = 0; found && i < pattern_count; i++)
        found = add_named(&names, patterns[i], err);
    if (!pattern_count) {
        found = add_matching(&names, NULL, err);
        qsort(names.items, names.count, sizeof(*names.items), compare_names);
    }
    *count = names.count;
    if (found)
        return names.items;
    command_free_names(names.items, names.count);
    *count = 0;
    return NULL;
}

void command_free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

struct config *command_load(const struct command_request *request, const char *name,
                            struct error *err)
{
    return config_load(&(struct config_request){.name = name,
                                                .from_config_option = request->from_config_option,
                                                .arguments = request->arguments,
                                                .argument_count = request->argument_count},
                       err);
}
