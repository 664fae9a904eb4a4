/*
 * Where files go: sr3's rules for paths, the variables in directories, and what is refused. Asked
 * through the filter, because groups come from its patterns.
 */
#include "base/clock.h"
#include "base/path.h"
#include "envelope.h"
#include "stages/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define R "radar/PRECIP/GIF/WGJ/201312141900_WGJ_SNOW.gif"
#define F "201312141900_WGJ_SNOW.gif"
#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X250 X50 X50 X50 X50 X50

/* 2026-11-21 02:03:04 UTC, which is still the 20th in Toronto */
#define NOW_NS (1795226584LL * NS_PER_S)

struct row {
    const char *directory, *strip, *flatten, *filename;
    const char *base_dir, *post_base_dir, *document_root, *source;
    const char *pattern; /* NULL: ".*" */
    bool mirror, base_url_rel_path, ignore_rename, first_group_is_zero, unmatched, from_exchange;
    int64_t var_time_offset_ms;
    const char *base_url, *rel_path, *rename, *announced_source, *extension;
    const char *place; /* joined; NULL: refused */
};

static const char *lookup(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "KNOWN") == 0 ? "/known$/x" : NULL;
}

static struct filter *open_row(const struct row *row, struct error *err)
{
    struct destination_target target = {row->directory, row->strip, row->flatten, row->filename};
    struct filter_rule rule = {.accept = true,
                               .pattern = row->pattern ? row->pattern : ".*",
                               .target = target,
                               .file = "dd.conf",
                               .line = 3};

    return filter_open(
        &(struct filter_settings){
            .rules = &rule,
            .rule_count = row->unmatched ? 0 : 1,
            .accept_unmatched = true,
            .unmatched = target,
            .destination = {.variables = {.base_dir = row->base_dir,
                                          .post_base_dir = row->post_base_dir,
                                          .document_root = row->document_root,
                                          .source = row->source,
                                          .source_from_exchange = row->from_exchange,
                                          .var_time_offset_ms = row->var_time_offset_ms,
                                          .first_group_is_zero = row->first_group_is_zero,
                                          .lookup = lookup},
                            .mirror = row->mirror,
                            .base_url_rel_path = row->base_url_rel_path,
                            .ignore_rename = row->ignore_rename},
        },
        err);
}

static struct announcement announcement_of(const struct row *row)
{
    const char *rel_path = row->rel_path ? row->rel_path : R;

    return (struct announcement){.exchange = "xs_maker",
                                 .base_url = row->base_url ? row->base_url : "https://h",
                                 .rel_path = rel_path,
                                 .raw_rel_path = rel_path,
                                 .rename = row->rename,
                                 .source = row->announced_source,
                                 .sundew_extension = row->extension,
                                 .received_ns = clock_wall_ns(),
                                 .pub_time = "20250102T030405.6"};
}

static char *join(const struct filter_verdict *verdict)
{
    bool at_top = strcmp(verdict->directory, "/") == 0;

    return memory_format("%s/%s", at_top ? "" : verdict->directory, verdict->path);
}

static void check_row(const struct row *row, size_t number)
{
    struct error err = {0};
    struct filter *filter = open_row(row, &err);
    struct announcement announcement = announcement_of(row);
    struct filter_verdict verdict;
    char *place = NULL;

    if (!filter)
        fail_msg("row %zu, directory '%s': %s", number, row->directory, err.text);
    if (filter_match(filter, &announcement, &verdict, &err))
        place = join(&verdict);
    if (!same_text(place, row->place)
        || (!place && (err.kind != ERROR_PERMANENT || strncmp(err.text, "422 ", 4) != 0)))
        fail_msg("row %zu, directory '%s' strip '%s' flatten '%s', '%s': got '%s' (%s)", number,
                 row->directory, row->strip, row->flatten, announcement.rel_path, place, err.text);
    free(place);
    arena_clear(&announcement.arena);
    filter_close(filter);
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_row(&rows[i], i);
}

#define DATA .directory = "/data"
#define TREE .directory = "/data", .mirror = true

