/* Announcements: which format it is, that formats agree, and the texts made of them. */
#include "base/clock.h"
#include "envelope.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define V02 "20250102040312.75 https://h/ a/b"
#define V03 "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"https://h/\",\"relPath\":\"a/b\"}"
#define WIS "{\"type\":\"Feature\",\"links\":[],\"properties\":{}}"

enum { REFUSED = -1, REFUSED_WIS = -2 };

static const struct {
    const char *content_type, *body, *topic;
    int format;
} formats[] = {
    {"text/plain", V02, NULL, ANNOUNCEMENT_V02},
    {"text/plain; charset=utf-8", V02, NULL, ANNOUNCEMENT_V02},
    {"Text/Plain ;x=y", V02, NULL, ANNOUNCEMENT_V02},
    {"application/json", V03, NULL, ANNOUNCEMENT_V03},
    {"APPLICATION/JSON;charset=utf-8", V03, NULL, ANNOUNCEMENT_V03},
    {NULL, V02, NULL, ANNOUNCEMENT_V02},
    {NULL, V03, NULL, ANNOUNCEMENT_V03},
    {NULL, " \r\n\t  " V03, NULL, ANNOUNCEMENT_V03},
    {NULL, V03, "v02.post.a", ANNOUNCEMENT_V03},
    {"application/octet-stream", V03, NULL, ANNOUNCEMENT_V03},
    {"application/octet-stream", V02, NULL, ANNOUNCEMENT_V02},
    {NULL, "x{y", NULL, REFUSED},
    {NULL, "", NULL, REFUSED},
    {"text/plain", V03, NULL, REFUSED},
    {"application/json", V02, NULL, REFUSED},
    {"application/geo+json", WIS, NULL, REFUSED_WIS},
    {"Application/Geo+JSON; x", WIS, NULL, REFUSED_WIS},
    {NULL, WIS, NULL, REFUSED_WIS},
    {NULL, "{\"type\":\"Feature\"}", NULL, REFUSED},
};

static void formats_are_recognised(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        const char *headers[] = {formats[i].topic ? "topic" : NULL, formats[i].topic, NULL};
        struct announcement got;
        struct error err = {0};
        int format = REFUSED;

        if (parse_texts(formats[i].content_type, formats[i].body, headers, &got, &err))
            format = got.format;
        else if (strstr(err.text, "wis announcements are not read by this version"))
            format = REFUSED_WIS;
        if (format != formats[i].format || (format < 0 && err.kind != ERROR_PERMANENT))
            fail_msg("%s '%s': got %d (%s)", formats[i].content_type, formats[i].body, format,
                     err.text);
        announcement_clear(&got);
    }
}

#define SWOB "observations/swob-ml/20250102/CYUL/2025-01-02-0400-CYUL-AUTO-swob.xml"
#define DD   "\"baseUrl\":\"https://dd.example.org/\",\"relPath\":"
#define HEX64                                                                                      \
    "c422d224f911af32aba4cf68071501dda1fcc4e22a8701689721f53fe867a7448328a0c68a519d150aa3924a3f50" \
    "d06189c150b0a52be6e490f3adfb0cb20b77"

