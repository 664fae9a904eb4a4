/* The reader of v02: what bodies and headers become. */
#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BODY "20250102040312.75 https://dd.example.org/ a/b.xml"
#define MD5  "735fc4ddf5501e970148e42ef9a48c3a"
#define MD5_BASE64 "c1/E3fVQHpcBSOQu+aSMOg=="
#define SHA512                                                                                     \
    "c422d224f911af32aba4cf68071501dda1fcc4e22a8701689721f53fe867a7448328a0c68a519d150aa3924a3f50" \
    "d06189c150b0a52be6e490f3adfb0cb20b77"
#define SHA512_BASE64                                                                              \
    "xCLSJPkRrzKrpM9oBxUB3aH8xOIqhwFolyH1P+hnp0SDKKDGilGdFQqjkko/UNBhicFQsKUr5uSQ8637DLILdw=="

static const struct {
    const char *body;
    const char *base_url, *rel_path, *raw_rel_path; /* base_url NULL: must be refused */
} bodies[] = {
    {BODY, "https://dd.example.org/", "a/b.xml", "a/b.xml"},
    {BODY " \n", "https://dd.example.org/", "a/b.xml", "a/b.xml"},
    {BODY "\n", "https://dd.example.org/", "a/b.xml", "a/b.xml"},
    {BODY " more {of} it", "https://dd.example.org/", "a/b.xml", "a/b.xml"},
    {"20250102T040312.75 http://h a", "http://h", "a", "a"},
    {"20250102040312 http://h/a%20b%23%2F a%20%23b%2520%2", "http://h/a b#%2F", "a #b%2520%2",
     "a%20%23b%2520%2"},
    {"20250102040312 http://h ", "http://h", "", ""},
    {"20250102040312 http://h \xC3\xA9", "http://h", "\xC3\xA9", "\xC3\xA9"},
    {"", NULL, NULL, NULL},
    {"20250102040312", NULL, NULL, NULL},
    {"20250102040312 http://h", NULL, NULL, NULL},
    {"20250102040312  http://h a", NULL, NULL, NULL},
    {" http://h a", NULL, NULL, NULL},
    {"ABCDEFGHIJKLMN http://h a", NULL, NULL, NULL},
    {"2025-01-02T04:03:12Z http://h a", NULL, NULL, NULL},
    {"20250102040312 h/x a", NULL, NULL, NULL},
    {"20250102040312 ://h a", NULL, NULL, NULL},
    {"20250102040312 http://h a\tb", NULL, NULL, NULL},
    {"20250102040312 http://h\x7F a", NULL, NULL, NULL},
    {"20250102040312 http://h a\xFF", NULL, NULL, NULL},
    {"20250102040312 http://h a\xC0\xAF", NULL, NULL, NULL},
    {"20250102040312 http://h a\xED\xA0\x80", NULL, NULL, NULL},
    {"{\"pubTime\":\"20250102T040312\"}", NULL, NULL, NULL},
};

static void bodies_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct announcement got;
        struct error err = {0};
        bool read = parse_texts("text/plain", bodies[i].body, NULL, &got, &err);

        if (read != (bodies[i].base_url != NULL) || !same_text(got.base_url, bodies[i].base_url)
            || !same_text(got.rel_path, bodies[i].rel_path)
            || !same_text(got.raw_rel_path, bodies[i].raw_rel_path)
            || (!read && err.kind != ERROR_PERMANENT))
            fail_msg("'%s': got '%s', '%s', '%s' (%s)", bodies[i].body, got.base_url,
                     got.rel_path, got.raw_rel_path, err.text);
        announcement_clear(&got);
    }
}

#define R_ .remove = true
#define D_ .directory = true