static const struct row examples[] = {
    {DATA, .place = "/data/" F},
    {TREE, .place = "/data/" R},
    {TREE, .strip = "0", .place = "/data/" R},
    {TREE, .strip = "3", .place = "/data/WGJ/" F},
    {DATA, .strip = "3", .place = "/data/" F},
    {TREE, .strip = "4", .place = "/data/" F},
    {TREE, .strip = "5", .place = "/data/" R},
    {TREE, .strip = "9", .place = "/data/" R},
    {TREE, .strip = "99999999999999999999999", .place = "/data/" R},
    {TREE, .strip = ".*?GIF/", .place = "/data/WGJ/" F},
    {TREE, .strip = ".*GIF", .place = "/data/WGJ/" F},
    {TREE, .strip = "/radar/", .place = "/data/PRECIP/GIF/WGJ/" F},
    {TREE, .strip = ".*SNOW", .place = "/data/" F},
    {TREE, .strip = "PRECIP/", .place = "/data/radar/GIF/WGJ/" F},
    {TREE, .strip = "nothing", .place = "/data/" R},
    {TREE, .strip = "x*", .place = "/data/" R},
    {DATA, .flatten = "-", .place = "/data/radar-PRECIP-GIF-WGJ-" F},
    {TREE, .flatten = "-", .place = "/data/radar/PRECIP/GIF/WGJ/radar-PRECIP-GIF-WGJ-" F},
    {DATA, .flatten = "-", .strip = "2", .place = "/data/GIF-WGJ-" F},
    {TREE, .flatten = "-", .strip = "2", .place = "/data/GIF/WGJ/GIF-WGJ-" F},
    {TREE, .flatten = "/", .place = "/data/" R},
    {DATA, .flatten = "", .place = "/data/radarPRECIPGIFWGJ" F},
    {DATA, .flatten = "::", .rel_path = "a/b/c", .place = "/data/a::b::c"},
    {TREE, .rel_path = "/radar/a.gif", .place = "/data/radar/a.gif"},
    {TREE, .strip = "1", .rel_path = "/radar/x/a.gif", .place = "/data/radar/x/a.gif"},
    {TREE, .strip = "1", .rel_path = "radar/x/a.gif", .place = "/data/x/a.gif"},
    {TREE, .strip = "1", .rel_path = "radar//x/a.gif", .place = "/data/x/a.gif"},
    {TREE, .strip = "2", .rel_path = "radar//x/a.gif", .place = "/data/x/a.gif"},
    {TREE, .strip = "1", .rel_path = "a.gif", .place = "/data/a.gif"},
    {TREE, .base_url_rel_path = true, .base_url = "https://h/p/q", .rel_path = "a/b.gif",
     .place = "/data/p/q/a/b.gif"},
    {TREE, .base_url_rel_path = true, .base_url = "https://h/p/q/?x=/y", .rel_path = "a/b.gif",
     .place = "/data/p/q/a/b.gif"},
    {TREE, .base_url_rel_path = true, .base_url = "https://h", .rel_path = "a/b.gif",
     .place = "/data/a/b.gif"},
    {TREE, .base_url_rel_path = true, .base_url = "https://h/", .rel_path = "a/b.gif",
     .strip = "1", .place = "/data/a/b.gif"},
    {TREE, .rename = "x/y/new.gif", .place = "/data/x/y/new.gif"},
    {TREE, .rename = "x/y/new.gif", .strip = "1", .place = "/data/y/new.gif"},
    {TREE, .rename = "x/y/new.gif", .ignore_rename = true, .place = "/data/" R},
    {DATA, .rename = "x/y/new.gif", .place = "/data/new.gif"},
    {TREE, .rename = "dironly/", .place = NULL},
    {.directory = "/d", .mirror = true, .base_dir = "/radar/PRECIP",
     .rel_path = "radar/PRECIP/GIF/a.gif", .place = "/d/GIF/a.gif"},
    {.directory = "/d", .mirror = true, .base_dir = "/radar/PRECIP",
     .rel_path = "/radar/PRECIP/GIF/a.gif", .place = "/d/radar/PRECIP/GIF/a.gif"},
    {.directory = "/d", .mirror = true, .base_dir = "/radar/PRECIP",
     .rel_path = "radar/PRECIPX/a.gif", .place = "/d/radar/PRECIPX/a.gif"},
    {.directory = "/d", .mirror = true, .base_dir = "/radar/PRECIP", .rel_path = "radar/PRECIP",
     .place = "/d/radar/PRECIP"},
    {.directory = "/d", .mirror = true, .base_dir = "radar", .rel_path = "radar/a.gif",
     .place = "/d/radar/a.gif"},
    {.directory = "/d", .mirror = true, .base_dir = "/GIF", .strip = "2", .place = "/d/WGJ/" F},
    {.post_base_dir = "/d", .mirror = true, .place = "/d/" R},
    {.post_base_dir = "/d", .directory = "/e", .mirror = true, .place = "/e/" R},
    {.directory = "/d/${1}/${2}", .pattern = ".*/radar/([A-Z]*)/.*/(...)/.*",
     .place = "/d/PRECIP/WGJ/" F},
    {.directory = "/d/${1}", .place = "/d/{1}/" F},
    {.directory = "//d//e", .place = "/d/e/" F},
    {.directory = "/d/${%Y%m%d}/${%o-1d%Y%m%d}", .place = "/d/20261121/20261120/" F},
    {.directory = "/d/${NOSUCH}/x", .place = "/d/{NOSUCH}/x/" F},
};

