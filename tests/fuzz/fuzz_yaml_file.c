/*
 * The reader of YAML files, fed with anything. Included files are pieces of the input, so that no
 * file is opened; variables stand for the rest of it.
 */
#include "settings/yaml_file.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
    int includes;
};

static char *variable(void *context, const char *name)
{
    const struct input *input = context;

    return strlen(name) > 8 ? NULL : memory_copy_bytes(input->data, input->size / 2);
}

static bool include(void *context, const char *name, char **path, char **text, size_t *size_bytes,
                    struct error *err)
{
    struct input *input = context;
    size_t skip = strlen(name);

    if (skip > input->size || ++input->includes > 20)
        return error_set(err, ERROR_OPERATOR, "there is no '%s'", name);
    *path = memory_copy(name);
    *size_bytes = input->size - skip;
    *text = memory_copy_bytes(input->data + skip, *size_bytes);
    return true;
}

static void warn(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/* What the rest of the program relies on. */
static void check(const struct conf_setting *setting)
{
    assert(*setting->name && setting->value && setting->written && setting->file);
    assert(setting->line > 0 && setting->column > 0);
    assert(!strpbrk(setting->written, "\n\r\t"));
    assert(!setting->use_default || !*setting->written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size, 0};
    const struct conf_host host = {&input, variable, include, warn};
    struct error err = {0};
    struct yaml_file *file =
        yaml_file_open_memory("fuzz.yaml", (const char *)data, size, &host, &err);
    struct conf_setting setting;

    if (!file) {
        assert(err.kind == ERROR_OPERATOR && *err.text);
        return 0;
    }
    for (int i = 0; i < 200 && yaml_file_take(file, &setting, &err); i++)
        check(&setting);
    yaml_file_close(file);
    return 0;
}
