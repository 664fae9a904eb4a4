/*
 * The order in which sr3's retries are taken over: the files, then the lists, a piece at a time. A
 * piece is settled at its source when all its entries are.
 */
#include "store/sr3_retries.h"

#include "store/sr3_files.h"
#include "store/sr3_lists.h"

#include <assert.h>
#include <stdlib.h>

struct sr3_retries {
    struct loop *loop;
    struct sr3_files *files; /* NULL: none, or through with them */
    struct sr3_lists *lists; /* NULL: none */
    struct sr3_piece piece;  /* the work's own while it is under way */
    bool busy;               /* work is under way */
    bool more;               /* it found something */
    bool closing;
    char *failure; /* of the files */
};

static void next_files(struct sr3_retries *retries);

static void finish_files(struct sr3_retries *retries)
{
    const char *failure = sr3_files_failure(retries->files);

    retries->failure = memory_copy(failure);
    sr3_files_close(retries->files);
    retries->files = NULL;
    if (retries->lists)
        sr3_lists_next(retries->lists);
}

static void work(void *context)
{
    struct sr3_retries *retries = context;

    retries->more = sr3_files_next(retries->files, &retries->piece);
}

static void work_done(void *context)
{
    struct sr3_retries *retries = context;

    retries->busy = false;
    if (retries->closing)
        return;
    if (!retries->more)
        finish_files(retries);
    else if (retries->piece.settled == retries->piece.count)
        next_files(retries);
}

static void next_files(struct sr3_retries *retries)
{
    retries->busy = true;
    loop_work(retries->loop, work, work_done, retries);
}

struct sr3_entry *sr3_retries_take_entry(struct sr3_retries *retries)
{
    struct sr3_piece *piece = &retries->piece;

    if (retries->busy || piece->taken == piece->count)
        return NULL;
    return &piece->entries[piece->taken++];
}

void sr3_retries_settle(struct sr3_retries *retries, struct sr3_entry *entry, bool kept)
{
    struct sr3_piece *piece = &retries->piece;

    assert(!retries->busy && piece->settled < piece->taken);
    entry->kept = kept;
    if (++piece->settled < piece->count)
        return;
    if (retries->files)
        next_files(retries);
    else
        sr3_lists_next(retries->lists);
}

bool sr3_retries_is_done(const struct sr3_retries *retries)
{
    return !retries->files && (!retries->lists || sr3_lists_are_done(retries->lists));
}

const char *sr3_retries_failure(const struct sr3_retries *retries)
{
    if (retries->failure || !retries->lists)
        return retries->failure;
    return sr3_lists_failure(retries->lists);
}

struct sr3_retries *sr3_retries_open(struct loop *loop, const struct sr3_retries_settings *settings,
                                     struct error *err)
{
    struct sr3_retries *retries = memory_new(sizeof(*retries));

    retries->loop = loop;
    if (settings->redis) {
        retries->lists =
            sr3_lists_open(loop, settings->redis, settings->queue, &retries->piece, err);
        if (!retries->lists) {
            sr3_retries_close(retries);
            return NULL;
        }
    }
    if (settings->directory) {
        retries->files = sr3_files_open(settings->directory);
        next_files(retries);
    } else if (retries->lists) {
        sr3_lists_next(retries->lists);
    }
    return retries;
}

void sr3_retries_close(struct sr3_retries *retries)
{
    if (!retries)
        return;
    retries->closing = true;
    while (retries->busy)
        loop_wait(retries->loop);
    sr3_lists_close(retries->lists);
    sr3_files_close(retries->files);
    sr3_piece_clear(&retries->piece);
    free(retries->failure);
    free(retries);
}
