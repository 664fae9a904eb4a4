/* The reader of v03: which members count, which types they may have. */
#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BASE "\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"https://h/\",\"relPath\":\"a/b\""

/* Members added to BASE, or a whole body when it begins with what is no comma. */
static const char *const refused[] = {
    "", "{", "[]", "\"x\"", "{}", "null", "{" BASE ",}", "{" BASE "} x",
    "{\"baseUrl\":\"https://h/\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"h\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\",\"relPath\":null}",
    "{\"pubTime\":20250102040312,\"baseUrl\":\"https://h\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"ABCDEFGHIJKLMN\",\"baseUrl\":\"https://h\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"2025-01-02T04:03:12Z\",\"baseUrl\":\"https://h\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\",\"relPath\":\"a\\nb\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\",\"relPath\":\"a\\u0000b\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\\u001f\",\"relPath\":\"a\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\",\"relPath\":\"a\xFF\"}",
    "{\"pubTime\":\"20250102T040312\",\"baseUrl\":\"https://h\",\"relPath\":\"\\ud800\"}",
    ",\"size\":\"x\"", ",\"size\":\"\"", ",\"size\":-1", ",\"size\":31.5", ",\"size\":true",
    ",\"size\":[1]", ",\"size\":9007199254740993", ",\"size\":\"-1\"",
    ",\"size\":99999999999999999999999", ",\"parts\":\"1,x,1,0,0\"", ",\"parts\":7",
    ",\"parts\":\"1,2\"", ",\"retrievePath\":5", ",\"rename\":{}", ",\"rename\":\"a\\u0007\"",
    ",\"fileOp\":\"remove\"", ",\"fileOp\":{\"link\":5}", ",\"fileOp\":[]",
    ",\"newname\":1",
};

static const char *whole(const char *text, char body[2000])
{
    if (*text != ',')
        return text;
    snprintf(body, 2000, "{" BASE "%s}", text);
    return body;
}

static void malformed_bodies_are_refused(void **state)
{
    char body[2000];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct announcement got;
        struct error err = {0};

        if (parse_texts("application/json", whole(refused[i], body), NULL, &got, &err)
            || err.kind != ERROR_PERMANENT || !*err.text)
            fail_msg("'%s' was taken (%s)", refused[i], err.text);
    }
}

/* What a member leaves behind, printed: one line is easier to compare than twenty fields. */
static const struct {
    const char *members, *expected;
} members[] = {
    {",\"x\":1", "size=- id=-,- op= mode=-1"},
    {",\"size\":31", "size=31 id=-,- op= mode=-1"},
    {",\"size\":\"31\"", "size=31 id=-,- op= mode=-1"},
    {",\"size\":0", "size=0 id=-,- op= mode=-1"},
    {",\"size\":null", "size=- id=-,- op= mode=-1"},
    {",\"size\":1,\"size\":2", "size=2 id=-,- op= mode=-1"},
    {",\"size\":\"x\",\"parts\":\"1,44,1,0,0\"", "size=44 id=-,- op= mode=-1"},
    {",\"parts\":\"i,44,3,0,1\"", "size=- id=-,- op= mode=-1 blocks"},
    {",\"parts\":\"p,44,3,0,1\"", "size=- id=-,- op= mode=-1 blocks"},
    {",\"blocks\":{\"method\":\"inplace\",\"size\":\"4\"}", "size=- id=-,- op= mode=-1 blocks"},
    {",\"blocks\":null", "size=- id=-,- op= mode=-1"},
    {",\"content\":{\"encoding\":\"utf-8\",\"value\":\"hello\"}",
     "size=- id=-,- op= mode=-1 content"},
    {",\"identity\":{\"method\":\"md5\",\"value\":\"ab\\n==\\n\"}",
     "size=- id=md5,ab== op= mode=-1"},
    {",\"integrity\":{\"method\":\"md5\",\"value\":\"ab==\"}", "size=- id=md5,ab== op= mode=-1"},
    {",\"identity\":{\"method\":\"sha256\",\"value\":\"x\"}", "size=- id=sha256,x op= mode=-1"},
    {",\"identity\":{\"method\":\"cod\",\"value\":\"md5\"}", "size=- id=cod,md5 op= mode=-1"},
    {",\"identity\":\"md5\"", "size=- id=-,- op= mode=-1"},
    {",\"identity\":[\"md5\"]", "size=- id=-,- op= mode=-1"},
    {",\"identity\":{\"method\":\"md5\"}", "size=- id=-,- op= mode=-1"},
    {",\"identity\":{\"method\":5,\"value\":\"x\"}", "size=- id=-,- op= mode=-1"},
    {",\"identity\":{\"method\":\"md5\",\"value\":\"\"}", "size=- id=-,- op= mode=-1"},
    {",\"fileOp\":{\"link\":\"t\"}", "size=- id=-,- op=link:t; mode=-1"},
    {",\"fileOp\":{\"link\":\"\"}", "size=- id=-,- op=link:; mode=-1"},
    {",\"fileOp\":{\"hlink\":\"t\"}", "size=- id=-,- op=hlink:t; mode=-1"},
    {",\"fileOp\":{\"remove\":\"\"}", "size=- id=-,- op=remove; mode=-1"},
    {",\"fileOp\":{\"remove\":null}", "size=- id=-,- op=remove; mode=-1"},
    {",\"fileOp\":{\"directory\":\"\"},\"mode\":\"750\"", "size=- id=-,- op=directory; mode=750"},
    {",\"fileOp\":{\"remove\":\"\",\"directory\":\"\"}",
     "size=- id=-,- op=remove;directory; mode=-1"},
    {",\"fileOp\":{\"rmdir\":\"\"}", "size=- id=-,- op=remove;directory; mode=-1"},
    {",\"fileOp\":{\"rename\":\"o\"}", "size=- id=-,- op=rename:o; mode=-1"},
    {",\"fileOp\":{}", "size=- id=-,- op= mode=-1"},
    {",\"fileOp\":null", "size=- id=-,- op= mode=-1"},
    {",\"mode\":\"0644\"", "size=- id=-,- op= mode=644"},
    {",\"mode\":\"0o644\"", "size=- id=-,- op= mode=644"},
    {",\"mode\":\"4755\"", "size=- id=-,- op= mode=755"},
    {",\"mode\":\"648\"", "size=- id=-,- op= mode=-1"},
    {",\"mode\":420", "size=- id=-,- op= mode=-1"},
};

