/*
 * Where the file of an announcement goes.
 *
 * sr3 splits the announced path into a list of names and works on the list. Here the path stays a
 * text, in which dropping leading names is moving a pointer. As in sr3 the file's name is kept
 * apart: strip does not change it even where its pattern reaches into it.
 */
#include "stages/destination.h"

#include "base/filename.h"
#include "base/log.h"
#include "base/path.h"
#include "base/pattern.h"

#include <stdlib.h>
#include <string.h>

#define STRIP_COUNT_MAX 1000000

struct destination_rule {
    struct destination_rule *next;                /* added before it */
    char *directory, *strip, *flatten, *filename; /* as given */
    struct template *template;
    size_t strip_count;
    struct pattern *strip_pattern;
    bool complained;
};

struct destination {
    struct destination_rule *rules; /* the latest first */
    struct template *post_base;
    struct pattern_matcher *matcher;
    char *base_dir, *post_base_dir, *document_root, *source;
    char *base_prefix; /* of announced paths: base_dir without its first '/', with one at its end */
    struct destination_settings settings;
};

/* ---- opening ---- */

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* sr3 takes what is before the first '/' for no name at all, so "radar" means nothing. */
static char *prefix_of(const char *base_dir)
{
    const char *slash = base_dir ? strchr(base_dir, '/') : NULL;

    return slash ? memory_format("%s/", slash + 1) : NULL;
}

struct destination *destination_open(const struct destination_settings *settings, struct error *err)
{
    struct destination *destination = memory_new(sizeof(*destination));
    struct template_settings *variables = &destination->settings.variables;

    destination->settings = *settings;
    variables->base_dir = destination->base_dir = memory_copy(variables->base_dir);
    variables->post_base_dir = destination->post_base_dir = memory_copy(variables->post_base_dir);
    variables->document_root = destination->document_root = memory_copy(variables->document_root);
    variables->source = destination->source = memory_copy(variables->source);
    destination->base_prefix = prefix_of(destination->base_dir);
    destination->matcher = pattern_matcher_new(0);
    if (!destination->post_base_dir)
        return destination;
    destination->post_base = template_compile(destination->post_base_dir, variables, err);
    if (destination->post_base)
        return destination;
    error_wrap(err, "post_baseDir");
    destination_close(destination);
    return NULL;
}

static void free_rule(struct destination_rule *rule)
{
    template_free(rule->template);
    pattern_free(rule->strip_pattern);
    free(rule->directory);
    free(rule->strip);
    free(rule->flatten);
    free(rule->filename);
    free(rule);
}

void destination_close(struct destination *destination)
{
    struct destination_rule *next;

    if (!destination)
        return;
    for (struct destination_rule *rule = destination->rules; rule; rule = next) {
        next = rule->next;
        free_rule(rule);
    }
    template_free(destination->post_base);
    pattern_matcher_free(destination->matcher);
    free(destination->base_dir);
    free(destination->post_base_dir);
    free(destination->document_root);
    free(destination->source);
    free(destination->base_prefix);
    free(destination);
}

static bool read_strip(struct destination_rule *rule, struct error *err)
{
    const char *text = rule->strip;
    unsigned long count;

    if (!text || !*text)
        return true;
    if (!text[strspn(text, "0123456789")]) {
        count = strtoul(text, NULL, 10);
        rule->strip_count = count < STRIP_COUNT_MAX ? count : STRIP_COUNT_MAX;
        return true;
    }
    rule->strip_pattern = pattern_compile("strip", text + (*text == '/'), PATTERN_ANYWHERE, err);
    return rule->strip_pattern != NULL;
}

static bool read_flatten(struct destination_rule *rule, struct error *err)
{
    if (rule->flatten && strcmp(rule->flatten, "/") == 0)
        memory_replace(&rule->flatten, NULL);
    if (rule->flatten && strchr(rule->flatten, '/'))
        return error_set(err, ERROR_OPERATOR,
                         "flatten '%s': it becomes part of file names, which have no '/'",
                         rule->flatten);
    return true;
}

