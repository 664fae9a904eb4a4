/*
 * Templates are taken apart once, into segments, so that most announcements find the root ready and
 * no rest. How they are put together again is in template_expand.c.
 *
 * sr3 replaces text in text, one variable after the other, and twice over. Where that shows, it is
 * done here too: the operator's paths may hold variables themselves. What announcements bring is
 * put in last and never searched: a stranger must not learn what ${HOME} is.
 */
#include "stages/template_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NAME_SIZE    200
#define GROUP_DIGITS 5
#define OFFSET_MAX_S 3e9 /* some hundred years */

static struct segment *add(struct template *template, enum segment_kind kind)
{
    struct segment *segment;

    template->segments =
        memory_resize(template->segments, template->count + 1, sizeof(*template->segments));
    segment = &template->segments[template->count++];
    *segment = (struct segment){.kind = kind, .printed_s = INT64_MIN};
    return segment;
}

static void add_literal(struct template *template, const char *text, size_t length)
{
    struct segment *last = template->count ? &template->segments[template->count - 1] : NULL;
    char *added = memory_copy_bytes(text, length), *to = added;

    for (const char *from = added; *from; from++)
        if (*from != '$')
            *to++ = *from;
    *to = '\0';
    if (!last || last->kind != LITERAL) {
        add(template, LITERAL)->text = added;
        return;
    }
    memory_replace(&last->text, memory_format("%s%s", last->text, added));
    free(added);
}

static void add_date(struct template *template, const char *format, size_t length,
                     int64_t offset_ms, bool utc)
{
    struct segment *segment = add(template, DATE);

    segment->text = memory_copy_bytes(format, length);
    segment->offset_ms = offset_ms;
    segment->utc = utc;
}

/* ${YYYY-1d} exists for the rows with `shifts`. */
static const struct {
    const char *name, *format;
    bool shifts;
} dates[] = {
    {"YYYYMMDD", "%Y%m%d", true}, {"YYYY", "%Y", true}, {"MM", "%m", true},
    {"JJJ", "%j", true},          {"DD", "%d", false},  {"HH", "%H", false},
};

static int64_t unit_ms(char unit)
{
    switch (unit) {
    case 's':
    case 'S':
        return 1000;
    case 'm':
    case 'M':
        return 60 * 1000;
    case 'h':
    case 'H':
        return 3600 * 1000;
    case 'd':
    case 'D':
        return 86400 * 1000;
    case 'w':
    case 'W':
        return 7 * 86400 * 1000;
    default:
        return 0;
    }
}

/* "2d", "1h30m", "90": the end of it, NULL when it is no duration. */
static const char *read_duration(const char *at, int64_t *ms)
{
    double total_s = 0;

    while (*at >= '0' && *at <= '9') {
        char *end;
        double number = strtod(at, &end);
        int64_t unit = unit_ms(*end);

        total_s += number * (unit ? (double)unit / 1000 : 1);
        at = end + (unit != 0);
        if (!(total_s < OFFSET_MAX_S))
            return NULL;
        if (!unit)
            break;
    }
    *ms = (int64_t)(total_s * 1000);
    return at;
}

/* "%Y%m", "%o-1h%Y", "%-1d%Y", with the '%' in front. */
static bool add_strftime(struct template *template, const char *text, int64_t offset_ms)
{
    const char *sign = text + 1 + (text[1] == 'o'), *format = text;

    if ((*sign == '+' || *sign == '-') && sign[1] >= '0' && sign[1] <= '9') {
        bool negative = *sign == '-';

        format = read_duration(sign + 1, &offset_ms);
        if (!format || *format != '%')
            return false;
        offset_ms = negative ? -offset_ms : offset_ms;
    }
    add_date(template, format, strlen(format), offset_ms, false);
    return true;
}

