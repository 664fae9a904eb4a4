/*
 * Files on their way to the disk: what is kept in memory, and what goes to the pool when.
 *
 * A file collects bytes in a buffer. When the buffer is full it goes to the pool as it is and the
 * next one fills up meanwhile; a third is not begun, the caller is asked to wait. Small files
 * never get that far: they are written whole, as part of their group.
 *
 * What has to be read again for a checksum, of a file that is there or of a part that was kept, is
 * read in pieces, and few files at once: the pool has other things to do.
 */
#include "stages/writer_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE   65536
#define LARGE_CHUNK  262144 /* for files that need many, as long as they are few */
#define LARGE_MAX    4
#define PROBE_PIECE  262144  /* read while others wait for the same answer */
#define UNREAD_PIECE 8388608 /* read at a time, some ten milliseconds */
#define READERS_MAX  2
#define LOOK_FIRST   200 /* files, after one that was there */

struct writer *writer_open(struct loop *loop, const struct writer_settings *settings,
                           struct error *err)
{
    struct writer *writer;

    if (settings->inflight && !writer_name_allows(settings->inflight)) {
        error_set(err, ERROR_OPERATOR,
                  "inflight '%s': say a suffix like '.tmp', '.' for a hidden name, a directory "
                  "below the file's like 'tmp/', or one of its own like '/data/tmp/'",
                  settings->inflight);
        return NULL;
    }
    writer = memory_new(sizeof(*writer));
    writer->loop = loop;
    writer->settings = *settings;
    writer->inflight = memory_copy(settings->inflight);
    writer->settings.inflight = writer->inflight;
    if (writer_name_is_absolute(writer->inflight)) {
        writer->inflight_root = memory_new(sizeof(*writer->inflight_root));
        disk_root_init(writer->inflight_root, writer->inflight,
                       settings->directory_mode ? (unsigned)settings->directory_mode : 0775);
    }
    writer->md5 = EVP_MD_fetch(NULL, "MD5", NULL); /* NULL under FIPS: then it is not checked */
    writer->sha512 = EVP_MD_fetch(NULL, "SHA512", NULL);
    list_init(&writer->roots);
    list_init(&writer->open);
    list_init(&writer->leaving);
    list_init(&writer->results);
    list_init(&writer->drained);
    list_init(&writer->probed);
    list_init(&writer->unread);
    return writer;
}

void writer_free_file(struct writer_file *file)
{
    writer_note_end(file);
    list_remove(&file->link);
    list_remove(&file->step);
    if (file->chunk == LARGE_CHUNK)
        file->writer->large--;
    disk_file_clear(&file->disk);
    free(file->buffer);
    free(file);
}

static void files_free(struct list *files)
{
    struct list_link *link;

    while ((link = list_first(files)))
        writer_free_file(LIST_ITEM(link, struct writer_file, link));
}

static void close_roots(struct writer *writer)
{
    struct list_link *link;

    while ((link = list_take_first(&writer->roots))) {
        struct root *root = LIST_ITEM(link, struct root, link);

        files_free(&root->queue);
        files_free(&root->renamed);
        disk_root_clear(&root->disk);
        free(root);
    }
    if (writer->inflight_root)
        disk_root_clear(writer->inflight_root);
    free(writer->inflight_root);
}

void writer_close(struct writer *writer)
{
    struct list_link *link;

    if (!writer)
        return;
    writer->closing = true;
    while ((link = list_take_first(&writer->open)))
        writer_suspend(LIST_ITEM(link, struct writer_file, link));
    while ((link = list_take_first(&writer->unread)))
        writer_free_file(LIST_ITEM(link, struct writer_file, step));
    while (writer->works)
        loop_wait(writer->loop);
    files_free(&writer->results);
    close_roots(writer);
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
    disk_root_init(&root->disk, directory, 0775);
    root->look_first = LOOK_FIRST;
    list_init(&root->asked);
    list_init(&root->probing);
    list_init(&root->queue);
    list_init(&root->group);
    list_init(&root->renamed);
    list_append(&writer->roots, &root->link);
    return root;
}

/* ---- beginning ---- */

