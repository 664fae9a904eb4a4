/*
 * Takes over sr3's retry files, a piece at a time.
 *
 * The lock is on the file, not on its name: who gets it looks whether the name still means this
 * file, because another instance may have been through with it meanwhile.
 */
#include "store/sr3_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX    "diskqueue_work_retry_"
#define TAKEN     ".sr3sub"
#define ASIDE     ".unreadable"
#define NAMES_MAX 10000

struct sr3_files {
    char *directory;
    bool listed;
    char **names; /* of sr3's files, found as they are or renamed */
    size_t name_count, next;

    /* the file being read; fd is -1 without one */
    char *path;  /* as sr3 names it */
    char *taken; /* as it is named now */
    int fd, aside_fd;
    off_t offset;
    bool renamed; /* here, so this name is through when the file is */
    bool stays;   /* something in it could not be settled */

    char *failure;
};

struct sr3_files *sr3_files_open(const char *directory)
{
    struct sr3_files *files = memory_new(sizeof(*files));

    files->directory = memory_copy(directory);
    files->fd = files->aside_fd = -1;
    return files;
}

/* The first problem is kept. */
static void note(struct sr3_files *files, const char *action, const char *path)
{
    if (!files->failure)
        files->failure =
            memory_format("take over retries of sr3: %s '%s': %s", action, path, strerror(errno));
}

/* ---- which files there are ---- */

/* The length of the name sr3 gave, 0 when it is none of its retry files. */
static size_t own_length(const char *name)
{
    size_t length = strlen(PREFIX);

    if (strncmp(name, PREFIX, length) != 0 || !isdigit((unsigned char)name[length]))
        return 0;
    while (isdigit((unsigned char)name[length]))
        length++;
    if (strncmp(name + length, ".new", 4) == 0)
        length += 4;
    else if (strncmp(name + length, ".hk", 3) == 0)
        length += 3;
    return name[length] == '\0' || strcmp(name + length, TAKEN) == 0 ? length : 0;
}

