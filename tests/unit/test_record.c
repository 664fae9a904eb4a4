/* Records: whatever an announcement holds comes back as it was; what is none is refused. */
#include "record.h"

#include "base/clock.h"
#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define T0 1735790592751000000

static void expect_same(const char *what, struct slice a, struct slice b)
{
    if (a.length != b.length || (a.length && memcmp(a.bytes, b.bytes, a.length) != 0))
        fail_msg("%s: %zu bytes '%.*s' became %zu bytes '%.*s'", what, a.length, (int)a.length,
                 a.bytes, b.length, (int)b.length, b.bytes);
}

static void expect_same_envelope(const struct envelope *a, const struct envelope *b)
{
    expect_same("content type", a->content_type, b->content_type);
    expect_same("exchange", a->exchange, b->exchange);
    expect_same("topic", a->routing_key, b->routing_key);
    expect_same("body", a->body, b->body);
    assert_int_equal(a->header_count, b->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        expect_same("header name", a->headers[i].name, b->headers[i].name);
        expect_same("header", a->headers[i].value, b->headers[i].value);
    }
}

static void parse_own(const char *text, struct record *record)
{
    struct error err = {0};

    if (!record_parse(text, strlen(text), record, &err))
        fail_msg("%s: %s", err.text, text);
}

static void records_are_printed_as_documented(void **state)
{
    static const char *const texts[] = {"sum", "d,735f", "mode", "", NULL};
    struct envelope_header headers[16];
    struct record record = {.received_ns = T0,
                            .first_failure_ns = T0 + NS_PER_S,
                            .tries = 2,
                            .reason = (char[]){"get 'http://h/x': HTTP 503"},
                            .envelope =
                                make_envelope("text/plain", "t u \xc3\xa9\n\"", texts, headers)};
    char *text = record_print(&record);

    (void)state;
    assert_string_equal(text, "{\"v\":1,\"received\":\"20250102T040312.751\","
                              "\"failed\":\"20250102T040313.751\",\"tries\":2,"
                              "\"reason\":\"get 'http://h/x': HTTP 503\",\"exchange\":\"xpublic\","
                              "\"topic\":\"v02.post.a%23.%22b\",\"contentType\":\"text/plain\","
                              "\"headers\":{\"sum\":\"d,735f\",\"mode\":\"\"},"
                              "\"body\":\"t u \xc3\xa9\\n\\\"\"}");
    free(text);
}

static void what_is_unknown_is_left_out(void **state)
{
    struct record record = {0}, again;
    char *text = record_print(&record);

    (void)state;
    assert_string_equal(text, "{\"v\":1}");
    parse_own(text, &again);
    assert_int_equal(again.received_ns, 0);
    assert_null(again.reason);
    assert_int_equal(again.envelope.body.length, 0);
    record_clear(&again);
    free(text);
}

/* Every length up to 64 of bytes that begin with every byte: texts, broken UTF-8, NULs. */
static void every_byte_comes_back(void **state)
{
    char bytes[64];

    (void)state;
    for (int first = 0; first < 256; first++) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(first + (int)i * (first % 7));
        for (size_t length = 0; length <= sizeof(bytes); length += 1 + length / 8) {
            struct envelope_header header = {{"name", 4}, {bytes, length}};
            struct record again, record = {.envelope = {.body = {bytes, length},
                                                        .exchange = {bytes, length},
                                                        .headers = &header,
                                                        .header_count = 1}};
            char *text = record_print(&record);

            parse_own(text, &again);
            expect_same_envelope(&record.envelope, &again.envelope);
            record_clear(&again);
            free(text);
        }
    }
}

/* An error's text is cut at a byte, which may be inside a character. */
static void a_reason_may_be_cut(void **state)
{
    struct record record = {.reason = (char[]){"name \xc3"}, .fingerprint = (char[]){"f"}}, again;
    char *text = record_print(&record);

    (void)state;
    parse_own(text, &again);
    assert_string_equal(again.reason, "name \xc3");
    assert_string_equal(again.fingerprint, "f");
    record_clear(&again);
    free(text);
}

