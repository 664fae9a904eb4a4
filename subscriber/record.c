/* Records as JSON: printed, and read strictly, because what is in a store may be anybody's. */
#include "record.h"

#include "base/clock.h"
#include "record_json.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define VERSION   1
#define TRIES_MAX 1000000

static bool malformed(struct error *err, const char *member, const char *problem)
{
    return error_set(err, ERROR_PERMANENT, "read record: %.100s %s", member, problem);
}

/* ---- printing ---- */

static json_t *base64_of(struct slice bytes)
{
    unsigned char *text = memory_new((bytes.length + 2) / 3 * 4 + 1);
    json_t *object = json_object();

    EVP_EncodeBlock(text, (const unsigned char *)bytes.bytes, (int)bytes.length);
    json_object_set_new(object, "base64", json_string((const char *)text));
    free(text);
    return object;
}

static json_t *value_of(struct slice bytes)
{
    if (!announcement_text_is_valid(bytes))
        return base64_of(bytes);
    return json_stringn(bytes.length ? bytes.bytes : "", bytes.length);
}

static void put_bytes(json_t *root, const char *name, struct slice bytes)
{
    if (bytes.length)
        json_object_set_new(root, name, value_of(bytes));
}

static void put_text(json_t *root, const char *name, const char *text)
{
    if (text)
        put_bytes(root, name, (struct slice){text, strlen(text)});
}

static void put_time(json_t *root, const char *name, int64_t wall_ns)
{
    char text[CLOCK_TEXT_SIZE];

    if (wall_ns <= 0)
        return;
    clock_print(wall_ns, text);
    json_object_set_new(root, name, json_string(text));
}

/* Names that JSON cannot hold are left out: no reader of announcements asks for them. */
static void put_headers(json_t *root, const struct envelope *envelope)
{
    json_t *headers = json_object();

    for (size_t i = 0; i < envelope->header_count; i++) {
        const struct envelope_header *header = &envelope->headers[i];

        if (announcement_text_is_valid(header->name))
            json_object_setn_new(headers, header->name.length ? header->name.bytes : "",
                                 header->name.length, value_of(header->value));
    }
    if (json_object_size(headers))
        json_object_set(root, "headers", headers);
    json_decref(headers);
}

char *record_print(const struct record *record)
{
    const struct envelope *envelope = &record->envelope;
    json_t *root = json_object();
    char *text;

    json_object_set_new(root, "v", json_integer(VERSION));
    put_time(root, "received", record->received_ns);
    put_time(root, "failed", record->first_failure_ns);
    if (record->tries > 0)
        json_object_set_new(root, "tries", json_integer(record->tries));
    put_text(root, "reason", record->reason);
    put_text(root, "fingerprint", record->fingerprint);
    put_bytes(root, "exchange", envelope->exchange);
    put_bytes(root, "topic", envelope->routing_key);
    put_bytes(root, "contentType", envelope->content_type);
    put_headers(root, envelope);
    put_bytes(root, "body", envelope->body);
    text = json_dumps(root, JSON_COMPACT);
    assert(text);
    json_decref(root);
    return text;
}

/* ---- reading ---- */

/* jansson follows 2048 levels, each of which costs stack. */
static bool depth_is_fine(const char *text, size_t length)
{
    bool quoted = false;
    int depth = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
        if (depth > RECORD_DEPTH_MAX)
            return false;
    }
    return true;
}

json_t *record_load(const char *text, size_t length, const char *what, struct error *err)
{
    json_error_t problem = {.text = "nothing there"};
    json_t *root;

    if (length > RECORD_SIZE_MAX) {
        error_set(err, ERROR_PERMANENT, "read %s: larger than 8 MiB", what);
        return NULL;
    }
    if (!depth_is_fine(text, length)) {
        error_set(err, ERROR_PERMANENT, "read %s: nested too deep", what);
        return NULL;
    }
    root = length ? json_loadb(text, length, 0, &problem) : NULL;
    if (json_is_object(root))
        return root;
    error_set(err, ERROR_PERMANENT, "read %s: %s", what, root ? "not an object" : problem.text);
    json_decref(root);
    return NULL;
}

