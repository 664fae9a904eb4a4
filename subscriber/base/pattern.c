/*
 * Regular expressions as Python's `re` reads them, done with PCRE2.
 *
 * Both agree on nearly everything; what differs and occurs is translated or set by options here.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "base/pattern.h"

#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS_MAX    100000
#define MATCH_DEPTH_MAX    10000
#define MATCH_HEAP_KIB_MAX 4096
#define JIT_STACK_MIN      (32 * 1024)
#define JIT_STACK_MAX      (512 * 1024)

_Static_assert(PATTERN_UNSET == PCRE2_UNSET, "the header promises PCRE2's value");

/* Most rules of a large set are ruled out by a text that their patterns cannot match without. */
#define NEEDLES_MAX 3

struct needle {
    char *text;
    size_t length;
};

struct pattern {
    struct needle needles[NEEDLES_MAX]; /* each occurs in whatever matches; looked for in order */
    pcre2_code *code;
    size_t groups;
    bool jit_tried; /* at the first match: many of a large set never come to it */
};

struct pattern_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* Behind the set that begins at `at`; in "[]a]" and "[^]a]" the first ']' is a member. */
static const char *skip_set(const char *at)
{
    at += at[1] == '^' ? 2 : 1;
    at += *at == ']';
    while (*at && *at != ']')
        at += at[0] == '\\' && at[1] ? 2 : 1;
    return at + (*at == ']');
}

/* "{,3}" and "{,}": a repetition from zero in Python, plain text to this version of PCRE2. */
static bool repeats_from_zero(const char *at)
{
    return at[0] == '{' && at[1] == ',' && at[2 + strspn(at + 2, "0123456789")] == '}';
}

static char *translate(const char *pattern)
{
    char *copy = memory_new(2 * strlen(pattern) + 1), *to = copy;

    for (const char *at = pattern, *next; *at; at = next) {
        next = *at == '[' ? skip_set(at) : at + (at[0] == '\\' && at[1] ? 2 : 1);
        memcpy(to, at, (size_t)(next - at));
        to += next - at;
        if (repeats_from_zero(at))
            *to++ = '0';
    }
    return copy;
}

/* ---- needles ---- */

/* Literal characters of a pattern, one after the other. */
struct run {
    char *bytes;
    size_t length;
};

/* The latest come first: patterns differ at their ends, "https://dd.../" is in all of them. */
static void end_run(struct pattern *pattern, struct run *run)
{
    struct needle *needles = pattern->needles;

    if (run->length > 1) {
        free(needles[NEEDLES_MAX - 1].text);
        memmove(needles + 1, needles, (NEEDLES_MAX - 1) * sizeof(*needles));
        needles[0] = (struct needle){memory_copy_bytes(run->bytes, run->length), run->length};
    }
    run->length = 0;
}

/* The last character may be missing from what matches. */
static void drop_last(struct run *run)
{
    while (run->length && ((unsigned char)run->bytes[--run->length] & 0xC0) == 0x80)
        continue;
}

/* Groups that change nothing outside of them; not "(?i)", not what only PCRE2 knows. */
static bool group_is_plain(const char *at)
{
    return at[1] != '*' && (at[1] != '?' || (at[2] && strchr(":P=!<", at[2])));
}

static const char *skip_repetition(const char *at)
{
    const char *end = at + 1 + strspn(at + 1, "0123456789,");

    return *end == '}' ? end + 1 : NULL;
}

/* One step through a pattern; NULL when it says something that is not understood here. */
static const char *take_item(struct pattern *pattern, struct run *run, int *depth, const char *at)
{
    const char *end;

    switch (*at) {
    case '\\':
        if (at[1] && strchr("./-_:+*?()[]{}|^$\\#@%&=,~!<>'\" ", at[1])) {
            run->bytes[run->length++] = at[1];
            return at + 2;
        }
        end_run(pattern, run);
        return at[1] && strchr("dDwWsSbBA", at[1]) ? at + 2 : NULL;
    case '[':
        end_run(pattern, run);
        end = skip_set(at);
        return memchr(at + 1, '[', (size_t)(end - at - 1)) ? NULL : end;
    case '(':
        end_run(pattern, run);
        ++*depth;
        return group_is_plain(at) ? at + 1 : NULL;
    case ')':
        run->length = 0; /* of a group, which may be one of several or repeated */
        --*depth;
        return at + 1;
    case '|':
        run->length = 0;
        return *depth > 0 ? at + 1 : NULL;
    case '*':
    case '?':
        drop_last(run);
        end_run(pattern, run);
        return at + 1;
    case '{':
        drop_last(run);
        end_run(pattern, run);
        return skip_repetition(at);
    case '+':
    case '.':
    case '^':
    case '$':
        end_run(pattern, run);
        return at + 1;
    default:
        run->bytes[run->length++] = *at;
        return at + 1;
    }
}

