/*
 * Reader of v03: one JSON object.
 *
 * A member that decides what is fetched or done, and has the wrong type, makes the message
 * malformed; one that merely describes the file is then taken for absent. So is null everywhere.
 */
#include "announcement.h"

#include <jansson.h>
#include <string.h>

static bool malformed(struct error *err, const char *what, const char *problem)
{
    return error_set(err, ERROR_PERMANENT, "read v03 announcement: %s %s", what, problem);
}

static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);

    return json_is_null(value) ? NULL : value;
}

static const char *copy_text(struct announcement *announcement, const json_t *value)
{
    if (!json_is_string(value))
        return NULL;
    return arena_copy(&announcement->arena, json_string_value(value), json_string_length(value));
}

/* A text or nothing; anything else is an error. */
static bool read_text(const json_t *object, const char *name, struct announcement *announcement,
                      const char **text, struct error *err)
{
    const json_t *value = member(object, name);

    if (!value)
        return true;
    *text = copy_text(announcement, value);
    return *text || malformed(err, name, "is not a text");
}

static struct slice slice_of(const json_t *value)
{
    if (!json_is_string(value))
        return (struct slice){"", 0};
    return (struct slice){json_string_value(value), json_string_length(value)};
}

static bool read_size(const json_t *value, struct announcement *announcement, struct error *err)
{
    char digits[24];
    struct slice text = slice_of(value);

    if (json_is_integer(value)) {
        int length =
            snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(value));

        text = (struct slice){digits, (size_t)length};
    }
    return announcement_set_size(announcement, text) || malformed(err, "size", "is not a number");
}

/* An early version posted v02's `parts` here; when it is there, sr3 does not look at `size`. */
static bool read_parts(const json_t *parts, struct announcement *announcement, struct error *err)
{
    struct slice method, size;

    if (!announcement_split_parts(slice_of(parts), &method, &size))
        return malformed(err, "parts", "are not five fields");
    if (method.length != 1 || *method.bytes != '1') {
        announcement->has_blocks = true;
        return true;
    }
    return announcement_set_size(announcement, size) || malformed(err, "parts", "have no size");
}

static bool read_sizes(const json_t *root, struct announcement *announcement, struct error *err)
{
    const json_t *parts = member(root, "parts"), *size = member(root, "size");

    announcement->has_blocks = member(root, "blocks") != NULL;
    if (parts)
        return read_parts(parts, announcement, err);
    return !size || read_size(size, announcement, err);
}

/* Kept as it is: reading it takes time, and few announcements get that far. */
static void read_content(const json_t *root, struct announcement *announcement)
{
    const json_t *content = member(root, "content");
    const json_t *value = member(content, "value");
    struct slice text = slice_of(value);

    announcement->has_content = json_is_object(content);
    if (!json_is_string(value) || !json_is_string(member(content, "encoding")))
        return;
    announcement->content_encoding = copy_text(announcement, member(content, "encoding"));
    announcement->content =
        (struct slice){arena_copy(&announcement->arena, text.bytes, text.length), text.length};
}

/* The former name wins when both are there, as in sr3. */
static void read_identity(const json_t *root, struct announcement *announcement)
{
    const json_t *former = member(root, "integrity");
    const json_t *identity = former ? former : member(root, "identity");
    const json_t *value = member(identity, "value");
    const char *method = copy_text(announcement, member(identity, "method"));

    if (method && json_is_string(value))
        announcement_set_identity(announcement, method, slice_of(value));
}

/* The values of remove and directory mean nothing, their keys do, whatever they hold. */
static bool has_key(const json_t *object, const char *name)
{
    return json_object_get(object, name) != NULL;
}

static bool read_file_op(const json_t *root, struct announcement *announcement, struct error *err)
{
    const json_t *object = member(root, "fileOp");
    struct file_op *op = &announcement->file_op;

    if (!object)
        return true;
    if (!json_is_object(object))
        return malformed(err, "fileOp", "is not an object");
    op->remove = has_key(object, "remove") || has_key(object, "rmdir");
    op->directory =
        has_key(object, "directory") || has_key(object, "rmdir") || has_key(object, "mkdir");
    if (!read_text(object, "link", announcement, &op->link, err)
        || !read_text(object, "hlink", announcement, &op->hlink, err)
        || !read_text(object, "rename", announcement, &op->rename, err))
        return false;
    op->present = op->remove || op->directory || op->link || op->hlink || op->rename;
    return true;
}

static bool read_texts(const json_t *root, struct announcement *announcement, struct error *err)
{
    const char *retrieve = has_key(root, "retPath") ? "retPath" : "retrievePath";

    return read_text(root, "pubTime", announcement, &announcement->pub_time, err)
           && read_text(root, "baseUrl", announcement, &announcement->base_url, err)
           && read_text(root, "relPath", announcement, &announcement->rel_path, err)
           && read_text(root, retrieve, announcement, &announcement->retrieve_path, err)
           && read_text(root, "rename", announcement, &announcement->rename, err)
           && read_text(root, "newname", announcement, &announcement->new_name, err);
}

static void read_descriptions(const json_t *root, struct announcement *announcement)
{
    const char *atime = copy_text(announcement, member(root, "atime"));
    const char *mode = copy_text(announcement, member(root, "mode"));

    announcement->mtime = copy_text(announcement, member(root, "mtime"));
    announcement->source = copy_text(announcement, member(root, "source"));
    announcement->sundew_extension = copy_text(announcement, member(root, "sundew_extension"));
    if (atime)
        announcement_set_atime(announcement, atime);
    if (mode)
        announcement_set_mode(announcement, mode);
}

static bool is_wis(const json_t *root)
{
    const char *type = json_string_value(member(root, "type"));

    return type && strcmp(type, "Feature") == 0 && member(root, "links")
           && !member(root, "pubTime");
}

static bool read_root(const json_t *root, struct announcement *announcement, struct error *err)
{
    if (!json_is_object(root))
        return malformed(err, "body", "is not an object");
    if (is_wis(root))
        return error_set(err, ERROR_PERMANENT,
                         "read announcement: wis announcements are not read by this version");
    if (!read_texts(root, announcement, err) || !read_sizes(root, announcement, err)
        || !read_file_op(root, announcement, err))
        return false;
    announcement->raw_rel_path = announcement->rel_path;
    read_identity(root, announcement);
    read_descriptions(root, announcement);
    read_content(root, announcement);
    return true;
}

bool v03_parse(const struct envelope *envelope, struct announcement *announcement,
               struct error *err)
{
    json_error_t problem;
    json_t *root = NULL;
    bool read;

    if (envelope->body.length)
        root = json_loadb(envelope->body.bytes, envelope->body.length, 0, &problem);
    else
        snprintf(problem.text, sizeof(problem.text), "empty body");
    if (!root)
        return malformed(err, "JSON:", problem.text);
    read = read_root(root, announcement, err);
    json_decref(root);
    return read;
}
