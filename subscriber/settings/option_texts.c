/*
 * The kinds of option values that are texts: strings, lists, paths, addresses.
 */
#include "settings/option_words.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void clear_text(void *target)
{
    memory_replace((char **)target, NULL);
}

static bool parse_string(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    (void)option;
    (void)err;
    memory_replace((char **)target, strcmp(text, "None") ? memory_copy(text) : NULL);
    return true;
}

static char *print_text(const struct option *option, const void *target)
{
    (void)option;
    return memory_copy(*(char *const *)target);
}

const struct option_kind option_STRING = {.whole_line = true,
                                          .parse = parse_string,
                                          .print = print_text,
                                          .clear = clear_text,
                                          .type = "text"};

static bool parse_strip(const struct option *option, const char *text, void *target,
                        struct error *err)
{
    bool is_count = text[strspn(text, "0123456789")] == '\0';

    return parse_string(option, is_count && !text[strspn(text, "0")] ? "None" : text, target, err);
}

const struct option_kind option_STRIP = {.whole_line = true,
                                         .parse = parse_strip,
                                         .print = print_text,
                                         .clear = clear_text,
                                         .type = "number or pattern"};

static bool parse_flatten(const struct option *option, const char *text, void *target,
                          struct error *err)
{
    return parse_string(option, strcmp(text, "/") ? text : "None", target, err);
}

const struct option_kind option_FLATTEN = {.whole_line = true,
                                           .parse = parse_flatten,
                                           .print = print_text,
                                           .clear = clear_text,
                                           .type = "text"};

/* --- lists ----------------------------------------------------------------------------------- */

static void clear_list(void *target)
{
    struct option_list *list = target;

    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct option_list){0};
}

static bool parse_list(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    struct option_list *list = target;

    (void)option;
    (void)err;
    if (!strcmp(text, "None")) {
        clear_list(target);
        return true;
    }
    list->items = memory_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = memory_copy(text);
    return true;
}

static char *print_list(const struct option *option, const void *target)
{
    const struct option_list *list = target;
    char *text = NULL;

    (void)option;
    for (size_t i = 0; i < list->count; i++)
        memory_replace(&text,
                       memory_format("%s%s%s", text ? text : "", text ? " " : "", list->items[i]));
    return text;
}

const struct option_kind option_LIST = {.whole_line = true,
                                        .parse = parse_list,
                                        .print = print_list,
                                        .clear = clear_list,
                                        .type = "list, one a line"};

/* --- paths ----------------------------------------------------------------------------------- */

/* The home directory of `user`, "" for one's own, allocated; NULL if there is no such user. */
static char *home_of(const char *user)
{
    const char *home = *user ? NULL : getenv("HOME");
    const struct passwd *entry;

    if (home && *home)
        return memory_copy(home);
    entry = *user ? getpwnam(user) : getpwuid(getuid());
    return entry ? memory_copy(entry->pw_dir) : NULL;
}

/* `~`, `~user` or a relative path made absolute; NULL when that cannot be done. */
static char *make_absolute(const char *text)
{
    size_t length = strcspn(text, "/");
    char *start = NULL, *path;

    if (*text == '/')
        return memory_copy(text);
    if (*text == '~') {
        char *user = memory_copy_bytes(text + 1, length - 1);

        start = home_of(user);
        text += length;
        free(user);
    } else {
        start = getcwd(NULL, 0);
    }
    path = start ? memory_format("%s/%s", start, text) : NULL;
    free(start);
    return path;
}