static bool add_named_date(struct template *template, const char *name, int64_t offset_ms)
{
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        size_t length = strlen(dates[i].name);
        const char *end, *format = dates[i].format;
        int64_t back_ms;

        if (strncmp(name, dates[i].name, length) != 0)
            continue;
        if (!name[length]) {
            add_date(template, format, strlen(format), offset_ms, false);
            return true;
        }
        if (!dates[i].shifts || name[length] != '-')
            continue;
        end = read_duration(name + length + 1, &back_ms);
        if (!end || *end || end == name + length + 1)
            return false;
        add_date(template, format, strlen(format), -back_ms, true);
        return true;
    }
    return false;
}

static bool add_group(struct template *template, const char *name, bool first_is_zero)
{
    size_t digits = strspn(name, "0123456789");

    if (!digits || name[digits] || digits > GROUP_DIGITS)
        return false;
    add(template, GROUP)->number = strtoul(name, NULL, 10) + first_is_zero;
    return true;
}

static bool add_sundew(struct template *template, const char *name)
{
    size_t row;

    if (!template_find_sundew(name, &row))
        return false;
    add(template, SUNDEW)->number = row;
    return true;
}

static bool add_announced(struct template *template, const char *name,
                          const struct template_settings *settings)
{
    if (strcmp(name, "BUP") == 0 || strcmp(name, "baseUrlPath") == 0)
        add(template, BASE_PATH);
    else if (strcmp(name, "BUPL") == 0 || strcmp(name, "baseUrlPathLast") == 0)
        add(template, BASE_PATH_LAST);
    else if (strcmp(name, "SOURCE") == 0 && settings->source)
        add_literal(template, settings->source, strlen(settings->source));
    else if (strcmp(name, "SOURCE") == 0)
        add(template, settings->source_from_exchange ? EXCHANGE : SOURCE);
    else
        return false;
    return true;
}

static bool add_variable(struct template *template, const char *name,
                         const struct template_settings *settings)
{
    const char *value;

    if (add_announced(template, name, settings)
        || add_named_date(template, name, settings->var_time_offset_ms)
        || (*name == '%' && add_strftime(template, name, settings->var_time_offset_ms))
        || add_group(template, name, settings->first_group_is_zero) || add_sundew(template, name))
        return true;
    value = settings->lookup ? settings->lookup(settings->lookup_context, name) : NULL;
    if (!value)
        return false;
    add_literal(template, value, strlen(value));
    return true;
}

/* What a '$' at `at` begins is added; returns where the text goes on. */
static const char *take_variable(struct template *template, const char *at,
                                 const struct template_settings *settings)
{
    const char *end = at[1] == '{' ? strchr(at, '}') : NULL;
    char name[NAME_SIZE];
    size_t length = end ? (size_t)(end - at) - 2 : 0;

    if (!end || length >= sizeof(name))
        return at + 1;
    memcpy(name, at + 2, length);
    name[length] = '\0';
    if (add_variable(template, name, settings))
        return end + 1;
    if (template->count == 0) /* sr3 takes a path that begins with '$' for absolute */
        add_literal(template, "/", 1);
    return at + 1;
}

static void take_apart(struct template *template, const char *text,
                       const struct template_settings *settings)
{
    for (const char *at = text, *dollar; *at; at = take_variable(template, dollar, settings)) {
        dollar = strchrnul(at, '$');
        if (dollar > at)
            add_literal(template, at, (size_t)(dollar - at));
        if (!*dollar)
            return;
    }
}

static char *replace_all(char *text, const char *name, const char *value)
{
    char *found;

    while (value && (found = strstr(text, name)) && !strstr(value, name))
        memory_replace(&text, memory_format("%.*s%s%s", (int)(found - text), text, value,
                                            found + strlen(name)));
    return text;
}

/* The operator's own paths, which may hold variables: twice, because sr3 does it twice. */
static char *put_in_paths(const char *text, const struct template_settings *settings)
{
    char *copy = memory_copy(text);

    for (int round = 0; round < 2; round++) {
        copy = replace_all(copy, "${BD}", settings->base_dir);
        copy = replace_all(copy, "${PBD}", settings->post_base_dir);
        copy = replace_all(copy, "${PDR}", settings->post_base_dir);
        copy = replace_all(copy, "${DR}", settings->document_root);
    }
    return copy;
}

