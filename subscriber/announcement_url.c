/*
 * The URL that an announced file is fetched from, in the form libcurl reads for each scheme.
 *
 * The slashes and the encoding are sr3's. Where a path begins matters for servers one logs in to:
 * below the root when base_url has a path, be it "/", and else below the login directory. For ftp
 * the first is written "/%2Fpath" (RFC 1738, 3.2.2), for sftp the second is "/~/path".
 */
#include "announcement.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct scheme {
    const char *name;
    bool http;
    const char *root, *home; /* what stands before a path below the one or the other */
};

static const struct scheme schemes[] = {
    {"http", true, "/", "/"},     {"https", true, "/", "/"},   {"ftp", false, "/%2F", "/"},
    {"ftps", false, "/%2F", "/"}, {"sftp", false, "/", "/~/"}, {"file", false, "/", "/"},
};

/* A base_url apart, without "user:password@". */
struct base_parts {
    const struct scheme *scheme;
    struct slice authority;
    const char *rest; /* path and query */
};

static bool is_alphanumeric(unsigned char c)
{
    return c < 0x80 && isalnum(c);
}

static char *put(char *to, const char *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

static char *put_text(char *to, const char *text)
{
    return put(to, text, strlen(text));
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* Strict, because what readers of URLs disagree about ("http://a\@b") could choose the host. */
static bool authority_is_safe(struct slice authority)
{
    for (size_t i = 0; i < authority.length; i++) {
        unsigned char c = (unsigned char)authority.bytes[i];

        if (!is_alphanumeric(c) && c < 0x80 && (!c || !strchr(".-_~:[]%", c)))
            return false;
    }
    return authority.length > 0 && authority.bytes[0] != ':';
}

static const struct scheme *find_scheme(const char *url, size_t length)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (strlen(schemes[i].name) == length && strncasecmp(url, schemes[i].name, length) == 0)
            return &schemes[i];
    return NULL;
}

/* "file:/path" and "file:///path" are the same; a host that is not this one has none of our files.
 */
static bool split_file_base(const char *start, struct base_parts *parts, struct error *err)
{
    const char *at;

    start += strncmp(start, "//", 2) == 0 ? 2 : 0;
    parts->rest = start + strcspn(start, "/?#");
    parts->authority = (struct slice){start, 0};
    if (parts->rest == start
        || (parts->rest - start == 9 && strncasecmp(start, "localhost", 9) == 0))
        return true;
    at = memrchr(start, '@', (size_t)(parts->rest - start));
    return error_set(err, ERROR_PERMANENT, "fetch from '%.200s': a file of another host",
                     at ? at + 1 : start);
}

static bool split_base(const char *url, struct base_parts *parts, struct error *err)
{
    size_t length = strcspn(url, ":");
    const char *start, *at;

    parts->scheme = find_scheme(url, length);
    if (!parts->scheme)
        return error_set(err, ERROR_PERMANENT,
                         "fetch from '%.*s' URL: only http, https, ftp, ftps, sftp and file",
                         (int)(length < 40 ? length : 40), url);
    start = url + length + (url[length] == ':');
    if (strcmp(parts->scheme->name, "file") == 0)
        return split_file_base(start, parts, err);
    start += strncmp(start, "//", 2) == 0 ? 2 : 0;
    parts->rest = start + strcspn(start, "/?#");
    at = memrchr(start, '@', (size_t)(parts->rest - start));
    if (at)
        start = at + 1;
    parts->authority = (struct slice){start, (size_t)(parts->rest - start)};
    if (!authority_is_safe(parts->authority))
        return error_set(err, ERROR_PERMANENT, "fetch from '%.*s': no usable host name",
                         (int)(parts->authority.length < 200 ? parts->authority.length : 200),
                         start);
    return true;
}

/* "//" becomes "/" from left to right, so "///" leaves "//"; what begins with `stop` stays. */
static void halve_slashes(char *path, char stop)
{
    char *to = path, *from = path;

    while (*from && *from != stop) {
        *to++ = *from;
        from += from[0] == '/' && from[1] == '/' ? 2 : 1;
    }
    memmove(to, from, strlen(from) + 1);
}

static char *url_begin(const struct base_parts *base, char *to)
{
    to = put_text(put_text(to, base->scheme->name), "://");
    return put(to, base->authority.bytes, base->authority.length);
}

static char *retrieve_url(struct arena *arena, const struct base_parts *base, const char *path,
                          struct error *err)
{
    size_t rest_length = strlen(base->rest), path_length = strlen(path);
    char *url, *rest, *to;

    if (has_control(path) || strchr(path, ' ') || strchr(base->rest, ' ')) {
        error_set(err, ERROR_PERMANENT, "fetch '%.200s': space or control character in it", path);
        return NULL;
    }
    url = arena_take(arena, base->authority.length + rest_length + path_length + 12);
    rest = to = url_begin(base, url);
    to = put(to, base->rest, rest_length);
    *to++ = '/';
    *put(to, path, path_length) = '\0';
    halve_slashes(rest, '?');
    return url;
}

static size_t directory_length(const char *rel_path)
{
    const char *slash = strrchr(rel_path, '/');
    size_t length = slash ? (size_t)(slash - rel_path) + 1 : 0, all = length;

    while (length && rel_path[length - 1] == '/')
        length--;
    return length ? length : all;
}

/* The path of base_url and rel_path in one, not yet encoded, with the slashes sr3 asks for. */
static char *request_path(struct arena *arena, struct slice base, const char *rel_path)
{
    const char *slash = strrchr(rel_path, '/'), *name = slash ? slash + 1 : rel_path;
    size_t directory = directory_length(rel_path), name_length = strlen(name);
    char *path = arena_take(arena, base.length + directory + name_length + 3);
    char *to = put(path, base.bytes, base.length);

    if (directory) {
        bool ends = to > path && to[-1] == '/', begins = *rel_path == '/';

        if (!ends && !begins)
            *to++ = '/';
        to = put(to, rel_path + (ends && begins), directory - (ends && begins));
    }
    *to++ = '/';
    *put(to, name, name_length) = '\0';
    return path;
}

static char *put_encoded(char *to, const char *path)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;

        if (is_alphanumeric(c) || strchr("_.-~/+", c)) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }
    return to;
}

