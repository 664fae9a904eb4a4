/*
 * Directories that are in trouble.
 *
 * When the disk takes no more, every file would be fetched for nothing. So the directory is paused;
 * when the pause is over one file is let through, and as soon as something of it is written, or
 * anything is placed, all is well. Otherwise the next pause is longer. A directory in which no name
 * can be made may still have others below that are fine: it is paused only if nothing was placed
 * since that happened the last time.
 */
#include "stages/writer_internal.h"

#include "base/clock.h"

#include <string.h>

#define PAUSE_FIRST_MS 1000
#define PAUSE_MOST_MS  30000
#define CALM_MS        60000 /* without trouble: the next pause is a short one again */
#define TRIAL_WAIT_MS  200   /* for the one that was let through */

static void pause_root(struct root *root, const struct error *err)
{
    int64_t now_ms = clock_now_ms(), pause_ms;

    root->trial = NULL;
    root->trouble = *err;
    if (now_ms < root->paused_until_ms)
        return; /* others of the same moment */
    if (now_ms - root->troubled_ms > CALM_MS)
        root->pauses = 0;
    pause_ms = PAUSE_FIRST_MS << (root->pauses < 5 ? root->pauses : 5);
    root->pauses++;
    root->troubled_ms = now_ms;
    root->paused_until_ms = now_ms + (pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS);
}

static void clear_trouble(struct root *root)
{
    if (!root->trouble.kind)
        return;
    root->trouble = (struct error){0};
    root->paused_until_ms = 0;
    root->trial = NULL;
}

static bool is_everybodys(struct writer_file *file)
{
    bool placed = file->root->placed;

    if (file->disk.trouble != DISK_DENIED)
        return file->disk.trouble == DISK_PLACE;
    file->root->placed = false;
    return !placed;
}

void writer_note_begin(struct writer_file *file)
{
    if (file->root->trouble.kind && !file->root->trial)
        file->root->trial = file;
}

void writer_note_written(struct writer_file *file)
{
    if (file->disk.err.kind && file->disk.trouble == DISK_PLACE && !file->troubled) {
        file->troubled = true;
        pause_root(file->root, &file->disk.err);
    } else if (!file->disk.err.kind && file->root->trial == file) {
        clear_trouble(file->root);
    }
}

void writer_note_result(struct writer_file *file)
{
    struct disk_file *disk = &file->disk;

    writer_note_end(file);
    if (disk->outcome == WRITER_FAILED && disk->err.kind && is_everybodys(file)) {
        disk->outcome = WRITER_NO_ROOM;
        if (!file->troubled)
            pause_root(file->root, &disk->err);
    } else if (disk->outcome == WRITER_PLACED) {
        file->root->placed = true;
        if (clock_now_ms() >= file->root->paused_until_ms)
            clear_trouble(file->root);
    }
}

void writer_note_end(struct writer_file *file)
{
    if (file->root->trial == file)
        file->root->trial = NULL;
}

int64_t writer_pause_ms(const struct writer *writer, const char *directory)
{
    const struct list *roots = &writer->roots;

    for (struct list_link *link = list_first(roots); link; link = list_next(roots, link)) {
        const struct root *root = LIST_ITEM(link, struct root, link);
        int64_t left_ms = root->paused_until_ms - clock_now_ms();

        if (!root->trouble.kind || strcmp(root->disk.name, directory) != 0)
            continue;
        return left_ms > 0 ? left_ms : root->trial ? TRIAL_WAIT_MS : 0;
    }
    return 0;
}

const char *writer_trouble(const struct writer *writer)
{
    const struct list *roots = &writer->roots;

    for (struct list_link *link = list_first(roots); link; link = list_next(roots, link)) {
        const struct root *root = LIST_ITEM(link, struct root, link);

        if (root->trouble.kind)
            return root->trouble.text;
    }
    return NULL;
}

int64_t writer_free_bytes(const struct writer *writer)
{
    const struct list *roots = &writer->roots;
    int64_t least = -1;

    for (struct list_link *link = list_first(roots); link; link = list_next(roots, link)) {
        int64_t bytes = LIST_ITEM(link, struct root, link)->disk.free_bytes;

        if (bytes >= 0 && (least < 0 || bytes < least))
            least = bytes;
    }
    return least;
}