static void names_that_are_no_text_are_left_out(void **state)
{
    struct envelope_header headers[] = {{{"\xff", 1}, {"a", 1}},
                                        {{"n\0m", 3}, {"b", 1}},
                                        {{"x", 1}, {"c", 1}},
                                        {{"x", 1}, {"d", 1}}};
    struct record record = {.envelope = {.headers = headers, .header_count = 4}}, again;
    char *text = record_print(&record);

    (void)state;
    parse_own(text, &again);
    assert_int_equal(again.envelope.header_count, 1);
    expect_same("the last counts", again.envelope.headers[0].value, (struct slice){"d", 1});
    record_clear(&again);
    free(text);
}

static void the_largest_body_comes_back(void **state)
{
    size_t size = 1 << 20;
    char *bytes = memory_new(size);
    struct record record = {.envelope = {.body = {bytes, size}}}, again;
    char *text;

    (void)state;
    for (int byte = 0; byte < 2; byte++) { /* NULs: base64; control characters: six for one */
        memset(bytes, byte, size);
        text = record_print(&record);
        parse_own(text, &again);
        expect_same("body", record.envelope.body, again.envelope.body);
        record_clear(&again);
        free(text);
    }
    free(bytes);
}

static const struct {
    const char *text, *word;
} refused[] = {
    {"", "nothing"},
    {"[]", "not an object"},
    {"\"v\"", "read record"},
    {"{\"v\":1", "read record"},
    {"{\"v\":1} x", "read record"},
    {"{}", "v is not 1"},
    {"{\"v\":2}", "v is not 1"},
    {"{\"v\":\"1\"}", "v is not 1"},
    {"{\"v\":1.0}", "v is not 1"},
    {"{\"v\":1,\"received\":5}", "received is no time"},
    {"{\"v\":1,\"received\":\"yesterday\"}", "received is no time"},
    {"{\"v\":1,\"failed\":\"99990101T000000\"}", "failed is no time"},
    {"{\"v\":1,\"failed\":\"20250230T000000\"}", "failed is no time"},
    {"{\"v\":1,\"tries\":-1}", "tries"},
    {"{\"v\":1,\"tries\":1e3}", "tries"},
    {"{\"v\":1,\"tries\":99999999999}", "tries"},
    {"{\"v\":1,\"tries\":\"2\"}", "tries"},
    {"{\"v\":1,\"reason\":7}", "reason"},
    {"{\"v\":1,\"reason\":{\"base64\":\"AGE=\"}}", "reason has a NUL"},
    {"{\"v\":1,\"headers\":[]}", "headers"},
    {"{\"v\":1,\"headers\":{\"sum\":null}}", "sum is neither"},
    {"{\"v\":1,\"body\":[]}", "body is neither"},
    {"{\"v\":1,\"body\":{}}", "body is neither"},
    {"{\"v\":1,\"body\":{\"base64\":\"AAA\"}}", "body is neither"},
    {"{\"v\":1,\"body\":{\"base64\":\"A===\"}}", "body is neither"},
    {"{\"v\":1,\"body\":{\"base64\":\"AA=A\"}}", "body is neither"},
    {"{\"v\":1,\"body\":{\"base64\":\" AAA\"}}", "body is neither"},
    {"{\"v\":1,\"body\":{\"base64\":\"AA-A\"}}", "body is neither"},
    {"{\"v\":1,\"body\":\"\\u0000\"}", "read record"},
    {"{\"v\":1,\"body\":\"\xff\"}", "read record"},
};

static void what_is_no_record_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct error err = {0};
        struct record record;

        if (record_parse(refused[i].text, strlen(refused[i].text), &record, &err))
            fail_msg("'%s' was read", refused[i].text);
        if (err.kind != ERROR_PERMANENT || !strstr(err.text, refused[i].word))
            fail_msg("'%s': '%s' has no '%s'", refused[i].text, err.text, refused[i].word);
    }
}

static void deep_and_large_texts_are_refused(void **state)
{
    size_t size = (8 << 20) + 1;
    char *text = memory_new(size);
    struct error err = {0};
    struct record record;

    (void)state;
    memset(text, '[', 1000);
    assert_false(record_parse(text, 1000, &record, &err));
    assert_non_null(strstr(err.text, "nested too deep"));
    memset(text, ' ', size);
    assert_false(record_parse_sr3(text, size, &record, &err));
    assert_non_null(strstr(err.text, "larger than 8 MiB"));
    free(text);
}

/* ---- entries of sr3 ---- */

