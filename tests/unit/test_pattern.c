/* Patterns: what they match, above all where a text they need is looked for beforehand. */
#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *pattern, *text;
    bool at_start, anywhere;
} matches[] = {
    {"abc", "abcd", true, true},
    {"abc", "xabc", false, true},
    {"abc", "ab", false, false},
    {"abc?", "ab", true, true},
    {"abc*d", "abd", true, true},
    {"abc+d", "abccd", true, true},
    {"abc+?d", "abcd", true, true},
    {"abc++d", "abcd", true, true},
    {"abc{0}d", "abd", true, true},
    {"abc{,2}d", "abd", true, true},
    {"abc{2}d", "abccd", true, true},
    {"ab{x", "ab{x", true, true},
    {"a\xC3\xA9?b", "ab", true, true},
    {"xa\xC3\xA9*b", "xab", true, true},
    {"abc|xyz", "xyz", true, true},
    {"(abc|xyz)12", "xyz12", true, true},
    {"(abc)?12", "12", true, true},
    {"(?:abc)*12", "12", true, true},
    {"((ab)|(cd))ef", "cdef", true, true},
    {"(?i)abc", "ABC", true, true},
    {"(?i:abc)de", "ABCde", true, true},
    {"(?x)a b c", "abc", true, true},
    {"ab(?#cd)ef", "abef", true, true},
    {"ab(?=cd)", "abcd", true, true},
    {"ab(?!cd)ef", "abef", true, true},
    {"ab(?P<n>cd)ef", "abcdef", true, true},
    {"(?P<n>a)(?(n)bc|de)", "abc", true, true},
    {"[abc]d", "ad", true, true},
    {"[]abc]de", "]de", true, true},
    {"[^]abc]de", "xde", true, true},
    {"[[:alpha:]]de", "xde", true, true},
    {"[\\]a]bc", "abc", true, true},
    {"ab\\.cd", "ab.cd", true, true},
    {"ab\\.cd", "abxcd", false, false},
    {"ab\\x41cd", "abAcd", true, true},
    {"ab\\d\\d", "ab12", true, true},
    {"ab\\tcd", "ab\tcd", true, true},
    {"(a)b\\1c", "abac", true, true},
    {"ab\\\\cd", "ab\\cd", true, true},
    {"^abc$", "abc", true, true},
    {"^abc$", "abcd", false, false},
    {".*/radar/.*GIF.*[.]gif$", "https://h/radar/GIF/x.gif", true, true},
    {".*/radar/.*GIF.*[.]gif$", "https://h/GIF/radar/x.gif", false, false},
    {"\\Qab.cd\\E", "ab.cd", true, true},
    {"(ab))?", NULL, false, false},
    {"ab(cd", NULL, false, false},
    {"*a", NULL, false, false},
};

static bool finds(const char *text, enum pattern_anchor anchor, const char *subject)
{
    struct error err = {0};
    struct pattern *pattern = pattern_compile("accept", text, anchor, &err);
    struct pattern_matcher *matcher;
    enum pattern_outcome outcome = PATTERN_NO_MATCH;

    if (!pattern != !subject)
        fail_msg("'%s': %s", text, err.text);
    if (!pattern)
        return false;
    matcher = pattern_matcher_new(pattern_groups(pattern));
    for (int i = 0; i < 2; i++)
        outcome = pattern_match(matcher, pattern, subject, strlen(subject), 0, &err);
    pattern_matcher_free(matcher);
    pattern_free(pattern);
    return outcome == PATTERN_MATCH;
}

static void patterns_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(matches); i++) {
        bool at_start = finds(matches[i].pattern, PATTERN_AT_START, matches[i].text);
        bool anywhere = finds(matches[i].pattern, PATTERN_ANYWHERE, matches[i].text);

        if (at_start != matches[i].at_start || anywhere != matches[i].anywhere)
            fail_msg("'%s' in '%s': at start %d, anywhere %d", matches[i].pattern,
                     matches[i].text, at_start, anywhere);
    }
}

static void groups_are_told(void **state)
{
    struct error err = {0};
    struct pattern *pattern = pattern_compile("strip", "(b)(x)?c", PATTERN_ANYWHERE, &err);
    struct pattern_matcher *matcher = pattern_matcher_new(5);
    const size_t *at = pattern_offsets(matcher);

    (void)state;
    assert_int_equal(pattern_groups(pattern), 2);
    assert_int_equal(pattern_match(matcher, pattern, "abcbc", 5, 2, &err), PATTERN_MATCH);
    assert_int_equal(at[0], 3);
    assert_int_equal(at[1], 5);
    assert_int_equal(at[2], 3);
    assert_int_equal(at[3], 4);
    assert_true(at[4] == PATTERN_UNSET && at[5] == PATTERN_UNSET);
    assert_int_equal(pattern_match(matcher, pattern, "abcbc", 5, 4, &err), PATTERN_NO_MATCH);
    pattern_matcher_free(matcher);
    pattern_free(pattern);
    pattern_free(NULL);
    pattern_matcher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match),
        cmocka_unit_test(groups_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