static void forget_needles(struct pattern *pattern)
{
    for (int i = 0; i < NEEDLES_MAX; i++)
        memory_replace(&pattern->needles[i].text, NULL);
}

/* Inside of groups nothing is looked for. */
static void find_needles(struct pattern *pattern, const char *text)
{
    struct run run = {memory_new(strlen(text) + 1), 0};
    int depth = 0;

    for (const char *at = text; at && *at;) {
        at = take_item(pattern, &run, &depth, at);
        if (depth > 0)
            run.length = 0;
        if (!at)
            forget_needles(pattern);
    }
    end_run(pattern, &run);
    free(run.bytes);
}

static bool has_needles(const struct pattern *pattern, const char *text, size_t length)
{
    for (int i = 0; i < NEEDLES_MAX && pattern->needles[i].text; i++)
        if (!memmem(text, length, pattern->needles[i].text, pattern->needles[i].length))
            return false;
    return true;
}

/* ---- patterns ---- */

static pcre2_code *compile(const char *text, uint32_t options, int *code, PCRE2_SIZE *offset)
{
    char *translated = translate(text);
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED, options, code, offset, NULL);

    free(translated);
    return compiled;
}

struct pattern *pattern_compile(const char *option, const char *text, enum pattern_anchor anchor,
                                struct error *err)
{
    uint32_t options = PCRE2_NEVER_BACKSLASH_C | (anchor == PATTERN_AT_START ? PCRE2_ANCHORED : 0);
    PCRE2_UCHAR message[200];
    PCRE2_SIZE offset = 0;
    uint32_t groups = 0;
    int code = 0;
    struct pattern *pattern;
    /* Python's classes (\d, \w) know all of Unicode; what is not UTF-8 is read bytewise */
    pcre2_code *compiled = compile(text, options | PCRE2_UTF | PCRE2_UCP, &code, &offset);

    if (!compiled && code <= PCRE2_ERROR_UTF8_ERR1 && code >= PCRE2_ERROR_UTF8_ERR21)
        compiled = compile(text, options, &code, &offset);
    if (!compiled) {
        pcre2_get_error_message(code, message, sizeof(message));
        error_set(err, ERROR_OPERATOR, "%s pattern '%s', character %zu: %s", option, text,
                  offset + 1, (const char *)message);
        return NULL;
    }
    pcre2_pattern_info(compiled, PCRE2_INFO_CAPTURECOUNT, &groups);
    pattern = memory_new(sizeof(*pattern));
    pattern->code = compiled;
    pattern->groups = groups;
    find_needles(pattern, text);
    return pattern;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern)
        return;
    forget_needles(pattern);
    pcre2_code_free(pattern->code);
    free(pattern);
}

size_t pattern_groups(const struct pattern *pattern)
{
    return pattern->groups;
}

struct pattern_matcher *pattern_matcher_new(size_t groups)
{
    struct pattern_matcher *matcher = memory_new(sizeof(*matcher));

    matcher->data = pcre2_match_data_create((uint32_t)groups + 1, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    if (!matcher->data || !matcher->context)
        abort();
    pcre2_set_match_limit(matcher->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(matcher->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(matcher->context, MATCH_HEAP_KIB_MAX);
    matcher->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (matcher->stack)
        pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return matcher;
}

void pattern_matcher_free(struct pattern_matcher *matcher)
{
    if (!matcher)
        return;
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_jit_stack_free(matcher->stack);
    free(matcher);
}

enum pattern_outcome pattern_match(struct pattern_matcher *matcher, struct pattern *pattern,
                                   const char *text, size_t length, size_t start, struct error *err)
{
    PCRE2_UCHAR message[200];
    int code;

    if (!has_needles(pattern, text + start, length - start))
        return PATTERN_NO_MATCH;
    if (!pattern->jit_tried) /* without it matching is merely slower */
        pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    pattern->jit_tried = true;
    code = pcre2_match(pattern->code, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK,
                       matcher->data, matcher->context);
    if (code >= 0)
        return PATTERN_MATCH;
    if (code == PCRE2_ERROR_NOMATCH)
        return PATTERN_NO_MATCH;
    pcre2_get_error_message(code, message, sizeof(message));
    error_set(err, ERROR_OPERATOR, "%s", (const char *)message);
    return PATTERN_TOO_LONG;
}

const size_t *pattern_offsets(const struct pattern_matcher *matcher)
{
    return pcre2_get_ovector_pointer(matcher->data);
}
