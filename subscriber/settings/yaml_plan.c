/*
 * What the map of a YAML file says, as settings.
 *
 * The tree is walked once and checked against the option table. Values stay texts, for the option's
 * own parser; only their form is looked at here.
 */
#include "settings/yaml_plan.h"

#include "settings/config_ignored.h"
#include "settings/config_kinds.h"
#include "settings/config_legacy.h"
#include "settings/config_table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const rule_keys[] = {"accept",  "reject",   "directory", "strip",
                                        "flatten", "filename", NULL};
static const char *const binding_keys[] = {"topic", "exchange", "topicPrefix", NULL};
static const char *const own_keys[] = {"env", "include", "rules", NULL};

/* --- refusing -------------------------------------------------------------------------------- */

bool yaml_plan_refuse(const struct yaml_reading *reading, int line, int column, const char *text,
                      const char *format, ...)
{
    va_list args;
    char *what, *quoted = text ? option_quote(text) : NULL;

    va_start(args, format);
    what = memory_format_list(format, args);
    va_end(args);
    error_set(reading->err, ERROR_OPERATOR, "%s:%d:%d: %s%s%s%s", reading->path, line, column,
              quoted ? "'" : "", quoted ? quoted : "", quoted ? "' " : "", what);
    free(quoted);
    free(what);
    return false;
}

const char *yaml_plan_kind_name(const struct yaml_node *node)
{
    static const char *const names[] = {"nothing", "null", "a text", "a list", "a map"};

    return names[node->kind];
}

/* `wanted`: what would have been right here. */
bool yaml_plan_refuse_kind(const struct yaml_reading *reading, const struct yaml_node *node,
                           const char *name, const char *wanted)
{
    if (node->kind == YAML_TREE_NOTHING)
        return yaml_plan_refuse(
            reading, node->line, node->column, NULL,
            "option '%s': the value is missing; write %s ('#' begins a comment, so a "
            "text with it goes in quotes: \"#\")",
            name, wanted);
    return yaml_plan_refuse(reading, node->line, node->column, NULL,
                            "option '%s': here is %s; write %s", name, yaml_plan_kind_name(node),
                            wanted);
}

static void nearest_try(const char *wanted, const char *name, const char **nearest, size_t *least)
{
    size_t distance = option_distance(wanted, name);

    if (distance < *least && option_is_near(wanted, distance)) {
        *least = distance;
        *nearest = name;
    }
}

/* The name among `keys`, or else among all of the options, that resembles `wanted`; or NULL. */
static const char *nearest_key(const char *wanted, const char *const *keys, bool options)
{
    const char *nearest = NULL;
    size_t least = 64;

    if (strlen(wanted) >= least)
        return NULL;
    for (; *keys; keys++)
        nearest_try(wanted, *keys, &nearest, &least);
    for (int i = 0; options && i < CONFIG_OPTIONS; i++)
        nearest_try(wanted, config_option((enum config_option)i)->name, &nearest, &least);
    return nearest;
}

static bool refuse_unknown(const struct yaml_reading *reading, const struct yaml_node *node,
                           const char *const *keys, bool options)
{
    const char *nearest = nearest_key(node->key, keys, options);

    if (nearest)
        return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                                "is unknown; did you mean '%s'?", nearest);
    return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                            "is unknown; remove it, or put '#' in front of it");
}

/* --- planning -------------------------------------------------------------------------------- */

/* `written` becomes the plan's. */
static struct yaml_planned *plan(const struct yaml_reading *reading, enum yaml_turn turn,
                                 const char *name, char *written, const struct yaml_node *node)
{
    struct yaml_plan *to = reading->plan;
    size_t count = to->turns[turn].count++;

    to->turns[turn].items =
        memory_resize(to->turns[turn].items, count + 1, sizeof(*to->turns[turn].items));
    to->turns[turn].items[count] = (struct yaml_planned){.name = name,
                                                         .written = written,
                                                         .path = reading->path,
                                                         .line = node->line,
                                                         .column = node->column};
    return &to->turns[turn].items[count];
}

