/*
 * Files on their way to the disk: what is kept in memory, what goes to the pool, and in which
 * groups.
 *
 * A file collects bytes in a buffer. When the buffer is full it goes to the pool as it is and the
 * next one fills up meanwhile; a third is not begun, the caller is asked to wait. Small files
 * never get that far: they are written whole, as part of their group.
 *
 * Each directory has one group under way at a time, so a disk that does not answer holds up only
 * itself, and groups grow by themselves when the disk is slow. With durability "group" one flush
 * serves twice: it makes the data of this group safe before they are renamed, and with them the
 * renames of the group before, which is reported only then.
 */
#include "stages/writer.h"

#include "base/clock.h"
#include "stages/writer_disk.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE       65536
#define GROUP_MAX        128 /* each holds up to three descriptors until it is renamed */
#define GROUP_FLUSH_MIN  4   /* from here on one flush of the file system is cheaper than fsyncs */
#define FLUSH_SLOW_MS    500 /* somebody else writes a lot to it: then fsyncs are cheaper ... */
#define FLUSH_PAUSE_MS   10000 /* ... for a while */
#define INFLIGHT_DEFAULT ".tmp"
#define NAME_LENGTH_MAX  255

struct writer_file {
    struct disk_file disk;
    struct list_link link; /* in writer->open, root->queue, root->renamed or writer->results */
    struct list_link drained_link;
    struct writer *writer;
    struct root *root;
    void *ticket;
    char *buffer; /* being filled */
    size_t used, capacity;
    bool busy; /* its chunk is in the pool */
    bool finished, cancelled, wants_room;
};

struct root {
    struct list_link link;
    struct disk_root disk;
    struct writer *writer;
    struct list queue;   /* finished files, for the next group */
    struct list group;   /* the files that the pool works on */
    struct list renamed; /* placed, but not known to be durable */
    size_t group_size;
    bool working;
    bool flush;             /* this group is flushed as a whole */
    bool synced;            /* and that worked; else see err */
    int64_t flush_after_ms; /* no flushes before, steady clock */
    struct error err;
};

struct writer {
    struct loop *loop;
    enum writer_durability durability;
    char *inflight;
    EVP_MD *md5, *sha512;
    struct list roots, open, results, drained;
    int works; /* pieces of work in the pool */
};

static bool inflight_is_known(const char *pattern)
{
    size_t length = strlen(pattern);
    const char *slash = strchr(pattern, '/');

    if (strstr(pattern, "..") || length > 64)
        return false;
    return slash ? slash > pattern && pattern[length - 1] == '/' : pattern[0] == '.';
}

struct writer *writer_open(struct loop *loop, const struct writer_settings *settings,
                           struct error *err)
{
    struct writer *writer;

    if (settings->inflight && !inflight_is_known(settings->inflight)) {
        error_set(err, ERROR_OPERATOR,
                  "inflight '%s': say a suffix like '.tmp', '.' for a hidden name, or a directory "
                  "below the file's like 'tmp/'",
                  settings->inflight);
        return NULL;
    }
    writer = memory_new(sizeof(*writer));
    writer->loop = loop;
    writer->durability = settings->durability;
    writer->inflight = memory_copy(settings->inflight ? settings->inflight : INFLIGHT_DEFAULT);
    writer->md5 = EVP_MD_fetch(NULL, "MD5", NULL); /* NULL under FIPS: then it is not checked */
    writer->sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
    list_init(&writer->roots);
    list_init(&writer->open);
    list_init(&writer->results);
    list_init(&writer->drained);
    return writer;
}

static void file_free(struct writer_file *file)
{
    list_remove(&file->link);
    list_remove(&file->drained_link);
    disk_file_clear(&file->disk);
    free(file->buffer);
    free(file);
}

static void files_free(struct list *files)
{
    struct list_link *link;

    while ((link = list_first(files)))
        file_free(LIST_ITEM(link, struct writer_file, link));
}