/* the same announcement in both formats */
static const struct {
    const char *body;
    const char *headers[17];
    const char *json;
} twins[] = {
    {"20250102040312.75 https://dd.example.org/ " SWOB,
     {"sum", "d,735fc4ddf5501e970148e42ef9a48c3a", "parts", "1,31,1,0,0", "mtime",
      "20250102040310.5", "atime", "20250102040311", "mode", "644", "source", "acme",
      "from_cluster", "DD", "to_clusters", "ALL"},
     "{\"pubTime\":\"20250102T040312.75\"," DD "\"" SWOB "\",\"size\":31,"
     "\"mtime\":\"20250102T040310.5\",\"atime\":\"20250102T040311\",\"mode\":\"644\","
     "\"source\":\"acme\",\"from_cluster\":\"DD\",\"to_clusters\":\"ALL\","
     "\"identity\":{\"method\":\"md5\",\"value\":\"c1/E3fVQHpcBSOQu+aSMOg==\"}}"},
    {"20250102040312 https://dd.example.org/ a",
     {"sum", "s," HEX64},
     "{\"pubTime\":\"20250102T040312\"," DD "\"a\",\"identity\":{\"method\":\"sha512\",\"value\":"
     "\"xCLSJPkRrzKrpM9oBxUB3aH8xOIqhwFolyH1P+hnp0SDKKDGilGdFQqjkko/UNBhicFQsKUr5uSQ\\n"
     "8637DLILdw==\"}}"},
    {"20250102041500.1 https://dd.example.org/ radar/CAPPI/GIF/XAM/latest.gif",
     {"link", "202501020410_XAM_CAPPI.gif", "sum", "L," HEX64},
     "{\"pubTime\":\"20250102T041500.1\"," DD "\"radar/CAPPI/GIF/XAM/latest.gif\","
     "\"fileOp\":{\"link\":\"202501020410_XAM_CAPPI.gif\"}}"},
    {"20250102050000 https://dd.example.org/ radar/CAPPI/GIF/XAM/old.gif",
     {"sum", "R," HEX64},
     "{\"pubTime\":\"20250102T050000\"," DD "\"radar/CAPPI/GIF/XAM/old.gif\","
     "\"fileOp\":{\"remove\":\"\"}}"},
    {"20250102050001 https://dd.example.org/ radar/CAPPI/GIF/XAM/2024",
     {"sum", "m," HEX64, "mode", "750"},
     "{\"pubTime\":\"20250102T050001\"," DD "\"radar/CAPPI/GIF/XAM/2024\",\"mode\":\"750\","
     "\"fileOp\":{\"directory\":\"\"}}"},
    {"20250102050002 https://dd.example.org/ radar/CAPPI/GIF/XAM/2024",
     {"sum", "r," HEX64},
     "{\"pubTime\":\"20250102T050002\"," DD "\"radar/CAPPI/GIF/XAM/2024\","
     "\"fileOp\":{\"remove\":\"\",\"directory\":\"\"}}"},
    {"20250102051000 https://dd.example.org/ bulletins/B.txt",
     {"oldname", "bulletins/A.txt", "sum", "d,735fc4ddf5501e970148e42ef9a48c3a", "parts",
      "1,31,1,0,0"},
     "{\"pubTime\":\"20250102T051000\"," DD "\"bulletins/B.txt\",\"size\":31,\"identity\":"
     "{\"method\":\"md5\",\"value\":\"c1/E3fVQHpcBSOQu+aSMOg==\"},"
     "\"fileOp\":{\"rename\":\"bulletins/A.txt\"}}"},
};

static bool same_numbers(const struct announcement *a, const struct announcement *b)
{
    return a->pub_time_ns == b->pub_time_ns && a->size_bytes == b->size_bytes
        && a->has_size == b->has_size && a->mtime_ns == b->mtime_ns && a->atime_ns == b->atime_ns
        && a->mode == b->mode && a->has_content == b->has_content
        && a->has_blocks == b->has_blocks && a->file_op.present == b->file_op.present
        && a->file_op.remove == b->file_op.remove && a->file_op.directory == b->file_op.directory;
}

static const char *first_difference(const struct announcement *a, const struct announcement *b)
{
    const struct {
        const char *name, *a, *b;
    } texts[] = {
        {"exchange", a->exchange, b->exchange},
        {"routing_key", a->routing_key, b->routing_key},
        {"pub_time", a->pub_time, b->pub_time},
        {"base_url", a->base_url, b->base_url},
        {"rel_path", a->rel_path, b->rel_path},
        {"raw_rel_path", a->raw_rel_path, b->raw_rel_path},
        {"retrieve_path", a->retrieve_path, b->retrieve_path},
        {"identity_method", a->identity_method, b->identity_method},
        {"identity_value", a->identity_value, b->identity_value},
        {"mtime", a->mtime, b->mtime},
        {"link", a->file_op.link, b->file_op.link},
        {"hlink", a->file_op.hlink, b->file_op.hlink},
        {"old name", a->file_op.rename, b->file_op.rename},
        {"rename", a->rename, b->rename},
        {"new_name", a->new_name, b->new_name},
        {"source", a->source, b->source},
    };

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (!same_text(texts[i].a, texts[i].b))
            return texts[i].name;
    return same_numbers(a, b) ? NULL : "a number";
}