static const char *wanted_value(const struct option *option)
{
    return option->kind == &option_FLAG ? "on or off" : "a text";
}

/* Whether the text `node` can be the value of `option` as far as its form goes. */
static bool check_text(const struct yaml_reading *reading, const struct option *option,
                       const struct yaml_node *node)
{
    const char *text = node->text;
    size_t length = strlen(text);
    bool is_rule = option->kind == &option_ACCEPT || option->kind == &option_REJECT;

    if (option->kind == &option_FLAG && !option_is_flag_word(text) && !strstr(text, "${")) {
        char *quoted = option_quote(text);

        yaml_plan_refuse(reading, node->line, node->column, NULL,
                         "option '%s': '%s' is neither on nor off; write on or off", option->name,
                         quoted);
        free(quoted);
        return false;
    }
    if (is_rule && strchr(text, ' '))
        return yaml_plan_refuse(
            reading, node->line, node->column, NULL,
            "option '%s': a blank in a pattern; write \\s for it, and a rule for file "
            "names under the key filename",
            option->name);
    if (!option->kind->whole_line && strchr(text, ' '))
        return yaml_plan_refuse(reading, node->line, node->column, NULL,
                                "option '%s': a blank in the value; write one word", option->name);
    if (length && (*text == ' ' || text[length - 1] == ' '))
        return yaml_plan_refuse(reading, node->line, node->column, NULL,
                                "option '%s': a blank at the start or end of the value; remove it",
                                option->name);
    return true;
}

/* A single value, or null. */
static bool plan_text(const struct yaml_reading *reading, enum yaml_turn turn,
                      const struct option *option, const struct yaml_node *node, bool for_next)
{
    struct yaml_planned *planned;

    if (node->kind == YAML_TREE_NULL && (option->kind->print || option->kind->clear)) {
        planned = plan(reading, turn, option->name, memory_copy(""), node);
        planned->use_default = true;
        planned->for_next = for_next;
        return true;
    }
    if (node->kind != YAML_TREE_TEXT)
        return yaml_plan_refuse_kind(reading, node, option->name, wanted_value(option));
    if (!check_text(reading, option, node))
        return false;
    plan(reading, turn, option->name, memory_copy(node->text), node)->for_next = for_next;
    return true;
}

/* A list of texts, each a setting of its own. */
static bool plan_each(const struct yaml_reading *reading, const struct option *option,
                      const struct yaml_node *list)
{
    for (const struct yaml_node *node = list->first; node; node = node->next)
        if (node->kind != YAML_TREE_TEXT)
            return yaml_plan_refuse_kind(reading, node, option->name, "texts");
        else if (!plan_text(reading, YAML_OPTION, option, node, false))
            return false;
    return true;
}

/* A list of words that make one value: a,b,c. */
static bool plan_joined(const struct yaml_reading *reading, const struct option *option,
                        const struct yaml_node *list)
{
    char *text = NULL;

    for (const struct yaml_node *node = list->first; node; node = node->next) {
        bool good = node->kind == YAML_TREE_TEXT
                        ? check_text(reading, option, node)
                        : yaml_plan_refuse_kind(reading, node, option->name, "words");
        if (!good) {
            free(text);
            return false;
        }
        memory_replace(&text,
                       memory_format("%s%s%s", text ? text : "", text ? "," : "", node->text));
    }
    plan(reading, YAML_OPTION, option->name, text ? text : memory_copy("none"), list);
    return true;
}

static bool is_variable_name(const char *name)
{
    if (!*name || isdigit((unsigned char)*name))
        return false;
    while (isalnum((unsigned char)*name) || *name == '_')
        name++;
    return !*name;
}

