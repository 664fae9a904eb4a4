/*
 * Calls on their way to Redis, and their bytes: those that wait to be written and, behind them,
 * those that wait for their answers. Answers come in the order of the calls, so both are queues.
 * The bytes stay until the answer, in case the call has to be repeated. Nothing is allocated for a
 * single call.
 */
#pragma once

#include "store/redis_link.h"

enum redis_call_kind { REDIS_CALL_LOGIN, REDIS_CALL_SELECT, REDIS_CALL_LOAD, REDIS_CALL_SCRIPT };

struct redis_call {
    enum redis_call_kind kind;
    size_t script;
    int repeats;
    int64_t asked_ms;
    size_t size; /* of its bytes */
    redis_answer *answer;
    void *ticket;
};

struct redis_queue { /* zeroed before its first use */
    char *bytes;
    size_t room, end;
    size_t kept;  /* where the bytes of the oldest call begin */
    size_t sent;  /* what is before is written */
    size_t ready; /* what is before may be written */
    char *put;    /* the end of the command that is being put together */
    struct redis_call *calls;
    size_t call_room, first, count; /* a ring; its room is a power of two */
};

/* A command of `argc` arguments that are `length` bytes together: each is put, then it is added. */
void redis_queue_begin(struct redis_queue *queue, size_t argc, size_t length);
void redis_queue_put(struct redis_queue *queue, const char *argument, size_t length);
void redis_queue_add(struct redis_queue *queue, struct redis_call call);

/* The call that will be answered next. There must be one. */
struct redis_call *redis_queue_oldest(const struct redis_queue *queue);

/* False too when there is none. */
bool redis_queue_is_oldest_sent(const struct redis_queue *queue);
bool redis_queue_is_oldest_ready(const struct redis_queue *queue);

/* Adds the oldest call once more. */
void redis_queue_repeat_oldest(struct redis_queue *queue, int64_t now_ms);
struct redis_call redis_queue_take_oldest(struct redis_queue *queue);

/* The calls stay, to be taken; no byte of them is written any more. */
void redis_queue_forget_bytes(struct redis_queue *queue);
void redis_queue_clear(struct redis_queue *queue);
