/*
 * The reader of .conf files and of option values, fed with anything. Included files are pieces of
 * the input, so that no file is opened; variables stand for the rest of it.
 */
#include "base/url.h"
#include "settings/conf_file.h"
#include "settings/option_kinds.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static char *variable(void *context, const char *name)
{
    const struct input *input = context;

    return strlen(name) > 8 ? NULL : memory_copy_bytes(input->data, input->size / 2);
}

static bool include(void *context, const char *name, char **path, char **text, size_t *size_bytes,
                    struct error *err)
{
    const struct input *input = context;
    size_t skip = strlen(name);

    if (skip > input->size)
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

/* Every kind whose parse opens nothing. */
static void parse_value(const char *text)
{
    static const struct option_kind *const kinds[] = {
        &option_FLAG,   &option_DURATION, &option_COUNT, &option_SIZE,     &option_PERM,
        &option_URL,    &option_CHOICE,   &option_SET,   &option_INFLIGHT, &option_FLOAT,
        &option_STRING, &option_STRIP,    &option_LIST,  &option_FLATTEN,
    };
    size_t length;
    static const struct option option = {.name = "fuzz", .choices = "a,b|c,redis"};

    option_unknown_variable(text, &length);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct option_url target = {0}; /* the largest type */
        struct error err = {0};

        if (!kinds[i]->parse(&option, text, &target, &err) && err.kind == ERROR_NONE)
            abort();
        free(kinds[i]->print(&option, &target));
        if (kinds[i]->clear)
            kinds[i]->clear(&target);
    }
}

static void parse_url(const char *text)
{
    struct error err = {0};
    struct url url;

    if (url_parse(text, &url, &err)) {
        free(url_print(&url));
        url_clear(&url);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const struct conf_host host = {&input, variable, include, warn};
    struct conf_file *file = conf_file_open_memory("fuzz", (const char *)data, size, &host);
    struct conf_setting setting;
    struct error err = {0};

    for (int i = 0; i < 200 && conf_file_take(file, &setting, &err); i++) {
        parse_value(setting.value);
        parse_url(setting.value);
        if (strlen(setting.name) < 100)
            option_distance(setting.name, "directory");
    }
    conf_file_close(file);
    return 0;
}
