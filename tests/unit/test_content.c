/* Content that came with announcements: what is read, and what is refused and then fetched. */
#include "content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "envelope.h"

#define JSON "application/json"
#define MEGA (1 << 20)

static bool decode(const char *members, int64_t size_max, char **bytes, size_t *length,
                   struct error *err)
{
    char *body = memory_format("{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"http://h/\","
                               "\"relPath\":\"a/b\"%s}",
                               members);
    struct announcement announcement;
    bool decoded;

    if (!parse_texts(JSON, body, NULL, &announcement, err))
        fail_msg("%s: %s", members, err->text);
    decoded = announcement_decode_content(&announcement, size_max, bytes, length, err);
    announcement_clear(&announcement);
    free(body);
    return decoded;
}

#define CONTENT(encoding, value)                                                                   \
    ",\"content\":{\"encoding\":\"" encoding "\",\"value\":\"" value "\"}"
#define SIZE(size) ",\"size\":" size

static const struct {
    const char *members;
    const char *bytes; /* NULL: refused ... */
    const char *why;   /* ... with this in the text */
} contents[] = {
    {CONTENT("utf-8", "hello"), "hello", NULL},
    {CONTENT("UTF-8", "h\\u00e9llo"), "h\xc3\xa9llo", NULL},
    {CONTENT("utf8", ""), "", NULL},
    {CONTENT("utf-8", "hello") SIZE("5"), "hello", NULL},
    {CONTENT("utf-8", "h\\u00e9llo") SIZE("6"), "h\xc3\xa9llo", NULL},
    {CONTENT("utf-8", "hello") SIZE("0"), "hello", NULL},
    {CONTENT("utf-8", "hello") SIZE("6"), NULL, "5 bytes, announced were 6"},
    {CONTENT("iso-8859-1", "h\\u00e9llo") SIZE("5"), "h\xe9llo", NULL},
    {CONTENT("latin-1", "\\u00ff"), "\xff", NULL},
    {CONTENT("ISO8859-1", "\\u20ac"), NULL, "characters that its character set has not"},
    {CONTENT("iso-8859-15", "\\u20ac"), "\xa4", NULL},
    {CONTENT("cp1252", "\\u20ac"), "\x80", NULL},
    {CONTENT("ascii", "a"), "a", NULL},
    {CONTENT("ascii", "\\u00e9"), NULL, "characters that its character set has not"},
    {CONTENT("utf-7", "a"), NULL, "unknown encoding 'utf-7'"},
    {CONTENT("utf-8//IGNORE", "a"), NULL, "unknown encoding"},
    {CONTENT("", "a"), NULL, "unknown encoding ''"},
    {CONTENT("base64", "aGVsbG8="), "hello", NULL},
    {CONTENT("Base64", "aGVsbG8=") SIZE("5"), "hello", NULL},
    {CONTENT("base64", "aGVs\\nbG8=\\n"), "hello", NULL},
    {CONTENT("base64", "aGVsbG8h"), "hello!", NULL},
    {CONTENT("base64", "aGVsbA=="), "hell", NULL},
    {CONTENT("base64", "/+8="), "\xff\xef", NULL},
    {CONTENT("base64", ""), "", NULL},
    {CONTENT("base64", "aGVsbG8"), NULL, "cut off"},
    {CONTENT("base64", "aGVsbG8=="), NULL, "not base64"},
    {CONTENT("base64", "aGVsb"), NULL, "cut off"},
    {CONTENT("base64", "aGVsbG8=aGVs"), NULL, "not base64"},
    {CONTENT("base64", "aGVs*G8="), NULL, "not base64"},
    {CONTENT("base64", "_-8="), NULL, "not base64"},
    {CONTENT("base64", "===="), NULL, "not base64"},
    {CONTENT("base64", "aGVsbG8=") SIZE("8"), NULL, "announced were 8"},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA=="), "hello", NULL},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==") SIZE("5"), "hello", NULL},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA==") SIZE("25"), NULL, "announced"},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAA"), NULL, "not gzip, or was cut off"},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAAAA"), NULL, "not gzip"},
    {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA3BQAAAA=="), NULL, "not gzip"},
    {CONTENT("gzip", "aGVsbG8="), NULL, "not gzip"},
    {CONTENT("gzip", ""), NULL, "not gzip"},
    {CONTENT("gzip", "hello!"), NULL, "not base64"},
    {"", NULL, "there is none"},
    {",\"content\":\"hello\"", NULL, "there is none"},
    {",\"content\":{\"value\":\"hello\"}", NULL, "no text with an encoding"},
    {",\"content\":{\"encoding\":\"utf-8\"}", NULL, "no text with an encoding"},
    {",\"content\":{\"encoding\":\"utf-8\",\"value\":5}", NULL, "no text with an encoding"},
    {",\"content\":{\"encoding\":5,\"value\":\"a\"}", NULL, "no text with an encoding"},
};

