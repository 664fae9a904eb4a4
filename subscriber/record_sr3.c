/*
 * Reader of sr3's retry entries: messages as jsonpickle prints them.
 *
 * What is special there: "py/object" names the class; {"py/id": n} stands for the n-th list or
 * dictionary met before, the message itself being number 0 (https://jsonpickle.readthedocs.io);
 * {"py/tuple": [...]} and {"py/set": [...]} are lists for us and have no number.
 */
#include "record.h"

#include "base/clock.h"
#include "record_json.h"

#include <stdlib.h>
#include <string.h>

#define REFERENCES_MAX 65536
#define MEMBERS_MAX    1000 /* real entries have some thirty; each is looked up in _deleteOnPost */
#define COPY_DEPTH_MAX 32
#define COPY_SIZE_MAX  (2 << 20) /* references make small entries large */

struct entry {
    json_t *root;
    const json_t **numbered; /* what references stand for */
    size_t numbered_count, numbered_room;
    size_t copied; /* about so many bytes, references followed */
};

/* What is read of an announcement: when it cannot be had, the entry is not readable. */
static const char *const needed[] = {
    "pubTime", "baseUrl", "relPath",  "retrievePath", "retPath", "size",
    "parts",   "blocks",  "identity", "integrity",    "mtime",   "atime",
    "mode",    "fileOp",  "content",  "rename",       "newname", "source",
};

/* What sr3 computed for itself, beside what an entry lists in _deleteOnPost. */
static const char *const local[] = {
    "ack_id",         "data_checksum", "exchange",     "local_blocks",     "local_identity",
    "local_offset",   "new_baseUrl",   "new_dir",      "new_file",         "new_inflight_path",
    "new_path",       "new_relPath",   "new_subtopic", "noDupe",           "nodupe_override",
    "old_baseUrl",    "old_format",    "old_relPath",  "old_retrievePath", "old_subtopic",
    "onfly_checksum", "post_fileOp",   "post_format",  "reject",           "renameUnlink",
    "report",         "subtopic",      "topic",
};

static bool malformed(struct error *err, const char *member, const char *problem)
{
    return error_set(err, ERROR_PERMANENT, "read retry entry of sr3: %s %s", member, problem);
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* ---- references ---- */

static void number(struct entry *entry, const json_t *container)
{
    if (entry->numbered_count == REFERENCES_MAX)
        return;
    if (entry->numbered_count == entry->numbered_room) {
        entry->numbered_room = entry->numbered_room ? 2 * entry->numbered_room : 64;
        entry->numbered =
            memory_resize(entry->numbered, entry->numbered_room, sizeof(*entry->numbered));
    }
    entry->numbered[entry->numbered_count++] = container;
}

static json_t *tagged_list(const json_t *value)
{
    json_t *tuple = json_object_get(value, "py/tuple");
    json_t *list = tuple ? tuple : json_object_get(value, "py/set");

    return json_is_array(list) ? list : NULL;
}

static void number_all(struct entry *entry, json_t *value);

static void number_elements(struct entry *entry, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        number_all(entry, json_array_get(list, i));
}

/* In the order of the text; record_load() has seen to the depth. */
static void number_all(struct entry *entry, json_t *value)
{
    const char *name;
    json_t *member, *list = tagged_list(value);

    if (list) {
        number_elements(entry, list);
    } else if (json_is_array(value)) {
        number(entry, value);
        number_elements(entry, value);
    } else if (json_is_object(value) && !json_object_get(value, "py/id")) {
        number(entry, value);
        json_object_foreach(value, name, member) if (strncmp(name, "py/", 3) != 0)
            number_all(entry, member);
    }
}

/* What a reference stands for, anything else itself; NULL when it stands for nothing. */
static const json_t *resolve(const struct entry *entry, const json_t *value)
{
    const json_t *id = json_object_get(value, "py/id");
    json_int_t index = json_integer_value(id);

    if (!id)
        return value;
    if (!json_is_integer(id) || index < 0 || (size_t)index >= entry->numbered_count)
        return NULL;
    return entry->numbered[index];
}

/* ---- copies without anything of jsonpickle's ---- */

static json_t *copy(struct entry *entry, const json_t *value, int depth);

static json_t *copy_list(struct entry *entry, const json_t *list, int depth)
{
    json_t *to = json_array();

    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *element = copy(entry, json_array_get(list, i), depth + 1);

        if (!element) {
            json_decref(to);
            return NULL;
        }
        json_array_append_new(to, element);
    }
    return to;
}

static json_t *copy_object(struct entry *entry, const json_t *object, int depth)
{
    json_t *to = json_object(), *value;
    const char *name;

    json_object_foreach((json_t *)object, name, value)
    {
        json_t *member = strncmp(name, "py/", 3) == 0 ? NULL : copy(entry, value, depth + 1);

        entry->copied += strlen(name);
        if (!member) {
            json_decref(to);
            return NULL;
        }
        json_object_set_new(to, name, member);
    }
    return to;
}