/* the letters of `sum`, and renames */
static const struct {
    const char *headers[9];
    const char *method, *value;
    struct file_op op;
    const char *new_name;
} sums[] = {
    {{"sum", "d," MD5}, "md5", MD5_BASE64, {0}, NULL},
    {{"sum", "d,735FC4DDF5501E970148E42EF9A48C3A"}, "md5", MD5_BASE64, {0}, NULL},
    {{"sum", "s," SHA512}, "sha512", SHA512_BASE64, {0}, NULL},
    {{"sum", "d,00"}, "md5", "AA==", {0}, NULL},
    {{"sum", "d,0000"}, "md5", "AAA=", {0}, NULL},
    {{"sum", "d,fffefd"}, "md5", "//79", {0}, NULL},
    {{"sum", "0,4711"}, "random", "4711", {0}, NULL},
    {{"sum", "a,any,te\nxt"}, "arbitrary", "any,text", {0}, NULL},
    {{"sum", "n," MD5}, NULL, NULL, {0}, NULL},
    {{"sum", "z,d"}, "cod", "md5", {0}, NULL},
    {{"sum", "z,s"}, "cod", "sha512", {0}, NULL},
    {{"sum", "z,x"}, NULL, NULL, {0}, NULL},
    {{"sum", "z,"}, NULL, NULL, {0}, NULL},
    {{"sum", "p," SHA512}, NULL, NULL, {0}, NULL},
    {{"sum", "d,735"}, NULL, NULL, {0}, NULL},
    {{"sum", "d,7x"}, NULL, NULL, {0}, NULL},
    {{"sum", "d,"}, NULL, NULL, {0}, NULL},
    {{"sum", "d"}, NULL, NULL, {0}, NULL},
    {{"sum", ""}, NULL, NULL, {0}, NULL},
    {{"sum", "d735f"}, NULL, NULL, {0}, NULL},
    {{"sum", "d,00", "sum", "0,1"}, "random", "1", {0}, NULL},
    {{"sum", "L," SHA512, "link", "tgt"}, NULL, NULL, {.present = true, .link = "tgt"}, NULL},
    {{"link", "tgt", "sum", "L,xyz"}, NULL, NULL, {0}, NULL},
    {{"link", "tgt"}, NULL, NULL, {0}, NULL},
    {{"sum", "L," SHA512}, NULL, NULL, {0}, NULL},
    {{"link", "tgt", "sum", "d," MD5}, NULL, NULL, {.present = true, .link = "tgt"}, NULL},
    {{"link", "tgt", "sum", "n," MD5}, NULL, NULL, {.present = true, .link = "tgt"}, NULL},
    {{"sum", "R," SHA512}, NULL, NULL, {.present = true, R_}, NULL},
    {{"sum", "R," SHA512, "link", "x"}, NULL, NULL, {.present = true, R_}, NULL},
    {{"sum", "R,odd"}, NULL, NULL, {0}, NULL},
    {{"sum", "m," SHA512}, NULL, NULL, {.present = true, D_}, NULL},
    {{"sum", "r," SHA512}, NULL, NULL, {.present = true, R_, D_}, NULL},
    {{"oldname", "a/old", "sum", "d," MD5}, "md5", MD5_BASE64,
     {.present = true, .rename = "a/old"}, NULL},
    {{"oldname", "a/old", "sum", "s," SHA512}, "sha512", SHA512_BASE64,
     {.present = true, .rename = "a/old"}, NULL},
    {{"oldname", "a/old", "sum", "n," MD5}, NULL, NULL,
     {.present = true, .rename = "a/old"}, NULL},
    {{"oldname", "a/old", "sum", "0,1"}, "random", "1",
     {.present = true, .rename = "a/old"}, NULL},
    {{"oldname", "a/old", "sum", "L," MD5, "link", "tgt"}, NULL, NULL,
     {.present = true, .rename = "a/old", .link = "tgt"}, NULL},
    {{"oldname", "a/old", "sum", "m," MD5}, NULL, NULL,
     {.present = true, .rename = "a/old", D_}, NULL},
    {{"oldname", "a/old", "sum", "R," MD5}, NULL, NULL,
     {.present = true, .rename = "a/old"}, NULL},
    {{"oldname", "a/old"}, NULL, NULL, {0}, NULL},
    {{"oldname", "a/old", "sum", "d,7"}, NULL, NULL, {0}, NULL},
    {{"newname", "a/new", "sum", "R," SHA512}, NULL, NULL, {.present = true, R_}, "a/new"},
};

static bool same_op(const struct file_op *a, const struct file_op *b)
{
    return a->present == b->present && a->remove == b->remove && a->directory == b->directory
        && same_text(a->link, b->link) && same_text(a->hlink, b->hlink)
        && same_text(a->rename, b->rename);
}

static void sums_become_identities_and_events(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sums); i++) {
        struct announcement got;
        struct error err = {0};
        bool read = parse_texts("text/plain", BODY, sums[i].headers, &got, &err);

        if (!read || !same_text(got.identity_method, sums[i].method)
            || !same_text(got.identity_value, sums[i].value) || !same_op(&got.file_op, &sums[i].op)
            || !same_text(got.new_name, sums[i].new_name))
            fail_msg("row %zu, %s=%s: got %s,%s present %d remove %d directory %d link %s "
                     "rename %s (%s)",
                     i, sums[i].headers[0], sums[i].headers[1], got.identity_method,
                     got.identity_value, got.file_op.present, got.file_op.remove,
                     got.file_op.directory, got.file_op.link, got.file_op.rename, err.text);
        announcement_clear(&got);
    }
}