static bool read_directory(struct destination *destination, struct destination_rule *rule,
                           struct error *err)
{
    const char *text = rule->directory ? rule->directory : destination->post_base_dir;

    rule->template = template_compile(text ? text : "", &destination->settings.variables, err);
    return rule->template != NULL;
}

static bool is_rule_of(const struct destination_rule *rule, const struct destination_target *target)
{
    const char *by = target->flatten && strcmp(target->flatten, "/") != 0 ? target->flatten : NULL;

    return same(rule->directory, target->directory) && same(rule->strip, target->strip)
           && same(rule->flatten, by) && same(rule->filename, target->filename);
}

struct destination_rule *destination_add_rule(struct destination *destination,
                                              const struct destination_target *target,
                                              struct error *err)
{
    struct destination_rule *rule = destination->rules;

    if (rule && is_rule_of(rule, target))
        return rule;
    rule = memory_new(sizeof(*rule));
    rule->directory = memory_copy(target->directory);
    rule->strip = memory_copy(target->strip);
    rule->flatten = memory_copy(target->flatten);
    rule->filename = memory_copy(target->filename);
    if (!read_strip(rule, err) || !read_flatten(rule, err)
        || (rule->filename && !filename_check(rule->filename, err))
        || !read_directory(destination, rule, err)) {
        free_rule(rule);
        return NULL;
    }
    if (rule->filename && strcmp(rule->filename, "None") == 0)
        memory_replace(&rule->filename, NULL);
    rule->next = destination->rules;
    destination->rules = rule;
    return rule;
}

/* ---- the announced path ---- */

/* An announced path between strip and mirror. */
struct route {
    const char *dirs; /* "radar/PRECIP/", "" without any */
    size_t dirs_length;
    const char *file;
    bool whole; /* `file` stands right behind `dirs` */
};

