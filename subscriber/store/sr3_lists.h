/*
 * sr3's retry queues in Redis: the lists sr3.retry_queue.work_retry.COMPONENT.QUEUE, .new and .hk.
 *
 * An entry is removed only while it is still the first of its list, so other instances and an sr3
 * that is running may take from it at the same time.
 */
#pragma once

#include "store/redis_link.h"
#include "store/sr3_piece.h"

struct sr3_lists;

/* Fills `piece`, which stays the caller's, and calls `filled` when it holds entries. */
struct sr3_lists *sr3_lists_open(struct loop *loop, const struct redis_settings *redis,
                                 const char *queue, struct sr3_piece *piece,
                                 struct error *err) MUST_CHECK;

/* Begins to fill the piece, first settling what is in it. */
void sr3_lists_next(struct sr3_lists *lists);

/* The lists are empty, or given up; the piece is then, too. */
bool sr3_lists_are_done(const struct sr3_lists *lists);

/* Why a list stays, or what Redis is waited for; NULL while all is well. */
const char *sr3_lists_failure(const struct sr3_lists *lists);
void sr3_lists_close(struct sr3_lists *lists); /* NULL is fine */