/* "cod" names the checksum that is to be computed; what others mean is not known here. */
static void plan_digest(struct writer *writer, struct disk_file *disk)
{
    const char *method = disk->method;

    if (!method || !disk->value)
        return;
    disk->compared = strcmp(method, "cod") != 0;
    if (!disk->compared)
        method = disk->value;
    if (strcmp(method, "md5") == 0)
        disk->digest = writer->md5;
    else if (strcmp(method, "sha512") == 0)
        disk->digest = writer->sha512;
    else
        disk->compared = false;
    disk->digest_method = method;
}

static char *keep_text(struct disk_file *disk, const char *text)
{
    return text ? arena_copy(&disk->name.texts, text, strlen(text)) : NULL;
}

static struct writer_file *new_file(struct writer *writer, const struct writer_plan *plan,
                                    void *ticket)
{
    struct writer_file *file = memory_new(sizeof(*file));
    struct disk_file *disk = &file->disk;

    file->writer = writer;
    file->ticket = ticket;
    list_append(&writer->open, &file->link);
    file->root = root_get(writer, plan->directory);
    disk_file_init(disk);
    disk->settings = &writer->settings;
    disk->root = &file->root->disk;
    disk->inflight_root = writer->inflight_root;
    writer_name_init(&disk->name, writer->inflight, plan);
    disk->method = keep_text(disk, plan->identity_method);
    disk->value = keep_text(disk, plan->identity_value);
    disk->announced_size_bytes = plan->size_bytes;
    disk->has_size = plan->has_size;
    disk->announced_mtime_ns = plan->announced_mtime_ns;
    disk->keep_existing = plan->keep_existing;
    disk->mode = plan->mode;
    disk->mtime_ns = plan->mtime_ns;
    disk->atime_ns = plan->atime_ns;
    plan_digest(writer, disk);
    return file;
}

struct writer_file *writer_begin(struct writer *writer, const struct writer_plan *plan,
                                 void *ticket)
{
    struct writer_file *file = new_file(writer, plan, ticket);

    writer_note_begin(file);
    return file;
}

void writer_begin_work(struct writer *writer, loop_work_callback *work, loop_work_callback *done,
                       void *context)
{
    writer->works++;
    loop_work(writer->loop, work, done, context);
}

/* ---- giving up ---- */

static void discard_work(void *context)
{
    struct writer_file *file = context;

    if (file->suspended)
        disk_suspend(&file->disk);
    else
        disk_discard(&file->disk);
}

static void discard_done(void *context)
{
    struct writer_file *file = context;

    file->writer->works--;
    writer_free_file(file);
}

static void file_discard(struct writer_file *file)
{
    if (file->suspended)
        writer_swap_buffers(file);
    writer_begin_work(file->writer, discard_work, discard_done, file);
}

static void file_give_up(struct writer_file *file)
{
    list_remove(&file->step);
    if (file->disk.fd >= 0)
        file_discard(file);
    else
        writer_free_file(file);
}

void writer_suspend(struct writer_file *file)
{
    file->suspended = true;
    writer_cancel(file);
}

void writer_cancel(struct writer_file *file)
{
    assert(!file->finished);
    list_remove(&file->link);
    list_append(&file->writer->leaving, &file->link);
    file->cancelled = true;
    if (!file->busy) /* else it is in a list of the pool, or in none */
        file_give_up(file);
}

void writer_discard(struct writer *writer, const struct writer_plan *plan)
{
    struct writer_file *file = new_file(writer, plan, NULL);

    list_remove(&file->link);
    list_append(&writer->leaving, &file->link);
    file_discard(file);
}

/* ---- reading again ---- */

static void begin_reading(struct writer *writer);

/* Its bytes are all hashed, or there is nothing to hash. */
static void file_enqueue(struct writer_file *file)
{
    if (!disk_is_behind(&file->disk)) {
        list_append(&file->root->queue, &file->link);
        return;
    }
    list_append(&file->writer->unread, &file->step);
    begin_reading(file->writer);
}

static void file_answer(struct writer_file *file)
{
    if (file->disk.advice == WRITER_REFUSED)
        writer_note_result(file);
    else if (file->disk.advice == WRITER_FETCH && file->root->look_first > 0)
        file->root->look_first--;
    if (file->disk.advice == WRITER_KEEP) {
        writer_note_end(file);
        writer_note_kept(file->root);
    }
    list_append(&file->writer->probed, &file->step);
}