static bool climbs(const char *path)
{
    while (*(path += strspn(path, "/"))) {
        size_t length = strcspn(path, "/");

        if (length == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += length;
    }
    return false;
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static struct route route_of(const char *tokens, const char *file)
{
    const char *name = last_name(tokens);

    return (struct route){tokens, (size_t)(name - tokens), file, strcmp(name, file) == 0};
}

static size_t count_slashes(const char *text, size_t length)
{
    size_t slashes = 0;

    for (size_t i = 0; i < length; i++)
        slashes += text[i] == '/';
    return slashes;
}

/* Without the first `count` names; NULL when it has no more than that. */
static const char *skip_names(const char *path, size_t count)
{
    for (; path && count > 0; count--) {
        path = strchr(path, '/');
        path = path ? path + 1 : NULL;
    }
    return path;
}

static void complain(struct destination_rule *rule, const char *text, const struct error *err)
{
    if (rule->complained)
        return;
    rule->complained = true;
    log_warning("sr3sub.destination strip",
                "strip pattern '%s' counts as not matching where it takes too long: %s (%s)",
                rule->strip, err->text, text);
}

/* The match of the strip pattern from byte `start` on; NULL: there is none. */
static const size_t *find_strip(struct destination *destination, struct destination_rule *rule,
                                const char *text, size_t length, size_t start)
{
    struct error err = {0};
    const size_t *at = pattern_offsets(destination->matcher);

    switch (pattern_match(destination->matcher, rule->strip_pattern, text, length, start, &err)) {
    case PATTERN_MATCH:
        return at[0] <= at[1] && at[0] >= start ? at : NULL; /* \K can make them odd */
    case PATTERN_TOO_LONG:
        complain(rule, text, &err);
        break;
    case PATTERN_NO_MATCH:
        break;
    }
    return NULL;
}

static const char *strip_by_pattern(struct destination *destination, struct destination_rule *rule,
                                    struct arena *arena, const char *path, const char *file)
{
    size_t length = strlen(path);
    const size_t *at = find_strip(destination, rule, path, length, 0);
    char *stripped;

    if (!at || at[0] == at[1])
        return path;
    stripped = arena_copy(arena, path, length - (at[1] - at[0]));
    memcpy(stripped, path, at[0]);
    memcpy(stripped + at[0], path + at[1], length - at[1]);
    return strstr(stripped, file) ? stripped : file;
}

static const char *strip(struct destination *destination, struct destination_rule *rule,
                         struct arena *arena, const char *path, const char *file)
{
    const char *rest;

    if (rule->strip_pattern)
        return strip_by_pattern(destination, rule, arena, path, file);
    rest = skip_names(path, rule->strip_count);
    return rest ? rest : path;
}

/* `text` with every '/' replaced. */
static char *flatten(struct arena *arena, const char *text, const char *by)
{
    size_t length = strlen(text), by_length = strlen(by);
    size_t room = length + count_slashes(text, length) * by_length + 1;
    char *flat = arena_take(arena, room), *to = flat;

    for (; *text; text++) {
        if (*text != '/') {
            *to++ = *text;
            continue;
        }
        memcpy(to, by, by_length);
        to += by_length;
    }
    *to = '\0';
    return flat;
}

/* ${BD}'s directories in front are dropped if more names follow. */
static void drop_base(const struct destination *destination, struct route *route)
{
    size_t length = destination->base_prefix ? strlen(destination->base_prefix) : 0;

    if (!length || length > route->dirs_length
        || memcmp(route->dirs, destination->base_prefix, length) != 0)
        return;
    route->dirs += length;
    route->dirs_length -= length;
}

static struct route find_route(struct destination *destination, struct destination_rule *rule,
                               struct arena *arena, const char *path)
{
    const char *file = last_name(path), *tokens = strip(destination, rule, arena, path, file);
    struct route route = route_of(tokens, file);

    if (rule->flatten) {
        route.file = flatten(arena, tokens, rule->flatten);
        route.whole = false;
    }
    drop_base(destination, &route);
    return route;
}

/* Steps 1 and 2 of the algorithm. */
static const char *announced_path(const struct destination *destination,
                                  struct announcement *announcement)
{
    struct slice base = {NULL, 0};

    if (announcement->rename && !destination->settings.ignore_rename)
        return announcement->rename;
    if (!destination->settings.base_url_rel_path)
        return announcement->rel_path;
    base = announcement_base_path(announcement);
    if (base.length) {
        base.bytes++;
        base.length--;
    }
    return arena_format(&announcement->arena, "%.*s/%s", (int)base.length, base.bytes,
                        announcement->rel_path);
}

/* ---- the place ---- */

/* The parts of a place joined; what was announced loses its '$' but for the file's name. */
static const char *compose(struct arena *arena, const char *rest, const struct route *route,
                           bool mirror, const char *file)
{
    size_t rest_length = strlen(rest), file_length = strlen(file);
    char *path = arena_take(arena, rest_length + route->dirs_length + file_length + 2), *to = path;

    memcpy(to, rest, rest_length);
    to += rest_length;
    *to++ = '/';
    for (size_t i = 0; mirror && i < route->dirs_length; i++)
        if (route->dirs[i] != '$')
            *to++ = route->dirs[i];
    memcpy(to, file, file_length + 1);
    return path;
}

static bool refuse(struct error *err, const char *path, const char *why)
{
    return error_set(err, ERROR_PERMANENT, "422 place '%.200s': %s", path, why);
}

static bool name_file(struct destination_rule *rule, struct announcement *announcement,
                      const char *file, const char **name)
{
    *name = file;
    if (rule->filename)
        *name = filename_apply(&announcement->arena, rule->filename, file,
                               announcement->sundew_extension, announcement->pub_time);
    return **name && !strchr(*name, '/');
}

/* Sundew's fields are those of the name with the extension that came along. */
static const char *sundew_name(struct announcement *announcement, const char *file)
{
    if (!announcement->sundew_extension)
        return file;
    return arena_format(&announcement->arena, "%.*s:%s", (int)strcspn(file, ":"), file,
                        announcement->sundew_extension);
}

static bool resolve(struct destination *destination, struct destination_rule *rule,
                    struct announcement *announcement, const struct template_match *match,
                    const char *path, struct destination_place *place, struct error *err)
{
    struct arena *arena = &announcement->arena;
    bool mirror = destination->settings.mirror;
    struct route route = find_route(destination, rule, arena, path);
    struct template_input input = {announcement, match, sundew_name(announcement, route.file)};
    const char *rest, *name, *raw;

    if (!name_file(rule, announcement, route.file, &name))
        return refuse(err, path, *name ? "'/' in the file name" : "no file name");
    if (!template_expand(rule->template, &input, &place->directory, &rest, err))
        return error_wrap(err, "422 place '%.200s'", path);
    if (!*rest && route.whole && name == route.file
        && !(mirror && route.dirs_length && memchr(route.dirs, '$', route.dirs_length)))
        raw = mirror ? route.dirs : name;
    else
        raw = compose(arena, rest, &route, mirror, name);
    place->path = path_clean(arena, raw, err);
    return place->path || error_wrap(err, "422 place '%.200s'", path);
}

bool destination_resolve(struct destination *destination, struct destination_rule *rule,
                         struct announcement *announcement, const struct template_match *match,
                         struct destination_place *place, struct error *err)
{
    const char *path = announced_path(destination, announcement);

    if (climbs(announcement->rel_path) || climbs(path)
        || (announcement->rename && climbs(announcement->rename)))
        return refuse(err, path, "'..' in its path");
    return resolve(destination, rule, announcement, match, path, place, err);
}

/* The part of `path` below `directory`; NULL when it is not below it. */
static const char *below(const char *directory, const char *path)
{
    size_t length = strlen(directory);

    if (strncmp(path, directory, length) != 0)
        return NULL;
    if (directory[length - 1] == '/')
        return path + length;
    return path[length] == '/' ? path + length + 1 : NULL;
}

bool destination_map_path(struct destination *destination, struct destination_rule *rule,
                          struct announcement *announcement, const struct template_match *match,
                          const char *path, struct destination_place *place, struct error *err)
{
    struct template_input input = {announcement, match, last_name(path)};
    const char *rest, *inside;

    if (climbs(path))
        return refuse(err, path, "'..' in its path");
    if (*path != '/')
        return resolve(destination, rule, announcement, match, path, place, err);
    if (!template_expand(rule->template, &input, &place->directory, &rest, err))
        return error_wrap(err, "422 place '%.200s'", path);
    inside = below(place->directory, path);
    if (!inside || !*inside)
        return resolve(destination, rule, announcement, match, path + 1, place, err);
    place->path = path_clean(&announcement->arena, inside, err);
    return place->path || error_wrap(err, "422 place '%.200s'", path);
}

/* ---- links ---- */

bool destination_link_is_inside(const struct destination_place *place, const char *target)
{
    size_t depth = count_slashes(place->path, strlen(place->path));

    if (*target == '/') {
        target = below(place->directory, target);
        depth = 0;
    }
    for (; target && *target; target += *target == '/') {
        size_t length = strcspn(target, "/");

        if (length == 2 && target[0] == '.' && target[1] == '.') {
            if (depth == 0)
                return false;
            depth--;
        } else if (length > 1 || (length == 1 && *target != '.')) {
            depth++;
        }
        target += length;
    }
    return target != NULL;
}

static const char *climb(struct arena *arena, size_t levels, const char *target)
{
    size_t length = strlen(target);
    char *text = arena_take(arena, 3 * levels + length + 1);

    for (size_t i = 0; i < levels; i++)
        memcpy(text + 3 * i, "../", 3);
    memcpy(text + 3 * levels, target, length + 1);
    return text;
}

static const char *remove_all(struct destination *destination, struct destination_rule *rule,
                              struct arena *arena, const char *text)
{
    size_t length = strlen(text), from = 0, start = 0;
    char *left = arena_take(arena, length + 1), *to = left;
    const size_t *at;

    while (start <= length && (at = find_strip(destination, rule, text, length, start))) {
        size_t end = at[1];

        memcpy(to, text + from, at[0] - from);
        to += at[0] - from;
        from = end;
        start = end;
        if (at[0] == end) /* an empty match: on to the next character */
            for (start++; start < length && ((unsigned char)text[start] & 0xC0) == 0x80;)
                start++;
    }
    memcpy(to, text + from, length - from + 1);
    return left;
}

static const char *link_past_strip(struct destination *destination, struct destination_rule *rule,
                                   struct arena *arena, const char *path, const char *target)
{
    const char *rest = skip_names(path, rule->strip_count), *target_rest;

    if (rule->strip_pattern)
        return remove_all(destination, rule, arena, target);
    if (!rule->strip_count || !rest || *target == '/' || strncmp(target, "../", 3) == 0)
        return target;
    target_rest = strchr(target, '/') ? skip_names(target, rule->strip_count) : target;
    return target_rest ? climb(arena, count_slashes(rest, strlen(rest)), target_rest) : target;
}

/* base_dir, or else the path of base_url, without '/' at its end. */
static struct slice link_base(const struct destination *destination,
                              const struct announcement *announcement)
{
    struct slice base = announcement_base_path(announcement);

    if (destination->base_dir)
        base = (struct slice){destination->base_dir, strlen(destination->base_dir)};
    while (base.length && base.bytes[base.length - 1] == '/')
        base.length--;
    return base;
}

static const char *link_past_base(struct destination_rule *rule, struct slice base,
                                  const struct template_input *input, size_t depth,
                                  const char *target)
{
    struct arena *arena = &input->announcement->arena;
    const char *root, *rest;
    struct error err = {0};

    if (!base.length)
        return target;
    if (!strchr(target, '/'))
        return climb(arena, depth, target);
    if (strncmp(target, base.bytes, base.length) != 0 || target[base.length] != '/'
        || !template_expand(rule->template, input, &root, &rest, &err))
        return target;
    return arena_format(arena, "%s%s%s%s", root, *rest ? "/" : "", rest, target + base.length);
}

const char *destination_link_key(struct destination *destination, struct destination_rule *rule,
                                 struct announcement *announcement,
                                 const struct template_match *match, const char *target)
{
    struct arena *arena = &announcement->arena;
    const char *path = announced_path(destination, announcement);
    struct route route = find_route(destination, rule, arena, path);
    struct template_input input = {announcement, match, sundew_name(announcement, route.file)};

    target = link_past_strip(destination, rule, arena, path, target);
    if (rule->flatten)
        target = flatten(arena, target, rule->flatten);
    return link_past_base(rule, link_base(destination, announcement), &input,
                          count_slashes(route.dirs, route.dirs_length), target);
}

/* ---- announcing again ---- */

/* `path` behind `prefix` if it begins with that; a prefix of one character is none. */
static const char *behind(struct slice prefix, const char *path)
{
    bool ends = prefix.length && prefix.bytes[prefix.length - 1] == '/';

    if (prefix.length < 2 || strncmp(path, prefix.bytes, prefix.length) != 0
        || (!ends && path[prefix.length] != '/'))
        return path;
    return path + prefix.length;
}

const char *destination_post_path(struct destination *destination,
                                  struct announcement *announcement,
                                  const struct destination_place *place)
{
    struct arena *arena = &announcement->arena;
    struct template_input input = {announcement, NULL, last_name(place->path)};
    bool at_top = strcmp(place->directory, "/") == 0;
    const char *path = arena_format(arena, "%s/%s", at_top ? "" : place->directory, place->path);
    const char *root, *rest, *base;
    struct error err = {0};

    if (destination->post_base
        && template_expand(destination->post_base, &input, &root, &rest, &err)) {
        base = arena_format(arena, "%s%s%s", root, *rest ? "/" : "", rest);
        path = behind((struct slice){base, strlen(base)}, path);
    }
    path = behind(announcement_base_path(announcement), path);
    return path + (*path == '/');
}
