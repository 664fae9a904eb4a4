/*
 * Announcements in the one form that all wire formats are read into.
 *
 * Here is what does not depend on the format: which one it is, the checks that every announcement
 * must pass, and the texts derived from it. Where a file goes on disk is left to the filter.
 */
#include "announcement.h"

#include "base/clock.h"

#include <string.h>
#include <strings.h>

#define BODY_SIZE_MAX  (1 << 20)
#define SIZE_MAX_EXACT (1LL << 53) /* beyond it JSON readers disagree about integers */
#define AHEAD_MOST_NS  (300 * NS_PER_S)

enum wire_format { WIRE_V02, WIRE_V03, WIRE_WIS, WIRE_UNKNOWN };

static bool slice_is(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && strncasecmp(slice.bytes, text, slice.length) == 0;
}

/* Without parameters ("; charset=utf-8") and blanks. */
static struct slice media_type(struct slice type)
{
    const char *end = type.length ? memchr(type.bytes, ';', type.length) : NULL;

    if (end)
        type.length = (size_t)(end - type.bytes);
    while (type.length && type.bytes[type.length - 1] == ' ')
        type.length--;
    for (; type.length && *type.bytes == ' '; type.length--)
        type.bytes++;
    return type;
}

static bool body_is_object(struct slice body)
{
    size_t at = 0;

    while (at < body.length && memchr(" \t\r\n", body.bytes[at], 4))
        at++;
    return at < body.length && body.bytes[at] == '{';
}

static bool topic_header_is_v02(const struct envelope *envelope)
{
    for (size_t i = 0; i < envelope->header_count; i++) {
        const struct envelope_header *header = &envelope->headers[i];

        if (slice_is(header->name, "topic"))
            return header->value.length >= 4 && memcmp(header->value.bytes, "v02.", 4) == 0;
    }
    return false;
}

static enum wire_format wire_format(const struct envelope *envelope)
{
    struct slice type = media_type(envelope->content_type), body = envelope->body;
    size_t head = body.length < 5 ? body.length : 5;

    if (slice_is(type, "application/geo+json"))
        return WIRE_WIS;
    if (slice_is(type, "application/json"))
        return WIRE_V03;
    if (slice_is(type, "text/plain"))
        return WIRE_V02;
    if (body_is_object(body))
        return WIRE_V03; /* whose reader recognises what is wis */
    if (!head || !memchr(body.bytes, '{', head) || topic_header_is_v02(envelope))
        return WIRE_V02;
    return WIRE_UNKNOWN;
}

/* The length of the UTF-8 character at `at`, 0 when it is none: overlong, a surrogate, cut off. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0], low = 0x80, high = 0xBF;
    size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    if (length == 0 || length > left || lead > 0xF4)
        return 0;
    if (length == 1)
        return 1;
    low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

/* Eight bytes at once: none zero, none beyond ASCII. */
static bool is_plain_word(const unsigned char *at)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return ((word | (word - ones)) & highs) == 0;
}

bool announcement_text_is_valid(struct slice text)
{
    const unsigned char *at = (const unsigned char *)text.bytes;
    size_t left = text.length;

    while (left) {
        size_t length = left >= 8 && is_plain_word(at) ? 8 : utf8_length(at, left);

        if (length == 0 || *at == '\0')
            return false;
        at += length;
        left -= length;
    }
    return true;
}

static char decoded_as(const char *at, size_t left, const char *codes)
{
    if (left < 3 || at[0] != '%' || at[1] != '2')
        return '\0';
    for (; *codes; codes += 2)
        if (codes[0] == at[2])
            return codes[1];
    return '\0';
}

char *announcement_decode(struct arena *arena, struct slice text, const char *codes)
{
    char *copy = arena_copy(arena, text.bytes, text.length), *to;
    const char *from, *end = copy + text.length;

    if (!text.length || !memchr(copy, '%', text.length))
        return copy;
    for (from = to = copy; from < end; to++) {
        char decoded = decoded_as(from, (size_t)(end - from), codes);

        *to = decoded ? decoded : *from;
        from += decoded ? 3 : 1;
    }
    *to = '\0';
    return copy;
}

bool announcement_set_size(struct announcement *announcement, struct slice digits)
{
    int64_t size = 0;

    for (size_t i = 0; i < digits.length; i++) {
        if (digits.bytes[i] < '0' || digits.bytes[i] > '9')
            return false;
        size = size * 10 + digits.bytes[i] - '0';
        if (size > SIZE_MAX_EXACT)
            return false;
    }
    if (digits.length == 0)
        return false;
    announcement->size_bytes = size;
    announcement->has_size = true;
    return true;
}