static void unread_work(void *context)
{
    struct writer_file *file = context;

    if (file->asking)
        disk_compare(&file->disk, UNREAD_PIECE);
    else
        disk_hash_behind(&file->disk, UNREAD_PIECE);
}

static void unread_done(void *context)
{
    struct writer_file *file = context;
    struct writer *writer = file->writer;

    writer->works--;
    writer->reading--;
    file->busy = false;
    if (file->cancelled)
        file_give_up(file);
    else if (writer->closing)
        writer_free_file(file);
    else if (file->asking && file->disk.existing_fd < 0)
        file_answer(file);
    else if (file->asking)
        list_append(&writer->unread, &file->step);
    else
        file_enqueue(file);
    begin_reading(writer);
}

static void begin_reading(struct writer *writer)
{
    struct list_link *link;

    while (writer->reading < READERS_MAX && (link = list_take_first(&writer->unread))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, step);

        file->busy = true;
        writer->reading++;
        writer_begin_work(writer, unread_work, unread_done, file);
    }
}

/* ---- probing ---- */

void writer_note_kept(struct root *root)
{
    root->look_first = LOOK_FIRST;
}

/* A round through the pool costs more than a small file that is fetched for nothing now and then;
 * looking for it when its directory is open anyway costs next to nothing. */
static bool may_look_late(const struct writer_file *file)
{
    return file->disk.has_size && file->disk.announced_size_bytes < CHUNK_SIZE
           && !file->root->look_first;
}

void writer_probe(struct writer_file *file)
{
    assert(!file->asking && !file->used);
    file->asking = true;
    file->disk.look_late = may_look_late(file);
    list_append(file->disk.look_late ? &file->writer->probed : &file->root->asked, &file->step);
}

void writer_probe_late(struct writer_file *file)
{
    assert(!file->used && file->disk.has_size);
    file->disk.look_late = true;
}

static void probe_work(void *context)
{
    struct root *root = context;
    struct disk_directory directory = {0};

    disk_root_check(&root->disk);
    for (struct list_link *link = list_first(&root->probing); link;
         link = list_next(&root->probing, link)) {
        struct disk_file *disk = &LIST_ITEM(link, struct writer_file, step)->disk;

        disk_probe(disk, &directory);
        if (disk->existing_fd >= 0)
            disk_compare(disk, PROBE_PIECE);
    }
    disk_leave(&directory);
}

static void probe_done(void *context)
{
    struct root *root = context;
    struct list_link *link;

    root->writer->works--;
    root->looking = false;
    while ((link = list_take_first(&root->probing))) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, step);

        file->busy = false;
        if (file->cancelled)
            file_give_up(file);
        else if (file->disk.existing_fd < 0)
            file_answer(file);
        else
            list_append(&root->writer->unread, &file->step);
    }
    begin_reading(root->writer);
}

/* An attempt that was given up just now may still hold the inflight name. */
static bool is_leaving(const struct writer_file *file)
{
    const struct list *leaving = &file->writer->leaving;

    for (struct list_link *link = list_first(leaving); link; link = list_next(leaving, link)) {
        const struct writer_file *other = LIST_ITEM(link, struct writer_file, link);

        if (other->root == file->root && strcmp(other->disk.name.name, file->disk.name.name) == 0
            && strcmp(other->disk.name.directory, file->disk.name.directory) == 0)
            return true;
    }
    return false;
}

static void root_begin_probe(struct root *root)
{
    struct list_link *link, *next;

    for (link = list_first(&root->asked); link; link = next) {
        struct writer_file *file = LIST_ITEM(link, struct writer_file, step);

        next = list_next(&root->asked, link);
        if (is_leaving(file))
            continue; /* asked again when that has left */
        list_remove(link);
        list_append(&root->probing, link);
        file->busy = true;
    }
    if (list_is_empty(&root->probing))
        return;
    root->looking = true;
    writer_begin_work(root->writer, probe_work, probe_done, root);
}

