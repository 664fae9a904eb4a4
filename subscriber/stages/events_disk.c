/*
 * Removals, directories, and what all events have in common, below an open directory.
 *
 * A name is worked on in its opened parent directory, so nothing that changes on the way to it
 * meanwhile makes any difference.
 */
#include "stages/events_disk.h"

#include "base/clock.h"
#include "base/path.h"
#include "stages/events_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_MIN 4 /* from here on one flush of the file system is cheaper than fsyncs */

/* ---- outcomes ---- */

void event_settle(struct disk_event *event, enum events_outcome outcome, int code)
{
    event->outcome = outcome;
    event->code = code;
}

void event_refuse(struct disk_event *event, int code, const char *why)
{
    const struct events_plan *plan = &event->plan;

    error_set(&event->err, ERROR_PERMANENT, "%s '%s/%s': %s", events_op_name(plan->op),
              plan->directory, plan->path, why);
    event_settle(event, EVENTS_REJECTED, code);
}

static const struct {
    int reason;
    enum events_outcome outcome;
    int code;
    enum error_kind kind;
    const char *text; /* NULL: the system's */
} failures[] = {
    {ELOOP, EVENTS_REJECTED, EVENT_CODE_REFUSED, ERROR_PERMANENT,
     "a link leads out of the directory"},
    {EXDEV, EVENTS_REJECTED, EVENT_CODE_REFUSED, ERROR_PERMANENT,
     "a link leads out of the directory"},
    {ENAMETOOLONG, EVENTS_REJECTED, EVENT_CODE_REFUSED, ERROR_PERMANENT, NULL},
    {EINVAL, EVENTS_REJECTED, EVENT_CODE_FAILED, ERROR_PERMANENT, NULL},
    {ENOTEMPTY, EVENTS_BLOCKED, EVENT_CODE_FAILED, ERROR_TEMPORARY, NULL},
    {EEXIST, EVENTS_BLOCKED, EVENT_CODE_FAILED, ERROR_TEMPORARY, NULL},
    {EISDIR, EVENTS_BLOCKED, EVENT_CODE_FAILED, ERROR_TEMPORARY, "a directory is there"},
    {ENOTDIR, EVENTS_BLOCKED, EVENT_CODE_FAILED, ERROR_TEMPORARY, "something else is there"},
    {EACCES, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
    {EPERM, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
    {EROFS, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
};

void event_fail(struct disk_event *event)
{
    const struct events_plan *plan = &event->plan;
    const char *text = strerror(errno);
    enum error_kind kind = ERROR_TEMPORARY;
    size_t i = 0;

    while (i < COUNT_OF(failures) && failures[i].reason != errno)
        i++;
    event_settle(event, EVENTS_FAILED, 0);
    if (i < COUNT_OF(failures)) {
        event_settle(event, failures[i].outcome, failures[i].code);
        kind = failures[i].kind;
        text = failures[i].text ? failures[i].text : text;
    }
    error_set(&event->err, kind, "%s '%s/%s': %s", events_op_name(plan->op), plan->directory,
              plan->path, text);
}

/* ---- directories ---- */

void event_close_end(struct event_end *end)
{
    if (end->directory >= 0)
        close(end->directory);
    end->directory = -1;
}

bool event_open_end(struct event_end *end, int root, const char *path, event_open_function *open)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *directory;

    *end = (struct event_end){-1, name};
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        errno = EXDEV;
        return false;
    }
    directory = memory_copy_bytes(path, slash ? (size_t)(slash - path) : 0);
    end->directory = open(root, directory);
    free(directory);
    return end->directory >= 0;
}

bool event_open_root(struct event_site *site)
{
    struct stat status;

    if (site->root < 0)
        site->root = openat(AT_FDCWD, site->directory, EVENT_DIRECTORY_FLAGS);
    if (site->root < 0 || fstat(site->root, &status) != 0)
        return false;
    site->device = status.st_dev;
    return true;
}

bool event_open_place(struct event_site *site, struct disk_event *event, struct event_end *end)
{
    end->directory = -1;
    if (!event_open_root(site) && errno == ENOENT
        && !path_make_directory(site->directory, 0775, &event->err)) {
        event_settle(event, EVENTS_FAILED, 0);
        return false;
    }
    if (event_open_root(site) && event_open_end(end, site->root, event->plan.path, path_make_below))
        return true;
    event_fail(event);
    return false;
}

bool event_sync(const struct event_site *site, int directory)
{
    struct stat status;
    bool elsewhere = fstat(directory, &status) == 0 && status.st_dev != site->device;

    if (!site->sync && !(site->flush && elsewhere))
        return true;
    return fsync(directory) == 0 || errno == EINVAL; /* a file system where that is not done */
}

void event_finish(const struct event_site *site, struct disk_event *event,
                  const struct event_end *end)
{
    if (event_sync(site, end->directory))
        event_settle(event, EVENTS_DONE, EVENT_CODE_DONE);
    else
        event_fail(event);
}

bool event_look(const struct event_end *end, struct stat *status)
{
    return fstatat(end->directory, end->name, status, AT_SYMLINK_NOFOLLOW) == 0;
}

bool event_is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool event_is_missing(int reason)
{
    return reason == ENOENT || reason == ENOTDIR;
}

/* ---- removals ---- */

bool event_remove_end(const struct event_end *end)
{
    int reason;

    if (unlinkat(end->directory, end->name, 0) == 0 || errno == ENOENT)
        return true;
    reason = errno;
    if (reason != EISDIR && reason != EPERM)
        return false;
    if (unlinkat(end->directory, end->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return true;
    if (errno == ENOTDIR)
        errno = reason;
    return false;
}

static void make_nothing(struct event_site *site, struct disk_event *event)
{
    struct event_end end = {.directory = -1};
    bool open = event_open_root(site)
                && event_open_end(&end, site->root, event->plan.path, path_open_below);

    if (!open && event_is_missing(errno))
        event_settle(event, EVENTS_DONE, EVENT_CODE_DONE);
    else if (!open || !event_remove_end(&end))
        event_fail(event);
    else
        event_finish(site, event, &end);
    event_close_end(&end);
}

/* ---- directories that are announced ---- */

/* Whatever was announced, it stays a directory that we can work in. */
static mode_t working_mode(int mode)
{
    return (mode_t)(mode & 0777) | 0700;
}

/* Past the umask. */
static bool set_mode(const struct event_end *end, int mode)
{
    int fd = openat(end->directory, end->name, EVENT_DIRECTORY_FLAGS | O_NOFOLLOW);
    bool set = fd >= 0 && fchmod(fd, working_mode(mode)) == 0;
    int reason = errno;

    if (fd >= 0)
        close(fd);
    errno = reason;
    return set;
}

static bool is_directory(const struct event_site *site, const char *path)
{
    int fd = path_open_below(site->root, path);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void make_directory(struct event_site *site, struct disk_event *event)
{
    struct event_end end;
    bool made;

    if (!event_open_place(site, event, &end))
        return;
    made = mkdirat(end.directory, end.name, working_mode(event->plan.mode)) == 0;
    if (made ? !set_mode(&end, event->plan.mode)
             : errno != EEXIST || !is_directory(site, event->plan.path))
        event_fail(event);
    else
        event_finish(site, event, &end);
    event_close_end(&end);
}

/* ---- what is done when there is nothing to link to, or to rename ---- */

void event_do_otherwise(struct event_site *site, struct disk_event *event)
{
    event->deed = event->plan.otherwise;
    switch (event->deed) {
    case EVENTS_LINK:
        event_make_link(site, event);
        return;
    case EVENTS_MKDIR:
        make_directory(site, event);
        return;
    case EVENTS_REMOVE:
        make_nothing(site, event);
        return;
    default:
        break;
    }
    if (event->plan.refuse_code)
        event_refuse(event, event->plan.refuse_code, event->plan.refuse_reason);
    else
        event_settle(event, EVENTS_FETCH, 0);
}

/* ---- batches ---- */

static void carry_out(struct event_site *site, struct disk_event *event)
{
    static void (*const deeds[EVENTS_OPS])(struct event_site *, struct disk_event *) = {
        [EVENTS_NOTHING] = event_do_otherwise, [EVENTS_LINK] = event_make_link,
        [EVENTS_HLINK] = event_make_hard_link, [EVENTS_REMOVE] = make_nothing,
        [EVENTS_RENAME] = event_make_rename,   [EVENTS_MKDIR] = make_directory,
    };

    if (!event->until_ms || clock_now_ms() < *event->until_ms) {
        event->deed = event->plan.op;
        deeds[event->deed](site, event);
        return;
    }
    error_set(&event->err, ERROR_TEMPORARY, "%s '%s/%s': the claim is not sure any more",
              events_op_name(event->plan.op), event->plan.directory, event->plan.path);
    event_settle(event, EVENTS_LATE, 0);
}

static void flush(struct event_site *site, struct list *batch)
{
    if (site->root < 0 || syncfs(site->root) == 0)
        return;
    for (struct list_link *link = list_first(batch); link; link = list_next(batch, link)) {
        struct disk_event *event = LIST_ITEM(link, struct disk_event, link);

        if (event->outcome != EVENTS_DONE && event->outcome != EVENTS_FETCH)
            continue;
        error_set(&event->err, ERROR_TEMPORARY, "make changes below '%s' durable: %s",
                  site->directory, strerror(errno));
        event_settle(event, EVENTS_FAILED, 0);
    }
}

static size_t count(const struct list *batch)
{
    size_t events = 0;

    for (struct list_link *link = list_first(batch); link; link = list_next(batch, link))
        events++;
    return events;
}

void disk_events(struct list *batch, enum events_durability durability)
{
    struct list_link *link = list_first(batch);
    struct event_site site = {.directory = LIST_ITEM(link, struct disk_event, link)->plan.directory,
                              .root = -1};

    site.flush = durability == EVENTS_DURABILITY_GROUP && count(batch) >= FLUSH_MIN;
    site.sync = durability != EVENTS_DURABILITY_NONE && !site.flush;
    for (; link; link = list_next(batch, link))
        carry_out(&site, LIST_ITEM(link, struct disk_event, link));
    if (site.flush)
        flush(&site, batch);
    if (site.root >= 0)
        close(site.root);
}
