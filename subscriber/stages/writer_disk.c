/*
 * Files on disk: inflight name, lock, bytes, rename.
 *
 * The lock protects the inflight name against a second writer. Because a name can be renamed or
 * removed between opening and locking it, the lock counts only if the name still leads to the file
 * that was locked.
 */
#include "stages/writer_disk.h"

#include "base/clock.h"
#include "base/path.h"
#include "stages/writer_attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES             8
#define DIRECTORY_MODE_DEFAULT 0775

void disk_file_init(struct disk_file *file)
{
    file->fd = file->directory_fd = file->inflight_fd = file->existing_fd = -1;
    file->last_modified_s = file->partial_s = -1;
}

void disk_close_directories(struct disk_file *file)
{
    if (!file->borrowed && file->inflight_fd >= 0 && file->inflight_fd != file->directory_fd)
        close(file->inflight_fd);
    if (!file->borrowed && file->directory_fd >= 0)
        close(file->directory_fd);
    file->inflight_fd = file->directory_fd = -1;
    file->borrowed = false;
}

void disk_borrow_directories(struct disk_file *file, const struct disk_file *other)
{
    if (file->directory_fd >= 0 || other->directory_fd < 0 || other->inflight_fd < 0
        || file->inflight_root || other->inflight_root
        || strcmp(file->name.directory, other->name.directory) != 0
        || strcmp(file->name.inflight_directory, other->name.inflight_directory) != 0)
        return;
    file->directory_fd = other->directory_fd;
    file->inflight_fd = other->inflight_fd;
    file->borrowed = true;
}

void disk_close(struct disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->existing_fd >= 0)
        close(file->existing_fd);
    file->fd = file->existing_fd = -1;
    disk_close_directories(file);
    EVP_MD_CTX_free(file->context);
    file->context = NULL;
}

void disk_file_clear(struct disk_file *file)
{
    disk_close(file);
    writer_name_clear(&file->name);
    free(file->accept);
    free(file->bytes);
}

/* ---- what goes wrong ---- */

/* Full, read-only, away, or we have no descriptors left: the next file would fare the same. */
static enum disk_trouble trouble_of(const struct disk_file *file, int reason)
{
    static const int places[] = {ENOSPC,    EDQUOT,    EROFS,  EIO,    ESTALE, ENODEV,
                                 ETIMEDOUT, EHOSTDOWN, EMFILE, ENFILE, ENOMEM, ENOTCONN};

    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (reason == places[i])
            return DISK_PLACE;
    if ((reason == EACCES || reason == EPERM) && !disk_root_is_writable(file->root))
        return DISK_DENIED;
    return DISK_FINE;
}

static enum error_kind kind_of(int reason)
{
    switch (reason) {
    case ELOOP: /* these two: a name that leads out of the directory stays so */
    case EXDEV:
    case ENAMETOOLONG:
        return ERROR_PERMANENT;
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ENOTEMPTY:
    case EACCES:
    case EPERM:
    case EROFS:
    case EFBIG:
        return ERROR_OPERATOR;
    default:
        return ERROR_TEMPORARY;
    }
}

bool disk_failed(struct disk_file *file, const char *action)
{
    int reason = errno;
    const char *text =
        reason == ELOOP || reason == EXDEV ? "a link leads out of the directory" : strerror(reason);

    file->problem = reason;
    file->trouble = trouble_of(file, reason);
    return error_set(&file->err, kind_of(reason), "%s '%s/%s%s%s': %s", action,
                     strcmp(file->root->name, "/") == 0 ? "" : file->root->name,
                     file->name.directory, *file->name.directory ? "/" : "", file->name.name, text);
}

static bool open_root(struct disk_file *file, struct disk_root *root)
{
    if (disk_root_open(root, &file->err))
        return true;
    file->trouble = DISK_PLACE;
    return false;
}

/* ---- opening ---- */

static void use_hidden_name(struct disk_file *file)
{
    file->inflight_fd = file->directory_fd;
    file->name.inflight_name = file->name.hidden_name;
    file->inflight_root = NULL;
    file->name.inflight_directory = file->name.directory;
}

/* A directory of its own serves only files that can be renamed out of it. */
static bool open_inflight_root(struct disk_file *file)
{
    struct stat status;

    if (!open_root(file, file->inflight_root))
        return false;
    if (fstat(file->directory_fd, &status) == 0 && status.st_dev != file->inflight_root->device) {
        use_hidden_name(file);
        return true;
    }
    file->inflight_fd = fcntl(file->inflight_root->fd, F_DUPFD_CLOEXEC, 0);
    return file->inflight_fd >= 0 || disk_failed(file, "open the inflight directory of");
}

static int open_below(const struct disk_file *file, const char *directory, bool make, unsigned mode)
{
    return make ? path_make_below_as(file->root->fd, directory, mode)
                : path_open_below(file->root->fd, directory);
}

