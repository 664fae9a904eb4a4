/*
 * What the disk can do by itself: writes files under inflight names and renames them, and does
 * nothing else.
 *
 *     place none|group|each FOLDER <LIST
 *
 * Each line of LIST is a size in bytes and a path below FOLDER. "group": one flush of the file
 * system for so many files as sr3sub groups at most, and one for the last renames; "each": a flush
 * of every file and of its directory. Prints the seconds from the first file to the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GROUP_MAX 128
#define PIECE     (1 << 20)
#define PATH_SIZE 2048

enum durability { NONE, GROUP, EACH };

struct file {
    char path[PATH_SIZE], inflight[PATH_SIZE + 8];
};

static char piece[PIECE];

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "place: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            fail(path);
        *slash = '/';
    }
}

static int open_inflight(struct file *file)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(file->inflight, flags, 0666);

    if (fd < 0 && errno == ENOENT) {
        make_directories(file->inflight);
        fd = open(file->inflight, flags, 0666);
    }
    if (fd < 0)
        fail(file->inflight);
    return fd;
}

static void write_file(struct file *file, size_t size, bool flush)
{
    int fd = open_inflight(file);

    while (size > 0) {
        ssize_t written = write(fd, piece, size < PIECE ? size : PIECE);

        if (written < 0)
            fail(file->inflight);
        size -= (size_t)written;
    }
    if ((flush && fsync(fd) != 0) || close(fd) != 0)
        fail(file->inflight);
}

static void flush_directory(struct file *file)
{
    char *slash = strrchr(file->path, '/');
    int fd;

    *slash = '\0';
    fd = open(file->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        fail(file->path);
    close(fd);
    *slash = '/';
}

static void rename_files(struct file *files, size_t count, enum durability durability, int folder)
{
    if (durability == GROUP && syncfs(folder) != 0)
        fail("flush");
    for (size_t i = 0; i < count; i++) {
        if (rename(files[i].inflight, files[i].path) != 0)
            fail(files[i].path);
        if (durability == EACH)
            flush_directory(&files[i]);
    }
}

/* "FOLDER/a/b" and "FOLDER/a/.b.tmp" of the next line; false: there is none. */
static bool read_line(const char *folder, struct file *file, size_t *size)
{
    char name[PATH_SIZE / 2];
    char *slash;

    if (scanf("%zu %1023s", size, name) != 2) /* PATH_SIZE / 2 - 1 */
        return false;
    snprintf(file->path, sizeof(file->path), "%s/%s", folder, name);
    slash = strrchr(file->path, '/');
    snprintf(file->inflight, sizeof(file->inflight), "%.*s/.%s.tmp", (int)(slash - file->path),
             file->path, slash + 1);
    return true;
}

static enum durability durability_of(const char *name)
{
    const char *names[] = {"none", "group", "each"};

    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum durability)i;
    fprintf(stderr, "place: no such durability: %s\n", name);
    exit(1);
}

static void place(const char *path, enum durability durability)
{
    static struct file group[GROUP_MAX];
    size_t count = 0, size;
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        fail(path);
    while (read_line(path, &group[count], &size)) {
        write_file(&group[count], size, durability == EACH);
        if (++count == GROUP_MAX) {
            rename_files(group, count, durability, folder);
            count = 0;
        }
    }
    rename_files(group, count, durability, folder);
    if (durability == GROUP && syncfs(folder) != 0)
        fail("last flush");
    close(folder);
}

int main(int argc, char **argv)
{
    double started = now_s();

    if (argc != 3) {
        fprintf(stderr, "usage: place none|group|each FOLDER <LIST\n");
        return 1;
    }
    memset(piece, 'x', sizeof(piece));
    place(argv[2], durability_of(argv[1]));
    printf("%.6f\n", now_s() - started);
    return 0;
}
