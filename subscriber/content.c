/*
 * Reader of content in announcements. It comes from strangers: what it may grow to is known before
 * anything grows.
 */
#include "content.h"

#include <errno.h>
#include <iconv.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define RATIO_MAX   100 /* whatever is packed better than that is fetched, or made to explode */
#define RATIO_FREE  (1 << 16)
#define GZIP_WINDOW (15 + 16)

struct buffer {
    char *bytes;
    size_t length;
};

static bool unreadable(struct error *err, const char *why)
{
    return error_set(err, ERROR_PERMANENT, "read content: %s", why);
}

/* ---- base64 ---- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(char c)
{
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

/* Only padding and blanks may follow, and as much padding as `digits` ask for. */
static bool ends_well(struct slice text, size_t at, size_t digits)
{
    size_t padding = 0;

    for (; at < text.length; at++) {
        if (!is_blank(text.bytes[at]) && text.bytes[at] != '=')
            return false;
        padding += text.bytes[at] == '=';
    }
    return digits % 4 != 1 && padding == (4 - digits % 4) % 4;
}

static bool decode_base64(struct slice text, size_t size_max, struct buffer *to, struct error *err)
{
    size_t digits = 0, at = 0;
    unsigned group = 0;

    to->bytes = memory_new(text.length / 4 * 3 + 4);
    for (; at < text.length && text.bytes[at] != '='; at++) {
        int value = base64_value(text.bytes[at]);

        if (value < 0 && is_blank(text.bytes[at]))
            continue;
        if (value < 0)
            return unreadable(err, "it is not base64");
        group = group << 6 | (unsigned)value;
        if (digits++ % 4 > 0)
            to->bytes[to->length++] = (char)(group >> (6 - (digits - 1) % 4 * 2));
    }
    if (!ends_well(text, at, digits))
        return unreadable(err, "it is not base64, or was cut off");
    if (to->length > size_max)
        return unreadable(err, "it is too large");
    return true;
}

/* ---- gzip ---- */

static size_t unpacked_max(size_t packed, size_t size_max)
{
    size_t most =
        packed > (SIZE_MAX - RATIO_FREE) / RATIO_MAX ? size_max : packed * RATIO_MAX + RATIO_FREE;

    return most < size_max ? most : size_max;
}

/* One byte more than there may be tells too much from just enough. */
static bool inflate_all(z_stream *stream, const struct buffer *packed, size_t most,
                        struct buffer *to, struct error *err)
{
    size_t room = 0;
    int status = Z_OK;

    stream->next_in = (unsigned char *)packed->bytes;
    stream->avail_in = (unsigned)packed->length;
    while (status == Z_OK) {
        if (to->length == room) {
            room = room ? room * 2 : packed->length * 4 + 64;
            room = room < most + 1 ? room : most + 1;
            to->bytes = memory_resize(to->bytes, room + 1, 1);
        }
        stream->next_out = (unsigned char *)to->bytes + to->length;
        stream->avail_out = (unsigned)(room - to->length);
        status = inflate(stream, Z_NO_FLUSH);
        to->length = room - stream->avail_out;
        if (to->length > most)
            return unreadable(err, "it unpacks to more than is allowed");
    }
    if (status != Z_STREAM_END || stream->avail_in)
        return unreadable(err, "it is not gzip, or was cut off");
    to->bytes[to->length] = '\0';
    return true;
}

static bool unpack(const struct buffer *packed, size_t size_max, struct buffer *to,
                   struct error *err)
{
    z_stream stream = {0};
    bool unpacked;

    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return unreadable(err, "no memory to unpack it");
    unpacked = inflate_all(&stream, packed, unpacked_max(packed->length, size_max), to, err);
    inflateEnd(&stream);
    return unpacked;
}