void writer_close(struct writer *writer)
{
    struct list_link *link;

    if (!writer)
        return;
    while ((link = list_take_first(&writer->open)))
        writer_cancel(LIST_ITEM(link, struct writer_file, link));
    while (writer->works)
        loop_wait(writer->loop);
    files_free(&writer->results);
    while ((link = list_take_first(&writer->roots))) {
        struct root *root = LIST_ITEM(link, struct root, link);

        files_free(&root->queue);
        files_free(&root->renamed);
        disk_root_clear(&root->disk);
        free(root);
    }
    EVP_MD_free(writer->md5);
    EVP_MD_free(writer->sha512);
    free(writer->inflight);
    free(writer);
}

/* Directories are named by the configuration, so there are few of them. */
static struct root *root_get(struct writer *writer, const char *directory)
{
    struct root *root;

    for (struct list_link *link = list_first(&writer->roots); link;
         link = list_next(&writer->roots, link)) {
        root = LIST_ITEM(link, struct root, link);
        if (strcmp(root->disk.name, directory) == 0)
            return root;
    }
    root = memory_new(sizeof(*root));
    root->writer = writer;
    disk_root_init(&root->disk, directory);
    list_init(&root->queue);
    list_init(&root->group);
    list_init(&root->renamed);
    list_append(&writer->roots, &root->link);
    return root;
}

/* ---- names ---- */

/* A few hex digits that differ for another path or another version of the file (FNV-1a). */
static uint32_t version_hash(const struct writer_plan *plan)
{
    char version[64];
    const char *parts[] = {plan->path, plan->identity_value ? plan->identity_value : version};
    uint64_t hash = 0xcbf29ce484222325u;

    snprintf(version, sizeof(version), "%" PRId64 ",%" PRId64, plan->size_bytes, plan->mtime_ns);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (const char *at = parts[i];; at++) {
            hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
            if (!*at)
                break;
        }
    return (uint32_t)(hash ^ hash >> 32);
}

static char *join(const char *directory, const char *name)
{
    return *directory ? memory_format("%s/%s", directory, name) : memory_copy(name);
}

/* The hash stands before a suffix, so that patterns which ignore inflight files still match. */
static void name_inflight(struct disk_file *disk, const char *pattern, uint32_t hash)
{
    size_t length = strlen(pattern);
    bool hidden = strcmp(pattern, ".") == 0;
    bool below = pattern[length - 1] == '/';
    const char *suffix = hidden || below ? "" : pattern;
    int room = NAME_LENGTH_MAX - (int)strlen(suffix) - 9 - hidden;

    disk->inflight_name =
        memory_format("%s%.*s.%08x%s", hidden ? "." : "", room, disk->name, hash, suffix);
    if (!below) {
        disk->inflight_directory = memory_copy(disk->directory);
        return;
    }
    disk->inflight_directory = join(disk->directory, pattern);
    disk->inflight_directory[strlen(disk->inflight_directory) - 1] = '\0';
}

static void name_file(struct disk_file *disk, const struct writer_plan *plan, const char *inflight)
{
    const char *slash = strrchr(plan->path, '/');

    disk->directory = memory_copy_bytes(plan->path, slash ? (size_t)(slash - plan->path) : 0);
    disk->name = memory_copy(slash ? slash + 1 : plan->path);
    name_inflight(disk, inflight, version_hash(plan));
}

char *writer_print_inflight(const char *inflight, const struct writer_plan *plan)
{
    struct disk_file disk = {.fd = -1, .directory_fd = -1, .inflight_fd = -1};
    const char *root = strcmp(plan->directory, "/") == 0 ? "" : plan->directory;
    char *below, *path;

    name_file(&disk, plan, inflight ? inflight : INFLIGHT_DEFAULT);
    below = join(disk.inflight_directory, disk.inflight_name);
    path = memory_format("%s/%s", root, below);
    free(below);
    disk_file_clear(&disk);
    return path;
}

