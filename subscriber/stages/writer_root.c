/*
 * The directories that files are placed below.
 *
 * One is opened once and kept. An administrator may move it away, remove it or mount something over
 * it, and then its descriptor leads to where nobody looks; so its name is checked once for each
 * group. It is opened again under the same descriptor, for others may be using that.
 */
#include "stages/writer_disk.h"

#include "base/clock.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_EVERY_MS 5000

void disk_root_init(struct disk_root *root, const char *name, unsigned mode)
{
    root->name = memory_copy(name);
    root->mode = mode;
    root->fd = -1;
    root->free_bytes = -1;
    pthread_mutex_init(&root->mutex, NULL);
}

void disk_root_clear(struct disk_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    free(root->name);
    EVP_MD_CTX_free(root->context);
    pthread_mutex_destroy(&root->mutex);
}

static bool use_descriptor(struct disk_root *root, int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return false;
    if (root->fd < 0)
        root->fd = fd;
    else if (dup3(fd, root->fd, O_CLOEXEC) < 0 || close(fd) != 0)
        return false;
    if (root->device != status.st_dev)
        root->no_attributes = false;
    root->device = status.st_dev;
    root->inode = status.st_ino;
    root->gone = false;
    return true;
}

static bool open_again(struct disk_root *root, struct error *err)
{
    int fd, reason;

    if (!path_make_directory(root->name, root->mode, err))
        return false;
    fd = open(root->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && use_descriptor(root, fd))
        return true;
    reason = errno;
    error_set(err, ERROR_OPERATOR, "open directory '%s': %s", root->name, strerror(reason));
    if (fd >= 0)
        close(fd);
    return false;
}

/* Not more often than somebody wants to know. */
static void look_at_room(struct disk_root *root)
{
    int64_t now_ms = clock_now_ms();
    struct statvfs status;

    if (root->fd < 0 || now_ms < root->room_due_ms)
        return;
    root->room_due_ms = now_ms + ROOM_EVERY_MS;
    if (fstatvfs(root->fd, &status) == 0)
        root->free_bytes = (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

bool disk_root_open(struct disk_root *root, struct error *err)
{
    bool open;

    pthread_mutex_lock(&root->mutex);
    open = (root->fd >= 0 && !root->gone) || open_again(root, err);
    look_at_room(root);
    pthread_mutex_unlock(&root->mutex);
    return open;
}

void disk_root_check(struct disk_root *root)
{
    struct stat status;

    pthread_mutex_lock(&root->mutex);
    if (root->fd >= 0
        && (stat(root->name, &status) != 0 || status.st_dev != root->device
            || status.st_ino != root->inode))
        root->gone = true;
    look_at_room(root);
    pthread_mutex_unlock(&root->mutex);
}

void disk_root_forget(struct disk_root *root)
{
    pthread_mutex_lock(&root->mutex);
    root->gone = true;
    pthread_mutex_unlock(&root->mutex);
}

bool disk_root_is_writable(const struct disk_root *root)
{
    int reason = errno;
    bool writable = root->fd < 0 || faccessat(root->fd, ".", W_OK | X_OK, AT_EACCESS) == 0;

    errno = reason;
    return writable;
}

bool disk_sync(struct disk_root *root, struct error *err)
{
    if (root->fd >= 0 && syncfs(root->fd) != 0)
        return error_set(err, ERROR_TEMPORARY, "make the files below '%s' durable: %s", root->name,
                         strerror(errno));
    return true;
}
