#include "running.h"

#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES 10

struct running {
    int lock;
    char *pid_path;
};

static char *lock_path(const struct config *config)
{
    return memory_format("%s/instances.lock", config->subscription_dir);
}

/* Whether `path` is still the file that is open: a cleanup that ended just now removed it. */
static bool is_current(int fd, const char *path)
{
    struct stat opened, named;

    return !fstat(fd, &opened) && !stat(path, &named) && opened.st_ino == named.st_ino
           && opened.st_dev == named.st_dev;
}

/* A descriptor, or -1. With *failure, an error number, it is not locked. */
static int open_locked(const char *path, int how, int *failure)
{
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0664);

        *failure = fd < 0 || flock(fd, how | LOCK_NB) ? errno : 0;
        if (fd < 0 || *failure || is_current(fd, path))
            return fd;
        close(fd);
    }
    *failure = EWOULDBLOCK;
    return -1;
}

/* Where the file system has no locks instances run without, and cleanup cannot know of them. */
static bool lock_shared(struct running *running, const char *path, struct error *err)
{
    int failure;

    running->lock = open_locked(path, LOCK_SH, &failure);
    if (failure == EWOULDBLOCK)
        return error_set(err, ERROR_TEMPORARY,
                         "lock '%s': this subscription is being cleaned up; start again when that "
                         "is done",
                         path);
    if (running->lock < 0)
        return error_set(err, ERROR_OPERATOR, "open '%s': %s", path, strerror(failure));
    if (failure)
        log_warning("sr3sub.running begin", "lock '%s': %s: cleanup will not see this instance",
                    path, strerror(failure));
    return true;
}

/* As sr3: the decimal number, no newline. Nothing here depends on it. */
static bool write_pid(const char *path, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || dprintf(fd, "%d", (int)getpid()) < 0) {
        error_set(err, ERROR_OPERATOR, "write '%s': %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}

/* Where there are no hard links, whoever comes last writes it: they agree on the name anyway. */
static bool put_in_place(const char *temporary, const char *path)
{
    return !link(temporary, path) || errno == EEXIST || !rename(temporary, path);
}

/* The first one to come writes it, and whole; what is there already stays. */
static void write_queue_name(const struct config *config)
{
    char *temporary = memory_format("%s.%d", config->queue_name_path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0 && dprintf(fd, "%s", config->queue) >= 0;

    if (fd >= 0)
        close(fd);
    if (!written || !put_in_place(temporary, config->queue_name_path))
        log_warning("sr3sub.running begin", "write '%s': %s", config->queue_name_path,
                    strerror(errno));
    unlink(temporary);
    free(temporary);
}

static bool leave_marks(struct running *running, const struct config *config, const char *lock,
                        struct error *err)
{
    return path_make_directory(config->subscription_dir, 0775, err)
           && lock_shared(running, lock, err) && write_pid(running->pid_path, err);
}

struct running *running_begin(const struct config *config, struct error *err)
{
    struct running *running = memory_new(sizeof(*running));
    char *lock = lock_path(config);

    running->lock = -1;
    running->pid_path = memory_format("%s/%s_%s_%02d.pid", config->subscription_dir,
                                      config->component, config->name, config->instance);
    if (!leave_marks(running, config, lock, err)) {
        running_end(running);
        running = NULL;
    }
    if (running && !config->queue_name)
        write_queue_name(config);
    free(lock);
    return running;
}

void running_end(struct running *running)
{
    if (!running)
        return;
    if (running->lock >= 0) {
        unlink(running->pid_path);
        close(running->lock);
    }
    free(running->pid_path);
    free(running);
}

int running_exclude(const struct config *config, struct error *err)
{
    char *path = lock_path(config);
    int failure, lock = open_locked(path, LOCK_EX, &failure);

    if (failure == EWOULDBLOCK)
        error_set(err, ERROR_OPERATOR, "%s/%s is running; stop its instances first",
                  config->component, config->name);
    else if (failure && (lock >= 0 || failure != ENOENT))
        error_set(err, ERROR_OPERATOR, "lock '%s': %s", path, strerror(failure));
    if (failure && lock >= 0) {
        close(lock);
        lock = -1;
    }
    free(path);
    return lock;
}