static const struct {
    const char *headers[5];
    int64_t size; /* -1: none given; -2: must be refused */
} sizes[] = {
    {{NULL}, -1},
    {{"parts", "1,31,1,0,0"}, 31},
    {{"parts", "1,0,1,0,0"}, 0},
    {{"parts", "1,31,1,0,0", "size", "99"}, 31},
    {{"size", "99"}, 99},
    {{"size", "9007199254740992"}, 9007199254740992},
    {{"parts", "i,31,1,0,0"}, -1},
    {{"parts", "p,31,1,0,0"}, -1},
    {{"parts", "1,x,1,0,0"}, -1},
    {{"parts", "1,-3,1,0,0"}, -1},
    {{"parts", "1,31,1,0"}, -1},
    {{"parts", "1,31,1,0,0,0"}, -1},
    {{"parts", ""}, -1},
    {{"size", "many"}, -2},
    {{"size", ""}, -2},
    {{"size", "-1"}, -2},
    {{"size", "9007199254740993"}, -2},
    {{"size", "99999999999999999999999999"}, -2},
};

static void sizes_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct announcement got;
        struct error err = {0};
        bool read = parse_texts("text/plain", BODY, sizes[i].headers, &got, &err);
        int64_t size = !read ? -2 : got.has_size ? got.size_bytes : -1;

        if (size != sizes[i].size || got.has_blocks || (size < 0 && got.size_bytes != 0))
            fail_msg("%s=%s: got %lld (%s)", sizes[i].headers[0], sizes[i].headers[1],
                     (long long)size, err.text);
        announcement_clear(&got);
    }
}

static void times_and_modes_are_read(void **state)
{
    static const char *const headers[] = {"mtime",  "20250102040310.5", "atime", "19700101000001",
                                          "mode",   "0100644",          "rename", "x/y",
                                          "source", "acme",             NULL};
    static const char *const broken[] = {"mtime", "ABCDEFGHIJKLMN", "atime", "yesterday",
                                         "mode",  "rw-r--r--",      NULL};
    struct announcement got;
    struct error err = {0};

    (void)state;
    assert_true(parse_texts("text/plain", BODY, headers, &got, &err));
    assert_string_equal(got.pub_time, "20250102T040312.75");
    assert_string_equal(got.mtime, "20250102T040310.5");
    assert_int_equal(got.mtime_ns, 1735790590500000000);
    assert_int_equal(got.pub_time_ns, 1735790592750000000);
    assert_int_equal(got.atime_ns, 1000000000);
    assert_int_equal(got.mode, 0644);
    assert_string_equal(got.rename, "x/y");
    assert_string_equal(got.source, "acme");
    assert_string_equal(got.routing_key, "v02.post.a#.*b");
    announcement_clear(&got);

    assert_true(parse_texts("text/plain", BODY, broken, &got, &err));
    assert_null(got.mtime);
    assert_int_equal(got.mtime_ns, -1);
    assert_int_equal(got.atime_ns, -1);
    assert_int_equal(got.mode, -1);
    announcement_clear(&got);
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    static const struct slice values[] = {{"a\0b", 3}, {"\xFF", 1}, {"\xC3", 1}, {"\0", 1}};
    struct announcement got;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct envelope_header headers[16];
        struct envelope envelope = make_envelope("text/plain", BODY, NULL, headers);

        envelope.header_count = 1;
        headers[0] = (struct envelope_header){text_slice("link"), values[i]};
        assert_false(announcement_parse(&envelope, &got, &err));
        headers[0].name = text_slice("unknown");
        assert_true(announcement_parse(&envelope, &got, &err));
        announcement_clear(&got);
        envelope.routing_key = values[i];
        assert_false(announcement_parse(&envelope, &got, &err));
    }
    struct envelope envelope = {.content_type = text_slice("text/plain"),
                                .body = {"20250102040312 http://h a\0b", 27}};

    assert_false(announcement_parse(&envelope, &got, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_read),
        cmocka_unit_test(sums_become_identities_and_events),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(times_and_modes_are_read),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
