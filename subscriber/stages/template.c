/*
 * Templates are taken apart once, into segments, so that most announcements find the root ready and
 * no rest. Dates are printed once per second.
 *
 * sr3 replaces text in text, one variable after the other, and twice over. Where that shows, it is
 * done here too: the operator's paths may hold variables themselves. What announcements bring is
 * put in last and never searched: a stranger must not learn what ${HOME} is.
 */
#include "stages/template.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATE_SIZE    512
#define NAME_SIZE    200
#define GROUP_DIGITS 5
#define OFFSET_MAX_S 3e9 /* some hundred years */

enum segment_kind { LITERAL, DATE, GROUP, SOURCE, EXCHANGE, BASE_PATH, BASE_PATH_LAST, SUNDEW };

struct segment {
    enum segment_kind kind;
    char *text;    /* of a LITERAL; the format of a DATE */
    size_t number; /* GROUP: which; SUNDEW: row of sundew_fields */
    int64_t offset_ms;
    bool utc;
    int64_t printed_s; /* DATE: when `printed` was made */
    char *printed;
};

struct template
{
    struct segment *segments;
    size_t count;
    size_t rest; /* the segment in which the rest begins; count: there is none */
    char *fixed_root;
};

/* ---- compiling ---- */

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

/* Where each is: part `part` of the name (':' between parts), or field of its first part ('_'). */
static const struct {
    const char *name;
    int part, field;
    size_t start, length; /* length 0: all of it */
} sundew_fields[] = {
    {"T1", 0, 0, 0, 1},  {"T2", 0, 0, 1, 1},   {"A1", 0, 0, 2, 1},    {"A2", 0, 0, 3, 1},
    {"ii", 0, 0, 4, 2},  {"CCCC", 0, 1, 0, 0}, {"YY", 0, 2, 0, 2},    {"GG", 0, 2, 2, 2},
    {"Gg", 0, 2, 4, 2},  {"BBB", 0, 3, 0, 3},  {"RYYYY", 6, 0, 0, 4}, {"RMM", 6, 0, 4, 2},
    {"RDD", 6, 0, 6, 2}, {"RHH", 6, 0, 8, 2},  {"RMN", 6, 0, 10, 2},  {"RSS", 6, 0, 12, 2},
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
    for (size_t i = 0; i < COUNT_OF(sundew_fields); i++) {
        if (strcmp(name, sundew_fields[i].name) != 0)
            continue;
        add(template, SUNDEW)->number = i;
        return true;
    }
    return false;
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

/* Empty components vanish, and a '/' at the end. */
static void squeeze(char *path)
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
    squeeze(root);
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

/* ---- expanding ---- */

/* A text that grows in an arena. */
struct builder {
    struct arena *arena;
    char *bytes;
    size_t length, room;
};

static void put_bytes(struct builder *builder, const char *bytes, size_t length)
{
    if (builder->room - builder->length <= length) {
        size_t room = 2 * (builder->length + length) + 64;
        char *bigger = arena_take(builder->arena, room);

        if (builder->length)
            memcpy(bigger, builder->bytes, builder->length);
        builder->bytes = bigger;
        builder->room = room;
    }
    if (length)
        memcpy(builder->bytes + builder->length, bytes, length);
    builder->length += length;
    builder->bytes[builder->length] = '\0';
}

static void put_text(struct builder *builder, const char *text)
{
    put_bytes(builder, text, strlen(text));
}

/* What came from outside loses its '$', as every directory does in sr3. */
static void put_announced(struct builder *builder, const char *text, size_t length)
{
    const char *end = text + length;

    while (text < end) {
        const char *dollar = memchr(text, '$', (size_t)(end - text));
        size_t run = (size_t)((dollar ? dollar : end) - text);

        put_bytes(builder, text, run);
        text += run + 1;
    }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the operator writes it */
static size_t print_time(char text[DATE_SIZE], const char *format, const struct tm *parts)
{
    return strftime(text, DATE_SIZE, format, parts);
}
#pragma GCC diagnostic pop

/* Microseconds are Python's addition to strftime; times here have no zone, so its zones are "". */
static void print_date(const struct segment *segment, int64_t now_ns, char text[DATE_SIZE])
{
    char format[DATE_SIZE], *to = format, *end = format + sizeof(format) - 8;
    int64_t ns = now_ns + segment->offset_ms * NS_PER_MS;
    time_t s = (time_t)(ns / NS_PER_S - (ns % NS_PER_S < 0));
    long us = (long)((ns - (int64_t)s * NS_PER_S) / 1000);
    struct tm parts = {0};

    for (const char *from = segment->text; *from && to < end; from++) {
        if (from[0] != '%' || !from[1]) {
            *to++ = *from;
        } else if (from[1] == 'f') {
            to += snprintf(to, sizeof("000000"), "%06ld", us);
            from++;
        } else if (from[1] == 'z' || from[1] == 'Z') {
            from++;
        } else {
            *to++ = *from++;
            *to++ = *from;
        }
    }
    *to = '\0';
    if (!(segment->utc ? gmtime_r(&s, &parts) : localtime_r(&s, &parts))
        || print_time(text, format, &parts) == 0)
        *text = '\0';
}

static void put_date(struct builder *builder, struct segment *segment, int64_t now_ns)
{
    char text[DATE_SIZE];
    int64_t now_s = now_ns / NS_PER_S;

    if (segment->printed_s != now_s || strstr(segment->text, "%f")) {
        print_date(segment, now_ns, text);
        memory_replace(&segment->printed, memory_copy(text));
        segment->printed_s = now_s;
    }
    put_text(builder, segment->printed);
}

static void put_group(struct builder *builder, size_t number, const struct template_input *input)
{
    const struct template_match *match = input->match;
    char missing[32];

    if (match && match->everything && number == 0) {
        const char *url = announcement_match_url(input->announcement);

        put_announced(builder, url, strlen(url));
    } else if (match && number < match->count) {
        const size_t *at = match->offsets + 2 * number;

        if (at[0] < at[1]) /* one that took no part is empty */
            put_announced(builder, match->text + at[0], at[1] - at[0]);
    } else {
        snprintf(missing, sizeof(missing), "{%zu}", number);
        put_text(builder, missing);
    }
}

/* The end of `count` pieces of `text` separated by `separator`: where piece `count` begins. */
static const char *piece_of(const char *text, int count, char separator)
{
    while (text && count-- > 0) {
        text = strchr(text, separator);
        text = text ? text + 1 : NULL;
    }
    return text;
}

static bool put_sundew(struct builder *builder, size_t row, const struct template_input *input,
                       struct error *err)
{
    size_t start = sundew_fields[row].start, length = sundew_fields[row].length, all;
    char received[DATE_SIZE];
    const char *file = input->file, *piece = piece_of(file, sundew_fields[row].part, ':');

    if (sundew_fields[row].part > 0 && !piece) { /* the sender did not say: when we received it */
        print_date(&(struct segment){.text = (char[]){"%Y%m%d%H%M%S"}, .utc = true},
                   input->announcement->received_ns, received);
        piece = received;
    }
    all = strcspn(piece, ":");
    if (sundew_fields[row].part == 0) {
        const char *field = piece_of(piece, sundew_fields[row].field, '_');

        if (!field || field > piece + all)
            return error_set(err, ERROR_PERMANENT, "'%.100s' has no field for ${%s}", file,
                             sundew_fields[row].name);
        piece = field;
        all = strcspn(piece, ":_");
    }
    start = start < all ? start : all;
    length = length && length < all - start ? length : all - start;
    put_announced(builder, piece + start, length);
    return true;
}

static void put_base_path(struct builder *builder, const struct announcement *announcement,
                          bool last)
{
    struct slice path = announcement_base_path(announcement);
    const char *slash = last && path.length ? memrchr(path.bytes, '/', path.length) : NULL;

    if (slash)
        path = (struct slice){slash + 1, path.length - (size_t)(slash + 1 - path.bytes)};
    put_announced(builder, path.bytes, path.length);
}

static void put_source(struct builder *builder, const char *source)
{
    source = source ? source : "{SOURCE}";
    put_announced(builder, source, strlen(source));
}

static const char *source_of_exchange(const char *exchange)
{
    return exchange && strncmp(exchange, "xs_", 3) == 0 && exchange[3] ? exchange + 3 : NULL;
}

static bool put_segment(struct builder *builder, struct segment *segment,
                        const struct template_input *input, struct error *err)
{
    switch (segment->kind) {
    case LITERAL:
        put_text(builder, segment->text);
        break;
    case DATE:
        put_date(builder, segment, input->announcement->received_ns);
        break;
    case GROUP:
        put_group(builder, segment->number, input);
        break;
    case SOURCE:
        put_source(builder, input->announcement->source);
        break;
    case EXCHANGE:
        put_source(builder, source_of_exchange(input->announcement->exchange));
        break;
    case BASE_PATH:
    case BASE_PATH_LAST:
        put_base_path(builder, input->announcement, segment->kind == BASE_PATH_LAST);
        break;
    case SUNDEW:
        return put_sundew(builder, segment->number, input, err);
    }
    return true;
}

/* NULL and `err` when the announcement lacks what a segment asks for. */
static char *put_segments(struct template *template, size_t from, size_t to,
                          const struct template_input *input, struct error *err)
{
    struct builder builder = {.arena = &input->announcement->arena};

    put_bytes(&builder, "", 0);
    for (size_t i = from; i < to; i++)
        if (!put_segment(&builder, &template->segments[i], input, err))
            return NULL;
    return builder.bytes;
}

bool template_expand(struct template *template, const struct template_input *input,
                     const char **root, const char **rest, struct error *err)
{
    *root = template->fixed_root;
    *rest = "";
    if (!*root) {
        char *text = put_segments(template, 0, template->rest, input, err);

        squeeze(text); /* nothing in the root depends on the announcement: it cannot fail */
        *root = text;
    }
    if (template->rest < template->count)
        *rest = put_segments(template, template->rest, template->count, input, err);
    return *rest != NULL;
}