static void worked_examples_hold(void **state)
{
    (void)state;
    check_rows(examples, COUNT_OF(examples));
}

static const struct row variables[] = {
    {.directory = "${BD}/x", .base_dir = "/b", .place = "/b/x/" F},
    {.directory = "/d/${BD}/x", .place = "/d/{BD}/x/" F},
    {.directory = "${BD}/x", .base_dir = "/b/${YYYYMMDD}", .place = "/b/20261121/x/" F},
    {.directory = "${BD}/x", .base_dir = "/b${PBD}", .post_base_dir = "/p", .place = "/b/p/x/" F},
    {.directory = "${PBD}/x", .base_dir = "/b", .post_base_dir = "${BD}/p", .place = "/b/p/x/" F},
    {.directory = "${BD}", .base_dir = "/a/${BD}", .place = "/{BD}/" F},
    {.directory = "${PBD}/${PDR}/${DR}", .post_base_dir = "/p", .document_root = "/r",
     .place = "/p/p/r/" F},
    {.post_base_dir = "/p/${YYYY}", .place = "/p/2026/" F},
    {.directory = "/d/${BUP}/${BUPL}", .base_url = "https://h/p/q", .place = "/d/p/q/q/" F},
    {.directory = "/d/${baseUrlPath}/${baseUrlPathLast}", .base_url = "https://h/p/q/",
     .place = "/d/p/q/" F},
    {.directory = "/d/${BUP}x", .base_url = "https://h", .place = "/d/x/" F},
    {.directory = "/d/${SOURCE}", .announced_source = "acme", .place = "/d/acme/" F},
    {.directory = "/d/${SOURCE}", .announced_source = "acme", .source = "own",
     .place = "/d/own/" F},
    {.directory = "/d/${SOURCE}", .place = "/d/{SOURCE}/" F},
    {.directory = "/d/${SOURCE}", .from_exchange = true, .announced_source = "acme",
     .place = "/d/maker/" F},
    {.directory = "/d/${YYYYMMDD}/${YYYY}/${MM}/${DD}/${HH}/${JJJ}",
     .place = "/d/20261121/2026/11/21/02/325/" F},
    {.directory = "/d/${YYYYMMDD}/${HH}", .var_time_offset_ms = -3 * 3600 * 1000,
     .place = "/d/20261120/23/" F},
    {.directory = "/d/${%Y-%m}/${%H%M%S}", .place = "/d/2026-11/020304/" F},
    {.directory = "/d/${%Y/%m}/x", .place = "/d/2026/11/x/" F},
    {.directory = "/d/${%o-1h%Y%m%d%H}", .place = "/d/2026112101/" F},
    {.directory = "/d/${%o+30m%H%M}", .place = "/d/0233/" F},
    {.directory = "/d/${%-1d%Y%m%d}", .place = "/d/20261120/" F},
    {.directory = "/d/${%o-1h30m%H%M}", .place = "/d/0033/" F},
    {.directory = "/d/${%o-60%H%M}", .var_time_offset_ms = 3600 * 1000, .place = "/d/0202/" F},
    {.directory = "/d/${%-d}", .place = "/d/21/" F},
    {.directory = "/d/${%f}${%Z}${%z}", .place = "/d/000000/" F},
    {.directory = "/d/${%o-1h}", .place = "/d/{%o-1h}/" F},
    {.directory = "/d/${%o-99999999999999999d%Y}", .place = "/d/{%o-99999999999999999d%Y}/" F},
    {.directory = "/d/${YYYY-1d}/${MM-3w}/${JJJ-1d}/${YYYYMMDD-2d}",
     .place = "/d/2026/10/324/20261119/" F},
    {.directory = "/d/${DD-1d}", .place = "/d/{DD-1d}/" F},
    {.directory = "/d/${YYYY-}", .place = "/d/{YYYY-}/" F},
    {.directory = "/d/${0}", .rel_path = "x", .place = "/d/https:/h/x/x"},
    {.directory = "/d/${0}", .pattern = "ht+", .place = "/d/htt/" F},
    {.directory = "/d/${0}/${1}", .unmatched = true, .place = "/d/{0}/{1}/" F},
    {.directory = "/d/${0}", .pattern = ".*/(ra)(dar)/", .first_group_is_zero = true,
     .place = "/d/ra/" F},
    {.directory = "/d/${1}/${2}", .pattern = ".*/(ra)(dar)/", .first_group_is_zero = true,
     .place = "/d/dar/{3}/" F},
    {.directory = "/d/${1}/x", .pattern = ".*/(QC)?radar", .place = "/d/x/" F},
    {.directory = "/d/${2}/x", .pattern = ".*/(radar)(QC)?", .place = "/d/x/" F},
    {.directory = "/d/${12}", .pattern = ".*/(r)(a)(d)(a)(r)/(P)(R)(E)(C)(I)(P)/(GIF)",
     .place = "/d/GIF/" F},
    {.directory = "/d/pre${1}post", .pattern = ".*/(radar)/", .place = "/d/preradarpost/" F},
    {.directory = "/d/${1}/${YYYY}", .pattern = ".*/(radar/P)", .mirror = true,
     .place = "/d/radar/P/2026/" R},
    {.directory = "/d/${YYYY}/${1}", .pattern = ".*/(radar)/", .place = "/d/2026/radar/" F},
    {.directory = "/d/a$b/$", .place = "/d/ab/" F},
    {.directory = "/d/${unclosed", .place = "/d/{unclosed/" F},
    {.directory = "/d/${${YYYY}}", .place = "/d/{2026}/" F},
    {.directory = "${NOSUCH}/x", .place = "/{NOSUCH}/x/" F},
    {.directory = "${KNOWN}/y", .place = "/known/x/y/" F},
    {.directory = "/d/${T1}${T2}/${A1}${A2}/${ii}/${CCCC}/${YY}/${GG}/${Gg}/${BBB}",
     .rel_path = "x/SACN43_CWAO_120023_RRA:b", .place = "/d/SA/CN/43/CWAO/12/00/23/RRA/"
                                                        "SACN43_CWAO_120023_RRA:b"},
    {.directory = "/d/${RYYYY}${RMM}${RDD}/${RHH}${RMN}${RSS}",
     .rel_path = "a:b:c:d:e:f:20250304050607", .place = "/d/20250304/050607/"
                                                        "a:b:c:d:e:f:20250304050607"},
    {.directory = "/d/${RYYYY}", .rel_path = "a", .place = "/d/2026/a"},
    {.directory = "/d/${CCCC}", .rel_path = "SACN43:a_b", .place = NULL},
    {.directory = "/d/${BBB}", .rel_path = "SACN43_CWAO_120023", .place = NULL},
    {.directory = "/d/${RSS}", .rel_path = "a", .extension = "b:c:d:e:f:2025", .place = "/d/a"},
    {.directory = "/d", .filename = "WHATFN", .rel_path = "x/b:c:d", .place = "/d/b"},
    {.directory = "/d", .filename = "WHATFN:TIME", .rel_path = "x/b:c",
     .place = "/d/b:20250102030405"},
    {.directory = "/d", .filename = "DESTFN=x.gif", .flatten = "-", .mirror = true,
     .place = "/d/radar/PRECIP/GIF/WGJ/x.gif"},
    {.directory = "/d", .filename = "None", .extension = "a:b", .place = "/d/" F},
    {.directory = "/d", .filename = "NONE", .rel_path = "n:o", .extension = "a:b",
     .place = "/d/n:a:b"},
};

