/* The filter: which rule decides, where the file goes, what is refused. */
#include "stages/filter.h"

#include "announcement.h"
#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define R "radar/PRECIP/GIF/WGJ/201312141900_WGJ_SNOW.gif"
#define F "201312141900_WGJ_SNOW.gif"

/* Rules as words: "+pattern" accepts into /1, /2, ..., "-pattern" rejects. */
static const struct {
    const char *rules[4];
    bool accept_unmatched;
    const char *rel_path;
    const char *directory; /* NULL: rejected */
} verdicts[] = {
    {{"-.*\\.gif", "+.*"}, true, R, NULL},
    {{"+.*", "-.*\\.gif"}, true, R, "/1"},
    {{"+GIF"}, false, R, NULL},
    {{"+.*GIF.*"}, false, R, "/1"},
    {{"+https://dd.example.org/radar.*"}, false, R, "/1"},
    {{"+.*GIF.*"}, true, "x/y.txt", "/end"},
    {{"+.*GIF.*", "+.*txt"}, false, "x/y.txt", "/2"},
    {{"+.*GIF.*"}, false, "x/y.txt", NULL},
    {{NULL}, true, "x/y.txt", "/end"},
    {{NULL}, false, "x/y.txt", NULL},
    {{"+"}, false, "x/y.txt", "/1"},
    {{"+.*/(?P<dir>[a-z]+)/.*(?P=dir)"}, false, "ab/cab", "/1"},
    {{"+.*/x\\w\\d$"}, false, "x\xC3\xA9\xD9\xA3", "/1"},
    {{"+.*/x..$"}, false, "x\xC3\xA9\xD9\xA3", "/1"},
    {{"+.*/\xC3\xA9$"}, false, "\xC3\xA9", "/1"},
    {{"+.*/x\xA9?$"}, false, "x", "/1"},
    {{"+.*(?i)\\.GIF$"}, false, R, "/1"},
    {{"+.*/a b#c$"}, false, "a b#c", "/1"},
    {{"+.*/a{,2}$"}, false, "aa", "/1"},
    {{"+.*/a{,2}$"}, false, "aaa", NULL},
    {{"+.*/xa{,}$"}, false, "xaaa", "/1"},
    {{"+.*/[{,2}]+$"}, false, "{,2}", "/1"},
    {{"+.*/[^]{,2}]$"}, false, "x", "/1"},
    {{"+.*/a\\{,2}$"}, false, "a{,2}", "/1"},
    {{"+.*/[\\]]a{,1}$"}, false, "]", "/1"},
};

static struct filter *open_words(const char *const *words, bool accept_unmatched)
{
    static const char *const directories[] = {"/1", "/2", "/3", "/4"};
    struct filter_rule rules[4];
    struct filter_settings settings = {
        .rules = rules, .accept_unmatched = accept_unmatched, .unmatched = {.directory = "/end"}};
    struct error err = {0};
    struct filter *filter;

    for (; settings.rule_count < 4 && words[settings.rule_count]; settings.rule_count++) {
        const char *word = words[settings.rule_count];

        rules[settings.rule_count] = (struct filter_rule){
            .accept = *word == '+',
            .pattern = word + 1,
            .target = {.directory = directories[settings.rule_count]},
            .file = "x.conf",
            .line = 1};
    }
    filter = filter_open(&settings, &err);
    if (!filter)
        fail_msg("'%s': %s", words[0], err.text);
    return filter;
}