static void formats_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(twins); i++) {
        struct announcement v02, v03;
        struct error err = {0};
        const char *difference;

        if (!parse_texts("text/plain", twins[i].body, twins[i].headers, &v02, &err)
            || !parse_texts("application/json", twins[i].json, NULL, &v03, &err))
            fail_msg("'%s': %s", twins[i].body, err.text);
        difference = first_difference(&v02, &v03);
        if (difference)
            fail_msg("'%s': %s differs", twins[i].body, difference);
        announcement_clear(&v02);
        announcement_clear(&v03);
    }
}

/* The envelope of a message captured from a real poster; headers point into `message`. */
static struct envelope captured_envelope(const json_t *message, struct envelope_header *headers)
{
    const json_t *properties = json_object_get(message, "properties");
    json_t *table = json_object_get(properties, "application_headers");
    const char *type = json_string_value(json_object_get(properties, "content_type"));
    const char *body = json_string_value(json_object_get(message, "body"));
    struct envelope envelope = {.content_type = text_slice(type),
                                .exchange = text_slice("xcapture"),
                                .headers = headers,
                                .body = text_slice(body)};
    const char *name;
    json_t *value;

    json_object_foreach(table, name, value)
        if (json_is_string(value) && envelope.header_count < 16)
            headers[envelope.header_count++] = (struct envelope_header){
                text_slice(name), text_slice(json_string_value(value))};
    return envelope;
}

static json_t *load_posts(const char *name)
{
    char path[500];
    json_t *posts;

    snprintf(path, sizeof(path), "%s/posts/%s.messages.json", TEST_DATA, name);
    posts = json_load_file(path, 0, NULL);
    if (!json_is_array(posts) || json_array_size(posts) == 0)
        fail_msg("cannot read '%s'", path);
    return posts;
}

static void check_captured(const json_t *v02_message, const json_t *v03_message, const char *name)
{
    struct envelope_header headers[16];
    struct envelope v02_envelope = captured_envelope(v02_message, headers), v03_envelope;
    struct announcement v02, v03;
    struct error err = {0};

    if (!announcement_parse(&v02_envelope, &v02, &err))
        fail_msg("%s v02: %s", name, err.text);
    v03_envelope = captured_envelope(v03_message, headers);
    if (!announcement_parse(&v03_envelope, &v03, &err))
        fail_msg("%s v03: %s", name, err.text);
    if (!same_text(v02.rel_path, v03.rel_path) || !same_text(v02.mtime, v03.mtime)
        || !same_text(v02.identity_value, v03.identity_value)
        || !same_text(v02.identity_method, v03.identity_method)
        || v02.size_bytes != v03.size_bytes || v02.size_bytes == 0 || v02.mode != v03.mode)
        fail_msg("%s: '%s' and '%s' differ", name, v02.rel_path, v03.rel_path);
    announcement_clear(&v02);
    announcement_clear(&v03);
}

static void captured_posts_are_read(void **state)
{
    static const char *const posters[] = {"sr3_post", "sr3_cpost", "bench_announce"};
    char name[100];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(posters); i++) {
        json_t *v02, *v03;

        snprintf(name, sizeof(name), "%s_v02", posters[i]);
        v02 = load_posts(name);
        snprintf(name, sizeof(name), "%s_v03", posters[i]);
        v03 = load_posts(name);
        for (size_t k = 0; k < json_array_size(v02); k++)
            check_captured(json_array_get(v02, k), json_array_get(v03, k), posters[i]);
        json_decref(v02);
        json_decref(v03);
    }
}

