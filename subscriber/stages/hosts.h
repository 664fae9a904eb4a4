/*
 * The hosts that files are fetched from: whose turn it is, how many transfers go to one at once,
 * and which one is paused because it is in trouble.
 *
 * Hosts with something to fetch and room for it take turns, so that a slow one does not hold up the
 * others. One that fails several times in a row, or asks for a rest, is paused: nothing is fetched
 * from it for a while, longer each time; then a single transfer tries whether it is well again.
 * One that is only slow, or says nothing at all, is left to those that are active there when too
 * many wait for them.
 *
 * Part of download.c, whose transfers wait here.
 */
#pragma once

#include "base/list.h"
#include "base/memory.h"

#include <stdint.h>

struct hosts;
struct host;

struct hosts *hosts_open(int active_max) MUST_CHECK; /* transfers to one host at once */
void hosts_close(struct hosts *hosts);               /* nothing may wait any more; NULL is fine */

/* The host of `url`: what stands before its path. Good until nothing waits or is active there. */
struct host *hosts_get(struct hosts *hosts, const char *url);

/* Waits for a turn. False: the host is paused, and nothing waits there. */
bool host_wait(struct host *host, struct list_link *waiting) MUST_CHECK;
void host_wait_no_more(struct host *host, struct list_link *waiting);

/* Next in turn, not waiting but active from now on. NULL: nobody. */
struct list_link *hosts_take_turn(struct hosts *hosts);
bool hosts_have_turn(const struct hosts *hosts);

enum host_news {
    HOST_WELL,    /* it gave an answer */
    HOST_TROUBLE, /* none, or one that says that it cannot work now */
    HOST_UNKNOWN  /* the transfer was ended by us */
};

/*
 * A transfer is not active any more. `rest_ms`: the host asked to be left alone for so long; -1: it
 * did not. If it is paused now, what waited there is moved to `turned_away`.
 */
void host_done(struct host *host, enum host_news news, int64_t rest_ms, struct list *turned_away);

/* Whether one has waited for its turn for too long. */
typedef bool host_waits_too_long(const struct list_link *waiting);

/*
 * Hosts at which the first in line waits for too long, though nothing is known against them, are
 * paused for a while, and what waits there is moved to `turned_away`. What is active there goes on;
 * the first that ends well ends the pause.
 */
void hosts_disperse(struct hosts *hosts, host_waits_too_long *too_long, struct list *turned_away);

/* For how long the host of `url` is paused still; 0: it is not. */
int64_t hosts_pause_ms(const struct hosts *hosts, const char *url);

/* Any one that waits, for clearing up; NULL: none. */
struct list_link *hosts_take_any(struct hosts *hosts);