static void first_matching_rule_decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(verdicts); i++) {
        struct filter *filter = open_words(verdicts[i].rules, verdicts[i].accept_unmatched);
        struct announcement announcement = {.base_url = "https://dd.example.org/",
                                            .rel_path = verdicts[i].rel_path};
        struct filter_verdict verdict;
        struct error err = {0};
        bool judged = filter_match(filter, &announcement, &verdict, &err);
        const char *directory = verdict.accepted ? verdict.directory : NULL;

        if (!judged || !same_text(directory, verdicts[i].directory))
            fail_msg("row %zu, '%s' on '%s': got '%s' (%s)", i, verdicts[i].rules[0],
                     verdicts[i].rel_path, directory, err.text);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

/* options.md 10.2, as far as mirror and rename go; path NULL: refused */
static const struct {
    bool mirror;
    const char *rel_path, *rename, *path;
} destinations[] = {
    {false, R, NULL, F},
    {true, R, NULL, R},
    {true, "/radar/a.gif", NULL, "radar/a.gif"},
    {true, "radar//x///a.gif", NULL, "radar/x/a.gif"},
    {true, R, "x/y/new.gif", "x/y/new.gif"},
    {false, R, "x/y/new.gif", "new.gif"},
    {true, "a.gif", NULL, "a.gif"},
    {true, R, "dironly/", NULL},
    {false, R, "dironly/", NULL},
    {false, R, "", NULL},
    {false, "", NULL, NULL},
    {true, "", NULL, NULL},
    {true, "a/", NULL, NULL},
    {true, "a/../b", NULL, NULL},
    {false, "a/../b", NULL, NULL},
    {false, "../b", NULL, NULL},
    {true, "a/..", NULL, NULL},
    {false, "..", NULL, NULL},
    {false, "a/../b", "c", NULL},
    {true, "b", "c/../d", NULL},
    {false, "b", "/../d", NULL},
    {true, "a/./b", NULL, NULL},
    {false, "a/./b", NULL, "b"},
    {false, "a/.", NULL, NULL},
    {true, "a..b/...", NULL, "a..b/..."},
    {true, "..a/b..", NULL, "..a/b.."},
};

static void destinations_stay_below(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(destinations); i++) {
        struct filter_settings settings = {.accept_unmatched = true,
                                           .unmatched = {.directory = "/data"},
                                           .destination = {.mirror = destinations[i].mirror}};
        struct error err = {0};
        struct filter *filter = filter_open(&settings, &err);
        struct announcement announcement = {.base_url = "https://h",
                                            .rel_path = destinations[i].rel_path,
                                            .rename = destinations[i].rename};
        struct filter_verdict verdict;
        bool judged = filter_match(filter, &announcement, &verdict, &err);

        if (judged != (destinations[i].path != NULL)
            || !same_text(verdict.path, destinations[i].path)
            || (!judged && (err.kind != ERROR_PERMANENT || strncmp(err.text, "422 ", 4) != 0)))
            fail_msg("mirror %d, '%s', rename '%s': got '%s' (%s)", destinations[i].mirror,
                     destinations[i].rel_path, destinations[i].rename, verdict.path, err.text);
        arena_clear(&announcement.arena);
        filter_close(filter);
    }
}

static void what_is_rejected_needs_no_destination(void **state)
{
    struct filter_rule rule = {.pattern = ".*", .file = "x.conf", .line = 1};
    struct filter_settings settings = {
        .rules = &rule, .rule_count = 1, .accept_unmatched = true, .destination = {.mirror = true}};
    struct error err = {0};
    struct filter *filter = filter_open(&settings, &err);
    struct announcement announcement = {.base_url = "https://h", .rel_path = "../a"};
    struct filter_verdict verdict;

    (void)state;
    assert_true(filter_match(filter, &announcement, &verdict, &err));
    assert_false(verdict.accepted);
    assert_int_equal(verdict.rule->line, 1);
    filter_close(filter);
    filter_close(NULL);
}

static void bad_patterns_are_explained(void **state)
{
    struct filter_rule rules[] = {{.accept = true, .pattern = ".*a", .file = "dd.conf", .line = 3},
                                  {.pattern = "x(y", .file = "dd.conf", .line = 7}};
    struct filter_settings settings = {.rules = rules, .rule_count = 2};
    struct error err = {0};

    (void)state;
    assert_null(filter_open(&settings, &err));
    assert_int_equal(err.kind, ERROR_OPERATOR);
    if (strncmp(err.text, "dd.conf:7: reject pattern 'x(y', character 4: ", 46) != 0)
        fail_msg("got '%s'", err.text);
}

/* A pattern that takes exponential time must come back, and as not matching. */
static void endless_patterns_are_stopped(void **state)
{
    static const char *const words[] = {"+.*/(a+)+b", "-https?://h/(a|aa)+$", NULL};
    struct filter *filter = open_words(words, true);
    char path[4000];
    struct announcement announcement = {.base_url = "http://h", .rel_path = path};
    struct filter_verdict verdict;
    struct error err = {0};

    (void)state;
    memset(path, 'a', sizeof(path));
    path[200] = '\0';
    path[199] = '!';
    for (int i = 0; i < 3; i++) {
        assert_true(filter_match(filter, &announcement, &verdict, &err));
        assert_true(verdict.accepted);
        assert_null(verdict.rule);
    }
    arena_clear(&announcement.arena);
    filter_close(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_matching_rule_decides),
        cmocka_unit_test(destinations_stay_below),
        cmocka_unit_test(what_is_rejected_needs_no_destination),
        cmocka_unit_test(bad_patterns_are_explained),
        cmocka_unit_test(endless_patterns_are_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