/* url NULL: there is none */
static const struct {
    const char *base_url, *rel_path, *retrieve_path, *url, *match;
} urls[] = {
    {"http://h/", "obs/swob/a.xml", NULL, "http://h/obs/swob/a.xml", "http://h/obs/swob/a.xml"},
    {"http://h", "obs//swob/a.xml", NULL, "http://h/obs/swob/a.xml", "http://h/obs//swob/a.xml"},
    {"http://h/", "/obs/swob/a.xml", NULL, "http://h/obs/swob/a.xml", "http://h/obs/swob/a.xml"},
    {"http://h/obs", "swob/a.xml", NULL, "http://h/obs/swob/a.xml", "http://h/obs/swob/a.xml"},
    {"http://h/obs/", "swob/a.xml", NULL, "http://h/obs/swob/a.xml", "http://h/obs/swob/a.xml"},
    {"http://h", "top.xml", NULL, "http://h/top.xml", "http://h/top.xml"},
    {"http://h/d", "top.xml", NULL, "http://h/d/top.xml", "http://h/d/top.xml"},
    {"http://h/", "obs/sp ace+p#h.xml", NULL, "http://h/obs/sp%20ace+p%23h.xml",
     "http://h/obs/sp ace+p#h.xml"},
    {"http://h/", "x", "api?x=1", "http://h/api?x=1", "http://h/x"},
    {"https://h", "x", "/p/q.bufr", "https://h/p/q.bufr", "https://h/x"},
    {"https://h/data/", "px///A", NULL, "https://h/data/px/A", "https://h/data/px///A"},
    {"https://h/data/", "/A", NULL, "https://h/data/A", "https://h/data/A"},
    {"https://h", "/A", NULL, "https://h/A", "https://h/A"},
    {"https://h", "a///b/c", NULL, "https://h/a//b/c", "https://h/a///b/c"},
    {"https://h", "a%20?\"\xC3\xA9~_.-", NULL, "https://h/a%2520%3F%22%C3%A9~_.-",
     "https://h/a%20?\"\xC3\xA9~_.-"},
    {"https://h/p q", "a", NULL, "https://h/p%20q/a", "https://h/p q/a"},
    {"https://h/p?k=1#f", "a/b", NULL, "https://h/p/a/b", "https://h/p?k=1#f/a/b"},
    {"https://u:p@w@h:8443/x", "a", NULL, "https://h:8443/x/a", "https://u:p@w@h:8443/x/a"},
    {"https://u@h", "a", "b", "https://h/b", "https://u@h/a"},
    {"HTTPS://H", "a", NULL, "https://H/a", "HTTPS://H/a"},
    {"http://[::1]:80", "a", NULL, "http://[::1]:80/a", "http://[::1]:80/a"},
    {"http://h/", "x", "/a//b?u=http://k//l", "http://h//a/b?u=http://k//l", "http://h/x"},
    {"http://h/", "x", "a%20b+c", "http://h/a%20b+c", "http://h/x"},
    {"http://h/", "x", "", "http://h/", "http://h/x"},
    {"http://h/", "x", "a b", NULL, "http://h/x"},
    {"http://h/", "x", "a\r\nHost: k", NULL, "http://h/x"},
    {"http://h/q p", "x", "a", NULL, "http://h/q p/x"},
    {"http://h", "", NULL, "http://h/", "http://h/"},
    {"http://h", "a/", NULL, "http://h/a/", "http://h/a/"},
    {"ftp://h/", "a", NULL, "ftp://h/%2Fa", "ftp://h/a"},
    {"ftp://h", "a/b", NULL, "ftp://h/a/b", "ftp://h/a/b"},
    {"ftp://h", "/a/b", NULL, "ftp://h/%2Fa/b", "ftp://h/a/b"},
    {"ftp://u:p@h:21//d/", "a/b c;type=a", NULL, "ftp://h:21/%2Fd/a/b%20c%3Btype%3Da",
     "ftp://u:p@h:21//d/a/b c;type=a"},
    {"ftp://h/", "x", "q?r", "ftp://h/q%3Fr", "ftp://h/x"},
    {"ftp://h/", "x", "/q/r", "ftp://h/%2Fq/r", "ftp://h/x"},
    {"ftp://h/", "a/", NULL, NULL, "ftp://h/a/"},
    {"ftp://h/", "x", "a\nDELE b", NULL, "ftp://h/x"},
    {"FTPS://h/d", "a", NULL, "ftps://h/%2Fd/a", "FTPS://h/d/a"},
    {"sftp://u@h", "a/b", NULL, "sftp://h/~/a/b", "sftp://u@h/a/b"},
    {"sftp://u@h/", "a/b", NULL, "sftp://h/a/b", "sftp://u@h/a/b"},
    {"sftp://u@h//d", "a/b", NULL, "sftp://h/d/a/b", "sftp://u@h//d/a/b"},
    {"sftp://h/d", "x", "y", "sftp://h/~/y", "sftp://h/d/x"},
    {"sftp://h/d", "", NULL, NULL, "sftp://h/d/"},
    {"file:///d", "a", NULL, "file:///d/a", "file:///d/a"},
    {"file:/d", "a b", NULL, "file:///d/a%20b", "file:/d/a b"},
    {"file://localhost/d", "a", NULL, "file:///d/a", "file://localhost/d/a"},
    {"file://h/d", "a", NULL, NULL, "file://h/d/a"},
    {"gopher://h/d", "a", NULL, NULL, "gopher://h/d/a"},
    {"httpx://h", "a", NULL, NULL, "httpx://h/a"},
    {"http:///d", "a", NULL, NULL, "http:///d/a"},
    {"http://u@/d", "a", NULL, NULL, "http://u@/d/a"},
    {"http://:80/d", "a", NULL, NULL, "http://:80/d/a"},
    {"http://a\\@b/d", "a", NULL, "http://b/d/a", "http://a\\@b/d/a"},
    {"http://a\\b/d", "a", NULL, NULL, "http://a\\b/d/a"},
    {"http://a b/d", "a", NULL, NULL, "http://a b/d/a"},
};