bool disk_open_directories(struct disk_file *file, bool make)
{
    unsigned mode = (unsigned)file->settings->directory_mode;

    if (!open_root(file, file->root))
        return false;
    file->directory_fd = open_below(file, file->name.directory, make, DIRECTORY_MODE_DEFAULT);
    if (file->directory_fd < 0)
        return disk_failed(file, "make the directory of");
    if (file->inflight_root)
        return open_inflight_root(file);
    if (strcmp(file->name.inflight_directory, file->name.directory) == 0) {
        file->inflight_fd = file->directory_fd;
        return true;
    }
    file->inflight_fd =
        open_below(file, file->name.inflight_directory, make, mode ? mode : DIRECTORY_MODE_DEFAULT);
    return file->inflight_fd >= 0 || disk_failed(file, "make the inflight directory of");
}

static int open_flags(struct disk_file *file, int flags)
{
    return openat(file->inflight_fd, file->name.inflight_name,
                  flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
}

/* Somebody else may have renamed something over the inflight name, or removed it. */
static bool is_under_its_name(const struct disk_file *file)
{
    struct stat named;

    return fstatat(file->inflight_fd, file->name.inflight_name, &named, AT_SYMLINK_NOFOLLOW) == 0
           && named.st_ino == file->inode && named.st_dev == file->device;
}

int disk_lock(struct disk_file *file, int flags)
{
    struct stat opened;

    file->fd = open_flags(file, flags);
    if (file->fd < 0 && errno == EACCES
        && !(flags & O_CREAT)) /* a mode without permission to write, set by a crash */
        file->fd = open_flags(file, O_RDONLY);
    if (file->fd < 0)
        return -1;
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 || fstat(file->fd, &opened) != 0)
        return -1;
    if (!S_ISREG(opened.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    file->device = opened.st_dev;
    file->inode = opened.st_ino;
    file->opened_mode = opened.st_mode & 07777;
    if (is_under_its_name(file))
        return 1;
    close(file->fd);
    file->fd = -1;
    return 0;
}

/* What a crash left is not written over but made anew: its mode and owner are not ours. */
static int create_locked(struct disk_file *file)
{
    int locked = disk_lock(file, O_RDWR | O_CREAT | O_EXCL);

    if (locked >= 0 || errno != EEXIST || file->fd >= 0)
        return locked;
    locked = disk_lock(file, O_WRONLY);
    if (locked < 0 && errno == ELOOP) /* a link is nobody's inflight file */
        locked = unlinkat(file->inflight_fd, file->name.inflight_name, 0);
    else if (locked == 1 && unlinkat(file->inflight_fd, file->name.inflight_name, 0) != 0)
        return -1;
    if (locked < 0)
        return errno == ENOENT ? 0 : -1;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    return 0;
}

static bool try_open_inflight(struct disk_file *file)
{
    int locked = 0, reason;

    if (file->directory_fd < 0 && !disk_open_directories(file, true))
        return false;
    for (int i = 0; i < LOCK_TRIES && locked == 0; i++)
        locked = create_locked(file);
    if (locked == 1)
        return true;
    reason = errno;
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    errno = reason;
    if (locked < 0 && reason != EWOULDBLOCK)
        return disk_failed(file, "open the inflight file of");
    return error_set(&file->err, ERROR_TEMPORARY, "write '%s/%s': another instance is writing it",
                     file->root->name, file->name.inflight_name);
}

/* A directory may have been removed under us, or its server has forgotten our handle. */
static bool open_new_inflight(struct disk_file *file)
{
    if (try_open_inflight(file))
        return true;
    if (file->problem != ENOENT && file->problem != ESTALE)
        return false;
    disk_close_directories(file);
    file->err = (struct error){0};
    file->trouble = DISK_FINE;
    file->problem = 0;
    disk_root_forget(file->root);
    if (file->inflight_root)
        disk_root_forget(file->inflight_root);
    return try_open_inflight(file);
}

/* What the probe found is gone on with, or made anew. */
static bool take_up_partial(struct disk_file *file, int64_t from_byte)
{
    file->marked = false;
    if (from_byte > 0)
        return (ftruncate(file->fd, from_byte) == 0
                && lseek(file->fd, from_byte, SEEK_SET) == from_byte)
               || disk_failed(file, "go on with");
    disk_remove_inflight(file);
    close(file->fd);
    file->fd = -1;
    disk_close_directories(file);
    return open_new_inflight(file);
}

/* `from_byte`: where the next bytes go. */
static bool open_inflight(struct disk_file *file, int64_t from_byte)
{
    if (file->started)
        return true;
    file->started = file->fd >= 0 ? take_up_partial(file, from_byte) : open_new_inflight(file);
    return file->started;
}

/* ---- writing ---- */

static bool write_bytes(struct disk_file *file)
{
    size_t done = 0;

    while (done < file->length) {
        ssize_t written = write(file->fd, file->bytes + done, file->length - done);

        if (written < 0 && errno != EINTR)
            return disk_failed(file, "write");
        done += written > 0 ? (size_t)written : 0;
    }
    return true;
}

void disk_write(struct disk_file *file)
{
    int64_t from_byte = file->size_bytes;

    if (file->err.kind)
        return;
    if (!file->started)
        disk_root_check(file->root);
    if (disk_hash(file) && open_inflight(file, from_byte) && write_bytes(file)) {
        file->marked = false;
        disk_mark(file);
        disk_hash_behind(file, 2 * (int64_t)file->length);
    }
    file->length = 0;
    if (!file->err.kind)
        return;
    disk_remove_inflight(file);
    disk_close(file);
}

/* ---- completing ---- */

/* What sr3 keeps beside a file: the checksum, computed or announced, and the announced time. */
static void write_attributes(struct disk_file *file, const char *digest)
{
    struct attributes attributes = {.mtime_ns = file->announced_mtime_ns};
    bool as_announced = file->method && file->value && !file->digest
                        && strcmp(file->method, "random") != 0 && strcmp(file->method, "cod") != 0;

    if (file->settings->without_attributes || file->root->no_attributes)
        return;
    snprintf(attributes.method, sizeof(attributes.method), "%s",
             *digest        ? file->digest_method
             : as_announced ? file->method
                            : "");
    snprintf(attributes.value, sizeof(attributes.value), "%s",
             *digest        ? digest
             : as_announced ? file->value
                            : "");
    if (attributes.mtime_ns < 0 && *attributes.method)
        attributes.mtime_ns = clock_wall_ns();
    if (!attributes_write(file->fd, &attributes) && file->device == file->root->device)
        file->root->no_attributes = true;
}

static bool set_mode_and_times(struct disk_file *file)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int64_t atime_ns = file->atime_ns >= 0 ? file->atime_ns : file->mtime_ns;

    if (file->mode >= 0 && file->opened_mode != (mode_t)(file->mode & 0777)
        && fchmod(file->fd, (mode_t)(file->mode & 0777)) != 0)
        return disk_failed(file, "set the mode of");
    if (file->mtime_ns < 0 && !file->marked)
        return true;
    if (file->mtime_ns >= 0) {
        times[0] = (struct timespec){.tv_sec = atime_ns / NS_PER_S, .tv_nsec = atime_ns % NS_PER_S};
        times[1] = (struct timespec){.tv_sec = file->mtime_ns / NS_PER_S,
                                     .tv_nsec = file->mtime_ns % NS_PER_S};
    }
    return futimens(file->fd, times) == 0 || disk_failed(file, "set the time of");
}

void disk_remove_inflight(struct disk_file *file)
{
    if (file->fd >= 0 && is_under_its_name(file))
        unlinkat(file->inflight_fd, file->name.inflight_name, 0);
}

/* A small file is checked before the disk hears of it. */
void disk_complete(struct disk_file *file, bool sync)
{
    char digest[DISK_DIGEST_SIZE] = "";
    int64_t from_byte = file->size_bytes;
    bool done = !file->err.kind && disk_hash(file);

    if (done && file->look_late && !disk_look_late(file))
        return;
    if (done) {
        disk_print_digest(file, digest);
        if (!disk_verify(file, digest)) {
            disk_remove_inflight(file);
            return;
        }
        done = open_inflight(file, from_byte) && write_bytes(file);
    }
    if (done) {
        write_attributes(file, digest);
        done = set_mode_and_times(file);
    }
    if (done && (sync || file->device != file->root->device) && fsync(file->fd) != 0)
        done = disk_failed(file, "make durable");
    file->outcome = done ? WRITER_PLACED : WRITER_FAILED;
    if (!done)
        disk_remove_inflight(file);
}

static void rename_failed(struct disk_file *file)
{
    bool apart = errno == EXDEV;

    disk_failed(file, "rename into place");
    if (apart)
        error_set(&file->err, ERROR_OPERATOR,
                  "rename '%s' into place in '%s': they are on different mounts; inflight must be "
                  "a directory on the same",
                  file->name.inflight_name, file->root->name);
    file->outcome = WRITER_FAILED;
    disk_remove_inflight(file);
}

void disk_rename(struct disk_file *file, bool sync)
{
    if (file->until_ms && clock_now_ms() >= *file->until_ms) {
        error_set(&file->err, ERROR_TEMPORARY, "place '%s/%s': the claim is not sure any more",
                  file->root->name, file->name.name);
        file->outcome = WRITER_LATE;
        disk_remove_inflight(file);
        return;
    }
    if (!is_under_its_name(file)) { /* what is there was not verified */
        error_set(&file->err, ERROR_TEMPORARY,
                  "place '%s/%s': its inflight file was removed or replaced", file->root->name,
                  file->name.name);
        file->outcome = WRITER_FAILED;
        return;
    }
    if (renameat(file->inflight_fd, file->name.inflight_name, file->directory_fd, file->name.name)
        != 0) {
        rename_failed(file);
        return;
    }
    if ((sync || file->device != file->root->device) && fsync(file->directory_fd) != 0) {
        disk_failed(file, "make the rename durable of");
        file->outcome = WRITER_FAILED;
    }
}

void disk_discard(struct disk_file *file)
{
    if (file->fd < 0 && (!disk_open_directories(file, false) || disk_lock(file, O_WRONLY) != 1))
        return;
    disk_remove_inflight(file);
}