static void variables_are_replaced(void **state)
{
    (void)state;
    check_rows(variables, COUNT_OF(variables));
}

static const struct row hostile[] = {
    {TREE, .rel_path = "", .place = NULL},
    {TREE, .rel_path = "/", .place = NULL},
    {TREE, .rel_path = "a/..", .place = NULL},
    {TREE, .rel_path = "a/../b", .strip = "2", .place = NULL},
    {TREE, .rel_path = "a/../b", .strip = ".*/", .place = NULL},
    {DATA, .rel_path = "a/../b", .flatten = "-", .place = NULL},
    {DATA, .rel_path = "a/../b", .rename = "c", .place = NULL},
    {DATA, .rel_path = "a", .rename = "../c", .ignore_rename = true, .place = NULL},
    {TREE, .base_url_rel_path = true, .base_url = "https://h/../..", .rel_path = "etc/passwd",
     .place = NULL},
    {TREE, .rel_path = ".x./a", .strip = "x", .place = NULL},       /* strip makes ".." */
    {TREE, .rel_path = ".$./a", .place = NULL},                     /* so does the lost '$' */
    {TREE, .rel_path = "$/$a/b$", .place = "/data/a/b$"},
    {DATA, .rel_path = "//", .flatten = ".", .place = NULL},        /* and flatten */
    {TREE, .rel_path = "${HOME}/${BD}/${1}/a", .base_dir = "/b",
     .place = "/data/{HOME}/{BD}/{1}/a"},
    {.directory = "/d/${1}", .pattern = ".*/(\\$.*)/", .rel_path = "${BD}/a", .base_dir = "/b",
     .place = "/d/{BD}/a"},
    {.directory = "/d/${1}", .pattern = ".*/(\\.+)/", .base_url = "https://h/../",
     .rel_path = "a", .place = NULL},
    {.directory = "/d/.${1}", .pattern = ".*/x(.)", .rel_path = "x./a", .place = NULL},
    {.directory = "/d/${SOURCE}", .announced_source = "..", .place = NULL},
    {.directory = "/d/${SOURCE}", .announced_source = "../../etc", .place = NULL},
    {.directory = "/d/${SOURCE}", .announced_source = "/etc", .place = "/d/etc/" F},
    {.directory = "/d/${SOURCE}", .announced_source = "", .place = "/d/" F},
    {.directory = "/d/${BUP}", .base_url = "https://h/../..", .place = NULL},
    {.directory = "/d/${CCCC}", .rel_path = "a_.._b", .place = NULL},
    {.directory = "/d/x", .filename = "SENDER", .rel_path = "a:SENDER=..", .place = NULL},
    {.directory = "/d/x", .filename = "SENDER", .rel_path = "a:SENDER=", .place = NULL},
    {.directory = "/d/x", .filename = "NONE", .rel_path = "a", .extension = "b/../c",
     .place = NULL},
    {TREE, .rel_path = X250 "123456", .place = NULL},
    {DATA, .rel_path = X250 "/" X250, .flatten = "-", .place = NULL},
    {TREE, .rel_path = "a/./b", .place = NULL},
};