static void urls_are_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct announcement announcement = {.base_url = urls[i].base_url,
                                            .rel_path = urls[i].rel_path,
                                            .retrieve_path = urls[i].retrieve_path};
        struct error err = {0};
        const char *url = announcement_fetch_url(&announcement, &err);
        const char *match = announcement_match_url(&announcement);

        if (!same_text(url, urls[i].url) || (!url && err.kind != ERROR_PERMANENT)
            || strcmp(match, urls[i].match) != 0)
            fail_msg("'%s' + '%s' ('%s'): got '%s' (%s), to match '%s'", urls[i].base_url,
                     urls[i].rel_path, urls[i].retrieve_path, url, err.text, match);
        arena_clear(&announcement.arena);
    }
}

static void v02_spaces_are_encoded_once(void **state)
{
    struct announcement got;
    struct error err = {0};

    (void)state;
    assert_true(parse_texts("text/plain", "20250102040312 http://h/ obs/sp%20ace%23.xml", NULL,
                            &got, &err));
    assert_string_equal(announcement_fetch_url(&got, &err), "http://h/obs/sp%20ace%23.xml");
    assert_string_equal(announcement_match_url(&got), "http://h/obs/sp ace#.xml");
    announcement_clear(&got);
}

#define PUB(rest)                                                                                  \
    "{\"pubTime\":\"20250102T040312.75\",\"baseUrl\":\"https://h/\",\"relPath\":" rest "}"