/* NULL for what is no JSON, such as objects of classes, or grows too large. */
static json_t *copy(struct entry *entry, const json_t *value, int depth)
{
    const json_t *list;

    value = resolve(entry, value);
    entry->copied += 8 + json_string_length(value);
    if (!value || depth > COPY_DEPTH_MAX || entry->copied > COPY_SIZE_MAX)
        return NULL;
    list = tagged_list(value);
    if (list || json_is_array(value))
        return copy_list(entry, list ? list : value, depth);
    if (json_is_object(value))
        return copy_object(entry, value, depth);
    return json_incref((json_t *)value);
}

/* ---- the announcement ---- */

static bool is_deleted_on_post(const struct entry *entry, const char *name)
{
    const json_t *names = tagged_list(json_object_get(entry->root, "_deleteOnPost"));

    for (size_t i = 0; i < json_array_size(names) && i < MEMBERS_MAX; i++) {
        const char *deleted = json_string_value(json_array_get(names, i));

        if (deleted && strcmp(deleted, name) == 0)
            return true;
    }
    return false;
}

static bool is_passed_over(const struct entry *entry, const char *name)
{
    return *name == '_' || strncmp(name, "py/", 3) == 0 || is_among(name, local, COUNT_OF(local))
           || is_deleted_on_post(entry, name);
}

/* What sr3 changed of fileOp for its own use it keeps beside, as it came. */
static const json_t *value_as_received(const struct entry *entry, const char *name,
                                       const json_t *value)
{
    const json_t *received = json_object_get(entry->root, "post_fileOp");

    return received && strcmp(name, "fileOp") == 0 ? received : value;
}

static bool copy_members(struct entry *entry, json_t *body, struct error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(entry->root, name, value)
    {
        bool must = is_among(name, needed, COUNT_OF(needed));
        json_t *member;

        if (!must && is_passed_over(entry, name))
            continue;
        member = copy(entry, value_as_received(entry, name, value), 0);
        if (!member && must)
            return malformed(err, name, "cannot be resolved");
        if (member)
            json_object_set_new(body, name, member);
    }
    return true;
}

/* v02 writes "%20" and "%23" for what v03 has plainly; sr3 keeps them so. */
static void decode_rel_path(const struct entry *entry, struct arena *arena, json_t *body)
{
    const char *format = json_string_value(json_object_get(entry->root, "_format"));
    const json_t *path = json_object_get(body, "relPath");
    struct slice text = {json_string_value(path), json_string_length(path)};

    if (format && text.bytes && strcmp(format, "v02") == 0)
        json_object_set_new(body, "relPath", json_string(announcement_decode(arena, text, "0 3#")));
}

static bool make_body(struct entry *entry, struct record *record, struct error *err)
{
    json_t *body = json_object();
    bool made = copy_members(entry, body, err);
    char *text = NULL;

    if (made) {
        decode_rel_path(entry, &record->arena, body);
        text = json_dumps(body, JSON_COMPACT);
        made = text || malformed(err, "it", "cannot be printed");
    }
    if (made) {
        size_t length = strlen(text);

        record->envelope.body = (struct slice){arena_copy(&record->arena, text, length), length};
    }
    free(text);
    json_decref(body);
    return made;
}

static bool make_topic(struct entry *entry, struct record *record, struct error *err)
{
    const json_t *value = json_object_get(entry->root, "subtopic");
    json_t *names = value ? copy(entry, value, 0) : NULL;
    char *topic = arena_copy(&record->arena, "v03", 3);
    bool made = !value || json_is_array(names);

    for (size_t i = 0; made && i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));

        made = name && strlen(topic) + strlen(name) < 4096;
        if (made)
            topic = arena_format(&record->arena, "%s.%s", topic, name);
    }
    record->envelope.routing_key = (struct slice){topic, strlen(topic)};
    json_decref(names);
    return made || malformed(err, "subtopic", "is no list of names");
}

static void make_envelope(const struct entry *entry, struct record *record)
{
    const json_t *exchange = json_object_get(entry->root, "exchange");
    struct envelope *envelope = &record->envelope;

    envelope->content_type = (struct slice){"application/json", strlen("application/json")};
    if (!json_is_string(exchange))
        return;
    envelope->exchange.length = json_string_length(exchange);
    envelope->exchange.bytes =
        arena_copy(&record->arena, json_string_value(exchange), envelope->exchange.length);
}

static bool read_entry(struct entry *entry, struct record *record, struct error *err)
{
    const char *class = json_string_value(json_object_get(entry->root, "py/object"));

    if (!class || strcmp(class, "sarracenia.Message") != 0)
        return malformed(err, "py/object", "is not 'sarracenia.Message'");
    if (json_object_size(entry->root) > MEMBERS_MAX)
        return malformed(err, "it", "has more than 1000 members");
    number_all(entry, entry->root);
    make_envelope(entry, record);
    record->received_ns = clock_wall_ns();
    return make_topic(entry, record, err) && make_body(entry, record, err);
}

bool record_parse_sr3(const char *text, size_t length, struct record *record, struct error *err)
{
    struct entry entry = {.root = record_load(text, length, "retry entry of sr3", err)};
    bool read;

    *record = (struct record){0};
    read = entry.root && read_entry(&entry, record, err);
    json_decref(entry.root);
    free(entry.numbered);
    if (!read)
        record_clear(record);
    return read;
}