static bool decode_gzip(struct slice text, size_t size_max, struct buffer *to, struct error *err)
{
    struct buffer packed = {NULL, 0};
    bool decoded =
        decode_base64(text, CONTENT_SIZE_MAX, &packed, err) && unpack(&packed, size_max, to, err);

    free(packed.bytes);
    return decoded;
}

/* ---- character sets ---- */

/* As Python calls them, and as iconv() does; none needs more room than UTF-8. */
static const struct {
    const char *name, *known_as;
} charsets[] = {
    {"utf-8", NULL},
    {"utf8", NULL},
    {"ascii", "ASCII"},
    {"us-ascii", "ASCII"},
    {"iso-8859-1", "ISO-8859-1"},
    {"iso8859-1", "ISO-8859-1"},
    {"latin-1", "ISO-8859-1"},
    {"latin1", "ISO-8859-1"},
    {"iso-8859-2", "ISO-8859-2"},
    {"iso-8859-15", "ISO-8859-15"},
    {"windows-1252", "WINDOWS-1252"},
    {"cp1252", "WINDOWS-1252"},
};

/* Nothing is left out and nothing replaced by what looks alike. */
static bool convert(iconv_t converter, struct slice text, struct buffer *to)
{
    char *from = (char *)(uintptr_t)text.bytes, *end = to->bytes;
    size_t left = text.length, room = text.length;

    if (iconv(converter, &from, &left, &end, &room) != 0)
        return false;
    to->length = (size_t)(end - to->bytes);
    return true;
}

static bool decode_charset(struct slice text, const char *charset, size_t size_max,
                           struct buffer *to, struct error *err)
{
    iconv_t converter;
    bool converted;

    to->bytes = memory_new(text.length + 1);
    if (!charset) {
        memcpy(to->bytes, text.bytes, text.length);
        to->length = text.length;
    } else {
        converter = iconv_open(charset, "UTF-8");
        if (converter == (iconv_t)-1)
            return unreadable(err, "this system does not know its character set");
        converted = convert(converter, text, to);
        iconv_close(converter);
        if (!converted)
            return unreadable(err, "it has characters that its character set has not");
    }
    return to->length <= size_max || unreadable(err, "it is too large");
}

/* ---- all of them ---- */

static bool decode(const struct announcement *announcement, size_t size_max, struct buffer *to,
                   struct error *err)
{
    const char *encoding = announcement->content_encoding;

    if (strcasecmp(encoding, "base64") == 0)
        return decode_base64(announcement->content, size_max, to, err);
    if (strcasecmp(encoding, "gzip") == 0)
        return decode_gzip(announcement->content, size_max, to, err);
    for (size_t i = 0; i < COUNT_OF(charsets); i++)
        if (strcasecmp(encoding, charsets[i].name) == 0)
            return decode_charset(announcement->content, charsets[i].known_as, size_max, to, err);
    return error_set(err, ERROR_PERMANENT, "read content: unknown encoding '%.40s'", encoding);
}

static bool has_announced_size(const struct announcement *announcement, size_t length,
                               struct error *err)
{
    if (announcement->size_bytes <= 0 || (uint64_t)announcement->size_bytes == length)
        return true;
    return error_set(err, ERROR_PERMANENT, "read content: %zu bytes, announced were %" PRId64,
                     length, announcement->size_bytes);
}

bool announcement_decode_content(const struct announcement *announcement, int64_t size_max,
                                 char **bytes, size_t *length, struct error *err)
{
    bool limited = size_max > 0 && size_max < CONTENT_SIZE_MAX;
    struct buffer buffer = {NULL, 0};

    *bytes = NULL;
    *length = 0;
    if (!announcement->content_encoding)
        return unreadable(err, "there is none, or it is no text with an encoding");
    if (!decode(announcement, limited ? (size_t)size_max : CONTENT_SIZE_MAX, &buffer, err)
        || !has_announced_size(announcement, buffer.length, err)) {
        free(buffer.bytes);
        return false;
    }
    *bytes = buffer.bytes;
    *length = buffer.length;
    return true;
}
