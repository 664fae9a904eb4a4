/*
 * Links, removals, renames and directories, below an open directory.
 *
 * A name is worked on in its opened parent directory, so nothing that changes on the way to it
 * meanwhile makes any difference. What takes the place of something is made under a temporary name
 * and renamed; that name follows from what is made, so a crash leaves nothing behind for good.
 *
 * That a link stays inside is more than a matter of text: the directory it is in may have been
 * reached by another link and be higher up than its name says, and a ".." behind a name depends on
 * where that name leads. So levels are counted on the disk, and ".." is good at the beginning only.
 */
#include "stages/events_disk.h"

#include "base/clock.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES  255
#define TARGET_MAX      4096
#define FLUSH_MIN       4 /* from here on one flush of the file system is cheaper than fsyncs */
#define SCAN_MOST       100000 /* names that are looked at in a directory that moves up */
#define SCAN_LEVELS     64
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

enum code { CODE_DONE = 201, CODE_REFUSED = 422, CODE_FAILED = 500 };

/* One batch. */
struct site {
    const char *directory;
    int root; /* -1: not opened yet, or not there */
    dev_t device;
    bool sync;  /* each directory that is changed */
    bool flush; /* the file system in the end */
};

/* A name in its open directory. */
struct end {
    int directory; /* -1: not open */
    const char *name;
};

/* ---- outcomes ---- */

static void settle(struct disk_event *event, enum events_outcome outcome, int code)
{
    event->outcome = outcome;
    event->code = code;
}

static void refuse(struct disk_event *event, int code, const char *why)
{
    const struct events_plan *plan = &event->plan;

    error_set(&event->err, ERROR_PERMANENT, "%s '%s/%s': %s", events_op_name(plan->op),
              plan->directory, plan->path, why);
    settle(event, EVENTS_REJECTED, code);
}

static const struct {
    int reason;
    enum events_outcome outcome;
    int code;
    enum error_kind kind;
    const char *text; /* NULL: the system's */
} failures[] = {
    {ELOOP, EVENTS_REJECTED, CODE_REFUSED, ERROR_PERMANENT, "a link leads out of the directory"},
    {EXDEV, EVENTS_REJECTED, CODE_REFUSED, ERROR_PERMANENT, "a link leads out of the directory"},
    {ENAMETOOLONG, EVENTS_REJECTED, CODE_REFUSED, ERROR_PERMANENT, NULL},
    {EINVAL, EVENTS_REJECTED, CODE_FAILED, ERROR_PERMANENT, NULL},
    {ENOTEMPTY, EVENTS_BLOCKED, CODE_FAILED, ERROR_TEMPORARY, NULL},
    {EEXIST, EVENTS_BLOCKED, CODE_FAILED, ERROR_TEMPORARY, NULL},
    {EISDIR, EVENTS_BLOCKED, CODE_FAILED, ERROR_TEMPORARY, "a directory is there"},
    {ENOTDIR, EVENTS_BLOCKED, CODE_FAILED, ERROR_TEMPORARY, "something else is there"},
    {EACCES, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
    {EPERM, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
    {EROFS, EVENTS_FAILED, 0, ERROR_OPERATOR, NULL},
};

/* Settles by errno. */
static void fail(struct disk_event *event)
{
    const struct events_plan *plan = &event->plan;
    const char *text = strerror(errno);
    enum error_kind kind = ERROR_TEMPORARY;
    size_t i = 0;

    while (i < COUNT_OF(failures) && failures[i].reason != errno)
        i++;
    settle(event, EVENTS_FAILED, 0);
    if (i < COUNT_OF(failures)) {
        settle(event, failures[i].outcome, failures[i].code);
        kind = failures[i].kind;
        text = failures[i].text ? failures[i].text : text;
    }
    error_set(&event->err, kind, "%s '%s/%s': %s", events_op_name(plan->op), plan->directory,
              plan->path, text);
}

/* ---- directories ---- */

static void close_end(struct end *end)
{
    if (end->directory >= 0)
        close(end->directory);
    end->directory = -1;
}

typedef int open_function(int root, const char *path);

/* Opens the directory of `path`. False with errno. */
static bool open_end(struct end *end, int root, const char *path, open_function *open)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *directory;

    *end = (struct end){-1, name};
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        errno = EXDEV;
        return false;
    }
    directory = memory_copy_bytes(path, slash ? (size_t)(slash - path) : 0);
    end->directory = open(root, directory);
    free(directory);
    return end->directory >= 0;
}

