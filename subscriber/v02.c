/*
 * Reader of v02: "time base_url rel_path" as the body, everything else in the headers.
 *
 * What the letters of `sum` make of a message, and in which order, is sr3's doing: both have to
 * take the same message for the same event. The exceptions are where sr3 goes wrong (a directory's
 * rename, identities that are none).
 */
#include "announcement.h"

#include <string.h>

enum field {
    SUM,
    PARTS,
    MTIME,
    ATIME,
    MODE,
    LINK,
    OLDNAME,
    NEWNAME,
    RENAME,
    SOURCE,
    SIZE,
    RETRIEVE_PATH,
    SUNDEW_EXTENSION,
    FIELDS
};

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct slice names[FIELDS] = {
    [SUM] = NAME("sum"),
    [PARTS] = NAME("parts"),
    [MTIME] = NAME("mtime"),
    [ATIME] = NAME("atime"),
    [MODE] = NAME("mode"),
    [LINK] = NAME("link"),
    [OLDNAME] = NAME("oldname"),
    [NEWNAME] = NAME("newname"),
    [RENAME] = NAME("rename"),
    [SOURCE] = NAME("source"),
    [SIZE] = NAME("size"),
    [RETRIEVE_PATH] = NAME("retrievePath"),
    [SUNDEW_EXTENSION] = NAME("sundew_extension"),
};

static enum field field_of(struct slice name)
{
    enum field field = 0;

    while (field < FIELDS
           && (names[field].length != name.length
               || memcmp(names[field].bytes, name.bytes, name.length) != 0))
        field++;
    return field;
}

static bool malformed(struct error *err, const char *what)
{
    return error_set(err, ERROR_PERMANENT, "read v02 announcement: %s", what);
}

/* Of headers that occur twice the last one counts. Absent ones have no bytes. */
static bool collect_headers(const struct envelope *envelope, struct slice values[FIELDS],
                            struct error *err)
{
    for (size_t i = 0; i < envelope->header_count; i++) {
        const struct envelope_header *header = &envelope->headers[i];
        enum field field = field_of(header->name);

        if (field == FIELDS)
            continue;
        if (!announcement_text_is_valid(header->value))
            return error_set(err, ERROR_PERMANENT,
                             "read v02 announcement: header '%s' is not UTF-8", names[field].bytes);
        values[field] = header->value;
        if (!values[field].bytes)
            values[field].bytes = "";
    }
    return true;
}

/* Up to the next space, which is taken too. False when nothing is left, not even a space. */
static bool take_word(struct slice *rest, struct slice *word)
{
    const char *space;

    if (!rest->bytes)
        return false;
    *word = *rest;
    space = rest->length ? memchr(rest->bytes, ' ', rest->length) : NULL;
    if (!space) {
        rest->bytes = NULL;
        return true;
    }
    word->length = (size_t)(space - word->bytes);
    rest->bytes = space + 1;
    rest->length -= word->length + 1;
    return true;
}

static char *copy_time(struct arena *arena, struct slice time)
{
    char *copy;

    if (time.length <= 8 || time.bytes[8] == 'T')
        return arena_copy(arena, time.bytes, time.length);
    copy = arena_take(arena, time.length + 2);
    memcpy(copy, time.bytes, 8);
    copy[8] = 'T';
    memcpy(copy + 9, time.bytes + 8, time.length - 8);
    copy[time.length + 1] = '\0';
    return copy;
}

static bool read_body(struct slice body, struct announcement *announcement, struct error *err)
{
    struct arena *arena = &announcement->arena;
    struct slice pub_time, base_url, rel_path;

    if (!announcement_text_is_valid(body))
        return malformed(err, "body is not UTF-8");
    while (body.length
           && (body.bytes[body.length - 1] == '\n' || body.bytes[body.length - 1] == '\r'))
        body.length--;
    if (!take_word(&body, &pub_time) || !take_word(&body, &base_url)
        || !take_word(&body, &rel_path))
        return malformed(err, "body has fewer than three fields");
    announcement->pub_time = copy_time(arena, pub_time);
    announcement->base_url = announcement_decode(arena, base_url, "0 3#");
    announcement->raw_rel_path = arena_copy(arena, rel_path.bytes, rel_path.length);
    announcement->rel_path = announcement->raw_rel_path;
    if (strchr(announcement->raw_rel_path, '%'))
        announcement->rel_path = announcement_decode(arena, rel_path, "0 3#");
    return true;
}

static const char *copy_value(struct announcement *announcement, struct slice value)
{
    return value.bytes ? arena_copy(&announcement->arena, value.bytes, value.length) : NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex(struct slice text)
{
    for (size_t i = 0; i < text.length; i++)
        if (hex_value(text.bytes[i]) < 0)
            return false;
    return text.length % 2 == 0;
}

static unsigned hex_byte(struct slice hex, size_t index)
{
    if (2 * index >= hex.length)
        return 0;
    return (unsigned)(hex_value(hex.bytes[2 * index]) * 16 + hex_value(hex.bytes[2 * index + 1]));
}

static struct slice base64_of_hex(struct arena *arena, struct slice hex)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = hex.length / 2, length = (size + 2) / 3 * 4;
    char *text = arena_take(arena, length + 1), *to = text;

    for (size_t i = 0; i < size; i += 3) {
        unsigned group = hex_byte(hex, i) << 16 | hex_byte(hex, i + 1) << 8 | hex_byte(hex, i + 2);

        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
        *to++ = i + 2 < size ? digits[group & 63] : '=';
    }
    return (struct slice){text, length};
}