/* as sr3 makes them; a body that is no object is v02 with `sum` */
static const struct {
    const char *body, *sum, *key, *path;
} keys[] = {
    {PUB("\"" SWOB "\",\"identity\":{\"method\":\"md5\",\"value\":\"c1/E3fVQHpcBSOQu+aSMOg==\"}"),
     NULL, "md5,c1/E3fVQHpcBSOQu+aSMOg==", SWOB},
    {"20250102040312.75 https://h/ " SWOB, "d,735fc4ddf5501e970148e42ef9a48c3a",
     "md5,c1/E3fVQHpcBSOQu+aSMOg==", SWOB},
    {"20250102040312 https://h/ bulletins/SACN31_CWAO_020400___12345", "s," HEX64,
     "sha512,xCLSJPkRrzKrpM9oBxUB3aH8xOIqhwFolyH1P+hnp0SDKKDGilGdFQqjkko/UNBhicFQsKUr5uSQ8637DLIL"
     "dw==",
     "bulletins/SACN31_CWAO_020400___12345"},
    {PUB("\"radar/X.gif\",\"mtime\":\"20250102T040310\",\"size\":10240"), NULL,
     "radar/X.gif,20250102T040310,10240", "radar/X.gif"},
    {PUB("\"/citypage_weather/xml/QC/s0000635 e.xml\""), NULL,
     "/citypage_weather/xml/QC/s0000635 e.xml,20250102T040312.75",
     "citypage_weather/xml/QC/s0000635 e.xml"},
    {PUB("\"radar/latest.gif\",\"fileOp\":{\"link\":\"202501020400_XAM_CAPPI.gif\"}"), NULL,
     "202501020400_XAM_CAPPI.gif", "radar/latest.gif"},
    {PUB("\"radar/XAM\",\"fileOp\":{\"directory\":\"\"}"), NULL, "radar/XAM", "radar/XAM"},
    {PUB("\"radar/old.gif\",\"fileOp\":{\"remove\":\"\"}"), NULL,
     "radar/old.gif,20250102T040312.75", "radar/old.gif"},
    {PUB("\"a/b\",\"mtime\":\"20250102T040310\",\"size\":3,"
         "\"identity\":{\"method\":\"cod\",\"value\":\"md5\"}"),
     NULL, "a/b,20250102T040310,3", "a/b"},
    {PUB("\"a\",\"size\":0"), NULL, "a,20250102T040312.75,0", "a"},
    {PUB("\"a\",\"mtime\":\"none\",\"size\":\"007\""), NULL, "a,20250102T040312.75,7", "a"},
    {PUB("\"a\",\"mtime\":\"20250102040310\""), NULL, "a,20250102040310", "a"},
    {PUB("\"a\",\"fileOp\":{\"link\":\"\"}"), NULL, "a,20250102T040312.75", "a"},
    {PUB("\"a\",\"fileOp\":{\"remove\":\"\",\"directory\":\"\"}"), NULL, "a,20250102T040312.75",
     "a"},
    {PUB("\"a\",\"fileOp\":{\"rename\":\"b\"},\"identity\":{\"method\":\"md5\",\"value\":\"x\"}"),
     NULL, "a,20250102T040312.75", "a"},
    {PUB("\"a\",\"fileOp\":{\"rename\":\"b\",\"link\":\"t\"}"), NULL, "t", "a"},
    {PUB("\"a\",\"fileOp\":{\"hlink\":\"b\"}"), NULL, "a,20250102T040312.75", "a"},
    {PUB("\"a\",\"identity\":{\"method\":\"sha512\",\"value\":\"ab\\ncd\\n\"}"), NULL,
     "sha512,abcd", "a"},
    {PUB("\"a\",\"identity\":{\"method\":\"random\",\"value\":\"7\"}"), NULL, "random,7", "a"},
    {PUB("\"///a//b\""), NULL, "///a//b,20250102T040312.75", "a//b"},
    {PUB("\"\""), NULL, ",20250102T040312.75", ""},
    {"20250102040312.75 https://h/ /a%20b%23", "n,", "/a%20b%23,20250102T040312.75", "a%20b%23"},
};