static char *current_directory(void)
{
    char *directory = getcwd(NULL, 0), *with_slash;

    with_slash = memory_format("%s/", directory ? directory : "");
    free(directory);
    return with_slash;
}

static void make_absolute(struct template *template)
{
    struct segment first = {.kind = LITERAL};

    if (template->count && template->segments->kind == LITERAL && *template->segments->text == '/')
        return;
    first.text = current_directory();
    add(template, LITERAL)->text = NULL; /* room for one more */
    memmove(template->segments + 1, template->segments,
            (template->count - 1) * sizeof(*template->segments));
    template->segments[0] = first;
}

static bool is_announced(const struct segment *segment)
{
    return segment->kind != LITERAL && segment->kind != DATE;
}

/* The last literal that holds a '/', before the first segment that an announcement fills. */
static void split_root(struct template *template)
{
    size_t announced = 0, cut;
    struct segment tail = {.kind = LITERAL};
    char *slash = NULL;

    while (announced < template->count && !is_announced(&template->segments[announced]))
        announced++;
    template->rest = template->count;
    if (announced == template->count)
        return;
    for (cut = announced; cut-- > 0;)
        if (template->segments[cut].kind == LITERAL
            && (slash = strrchr(template->segments[cut].text, '/')))
            break;
    tail.text = memory_copy(slash + 1); /* the text is absolute: there is one */
    slash[1] = '\0';
    add(template, LITERAL)->text = NULL;
    memmove(template->segments + cut + 2, template->segments + cut + 1,
            (template->count - cut - 2) * sizeof(*template->segments));
    template->segments[cut + 1] = tail;
    template->rest = cut + 1;
}

static bool component_climbs(const char *component, size_t length)
{
    return (length == 1 && *component == '.')
           || (length == 2 && component[0] == '.' && component[1] == '.');
}

/* "." and ".." behind a variable would be refused with every announcement: better now. */
static bool check_rest(const struct template *template, const char *text, struct error *err)
{
    char *all = memory_copy("");
    bool climbs = false;

    for (size_t i = template->rest; i < template->count; i++) {
        const struct segment *segment = &template->segments[i];

        memory_replace(&all,
                       memory_format("%s%s", all, segment->kind == LITERAL ? segment->text : "x"));
    }
    for (const char *at = all; *at; at += at[0] == '/') {
        size_t length = strcspn(at, "/");

        climbs = climbs || component_climbs(at, length);
        at += length;
    }
    free(all);
    return !climbs
           || error_set(err, ERROR_OPERATOR,
                        "directory '%s': '.' or '..' behind a variable that announcements "
                        "fill; write the directory that is meant",
                        text);
}

static bool root_is_fixed(const struct template *template)
{
    for (size_t i = 0; i < template->rest; i++)
        if (template->segments[i].kind != LITERAL)
            return false;
    return true;
}

void template_squeeze(char *path)
{
    char *to = path;

    for (const char *from = path; *from; from++)
        if (*from != '/' || to == path || to[-1] != '/')
            *to++ = *from;
    if (to > path + 1 && to[-1] == '/')
        to--;
    *to = '\0';
}

static void fix_root(struct template *template)
{
    char *root = memory_copy("");

    for (size_t i = 0; i < template->rest; i++)
        memory_replace(&root, memory_format("%s%s", root, template->segments[i].text));
    template_squeeze(root);
    template->fixed_root = root;
}

struct template *template_compile(const char *text, const struct template_settings *settings,
                                  struct error *err)
{
    struct template *template = memory_new(sizeof(*template));
    char *whole = put_in_paths(text, settings);

    tzset(); /* localtime_r() need not do it */
    take_apart(template, whole, settings);
    make_absolute(template);
    split_root(template);
    if (root_is_fixed(template))
        fix_root(template);
    free(whole);
    if (check_rest(template, text, err))
        return template;
    template_free(template);
    return NULL;
}

void template_free(struct template *template)
{
    if (!template)
        return;
    for (size_t i = 0; i < template->count; i++) {
        free(template->segments[i].text);
        free(template->segments[i].printed);
    }
    free(template->segments);
    free(template->fixed_root);
    free(template);
}