/* libcurl lists a directory when a path ends with a slash, and no name has control characters. */
static bool path_names_a_file(const char *path, struct error *err)
{
    size_t length = strlen(path);

    if (has_control(path))
        return error_set(err, ERROR_PERMANENT, "fetch '%.200s': control character in it", path);
    if (!length || path[length - 1] == '/')
        return error_set(err, ERROR_PERMANENT, "fetch '%.200s': no file name", path);
    return true;
}

/* For a server one logs in to, and for local files. */
static char *path_url(struct arena *arena, const struct base_parts *base, const char *path,
                      bool from_root, struct error *err)
{
    char *url, *to;

    if (!path_names_a_file(path, err))
        return NULL;
    path += strspn(path, "/");
    url = arena_take(arena, base->authority.length + 3 * strlen(path) + 16);
    to = put_text(url_begin(base, url), from_root ? base->scheme->root : base->scheme->home);
    *put_encoded(to, path) = '\0';
    return url;
}

char *announcement_fetch_url(struct announcement *announcement, struct error *err)
{
    const char *retrieve = announcement->retrieve_path, *rel_path = announcement->rel_path;
    struct arena *arena = &announcement->arena;
    struct base_parts base = {0};
    struct slice base_path;
    char *path, *url;

    if (!split_base(announcement->base_url, &base, err))
        return NULL;
    if (retrieve)
        return base.scheme->http ? retrieve_url(arena, &base, retrieve, err)
                                 : path_url(arena, &base, retrieve, *retrieve == '/', err);
    base_path = (struct slice){base.rest, strcspn(base.rest, "?#")};
    path = request_path(arena, base_path, rel_path);
    halve_slashes(path, '\0'); /* not encoded yet: a '?' is part of a name */
    if (!base.scheme->http)
        return path_url(arena, &base, path, base_path.length > 0 || *rel_path == '/', err);
    url = arena_take(arena, base.authority.length + 3 * strlen(path) + 12);
    *put_encoded(url_begin(&base, url), path) = '\0';
    return url;
}