/* The method a letter stands for; NULL when it announces something else than content. */
static const char *method_of(char letter)
{
    switch (letter) {
    case 'd':
        return "md5";
    case 's':
        return "sha512";
    case '0':
        return "random";
    case 'a':
        return "arbitrary";
    case 'z':
        return "cod";
    default:
        return NULL;
    }
}

struct sum {
    char letter;
    struct slice value;
};

static bool read_sum(struct slice text, struct sum *sum)
{
    if (text.length < 2 || text.bytes[1] != ',')
        return false;
    sum->letter = text.bytes[0];
    sum->value = (struct slice){text.bytes + 2, text.length - 2};
    if (memchr("dsnLRmr", sum->letter, 7))
        return is_hex(sum->value);
    if (sum->letter == 'z')
        return sum->value.length == 1 && memchr("ds", *sum->value.bytes, 2);
    return sum->letter == '0' || sum->letter == 'a';
}

static void apply_identity(const struct sum *sum, struct announcement *announcement)
{
    const char *method = method_of(sum->letter);
    struct slice value = sum->value;

    if (!method)
        return;
    if (sum->letter == 'z') {
        const char *algorithm = method_of(*value.bytes);

        value = (struct slice){algorithm, strlen(algorithm)};
    } else if (sum->letter == 'd' || sum->letter == 's') {
        value = base64_of_hex(&announcement->arena, value);
    }
    announcement_set_identity(announcement, method, value);
}

static void apply_rename(const struct sum *sum, const struct slice values[FIELDS],
                         struct announcement *announcement)
{
    struct file_op *op = &announcement->file_op;

    op->rename = copy_value(announcement, values[OLDNAME]);
    op->directory = sum->letter == 'm';
    if (sum->letter == 'L')
        op->link = copy_value(announcement, values[LINK]);
    apply_identity(sum, announcement);
}

static void apply_sum(const struct slice values[FIELDS], struct announcement *announcement)
{
    struct file_op *op = &announcement->file_op;
    struct sum sum;

    if (!values[SUM].bytes || !read_sum(values[SUM], &sum))
        return;
    if (values[OLDNAME].bytes)
        apply_rename(&sum, values, announcement);
    else if (strchr("Rmr", sum.letter)) {
        op->remove = sum.letter != 'm';
        op->directory = sum.letter != 'R';
    } else if (values[LINK].bytes)
        op->link = copy_value(announcement, values[LINK]);
    else
        apply_identity(&sum, announcement);
    op->present = op->rename || op->remove || op->directory || op->link;
}

/*
 * A size in `parts` comes before one in `size`. Parts that make no sense, or partition the file,
 * are left aside as sr3 does: the whole file is fetched then, of unknown size.
 */
static bool apply_size(const struct slice values[FIELDS], struct announcement *announcement,
                       struct error *err)
{
    struct slice method, size;

    if (values[PARTS].bytes && announcement_split_parts(values[PARTS], &method, &size)
        && !(method.length == 1 && memchr("ip", *method.bytes, 2))
        && announcement_set_size(announcement, size))
        return true;
    if (!values[SIZE].bytes || announcement_set_size(announcement, values[SIZE]))
        return true;
    return malformed(err, "size is not a number");
}

static void apply_times(const struct slice values[FIELDS], struct announcement *announcement)
{
    if (values[MTIME].bytes)
        announcement->mtime = copy_time(&announcement->arena, values[MTIME]);
    if (values[ATIME].bytes)
        announcement_set_atime(announcement, copy_time(&announcement->arena, values[ATIME]));
}

bool v02_parse(const struct envelope *envelope, struct announcement *announcement,
               struct error *err)
{
    struct slice values[FIELDS] = {{NULL, 0}};

    if (!read_body(envelope->body, announcement, err) || !collect_headers(envelope, values, err)
        || !apply_size(values, announcement, err))
        return false;
    apply_times(values, announcement);
    apply_sum(values, announcement);
    if (values[MODE].bytes)
        announcement_set_mode(announcement, copy_value(announcement, values[MODE]));
    announcement->new_name = copy_value(announcement, values[NEWNAME]);
    announcement->rename = copy_value(announcement, values[RENAME]);
    announcement->source = copy_value(announcement, values[SOURCE]);
    announcement->retrieve_path = copy_value(announcement, values[RETRIEVE_PATH]);
    announcement->sundew_extension = copy_value(announcement, values[SUNDEW_EXTENSION]);
    return true;
}
