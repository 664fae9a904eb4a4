/*
 * The kinds of option values, except numbers (option_numbers.c).
 *
 * Every refusal says what the text was and what would be right.
 */
#include "settings/option_words.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define QUOTE_MAX 60

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcasecmp(text, words[i]))
            return true;
    return false;
}

bool option_is_off_word(const char *text)
{
    static const char *const words[] = {"none", "off", "false"};

    return is_one_of(text, words, COUNT_OF(words));
}

bool option_is_true_word(const char *text)
{
    static const char *const words[] = {"true", "yes", "on", "1"};

    return is_one_of(text, words, COUNT_OF(words));
}

bool option_is_flag_word(const char *word)
{
    static const char *const words[] = {"false", "no", "off", "0", "none"};

    return option_is_true_word(word) || is_one_of(word, words, COUNT_OF(words));
}

char *option_quote(const char *text)
{
    const char *scheme_end = strstr(text, "://"), *at = scheme_end ? strrchr(text, '@') : NULL;
    size_t scheme = scheme_end ? (size_t)(scheme_end - text) : 0;
    char *quoted, *c;

    if (at && at > scheme_end)
        quoted =
            memory_format("%.*s://...%s", (int)(scheme < QUOTE_MAX ? scheme : QUOTE_MAX), text, at);
    else
        quoted = memory_copy(text);
    if (strlen(quoted) > QUOTE_MAX) {
        c = quoted + QUOTE_MAX;
        while (c > quoted && (*c & 0xc0) == 0x80) /* not within a UTF-8 letter */
            c--;
        *c = '\0';
        memory_replace(&quoted, memory_format("%s...", quoted));
    }
    return quoted;
}

bool option_refuse(struct error *err, const char *text, const char *why, const char *right)
{
    char *quoted = option_quote(text);

    error_set(err, ERROR_OPERATOR, "'%s' %s; write %s", quoted, why, right);
    free(quoted);
    return false;
}

/* --- comma lists of a row -------------------------------------------------------------------- */

/* The next item of a list; false at the end. */
static bool list_take(const char **list, const char *separators, const char **item, size_t *length)
{
    if (!*list)
        return false;
    *item = *list;
    *length = strcspn(*list, separators);
    *list = (*list)[*length] ? *list + *length + 1 : NULL;
    return true;
}

bool option_is_called(const struct option *option, const char *name)
{
    const char *rest = option->synonyms, *item;
    size_t length;

    if (!strcmp(option->name, name))
        return true;
    while (list_take(&rest, ",", &item, &length))
        if (strlen(name) == length && !strncmp(item, name, length))
            return true;
    return false;
}

/* Whether the choice at `choice`, `a` or `a|b`, is called `name`. */
static bool choice_is(const char *choice, size_t length, const char *name, size_t name_length)
{
    const char *end = choice + length;

    while (choice < end) {
        size_t part = strcspn(choice, "|,");

        if (part == name_length && !strncasecmp(choice, name, part))
            return true;
        choice += part + 1;
    }
    return false;
}

/* The index of `name` in `choices`, -1 if it is none. */
static int choice_find(const char *choices, const char *name, size_t name_length)
{
    const char *item;
    size_t length;

    for (int index = 0; list_take(&choices, ",", &item, &length); index++)
        if (choice_is(item, length, name, name_length))
            return index;
    return -1;
}

static bool refuse_choice(const struct option *option, const char *text, struct error *err)
{
    char *right = memory_format("one of: %s", option->choices);

    for (char *c = right; *c; c++)
        if (*c == '|')
            *c = ',';
    option_refuse(err, text, "is unknown", right);
    free(right);
    return false;
}

/* --- flags ----------------------------------------------------------------------------------- */

static bool parse_flag(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    (void)option;
    (void)err;
    *(bool *)target = !*text || option_is_true_word(text);
    return true;
}