static void parse_sr3(const char *text, struct record *record, struct announcement *announcement)
{
    struct error err = {0};

    if (!record_parse_sr3(text, strlen(text), record, &err)
        || !announcement_parse(&record->envelope, announcement, &err))
        fail_msg("%s: %s", err.text, text);
}

static void captured_entries_are_read(void **state)
{
    FILE *file = fopen(TEST_DATA "/retry/sr3_entries.jsonl", "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int count = 0;

    (void)state;
    assert_non_null(file);
    clock_hold(T0, 1000);
    while ((length = getline(&line, &room, file)) > 0) {
        struct announcement announcement;
        struct record record;

        line[length - 1] = '\0';
        parse_sr3(line, &record, &announcement);
        count++;
        assert_int_equal(record.received_ns, T0);
        assert_int_equal(announcement.format, ANNOUNCEMENT_V03);
        assert_string_equal(announcement.exchange, "xpublic");
        assert_string_equal(announcement.base_url, "http://127.0.0.1:8090");
        assert_string_equal(announcement.identity_method, "sha512");
        assert_int_equal(strlen(announcement.identity_value), 88); /* no newline in it */
        assert_true(announcement.size_bytes > 1000);
        assert_int_equal(announcement.mode, 0664);
        assert_string_equal(announcement.source, "guest");
        assert_int_equal(strncmp(announcement.routing_key, "v03.20251120.WXO-DD.", 20), 0);
        assert_null(strstr(record.envelope.body.bytes, "new_"));
        assert_null(strstr(record.envelope.body.bytes, "py/"));
        announcement_clear(&announcement);
        record_clear(&record);
    }
    clock_hold(-1, -1);
    free(line);
    fclose(file);
    assert_int_equal(count, 5);
}

#define HEAD      "{\"py/object\": \"sarracenia.Message\", "
#define TIME_BASE "\"pubTime\": \"20250102T040312.75\", \"baseUrl\": \"http://h/\", "
#define GOOD      TIME_BASE "\"relPath\": \"a/b/c\", "

static const struct {
    const char *name, *text, *topic, *body;
} entries[] = {
    {"the least", HEAD TIME_BASE "\"relPath\": \"c\"}", "v03",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"c\"}"},
    {"local members are left out, own ones stay",
     HEAD "\"_format\": \"v03\", \"_deleteOnPost\": {\"py/set\": [\"_format\", \"mine\"]}, " GOOD
          "\"mine\": 1, \"geometry\": {\"a\": [1.5, null, true]}, \"new_dir\": \"/d\","
          " \"_matches\": {\"py/object\": \"re.Match\"}, \"__dict__\": {}}",
     "v03",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a/b/c\","
     "\"geometry\":{\"a\":[1.5,null,true]}}"},
    {"needed members stay, whatever is to be deleted",
     HEAD "\"_deleteOnPost\": {\"py/set\": [\"size\"]}, " GOOD "\"size\": 5}", "v03",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a/b/c\","
     "\"size\":5}"},
    {"references are followed",
     HEAD GOOD "\"new_subtopic\": [\"a\", \"b\"], \"subtopic\": {\"py/id\": 1},"
               " \"x\": {\"py/tuple\": [{\"y\": \"z\"}]}, \"identity\": {\"method\": \"md5\","
               " \"value\": \"c1/E3fVQHpcBSOQu+aSMOg==\\n\"}, \"again\": {\"py/id\": 3},"
               " \"other\": {\"py/id\": 2}}",
     "v03.a.b",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a/b/c\","
     "\"x\":[{\"y\":\"z\"}],\"identity\":{\"method\":\"md5\","
     "\"value\":\"c1/E3fVQHpcBSOQu+aSMOg==\\n\"},\"again\":{\"method\":\"md5\","
     "\"value\":\"c1/E3fVQHpcBSOQu+aSMOg==\\n\"},\"other\":{\"y\":\"z\"}}"},
    {"fileOp as it was received",
     HEAD GOOD "\"fileOp\": {\"link\": \"../changed\"}, \"post_fileOp\": {\"link\": \"x\"}}", "v03",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a/b/c\","
     "\"fileOp\":{\"link\":\"x\"}}"},
    {"paths of v02 are decoded",
     HEAD "\"_format\": \"v02\", " TIME_BASE "\"relPath\": \"a%20b%23c%25\"}", "v03",
     "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a b#c%25\"}"},
    {"a member that nobody needs may be anything",
     HEAD GOOD "\"x\": {\"py/id\": 99}, \"y\": {\"py/object\": \"a.B\"},"
               " \"z\": {\"py/id\": \"a\"}, \"self\": {\"py/id\": 0}}",
     "v03", "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"http://h/\",\"relPath\":\"a/b/c\"}"},
};

static void entries_become_announcements(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        struct announcement announcement;
        struct record record;

        parse_sr3(entries[i].text, &record, &announcement);
        expect_same(entries[i].name, text_slice(entries[i].body), record.envelope.body);
        expect_same(entries[i].name, text_slice(entries[i].topic), record.envelope.routing_key);
        announcement_clear(&announcement);
        record_clear(&record);
    }
}

static const struct {
    const char *text, *word;
} refused_entries[] = {
    {"", "nothing"},
    {"{}", "py/object"},
    {"{\"py/object\": \"other.Message\"}", "py/object"},
    {HEAD GOOD "\"identity\": {\"py/id\": 9}}", "identity cannot be resolved"},
    {HEAD GOOD "\"identity\": {\"py/id\": -1}}", "identity cannot be resolved"},
    {HEAD GOOD "\"identity\": {\"method\": {\"py/id\": 7}}}", "identity cannot be resolved"},
    {HEAD GOOD "\"content\": {\"py/b64\": \"AAAA\"}}", "content cannot be resolved"},
    {HEAD GOOD "\"identity\": {\"py/id\": 0}}", "identity cannot be resolved"},
    {HEAD GOOD "\"subtopic\": \"a\"}", "subtopic is no list"},
    {HEAD GOOD "\"subtopic\": [1]}", "subtopic is no list"},
    {HEAD GOOD "\"subtopic\": {\"py/id\": 5}}", "subtopic is no list"},
    {HEAD GOOD "\"size\": NaN}", "read retry entry of sr3"},
};

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused_entries); i++) {
        const char *text = refused_entries[i].text;
        struct error err = {0};
        struct record record;

        if (record_parse_sr3(text, strlen(text), &record, &err))
            fail_msg("'%s' was read", text);
        if (err.kind != ERROR_PERMANENT || !strstr(err.text, refused_entries[i].word))
            fail_msg("'%s': '%s' has no '%s'", text, err.text, refused_entries[i].word);
    }
}

