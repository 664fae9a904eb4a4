/*
 * A connection to Redis that is kept up: calls of scripts go out in one write, answers come back as
 * they arrive, a lost connection is made again with growing delays.
 *
 * Nothing waits: names are resolved in the loop's pool, everything else is done when the socket is
 * ready. Every call is answered exactly once, by Redis or with the reason why there is no answer:
 * not connected, the connection was lost, no answer within the timeout. After a timeout the
 * connection is given up, because answers would no longer be matched with calls.
 *
 * Replies are those of hiredis, whose reader is the same in 0.14 and 1.x; nothing else of it is
 * used.
 */
#pragma once

#include "base/loop.h"
#include "base/url.h"

struct redis_link;
struct redisReply; /* of hiredis */

struct redis_settings {
    const struct url *url; /* redis://[[user]:password@]host[:6379][/db], rediss, unix */
    int64_t connect_timeout_ms;
    int64_t command_timeout_ms; /* without an answer for so long: the connection is given up */
};

/* A Lua script, loaded once for each connection and again after NOSCRIPT. */
struct redis_script {
    const char *name; /* for messages */
    const char *text;
    int keys; /* how many of the arguments of a call are keys */
};

/*
 * An answer. `reply` is NULL when there is none; `failure` then says why, as it does when Redis
 * answered with an error (OOM, READONLY, WRONGTYPE ...). Both are good during the call only.
 */
typedef void redis_answer(void *ticket, const struct redisReply *reply, const char *failure);

/*
 * Begins to connect. `settings` and `scripts` are copied (but not the scripts' texts). NULL and
 * ERROR_OPERATOR for a URL that makes no sense, or rediss where there are no certificates.
 */
struct redis_link *redis_link_open(struct loop *loop, const struct redis_settings *settings,
                                   const struct redis_script *scripts, size_t script_count,
                                   struct error *err) MUST_CHECK;

/* Waits a moment, at most `timeout_ms`, for answers that are still due; then closes. NULL is fine.
 */
void redis_link_close(struct redis_link *link, int64_t timeout_ms);

/*
 * Calls script number `script` with its keys followed by its other arguments, all copied. Gathered
 * until redis_link_send(). Never calls `answer` before it returns.
 */
void redis_link_call(struct redis_link *link, size_t script, size_t argc, const char *const *argv,
                     const size_t *lengths, redis_answer *answer, void *ticket);
void redis_link_send(struct redis_link *link);

/*
 * Why Redis cannot be used now, for the log: not connected, refused the password, read-only, out of
 * memory, silent. Names the server without its password. NULL while all is well.
 */
const char *redis_link_failure(const struct redis_link *link);
