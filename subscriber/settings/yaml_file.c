/*
 * Reader of YAML configuration files.
 *
 * A file and those it includes are read as a whole, and what they say is planned (yaml_plan.c), one
 * list for each place in the order. Variables are replaced when a setting is taken, since they may
 * stand for what was set before.
 */
#include "settings/yaml_file.h"

#include "settings/yaml_plan.h"

#include <stdlib.h>
#include <string.h>

struct yaml_file {
    struct conf_host host;
    struct yaml_plan plan;
    char **paths; /* of the files */
    size_t path_count;
    size_t nodes, depth;
    int turn; /* what is handed out now */
    size_t next;
    char *value;
};

/* --- reading --------------------------------------------------------------------------------- */

static bool read_text(struct yaml_file *file, const char *path, const char *text, size_t size_bytes,
                      struct error *err);

static bool expand(struct yaml_file *file, const char *written, char **value);

static bool include(struct yaml_file *file, const struct yaml_reading *reading,
                    const struct yaml_node *node)
{
    char *name, *path, *text;
    size_t size;
    bool done;

    if (node->kind != YAML_TREE_TEXT || !*node->text)
        return yaml_plan_refuse_kind(reading, node, "include", "the name of a file");
    if (!yaml_file_is_called(node->text))
        return yaml_plan_refuse(reading, node->line, node->column, node->text,
                                "is no YAML file; write a name that ends in .yaml");
    if (file->depth == CONF_FILE_DEPTH_MAX || file->path_count > CONF_FILES_MAX)
        return yaml_plan_refuse(
            reading, node->line, node->column, NULL,
            file->depth == CONF_FILE_DEPTH_MAX
                ? "files include each other more than 16 deep; perhaps in a circle"
                : "more than 1000 files are included; perhaps in a circle");
    if (!expand(file, node->text, &name))
        return yaml_plan_refuse(reading, node->line, node->column, NULL, "the name is too long");
    done = file->host.include(file->host.context, name, &path, &text, &size, reading->err);
    free(name);
    if (!done) {
        error_wrap(reading->err, "%s:%d:%d: include", reading->path, node->line, node->column);
        return false;
    }
    file->depth++;
    done = read_text(file, path, text, size, reading->err);
    file->depth--;
    free(path);
    free(text);
    return done;
}

static bool include_all(struct yaml_file *file, const struct yaml_reading *reading,
                        const struct yaml_node *node)
{
    if (!node)
        return true;
    if (node->kind != YAML_TREE_LIST)
        return include(file, reading, node);
    for (node = node->first; node; node = node->next)
        if (!include(file, reading, node))
            return false;
    return true;
}

static bool read_map(struct yaml_file *file, const struct yaml_reading *reading,
                     const struct yaml_node *root)
{
    if (root->kind == YAML_TREE_TEXT || root->kind == YAML_TREE_LIST)
        return yaml_plan_refuse(
            reading, root->line, root->column, NULL,
            "%s; write lines such as 'broker: amqps://dd.weather.gc.ca/' (a file "
            "whose lines have no colon is called NAME.conf)",
            yaml_plan_kind_name(root));
    if (!include_all(file, reading, yaml_plan_member(root, "include")))
        return false;
    return yaml_plan_add(reading, root);
}

static bool read_text(struct yaml_file *file, const char *path, const char *text, size_t size_bytes,
                      struct error *err)
{
    struct yaml_reading reading = {.plan = &file->plan, .path = memory_copy(path), .err = err};
    struct yaml_node *root;
    bool done;

    file->paths = memory_resize(file->paths, file->path_count + 1, sizeof(*file->paths));
    file->paths[file->path_count++] = (char *)reading.path;
    if (!yaml_tree_parse(path, text, size_bytes, &file->nodes, &root, err))
        return false;
    done = !root || read_map(file, &reading, root);
    yaml_tree_free(root);
    return done;
}

/* --- the file -------------------------------------------------------------------------------- */

