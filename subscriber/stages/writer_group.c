/*
 * Finished files, placed in groups.
 *
 * Each directory has one group under way at a time, so a disk that does not answer holds up only
 * itself, and groups grow by themselves when the disk is slow. With durability "group" one flush
 * serves twice: it makes the data of this group safe before they are renamed, and with them the
 * renames of the group before, which is reported only then.
 */
#include "stages/writer_internal.h"

#include "base/clock.h"

#include <string.h>

#define GROUP_MAX       128   /* each holds up to three descriptors until it is renamed */
#define GROUP_FLUSH_MIN 4     /* from here on one flush of the file system is cheaper than fsyncs */
#define LENDERS         8     /* files whose directories are used for others of the group */
#define FLUSH_SLOW_MS   500   /* somebody else writes a lot to it: then fsyncs are cheaper ... */
#define FLUSH_PAUSE_MS  10000 /* ... for a while */

static void group_flush(struct root *root)
{
    int64_t began_ms = clock_now_ms();

    root->synced = disk_sync(&root->disk, &root->err);
    if (clock_now_ms() - began_ms > FLUSH_SLOW_MS)
        root->flush_after_ms = clock_now_ms() + FLUSH_PAUSE_MS;
}

static void group_complete(struct root *root)
{
    enum writer_durability durability = root->writer->settings.durability;
    bool each = durability == WRITER_DURABILITY_EACH
                || (durability == WRITER_DURABILITY_GROUP && !root->flush);
    struct disk_file *lenders[LENDERS]; /* nothing of the group is closed before its end */
    size_t lent = 0;

    for (struct list_link *link = list_first(&root->group); link;
         link = list_next(&root->group, link)) {
        struct disk_file *disk = &LIST_ITEM(link, struct writer_file, link)->disk;

        for (size_t i = 0; i < LENDERS && i < lent; i++)
            disk_borrow_directories(disk, lenders[i]);
        disk_complete(disk, each);
        if (!disk->borrowed)
            lenders[lent++ % LENDERS] = disk;
    }
    if (root->flush)
        group_flush(root);
}

static void group_rename(struct root *root)
{
    bool sync = root->writer->settings.durability != WRITER_DURABILITY_NONE && !root->flush;

    for (struct list_link *link = list_first(&root->group); link;
         link = list_next(&root->group, link)) {
        struct disk_file *disk = &LIST_ITEM(link, struct writer_file, link)->disk;

        if (disk->outcome == WRITER_PLACED)
            disk_rename(disk, sync);
    }
}

static void group_fail(struct root *root)
{
    for (struct list_link *link = list_first(&root->group); link;
         link = list_next(&root->group, link)) {
        struct disk_file *disk = &LIST_ITEM(link, struct writer_file, link)->disk;

        if (disk->outcome != WRITER_PLACED)
            continue;
        disk_discard(disk);
        disk->outcome = WRITER_FAILED;
        disk->err = root->err;
        disk->trouble = DISK_PLACE;
    }
}

static void group_work(void *context)
{
    struct root *root = context;

    root->synced = true;
    disk_root_check(&root->disk);
    group_complete(root);
    if (root->synced)
        group_rename(root);
    else
        group_fail(root);
    for (struct list_link *link = list_first(&root->group); link;
         link = list_next(&root->group, link)) /* closing is disk work too */
        disk_close(&LIST_ITEM(link, struct writer_file, link)->disk);
}

/* What was renamed before this group's flush is durable now, or will never be known to be. */
static void root_report_renamed(struct root *root)
{
    struct list_link *link;

    while ((link = list_take_first(&root->renamed))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, link);

        if (!root->synced) {
            file->disk.outcome = WRITER_FAILED;
            file->disk.err = root->err;
            file->disk.trouble = DISK_PLACE;
        }
        writer_note_result(file);
        list_append(&root->writer->results, &file->link);
    }
}

static void group_done(void *context)
{
    struct root *root = context;
    struct list_link *link;

    root->writer->works--;
    root->working = false;
    root_report_renamed(root);
    while ((link = list_take_first(&root->group))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, link);
        bool wait = root->flush && file->disk.outcome == WRITER_PLACED;

        if (!wait)
            writer_note_result(file);
        if (file->disk.outcome == WRITER_KEPT)
            writer_note_kept(root);
        list_append(wait ? &root->renamed : &root->writer->results, &file->link);
    }
    root->group_size = 0;
}

/* Files that were renamed, but not made durable one by one, need a flush in any case. */
static bool root_wants_flush(const struct root *root)
{
    if (root->writer->settings.durability != WRITER_DURABILITY_GROUP)
        return false;
    return !list_is_empty(&root->renamed)
           || (root->group_size >= GROUP_FLUSH_MIN && clock_now_ms() >= root->flush_after_ms);
}

static void root_begin_group(struct root *root)
{
    struct list_link *link;

    while (root->group_size < GROUP_MAX && (link = list_take_first(&root->queue))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, link);

        writer_swap_buffers(file);
        list_append(&root->group, link);
        root->group_size++;
    }
    root->flush = root_wants_flush(root);
    root->working = true;
    writer_begin_work(root->writer, group_work, group_done, root);
}

void writer_place_groups(struct writer *writer)
{
    for (struct list_link *link = list_first(&writer->roots); link;
         link = list_next(&writer->roots, link)) {
        struct root *root = LIST_ITEM(link, struct root, link);

        if (!root->working && (!list_is_empty(&root->queue) || !list_is_empty(&root->renamed)))
            root_begin_group(root);
    }
}