static int open_directory(const char *name)
{
    return openat(AT_FDCWD, name, DIRECTORY_FLAGS);
}

/* False with errno. */
static bool open_root(struct site *site)
{
    struct stat status;

    if (site->root < 0)
        site->root = open_directory(site->directory);
    if (site->root < 0 || fstat(site->root, &status) != 0)
        return false;
    site->device = status.st_dev;
    return true;
}

/* Opens the directory that the event's name is to stand in, and makes what is missing of it. */
static bool open_for_making(struct site *site, struct disk_event *event, struct end *end)
{
    end->directory = -1;
    if (!open_root(site) && errno == ENOENT
        && !path_make_directory(site->directory, 0775, &event->err)) {
        settle(event, EVENTS_FAILED, 0);
        return false;
    }
    if (open_root(site) && open_end(end, site->root, event->plan.path, path_make_below))
        return true;
    fail(event);
    return false;
}

static bool sync_directory(const struct site *site, int directory)
{
    struct stat status;
    bool elsewhere = fstat(directory, &status) == 0 && status.st_dev != site->device;

    return !(site->sync || (site->flush && elsewhere)) || fsync(directory) == 0;
}

static void finish(const struct site *site, struct disk_event *event, const struct end *end)
{
    if (sync_directory(site, end->directory))
        settle(event, EVENTS_DONE, CODE_DONE);
    else
        fail(event);
}

