/*
 * A YAML file as a tree of maps, lists and texts, with the place of each.
 *
 * This is the part of YAML that a configuration needs. Aliases, anchors, tags and second documents
 * are refused; size, depth and number of nodes are bounded. Every scalar is a text: what 'on' or
 * '0644' means is known to the option it belongs to. Only null is told apart, when it is not in
 * quotes.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

#define YAML_TREE_SIZE_MAX  (1 << 20) /* bytes of a file */
#define YAML_TREE_DEPTH_MAX 8         /* maps and lists within each other */
#define YAML_TREE_NODES_MAX 100000    /* in a file and those it includes */
#define YAML_TREE_KEYS_MAX  1000      /* of one map */

enum yaml_tree_kind {
    YAML_TREE_NOTHING,
    YAML_TREE_NULL,
    YAML_TREE_TEXT,
    YAML_TREE_LIST,
    YAML_TREE_MAP
};

struct yaml_node {
    enum yaml_tree_kind kind; /* nothing: no value was written; null: one of null and ~ was */
    char *text;
    int line, column; /* of the value, counted from 1 */

    char *key; /* in a map; NULL elsewhere */
    int key_line, key_column;

    struct yaml_node *first, *next; /* members, in the order of the file; the sibling */
};

/*
 * Parses `size_bytes` at `text`. *root is the caller's, NULL for an empty file; *nodes is what was
 * counted so far. An error begins with "path:line:column: ".
 */
bool yaml_tree_parse(const char *path, const char *text, size_t size_bytes, size_t *nodes,
                     struct yaml_node **root, struct error *err) MUST_CHECK;

/* Whether the bytes are UTF-8 without control characters, and no tab stands in front of a line. */
bool yaml_tree_check_bytes(const char *path, const char *text, size_t size, struct error *err);

void yaml_tree_free(struct yaml_node *root); /* NULL is fine */