/* env and header: a map of names and texts, each a setting such as `declare env NAME=VALUE`. */
static bool plan_pairs(const struct yaml_reading *reading, enum yaml_turn turn, const char *option,
                       const char *prefix, const struct yaml_node *map)
{
    const char *key = map->key;

    if (map->kind != YAML_TREE_MAP)
        return yaml_plan_refuse_kind(reading, map, key, "a map: {NAME: value}");
    for (const struct yaml_node *node = map->first; node; node = node->next) {
        bool good =
            turn == YAML_ENV ? is_variable_name(node->key) : *node->key && !strchr(node->key, '=');

        if (!good)
            return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                                    turn == YAML_ENV
                                        ? "cannot name a variable; write letters, digits and _"
                                        : "cannot name a header; write a name without '='");
        if (node->kind != YAML_TREE_TEXT)
            return yaml_plan_refuse_kind(reading, node, key, "a text; \"\" is an empty one");
        plan(reading, turn, option, memory_format("%s%s=%s", prefix, node->key, node->text), node);
    }
    return true;
}

const struct yaml_node *yaml_plan_member(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = map->first;

    while (node && strcmp(node->key, key) != 0)
        node = node->next;
    return node;
}

static bool check_keys(const struct yaml_reading *reading, const struct yaml_node *map,
                       const char *const *keys, const char *where)
{
    for (const struct yaml_node *node = map->first; node; node = node->next) {
        size_t i = 0;

        while (keys[i] && strcmp(keys[i], node->key) != 0)
            i++;
        if (keys[i])
            continue;
        if (config_table_find(node->key))
            return yaml_plan_refuse(
                reading, node->key_line, node->key_column, node->key,
                "does not belong to %s; write it at the start of a line, for the "
                "whole file",
                where);
        return refuse_unknown(reading, node, keys, false);
    }
    return true;
}

/* Options of a map that count for one rule or binding only, all but those called `not`. */
static bool plan_own_values(const struct yaml_reading *reading, enum yaml_turn turn,
                            const struct yaml_node *map, const struct yaml_node * not )
{
    for (const struct yaml_node *node = map->first; node; node = node->next)
        if (node != not &&!plan_text(reading, turn, config_table_find(node->key), node, true))
            return false;
    return true;
}

static bool plan_rule(const struct yaml_reading *reading, const struct yaml_node *rule)
{
    const struct yaml_node *accept, *reject;

    if (rule->kind != YAML_TREE_MAP)
        return yaml_plan_refuse_kind(reading, rule, "rules",
                                     "'- accept: PATTERN' or '- reject: PATTERN'");
    if (!check_keys(reading, rule, rule_keys, "a rule"))
        return false;
    accept = yaml_plan_member(rule, "accept");
    reject = yaml_plan_member(rule, "reject");
    if (accept && reject)
        return yaml_plan_refuse(
            reading, reject->key_line, reject->key_column, NULL,
            "one rule with both accept and reject; write two, in the order they are "
            "tried");
    if (!accept && !reject)
        return yaml_plan_refuse(reading, rule->line, rule->column, NULL,
                                "a rule without accept or reject; write '- accept: PATTERN'");
    return plan_own_values(reading, YAML_RULE, rule, accept ? accept : reject)
           && plan_text(reading, YAML_RULE, config_table_find(accept ? "accept" : "reject"),
                        accept ? accept : reject, false);
}

static bool plan_rules(const struct yaml_reading *reading, const struct yaml_node *list)
{
    if (list->kind != YAML_TREE_LIST)
        return yaml_plan_refuse_kind(reading, list, "rules", "a list of '- accept: PATTERN'");
    for (const struct yaml_node *node = list->first; node; node = node->next)
        if (!plan_rule(reading, node))
            return false;
    return true;
}