static char *describe(struct announcement *a)
{
    const struct file_op *op = &a->file_op;
    struct arena *arena = &a->arena;
    const char *size = a->has_size ? arena_format(arena, "%lld", (long long)a->size_bytes) : "-";
    const char *mode = a->mode < 0 ? "-1" : arena_format(arena, "%o", (unsigned)a->mode);

    return arena_format(arena, "size=%s id=%s,%s op=%s%s%s%s%s%s%s%s%s%s%s mode=%s%s%s", size,
                        a->identity_method ? a->identity_method : "-",
                        a->identity_value ? a->identity_value : "-", op->remove ? "remove;" : "",
                        op->directory ? "directory;" : "", op->link ? "link:" : "",
                        op->link ? op->link : "", op->link ? ";" : "", op->hlink ? "hlink:" : "",
                        op->hlink ? op->hlink : "", op->hlink ? ";" : "",
                        op->rename ? "rename:" : "", op->rename ? op->rename : "",
                        op->rename ? ";" : "", mode, a->has_blocks ? " blocks" : "",
                        a->has_content ? " content" : "");
}

static void members_are_read(void **state)
{
    char body[2000];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        struct announcement got;
        struct error err = {0};
        const char *text = whole(members[i].members, body);

        if (!parse_texts("application/json", text, NULL, &got, &err))
            fail_msg("'%s': %s", members[i].members, err.text);
        if (strcmp(describe(&got), members[i].expected) != 0)
            fail_msg("'%s': got '%s'", members[i].members, describe(&got));
        assert_true(got.file_op.present == (strstr(members[i].expected, "op= ") == NULL));
        announcement_clear(&got);
    }
}

static void texts_are_read(void **state)
{
    struct announcement got;
    struct error err = {0};

    (void)state;
    assert_true(parse_texts("application/json",
                            "{" BASE ",\"retPath\":\"/p\",\"rename\":\"x/\",\"source\":\"acme\","
                            "\"newname\":\"n\",\"mtime\":\"20250102T040310.5\","
                            "\"atime\":\"20250102T040310.5\"}\n",
                            NULL, &got, &err));
    assert_string_equal(got.retrieve_path, "/p");
    assert_string_equal(got.rename, "x/");
    assert_string_equal(got.source, "acme");
    assert_string_equal(got.new_name, "n");
    assert_string_equal(got.mtime, "20250102T040310.5");
    assert_int_equal(got.mtime_ns, 1735790590500000000);
    assert_int_equal(got.atime_ns, 1735790590500000000);
    assert_ptr_equal(got.raw_rel_path, got.rel_path);
    announcement_clear(&got);
    assert_true(parse_texts("application/json",
                            "{" BASE ",\"mtime\":\"?\",\"atime\":[],\"source\":{}}", NULL, &got,
                            &err));
    assert_null(got.mtime);
    assert_null(got.source);
    announcement_clear(&got);
}

static void deep_nesting_and_size_are_refused(void **state)
{
    size_t size = (1 << 20) + 1;
    char *body = malloc(size + 1);
    struct announcement got;
    struct error err = {0};

    (void)state;
    memset(body, '[', 100000);
    body[100000] = '\0';
    assert_false(parse_texts("application/json", body, NULL, &got, &err));
    memset(body, ' ', size);
    body[size] = '\0';
    memcpy(body, "{" BASE "}", strlen("{" BASE "}"));
    assert_false(parse_texts("application/json", body, NULL, &got, &err));
    body[size - 1] = '\0';
    assert_true(parse_texts("application/json", body, NULL, &got, &err));
    announcement_clear(&got);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_bodies_are_refused),
        cmocka_unit_test(members_are_read),
        cmocka_unit_test(texts_are_read),
        cmocka_unit_test(deep_nesting_and_size_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
