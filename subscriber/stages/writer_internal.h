/*
 * What the files of the writer share on the loop's side.
 *
 *     writer.c          files: begun, filled, looked for, given up
 *     writer_group.c    finished files, placed together
 *     writer_trouble.c  directories that are paused
 */
#pragma once

#include "stages/writer_disk.h"

#include "base/list.h"

struct writer_file {
    struct disk_file disk;
    struct list_link
        link; /* in writer->open, ->leaving, root->queue, ->renamed or writer->results */
    struct list_link step; /* in root->asked, writer->probed, ->drained or ->unread */
    struct writer *writer;
    struct root *root;
    void *ticket;
    char *buffer; /* being filled */
    size_t used, capacity;
    size_t chunk; /* so much goes to the disk at once; 0: not decided yet */
    bool busy;    /* the pool has it */
    bool asking;  /* the answer to a probe has not been taken */
    bool finished, cancelled, suspended, wants_room;
    bool troubled; /* its root was paused for it */
};

struct root {
    struct list_link link;
    struct disk_root disk;
    struct writer *writer;
    struct list asked;   /* files to be probed */
    struct list probing; /* by the pool */
    struct list queue;   /* finished files, for the next group */
    struct list group;   /* the files that the pool works on */
    struct list renamed; /* placed, but not known to be durable */
    size_t group_size;
    bool working, looking;
    bool flush;             /* this group is flushed as a whole */
    bool synced;            /* and that worked; else see err */
    int64_t flush_after_ms; /* no flushes before, steady clock */
    struct error err;

    int look_first; /* so many files are probed before they are fetched, for some were there */

    struct error trouble; /* why it is paused */
    int64_t troubled_ms, paused_until_ms;
    int pauses;                /* in a row */
    bool placed;               /* something, since names could not be made the last time */
    struct writer_file *trial; /* the one that was let through when the pause was over */
};

struct writer {
    struct loop *loop;
    struct writer_settings settings;
    char *inflight;
    struct disk_root *inflight_root; /* NULL: files under way are below their roots */
    EVP_MD *md5, *sha512;
    struct list roots, open, results, drained;
    struct list leaving; /* given up, and perhaps still holding their inflight names */
    struct list probed;  /* answers */
    struct list unread;  /* files whose bytes on the disk are to be hashed, in turn */
    int reading;         /* of them, in the pool */
    int large;           /* files with large chunks */
    int works;           /* pieces of work in the pool */
    bool closing;
};

void writer_begin_work(struct writer *writer, loop_work_callback *work, loop_work_callback *done,
                       void *context);
void writer_free_file(struct writer_file *file);

/* Hands the full buffer over; the one that was written before is filled next. */
void writer_swap_buffers(struct writer_file *file);

/* Something was there already, as others may be. */
void writer_note_kept(struct root *root);

/* Starts groups. */
void writer_place_groups(struct writer *writer);

/* The file is let through as a trial if its root needs one. */
void writer_note_begin(struct writer_file *file);

/* A part of it is on the disk, or not: see its error. */
void writer_note_written(struct writer_file *file);

/* The same for its final result, whose outcome may become WRITER_NO_ROOM; also for a probe. */
void writer_note_result(struct writer_file *file);

/* It tells nothing any more. */
void writer_note_end(struct writer_file *file);