static void hostile_announcements_stay_below(void **state)
{
    (void)state;
    check_rows(hostile, COUNT_OF(hostile));
}

/* The directory that no announcement can change, and the path below it. */
static const struct {
    const char *directory, *root, *path;
} roots[] = {
    {"/d/e", "/d/e", "f"},
    {"/", "/", "f"},
    {"/d/${1}/e", "/d", "g/e/f"},
    {"/d/x${1}", "/d", "xg/f"},
    {"/d/${YYYY}/x${MM}${1}", "/d/2026", "x11g/f"},
    {"/d/${YYYY}", "/d/2026", "f"},
    {"/d/${SOURCE}/${YYYY}", "/d", "s/2026/f"},
    {"/d/../e/./${1}", "/d/../e/.", "g/f"},
    {"/${1}", "/", "g/f"},
    {"/d/${NOSUCH}", "/d/{NOSUCH}", "f"},
};

static void roots_are_the_operators(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(roots); i++) {
        struct row row = {.directory = roots[i].directory, .pattern = ".*/(g)/"};
        struct announcement announcement = {
            .received_ns = NOW_NS, .base_url = "http://h", .rel_path = "g/f", .source = "s"};
        struct error err = {0};
        struct filter *filter = open_row(&row, &err);
        struct filter_verdict verdict;

        if (!filter || !filter_match(filter, &announcement, &verdict, &err)
            || !same_text(verdict.directory, roots[i].root)
            || !same_text(verdict.path, roots[i].path))
            fail_msg("'%s': got '%s', '%s' (%s)", roots[i].directory, verdict.directory,
                     verdict.path, err.text);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

/* Relative ones, and those that begin with what an announcement or the clock brings. */
static void others_are_below_the_current_directory(void **state)
{
    static const struct row rows[] = {
        {.place = "/" F},
        {.directory = "rel/dir", .mirror = true, .place = "/rel/dir/" R},
        {.directory = "${SOURCE}/x", .announced_source = "/etc", .place = "/etc/x/" F},
        {.directory = "${1}", .pattern = "http(.*)", .rel_path = "a", .place = "/s:/h/a/a"},
        {.directory = "${YYYY}/x", .place = "/2026/x/" F},
        {.directory = "${BUP}", .base_url = "http://h/etc", .place = "/etc/" F},
        {.directory = "${BD}/x", .base_dir = "b", .place = "/b/x/" F},
    };
    char *here = getcwd(NULL, 0);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct row row = rows[i];
        char *place = memory_format("%s%s", here, row.place);

        row.place = place;
        check_row(&row, i);
        free(place);
    }
    free(here);
}