static bool plan_binding(const struct yaml_reading *reading, const struct yaml_node *node)
{
    const struct option *option = config_option(CONFIG_OPTION_subtopics);
    const struct yaml_node *topic;

    if (node->kind == YAML_TREE_TEXT)
        return plan_text(reading, YAML_BINDING, option, node, false);
    if (node->kind != YAML_TREE_MAP)
        return yaml_plan_refuse_kind(reading, node, option->name, "a topic, such as \"#\"");
    if (!check_keys(reading, node, binding_keys, "a subtopic"))
        return false;
    topic = yaml_plan_member(node, "topic");
    if (!topic)
        return yaml_plan_refuse(reading, node->line, node->column, NULL,
                                "a subtopic without topic; write '- topic: \"#\"'");
    return plan_own_values(reading, YAML_BINDING, node, topic)
           && plan_text(reading, YAML_BINDING, option, topic, false);
}

static bool plan_bindings(const struct yaml_reading *reading, const struct yaml_node *node)
{
    if (node->kind != YAML_TREE_LIST)
        return plan_binding(reading, node);
    for (node = node->first; node; node = node->next)
        if (!plan_binding(reading, node))
            return false;
    return true;
}

/* --- keys ------------------------------------------------------------------------------------ */

static bool plan_option(const struct yaml_reading *reading, const struct option *option,
                        const struct yaml_node *node)
{
    enum yaml_turn turn =
        option->kind == &option_URL && strstr(option->name, "broker") ? YAML_BROKER : YAML_OPTION;

    if (option->kind == &option_SUBTOPIC)
        return plan_bindings(reading, node);
    if (option->kind == &option_HEADER)
        return plan_pairs(reading, YAML_OPTION, "header", "", node);
    if (option->kind == &option_LIST && node->kind == YAML_TREE_LIST)
        return plan_each(reading, option, node);
    if (option->kind == &option_SET && node->kind == YAML_TREE_LIST)
        return plan_joined(reading, option, node);
    return plan_text(reading, turn, option, node, false);
}

/* Names that sr3 files have and that are written differently here, or not at all. */
static bool refuse_name(const struct yaml_reading *reading, const struct option *option,
                        const struct yaml_node *node)
{
    if (config_legacy_knows(node->key))
        return yaml_plan_refuse(
            reading, node->key_line, node->key_column, node->key,
            "is a name of older files; `sr3sub convert` writes what it means today");
    if (option && strcmp(option->name, node->key) != 0)
        return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                                "is an older name; write '%s'", option->name);
    if (option && (option->kind == &option_ACCEPT || option->kind == &option_REJECT))
        return yaml_plan_refuse(
            reading, node->key_line, node->key_column, node->key,
            "belongs into the list of rules; write 'rules:' and below it '  - %s: "
            "PATTERN'",
            node->key);
    if (option)
        return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                                "is not written like this in YAML; write 'env: {NAME: value}'");
    if (config_ignored_knows(node->key))
        return yaml_plan_refuse(reading, node->key_line, node->key_column, node->key,
                                "has no effect in sr3sub; remove it");
    return refuse_unknown(reading, node, own_keys, true);
}

static bool plan_member(const struct yaml_reading *reading, const struct yaml_node *node)
{
    const struct option *option;

    if (!strcmp(node->key, "include"))
        return true;
    if (!strcmp(node->key, "env"))
        return plan_pairs(reading, YAML_ENV, "declare", "env ", node);
    if (!strcmp(node->key, "rules"))
        return plan_rules(reading, node);
    option = config_table_find(node->key);
    if (!option || strcmp(option->name, node->key) != 0 || config_legacy_knows(node->key)
        || option->kind == &option_ACCEPT || option->kind == &option_REJECT
        || option->kind == &option_DECLARE)
        return refuse_name(reading, option, node);
    return plan_option(reading, option, node);
}

bool yaml_plan_add(const struct yaml_reading *reading, const struct yaml_node *root)
{
    for (const struct yaml_node *node = root->first; node; node = node->next)
        if (!plan_member(reading, node))
            return false;
    return true;
}

void yaml_plan_clear(struct yaml_plan *plan)
{
    for (int turn = 0; turn < YAML_TURNS; turn++) {
        for (size_t i = 0; i < plan->turns[turn].count; i++)
            free(plan->turns[turn].items[i].written);
        free(plan->turns[turn].items);
    }
}
