/*
 * Files on disk: inflight name, lock, bytes, check, rename.
 *
 * The lock protects the inflight name against a second writer. Because a name can be renamed or
 * removed between opening and locking it, the lock counts only if the name still leads to the file
 * that was locked.
 */
#include "stages/writer_disk.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LOCK_TRIES 8

void disk_root_init(struct disk_root *root, const char *name)
{
    root->name = memory_copy(name);
    root->fd = -1;
    pthread_mutex_init(&root->mutex, NULL);
}

void disk_root_clear(struct disk_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    free(root->name);
    pthread_mutex_destroy(&root->mutex);
}

/* A name that leads out of the directory, or cannot be, stays so; everything else can be mended. */
static bool disk_error(const struct disk_file *file, struct error *err, const char *action)
{
    int reason = errno;
    bool hopeless = reason == ELOOP || reason == EXDEV || reason == ENAMETOOLONG;

    return error_set(err, hopeless ? ERROR_PERMANENT : ERROR_TEMPORARY, "%s '%s/%s%s%s': %s",
                     action, file->root->name, file->directory, *file->directory ? "/" : "",
                     file->name,
                     hopeless && reason != ENAMETOOLONG ? "a link leads out of the directory"
                                                        : strerror(reason));
}

static bool root_open(struct disk_root *root, struct error *err)
{
    struct stat stat;
    bool open;

    pthread_mutex_lock(&root->mutex);
    if (root->fd < 0 && path_make_directory(root->name, 0775, err)) {
        root->fd = openat(AT_FDCWD, root->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root->fd < 0 || fstat(root->fd, &stat) != 0)
            error_set(err, ERROR_TEMPORARY, "open directory '%s': %s", root->name, strerror(errno));
        else
            root->device = stat.st_dev;
    }
    open = root->fd >= 0;
    pthread_mutex_unlock(&root->mutex);
    return open;
}

void disk_close(struct disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->inflight_fd >= 0 && file->inflight_fd != file->directory_fd)
        close(file->inflight_fd);
    if (file->directory_fd >= 0)
        close(file->directory_fd);
    file->fd = file->inflight_fd = file->directory_fd = -1;
    EVP_MD_CTX_free(file->context);
    file->context = NULL;
}

void disk_file_clear(struct disk_file *file)
{
    disk_close(file);
    free(file->directory);
    free(file->name);
    free(file->inflight_directory);
    free(file->inflight_name);
    free(file->announced_digest);
    free(file->accept);
    free(file->bytes);
}

static bool open_directories(struct disk_file *file, struct error *err)
{
    if (!root_open(file->root, err))
        return false;
    file->directory_fd = path_make_below(file->root->fd, file->directory);
    if (file->directory_fd < 0)
        return disk_error(file, err, "make the directory of");
    if (strcmp(file->inflight_directory, file->directory) == 0) {
        file->inflight_fd = file->directory_fd;
        return true;
    }
    file->inflight_fd = path_make_below(file->root->fd, file->inflight_directory);
    return file->inflight_fd >= 0 || disk_error(file, err, "make the inflight directory of");
}

