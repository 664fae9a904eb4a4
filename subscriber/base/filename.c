/*
 * Filename keywords. Each spec is a row: whether it needs a value, and the function that makes the
 * new name out of the one so far.
 */
#include "base/filename.h"

#include <string.h>

#define TIME_DIGITS 14
#define PARTS_MAX   6 /* of a Sundew name: WHAT:source:type:host:priority:time */

/* A name on its way through the specs. */
struct naming {
    struct arena *arena;
    const char *original; /* with its extension */
    const char *name;
    const char *pub_time;
};

typedef void apply_fn(struct naming *naming, const char *spec, size_t length);

static const char *cut(struct naming *naming, const char *text, size_t length)
{
    return arena_copy(naming->arena, text, length);
}

static void apply_nothing(struct naming *naming, const char *spec, size_t length)
{
    (void)naming;
    (void)spec;
    (void)length;
}

static void apply_whatfn(struct naming *naming, const char *spec, size_t length)
{
    (void)spec;
    (void)length;
    naming->name = cut(naming, naming->original, strcspn(naming->original, ":"));
}

static void apply_headfn(struct naming *naming, const char *spec, size_t length)
{
    const char *name = naming->original;
    size_t end = strcspn(name, ":_");

    (void)spec;
    (void)length;
    if (name[end] == '_')
        end += 1 + strcspn(name + end + 1, ":_");
    naming->name = cut(naming, name, end);
}

static void apply_sender(struct naming *naming, const char *spec, size_t length)
{
    const char *sender = strstr(naming->original, "SENDER=");

    (void)spec;
    (void)length;
    if (!sender)
        return;
    sender += strlen("SENDER=");
    naming->name = cut(naming, sender, strcspn(sender, ":"));
}

/* Where part `index` of `name` begins; NULL when it has fewer. */
static const char *part_of(const char *name, int index)
{
    while (name && index-- > 0) {
        name = strchr(name, ':');
        name = name ? name + 1 : NULL;
    }
    return name;
}

static void apply_none(struct naming *naming, const char *spec, size_t length)
{
    const char *sender = strstr(naming->original, ":SENDER="), *priority, *behind;
    size_t kept = sender ? (size_t)(sender - naming->original) : strlen(naming->original);
    char *name = arena_copy(naming->arena, naming->original, kept);

    (void)spec;
    (void)length;
    naming->name = name;
    if (!part_of(name, PARTS_MAX - 1))
        return;
    priority = part_of(name, 4);
    behind = part_of(name, strcspn(priority, ":") == 1 ? PARTS_MAX : PARTS_MAX - 1);
    if (behind)
        name[behind - 1 - name] = '\0';
}

static void apply_nonesender(struct naming *naming, const char *spec, size_t length)
{
    const char *sender = strstr(naming->original, ":SENDER=");

    if (!sender) {
        apply_none(naming, spec, length);
        return;
    }
    sender += 1 + strcspn(sender + 1, ":");
    naming->name = cut(naming, naming->original, (size_t)(sender - naming->original));
}

static void apply_time(struct naming *naming, const char *spec, size_t length)
{
    const char *colon = strrchr(naming->original, ':');
    const char *last = colon ? colon + 1 : naming->original, *time = naming->pub_time;

    (void)spec;
    (void)length;
    if (*last == '2' && strlen(last) == TIME_DIGITS) {
        naming->name = arena_format(naming->arena, "%s:%s", naming->name, last);
        return;
    }
    naming->name = arena_format(naming->arena, "%s:%.8s%.6s", naming->name, time,
                                strlen(time) > 8 ? time + 8 + (time[8] == 'T') : "");
}

static void apply_satnet(struct naming *naming, const char *spec, size_t length)
{
    naming->name = arena_format(naming->arena, "%s:%.*s", naming->name, (int)length, spec);
}

static void apply_destfn(struct naming *naming, const char *spec, size_t length)
{
    size_t prefix = strlen("DESTFN=");

    naming->name = cut(naming, spec + prefix, length - prefix);
}

static const struct spec {
    const char *name; /* one that ends in '=' has a value */
    apply_fn *apply;
} specs[] = {
    {"None", apply_nothing},  {"WHATFN", apply_whatfn},  {"HEADFN", apply_headfn},
    {"SENDER", apply_sender}, {"NONE", apply_none},      {"NONESENDER", apply_nonesender},
    {"TIME", apply_time},     {"SATNET=", apply_satnet}, {"DESTFN=", apply_destfn},
};

static const struct spec *find_spec(const char *text, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(specs); i++) {
        size_t own = strlen(specs[i].name);
        bool valued = specs[i].name[own - 1] == '=';

        if ((valued ? length >= own : length == own) && memcmp(text, specs[i].name, own) == 0)
            return &specs[i];
    }
    return NULL;
}

static bool value_is_usable(const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    const char *value = equals ? equals + 1 : text;
    size_t left = length - (size_t)(value - text);

    if (!equals)
        return true;
    return left > 0 && !memchr(value, '/', left) && !(left == 1 && *value == '.')
           && !(left == 2 && memcmp(value, "..", 2) == 0);
}

static bool check_spec(const char *text, size_t length, struct error *err)
{
    if (length >= 13 && memcmp(text, "DESTFNSCRIPT=", 13) == 0)
        return error_set(err, ERROR_OPERATOR,
                         "filename keyword '%.*s': scripts are python and not run; use another one",
                         (int)length, text);
    if (!find_spec(text, length))
        return error_set(err, ERROR_OPERATOR,
                         "unknown filename keyword '%.*s'; there are None, WHATFN, HEADFN, SENDER, "
                         "NONE, NONESENDER, TIME, SATNET=x, DESTFN=name",
                         (int)length, text);
    if (!value_is_usable(text, length))
        return error_set(err, ERROR_OPERATOR,
                         "filename keyword '%.*s': what follows '=' must be usable as a name, "
                         "without '/'",
                         (int)length, text);
    return true;
}

bool filename_check(const char *keyword, struct error *err)
{
    for (const char *at = keyword;; at++) {
        size_t length = strcspn(at, ":");

        if (!check_spec(at, length, err))
            return false;
        at += length;
        if (!*at)
            return true;
    }
}

const char *filename_apply(struct arena *arena, const char *keyword, const char *name,
                           const char *extension, const char *pub_time)
{
    struct naming naming = {arena, name, name, pub_time ? pub_time : ""};

    if (strcmp(keyword, "None") == 0)
        return name;
    if (extension)
        naming.original = naming.name =
            arena_format(arena, "%.*s:%s", (int)strcspn(name, ":"), name, extension);
    for (const char *at = keyword;; at++) {
        size_t length = strcspn(at, ":");
        const struct spec *spec = find_spec(at, length);

        if (spec)
            spec->apply(&naming, at, length);
        at += length;
        if (!*at)
            return naming.name;
    }
}