static void plan_digest(struct writer *writer, struct disk_file *disk,
                        const struct writer_plan *plan)
{
    if (!plan->identity_method || !plan->identity_value)
        return;
    if (strcmp(plan->identity_method, "md5") == 0)
        disk->digest = writer->md5;
    else if (strcmp(plan->identity_method, "sha512") == 0)
        disk->digest = writer->sha512;
    if (disk->digest)
        disk->announced_digest = memory_copy(plan->identity_value);
}

struct writer_file *writer_begin(struct writer *writer, const struct writer_plan *plan,
                                 void *ticket)
{
    struct writer_file *file = memory_new(sizeof(*file));
    struct disk_file *disk = &file->disk;

    file->writer = writer;
    file->ticket = ticket;
    list_append(&writer->open, &file->link);
    file->root = root_get(writer, plan->directory);
    disk->root = &file->root->disk;
    disk->announced_size_bytes = plan->size_bytes;
    disk->mode = plan->mode;
    disk->mtime_ns = plan->mtime_ns;
    disk->atime_ns = plan->atime_ns;
    disk->fd = disk->directory_fd = disk->inflight_fd = -1;
    name_file(disk, plan, writer->inflight);
    plan_digest(writer, disk, plan);
    return file;
}

/* ---- bytes ---- */

static void work_begin(struct writer *writer, loop_work_callback *work, loop_work_callback *done,
                       void *context)
{
    writer->works++;
    loop_work(writer->loop, work, done, context);
}

static void discard_work(void *context)
{
    struct writer_file *file = context;

    disk_discard(&file->disk);
}

static void discard_done(void *context)
{
    struct writer_file *file = context;

    file->writer->works--;
    file_free(file);
}

static void file_discard(struct writer_file *file)
{
    work_begin(file->writer, discard_work, discard_done, file);
}

static void chunk_work(void *context)
{
    struct writer_file *file = context;

    disk_write(&file->disk);
}

static void chunk_done(void *context)
{
    struct writer_file *file = context;

    file->writer->works--;
    file->busy = false;
    if (file->cancelled)
        file_discard(file);
    else if (file->finished)
        list_append(&file->root->queue, &file->link);
    else if (file->wants_room)
        list_append(&file->writer->drained, &file->drained_link);
    file->wants_room = false;
}

/* Hands the full buffer over; the one that was written before is filled next. */
static void file_swap_buffers(struct writer_file *file)
{
    char *empty = file->disk.bytes;

    file->disk.bytes = file->buffer;
    file->disk.length = file->used;
    file->buffer = empty;
    file->capacity = empty ? CHUNK_SIZE : 0;
    file->used = 0;
}

static void file_make_room(struct writer_file *file, size_t length)
{
    size_t wanted = file->used + length;

    if (wanted <= file->capacity)
        return;
    if (wanted <= CHUNK_SIZE && (size_t)file->disk.announced_size_bytes > wanted)
        wanted = file->disk.announced_size_bytes < CHUNK_SIZE
                     ? (size_t)file->disk.announced_size_bytes
                     : CHUNK_SIZE;
    else if (wanted < CHUNK_SIZE)
        wanted = wanted * 2 < CHUNK_SIZE ? wanted * 2 : CHUNK_SIZE;
    file->buffer = memory_resize(file->buffer, wanted, 1);
    file->capacity = wanted;
}

bool writer_append(struct writer_file *file, const char *bytes, size_t length)
{
    if (file->used && file->used + length > CHUNK_SIZE) {
        if (file->busy) {
            file->wants_room = true;
            return false;
        }
        if (file->capacity < CHUNK_SIZE) /* so that both buffers of a large file are alike */
            file_make_room(file, CHUNK_SIZE - file->used);
        file_swap_buffers(file);
        file->busy = true;
        work_begin(file->writer, chunk_work, chunk_done, file);
    }
    file_make_room(file, length);
    memcpy(file->buffer + file->used, bytes, length);
    file->used += length;
    return true;
}