bool announcement_split_parts(struct slice parts, struct slice *method, struct slice *size)
{
    struct slice fields[5];
    size_t count = 0, start = 0;

    for (size_t i = 0; i <= parts.length; i++) {
        if (i < parts.length && parts.bytes[i] != ',')
            continue;
        if (count == COUNT_OF(fields))
            return false;
        fields[count++] = (struct slice){parts.bytes + start, i - start};
        start = i + 1;
    }
    if (count != COUNT_OF(fields))
        return false;
    *method = fields[0];
    *size = fields[1];
    return true;
}

void announcement_set_identity(struct announcement *announcement, const char *method,
                               struct slice value)
{
    char *copy, *to;

    if (!*method)
        return;
    copy = to = arena_take(&announcement->arena, value.length + 1);
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] != '\n')
            *to++ = value.bytes[i];
    *to = '\0';
    if (!*copy)
        return;
    announcement->identity_method = method;
    announcement->identity_value = copy;
}

void announcement_set_mode(struct announcement *announcement, const char *octal)
{
    const char *at = octal;
    int mode = 0;

    if (at[0] == '0' && (at[1] == 'o' || at[1] == 'O'))
        at += 2;
    if (!*at || strlen(at) > 8)
        return;
    for (; *at; at++) {
        if (*at < '0' || *at > '7')
            return;
        mode = mode * 8 + *at - '0';
    }
    announcement->mode = mode & 0777; /* not set-user-id: that is not a stranger's to give */
}

void announcement_set_atime(struct announcement *announcement, const char *time)
{
    if (!clock_parse(time, &announcement->atime_ns))
        announcement->atime_ns = -1;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return true;
    return false;
}

static bool malformed(struct error *err, const char *what)
{
    return error_set(err, ERROR_PERMANENT, "read announcement: %s", what);
}

static bool is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* The length of "name" in "name://", 0 without such a beginning. */
static size_t scheme_length(const char *url)
{
    size_t length = 0;

    while (is_alphanumeric((unsigned char)url[length])
           || (url[length] && strchr("+-.", url[length])))
        length++;
    if (strncmp(url + length, "://", 3) == 0 || (length == 4 && strncmp(url, "file:/", 6) == 0))
        return length;
    return 0;
}

static bool fill_envelope(const struct envelope *envelope, struct announcement *announcement,
                          struct error *err)
{
    struct arena *arena = &announcement->arena;

    if (!announcement_text_is_valid(envelope->exchange)
        || !announcement_text_is_valid(envelope->routing_key))
        return malformed(err, "exchange or routing key is not UTF-8");
    announcement->exchange = arena_copy(arena, envelope->exchange.bytes, envelope->exchange.length);
    announcement->routing_key = announcement_decode(arena, envelope->routing_key, "3#2*");
    return true;
}

static bool check_common(struct announcement *announcement, struct error *err)
{
    if (!announcement->pub_time)
        return malformed(err, "pubTime is missing");
    if (!clock_parse(announcement->pub_time, &announcement->pub_time_ns))
        return error_set(err, ERROR_PERMANENT, "read announcement: pubTime '%.40s' is no time",
                         announcement->pub_time);
    if (!announcement->base_url || !*announcement->base_url)
        return malformed(err, "baseUrl is missing");
    if (!announcement->rel_path)
        return malformed(err, "relPath is missing");
    if (has_control(announcement->base_url) || has_control(announcement->rel_path))
        return malformed(err, "control character in baseUrl or relPath");
    if (announcement->rename && has_control(announcement->rename))
        return malformed(err, "control character in rename");
    if (announcement->sundew_extension && has_control(announcement->sundew_extension))
        return malformed(err, "control character in sundew_extension");
    if (!scheme_length(announcement->base_url))
        return error_set(err, ERROR_PERMANENT, "read announcement: baseUrl '%.200s' has no scheme",
                         announcement->base_url);
    if (announcement->mtime && !clock_parse(announcement->mtime, &announcement->mtime_ns)) {
        announcement->mtime = NULL;
        announcement->mtime_ns = -1;
    }
    return true;
}

static bool read_wire(const struct envelope *envelope, struct announcement *announcement,
                      struct error *err)
{
    if (envelope->body.length > BODY_SIZE_MAX)
        return malformed(err, "body is larger than 1 MiB");
    switch (wire_format(envelope)) {
    case WIRE_V02:
        announcement->format = ANNOUNCEMENT_V02;
        return v02_parse(envelope, announcement, err);
    case WIRE_V03:
        announcement->format = ANNOUNCEMENT_V03;
        return v03_parse(envelope, announcement, err);
    case WIRE_WIS:
        return malformed(err, "wis announcements are not read by this version");
    case WIRE_UNKNOWN:
        break;
    }
    return malformed(err, "neither v02 nor v03");
}