bool yaml_file_is_called(const char *path)
{
    static const char *const suffixes[] = {".yaml", ".yml"};
    size_t length = strlen(path);

    for (size_t i = 0; i < COUNT_OF(suffixes); i++)
        if (length > strlen(suffixes[i])
            && !strcmp(path + length - strlen(suffixes[i]), suffixes[i]))
            return true;
    return false;
}

struct yaml_file *yaml_file_open_memory(const char *path, const char *text, size_t size_bytes,
                                        const struct conf_host *host, struct error *err)
{
    struct yaml_file *file = memory_new(sizeof(*file));

    file->host = *host;
    if (read_text(file, path, text, size_bytes, err))
        return file;
    yaml_file_close(file);
    return NULL;
}

struct yaml_file *yaml_file_open(const char *path, const struct conf_host *host, struct error *err)
{
    struct yaml_file *file;
    size_t size;
    char *text;

    if (!conf_file_read(path, &text, &size, err))
        return NULL;
    file = yaml_file_open_memory(path, text, size, host, err);
    free(text);
    return file;
}

void yaml_file_close(struct yaml_file *file)
{
    if (!file)
        return;
    yaml_plan_clear(&file->plan);
    for (size_t i = 0; i < file->path_count; i++)
        free(file->paths[i]);
    free(file->paths);
    free(file->value);
    free(file);
}

static void add(char **text, size_t *length, const char *bytes, size_t count)
{
    *text = memory_resize(*text, *length + count + 1, 1);
    memcpy(*text + *length, bytes, count);
    *length += count;
    (*text)[*length] = '\0';
}

/* The value of the variable at `text`, allocated; *length is how much of it was read. */
static char *variable_at(const struct yaml_file *file, const char *text, size_t *length)
{
    const char *end = text[1] == '{' ? strchr(text, '}') : NULL;
    char *name, *value;

    if (!end || end == text + 2)
        return NULL;
    name = memory_copy_bytes(text + 2, (size_t)(end - text - 2));
    value = file->host.variable(file->host.context, name);
    *length = (size_t)(end + 1 - text);
    free(name);
    return value;
}

/* Replaces variables, once. False if it becomes too long. */
static bool expand(struct yaml_file *file, const char *written, char **value)
{
    size_t length = 0;

    *value = NULL;
    add(value, &length, "", 0);
    while (*written && length <= CONF_TEXT_SIZE_MAX) {
        size_t plain = strcspn(written, "$"), skipped = 1;
        char *found = written[plain] ? variable_at(file, written + plain, &skipped) : NULL;

        add(value, &length, written, plain);
        if (found)
            add(value, &length, found, strlen(found));
        else if (written[plain])
            add(value, &length, "$", skipped = 1);
        written += plain + (written[plain] ? skipped : 0);
        free(found);
    }
    if (length <= CONF_TEXT_SIZE_MAX)
        return true;
    memory_replace(value, NULL);
    return false;
}

bool yaml_file_take(struct yaml_file *file, struct conf_setting *setting, struct error *err)
{
    const struct yaml_planned *planned;

    err->kind = ERROR_NONE;
    while (file->turn < YAML_TURNS && file->next == file->plan.turns[file->turn].count) {
        file->turn++;
        file->next = 0;
    }
    if (file->turn == YAML_TURNS)
        return false;
    planned = &file->plan.turns[file->turn].items[file->next++];
    memory_replace(&file->value, NULL);
    if (!expand(file, planned->written, &file->value))
        return error_set(err, ERROR_OPERATOR,
                         "%s:%d:%d: with its variables replaced the line is too long",
                         planned->path, planned->line, planned->column);
    *setting = (struct conf_setting){.name = planned->name,
                                     .value = file->value,
                                     .written = planned->written,
                                     .file = planned->path,
                                     .line = planned->line,
                                     .column = planned->column,
                                     .for_next = planned->for_next,
                                     .use_default = planned->use_default};
    return true;
}
