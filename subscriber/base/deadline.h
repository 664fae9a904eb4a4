/*
 * Deadlines: many things that wait, each until a time of its own.
 *
 * Setting, moving, clearing and taking the next one cost the logarithm of how many there are.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct deadlines;

/* Part of whoever waits; zeroed before its first use. */
struct deadline {
    int64_t due_ms; /* steady clock */
    size_t position;
    bool waiting;
    void *ticket; /* the waiter's own */
};

struct deadlines *deadlines_open(void) MUST_CHECK;
void deadlines_close(struct deadlines *deadlines); /* NULL is fine */

/* Due `delay_ms` from now; it must not wait already. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int64_t delay_ms);

/* Stops waiting; nothing happens if it does not wait. */
void deadline_clear(struct deadlines *deadlines, struct deadline *deadline);

/* The next deadline whose time has come, NULL if there is none. */
struct deadline *deadlines_take_due(struct deadlines *deadlines);

/* Any deadline, due or not, for clearing up; NULL when none waits. */
struct deadline *deadlines_take_any(struct deadlines *deadlines);

/* Milliseconds until the next deadline is due, 0 if one is; -1 when none waits. */
int64_t deadlines_next_ms(const struct deadlines *deadlines);