static void contents_are_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(contents); i++) {
        struct error err = {0};
        char *bytes;
        size_t length;
        bool decoded = decode(contents[i].members, 0, &bytes, &length, &err);

        if (decoded != (contents[i].bytes != NULL))
            fail_msg("%s: '%s'", contents[i].members, err.text);
        if (decoded
            && (length != strlen(contents[i].bytes) || strcmp(bytes, contents[i].bytes) != 0))
            fail_msg("%s: got '%s'", contents[i].members, bytes);
        if (!decoded && (err.kind != ERROR_PERMANENT || !strstr(err.text, contents[i].why)))
            fail_msg("%s: error '%s'", contents[i].members, err.text);
        if (!decoded && (bytes || length))
            fail_msg("%s: bytes in spite of the error", contents[i].members);
        free(bytes);
    }
}

static void limits_are_kept(void **state)
{
    static const struct {
        const char *members;
        int64_t size_max;
        bool decoded;
    } rows[] = {
        {CONTENT("utf-8", "hello"), 5, true},
        {CONTENT("utf-8", "hello"), 4, false},
        {CONTENT("base64", "aGVsbG8="), 5, true},
        {CONTENT("base64", "aGVsbG8="), 4, false},
        {CONTENT("latin1", "\\u00e9"), 1, true},
        {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA=="), 5, true},
        {CONTENT("gzip", "H4sIAAAAAAACA8tIzcnJBwCGphA2BQAAAA=="), 4, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = {0};
        char *bytes;
        size_t length;

        if (decode(rows[i].members, rows[i].size_max, &bytes, &length, &err) != rows[i].decoded)
            fail_msg("row %zu: %s", i, err.text);
        free(bytes);
    }
}

/* ---- gzip that is made here ---- */

static char *print_base64(const unsigned char *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = memory_new(length * 4 / 3 + 8), *to = text;

    for (size_t i = 0; i < length; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 | (i + 1 < length ? bytes[i + 1] << 8 : 0)
                         | (i + 2 < length ? bytes[i + 2] : 0);

        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
        *to++ = i + 2 < length ? digits[group & 63] : '=';
    }
    return text;
}

static char *pack(const unsigned char *bytes, size_t length)
{
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)bytes, .avail_in = (unsigned)length};
    unsigned char *packed = memory_new(length + 1024);
    char *text;

    stream.next_out = packed;
    stream.avail_out = (unsigned)length + 1024;
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    text = print_base64(packed, stream.total_out);
    deflateEnd(&stream);
    free(packed);
    return text;
}

static bool unpacks(const unsigned char *bytes, size_t length)
{
    char *text = pack(bytes, length), *got;
    struct announcement announcement = {.content_encoding = "gzip",
                                        .content = {text, strlen(text)}};
    struct error err = {0};
    size_t got_length;
    bool unpacked = announcement_decode_content(&announcement, 0, &got, &got_length, &err);

    if (unpacked && (got_length != length || memcmp(got, bytes, length) != 0))
        fail_msg("%zu bytes were unpacked as %zu other ones", length, got_length);
    free(got);
    free(text);
    return unpacked;
}

static void what_explodes_is_refused(void **state)
{
    unsigned char *zeros = memory_new(17 * MEGA), *noise = memory_new(17 * MEGA);
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < 17 * MEGA; i++) {
        random = random * 1664525 + 1013904223;
        noise[i] = (unsigned char)(random >> 24 & 0x3F);
    }
    assert_true(unpacks(zeros, 60000));
    assert_false(unpacks(zeros, MEGA));
    assert_false(unpacks(zeros, 17 * MEGA));
    assert_true(unpacks(noise, MEGA));
    assert_true(unpacks(noise, CONTENT_SIZE_MAX));
    assert_false(unpacks(noise, CONTENT_SIZE_MAX + 1));
    free(zeros);
    free(noise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_are_decoded),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(what_explodes_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