/* Each list holds the one before ten times: 10^30 elements, if they were all made. */
static void references_cannot_explode(void **state)
{
    char text[8192] = HEAD GOOD "\"m0\": [\"x\"]";
    struct error err = {0};
    struct record record;

    (void)state;
    for (int i = 1; i <= 30; i++) {
        sprintf(text + strlen(text), ", \"%s\": [",
                i == 30 ? "fileOp" : (char[]){'m', (char)('a' + i), 0});
        for (int k = 0; k < 10; k++)
            sprintf(text + strlen(text), "%s{\"py/id\": %d}", k ? "," : "", i);
        strcat(text, "]");
    }
    strcat(text, "}");
    assert_false(record_parse_sr3(text, strlen(text), &record, &err));
    assert_non_null(strstr(err.text, "fileOp cannot be resolved"));
}

static void entries_with_too_many_members_are_refused(void **state)
{
    char *text = memory_new(64000);
    struct error err = {0};
    struct record record;

    (void)state;
    strcpy(text, HEAD "\"_deleteOnPost\": {\"py/set\": []}");
    for (int i = 0; i < 1000; i++)
        sprintf(text + strlen(text), ", \"%d\": 1", i);
    strcat(text, "}");
    assert_false(record_parse_sr3(text, strlen(text), &record, &err));
    assert_non_null(strstr(err.text, "more than 1000 members"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_printed_as_documented),
        cmocka_unit_test(what_is_unknown_is_left_out),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(a_reason_may_be_cut),
        cmocka_unit_test(names_that_are_no_text_are_left_out),
        cmocka_unit_test(the_largest_body_comes_back),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(deep_and_large_texts_are_refused),
        cmocka_unit_test(captured_entries_are_read),
        cmocka_unit_test(entries_become_announcements),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(references_cannot_explode),
        cmocka_unit_test(entries_with_too_many_members_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
