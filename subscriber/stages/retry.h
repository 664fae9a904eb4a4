/*
 * What waits for another try: until when, and how often it was tried.
 *
 * Waiting announcements stay unacked, so nothing is lost if this process dies: the broker delivers
 * them again.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct retry;

/* Part of whoever waits; zeroed before its first use. */
struct retry_entry {
    int64_t due_ms; /* steady clock */
    size_t position;
    bool waiting;
    void *ticket; /* the waiter's own */
};

struct retry *retry_open(void) MUST_CHECK;
void retry_close(struct retry *retry); /* NULL is fine */

/* Waits `delay_ms` from now. */
void retry_put(struct retry *retry, struct retry_entry *entry, int64_t delay_ms);

/* Stops waiting; nothing happens if it does not wait. */
void retry_remove(struct retry *retry, struct retry_entry *entry);

/* The next entry whose time has come, NULL if there is none. */
struct retry_entry *retry_take_due(struct retry *retry);

/* Any entry, due or not, for clearing up; NULL when none waits. */
struct retry_entry *retry_take_any(struct retry *retry);

/* Milliseconds until the next entry is due, 0 if one is; -1 when none waits. */
int64_t retry_next_ms(const struct retry *retry);
