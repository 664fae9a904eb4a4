/* The path of a URL is made clean first, so that what is compared and what is opened are the same.
 */
#include "stages/local_file.h"

#include "base/path.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "file:///a%20b" -> "a b", clean; NULL and `err`. */
static char *path_of(struct arena *arena, const char *url, const char *verb, struct error *err)
{
    const char *path = url + strlen("file:");
    int length = 0;
    char *decoded, *clean = NULL;

    path += strncmp(path, "//", 2) == 0 ? 2 : 0;
    decoded = curl_easy_unescape(NULL, path, 0, &length);
    if (!decoded || *path != '/' || strlen(decoded) != (size_t)length)
        error_set(err, ERROR_PERMANENT, "%s '%s': no path", verb, url);
    else if (!(clean = path_clean(arena, decoded, err)))
        error_wrap(err, "%s '%s'", verb, url);
    curl_free(decoded);
    return clean;
}

/* `path` without the directory `allowed` and the slash behind it; NULL: it is not below it. */
static const char *below(const char *path, const char *allowed)
{
    while (*allowed) {
        size_t length;

        allowed += strspn(allowed, "/");
        length = strcspn(allowed, "/");
        if (!length)
            break;
        if (strncmp(path, allowed, length) != 0 || path[length] != '/')
            return NULL;
        path += length + 1;
        allowed += length;
    }
    return path;
}

typedef int open_function(int root, const char *path);

static int open_below(const char *directory, const char *path, open_function *open_in)
{
    int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, saved;

    if (root < 0)
        return -1;
    fd = open_in(root, path);
    saved = errno;
    close(root);
    errno = saved;
    return fd;
}

/* The directory of a file. */
static int open_parent(int root, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = memory_copy_bytes(path, slash ? (size_t)(slash - path) : 0);
    int fd = path_open_below(root, directory), saved = errno;

    free(directory);
    errno = saved;
    return fd;
}

static int open_allowed(struct download_names allowed, const char *path, open_function *open_in)
{
    errno = EXDEV;
    for (size_t i = 0; i < allowed.count; i++) {
        const char *rest = below(path, allowed.items[i]);
        int fd = rest ? open_below(allowed.items[i], rest, open_in) : -1;

        if (fd >= 0)
            return fd;
        if (rest && errno != EXDEV && errno != ELOOP) /* not for leading out of it */
            return -1;
        errno = EXDEV;
    }
    return -1;
}

static bool is_readable(int fd, const char *url, struct stat *status, struct error *err)
{
    if (fstat(fd, status) != 0)
        return error_set(err, ERROR_TEMPORARY, "get '%s': %s", url, strerror(errno));
    if (!S_ISREG(status->st_mode))
        return error_set(err, ERROR_PERMANENT, "get '%s': not a regular file", url);
    return true;
}

static bool explain(const char *verb, const char *url, int code, struct error *err)
{
    switch (code) {
    case EXDEV:
        return error_set(err, ERROR_PERMANENT,
                         "%s '%s': not below a directory that fileAllow names", verb, url);
    case ENOENT:
    case ENOTDIR:
    case ENXIO: /* a socket, or a device that is none */
        return error_set(err, ERROR_PERMANENT, "%s '%s': %s", verb, url, strerror(code));
    case EACCES:
    case EPERM:
        return error_set(err, ERROR_OPERATOR, "%s '%s': %s", verb, url, strerror(code));
    default:
        return error_set(err, ERROR_TEMPORARY, "%s '%s': %s", verb, url, strerror(code));
    }
}

int local_file_open(struct download_names allowed, const char *url, int64_t *size_bytes,
                    int64_t *modified_s, bool *gone, struct error *err)
{
    struct arena arena = {0};
    struct stat status;
    char *path = path_of(&arena, url, "get", err);
    int fd = path ? open_allowed(allowed, path, path_open_file_below) : -1;

    *gone = path && fd < 0 && (errno == ENOENT || errno == ENOTDIR);
    if (path && fd < 0)
        explain("get", url, errno, err);
    arena_clear(&arena);
    if (fd < 0)
        return -1;
    if (!is_readable(fd, url, &status, err)) {
        close(fd);
        return -1;
    }
    *size_bytes = status.st_size;
    *modified_s = status.st_mtime;
    return fd;
}

/* Of whoever tried in vain; errno says why. */
static bool fail_removal(const char *url, bool *gone, struct error *err)
{
    *gone = errno == ENOENT || errno == ENOTDIR;
    return explain("remove", url, errno, err);
}

static bool remove_from(int directory, const char *name, const char *url, int64_t modified_s,
                        bool *gone, struct error *err)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_removal(url, gone, err);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_PERMANENT, "remove '%s': not a regular file", url);
    if (modified_s > 0 && status.st_mtime != modified_s)
        return error_set(err, ERROR_PERMANENT, "remove '%s': it was changed after it was fetched",
                         url);
    return unlinkat(directory, name, 0) == 0 || fail_removal(url, gone, err);
}

bool local_file_remove(struct download_names allowed, const char *url, int64_t modified_s,
                       bool *gone, struct error *err)
{
    struct arena arena = {0};
    char *path = path_of(&arena, url, "remove", err);
    int directory = path ? open_allowed(allowed, path, open_parent) : -1;
    bool removed = false;

    *gone = false;
    if (directory >= 0) {
        const char *slash = strrchr(path, '/');

        removed = remove_from(directory, slash ? slash + 1 : path, url, modified_s, gone, err);
        close(directory);
    } else if (path) {
        fail_removal(url, gone, err);
    }
    arena_clear(&arena);
    return removed;
}

bool local_file_check(struct download_names allowed, struct error *err)
{
    for (size_t i = 0; i < allowed.count; i++)
        if (allowed.items[i][0] != '/')
            return error_set(err, ERROR_OPERATOR,
                             "option 'fileAllow': '%.200s' is no absolute path", allowed.items[i]);
    return true;
}