bool writer_take_probed(struct writer *writer, struct writer_probed *probed)
{
    struct list_link *link = list_take_first(&writer->probed);
    struct writer_file *file;
    struct disk_file *disk;

    if (!link)
        return false;
    file = LIST_ITEM(link, struct writer_file, step);
    disk = &file->disk;
    file->asking = false;
    *probed = (struct writer_probed){.ticket = file->ticket,
                                     .advice = disk->advice,
                                     .from_byte = disk->partial_bytes,
                                     .last_modified_s = disk->partial_s,
                                     .code = disk->code,
                                     .reason = disk->reason,
                                     .outcome = disk->outcome,
                                     .err = disk->err};
    if (disk->advice != WRITER_FETCH)
        writer_free_file(file);
    return true;
}

void writer_continue(struct writer_file *file, int64_t from_byte, int64_t last_modified_s)
{
    assert(!file->used && !file->disk.started && !file->busy);
    assert(from_byte == 0 || from_byte == file->disk.partial_bytes);
    file->disk.size_bytes = from_byte;
    file->disk.last_modified_s = last_modified_s;
}

/* ---- bytes ---- */

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
    writer_note_written(file);
    if (file->cancelled)
        file_give_up(file);
    else if (file->finished)
        file_enqueue(file);
    else if (file->wants_room)
        list_append(&file->writer->drained, &file->step);
    file->wants_room = false;
}

void writer_swap_buffers(struct writer_file *file)
{
    char *empty = file->disk.bytes;

    file->disk.bytes = file->buffer;
    file->disk.length = file->used;
    file->buffer = empty;
    file->capacity = empty ? file->chunk : 0;
    file->used = 0;
}

/* The larger its pieces, the less often the loop and the pool have to wait for each other. */
static void choose_chunk(struct writer_file *file)
{
    struct writer *writer = file->writer;
    bool large = file->disk.announced_size_bytes >= DISK_PARTIAL_MIN && writer->large < LARGE_MAX;

    file->chunk = large ? LARGE_CHUNK : CHUNK_SIZE;
    writer->large += large;
}

static void file_make_room(struct writer_file *file, size_t length)
{
    size_t wanted = file->used + length, announced = (size_t)file->disk.announced_size_bytes;

    if (wanted <= file->capacity)
        return;
    if (wanted <= file->chunk && announced > wanted)
        wanted = announced < file->chunk ? announced : file->chunk;
    else if (wanted < file->chunk)
        wanted = wanted * 2 < file->chunk ? wanted * 2 : file->chunk;
    file->buffer = memory_resize(file->buffer, wanted, 1);
    file->capacity = wanted;
}

bool writer_append(struct writer_file *file, const char *bytes, size_t length)
{
    if (!file->chunk)
        choose_chunk(file);
    if (file->used && file->used + length > file->chunk) {
        if (file->busy) {
            file->wants_room = true;
            return false;
        }
        if (file->capacity < file->chunk) /* so that both buffers of a large file are alike */
            file_make_room(file, file->chunk - file->used);
        writer_swap_buffers(file);
        file->busy = true;
        writer_begin_work(file->writer, chunk_work, chunk_done, file);
    }
    file_make_room(file, length);
    memcpy(file->buffer + file->used, bytes, length);
    file->used += length;
    return true;
}

bool writer_has_failed(const struct writer_file *file)
{
    return !file->busy && file->disk.err.kind;
}

void writer_finish(struct writer_file *file, const char *accept, const _Atomic int64_t *until_ms)
{
    file->finished = true;
    file->disk.until_ms = until_ms;
    list_remove(&file->link);
    file->disk.accept = memory_copy(accept);
    if (!file->busy)
        file_enqueue(file);
}

/* ---- steps ---- */

void writer_step(struct writer *writer)
{
    for (struct list_link *link = list_first(&writer->roots); link;
         link = list_next(&writer->roots, link)) {
        struct root *root = LIST_ITEM(link, struct root, link);

        if (!root->looking && !list_is_empty(&root->asked))
            root_begin_probe(root);
    }
    writer_place_groups(writer);
}

bool writer_take_drained(struct writer *writer, void **ticket)
{
    struct list_link *link = list_take_first(&writer->drained);

    if (!link)
        return false;
    *ticket = LIST_ITEM(link, struct writer_file, step)->ticket;
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
    result->code = file->disk.code;
    result->reason = file->disk.reason;
    result->changed = file->disk.changed;
    result->err = file->disk.err;
    result->size_bytes = file->disk.size_bytes;
    memcpy(result->fingerprint, file->disk.fingerprint, sizeof(result->fingerprint));
    writer_free_file(file);
    return true;
}
