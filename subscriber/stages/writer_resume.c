/*
 * What is kept of large files whose transfer broke.
 *
 * The inflight file itself is all there is: both its times hold the time the server told, in
 * seconds, and in the fraction a mark made of its name and size in blocks. Writing changes the time
 * of change; of a process that is killed between writing and marking there is the time of access
 * still, with the mark of a little less. That is trusted only where a checksum would tell if
 * somebody else wrote there. After a crash of the whole machine data may be missing below a size
 * that is right; where no checksum would tell, the mark therefore holds only until the machine is
 * started again.
 */
#include "stages/writer_disk.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_SIZE 4096
#define WRITE_MOST 524288 /* bytes at once, and room to spare */
#define SETTLED_S  60

static char boot_id[64];
static pthread_once_t boot_once = PTHREAD_ONCE_INIT;

static void read_boot_id(void)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!file || !fgets(boot_id, sizeof(boot_id), file))
        boot_id[0] = '\0';
    if (file)
        fclose(file);
}

/* Whole microseconds, which more file systems keep than nanoseconds; never 0. */
static long print_mark(const struct disk_file *file, int64_t blocks)
{
    char text[400];
    uint64_t hash = 0xcbf29ce484222325u;

    pthread_once(&boot_once, read_boot_id);
    snprintf(text, sizeof(text), "%s %" PRId64 " %s", file->name.inflight_name, blocks,
             file->compared && file->digest ? "" : boot_id);
    for (const char *at = text; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    return (long)((hash >> 20) % 999999 + 1) * 1000;
}

/* What was changed just now may be changed again within the same second (RFC 9110, 8.8.2.2). */
static bool tells_versions_apart(const struct disk_file *file)
{
    return (file->compared && file->digest)
           || file->last_modified_s < clock_wall_ns() / NS_PER_S - SETTLED_S;
}

static bool is_worth_it(const struct disk_file *file)
{
    return file->last_modified_s > 0 && file->size_bytes >= DISK_PARTIAL_MIN && !file->err.kind
           && tells_versions_apart(file);
}

void disk_mark(struct disk_file *file)
{
    struct timespec times[2] = {{.tv_sec = file->last_modified_s}};

    if (!is_worth_it(file) || file->fd < 0)
        return;
    times[0].tv_nsec = print_mark(file, file->size_bytes / BLOCK_SIZE);
    times[1] = times[0];
    file->marked = futimens(file->fd, times) == 0;
}

static bool may_be_partial(const struct disk_file *file, const struct stat *status)
{
    return status->st_size >= DISK_PARTIAL_MIN && status->st_nlink == 1
           && status->st_uid == geteuid()
           && (file->announced_size_bytes <= 0 || status->st_size <= file->announced_size_bytes);
}

/* How many blocks the mark in the time of access stands for; 0: none. */
static int64_t blocks_before_write(const struct disk_file *file, const struct stat *status)
{
    int64_t blocks = status->st_size / BLOCK_SIZE;
    int64_t least = (status->st_size - WRITE_MOST) / BLOCK_SIZE;

    if (!file->compared || !file->digest)
        return 0;
    if (least < DISK_PARTIAL_MIN / BLOCK_SIZE)
        least = DISK_PARTIAL_MIN / BLOCK_SIZE;
    while (blocks >= least && status->st_atim.tv_nsec != print_mark(file, blocks))
        blocks--;
    return blocks >= least ? blocks : 0;
}

/* The last block is fetched again: no server likes to be asked for what is behind the end. Reading
 * what is there must not change the time of access. */
static void use_partial(struct disk_file *file, int64_t size_bytes, int64_t last_modified_s)
{
    file->partial_bytes = (size_bytes - 1) / BLOCK_SIZE * BLOCK_SIZE;
    file->partial_s = last_modified_s;
    file->marked = true;
    fcntl(file->fd, F_SETFL, O_NOATIME);
}

static bool take_partial(struct disk_file *file)
{
    struct stat status;
    int64_t blocks;

    if (fstat(file->fd, &status) != 0 || !may_be_partial(file, &status))
        return false;
    if (status.st_mtim.tv_nsec == print_mark(file, status.st_size / BLOCK_SIZE)) {
        use_partial(file, status.st_size, status.st_mtim.tv_sec);
        return true;
    }
    blocks = blocks_before_write(file, &status);
    if (blocks)
        use_partial(file, blocks * BLOCK_SIZE, status.st_atim.tv_sec);
    return blocks > 0;
}

bool disk_find_partial(struct disk_file *file)
{
    int locked = -1;

    if (file->announced_size_bytes > 0 && file->announced_size_bytes < DISK_PARTIAL_MIN)
        return true;
    errno = 0;
    if (disk_open_directories(file, false))
        locked = disk_lock(file, O_RDWR);
    if (locked == 1 && take_partial(file))
        return true;
    file->err = (struct error){0}; /* whatever it is, writing will show it */
    file->trouble = DISK_FINE;
    if (locked < 0 && errno == EWOULDBLOCK)
        error_set(&file->err, ERROR_TEMPORARY, "write '%s/%s': another instance is writing it",
                  file->root->name, file->name.inflight_name);
    disk_close(file);
    return !file->err.kind;
}

void disk_suspend(struct disk_file *file)
{
    bool untouched = file->fd >= 0 && !file->started; /* since it was probed */

    if (!untouched) {
        if (file->last_modified_s > 0
            && file->size_bytes + (int64_t)file->length >= DISK_PARTIAL_MIN)
            disk_write(file);
        if (!file->marked)
            disk_remove_inflight(file);
    }
    disk_close(file);
}