static int open_flags(struct disk_file *file, int flags)
{
    return openat(file->inflight_fd, file->inflight_name,
                  flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
}

/* Opens and locks; 1: done, 0: the name was changed meanwhile, -1: failed with errno. */
static int try_lock(struct disk_file *file, int flags)
{
    struct stat opened, named;

    file->fd = open_flags(file, flags);
    if (file->fd < 0 && errno == EACCES) /* a mode without permission to write, set by a crash */
        file->fd = open_flags(file, O_RDONLY);
    if (file->fd < 0)
        return -1;
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 || fstat(file->fd, &opened) != 0)
        return -1;
    if (!S_ISREG(opened.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    if (fstatat(file->inflight_fd, file->inflight_name, &named, AT_SYMLINK_NOFOLLOW) == 0
        && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev) {
        file->device = opened.st_dev;
        return 1;
    }
    close(file->fd);
    file->fd = -1;
    return 0;
}

/* What a crash left is not written over but made anew: its mode and owner are not ours. */
static int create_locked(struct disk_file *file)
{
    int locked = try_lock(file, O_WRONLY | O_CREAT | O_EXCL);

    if (locked >= 0 || errno != EEXIST || file->fd >= 0)
        return locked;
    locked = try_lock(file, O_WRONLY);
    if (locked < 0)
        return errno == ENOENT ? 0 : -1;
    if (locked && unlinkat(file->inflight_fd, file->inflight_name, 0) != 0)
        return -1;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    return 0;
}

static bool open_inflight(struct disk_file *file, struct error *err)
{
    int locked = 0;

    if (file->fd >= 0)
        return true;
    if (!open_directories(file, err))
        return false;
    for (int i = 0; i < LOCK_TRIES && locked == 0; i++)
        locked = create_locked(file);
    if (locked == 1)
        return true;
    if (file->fd >= 0) {
        int reason = errno;

        close(file->fd);
        file->fd = -1;
        errno = reason;
    }
    if (locked == 0 || errno == EWOULDBLOCK)
        return error_set(err, ERROR_TEMPORARY, "write '%s/%s': another instance is writing it",
                         file->root->name, file->inflight_name);
    return disk_error(file, err, "open the inflight file of");
}

static bool write_bytes(struct disk_file *file, struct error *err)
{
    size_t done = 0;

    while (done < file->length) {
        ssize_t written = write(file->fd, file->bytes + done, file->length - done);

        if (written < 0 && errno != EINTR)
            return disk_error(file, err, "write");
        done += written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool digest_bytes(struct disk_file *file, struct error *err)
{
    if (file->digest && !file->context) {
        file->context = EVP_MD_CTX_new();
        if (!file->context || EVP_DigestInit_ex2(file->context, file->digest, NULL) != 1)
            return error_set(err, ERROR_TEMPORARY, "compute the checksum of '%s': no memory",
                             file->name);
    }
    if (file->context)
        EVP_DigestUpdate(file->context, file->bytes, file->length);
    file->size_bytes += (int64_t)file->length;
    return true;
}

void disk_write(struct disk_file *file)
{
    if (!file->err.kind && digest_bytes(file, &file->err) && open_inflight(file, &file->err))
        write_bytes(file, &file->err);
    file->length = 0;
}

/* Size and digest of what came, as text; true when it is what was announced. */
static bool check_identity(struct disk_file *file)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char base64[EVP_MAX_MD_SIZE * 4 / 3 + 4] = "";
    unsigned length = 0;

    if (file->context && EVP_DigestFinal_ex(file->context, digest, &length) == 1)
        EVP_EncodeBlock(base64, digest, (int)length);
    snprintf(file->fingerprint, sizeof(file->fingerprint), "%" PRId64 ":%s", file->size_bytes,
             (const char *)base64);
    if (file->accept && strcmp(file->accept, file->fingerprint) == 0)
        return true;
    if (file->announced_size_bytes > 0 && file->announced_size_bytes != file->size_bytes)
        return false;
    return !file->announced_digest || strcmp(file->announced_digest, (char *)base64) == 0;
}

static bool set_attributes(struct disk_file *file, struct error *err)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    int64_t atime_ns = file->atime_ns >= 0 ? file->atime_ns : file->mtime_ns;

    if (file->mode >= 0 && fchmod(file->fd, (mode_t)(file->mode & 0777)) != 0)
        return disk_error(file, err, "set the mode of");
    if (file->mtime_ns < 0)
        return true;
    times[0] = (struct timespec){.tv_sec = atime_ns / NS_PER_S, .tv_nsec = atime_ns % NS_PER_S};
    times[1] = (struct timespec){.tv_sec = file->mtime_ns / NS_PER_S,
                                 .tv_nsec = file->mtime_ns % NS_PER_S};
    return futimens(file->fd, times) == 0 || disk_error(file, err, "set the time of");
}

static void disk_remove_inflight(struct disk_file *file)
{
    if (file->fd >= 0)
        unlinkat(file->inflight_fd, file->inflight_name, 0);
}

/* A small file is checked before the disk hears of it. */
void disk_complete(struct disk_file *file, bool sync)
{
    struct error *err = &file->err;
    bool written = !err->kind && digest_bytes(file, err);

    if (written && !check_identity(file)) {
        file->outcome = WRITER_MISMATCH;
        disk_remove_inflight(file);
        error_set(err, ERROR_TEMPORARY, "'%s/%s' is not what was announced (received %s)",
                  file->root->name, file->name, file->fingerprint);
        return;
    }
    written =
        written && open_inflight(file, err) && write_bytes(file, err) && set_attributes(file, err);
    if (written && (sync || file->device != file->root->device) && fsync(file->fd) != 0)
        written = disk_error(file, err, "make durable");
    file->outcome = written ? WRITER_PLACED : WRITER_FAILED;
    if (!written)
        disk_remove_inflight(file);
}

bool disk_sync(struct disk_root *root, struct error *err)
{
    if (root->fd >= 0 && syncfs(root->fd) != 0)
        return error_set(err, ERROR_TEMPORARY, "make the files below '%s' durable: %s", root->name,
                         strerror(errno));
    return true;
}

void disk_rename(struct disk_file *file, bool sync)
{
    if (file->until_ms && clock_now_ms() >= *file->until_ms) {
        error_set(&file->err, ERROR_TEMPORARY, "place '%s/%s': the claim is not sure any more",
                  file->root->name, file->name);
        file->outcome = WRITER_LATE;
        disk_remove_inflight(file);
        return;
    }
    if (renameat(file->inflight_fd, file->inflight_name, file->directory_fd, file->name) != 0) {
        disk_error(file, &file->err, "rename into place");
        file->outcome = WRITER_FAILED;
        disk_remove_inflight(file);
        return;
    }
    if ((sync || file->device != file->root->device) && fsync(file->directory_fd) != 0) {
        disk_error(file, &file->err, "make the rename durable of");
        file->outcome = WRITER_FAILED;
    }
}

void disk_discard(struct disk_file *file)
{
    if (file->fd < 0) {
        if (!root_open(file->root, &file->err))
            return;
        file->inflight_fd = path_open_below(file->root->fd, file->inflight_directory);
        if (file->inflight_fd < 0 || try_lock(file, O_WRONLY) != 1)
            return;
    }
    disk_remove_inflight(file);
}