/* the same for other values of nodupe_basis */
static const struct {
    enum announcement_basis basis;
    const char *body, *key, *path;
} other_bases[] = {
    {ANNOUNCEMENT_BY_DATA, PUB("\"a/b\",\"identity\":{\"method\":\"md5\",\"value\":\"abc==\"}"),
     "md5,abc==", "data"},
    {ANNOUNCEMENT_BY_DATA, PUB("\"/a/b\",\"size\":3"), "/a/b,20250102T040312.75,3", "data"},
    {ANNOUNCEMENT_BY_DATA, PUB("\"a/b\",\"fileOp\":{\"link\":\"t\"}"), "t", "data"},
    {ANNOUNCEMENT_BY_DATA, PUB("\"a/b\",\"fileOp\":{\"directory\":\"\"}"), "a/b", "data"},
    {ANNOUNCEMENT_BY_NAME,
     PUB("\"a/é b.txt\",\"identity\":{\"method\":\"md5\",\"value\":\"x\"}"),
     "é b.txt", "é b.txt"},
    {ANNOUNCEMENT_BY_NAME, PUB("\"b\""), "b", "b"},
    {ANNOUNCEMENT_BY_NAME, PUB("\"//b\""), "b", "b"},
    {ANNOUNCEMENT_BY_NAME, PUB("\"a/b\",\"fileOp\":{\"remove\":\"\"}"), "b", "b"},
    {ANNOUNCEMENT_BY_NAME,
     PUB("\"a/b/\",\"mtime\":\"20250102T040310\",\"size\":3,"
         "\"identity\":{\"method\":\"md5\",\"value\":\"x\"}"),
     "a/b/,20250102T040310,3", ""},
    {ANNOUNCEMENT_BY_NAME, "20250102040312.75 https://h/ /x/a%20b%23", "a%20b%23", "a%20b%23"},
};

static void check_key(const char *body, const char *sum, enum announcement_basis basis,
                      const char *key, const char *path)
{
    const char *headers[] = {sum ? "sum" : NULL, sum, NULL};
    struct announcement got;
    struct error err = {0};
    const char *got_key, *got_path;

    if (!parse_texts(NULL, body, headers, &got, &err))
        fail_msg("'%s': %s", body, err.text);
    announcement_duplicate_key(&got, basis, &got_key, &got_path);
    if (strcmp(got_key, key) != 0 || strcmp(got_path, path) != 0)
        fail_msg("'%s': got '%s' and '%s'", body, got_key, got_path);
    announcement_clear(&got);
}

static void duplicate_keys_are_those_of_sr3(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        check_key(keys[i].body, keys[i].sum, ANNOUNCEMENT_BY_PATH, keys[i].key, keys[i].path);
    for (size_t i = 0; i < COUNT_OF(other_bases); i++)
        check_key(other_bases[i].body, NULL, other_bases[i].basis, other_bases[i].key,
                  other_bases[i].path);
}

static void versions_of_the_future_are_held_back(void **state)
{
    const int64_t minute_ns = 60 * NS_PER_S, now_ns = 30000000 * minute_ns;
    struct announcement announcement = {.received_ns = now_ns};
    static const struct {
        int64_t published, counted; /* minutes from now */
    } cases[] = {{-100000, -100000}, {0, 0}, {5, 5}, {6, 5}, {5000000, 5}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        announcement.pub_time_ns = now_ns + cases[i].published * minute_ns;
        assert_int_equal(announcement_version_ns(&announcement) - now_ns,
                         cases[i].counted * minute_ns);
    }
}

static void bodies_beyond_a_mebibyte_are_refused(void **state)
{
    size_t size = (1 << 20) + 1;
    char *body = malloc(size + 1);
    struct announcement got;
    struct error err = {0};

    (void)state;
    memset(body, ' ', size);
    memcpy(body, V02, strlen(V02));
    body[size] = '\0';
    assert_false(parse_texts("text/plain", body, NULL, &got, &err));
    body[size - 1] = '\0';
    assert_true(parse_texts("text/plain", body, NULL, &got, &err));
    announcement_clear(&got);
    announcement_clear(&got); /* as harmless as once */
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_recognised),
        cmocka_unit_test(formats_agree),
        cmocka_unit_test(captured_posts_are_read),
        cmocka_unit_test(urls_are_made),
        cmocka_unit_test(v02_spaces_are_encoded_once),
        cmocka_unit_test(duplicate_keys_are_those_of_sr3),
        cmocka_unit_test(versions_of_the_future_are_held_back),
        cmocka_unit_test(bodies_beyond_a_mebibyte_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
