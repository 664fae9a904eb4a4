/*
 * Accept and reject rules in file order, and the path an accepted file gets.
 *
 * Patterns come from the operator, URLs from strangers. Every match therefore has limits, and a
 * rule that runs into them is named once: an operator who reads it can write a better pattern.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "stages/filter.h"

#include "announcement.h"
#include "base/log.h"
#include "base/path.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define MATCH_STEPS_MAX    100000
#define MATCH_DEPTH_MAX    10000
#define MATCH_HEAP_KIB_MAX 4096
#define JIT_STACK_MIN      (32 * 1024)
#define JIT_STACK_MAX      (512 * 1024)

struct rule {
    struct filter_rule settings;
    pcre2_code *code; /* NULL: matches everything */
    bool complained;
};

struct filter {
    struct arena arena; /* of the texts in the rules */
    struct rule *rules;
    size_t rule_count;
    bool accept_unmatched, mirror;
    const char *directory;
    pcre2_match_data *match_data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static const char *keep(struct filter *filter, const char *text)
{
    return text ? arena_copy(&filter->arena, text, strlen(text)) : NULL;
}

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

static const char *translate(struct arena *arena, const char *pattern)
{
    char *copy = arena_take(arena, 2 * strlen(pattern) + 1), *to = copy;

    for (const char *at = pattern, *next; *at; at = next) {
        next = *at == '[' ? skip_set(at) : at + (at[0] == '\\' && at[1] ? 2 : 1);
        memcpy(to, at, (size_t)(next - at));
        to += next - at;
        if (repeats_from_zero(at))
            *to++ = '0';
    }
    *to = '\0';
    return copy;
}

/* Python's classes (\d, \w) know all of Unicode; a pattern that is not UTF-8 is taken bytewise. */
static uint32_t compile_options(const char *pattern)
{
    struct slice text = {pattern, strlen(pattern)};

    return PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C
         | (announcement_text_is_valid(text) ? PCRE2_UTF | PCRE2_UCP : 0);
}

static bool compile(struct filter *filter, struct rule *rule, struct error *err)
{
    const struct filter_rule *settings = &rule->settings;
    PCRE2_UCHAR message[200];
    PCRE2_SIZE offset;
    int code;

    if (strcmp(settings->pattern, ".*") == 0)
        return true;
    rule->code = pcre2_compile((PCRE2_SPTR)translate(&filter->arena, settings->pattern),
                               PCRE2_ZERO_TERMINATED, compile_options(settings->pattern), &code,
                               &offset, NULL);
    if (!rule->code) {
        pcre2_get_error_message(code, message, sizeof(message));
        return error_set(err, ERROR_OPERATOR, "%s:%d: %s pattern '%s', character %zu: %s",
                         settings->file ? settings->file : "-", settings->line,
                         settings->accept ? "accept" : "reject", settings->pattern, offset + 1,
                         (const char *)message);
    }
    pcre2_jit_compile(rule->code, PCRE2_JIT_COMPLETE); /* without it matching is merely slower */
    return true;
}

static bool add_rule(struct filter *filter, const struct filter_rule *settings, struct error *err)
{
    struct rule *rule = &filter->rules[filter->rule_count++];

    rule->settings = *settings;
    rule->settings.pattern = keep(filter, settings->pattern);
    rule->settings.directory = keep(filter, settings->directory);
    rule->settings.file = keep(filter, settings->file);
    return compile(filter, rule, err);
}

static void set_limits(struct filter *filter)
{
    filter->match_data = pcre2_match_data_create(1, NULL); /* groups are not asked for */
    filter->context = pcre2_match_context_create(NULL);
    if (!filter->match_data || !filter->context)
        abort();
    pcre2_set_match_limit(filter->context, MATCH_STEPS_MAX);
    pcre2_set_depth_limit(filter->context, MATCH_DEPTH_MAX);
    pcre2_set_heap_limit(filter->context, MATCH_HEAP_KIB_MAX);
    filter->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
    if (filter->stack)
        pcre2_jit_stack_assign(filter->context, NULL, filter->stack);
}

struct filter *filter_open(const struct filter_settings *settings, struct error *err)
{
    struct filter *filter = memory_new(sizeof(*filter));

