/* JSON as the commands print it. */
#include "commands/commands.h"

#include <stdlib.h>

json_t *command_json_text(const char *text)
{
    json_t *value = text ? json_string(text) : json_null();
    char *copy;

    if (value)
        return value;
    copy = memory_copy(text);
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

void command_print_json(json_t *value, size_t flags, FILE *out)
{
    json_dumpf(value, out, flags);
    fputc('\n', out);
    json_decref(value);
}
