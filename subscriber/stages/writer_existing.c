/*
 * What is there already under the final name, and whether it makes fetching needless.
 *
 * The questions are sr3's, in its order: is it to stay in any case; has it another size; is it as
 * new as the announced one; has it the same checksum. The checksum is taken from its extended
 * attributes if the file was not changed since; otherwise the file is read.
 */
#include "stages/writer_disk.h"

#include "base/clock.h"
#include "base/path.h"
#include "stages/writer_attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLOCK_SLACK_NS 1000 /* sr3 keeps times as floating point numbers */

static void keep(struct disk_file *file, int code, const char *reason)
{
    file->advice = WRITER_KEEP;
    file->code = code;
    file->reason = reason;
}

static bool is_older(const struct disk_file *file, const struct stat *status,
                     const struct attributes *attributes)
{
    int64_t there_ns = file->mtime_ns >= 0
                           ? status->st_mtim.tv_sec * NS_PER_S + status->st_mtim.tv_nsec
                           : attributes->mtime_ns;

    return file->announced_mtime_ns >= 0 && there_ns >= 0
           && file->announced_mtime_ns <= there_ns + CLOCK_SLACK_NS;
}

static bool attributes_are_fresh(const struct stat *status, const struct attributes *attributes)
{
    return attributes->mtime_ns + CLOCK_SLACK_NS
           >= status->st_mtim.tv_sec * NS_PER_S + status->st_mtim.tv_nsec;
}

static bool is_called(const struct disk_file *file, const char *method)
{
    return file->method && strcmp(file->method, method) == 0;
}

static void judge_checksum(struct disk_file *file, const struct stat *status,
                           const struct attributes *attributes)
{
    if (attributes_are_fresh(status, attributes) && strcmp(attributes->method, file->method) == 0) {
        if (strcmp(attributes->value, file->value) == 0)
            keep(file, 304, "same checksum");
        return;
    }
    if (!file->compared || !file->digest)
        return; /* what it had would have been kept with it */
    file->existing_bytes = status->st_size;
    file->existing_fd = file->fd;
    file->fd = -1;
}

/* `file->fd` is the existing file. */
static void judge_existing(struct disk_file *file, const struct stat *status)
{
    struct attributes attributes = {.mtime_ns = -1};
    bool by_size = file->compared || !file->method;

    if (by_size && file->has_size && file->announced_size_bytes != status->st_size)
        return;
    if (!file->settings->without_attributes && !file->root->no_attributes)
        attributes_read(file->fd, &attributes);
    if (by_size && is_older(file, status, &attributes)) {
        keep(file, 406, "mtime not newer");
        return;
    }
    if (file->method && file->value && !is_called(file, "random") && !is_called(file, "cod"))
        judge_checksum(file, status, &attributes);
}

