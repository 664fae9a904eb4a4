/*
 * Renames, of files, links and directories, also from one configured directory to another.
 *
 * Links keep their targets when they move, and directories the links in them; so what moves up, or
 * elsewhere, is looked through first.
 */
#include "base/path.h"
#include "stages/events_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCAN_MOST   100000 /* names that are looked at in a directory */
#define SCAN_LEVELS 64
#define LEADS_OUT   "a link would lead out of the directory: linkOutside"

struct move {
    struct event_site *site;
    struct disk_event *event;
    int from_root;
    struct event_end from, to;
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
        return event_link_leads_inside(scan->root, depth, fd, name);
    if (!S_ISDIR(status.st_mode))
        return true;
    inner = openat(fd, name, EVENT_DIRECTORY_FLAGS | O_NOFOLLOW);
    return inner >= 0 && scan_links(scan, inner, depth + 1, level + 1);
}

/* The next name but the directory's own and its parent's; NULL with errno, 0 at the end. */
static const char *next_name(DIR *directory)
{
    struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(directory);
    } while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    return entry ? entry->d_name : NULL;
}

static bool scan_names(struct scan *scan, DIR *directory, int depth, int level)
{
    const char *name;

    while ((name = next_name(directory))) {
        errno = EXDEV;
        if (level == SCAN_LEVELS || scan->names_left-- == 0
            || !scan_name(scan, dirfd(directory), name, depth, level))
            return false;
    }
    return errno == 0;
}

/*
 * Whether all links below `fd`, which is closed, lead inside at their new depth. False with errno,
 * EXDEV when one does not, or when there is too much to look at.
 */
static bool scan_links(struct scan *scan, int fd, int depth, int level)
{
    DIR *directory = fdopendir(fd);
    bool inside = directory && scan_names(scan, directory, depth, level);
    int reason = errno;

    if (directory)
        closedir(directory);
    else
        close(fd);
    errno = reason;
    return inside;
}

/* Whether links keep their distance from the top of the tree, or get further away from it. */
static bool goes_down(const struct move *move, int depth)
{
    const struct events_plan *plan = &move->event->plan;
    int former_depth = path_depth(move->from_root, move->from.directory);

    return strcmp(plan->directory, plan->other_directory) == 0 && former_depth >= 0
           && depth >= former_depth;
}

/* A link keeps its target where it goes, and a directory the links in it. False with errno. */
static bool stays_inside(const struct move *move)
{
    const struct events_plan *plan = &move->event->plan;
    int depth = path_depth(move->site->root, move->to.directory), fd;
    struct scan scan = {plan->directory, SCAN_MOST};

    if (plan->link_outside)
        return true;
    if (depth < 0)
        return false;
    if (S_ISLNK(move->status.st_mode))
        return event_link_leads_inside(plan->directory, depth, move->from.directory,
                                       move->from.name);
    if (!S_ISDIR(move->status.st_mode) || goes_down(move, depth))
        return true;
    fd = openat(move->from.directory, move->from.name, EVENT_DIRECTORY_FLAGS | O_NOFOLLOW);
    return fd >= 0 && scan_links(&scan, fd, depth + 1, 0);
}

static bool is_same_name(const struct event_end *a, const struct event_end *b)
{
    struct stat of_a, of_b;

    return strcmp(a->name, b->name) == 0 && fstat(a->directory, &of_a) == 0
           && fstat(b->directory, &of_b) == 0 && event_is_same_file(&of_a, &of_b);
}

/* False with errno. What is in the way goes first where a rename does not replace it. */
static bool move_over(const struct event_end *from, const struct event_end *to)
{
    if (renameat(from->directory, from->name, to->directory, to->name) == 0)
        return true;
    if (errno != EISDIR && errno != ENOTDIR)
        return false;
    return event_remove_end(to)
           && renameat(from->directory, from->name, to->directory, to->name) == 0;
}

static void finish_move(const struct move *move)
{
    if (event_sync(move->site, move->from.directory))
        event_finish(move->site, move->event, &move->to);
    else
        event_fail(move->event);
}

static bool has_otherwise(const struct disk_event *event)
{
    return event->plan.otherwise != EVENTS_NOTHING || !event->plan.refuse_code;
}

/* The old name goes, and the new one is made anew. */
static void replace_old(const struct move *move)
{
    if (!has_otherwise(move->event) || event_remove_end(&move->from))
        event_do_otherwise(move->site, move->event);
    else
        event_fail(move->event);
}

/* Two names of one file already, which a rename would leave as they are. */
static bool is_one_file(const struct move *move)
{
    struct stat there;

    return S_ISREG(move->status.st_mode) && event_look(&move->to, &there)
           && event_is_same_file(&there, &move->status);
}

static void move_to_end(struct move *move)
{
    if (is_same_name(&move->from, &move->to))
        finish_move(move);
    else if (is_one_file(move))
        event_remove_end(&move->from) ? finish_move(move) : event_fail(move->event);
    else if (!stays_inside(move))
        errno == EXDEV ? event_refuse(move->event, EVENT_CODE_REFUSED, LEADS_OUT)
                       : event_fail(move->event);
    else if (move_over(&move->from, &move->to))
        finish_move(move);
    else if (errno == EXDEV)
        replace_old(move);
    else if (errno == ENOENT)
        event_do_otherwise(move->site, move->event);
    else
        event_fail(move->event);
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
    move->from_root = openat(AT_FDCWD, plan->other_directory, EVENT_DIRECTORY_FLAGS);
    return move->from_root >= 0
           && event_open_end(&move->from, move->from_root, plan->other_path, path_open_below)
           && event_look(&move->from, &move->status);
}

void event_make_rename(struct event_site *site, struct disk_event *event)
{
    struct move move = {site, event, -1, {-1, ""}, {-1, ""}, {0}};

    if (!open_former(&move))
        event_is_missing(errno) ? event_do_otherwise(site, event) : event_fail(event);
    else if (is_out_of_date(&move))
        replace_old(&move);
    else if (event_open_place(site, event, &move.to))
        move_to_end(&move);
    event_close_end(&move.to);
    event_close_end(&move.from);
    if (move.from_root >= 0)
        close(move.from_root);
}