static void add_name(struct sr3_files *files, const char *name, size_t length)
{
    for (size_t i = 0; i < files->name_count; i++)
        if (strlen(files->names[i]) == length && memcmp(files->names[i], name, length) == 0)
            return;
    if (files->name_count == NAMES_MAX)
        return;
    files->names = memory_resize(files->names, files->name_count + 1, sizeof(*files->names));
    files->names[files->name_count++] = memory_copy_bytes(name, length);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_names(struct sr3_files *files)
{
    DIR *directory = opendir(files->directory);

    files->listed = true;
    if (!directory) {
        if (errno != ENOENT)
            note(files, "open", files->directory);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = own_length(entry->d_name);

        if (length)
            add_name(files, entry->d_name, length);
    }
    closedir(directory);
    if (files->name_count)
        qsort(files->names, files->name_count, sizeof(*files->names), compare_names);
}

/* ---- one file after the other ---- */

static void close_file(struct sr3_files *files)
{
    if (files->fd >= 0)
        close(files->fd);
    if (files->aside_fd >= 0)
        close(files->aside_fd);
    files->fd = files->aside_fd = -1;
    files->offset = 0;
    files->stays = false;
}

static void next_name(struct sr3_files *files)
{
    close_file(files);
    files->renamed = false;
    memory_replace(&files->path, NULL);
    memory_replace(&files->taken, NULL);
    files->next++;
}

static bool rename_file(struct sr3_files *files)
{
    int code = renameat2(AT_FDCWD, files->path, AT_FDCWD, files->taken, RENAME_NOREPLACE);

    if (code != 0 && (errno == EINVAL || errno == ENOSYS)) /* a file system that cannot do this */
        code = rename(files->path, files->taken);
    files->renamed = code == 0;
    if (code != 0 && errno != ENOENT && errno != EEXIST)
        note(files, "rename", files->path);
    return code == 0;
}

/* What was opened is the file that the name means now. */
static bool is_current(const struct sr3_files *files)
{
    struct stat opened, named;

    return fstat(files->fd, &opened) == 0 && stat(files->taken, &named) == 0
           && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev
           && S_ISREG(opened.st_mode);
}

/* False when the file is another instance's, or none. */
static bool lock_file(struct sr3_files *files)
{
    if (flock(files->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            note(files, "lock", files->taken);
    } else if (is_current(files)) {
        return true;
    }
    close_file(files);
    return false;
}

/* What a crash left comes before what sr3 wrote since. */
static bool open_file(struct sr3_files *files)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

    if (!files->path) {
        files->path = memory_format("%s/%s", files->directory, files->names[files->next]);
        files->taken = memory_format("%s" TAKEN, files->path);
    }
    files->fd = open(files->taken, flags);
    if (files->fd < 0 && errno == ENOENT && !files->renamed && rename_file(files))
        files->fd = open(files->taken, flags);
    if (files->fd < 0) {
        if (errno != ENOENT && errno != EEXIST)
            note(files, "open", files->taken);
        return false;
    }
    return lock_file(files);
}

/* All of it is settled. The name is looked at once more: sr3 may have written a new file. */
static void finish_file(struct sr3_files *files)
{
    if (!files->stays && files->aside_fd >= 0 && fsync(files->aside_fd) != 0) {
        note(files, "write unreadable entries of", files->path);
        files->stays = true;
    }
    if (!files->stays && unlink(files->taken) != 0) {
        note(files, "remove", files->taken);
        files->stays = true;
    }
    if (files->renamed || files->stays)
        next_name(files);
    else
        close_file(files);
}

/* ---- pieces ---- */

/* Bytes from where the last piece ended, as many as there are up to `room`; -1: unreadable. */
static ssize_t read_bytes(const struct sr3_files *files, char *bytes, size_t room)
{
    size_t have = 0;

    while (have < room) {
        ssize_t count = pread(files->fd, bytes + have, room - have, files->offset + (off_t)have);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        have += (size_t)count;
    }
    return (ssize_t)have;
}

static struct sr3_entry *add_entry(struct sr3_piece *piece, const struct sr3_files *files,
                                   const char *text, size_t length)
{
    struct sr3_entry *entry = &piece->entries[piece->count++];

    *entry = (struct sr3_entry){.text = text, .length = length, .place = files->path};
    return entry;
}

/* Whole lines; the last one of the file counts as one. Returns how many bytes they take. */
static size_t split_lines(const struct sr3_files *files, struct sr3_piece *piece, size_t have,
                          bool at_end)
{
    size_t start = 0;

    while (start < have && piece->count < SR3_PIECE_ENTRIES_MAX) {
        const char *line = piece->text + start, *end = memchr(line, '\n', have - start);
        size_t length = end ? (size_t)(end - line) : have - start;

        if (!end && !at_end)
            break;
        if (length > 0)
            add_entry(piece, files, line, length);
        start += length + (end != NULL);
    }
    return start;
}

/* A line without an end in sight: it is nobody's to read, and goes aside as it comes. */
static void cut_line(const struct sr3_files *files, struct sr3_piece *piece, size_t have)
{
    struct sr3_entry *entry = add_entry(piece, files, piece->text, have);

    entry->cut = true;
    piece->taken = piece->settled = 1;
}

/* False at the end of the file, or when it cannot be read. There may be no entries: empty lines. */
static bool read_piece(struct sr3_files *files, struct sr3_piece *piece)
{
    for (size_t room = SR3_PIECE_SIZE;; room *= 8) {
        ssize_t have;
        size_t used;

        piece->text = memory_resize(piece->text, room, 1);
        have = read_bytes(files, piece->text, room);
        if (have < 0) {
            note(files, "read", files->taken);
            files->stays = true;
        }
        if (have <= 0)
            return false;
        used = split_lines(files, piece, (size_t)have, (size_t)have < room);
        if (used == 0 && room < SR3_ENTRY_SIZE_MAX)
            continue;
        if (used == 0)
            cut_line(files, piece, used = (size_t)have);
        files->offset += (off_t)used;
        return true;
    }
}

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(fd, bytes, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static bool write_aside(struct sr3_files *files, const struct sr3_entry *entry)
{
    if (files->aside_fd < 0) {
        char *path = memory_format("%s" ASIDE, files->path);

        files->aside_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        free(path);
    }
    return files->aside_fd >= 0 && write_all(files->aside_fd, entry->text, entry->length)
           && (entry->cut || write_all(files->aside_fd, "\n", 1));
}

static void settle(struct sr3_files *files, const struct sr3_piece *piece)
{
    for (size_t i = 0; i < piece->count; i++) {
        if (piece->entries[i].kept || write_aside(files, &piece->entries[i]))
            continue;
        note(files, "write unreadable entries of", files->path);
        files->stays = true;
    }
}

bool sr3_files_next(struct sr3_files *files, struct sr3_piece *piece)
{
    settle(files, piece);
    sr3_piece_clear(piece);
    if (!files->listed)
        list_names(files);
    while (files->next < files->name_count) {
        if (files->fd < 0 && !open_file(files)) {
            next_name(files);
            continue;
        }
        if (!read_piece(files, piece))
            finish_file(files);
        else if (piece->count > 0)
            return true;
    }
    sr3_piece_clear(piece);
    return false;
}

const char *sr3_files_failure(const struct sr3_files *files)
{
    return files->failure;
}

void sr3_files_close(struct sr3_files *files)
{
    if (!files)
        return;
    close_file(files);
    for (size_t i = 0; i < files->name_count; i++)
        free(files->names[i]);
    free(files->names);
    free(files->path);
    free(files->taken);
    free(files->failure);
    free(files->directory);
    free(files);
}
