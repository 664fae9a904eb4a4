/*
 * Lines of older files that sr3 turns into something else.
 *
 * Some of them count only without a value. Whether there is one is told by what was written: in
 * `notify_only ${NOTIFY}` there is, even where the variable is empty.
 */
#include "settings/config_legacy.h"

#include "settings/config_loader.h"
#include "settings/config_notes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STAYS "a value behind it has no effect, as in sr3: files stay"
#define FETCHED                                                                                    \
    "a value behind it has no effect, as in sr3: files are fetched; write 'download off'"

/* The first row that fits counts. */
static const struct {
    const char *name;
    const char *value;                /* "": none is written; NULL: any */
    const char *new_name, *new_value; /* NULL: it is dropped */
    const char *warning;              /* NULL: none */
} lines[] = {
    {"no_download", "", "download", "off", NULL},
    {"no_download", NULL, NULL, NULL, FETCHED},
    {"n", "", "download", "off", NULL},
    {"n", NULL, NULL, NULL, FETCHED},
    {"notify_only", "", "download", "off", NULL},
    {"notify_only", NULL, NULL, NULL, FETCHED},
    {"discard", "", "delete_destination", "on", NULL},
    {"discard", "on", "delete_destination", "on", NULL},
    {"discard", NULL, NULL, NULL, STAYS},
    {"d", "", "delete_destination", "on", NULL},
    {"d", "on", "delete_destination", "on", NULL},
    {"d", NULL, NULL, NULL, STAYS},
    {"download-and-discard", "", "delete_destination", "on", NULL},
    {"download-and-discard", "on", "delete_destination", "on", NULL},
    {"download-and-discard", NULL, NULL, NULL, STAYS},
    {"on_message", "msg_log", "logEvents", "+after_accept", NULL},
    {"on_message", "msg_rawlog", "logEvents", "+after_accept", NULL},
    {"on_post", "post_log", "logEvents", "+after_work", NULL},
};

/* What the letters of `sum` are called today. */
static const struct {
    const char *letter, *name;
} sums[] = {
    {"n", "none"},   {"s", "sha512"},    {"d", "md5"},          {"a", "arbitrary"},
    {"r", "random"}, {"z,d", "cod,md5"}, {"z,s", "cod,sha512"}, {"z,n", "none"},
};

static bool is_sum(const char *name)
{
    return !strcmp(name, "sum") || !strcmp(name, "integrity") || !strcmp(name, "identity");
}

static void translate_sum(struct conf_setting *setting)
{
    for (size_t i = 0; i < COUNT_OF(sums); i++)
        if (!strcmp(setting->value, sums[i].letter)) {
            setting->value = sums[i].name;
            return;
        }
}

/* kbytes_ps counts in units of 1024 bytes. */
static void translate_rate(struct conf_setting *setting, char **text)
{
    size_t digits = strspn(setting->value, "0123456789.");

    setting->name = "byteRateMax";
    if (!digits || setting->value[digits])
        return;
    *text = memory_format("%ski", setting->value);
    setting->value = *text;
}

static bool fits(size_t row, const struct conf_setting *setting)
{
    const char *value = lines[row].value;

    if (strcmp(lines[row].name, setting->name) != 0)
        return false;
    if (!value)
        return true;
    return *value ? !strcasecmp(value, setting->value) : !*setting->written;
}

static bool translate_line(struct config *config, struct conf_setting *setting, size_t row)
{
    if (lines[row].warning)
        config_notes_warn_name_here(config, setting->name, lines[row].warning);
    if (!lines[row].new_name)
        return false;
    setting->name = lines[row].new_name;
    setting->value = setting->written = lines[row].new_value;
    return true;
}

bool config_legacy_translate(struct config *config, struct conf_setting *setting, char **text)
{
    *text = NULL;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (fits(i, setting))
            return translate_line(config, setting, i);
    if (is_sum(setting->name))
        translate_sum(setting);
    else if (!strcmp(setting->name, "kbytes_ps"))
        translate_rate(setting, text);
    return true;
}

bool config_legacy_knows(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        if (!strcmp(lines[i].name, name))
            return true;
    return !strcmp(name, "kbytes_ps");
}
