/*
 * Accept and reject rules in file order, and the path an accepted file gets.
 *
 * Patterns come from the operator, URLs from strangers. Every match therefore has limits, and a
 * rule that runs into them is named once: an operator who reads it can write a better pattern.
 */
#include "stages/filter.h"

#include "base/log.h"
#include "base/pattern.h"

#include <stdlib.h>
#include <string.h>

struct rule {
    struct filter_rule settings;
    struct pattern *pattern; /* NULL: matches everything */
    struct destination_rule *destination;
    bool complained;
};

struct filter {
    struct arena arena; /* of the texts in the rules */
    struct rule *rules;
    size_t rule_count;
    bool accept_unmatched;
    struct destination *destination;
    struct destination_rule *unmatched;
    struct pattern_matcher *matcher;
};

static const char *keep(struct filter *filter, const char *text)
{
    return text ? arena_copy(&filter->arena, text, strlen(text)) : NULL;
}

static bool blame(const struct filter_rule *rule, struct error *err)
{
    return error_wrap(err, "%s:%d", rule->file ? rule->file : "-", rule->line);
}

static bool compile(struct rule *rule, struct error *err)
{
    const struct filter_rule *settings = &rule->settings;

    if (strcmp(settings->pattern, ".*") == 0)
        return true;
    rule->pattern = pattern_compile(settings->accept ? "accept" : "reject", settings->pattern,
                                    PATTERN_AT_START, err);
    return rule->pattern || blame(settings, err);
}

static bool add_rule(struct filter *filter, const struct filter_rule *settings, struct error *err)
{
    struct rule *rule = &filter->rules[filter->rule_count++];

    rule->settings = *settings;
    rule->settings.pattern = keep(filter, settings->pattern);
    rule->settings.file = keep(filter, settings->file);
    rule->settings.target = (struct destination_target){.directory = NULL}; /* it was copied */
    if (!compile(rule, err))
        return false;
    if (!settings->accept)
        return true;
    rule->destination = destination_add_rule(filter->destination, &settings->target, err);
    return rule->destination || blame(settings, err);
}

static bool add_rules(struct filter *filter, const struct filter_settings *settings,
                      struct error *err)
{
    size_t groups = 0;

    filter->rules = memory_new(settings->rule_count * sizeof(*filter->rules));
    for (size_t i = 0; i < settings->rule_count; i++) {
        if (!add_rule(filter, &settings->rules[i], err))
            return false;
        if (filter->rules[i].pattern && pattern_groups(filter->rules[i].pattern) > groups)
            groups = pattern_groups(filter->rules[i].pattern);
    }
    filter->matcher = pattern_matcher_new(groups);
    filter->unmatched = destination_add_rule(filter->destination, &settings->unmatched, err);
    return filter->unmatched != NULL;
}

struct filter *filter_open(const struct filter_settings *settings, struct error *err)
{
    struct filter *filter = memory_new(sizeof(*filter));

    filter->accept_unmatched = settings->accept_unmatched;
    filter->destination = destination_open(&settings->destination, err);
    if (filter->destination && add_rules(filter, settings, err))
        return filter;
    filter_close(filter);
    return NULL;
}

void filter_close(struct filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->rule_count; i++)
        pattern_free(filter->rules[i].pattern);
    pattern_matcher_free(filter->matcher);
    destination_close(filter->destination);
    free(filter->rules);
    arena_clear(&filter->arena);
    free(filter);
}

static void complain(struct rule *rule, const struct error *err, const char *url)
{
    if (rule->complained)
        return;
    rule->complained = true;
    log_warning("sr3sub.filter match",
                "%s:%d: pattern '%s' counts as not matching where it takes too long: %s (%s)",
                rule->settings.file ? rule->settings.file : "-", rule->settings.line,
                rule->settings.pattern, err->text, url);
}

static bool rule_matches(struct filter *filter, struct rule *rule, const char *url, size_t length)
{
    struct error err; /* only read when it was filled: clearing it costs more than most matches */

    switch (pattern_match(filter->matcher, rule->pattern, url, length, 0, &err)) {
    case PATTERN_MATCH:
        return true;
    case PATTERN_TOO_LONG:
        complain(rule, &err, url);
        break;
    case PATTERN_NO_MATCH:
        break;
    }
    return false;
}

static struct rule *first_match(struct filter *filter, struct announcement *announcement,
                                struct template_match *match)
{
    const char *url = NULL;
    size_t length = 0;

    for (size_t i = 0; i < filter->rule_count; i++) {
        struct rule *rule = &filter->rules[i];

        if (!rule->pattern) {
            match->everything = true;
            return rule;
        }
        if (!url) {
            url = announcement_match_url(announcement);
            length = strlen(url);
        }
        if (!rule_matches(filter, rule, url, length))
            continue;
        match->text = url;
        match->offsets = pattern_offsets(filter->matcher);
        match->count = pattern_groups(rule->pattern) + 1;
        return rule;
    }
    return NULL;
}

/* Finds the rule for what is announced now; the place is still to be found. */
static struct destination_rule *judge(struct filter *filter, struct announcement *announcement,
                                      struct template_match *match, struct filter_verdict *verdict)
{
    struct rule *rule = first_match(filter, announcement, match);

    *verdict = (struct filter_verdict){
        .accepted = rule ? rule->settings.accept : filter->accept_unmatched,
        .rule = rule ? &rule->settings : NULL,
    };
    return rule ? rule->destination : filter->unmatched;
}

static void take_place(struct filter_verdict *verdict, const struct destination_place *place)
{
    verdict->directory = place->directory;
    verdict->path = place->path;
}

bool filter_match(struct filter *filter, struct announcement *announcement,
                  struct filter_verdict *verdict, struct error *err)
{
    struct template_match match = {0};
    struct destination_rule *rule = judge(filter, announcement, &match, verdict);
    struct file_op *op = &announcement->file_op;
    struct destination_place place;

    if (!verdict->accepted)
        return true;
    if (!destination_resolve(filter->destination, rule, announcement, &match, &place, err))
        return false;
    take_place(verdict, &place);
    if (op->link)
        op->link_key =
            destination_link_key(filter->destination, rule, announcement, &match, op->link);
    return true;
}

bool filter_map_path(struct filter *filter, struct announcement *announcement, const char *path,
                     struct filter_verdict *verdict, struct error *err)
{
    const char *rel_path = announcement->rel_path;
    struct template_match match = {0};
    struct destination_rule *rule;
    struct destination_place place;
    bool mapped = true;

    announcement->rel_path = path; /* the question is what was done when that was announced */
    rule = judge(filter, announcement, &match, verdict);
    if (verdict->accepted)
        mapped = destination_map_path(filter->destination, rule, announcement, &match, path, &place,
                                      err);
    announcement->rel_path = rel_path;
    if (verdict->accepted && mapped)
        take_place(verdict, &place);
    return mapped;
}

const char *filter_post_path(struct filter *filter, struct announcement *announcement,
                             const struct filter_verdict *verdict)
{
    struct destination_place place = {verdict->directory, verdict->path};

    return destination_post_path(filter->destination, announcement, &place);
}
