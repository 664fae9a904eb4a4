/*
 * The kinds of option values that are words: flags, choices, sets. And what all kinds need to
 * refuse a value and to find names that are nearly right. Numbers are in option_numbers.c, texts in
 * option_texts.c.
 *
 * Every refusal says what the text was and what would be right.
 */
#include "settings/option_words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

bool option_list_take(const char **list, const char *separators, const char **item, size_t *length)
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
    while (option_list_take(&rest, ",", &item, &length))
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

int option_choice_find(const char *choices, const char *name, size_t name_length)
{
    const char *item;
    size_t length;

    for (int index = 0; option_list_take(&choices, ",", &item, &length); index++)
        if (choice_is(item, length, name, name_length))
            return index;
    return -1;
}

bool option_refuse_choice(const struct option *option, const char *text, struct error *err)
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

static char *print_flag(const struct option *option, const void *target)
{
    (void)option;
    return memory_copy(*(const bool *)target ? "on" : "off");
}

const struct option_kind option_FLAG = {
    .bare_allowed = true, .parse = parse_flag, .print = print_flag, .type = "flag"};

/* --- choices --------------------------------------------------------------------------------- */

static bool parse_choice(const struct option *option, const char *text, void *target,
                         struct error *err)
{
    int index = option_choice_find(option->choices, text, strlen(text));

    if (index < 0)
        return option_refuse_choice(option, text, err);
    *(int *)target = index;
    return true;
}

/* Adds the first name of the choice at `index` to `text`. */
static void add_choice(char **text, const char *choices, int index)
{
    const char *item = choices;
    size_t length = 0;

    for (int i = -1; i < index && option_list_take(&choices, ",", &item, &length);)
        i++;
    length = strcspn(item, "|,");
    memory_replace(
        text, memory_format("%s%s%.*s", *text ? *text : "", *text ? "," : "", (int)length, item));
}

static char *print_choice(const struct option *option, const void *target)
{
    char *text = NULL;

    add_choice(&text, option->choices, *(const int *)target);
    return text;
}

const struct option_kind option_CHOICE = {
    .parse = parse_choice, .print = print_choice, .type = "one of"};

static bool set_bits(const char *choices, const char *name, size_t length, unsigned *bits)
{
    int index = option_choice_find(choices, name, length);

    if (length == 4 && !strncasecmp(name, "none", length))
        *bits = 0;
    else if (length == 3 && !strncasecmp(name, "all", length))
        for (*bits = 0; option_list_take(&choices, ",", &name, &length);)
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

    while (option_list_take(&rest, ",|", &item, &length)) {
        if (length && strchr("+-", *item)) {
            sign = *item++;
            length--;
        }
        if (length && !set_bits(option->choices, item, length, &bits))
            return option_refuse_choice(option, text, err);
        if (length)
            set = sign == '+' ? set | bits : set & ~bits;
    }
    *(unsigned *)target = set;
    return true;
}

static char *print_set(const struct option *option, const void *target)
{
    unsigned set = *(const unsigned *)target;
    char *text = NULL;

    for (int i = 0; set >> i; i++)
        if (set >> i & 1)
            add_choice(&text, option->choices, i);
    return text ? text : memory_copy("none");
}

const struct option_kind option_SET = {.parse = parse_set, .print = print_set, .type = "set of"};

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