/* Dates are local but for ${YYYYMMDD-0d} and its like, and follow the clock. */
static void dates_are_local(void **state)
{
    const struct row row = {.directory = "/d/${YYYYMMDD}/${%H}/${YYYYMMDD-0d}",
                            .place = "/d/20261120/21/20261121/" F};

    (void)state;
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    tzset();
    check_row(&row, 0);
    setenv("TZ", "UTC", 1);
    tzset();
}

static void dates_are_those_of_receiving(void **state)
{
    const struct row row = {.directory = "/d/${%S}"};
    struct error err = {0};
    struct filter *filter = open_row(&row, &err);
    static const char *const expected[] = {"/d/04", "/d/05", "/d/05", "/d/04"};
    static const int seconds[] = {0, 1, 1, 0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(seconds); i++) {
        struct announcement announcement = announcement_of(&row);
        struct filter_verdict verdict;

        announcement.received_ns = NOW_NS + seconds[i] * NS_PER_S;
        assert_true(filter_match(filter, &announcement, &verdict, &err));
        assert_string_equal(verdict.directory, expected[i]);
        arena_clear(&announcement.arena);
    }
    filter_close(filter);
}

static const struct {
    struct row row;
    const char *text;
} mistakes[] = {
    {{.strip = "a(b"}, "dd.conf:3: strip pattern 'a(b', character 4: missing closing parenthesis"},
    {{.flatten = "a/b"}, "dd.conf:3: flatten 'a/b': it becomes part of file names"},
    {{.filename = "#"}, "dd.conf:3: unknown filename keyword '#'"},
    {{.directory = "/d/${1}/../x"}, "dd.conf:3: directory '/d/${1}/../x': '.' or '..' behind"},
    {{.post_base_dir = "/d/${1}/./x"}, "post_baseDir: directory '/d/${1}/./x': '.' or '..'"},
};

static void mistakes_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        struct error err = {0};

        if (open_row(&mistakes[i].row, &err) || err.kind != ERROR_OPERATOR
            || strncmp(err.text, mistakes[i].text, strlen(mistakes[i].text)) != 0)
            fail_msg("row %zu: got '%s'", i, err.text);
    }
}

