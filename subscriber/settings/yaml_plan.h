/*
 * Private to yaml_file: what the map of a YAML file says, as settings in the order in which they
 * are handed out.
 */
#pragma once

#include "settings/yaml_tree.h"

enum yaml_turn { YAML_ENV, YAML_BROKER, YAML_OPTION, YAML_BINDING, YAML_RULE, YAML_TURNS };

struct yaml_planned {
    const char *name;
    char *written;
    const char *path;
    int line, column;
    bool for_next, use_default;
};

struct yaml_plan {
    struct {
        struct yaml_planned *items;
        size_t count;
    } turns[YAML_TURNS];
};

/* A file being read; `path` has to live as long as the plan. */
struct yaml_reading {
    struct yaml_plan *plan;
    const char *path;
    struct error *err;
};

/* Adds what the members of `root`, a map, say. `include` is left to the caller. */
bool yaml_plan_add(const struct yaml_reading *reading, const struct yaml_node *root) MUST_CHECK;
void yaml_plan_clear(struct yaml_plan *plan);

/* The member of `map` called `key`; NULL if there is none. */
const struct yaml_node *yaml_plan_member(const struct yaml_node *map, const char *key);

/* "path:line:column: what", with `text`, if it is not NULL, in quotes in front of it. False. */
bool yaml_plan_refuse(const struct yaml_reading *reading, int line, int column, const char *text,
                      const char *format, ...) PRINTF_LIKE(5, 6);

/* `node` is not what can be the value of `name`; `wanted` would have been. False. */
bool yaml_plan_refuse_kind(const struct yaml_reading *reading, const struct yaml_node *node,
                           const char *name, const char *wanted);

/* "a list" and so on. */
const char *yaml_plan_kind_name(const struct yaml_node *node);
