/*
 * sr3's retry queues on disk: diskqueue_work_retry_NN, .new and .hk, one entry in each line.
 *
 * A file is renamed to FILE.sr3sub, read under a lock, and deleted when all of it is settled. One
 * that a crash left is taken up again by the next to come. These calls block: they are for the
 * pool.
 */
#pragma once

#include "store/sr3_piece.h"

struct sr3_files;

struct sr3_files *sr3_files_open(const char *directory) MUST_CHECK;

/* Settles `piece`, if it holds entries, and fills it anew; false: there are no more. */
bool sr3_files_next(struct sr3_files *files, struct sr3_piece *piece) MUST_CHECK;

/* Why a file stays; NULL: none does. */
const char *sr3_files_failure(const struct sr3_files *files);
void sr3_files_close(struct sr3_files *files); /* NULL is fine */