/* A pattern that takes exponential time strips nothing, and comes back. */
static void endless_strips_are_stopped(void **state)
{
    const struct row row = {.directory = "/d", .mirror = true, .strip = "(a+)+b(a|aa)+$"};
    const struct row other = {.directory = "/d", .mirror = true, .strip = "/^(a|aa)+$"};
    struct error err = {0};
    struct filter *filters[] = {open_row(&row, &err), open_row(&other, &err)};
    char path[4000];

    (void)state;
    memset(path, 'a', sizeof(path));
    path[200] = '\0';
    path[199] = '!';
    for (int i = 0; i < 6; i++) {
        struct announcement announcement = {.base_url = "http://h", .rel_path = path};
        struct filter_verdict verdict;

        assert_true(filter_match(filters[i % 2], &announcement, &verdict, &err));
        assert_string_equal(verdict.path, path);
        arena_clear(&announcement.arena);
    }
    filter_close(filters[0]);
    filter_close(filters[1]);
}

/* What a rename's or hard link's other path stands for; `text` is joined, NULL: refused. */
static const struct {
    struct row row;
    const char *path, *place;
} mapped[] = {
    {{TREE}, "bulletins/A.txt", "/data/bulletins/A.txt"},
    {{TREE, .strip = "1"}, "bulletins/A.txt", "/data/A.txt"},
    {{DATA}, "bulletins/A.txt", "/data/A.txt"},
    {{TREE, .strip = "2"}, "radar/PRECIP/GIF/WGJ/old.gif", "/data/GIF/WGJ/old.gif"},
    {{TREE, .flatten = "-"}, "a/b", "/data/a/a-b"},
    {{TREE, .base_dir = "/radar"}, "/radar/old.gif", "/data/old.gif"},
    {{TREE}, "/bulletins/A.txt", "/data/bulletins/A.txt"},
    {{TREE}, "/data/bulletins/A.txt", "/data/bulletins/A.txt"},
    {{TREE, .strip = "1"}, "/data/bulletins/A.txt", "/data/bulletins/A.txt"},
    {{TREE}, "/database/A.txt", "/data/database/A.txt"},
    {{TREE}, "/data/", NULL},
    {{TREE}, "/data/../etc/passwd", NULL},
    {{TREE}, "../etc/passwd", NULL},
    {{TREE}, "a/", NULL},
    {{TREE}, "", NULL},
    {{TREE, .rename = "x/y"}, "a/b", "/data/a/b"},
    {{.directory = "/d/${1}", .pattern = ".*/(radar|bulletins)/"}, "bulletins/A", "/d/bulletins/A"},
};