static struct slice copy_slice(struct slice from, struct arena *arena)
{
    return (struct slice){arena_copy(arena, from.bytes, from.length), from.length};
}

void envelope_copy(const struct envelope *from, struct arena *arena, struct envelope *to)
{
    struct envelope_header *headers = arena_take(arena, from->header_count * sizeof(*headers));

    for (size_t i = 0; i < from->header_count; i++)
        headers[i] = (struct envelope_header){copy_slice(from->headers[i].name, arena),
                                              copy_slice(from->headers[i].value, arena)};
    *to = (struct envelope){
        .content_type = copy_slice(from->content_type, arena),
        .exchange = copy_slice(from->exchange, arena),
        .routing_key = copy_slice(from->routing_key, arena),
        .headers = headers,
        .header_count = from->header_count,
        .body = copy_slice(from->body, arena),
    };
}

bool announcement_parse(const struct envelope *envelope, struct announcement *announcement,
                        struct error *err)
{
    *announcement = (struct announcement){
        .received_ns = clock_wall_ns(), .mtime_ns = -1, .atime_ns = -1, .mode = -1};
    if (read_wire(envelope, announcement, err) && fill_envelope(envelope, announcement, err)
        && check_common(announcement, err))
        return true;
    announcement_clear(announcement);
    return false;
}

void announcement_clear(struct announcement *announcement)
{
    arena_clear(&announcement->arena);
    *announcement = (struct announcement){.mtime_ns = -1, .atime_ns = -1, .mode = -1};
}

static char *put(char *to, const char *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

char *announcement_match_url(struct announcement *announcement)
{
    const char *path = announcement->rel_path;
    size_t base_length = strlen(announcement->base_url), path_length = strlen(path);
    char *url = arena_take(&announcement->arena, base_length + path_length + 2), *to;

    to = put(url, announcement->base_url, base_length);
    if (to[-1] != '/')
        *to++ = '/';
    if (*path == '/') {
        path++;
        path_length--;
    }
    *put(to, path, path_length) = '\0';
    return url;
}

struct slice announcement_base_path(const struct announcement *announcement)
{
    const char *start = announcement->base_url + scheme_length(announcement->base_url);

    start += strncmp(start, "://", 3) == 0 ? 3 : 0;
    start += strcspn(start, "/?#");
    return (struct slice){start, strcspn(start, "?#")};
}

static const char *key_of_path_and_time(struct announcement *announcement)
{
    const char *time = announcement->mtime ? announcement->mtime : announcement->pub_time;

    if (!announcement->has_size)
        return arena_format(&announcement->arena, "%s,%s", announcement->raw_rel_path, time);
    return arena_format(&announcement->arena, "%s,%s,%lld", announcement->raw_rel_path, time,
                        (long long)announcement->size_bytes);
}

static const char *key_of_content(struct announcement *announcement)
{
    const struct file_op *op = &announcement->file_op;

    if (op->present) {
        if (op->link)
            return op->link_key ? op->link_key : op->link;
        return op->directory && !op->remove ? announcement->raw_rel_path : "";
    }
    if (!announcement->identity_method || strcmp(announcement->identity_method, "cod") == 0)
        return "";
    return arena_format(&announcement->arena, "%s,%s", announcement->identity_method,
                        announcement->identity_value);
}

static const char *raw_name(const struct announcement *announcement)
{
    const char *slash = strrchr(announcement->raw_rel_path, '/');

    return slash ? slash + 1 : announcement->raw_rel_path;
}

int64_t announcement_version_ns(const struct announcement *announcement)
{
    int64_t latest_ns = announcement->received_ns + AHEAD_MOST_NS;

    return announcement->pub_time_ns < latest_ns ? announcement->pub_time_ns : latest_ns;
}

void announcement_duplicate_key(struct announcement *announcement, enum announcement_basis basis,
                                const char **key, const char **path)
{
    const char *raw = announcement->raw_rel_path;

    switch (basis) {
    case ANNOUNCEMENT_BY_PATH:
        *key = key_of_content(announcement);
        *path = raw + strspn(raw, "/");
        break;
    case ANNOUNCEMENT_BY_DATA:
        *key = key_of_content(announcement);
        *path = "data";
        break;
    case ANNOUNCEMENT_BY_NAME:
        *key = *path = raw_name(announcement);
        break;
    }
    if (!**key)
        *key = key_of_path_and_time(announcement);
}
