/*
 * A YAML file as a tree, made of libyaml's events.
 *
 * libyaml names what it did not find; what a person should write instead is in `hints`. Bytes are
 * looked at first, since libyaml does not say where a wrong one stands.
 */
#include "settings/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct parser {
    yaml_parser_t yaml;
    const char *path;
    size_t *nodes;
    struct error *err;
};

/* --- bytes ----------------------------------------------------------------------------------- */

static bool refuse_byte(const char *path, const char *text, size_t at, const char *why,
                        struct error *err)
{
    int line = 1, column = 1;

    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if ((text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(err, ERROR_OPERATOR, "%s:%d:%d: %s", path, line, column, why);
}

/* How long the UTF-8 letter at `text` is; 0 if it is none. */
static size_t letter_length(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char mask, lead, second_min[2];
    } forms[] = {{0x80, 0x00, {0, 0}},
                 {0xe0, 0xc0, {0, 0}},
                 {0xf0, 0xe0, {0xe0, 0xa0}},
                 {0xf8, 0xf0, {0xf0, 0x90}}};

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        if ((text[0] & forms[i].mask) != forms[i].lead)
            continue;
        if (i >= left || text[0] == 0xc0 || text[0] == 0xc1 || text[0] > 0xf4)
            return 0;
        for (size_t j = 1; j <= i; j++)
            if ((text[j] & 0xc0) != 0x80)
                return 0;
        if (i > 1 && text[0] == forms[i].second_min[0] && text[1] < forms[i].second_min[1])
            return 0;
        if ((text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f))
            return 0;
        return i + 1;
    }
    return 0;
}

bool yaml_tree_check_bytes(const char *path, const char *text, size_t size, struct error *err)
{
    bool in_front = true; /* of the first letter of the line */

    for (size_t at = 0, length; at < size; at += length) {
        unsigned char c = (unsigned char)text[at];

        length = letter_length((const unsigned char *)text + at, size - at);
        if (!c)
            return refuse_byte(path, text, at,
                               "a zero byte: this is no text file, or is one in UTF-16; save it "
                               "as UTF-8",
                               err);
        if (!length)
            return refuse_byte(path, text, at, "a byte that is not UTF-8; save the file as UTF-8",
                               err);
        if (c == '\t' && in_front)
            return refuse_byte(path, text, at,
                               "a tab in front of the text; indent with blanks, two for each level",
                               err);
        if ((c < ' ' && !strchr("\t\r\n", c)) || c == 0x7f)
            return refuse_byte(path, text, at, "a control character; remove it", err);
        in_front = c == '\n' || (in_front && c == ' ');
    }
    return true;
}

/* --- what libyaml does not like -------------------------------------------------------------- */

#define QUOTE                                                                                      \
    "a text that begins with one of * & ! % @ ` [ ] { } | > # has to be in quotes: \"...\""

static const struct {
    const char *problem, *right;
    bool from_start; /* the place is where it began and not where it ended */
} hints[] = {
    {"did not find expected alphabetic or numeric character", QUOTE, false},
    {"found character that cannot start any token", QUOTE, false},
    {"did not find expected whitespace", QUOTE, false},
    {"tag", QUOTE, false},
    {"found unknown directive name", QUOTE, false},
    {"did not find expected comment or line break", QUOTE, false},
    {"mapping values are not allowed",
     "a text with ': ' in it has to be in quotes, and the keys "
     "of a map begin in the same column",
     false},
    {"could not find expected ':'", "write 'key: value', with a colon and a blank", true},
    {"did not find expected key",
     "the keys of a map begin in the same column; a text that begins with a quote or bracket and "
     "goes on behind it has to be in quotes as a whole",
     false},
    {"did not find expected '-' indicator",
     "the items of a list begin with '- ' in the same "
     "column",
     false},
    {"did not find expected ',' or",
     "close the bracket; texts with , [ ] { } in them have to be in quotes there", true},
    {"did not find expected node content",
     "close the bracket; texts with , [ ] { } in them have to be in quotes there", true},
    {"found unexpected end of stream", "close the quotes", true},
    {"found unexpected document indicator", "close the quotes", true},
    {"escape", "in double quotes a backslash is special, in single quotes it is not: '...'", false},
    {"block sequence entries are not allowed",
     "the first '- ' of a list stands on a line of its "
     "own",
     false},
    {"did not find expected <document start>",
     "the text before this place is complete; the keys "
     "of a map begin in the same column",
     false},
};

