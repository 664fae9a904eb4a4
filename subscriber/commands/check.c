/*
 * check: everything that is wrong, or likely to be, in all configurations at once.
 *
 * Each file is read by itself, so a bad one stops no other. What the loader says comes first; then
 * what only shows when the whole is looked at: patterns, directories (check_traps.c), and
 * subscriptions that share a queue and disagree.
 */
#include "commands/check_traps.h"

#include "judge.h"
#include "stages/vip.h"
#include "stores.h"

#include <stdlib.h>
#include <string.h>

/* ---- saying ---- */

void check_say(struct check *check, bool is_error, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = memory_format_list(format, args);
    va_end(args);
    fprintf(check->out, "%s: %s\n", is_error ? "error" : "warning", text);
    free(text);
    if (is_error)
        check->errors++;
    else
        check->warnings++;
}

/* ---- one configuration ---- */

/* What this version does not carry out yet keeps the subscription from being started. */
static void check_supported(struct check *check, const struct config *config)
{
    size_t before = check->errors;

    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        struct error err = {0};

        if (!config_check_option(config, (enum config_option)i, &err))
            check_say(check, true, "%s", err.text);
    }
    if (check->errors == before) { /* what is in rules; it finds one at a time */
        struct error err = {0};

        if (!config_check_supported(config, &err))
            check_say(check, true, "%s", err.text);
    }
}

/* All that is wrong with the rules; what does not belong to one would be said for each of them. */
static void check_rules(struct check *check, const struct config *config)
{
    struct error whole = {0}, said = {0};
    struct judge *judge = judge_open(config, &whole);
    size_t before = check->errors;

    for (size_t i = 0; !judge && i < config->rule_count; i++) {
        struct error err = {0};

        if (judge_check_rule(config, i, &err) || strcmp(err.text, said.text) == 0)
            continue;
        check_say(check, true, "%s", err.text);
        said = err;
    }
    if (!judge && check->errors == before)
        check_say(check, true, "%s", whole.text);
    judge_close(judge);
}

static void check_stores(struct check *check, const struct config *config)
{
    struct error err = {0};

    if (!stores_check(config, &err))
        check_say(check, true, "%s", err.text);
}

static void check_vip(struct check *check, const struct config *config)
{
    struct error err = {0};

    if (vip_check((const char *const *)config->vip.items, config->vip.count, &err))
        return;
    config_wrap_origin(config, CONFIG_OPTION_vip, &err);
    check_say(check, true, "%s", err.text);
}

static void check_whole(struct check *check, const struct config *config)
{
    check_stores(check, config);
    check_vip(check, config);
    check_supported(check, config);
    check_rules(check, config);
    check_subtopics(check, config);
    check_directories(check, config);
    check_mirror(check, config);
}

static void print_summary(struct check *check, const char *name, size_t errors, size_t warnings)
{
    errors = check->errors - errors;
    warnings = check->warnings - warnings;
    if (errors)
        check->bad++;
    if (!errors && !warnings)
        fprintf(check->out, "%s: ok\n", name);
    else
        fprintf(check->out, "%s: %zu error%s, %zu warning%s\n", name, errors,
                errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

/* Returns the configuration if it can be compared with others. */
static struct config *check_one(struct check *check, const char *name)
{
    struct config_request request = {.name = name, .checking = true};
    size_t errors = check->errors, warnings = check->warnings;
    struct error err = {0};
    struct config *config = config_load(&request, &err);

    if (!config)
        check_say(check, true, "%s", err.text);
    for (size_t i = 0; config && i < config->error_count; i++)
        check_say(check, true, "%s", config->errors[i]);
    for (size_t i = 0; config && i < config->warning_count; i++)
        check_say(check, false, "%s", config->warnings[i]);
    if (config && config->error_count) {
        config_free(config);
        config = NULL;
    }
    if (config)
        check_whole(check, config);
    print_summary(check, name, errors, warnings);
    return config;
}

/* ---- several on one queue ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_queue(const struct config *a, const struct config *b)
{
    return strcmp(a->queue, b->queue) == 0 && strcmp(a->broker_vhost, b->broker_vhost) == 0
           && strcmp(a->broker.parts.host, b->broker.parts.host) == 0
           && a->broker.parts.port == b->broker.parts.port;
}

static bool has_binding(const struct config *config, const struct config_binding *binding)
{
    for (size_t i = 0; i < config->binding_count; i++)
        if (strcmp(config->bindings[i].exchange, binding->exchange) == 0
            && strcmp(config->bindings[i].topic, binding->topic) == 0)
            return true;
    return false;
}

static bool has_bindings(const struct config *config, const struct config *other)
{
    for (size_t i = 0; i < other->binding_count; i++)
        if (!has_binding(config, &other->bindings[i]))
            return false;
    return true;
}

static bool same_rules(const struct config *a, const struct config *b)
{
    if (a->rule_count != b->rule_count || a->accept_unmatched != b->accept_unmatched)
        return false;
    for (size_t i = 0; i < a->rule_count; i++)
        if (a->rules[i].accept != b->rules[i].accept
            || !same_text(a->rules[i].pattern, b->rules[i].pattern))
            return false;
    return true;
}

static bool same_places(const struct config *a, const struct config *b)
{
    if (!same_text(a->directory, b->directory) || a->mirror != b->mirror)
        return false;
    for (size_t i = 0; i < a->rule_count && i < b->rule_count; i++)
        if (!same_text(a->rules[i].directory, b->rules[i].directory)
            || !same_text(a->rules[i].strip, b->rules[i].strip)
            || !same_text(a->rules[i].flatten, b->rules[i].flatten)
            || !same_text(a->rules[i].filename, b->rules[i].filename))
            return false;
    return true;
}

/* What they disagree about; NULL: nothing. */
static const char *difference(const struct config *a, const struct config *b)
{
    if (!has_bindings(a, b) || !has_bindings(b, a))
        return "bindings";
    if (!same_rules(a, b))
        return "accept and reject lines";
    return same_places(a, b) ? NULL : "directories";
}

static void check_pair(struct check *check, const struct config *a, const struct config *b)
{
    const char *what = same_queue(a, b) ? difference(a, b) : NULL;

    if (what)
        check_say(check, false,
                  "%s and %s share the queue '%s' but have different %s: each announcement goes to "
                  "one of them only, whichever is free; give them queues of their own",
                  a->path, b->path, a->queue, what);
}

/* ---- which ---- */

static bool check_named(const char *const *names, size_t name_count, FILE *out, struct error *err)
{
    struct check check = {.out = out};
    struct config **configs = memory_resize(NULL, name_count + 1, sizeof(struct config *));

    for (size_t i = 0; i < name_count; i++)
        configs[i] = check_one(&check, names[i]);
    for (size_t i = 0; i < name_count; i++)
        for (size_t j = 0; configs[i] && j < i; j++)
            if (configs[j])
                check_pair(&check, configs[j], configs[i]);
    for (size_t i = 0; i < name_count; i++)
        config_free(configs[i]);
    free(configs);
    if (!check.errors)
        return true;
    return error_set(err, ERROR_OPERATOR, "%zu of %zu configurations cannot be run", check.bad,
                     name_count);
}

bool check_run(const char *const *names, size_t name_count, FILE *out, struct error *err)
{
    size_t count;
    char **found = command_find_names(names, name_count, &count, err);
    bool good = found && check_named((const char *const *)found, count, out, err);

    if (good && !count)
        fputs("there are no configurations\n", out);
    command_free_names(found, count);
    return good;
}
