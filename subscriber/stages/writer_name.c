/* Inflight names: the same for every instance and every attempt at the same version of a file. */
#include "stages/writer_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LENGTH_MAX     255
#define PATTERN_LENGTH_MAX  64
#define ABSOLUTE_LENGTH_MAX 1000
#define HIDDEN_SUFFIX       ".tmp"

bool writer_name_is_absolute(const char *pattern)
{
    return pattern && *pattern == '/';
}

bool writer_name_allows(const char *pattern)
{
    size_t length = strlen(pattern);

    if (!length || strstr(pattern, "..") || strspn(pattern, "/") == length)
        return false;
    if (writer_name_is_absolute(pattern))
        return length <= ABSOLUTE_LENGTH_MAX && pattern[length - 1] == '/';
    if (length > PATTERN_LENGTH_MAX)
        return false;
    return strchr(pattern, '/') ? pattern[length - 1] == '/' : pattern[0] == '.';
}

/* FNV-1a over a text and its NUL. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const char *at = text;; at++) {
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
        if (!*at)
            return hash;
    }
}

/* Differs for another path or another version of the file. */
static uint32_t version_hash(const struct writer_plan *plan, const char *pattern)
{
    char version[64];
    uint64_t hash = hash_text(0xcbf29ce484222325u, plan->path);

    snprintf(version, sizeof(version), "%" PRId64 ",%" PRId64, plan->size_bytes, plan->mtime_ns);
    hash = hash_text(hash, plan->identity_value ? plan->identity_value : version);
    if (writer_name_is_absolute(pattern)) /* files of all directories meet there */
        hash = hash_text(hash, plan->directory);
    return (uint32_t)(hash ^ hash >> 32);
}

static char *print_name(struct arena *texts, const char *start, const char *name, uint32_t hash,
                        const char *suffix)
{
    int room = NAME_LENGTH_MAX - (int)(strlen(start) + 9 + strlen(suffix));

    return arena_format(texts, "%s%.*s.%08x%s", start, room, name, hash, suffix);
}

static char *print_directory(struct arena *texts, const char *directory, const char *pattern)
{
    return arena_format(texts, "%s%s%.*s", directory, *directory ? "/" : "",
                        (int)strlen(pattern) - 1, pattern);
}

void writer_name_init(struct writer_name *name, const char *pattern, const struct writer_plan *plan)
{
    const char *slash = strrchr(plan->path, '/');
    bool in_directory = pattern && pattern[strlen(pattern) - 1] == '/';
    bool absolute = writer_name_is_absolute(pattern);
    uint32_t hash = version_hash(plan, pattern);
    const char *last = slash ? slash + 1 : plan->path;
    struct arena *texts = &name->texts;

    *name = (struct writer_name){0};
    name->directory = arena_copy(texts, plan->path, slash ? (size_t)(slash - plan->path) : 0);
    name->name = arena_copy(texts, last, strlen(last));
    if (!in_directory)
        name->inflight_directory = name->directory;
    else if (!absolute)
        name->inflight_directory = print_directory(texts, name->directory, pattern);
    if (absolute)
        name->hidden_name = print_name(texts, ".", last, hash, HIDDEN_SUFFIX);
    if (!pattern)
        name->inflight_name = print_name(texts, ".", last, hash, HIDDEN_SUFFIX);
    else if (in_directory)
        name->inflight_name = print_name(texts, "", last, hash, "");
    else if (strcmp(pattern, ".") == 0)
        name->inflight_name = print_name(texts, ".", last, hash, "");
    else
        name->inflight_name = print_name(texts, "", last, hash, pattern);
}

void writer_name_clear(struct writer_name *name)
{
    arena_clear(&name->texts);
}

char *writer_print_inflight(const char *inflight, const struct writer_plan *plan)
{
    const char *root = strcmp(plan->directory, "/") == 0 ? "" : plan->directory;
    struct writer_name name;
    char *path;

    writer_name_init(&name, inflight, plan);
    if (!name.inflight_directory)
        path = memory_format("%s%s", inflight, name.inflight_name);
    else
        path = memory_format("%s/%s%s%s", root, name.inflight_directory,
                             *name.inflight_directory ? "/" : "", name.inflight_name);
    writer_name_clear(&name);
    return path;
}
