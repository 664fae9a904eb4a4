/*
 * A pattern, a newline, a text: whatever the two are, looking for needles beforehand changes
 * nothing about the answer. The module is built in, to see it without.
 */
#include "base/pattern.c"

#include <assert.h>

#define PATTERN_MAX 60 /* long ones take long to compile */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_utf8(pcre2_code *any, const char *text, size_t length)
{
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    int code = pcre2_match(any, (PCRE2_SPTR)text, length, 0, 0, match, NULL);

    pcre2_match_data_free(match);
    return code >= 0;
}

static void compare(struct pattern *pattern, const char *text, size_t length)
{
    struct pattern_matcher *matcher = pattern_matcher_new(pattern->groups);
    struct error err = {0};
    enum pattern_outcome with = pattern_match(matcher, pattern, text, length, 0, &err), without;

    forget_needles(pattern);
    without = pattern_match(matcher, pattern, text, length, 0, &err);
    assert(with == without || without == PATTERN_TOO_LONG);
    pattern_matcher_free(matcher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pcre2_code *any;
    char *copy = memory_copy_bytes(data, size), *text = strchr(copy, '\n');
    struct pattern *pattern = NULL;
    struct error err = {0};
    int code;
    PCRE2_SIZE offset;

    if (!any)
        any = compile("", PCRE2_UTF, &code, &offset);
    if (text)
        *text++ = '\0';
    if (text && strlen(copy) < PATTERN_MAX && is_utf8(any, text, strlen(text)))
        pattern = pattern_compile("accept", copy, PATTERN_ANYWHERE, &err);
    if (pattern)
        compare(pattern, text, strlen(text));
    pattern_free(pattern);
    free(copy);
    return 0;
}
