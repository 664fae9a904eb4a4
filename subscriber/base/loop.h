/*
 * The event loop: descriptors, deadlines, signals; blocking work goes to its pool of threads.
 *
 * One thread owns everything. Callbacks run inside loop_wait() and only note what became ready; the
 * work is done by the steps that follow in the caller's loop. Handles belong to the module that
 * opened them; closing one is always safe, also from its own callback, and it is never called
 * again.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct loop;
struct loop_watch;
struct loop_timer;

struct loop *loop_open(void) MUST_CHECK;

/*
 * Ends and frees the loop; all watches and timers must have been closed. Work in the pool that does
 * not end within two seconds is left behind, and nothing is freed: then loop_left_work() is true,
 * and the process must end with _exit(). Signals that were handled are blocked from here on.
 */
void loop_close(struct loop *loop); /* NULL is fine */
bool loop_left_work(void);

/* A module has left a thread of its own behind: loop_left_work() is true from here on. */
void loop_leave_work(void);

/* Waits until something happened and runs the callbacks. Does not wait after loop_again(). */
void loop_wait(struct loop *loop);

/* There is more to do at once: the next loop_wait() only looks, it does not wait. */
void loop_again(struct loop *loop);

enum loop_events { LOOP_READABLE = 1, LOOP_WRITABLE = 2 };

/* `events` has LOOP_READABLE and LOOP_WRITABLE or both; an error on `fd` reports both. */
typedef void loop_watch_callback(void *context, int fd, int events);

/* Watches `fd`, which stays the caller's and must stay open until loop_watch_close(). */
struct loop_watch *loop_watch_open(struct loop *loop, int fd, loop_watch_callback *callback,
                                   void *context) MUST_CHECK;
void loop_watch_set(struct loop_watch *watch, int events); /* 0: none */
void loop_watch_close(struct loop_watch *watch);           /* NULL is fine */

typedef void loop_timer_callback(void *context);

struct loop_timer *loop_timer_open(struct loop *loop, loop_timer_callback *callback,
                                   void *context) MUST_CHECK;
void loop_timer_set(struct loop_timer *timer, int64_t delay_ms); /* once; again: moves it */
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_close(struct loop_timer *timer); /* NULL is fine */

typedef void loop_signal_callback(void *context, int signal);
void loop_on_signal(struct loop *loop, int signal, loop_signal_callback *callback, void *context);

/*
 * Runs `work` in a thread of the pool, then `done` on the loop. `work` must touch nothing but what
 * `context` leads to, and that must stay untouched by others until `done`.
 */
typedef void loop_work_callback(void *context);
void loop_work(struct loop *loop, loop_work_callback *work, loop_work_callback *done,
               void *context);