void writer_finish(struct writer_file *file, const char *accept, const _Atomic int64_t *until_ms)
{
    file->finished = true;
    file->disk.until_ms = until_ms;
    list_remove(&file->link);
    file->disk.accept = memory_copy(accept);
    if (!file->busy)
        list_append(&file->root->queue, &file->link);
}

void writer_cancel(struct writer_file *file)
{
    assert(!file->finished);
    list_remove(&file->link);
    list_remove(&file->drained_link);
    file->cancelled = true;
    if (file->busy)
        return;
    if (file->disk.fd >= 0)
        file_discard(file);
    else
        file_free(file);
}

void writer_discard(struct writer *writer, const struct writer_plan *plan)
{
    struct writer_file *file = writer_begin(writer, plan, NULL);

    list_remove(&file->link);
    file_discard(file);
}

/* ---- groups ---- */

static void group_flush(struct root *root)
{
    int64_t began_ms = clock_now_ms();

    root->synced = disk_sync(&root->disk, &root->err);
    if (clock_now_ms() - began_ms > FLUSH_SLOW_MS)
        root->flush_after_ms = clock_now_ms() + FLUSH_PAUSE_MS;
}

static void group_complete(struct root *root)
{
    enum writer_durability durability = root->writer->durability;
    bool each = durability == WRITER_DURABILITY_EACH
                || (durability == WRITER_DURABILITY_GROUP && !root->flush);

    for (struct list_link *link = list_first(&root->group); link;
         link = list_next(&root->group, link))
        disk_complete(&LIST_ITEM(link, struct writer_file, link)->disk, each);
    if (root->flush)
        group_flush(root);
}

static void group_rename(struct root *root)
{
    bool sync = root->writer->durability != WRITER_DURABILITY_NONE && !root->flush;

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
    }
}

static void group_work(void *context)
{
    struct root *root = context;

    root->synced = true;
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
        }
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

        list_append(wait ? &root->renamed : &root->writer->results, &file->link);
    }
    root->group_size = 0;
}

/* Files that were renamed, but not made durable one by one, need a flush in any case. */
static bool root_wants_flush(const struct root *root)
{
    if (root->writer->durability != WRITER_DURABILITY_GROUP)
        return false;
    return !list_is_empty(&root->renamed)
           || (root->group_size >= GROUP_FLUSH_MIN && clock_now_ms() >= root->flush_after_ms);
}

static void root_begin_group(struct root *root)
{
    struct list_link *link;

    while (root->group_size < GROUP_MAX && (link = list_take_first(&root->queue))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, link);

        file_swap_buffers(file);
        list_append(&root->group, link);
        root->group_size++;
    }
    root->flush = root_wants_flush(root);
    root->working = true;
    work_begin(root->writer, group_work, group_done, root);
}

void writer_step(struct writer *writer)
{
    for (struct list_link *link = list_first(&writer->roots); link;
         link = list_next(&writer->roots, link)) {
        struct root *root = LIST_ITEM(link, struct root, link);

        if (!root->working && (!list_is_empty(&root->queue) || !list_is_empty(&root->renamed)))
            root_begin_group(root);
    }
}

bool writer_take_drained(struct writer *writer, void **ticket)
{
    struct list_link *link = list_take_first(&writer->drained);

    if (!link)
        return false;
    *ticket = LIST_ITEM(link, struct writer_file, drained_link)->ticket;
    return true;
}

bool writer_take_result(struct writer *writer, struct writer_result *result)
{
    struct list_link *link = list_take_first(&writer->results);
    struct writer_file *file;

    if (!link)
        return false;
    file = LIST_ITEM(link, struct writer_file, link);
    result->ticket = file->ticket;
    result->outcome = file->disk.outcome;
    result->err = file->disk.err;
    result->size_bytes = file->disk.size_bytes;
    memcpy(result->fingerprint, file->disk.fingerprint, sizeof(result->fingerprint));
    file_free(file);
    return true;
}