static bool refuse_syntax(struct parser *parser)
{
    const yaml_parser_t *yaml = &parser->yaml;
    const char *problem = yaml->problem ? yaml->problem : "this cannot be read";
    bool no_mark = yaml->error == YAML_READER_ERROR;
    const yaml_mark_t *mark = no_mark ? &yaml->mark : &yaml->problem_mark;
    const char *right = "see config/README.md for the form";

    for (size_t i = 0; i < COUNT_OF(hints); i++)
        if (strstr(problem, hints[i].problem)) {
            right = hints[i].right;
            if (hints[i].from_start && yaml->context)
                mark = &yaml->context_mark;
            break;
        }
    return error_set(parser->err, ERROR_OPERATOR, "%s:%zu:%zu: %s; %s", parser->path,
                     mark->line + 1, mark->column + 1, problem, right);
}

static bool refuse_event(struct parser *parser, const yaml_event_t *event, const char *why)
{
    return error_set(parser->err, ERROR_OPERATOR, "%s:%zu:%zu: %s", parser->path,
                     event->start_mark.line + 1, event->start_mark.column + 1, why);
}

/* --- the tree -------------------------------------------------------------------------------- */

void yaml_tree_free(struct yaml_node *root)
{
    struct yaml_node *next;

    for (; root; root = next) {
        next = root->next;
        yaml_tree_free(root->first);
        free(root->text);
        free(root->key);
        free(root);
    }
}

static bool check_scalar(struct parser *parser, const yaml_event_t *event)
{
    const unsigned char *text = event->data.scalar.value;

    for (size_t i = 0; i < event->data.scalar.length; i++)
        if (text[i] < ' ' || text[i] == 0x7f)
            return refuse_event(parser, event,
                                "a line break or control character in a text; write it in one "
                                "line, without | or >");
    return true;
}

static bool is_null(const yaml_event_t *event)
{
    static const char *const words[] = {"~", "null", "Null", "NULL"};

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (!strcmp((const char *)event->data.scalar.value, words[i]))
            return true;
    return false;
}

static enum yaml_tree_kind scalar_kind(const yaml_event_t *event)
{
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return YAML_TREE_TEXT;
    if (!event->data.scalar.length)
        return YAML_TREE_NOTHING;
    return is_null(event) ? YAML_TREE_NULL : YAML_TREE_TEXT;
}