static void mentioned_paths_are_mapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(mapped); i++) {
        struct error err = {0};
        struct filter *filter = open_row(&mapped[i].row, &err);
        struct announcement announcement = announcement_of(&mapped[i].row);
        struct filter_verdict verdict;
        char *place = NULL;

        if (filter_map_path(filter, &announcement, mapped[i].path, &verdict, &err))
            place = join(&verdict);
        if (!same_text(place, mapped[i].place))
            fail_msg("row %zu, '%s': got '%s' (%s)", i, mapped[i].path, place, err.text);
        assert_string_equal(announcement.rel_path, R);
        free(place);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

/* options.md 10.4: what sr3 makes of a link's target */
static const struct {
    struct row row;
    const char *target, *key;
} link_keys[] = {
    {{TREE}, "tgt", "tgt"},
    {{TREE}, "a/b", "a/b"},
    {{TREE, .base_url = "https://h/"}, "tgt", "tgt"},
    {{TREE, .base_url = "https://h/p"}, "tgt", "../../../../tgt"},
    {{TREE, .base_url = "https://h/p"}, "/p/tgt", "/data/tgt"},
    {{TREE, .base_url = "https://h/p/"}, "/p/tgt", "/data/tgt"},
    {{TREE, .base_url = "https://h/p"}, "/px/tgt", "/px/tgt"},
    {{TREE, .strip = "2"}, "tgt", "../../tgt"},
    {{TREE, .strip = "2"}, "radar/PRECIP/GIF/WGJ/old.gif", "../../GIF/WGJ/old.gif"},
    {{TREE, .strip = "2"}, "../../x", "../../x"},
    {{TREE, .strip = "2"}, "/abs/tgt", "/abs/tgt"},
    {{TREE, .strip = "2"}, "a/b", "a/b"},
    {{TREE, .strip = "9"}, "tgt", "tgt"},
    {{TREE, .strip = "2", .rel_path = "a/b/c/f"}, "tgt", "../tgt"},
    {{TREE, .strip = ".*?GIF/"}, "radar/PRECIP/GIF/WGJ/old.gif", "WGJ/old.gif"},
    {{TREE, .strip = "a"}, "banana", "bnn"},
    {{TREE, .strip = "x*"}, "\xC3\xA9xa", "\xC3\xA9" "a"},
    {{TREE, .flatten = "-"}, "a/b", "a-b"},
    {{.directory = "/d", .base_dir = "/radar"}, "/radar/old.gif", "/d/old.gif"},
    {{.directory = "/d", .base_dir = "/radar"}, "tgt", "../../../tgt"},
};

static void link_keys_are_sr3s(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(link_keys); i++) {
        struct error err = {0};
        struct filter *filter = open_row(&link_keys[i].row, &err);
        struct announcement announcement = announcement_of(&link_keys[i].row);
        struct filter_verdict verdict;
        const char *key = NULL, *path;

        announcement.file_op = (struct file_op){.present = true, .link = link_keys[i].target};
        if (filter_match(filter, &announcement, &verdict, &err))
            announcement_duplicate_key(&announcement, ANNOUNCEMENT_BY_PATH, &key, &path);
        if (!same_text(key, link_keys[i].key))
            fail_msg("row %zu, '%s': got '%s' (%s)", i, link_keys[i].target, key, err.text);
        assert_string_equal(announcement.file_op.link, link_keys[i].target);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

static const struct {
    const char *path, *target;
    bool inside;
} links[] = {
    {"a/b", "c", true},          {"a/b", "../c", true},      {"a/b", "../../c", false},
    {"a", "..", false},          {"a/b", "..", true},        {"a", "b/../c", true},
    {"a", "b/../../c", false},   {"a/b", "./.././c", true},  {"a", "/data/x", true},
    {"a", "/data", false},       {"a", "/database/x", false}, {"a", "/data/../x", false},
    {"a", "/data/x/../y", true}, {"a", "/etc/passwd", false}, {"a/b", "..//../x", false},
    {"a", "", true},
};

static void links_that_lead_out_are_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(links); i++) {
        struct destination_place place = {"/data", links[i].path};

        if (destination_link_is_inside(&place, links[i].target) != links[i].inside)
            fail_msg("'%s' -> '%s': not %d", links[i].path, links[i].target, links[i].inside);
    }
}

static const struct {
    struct row row;
    const char *path;
} posts[] = {
    {{TREE}, "data/" R},
    {{TREE, .post_base_dir = "/data"}, R},
    {{TREE, .post_base_dir = "/data/"}, R},
    {{TREE, .post_base_dir = "/dat"}, "data/" R},
    {{TREE, .post_base_dir = "/"}, "data/" R},
    {{TREE, .base_url = "https://h/data"}, R},
    {{TREE, .post_base_dir = "/data", .base_url = "https://h/radar"}, "PRECIP/GIF/WGJ/" F},
    {{.post_base_dir = "/p/${YYYY}", .mirror = true}, R},
};

static void posted_paths_lose_their_base(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(posts); i++) {
        struct error err = {0};
        struct filter *filter = open_row(&posts[i].row, &err);
        struct announcement announcement = announcement_of(&posts[i].row);
        struct filter_verdict verdict;
        const char *path;

        assert_true(filter_match(filter, &announcement, &verdict, &err));
        path = filter_post_path(filter, &announcement, &verdict);
        if (!same_text(path, posts[i].path))
            fail_msg("row %zu: got '%s'", i, path);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

static int hold_time(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    clock_hold(NOW_NS, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples_hold),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(hostile_announcements_stay_below),
        cmocka_unit_test(roots_are_the_operators),
        cmocka_unit_test(others_are_below_the_current_directory),
        cmocka_unit_test(dates_are_local),
        cmocka_unit_test(dates_are_those_of_receiving),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(endless_strips_are_stopped),
        cmocka_unit_test(mentioned_paths_are_mapped),
        cmocka_unit_test(link_keys_are_sr3s),
        cmocka_unit_test(links_that_lead_out_are_seen),
        cmocka_unit_test(posted_paths_lose_their_base),
    };

    return cmocka_run_group_tests(tests, hold_time, NULL);
}
