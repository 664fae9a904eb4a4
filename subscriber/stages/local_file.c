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
static char *path_of(struct arena *arena, const char *url, struct error *err)
{
    const char *path = url + strlen("file:");
    int length = 0;
    char *decoded, *clean = NULL;

    path += strncmp(path, "//", 2) == 0 ? 2 : 0;
    decoded = curl_easy_unescape(NULL, path, 0, &length);
    if (!decoded || *path != '/' || strlen(decoded) != (size_t)length)
        error_set(err, ERROR_PERMANENT, "get '%s': no path", url);
    else if (!(clean = path_clean(arena, decoded, err)))
        error_wrap(err, "get '%s'", url);
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

static int open_below(const char *directory, const char *path)
{
    int root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, saved;

    if (root < 0)
        return -1;
    fd = path_open_file_below(root, path);
    saved = errno;
    close(root);
    errno = saved;
    return fd;
}

static int open_allowed(struct download_names allowed, const char *path)
{
    errno = EXDEV;
    for (size_t i = 0; i < allowed.count; i++) {
        const char *rest = below(path, allowed.items[i]);
        int fd = rest ? open_below(allowed.items[i], rest) : -1;

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

static bool explain(const char *url, int code, struct error *err)
{
    switch (code) {
    case EXDEV:
        return error_set(err, ERROR_PERMANENT,
                         "get '%s': not below a directory that fileAllow names", url);
    case ENOENT:
    case ENOTDIR:
    case ENXIO: /* a socket, or a device that is none */
        return error_set(err, ERROR_PERMANENT, "get '%s': %s", url, strerror(code));
    case EACCES:
    case EPERM:
        return error_set(err, ERROR_OPERATOR, "get '%s': %s", url, strerror(code));
    default:
        return error_set(err, ERROR_TEMPORARY, "get '%s': %s", url, strerror(code));
    }
}

int local_file_open(struct download_names allowed, const char *url, int64_t *size_bytes,
                    int64_t *modified_s, bool *gone, struct error *err)
{
    struct arena arena = {0};
    struct stat status;
    char *path = path_of(&arena, url, err);
    int fd = path ? open_allowed(allowed, path) : -1;

    *gone = path && fd < 0 && (errno == ENOENT || errno == ENOTDIR);
    if (path && fd < 0)
        explain(url, errno, err);
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

bool local_file_check(struct download_names allowed, struct error *err)
{
    for (size_t i = 0; i < allowed.count; i++)
        if (allowed.items[i][0] != '/')
            return error_set(err, ERROR_OPERATOR,
                             "option 'fileAllow': '%.200s' is no absolute path", allowed.items[i]);
    return true;
}
