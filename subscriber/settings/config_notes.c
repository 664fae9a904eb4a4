/* Warnings and errors that say which file and line they are about. */
#include "settings/config_notes.h"

#include "settings/config_loader.h"

#include <stdlib.h>
#include <string.h>

#define ERRORS_MAX 200 /* of one configuration; more are not worth reading */

void config_notes_warn(struct config *config, const char *text)
{
    config->warnings =
        memory_resize(config->warnings, config->warning_count + 1, sizeof(*config->warnings));
    config->warnings[config->warning_count++] = memory_copy(text);
}

bool config_notes_gather(struct config *config, struct error *err)
{
    if (!config->loader->request->checking || config->error_count >= ERRORS_MAX)
        return false;
    config->errors =
        memory_resize(config->errors, config->error_count + 1, sizeof(*config->errors));
    config->errors[config->error_count++] = memory_copy(err->text);
    *err = (struct error){0};
    return true;
}

static char *place_print(const char *file, int line, int column)
{
    if (column)
        return memory_format("%s:%d:%d", file, line, column);
    return line ? memory_format("%s:%d", file, line) : memory_copy(file);
}

/* A warning about an option that was set at `file`, `line`. */
static void warn_at(struct config *config, const char *file, int line, int column, const char *name,
                    const char *what)
{
    char *place = place_print(file, line, column);
    char *text = memory_format("%s: option '%s': %s", place, name, what);

    config_notes_warn(config, text);
    free(place);
    free(text);
}

void config_notes_warn_here(struct config *config, const struct option *option, const char *what)
{
    config_notes_warn_name_here(config, option->name, what);
}

void config_notes_warn_name_here(struct config *config, const char *name, const char *what)
{
    const struct conf_setting *current = config->loader->current;

    warn_at(config, current->file, current->line, current->column, name, what);
}

void config_notes_warn_origin(struct config *config, enum config_option index, const char *what)
{
    const struct config_origin *origin = &config->origins[index];

    if (origin->file)
        warn_at(config, origin->file, origin->line, 0, config_option(index)->name, what);
}

bool config_notes_wrap_here(const struct config *config, struct error *err)
{
    const struct conf_setting *current = config->loader->current;
    char *place = place_print(current->file, current->line, current->column);

    error_wrap(err, "%s", place);
    free(place);
    return false;
}

bool config_wrap_origin(const struct config *config, enum config_option index, struct error *err)
{
    const struct config_origin *origin = &config->origins[index];
    char *place = place_print(origin->file ? origin->file : config->path, origin->line, 0);

    error_wrap(err, "%s: option '%s'", place, config_option(index)->name);
    free(place);
    return false;
}

const char *config_notes_keep_file(struct config *config, const char *file)
{
    for (size_t i = 0; i < config->file_count; i++)
        if (!strcmp(config->files[i], file))
            return config->files[i];
    config->files = memory_resize(config->files, config->file_count + 1, sizeof(*config->files));
    return config->files[config->file_count++] = memory_copy(file);
}