    set_limits(filter);
    filter->accept_unmatched = settings->accept_unmatched;
    filter->mirror = settings->mirror;
    filter->directory = keep(filter, settings->directory);
    filter->rules = memory_new(settings->rule_count * sizeof(*filter->rules));
    for (size_t i = 0; i < settings->rule_count; i++)
        if (!add_rule(filter, &settings->rules[i], err))
            goto fail;
    return filter;
fail:
    filter_close(filter);
    return NULL;
}

void filter_close(struct filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->rule_count; i++)
        pcre2_code_free(filter->rules[i].code);
    pcre2_match_data_free(filter->match_data);
    pcre2_match_context_free(filter->context);
    pcre2_jit_stack_free(filter->stack);
    free(filter->rules);
    arena_clear(&filter->arena);
    free(filter);
}

static void complain(struct rule *rule, int code, const char *url)
{
    PCRE2_UCHAR message[200];

    if (rule->complained)
        return;
    rule->complained = true;
    pcre2_get_error_message(code, message, sizeof(message));
    log_warning("sr3sub.filter match",
                "%s:%d: pattern '%s' counts as not matching where it takes too long: %s (%s)",
                rule->settings.file ? rule->settings.file : "-", rule->settings.line,
                rule->settings.pattern, (const char *)message, url);
}

static bool rule_matches(struct filter *filter, struct rule *rule, const char *url, size_t length)
{
    int code = pcre2_match(rule->code, (PCRE2_SPTR)url, length, 0, PCRE2_NO_UTF_CHECK,
                           filter->match_data, filter->context);

    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        complain(rule, code, url);
    return code >= 0;
}

static struct rule *first_match(struct filter *filter, struct announcement *announcement)
{
    const char *url = NULL;
    size_t length = 0;

    for (size_t i = 0; i < filter->rule_count; i++) {
        struct rule *rule = &filter->rules[i];

        if (!rule->code)
            return rule;
        if (!url) {
            url = announcement_match_url(announcement);
            length = strlen(url);
        }
        if (rule_matches(filter, rule, url, length))
            return rule;
    }
    return NULL;
}

static bool climbs(const char *path)
{
    while (*(path += strspn(path, "/"))) {
        size_t length = strcspn(path, "/");

        if (length == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += length;
    }
    return false;
}

static const char *destination(const struct filter *filter, struct announcement *announcement,
                               struct error *err)
{
    const char *rename = announcement->rename;
    const char *path = rename ? rename : announcement->rel_path, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path, *clean;

    if (climbs(announcement->rel_path) || (rename && climbs(rename))) {
        error_set(err, ERROR_PERMANENT, "422 place '%.200s': '..' in its path", path);
        return NULL;
    }
    if (!*name) {
        error_set(err, ERROR_PERMANENT, "422 place '%.200s': no file name", path);
        return NULL;
    }
    clean = path_clean(&announcement->arena, filter->mirror ? path : name, err);
    if (!clean)
        error_wrap(err, "422 place '%.200s'", path);
    return clean;
}

bool filter_match(struct filter *filter, struct announcement *announcement,
                  struct filter_verdict *verdict, struct error *err)
{
    struct rule *rule = first_match(filter, announcement);

    *verdict = (struct filter_verdict){
        .accepted = rule ? rule->settings.accept : filter->accept_unmatched,
        .rule = rule ? &rule->settings : NULL,
        .directory = rule ? rule->settings.directory : filter->directory,
    };
    if (!verdict->accepted)
        return true;
    verdict->path = destination(filter, announcement, err);
    return verdict->path != NULL;
}