/* A file that we may not read is replaced like one that cannot be compared. */
static void open_existing(struct disk_file *file, int directory)
{
    struct stat status;

    file->fd = openat(directory, file->name.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file->fd >= 0 && fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode))
        judge_existing(file, &status);
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* False: nothing more is to be asked. */
static bool look_at_final_name(struct disk_file *file, int directory)
{
    struct stat status;

    if (fstatat(directory, file->name.name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || disk_failed(file, "look for");
    if (S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return disk_failed(file, "place");
    }
    if (file->keep_existing)
        keep(file, 204, "not overwriting the existing file");
    else if (S_ISREG(status.st_mode))
        open_existing(file, directory);
    return file->advice == WRITER_FETCH;
}

/* A large file that cannot fit is not begun: it would take the room of all others. */
static bool has_room(struct disk_file *file, int directory)
{
    struct statvfs status;
    int64_t wanted = file->announced_size_bytes - file->partial_bytes;

    if (wanted < DISK_PARTIAL_MIN || fstatvfs(directory, &status) != 0 || !status.f_blocks
        || !status.f_frsize || wanted / (int64_t)status.f_frsize <= (int64_t)status.f_bavail)
        return true;
    errno = ENOSPC;
    disk_failed(file, "fetch");
    if (status.f_bavail > DISK_PARTIAL_MIN / status.f_frsize) /* the others may fit */
        file->trouble = DISK_FINE;
    return error_set(&file->err, ERROR_OPERATOR,
                     "fetch '%s/%s': it needs %" PRId64 " bytes, and its disk has %" PRId64 " left",
                     file->root->name, file->name.name, wanted,
                     (int64_t)status.f_bavail * (int64_t)status.f_frsize);
}

void disk_leave(struct disk_directory *directory)
{
    if (directory->path)
        close(directory->fd);
    directory->path = NULL;
}

/* The directory of the file, which stays the caller's; -1 with errno. */
static int open_directory(const struct disk_file *file, struct disk_directory *directory)
{
    if (directory->path && strcmp(directory->path, file->name.directory) == 0)
        return directory->fd;
    disk_leave(directory);
    directory->fd = path_open_below(file->root->fd, file->name.directory);
    if (directory->fd >= 0)
        directory->path = file->name.directory;
    return directory->fd;
}

static int open_directory_twice(struct disk_file *file, struct disk_directory *directory)
{
    int fd = open_directory(file, directory);

    if (fd >= 0 || errno != ESTALE)
        return fd;
    disk_root_forget(file->root);
    return disk_root_open(file->root, &file->err) ? open_directory(file, directory) : -1;
}

static void probe(struct disk_file *file, struct disk_directory *directory)
{
    int fd;

    if (!disk_root_open(file->root, &file->err)) {
        file->trouble = DISK_PLACE;
        return;
    }
    fd = open_directory_twice(file, directory);
    if (fd < 0 && errno != ENOENT && !file->err.kind)
        disk_failed(file, "open the directory of");
    if (fd >= 0 && look_at_final_name(file, fd) && file->existing_fd < 0)
        disk_find_partial(file);
    if (file->advice == WRITER_FETCH && file->existing_fd < 0 && !file->err.kind)
        has_room(file, fd >= 0 ? fd : file->root->fd);
}

static void settle(struct disk_file *file)
{
    if (file->err.kind) {
        file->advice = WRITER_REFUSED;
        file->outcome = WRITER_FAILED;
    }
    if (file->advice == WRITER_FETCH)
        return;
    disk_close(file);
    if (file->advice == WRITER_KEEP) {
        disk_discard(file); /* what an earlier attempt left of it is of no use any more */
        disk_close(file);
        file->trouble = DISK_FINE;
    }
}

void disk_probe(struct disk_file *file, struct disk_directory *directory)
{
    probe(file, directory);
    if (file->existing_fd < 0)
        settle(file);
}

static void end_comparison(struct disk_file *file, bool complete)
{
    char digest[DISK_DIGEST_SIZE];

    disk_print_digest(file, digest);
    disk_close(file);
    file->hashed_bytes = 0;
    if (complete && strcmp(digest, file->value) == 0)
        keep(file, 304, "same checksum");
    else if (disk_find_partial(file))
        has_room(file, file->root->fd);
    settle(file);
}

void disk_compare(struct disk_file *file, int64_t most)
{
    bool readable = disk_hash_piece(file, file->existing_fd, most, file->existing_bytes);

    if (!readable || file->hashed_bytes == file->existing_bytes)
        end_comparison(file, readable);
}

/* Reads the whole existing file, whose size is the announced one, and leaves its own checksum. */
static void compare_at_once(struct disk_file *file)
{
    EVP_MD_CTX *context = file->context;
    int64_t hashed_bytes = file->hashed_bytes;
    char digest[DISK_DIGEST_SIZE];

    file->context = NULL;
    file->hashed_bytes = 0;
    if (disk_hash_piece(file, file->existing_fd, file->existing_bytes, file->existing_bytes)) {
        disk_print_digest(file, digest);
        if (strcmp(digest, file->value) == 0)
            keep(file, 304, "same checksum");
    }
    EVP_MD_CTX_free(file->context);
    file->context = context;
    file->hashed_bytes = hashed_bytes;
    close(file->existing_fd);
    file->existing_fd = -1;
}

bool disk_look_late(struct disk_file *file)
{
    int written_fd = file->fd;

    if (file->directory_fd < 0 && !disk_open_directories(file, true)) {
        disk_close_directories(file); /* it will be told when it is written */
        file->err = (struct error){0};
        file->trouble = DISK_FINE;
        return true;
    }
    look_at_final_name(file, file->directory_fd);
    file->fd = written_fd;
    if (file->existing_fd >= 0)
        compare_at_once(file);
    if (!file->err.kind && file->advice == WRITER_FETCH)
        return true;
    file->outcome = file->err.kind ? WRITER_FAILED : WRITER_KEPT;
    if (file->fd >= 0 || disk_lock(file, O_WRONLY) == 1)
        disk_remove_inflight(file);
    return false;
}