/* Padding only at the end, where EVP_DecodeBlock() takes it for zeros. */
static bool decode_base64(struct arena *arena, const json_t *text, struct slice *bytes)
{
    size_t length = json_string_length(text), padding = 0;
    const char *digits = json_string_value(text);
    char *copy;

    if (!digits || length % 4 != 0)
        return false;
    while (padding < 2 && padding < length && digits[length - 1 - padding] == '=')
        padding++;
    copy = arena_take(arena, length / 4 * 3 + 1);
    *bytes = (struct slice){copy, length / 4 * 3 - padding};
    if (strcspn(digits, "= \t\r\n-") != length - padding)
        return false;
    return length == 0
           || EVP_DecodeBlock((unsigned char *)copy, (const unsigned char *)digits, (int)length)
                  == (int)(length / 4 * 3);
}

static bool read_value(struct arena *arena, const json_t *value, const char *name,
                       struct slice *bytes, struct error *err)
{
    if (json_is_string(value)) {
        bytes->length = json_string_length(value);
        bytes->bytes = arena_copy(arena, json_string_value(value), bytes->length);
        return true;
    }
    if (json_is_object(value) && decode_base64(arena, json_object_get(value, "base64"), bytes))
        return true;
    return malformed(err, name, "is neither a text nor base64");
}

/* False only for what is there and makes no sense. */
static bool read_bytes(struct record *record, const json_t *root, const char *name,
                       struct slice *bytes, struct error *err)
{
    const json_t *value = json_object_get(root, name);

    return !value || read_value(&record->arena, value, name, bytes, err);
}

static bool read_text(struct record *record, const json_t *root, const char *name, char **text,
                      struct error *err)
{
    struct slice bytes = {NULL, 0};

    if (!read_bytes(record, root, name, &bytes, err))
        return false;
    if (!bytes.bytes)
        return true;
    if (bytes.length && memchr(bytes.bytes, '\0', bytes.length))
        return malformed(err, name, "has a NUL");
    *text = arena_copy(&record->arena, bytes.bytes, bytes.length);
    return true;
}

static bool read_time(const json_t *root, const char *name, int64_t *wall_ns, struct error *err)
{
    const json_t *value = json_object_get(root, name);
    const char *text = json_string_value(value);

    if (!value)
        return true;
    return (text && clock_parse(text, wall_ns)) || malformed(err, name, "is no time");
}

static bool read_tries(const json_t *root, struct record *record, struct error *err)
{
    const json_t *value = json_object_get(root, "tries");
    json_int_t tries = json_integer_value(value); /* 0 when it is none */

    if (value && (!json_is_integer(value) || tries < 0 || tries > TRIES_MAX))
        return malformed(err, "tries", "is no sensible number");
    record->tries = (int)tries;
    return true;
}

static bool read_headers(struct record *record, json_t *root, struct error *err)
{
    json_t *object = json_object_get(root, "headers"), *value;
    struct envelope_header *headers;
    const char *name;
    size_t count = 0;

    if (!object)
        return true;
    if (!json_is_object(object))
        return malformed(err, "headers", "is no object");
    headers = arena_take(&record->arena, json_object_size(object) * sizeof(*headers) + 1);
    json_object_foreach(object, name, value)
    {
        size_t length = strlen(name);

        headers[count].name = (struct slice){arena_copy(&record->arena, name, length), length};
        if (!read_value(&record->arena, value, name, &headers[count++].value, err))
            return false;
    }
    record->envelope.headers = headers;
    record->envelope.header_count = count;
    return true;
}

static bool read_root(struct record *record, json_t *root, struct error *err)
{
    struct envelope *envelope = &record->envelope;

    if (json_integer_value(json_object_get(root, "v")) != VERSION)
        return malformed(err, "v", "is not 1: it is none of ours, or of another version");
    return read_time(root, "received", &record->received_ns, err)
           && read_time(root, "failed", &record->first_failure_ns, err)
           && read_tries(root, record, err)
           && read_text(record, root, "reason", &record->reason, err)
           && read_text(record, root, "fingerprint", &record->fingerprint, err)
           && read_bytes(record, root, "exchange", &envelope->exchange, err)
           && read_bytes(record, root, "topic", &envelope->routing_key, err)
           && read_bytes(record, root, "contentType", &envelope->content_type, err)
           && read_headers(record, root, err)
           && read_bytes(record, root, "body", &envelope->body, err);
}

bool record_parse(const char *text, size_t length, struct record *record, struct error *err)
{
    json_t *root = record_load(text, length, "record", err);
    bool read;

    *record = (struct record){0};
    read = root && read_root(record, root, err);
    json_decref(root);
    if (!read)
        record_clear(record);
    return read;
}

void record_clear(struct record *record)
{
    arena_clear(&record->arena);
    *record = (struct record){0};
}
