/*
 * Templates with an announcement put in. Dates are printed once per second; what announcements
 * bring is never searched for variables.
 */
#include "stages/template_parts.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DATE_SIZE 512

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

bool template_find_sundew(const char *name, size_t *row)
{
    for (*row = 0; *row < COUNT_OF(sundew_fields); ++*row)
        if (strcmp(name, sundew_fields[*row].name) == 0)
            return true;
    return false;
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

        template_squeeze(
            text); /* nothing in the root depends on the announcement: it cannot fail */
        *root = text;
    }
    if (template->rest < template->count)
        *rest = put_segments(template, template->rest, template->count, input, err);
    return *rest != NULL;
}
