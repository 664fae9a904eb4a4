/*
 * Paths from outside, joined below a directory and never above it.
 *
 * The kernel does the walk with openat2 where it can: links that stay below the root are followed
 * then. Where it cannot (old kernels, some containers) the walk goes component by component and no
 * link is followed at all, because whether one leads out cannot be told without a race.
 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMPONENT_MAX  255
#define PATH_TEXT_MAX  4000
#define DIRECTORY_MODE 0775
#define OPEN_FLAGS     (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define READ_FLAGS     (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OPEN_TRIES     16 /* the kernel gives up, with EAGAIN, while others rename directories */

enum walker { WALKER_UNKNOWN, WALKER_KERNEL, WALKER_OURS };

static _Atomic int walker = WALKER_UNKNOWN;

static bool component_is_safe(const char *component, size_t length, struct error *err)
{
    if (length > COMPONENT_MAX)
        return error_set(err, ERROR_PERMANENT, "use path: '%.40s...' is longer than %d bytes",
                         component, COMPONENT_MAX);
    if ((length == 1 && component[0] == '.')
        || (length == 2 && component[0] == '.' && component[1] == '.'))
        return error_set(err, ERROR_PERMANENT, "use path: '%.*s' in it", (int)length, component);
    return true;
}

char *path_clean(struct arena *arena, const char *path, struct error *err)
{
    char *clean = arena_take(arena, strlen(path) + 1), *to = clean;

    while (*(path += strspn(path, "/"))) {
        size_t length = strcspn(path, "/");

        if (!component_is_safe(path, length, err))
            return NULL;
        if (to > clean)
            *to++ = '/';
        memcpy(to, path, length);
        to += length;
        path += length;
    }
    *to = '\0';
    if (to > clean && to - clean <= PATH_TEXT_MAX)
        return clean;
    error_set(err, ERROR_PERMANENT, "use path: it is %s",
              to > clean ? "longer than 4000 bytes" : "empty");
    return NULL;
}

static int kernel_open(int root, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

static bool kernel_walks(void)
{
    if (walker == WALKER_UNKNOWN) {
        int fd = kernel_open(AT_FDCWD, ".", OPEN_FLAGS);
        bool missing = fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL);

        if (fd >= 0)
            close(fd);
        walker = missing ? WALKER_OURS : WALKER_KERNEL;
    }
    return walker == WALKER_KERNEL;
}

void path_use_openat2(bool use)
{
    walker = use ? WALKER_UNKNOWN : WALKER_OURS;
}

/* Closes without a trace in errno. */
static void close_quietly(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

static bool is_link(int directory, const char *name)
{
    struct stat status;
    int saved = errno;
    bool link = fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;

    errno = saved;
    return link && S_ISLNK(status.st_mode);
}

/* Opens the first component of *path below `directory`, which is closed, and moves *path on. */
static int step_into(int directory, const char **path)
{
    char component[COMPONENT_MAX + 1];
    size_t length = strcspn(*path, "/");
    int fd = -1;

    if (length > COMPONENT_MAX) {
        errno = ENAMETOOLONG;
    } else {
        memcpy(component, *path, length);
        component[length] = '\0';
        *path += length + strspn(*path + length, "/");
        errno = EXDEV;
        if (strcmp(component, "..") != 0)
            fd = openat(directory, component, OPEN_FLAGS | O_NOFOLLOW);
        if (fd < 0 && errno == ENOTDIR && is_link(directory, component))
            errno = ELOOP;
    }
    close_quietly(directory);
    return fd;
}

int path_open_plain(int root, const char *path)
{
    int fd;

    if (*path == '/') {
        errno = EXDEV;
        return -1;
    }
    fd = openat(root, ".", OPEN_FLAGS);
    while (fd >= 0 && *path)
        fd = step_into(fd, &path);
    return fd;
}

int path_open_below(int root, const char *path)
{
    return kernel_walks() ? kernel_open(root, path, OPEN_FLAGS) : path_open_plain(root, path);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int path_depth(int root, int below)
{
    struct stat top, here, last;
    int at = openat(below, ".", OPEN_FLAGS), depth = 0;

    if (at < 0 || fstat(root, &top) != 0 || fstat(at, &here) != 0)
        goto failed;
    while (!is_same(&top, &here)) {
        int up = openat(at, "..", OPEN_FLAGS);

        close_quietly(at);
        at = up;
        last = here;
        if (at < 0 || fstat(at, &here) != 0)
            goto failed;
        if (is_same(&last, &here)) { /* the top of all */
            errno = EXDEV;
            goto failed;
        }
        depth++;
    }
    close(at);
    return depth;
failed:
    if (at >= 0)
        close_quietly(at);
    return -1;
}

int path_open_file_below(int root, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory;
    int parent, fd = -1;

    if (kernel_walks())
        return kernel_open(root, path, READ_FLAGS);
    directory = memory_copy_bytes(path, slash ? (size_t)(slash - path) : 0);
    parent = path_open_below(root, directory);
    free(directory);
    if (parent >= 0) {
        fd = openat(parent, slash ? slash + 1 : path, READ_FLAGS | O_NOFOLLOW);
        close_quietly(parent);
    }
    return fd;
}

static int make_below(int root, char *path, unsigned mode);

static int open_or_make(int root, char *path, unsigned mode)
{
    int fd = path_open_below(root, path);

    return fd >= 0 || errno != ENOENT || !*path ? fd : make_below(root, path, mode);
}

/* What is missing. `path` is changed on the way and restored. */
static int make_below(int root, char *path, unsigned mode)
{
    char *slash = strrchr(path, '/');
    int fd = -1, parent;

    if (slash)
        *slash = '\0';
    parent = open_or_make(root, slash ? path : path + strlen(path), mode);
    if (slash)
        *slash = '/';
    if (parent < 0)
        return -1;
    /* another instance may have made it just now, and a link stays what it is */
    if (mkdirat(parent, slash ? slash + 1 : path, mode) == 0 || errno == EEXIST)
        fd = path_open_below(root, path);
    close_quietly(parent);
    return fd;
}

int path_make_below_as(int root, const char *path, unsigned mode)
{
    int fd = path_open_below(root, path);
    char *copy;

    if (fd >= 0 || errno != ENOENT || !*path)
        return fd;
    copy = memory_copy(path);
    fd = make_below(root, copy, mode);
    free(copy);
    return fd;
}

int path_make_below(int root, const char *path)
{
    return path_make_below_as(root, path, DIRECTORY_MODE);
}

static bool make_one(const char *path, unsigned mode)
{
    struct stat status;

    if (mkdir(path, mode) == 0)
        return true;
    if (errno != EEXIST && errno != EROFS && errno != EACCES && errno != EPERM)
        return false;

    int problem = errno;
    bool there = stat(path, &status) == 0;

    errno = there ? ENOTDIR : problem;
    return there && S_ISDIR(status.st_mode);
}

bool path_make_directory(const char *path, unsigned mode, struct error *err)
{
    char *copy = memory_copy(path), *at = copy + strspn(copy, "/");
    bool made = true;

    while (made && *at) {
        char kept;

        at += strcspn(at, "/");
        kept = *at;
        *at = '\0';
        made = make_one(copy, mode);
        *at = kept;
        at += strspn(at, "/");
    }
    if (!made)
        error_set(err, ERROR_OPERATOR, "create directory '%s': %s", path, strerror(errno));
    free(copy);
    return made;
}
