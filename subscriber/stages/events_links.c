/*
 * Symbolic and hard links.
 *
 * What takes the place of something is made under a temporary name and renamed; that name follows
 * from what is made, so a crash leaves nothing behind for good.
 *
 * That a link stays inside is more than a matter of text: the directory it is in may have been
 * reached by another link and be higher up than its name says, and a ".." behind a name depends on
 * where that name leads. So levels are counted on the disk, and ".." is good at the beginning only.
 */
#include "base/path.h"
#include "stages/events_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 255
#define TARGET_MAX     4096

/* ---- symbolic links ---- */

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
    if (!target)
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

bool event_link_leads_inside(const char *root, int depth, int directory, const char *name)
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
static void name_temporary(const struct event_end *end, const char *what,
                           char name[NAME_MAX_BYTES + 1])
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
static bool move_into_place(const struct event_end *end, const char *temporary)
{
    bool moved = renameat(end->directory, temporary, end->directory, end->name) == 0;
    int reason = errno;

    unlinkat(end->directory, temporary, 0);
    errno = reason;
    return moved;
}

static bool is_same_link(const struct event_end *end, const char *target)
{
    char there[TARGET_MAX];
    ssize_t length = readlinkat(end->directory, end->name, there, sizeof(there));

    return length >= 0 && (size_t)length == strlen(target)
           && memcmp(there, target, (size_t)length) == 0;
}

static bool replace_by_link(const struct event_end *end, const char *target)
{
    char temporary[NAME_MAX_BYTES + 1];

    name_temporary(end, target, temporary);
    if (unlinkat(end->directory, temporary, 0) != 0 && errno != ENOENT)
        return false;
    return symlinkat(target, end->directory, temporary) == 0 && move_into_place(end, temporary);
}

void event_make_link(struct event_site *site, struct disk_event *event)
{
    const struct events_plan *plan = &event->plan;
    struct event_end end;
    int depth;

    if (!event_open_place(site, event, &end))
        return;
    depth = path_depth(site->root, end.directory);
    if (depth < 0)
        event_fail(event);
    else if (!plan->link_outside && !leads_inside(plan->directory, depth, plan->target))
        event_refuse(event, EVENT_CODE_REFUSED,
                     "its target is outside of the directory: linkOutside");
    else if (symlinkat(plan->target, end.directory, end.name) == 0
             || (errno == EEXIST
                 && (is_same_link(&end, plan->target) || replace_by_link(&end, plan->target))))
        event_finish(site, event, &end);
    else
        event_fail(event);
    event_close_end(&end);
}

/* ---- hard links ---- */

/* The file to link to, to which no link must lead; false: the event is settled. */
static bool open_source(struct event_site *site, struct disk_event *event, struct event_end *source,
                        struct stat *status)
{
    const struct events_plan *plan = &event->plan;
    bool open;

    source->directory = -1;
    if (!plan->other_path || strcmp(plan->other_directory, plan->directory) != 0) {
        event_do_otherwise(site, event);
        return false;
    }
    open = event_open_root(site)
           && event_open_end(source, site->root, plan->other_path, path_open_plain)
           && event_look(source, status);
    if (!open && event_is_missing(errno))
        event_do_otherwise(site, event);
    else if (!open)
        event_fail(event);
    else if (!S_ISREG(status->st_mode))
        event_refuse(event, EVENT_CODE_REFUSED,
                     "what it is to be a hard link to is no regular file");
    else
        return true;
    return false;
}

/* Looked at once more under its temporary name: it may have been exchanged just now. */
static bool link_file(const struct event_end *source, const struct event_end *end,
                      const char *temporary)
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

static void link_source(struct event_site *site, struct disk_event *event,
                        const struct event_end *source, const struct stat *status)
{
    char temporary[NAME_MAX_BYTES + 1];
    struct stat there;
    struct event_end end;

    if (!event_open_place(site, event, &end))
        return;
    name_temporary(&end, event->plan.other_path, temporary);
    if (event_look(&end, &there) && event_is_same_file(&there, status))
        event_finish(site, event, &end);
    else if (!link_file(source, &end, temporary))
        cannot_be_linked(errno) ? event_do_otherwise(site, event) : event_fail(event);
    else if (move_into_place(&end, temporary))
        event_finish(site, event, &end);
    else
        event_fail(event);
    event_close_end(&end);
}

void event_make_hard_link(struct event_site *site, struct disk_event *event)
{
    struct stat status;
    struct event_end source;

    if (open_source(site, event, &source, &status))
        link_source(site, event, &source, &status);
    event_close_end(&source);
}