static bool look(const struct end *end, struct stat *status)
{
    return fstatat(end->directory, end->name, status, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_missing(int reason)
{
    return reason == ENOENT || reason == ENOTDIR;
}

/* ---- removals ---- */

/* A file, a link or an empty directory; gone already is fine. False with errno. */
static bool remove_end(const struct end *end)
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

static void make_nothing(struct site *site, struct disk_event *event)
{
    struct end end = {.directory = -1};
    bool open = open_root(site) && open_end(&end, site->root, event->plan.path, path_open_below);

    if (!open && is_missing(errno))
        settle(event, EVENTS_DONE, CODE_DONE);
    else if (!open || !remove_end(&end))
        fail(event);
    else
        finish(site, event, &end);
    close_end(&end);
}

/* ---- directories that are announced ---- */

/* Whatever was announced, it stays a directory that we can work in. */
static bool set_mode(const struct end *end, int mode)
{
    int fd = openat(end->directory, end->name, DIRECTORY_FLAGS | O_NOFOLLOW);
    bool set = fd >= 0 && fchmod(fd, (mode_t)(mode & 0777) | 0700) == 0;
    int reason = errno;

    if (fd >= 0)
        close(fd);
    errno = reason;
    return set;
}

static bool is_directory(const struct site *site, const char *path)
{
    int fd = path_open_below(site->root, path);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void make_directory(struct site *site, struct disk_event *event)
{
    struct end end;
    bool made;

    if (!open_for_making(site, event, &end))
        return;
    made = mkdirat(end.directory, end.name, 0700) == 0;
    if (made ? !set_mode(&end, event->plan.mode)
             : errno != EEXIST || !is_directory(site, event->plan.path))
        fail(event);
    else
        finish(site, event, &end);
    close_end(&end);
}

/* ---- links ---- */

/* The part of `path` below `directory`, NULL when it is not below it. */
static const char *below(const char *directory, const char *path)
{
    size_t length = strlen(directory);

    if (strncmp(path, directory, length) != 0)
        return NULL;
    if (directory[length - 1] == '/')
        return path + length;
    return path[length] == '/' ? path + length : NULL;
}

/* Whether a link `depth` levels below `directory` leads to somewhere below it. */
static bool leads_inside(const char *directory, int depth, const char *target)
{
    bool named = *target == '/';

    if (named)
        target = below(directory, target);
    if (!target || depth < 0)
        return false;
    while (*(target += strspn(target, "/"))) {
        size_t length = strcspn(target, "/");

        if (length == 2 && memcmp(target, "..", 2) == 0) {
            if (named || depth-- == 0)
                return false;
        } else if (length != 1 || *target != '.') {
            named = true;
        }
        target += length;
    }
    return true;
}

/* The same of the link `name` in `directory` when it is moved. False with errno, or EXDEV. */
static bool link_leads_inside(const char *root, int depth, int directory, const char *name)
{
    char target[TARGET_MAX];
    ssize_t length = readlinkat(directory, name, target, sizeof(target) - 1);

    if (length < 0)
        return errno == ENOENT; /* removed meanwhile */
    target[length] = '\0';
    errno = EXDEV;
    return leads_inside(root, depth, target);
}

/* A name that nothing else has: it says what is made there. */
static void name_temporary(const struct end *end, const char *what, char name[NAME_MAX_BYTES + 1])
{
    const char *parts[] = {end->name, what};
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (const char *at = parts[i];; at++) {
            hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
            if (!*at)
                break;
        }
    snprintf(name, NAME_MAX_BYTES + 1, ".%.*s.%016llx.tmp", NAME_MAX_BYTES - 22, end->name,
             (unsigned long long)hash);
}

/* Takes the place of a file or link. What was renamed onto itself is still there afterwards. */
static bool move_into_place(const struct end *end, const char *temporary)
{
    bool moved = renameat(end->directory, temporary, end->directory, end->name) == 0;
    int reason = errno;

    unlinkat(end->directory, temporary, 0);
    errno = reason;
    return moved;
}

static bool is_same_link(const struct end *end, const char *target)
{
    char there[TARGET_MAX];
    ssize_t length = readlinkat(end->directory, end->name, there, sizeof(there));

    return length >= 0 && (size_t)length == strlen(target)
           && memcmp(there, target, (size_t)length) == 0;
}

static bool replace_by_link(const struct end *end, const char *target)
{
    char temporary[NAME_MAX_BYTES + 1];

    name_temporary(end, target, temporary);
    if (unlinkat(end->directory, temporary, 0) != 0 && errno != ENOENT)
        return false;
    return symlinkat(target, end->directory, temporary) == 0 && move_into_place(end, temporary);
}

static void make_link(struct site *site, struct disk_event *event)
{
    const struct events_plan *plan = &event->plan;
    struct end end;

    if (!open_for_making(site, event, &end))
        return;
    if (!plan->link_outside
        && !leads_inside(plan->directory, path_depth(site->root, end.directory), plan->target))
        refuse(event, CODE_REFUSED, "its target is outside of the directory: linkOutside");
    else if (symlinkat(plan->target, end.directory, end.name) == 0
             || (errno == EEXIST
                 && (is_same_link(&end, plan->target) || replace_by_link(&end, plan->target))))
        finish(site, event, &end);
    else
        fail(event);
    close_end(&end);
}

/* ---- what is done when there is nothing to link to, or to rename ---- */

static void do_otherwise(struct site *site, struct disk_event *event)
{
    switch (event->plan.otherwise) {
    case EVENTS_LINK:
        make_link(site, event);
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
        refuse(event, event->plan.refuse_code, event->plan.refuse_reason);
    else
        settle(event, EVENTS_FETCH, 0);
}

static bool has_otherwise(const struct disk_event *event)
{
    return event->plan.otherwise != EVENTS_NOTHING || !event->plan.refuse_code;
}

/* ---- hard links ---- */

/* The file to link to, to which no link must lead; false: the event is settled. */
static bool open_source(struct site *site, struct disk_event *event, struct end *source,
                        struct stat *status)
{
    const struct events_plan *plan = &event->plan;
    bool open;

    source->directory = -1;
    if (!plan->other_path || strcmp(plan->other_directory, plan->directory) != 0) {
        do_otherwise(site, event);
        return false;
    }
    open = open_root(site) && open_end(source, site->root, plan->other_path, path_open_plain)
           && look(source, status);
    if (!open && is_missing(errno))
        do_otherwise(site, event);
    else if (!open)
        fail(event);
    else if (!S_ISREG(status->st_mode))
        refuse(event, CODE_REFUSED, "what it is to be a hard link to is no regular file");
    else
        return true;
    return false;
}

/* Looked at once more under its temporary name: it may have been exchanged just now. */
static bool link_file(const struct end *source, const struct end *end, const char *temporary)
{
    struct stat status;

    if (unlinkat(end->directory, temporary, 0) != 0 && errno != ENOENT)
        return false;
    if (linkat(source->directory, source->name, end->directory, temporary, 0) != 0)
        return false;
    if (fstatat(end->directory, temporary, &status, AT_SYMLINK_NOFOLLOW) == 0
        && S_ISREG(status.st_mode))
        return true;
    unlinkat(end->directory, temporary, 0);
    errno = ELOOP;
    return false;
}

/* Another file system, one without hard links, a file of somebody else's, too many links. */
static bool cannot_be_linked(int reason)
{
    return reason == EXDEV || reason == EPERM || reason == EMLINK || reason == ENOENT
           || reason == EOPNOTSUPP;
}

static void link_source(struct site *site, struct disk_event *event, const struct end *source,
                        const struct stat *status)
{
    char temporary[NAME_MAX_BYTES + 1];
    struct stat there;
    struct end end;

    if (!open_for_making(site, event, &end))
        return;
    name_temporary(&end, event->plan.other_path, temporary);
    if (look(&end, &there) && same_file(&there, status))
        finish(site, event, &end);
    else if (!link_file(source, &end, temporary))
        cannot_be_linked(errno) ? do_otherwise(site, event) : fail(event);
    else if (move_into_place(&end, temporary))
        finish(site, event, &end);
    else
        fail(event);
    close_end(&end);
}

static void make_hard_link(struct site *site, struct disk_event *event)
{
    struct stat status;
    struct end source;

    if (open_source(site, event, &source, &status))
        link_source(site, event, &source, &status);
    close_end(&source);
}

/* ---- renames ---- */

struct move {
    struct site *site;
    struct disk_event *event;
    int from_root;
    struct end from, to;
    struct stat status; /* of what is moved */
};

struct scan {
    const char *root;
    int names_left;
};

static bool scan_links(struct scan *scan, int fd, int depth, int level);

static bool scan_name(struct scan *scan, int fd, const char *name, int depth, int level)
{
    struct stat status;
    int inner;

    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (S_ISLNK(status.st_mode))
        return link_leads_inside(scan->root, depth, fd, name);
    if (!S_ISDIR(status.st_mode))
        return true;
    inner = openat(fd, name, DIRECTORY_FLAGS | O_NOFOLLOW);
    return inner >= 0 && scan_links(scan, inner, depth + 1, level + 1);
}

/* Whether all links below `fd`, which is closed, lead inside at their new depth. */
static bool scan_links(struct scan *scan, int fd, int depth, int level)
{
    DIR *directory = fdopendir(fd);
    bool inside = directory != NULL && level < SCAN_LEVELS;

    if (!directory)
        close(fd);
    for (struct dirent *entry; inside && (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            inside = scan->names_left-- > 0
                     && scan_name(scan, dirfd(directory), entry->d_name, depth, level);
    if (directory)
        closedir(directory);
    return inside;
}

/* A link keeps its target where it goes, and a directory the links in it. */
static bool stays_inside(const struct move *move)
{
    const struct events_plan *plan = &move->event->plan;
    bool same_root = strcmp(plan->directory, plan->other_directory) == 0;
    int depth = path_depth(move->site->root, move->to.directory), fd;
    struct scan scan = {plan->directory, SCAN_MOST};

    if (plan->link_outside)
        return true;
    if (S_ISLNK(move->status.st_mode))
        return link_leads_inside(plan->directory, depth, move->from.directory, move->from.name);
    if (!S_ISDIR(move->status.st_mode)
        || (same_root && depth >= path_depth(move->from_root, move->from.directory)))
        return true;
    fd = openat(move->from.directory, move->from.name, DIRECTORY_FLAGS | O_NOFOLLOW);
    return depth >= 0 && fd >= 0 && scan_links(&scan, fd, depth + 1, 0);
}

static bool is_same_name(const struct end *a, const struct end *b)
{
    struct stat of_a, of_b;

    return strcmp(a->name, b->name) == 0 && fstat(a->directory, &of_a) == 0
           && fstat(b->directory, &of_b) == 0 && same_file(&of_a, &of_b);
}

/* False with errno. What is in the way goes first where a rename does not replace it. */
static bool move_over(const struct end *from, const struct end *to)
{
    if (renameat(from->directory, from->name, to->directory, to->name) == 0)
        return true;
    if (errno != EISDIR && errno != ENOTDIR)
        return false;
    return remove_end(to) && renameat(from->directory, from->name, to->directory, to->name) == 0;
}

static void finish_move(const struct move *move)
{
    if (sync_directory(move->site, move->from.directory))
        finish(move->site, move->event, &move->to);
    else
        fail(move->event);
}

/* The old name goes, and the new one is made anew. */
static void replace_old(const struct move *move)
{
    if (!has_otherwise(move->event) || remove_end(&move->from))
        do_otherwise(move->site, move->event);
    else
        fail(move->event);
}

static void move_to_end(struct move *move)
{
    struct stat there;

    if (is_same_name(&move->from, &move->to))
        finish_move(move);
    else if (S_ISREG(move->status.st_mode) && look(&move->to, &there)
             && same_file(&there, &move->status)) /* which a rename would leave as they are */
        remove_end(&move->from) ? finish_move(move) : fail(move->event);
    else if (!stays_inside(move))
        refuse(move->event, CODE_REFUSED, "a link would lead out of the directory: linkOutside");
    else if (move_over(&move->from, &move->to))
        finish_move(move);
    else if (errno == EXDEV)
        replace_old(move);
    else if (errno == ENOENT)
        do_otherwise(move->site, move->event);
    else
        fail(move->event);
}

static bool is_out_of_date(const struct move *move)
{
    int64_t size_bytes = move->event->plan.size_bytes;

    return S_ISREG(move->status.st_mode) && size_bytes > 0 && move->status.st_size != size_bytes;
}

static bool open_former(struct move *move)
{
    const struct events_plan *plan = &move->event->plan;

    errno = ENOENT;
    if (!plan->other_path)
        return false;
    move->from_root = open_directory(plan->other_directory);
    return move->from_root >= 0
           && open_end(&move->from, move->from_root, plan->other_path, path_open_below)
           && look(&move->from, &move->status);
}

static void make_rename(struct site *site, struct disk_event *event)
{
    struct move move = {site, event, -1, {-1, ""}, {-1, ""}, {0}};

    if (!open_former(&move))
        is_missing(errno) ? do_otherwise(site, event) : fail(event);
    else if (is_out_of_date(&move))
        replace_old(&move);
    else if (open_for_making(site, event, &move.to))
        move_to_end(&move);
    close_end(&move.to);
    close_end(&move.from);
    if (move.from_root >= 0)
        close(move.from_root);
}

/* ---- batches ---- */

static void carry_out(struct site *site, struct disk_event *event)
{
    static void (*const deeds[EVENTS_OPS])(struct site *, struct disk_event *) = {
        [EVENTS_NOTHING] = do_otherwise, [EVENTS_LINK] = make_link,
        [EVENTS_HLINK] = make_hard_link, [EVENTS_REMOVE] = make_nothing,
        [EVENTS_RENAME] = make_rename,   [EVENTS_MKDIR] = make_directory,
    };

    if (!event->until_ms || clock_now_ms() < *event->until_ms) {
        deeds[event->plan.op](site, event);
        return;
    }
    error_set(&event->err, ERROR_TEMPORARY, "%s '%s/%s': the claim is not sure any more",
              events_op_name(event->plan.op), event->plan.directory, event->plan.path);
    settle(event, EVENTS_LATE, 0);
}

static void flush(struct site *site, struct list *batch)
{
    if (site->root < 0 || syncfs(site->root) == 0)
        return;
    for (struct list_link *link = list_first(batch); link; link = list_next(batch, link)) {
        struct disk_event *event = LIST_ITEM(link, struct disk_event, link);

        if (event->outcome != EVENTS_DONE && event->outcome != EVENTS_FETCH)
            continue;
        error_set(&event->err, ERROR_TEMPORARY, "make changes below '%s' durable: %s",
                  site->directory, strerror(errno));
        settle(event, EVENTS_FAILED, 0);
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
    struct site site = {.directory = LIST_ITEM(link, struct disk_event, link)->plan.directory,
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