const struct option_kind option_FLAG = {.bare_allowed = true, .parse = parse_flag};

/* --- texts ----------------------------------------------------------------------------------- */

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

const struct option_kind option_STRING = {
    .whole_line = true, .parse = parse_string, .clear = clear_text};

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

static bool parse_path(const struct option *option, const char *text, void *target,
                       struct error *err)
{
    char *path;

    if (!strcmp(text, "None"))
        return parse_string(option, text, target, err);
    if (strstr(text, "${"))
        return option_refuse(err, text,
                             "has a variable that is unknown, or differs from file to file, "
                             "which this version cannot do",
                             "a path without it");
    path = make_absolute(text);
    if (!path)
        return option_refuse(err, text, "cannot be made absolute", "a path that begins with '/'");
    squeeze(path);
    memory_replace((char **)target, path);
    return true;
}

const struct option_kind option_PATH = {
    .whole_line = true, .parse = parse_path, .clear = clear_text};

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
    if (option->choices && choice_find(option->choices, parts.scheme, strlen(parts.scheme)) < 0) {
        refuse_choice(option, parts.scheme, err);
        url_clear(&parts);
        return false;
    }
    clear_url(target);
    url->text = memory_copy(text);
    url->parts = parts;
    return true;
}

const struct option_kind option_URL = {.parse = parse_url, .clear = clear_url};

static bool inflight_is_usable(const char *text)
{
    size_t length = strlen(text);

    if (!length || length > 64 || *text == '/' || strstr(text, ".."))
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
            "'.', an ending such as '.tmp', a directory such as 'tmp/', or 'none'");
    memory_replace((char **)target, option_is_off_word(text) ? NULL : memory_copy(text));
    return true;
}

const struct option_kind option_INFLIGHT = {.parse = parse_inflight, .clear = clear_text};

/* --- choices --------------------------------------------------------------------------------- */

static bool parse_choice(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    int index = choice_find(option->choices, text, strlen(text));

    if (index < 0)
        return refuse_choice(option, text, err);
    *(int *)target = index;
    return true;
}

const struct option_kind option_CHOICE = {.parse = parse_choice};

static bool set_bits(const char *choices, const char *name, size_t length, unsigned *bits)
{
    int index = choice_find(choices, name, length);

    if (length == 4 && !strncasecmp(name, "none", length))
        *bits = 0;
    else if (length == 3 && !strncasecmp(name, "all", length))
        for (*bits = 0; list_take(&choices, ",", &name, &length);)
            *bits = *bits << 1 | 1;
    else if (index >= 0)
        *bits = 1u << index;
    else
        return false;
    return true;
}

static bool parse_set(const struct option *option, const char *text, void *target,
                      struct error *err)
{
    unsigned set = strchr("+-", *text) ? *(unsigned *)target : 0, bits;
    const char *rest = text, *item;
    char sign = '+';
    size_t length;

    while (list_take(&rest, ",|", &item, &length)) {
        if (length && strchr("+-", *item)) {
            sign = *item++;
            length--;
        }
        if (length && !set_bits(option->choices, item, length, &bits))
            return refuse_choice(option, text, err);
        if (length)
            set = sign == '+' ? set | bits : set & ~bits;
    }
    *(unsigned *)target = set;
    return true;
}

const struct option_kind option_SET = {.parse = parse_set};

/* --- names that are nearly right ------------------------------------------------------------- */

static size_t least(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;

    return smaller < c ? smaller : c;
}

size_t option_distance(const char *a, const char *b)
{
    size_t columns = strlen(b), *row = memory_resize(NULL, columns + 1, sizeof(*row)), distance;

    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            bool equal = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t above = row[j];

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + !equal);
            diagonal = above;
        }
    }
    distance = row[columns];
    free(row);
    return distance;
}

bool option_is_near(const char *name, size_t distance)
{
    return distance <= 1 + strlen(name) / 5 && distance < strlen(name);
}