static bool has_extras(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

static bool check_event(struct parser *parser, const yaml_event_t *event)
{
    if (event->type == YAML_ALIAS_EVENT)
        return refuse_event(parser, event,
                            "an alias, which has no place here; a text that begins with '*' has to "
                            "be in quotes: \"*...\"");
    if (has_extras(event))
        return refuse_event(parser, event,
                            "an anchor or tag, which has no place here; a text that begins with "
                            "'&' or '!' has to be in quotes: \"...\"");
    return event->type != YAML_SCALAR_EVENT || check_scalar(parser, event);
}

static bool next_event(struct parser *parser, yaml_event_t *event)
{
    if (!yaml_parser_parse(&parser->yaml, event))
        return refuse_syntax(parser);
    if (check_event(parser, event))
        return true;
    yaml_event_delete(event);
    return false;
}

static bool read_node(struct parser *parser, const yaml_event_t *event, int depth,
                      struct yaml_node *node);

static bool read_list(struct parser *parser, int depth, struct yaml_node *list)
{
    struct yaml_node **end = &list->first;
    yaml_event_t event;
    bool done = true;

    while (done && next_event(parser, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        *end = memory_new(sizeof(**end));
        done = read_node(parser, &event, depth, *end);
        end = &(*end)->next;
        yaml_event_delete(&event);
    }
    return false;
}

static bool take_key(struct parser *parser, const struct yaml_node *map, const yaml_event_t *event,
                     struct yaml_node *node)
{
    int keys = 0;

    if (event->type != YAML_SCALAR_EVENT)
        return refuse_event(parser, event, "a key has to be a text: 'key: value'");
    node->key = memory_copy((const char *)event->data.scalar.value);
    node->key_line = (int)event->start_mark.line + 1;
    node->key_column = (int)event->start_mark.column + 1;
    for (const struct yaml_node *other = map->first; other != node; other = other->next) {
        if (++keys == YAML_TREE_KEYS_MAX)
            return refuse_event(parser, event, "more than 1000 keys in one map");
        if (!strcmp(other->key, node->key))
            return error_set(parser->err, ERROR_OPERATOR,
                             "%s:%d:%d: '%.60s' stands in line %d already; keep one of them",
                             parser->path, node->key_line, node->key_column, node->key,
                             other->key_line);
    }
    return true;
}

static bool read_map(struct parser *parser, int depth, struct yaml_node *map)
{
    struct yaml_node **end = &map->first;
    yaml_event_t event;
    bool done = true;

    while (done && next_event(parser, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT)
            return true;
        *end = memory_new(sizeof(**end));
        done = take_key(parser, map, &event, *end);
        yaml_event_delete(&event);
        if (!done || !next_event(parser, &event))
            return false;
        done = read_node(parser, &event, depth, *end);
        end = &(*end)->next;
        yaml_event_delete(&event);
    }
    return false;
}

static bool read_node(struct parser *parser, const yaml_event_t *event, int depth,
                      struct yaml_node *node)
{
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    if (++*parser->nodes > YAML_TREE_NODES_MAX)
        return refuse_event(parser, event, "more than 100000 texts, lists and maps");
    if (depth > YAML_TREE_DEPTH_MAX)
        return refuse_event(parser, event, "lists and maps within each other, more than 8 deep");
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        node->kind = scalar_kind(event);
        node->text = memory_copy((const char *)event->data.scalar.value);
        return true;
    case YAML_SEQUENCE_START_EVENT:
        node->kind = YAML_TREE_LIST;
        return read_list(parser, depth + 1, node);
    default:
        node->kind = YAML_TREE_MAP;
        return read_map(parser, depth + 1, node);
    }
}

static bool read_stream(struct parser *parser, struct yaml_node **root)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    yaml_event_t event;
    bool done = true;

    while (done && type != YAML_STREAM_END_EVENT && next_event(parser, &event)) {
        type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && *root) {
            done =
                refuse_event(parser, &event, "a second document; one file holds one configuration");
        } else if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT
                   || type == YAML_MAPPING_START_EVENT) {
            *root = memory_new(sizeof(**root));
            done = read_node(parser, &event, 1, *root);
        }
        yaml_event_delete(&event);
    }
    return done && type == YAML_STREAM_END_EVENT;
}

bool yaml_tree_parse(const char *path, const char *text, size_t size_bytes, size_t *nodes,
                     struct yaml_node **root, struct error *err)
{
    struct parser parser = {.path = path, .nodes = nodes, .err = err};
    bool parsed;

    *root = NULL;
    if (size_bytes > YAML_TREE_SIZE_MAX)
        return error_set(err, ERROR_OPERATOR, "%s: the file is larger than 1 MiB", path);
    if (size_bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* the mark of some editors */
        text += 3;
        size_bytes -= 3;
    }
    if (!yaml_tree_check_bytes(path, text, size_bytes, err))
        return false;
    if (!yaml_parser_initialize(&parser.yaml))
        return error_set(err, ERROR_TEMPORARY, "read '%s': out of memory", path);
    yaml_parser_set_encoding(&parser.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)text, size_bytes);
    parsed = read_stream(&parser, root);
    yaml_parser_delete(&parser.yaml);
    if (parsed)
        return true;
    yaml_tree_free(*root);
    *root = NULL;
    return false;
}