/* Removes, in place, empty and "." components and the '/' at the end. */
static void squeeze(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        size_t length;

        from += strspn(from, "/");
        length = strcspn(from, "/");
        if (length && !(length == 1 && *from == '.')) {
            *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

static bool set_absolute(const char *text, void *target, struct error *err)
{
    char *path = make_absolute(text);

    if (!path)
        return option_refuse(err, text, "cannot be made absolute", "a path that begins with '/'");
    squeeze(path);
    memory_replace((char **)target, path);
    return true;
}

static bool parse_path(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    if (!strcmp(text, "None"))
        return parse_string(option, text, target, err);
    if (strstr(text, "${"))
        return option_refuse(err, text,
                             "has a variable that is unknown, or differs from file to file",
                             "a path without it");
    return set_absolute(text, target, err);
}

const struct option_kind option_PATH = {.whole_line = true,
                                        .parse = parse_path,
                                        .print = print_text,
                                        .clear = clear_text,
                                        .type = "path"};

static bool parse_template(const struct option *option, const char *text, void *target,
                           struct error *err)
{
    if (!strcmp(text, "None") || !strncmp(text, "${", 2))
        return parse_string(option, text, target, err);
    return set_absolute(text, target, err);
}

const struct option_kind option_TEMPLATE = {.whole_line = true,
                                            .parse = parse_template,
                                            .print = print_text,
                                            .clear = clear_text,
                                            .type = "path with variables"};

static bool begins_with_one_of(const char *name, size_t length, const char *const *starts,
                               size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (length >= strlen(starts[i]) && !strncmp(name, starts[i], strlen(starts[i])))
            return true;
    return false;
}

/* Whether a variable has a value once there is an announcement (sr3_options(7), variables). */
static bool is_known_later(const char *name, size_t length)
{
    static const char *const whole[] = {"BD",  "BUP", "baseUrlPath", "BUPL",   "baseUrlPathLast",
                                        "PBD", "PDR", "DR",          "SOURCE", "T1",
                                        "T2",  "A1",  "A2",          "ii",     "CCCC",
                                        "YY",  "GG",  "Gg",          "BBB",    "RYYYY",
                                        "RMM", "RDD", "RHH",         "RMN",    "RSS"};
    static const char *const starts[] = {"%", "YYYYMMDD", "YYYY", "MM", "DD", "HH", "JJJ", "SS"};

    for (size_t i = 0; i < COUNT_OF(whole); i++)
        if (strlen(whole[i]) == length && !strncmp(name, whole[i], length))
            return true;
    return strspn(name, "0123456789") == length
           || begins_with_one_of(name, length, starts, COUNT_OF(starts));
}

const char *option_unknown_variable(const char *text, size_t *length)
{
    for (const char *at = text, *end; (at = strstr(at, "${")) && (end = strchr(at, '}'));
         at = end) {
        at += 2;
        *length = (size_t)(end - at);
        if (!is_known_later(at, *length))
            return at;
    }
    return NULL;
}

/* --- addresses and names of temporary files -------------------------------------------------- */

static void clear_url(void *target)
{
    struct option_url *url = target;

    memory_replace(&url->text, NULL);
    url_clear(&url->parts);
}

static bool parse_url(const struct option *option, const char *text, void *target,
                      struct error *err)
{
    struct option_url *url = target;
    struct url parts;

    if (!strcmp(text, "None")) {
        clear_url(target);
        return true;
    }
    if (!url_parse(text, &parts, err))
        return false;
    if (option->choices
        && option_choice_find(option->choices, parts.scheme, strlen(parts.scheme)) < 0) {
        option_refuse_choice(option, parts.scheme, err);
        url_clear(&parts);
        return false;
    }
    clear_url(target);
    url->text = memory_copy(text);
    url->parts = parts;
    return true;
}

static char *print_url(const struct option *option, const void *target)
{
    (void)option;
    return memory_copy(((const struct option_url *)target)->text);
}

const struct option_kind option_URL = {
    .parse = parse_url, .print = print_url, .clear = clear_url, .type = "URL"};

static bool inflight_is_usable(const char *text)
{
    size_t length = strlen(text);

    if (!length || length > (*text == '/' ? 1000 : 64) || strstr(text, "..")
        || strspn(text, "/") == length)
        return false;
    return text[length - 1] == '/' || (*text == '.' && !strchr(text, '/'));
}

static bool parse_inflight(const struct option *option, const char *text, void *target,
                           struct error *err)
{
    (void)option;
    if (!option_is_off_word(text) && !inflight_is_usable(text))
        return option_refuse(
            err, text, "cannot name files under way",
            "'.', an ending such as '.tmp', a directory such as 'tmp/' or '/data/tmp/', or 'none'");
    memory_replace((char **)target, option_is_off_word(text) ? NULL : memory_copy(text));
    return true;
}

const struct option_kind option_INFLIGHT = {
    .parse = parse_inflight, .print = print_text, .clear = clear_text, .type = "text"};
