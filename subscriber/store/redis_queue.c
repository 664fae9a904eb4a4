/* Calls on their way to Redis. */
#include "store/redis_queue.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_LEAST  16384
#define ROOM_IDLE   (1024 * 1024) /* a larger buffer goes back when nothing is under way */
#define CALLS_LEAST 64
#define HEAD_SIZE   24 /* "$", a length, "\r\n", and the "\r\n" behind the argument */

/* Moves the bytes down only when at least as many have gone: each is moved once at most. */
static char *reserve(struct redis_queue *queue, size_t size)
{
    size_t live = queue->end - queue->kept;

    if (queue->end + size > queue->room && queue->kept && queue->kept >= live) {
        memmove(queue->bytes, queue->bytes + queue->kept, live);
        queue->end = live;
        queue->sent -= queue->kept;
        queue->ready -= queue->kept;
        queue->kept = 0;
    }
    if (queue->end + size > queue->room) {
        size_t room = queue->room ? queue->room : ROOM_LEAST;

        while (room < queue->end + size)
            room *= 2;
        queue->bytes = memory_resize(queue->bytes, room, 1);
        queue->room = room;
    }
    return queue->bytes + queue->end;
}

static void calls_grow(struct redis_queue *queue)
{
    size_t room = queue->call_room ? 2 * queue->call_room : CALLS_LEAST;
    struct redis_call *calls = memory_resize(NULL, room, sizeof(*calls));

    for (size_t i = 0; i < queue->count; i++)
        calls[i] = queue->calls[(queue->first + i) & (queue->call_room - 1)];
    free(queue->calls);
    queue->calls = calls;
    queue->call_room = room;
    queue->first = 0;
}

static void push(struct redis_queue *queue, const struct redis_call *call)
{
    if (queue->count == queue->call_room)
        calls_grow(queue);
    queue->calls[(queue->first + queue->count++) & (queue->call_room - 1)] = *call;
    queue->end += call->size;
}

/* PREFIX, the number in decimal, CR LF. */
static char *put_head(char *to, char prefix, size_t number)
{
    char digits[20];
    size_t count = 0;

    *to++ = prefix;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *to++ = digits[--count];
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

void redis_queue_begin(struct redis_queue *queue, size_t argc, size_t length)
{
    queue->put = put_head(reserve(queue, HEAD_SIZE * (argc + 1) + length), '*', argc);
}

void redis_queue_put(struct redis_queue *queue, const char *argument, size_t length)
{
    char *to = put_head(queue->put, '$', length);

    memcpy(to, argument, length);
    to += length;
    *to++ = '\r';
    *to++ = '\n';
    queue->put = to;
}

void redis_queue_add(struct redis_queue *queue, struct redis_call call)
{
    call.size = (size_t)(queue->put - (queue->bytes + queue->end));
    push(queue, &call);
}

struct redis_call *redis_queue_oldest(const struct redis_queue *queue)
{
    return &queue->calls[queue->first];
}

bool redis_queue_is_oldest_sent(const struct redis_queue *queue)
{
    return queue->count && queue->kept + redis_queue_oldest(queue)->size <= queue->sent;
}

bool redis_queue_is_oldest_ready(const struct redis_queue *queue)
{
    return queue->count && queue->kept < queue->ready;
}

void redis_queue_repeat_oldest(struct redis_queue *queue, int64_t now_ms)
{
    struct redis_call call = *redis_queue_oldest(queue);
    char *to = reserve(queue, call.size);

    memcpy(to, queue->bytes + queue->kept, call.size);
    call.asked_ms = now_ms;
    call.repeats++;
    push(queue, &call);
}

static void forget_all_bytes(struct redis_queue *queue)
{
    queue->kept = queue->sent = queue->ready = queue->end = 0;
    if (queue->room > ROOM_IDLE) {
        free(queue->bytes);
        queue->bytes = NULL;
        queue->room = 0;
    }
}

struct redis_call redis_queue_take_oldest(struct redis_queue *queue)
{
    struct redis_call call = *redis_queue_oldest(queue);

    queue->first = (queue->first + 1) & (queue->call_room - 1);
    queue->kept += call.size;
    if (--queue->count == 0)
        forget_all_bytes(queue);
    return call;
}

void redis_queue_forget_bytes(struct redis_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        queue->calls[(queue->first + i) & (queue->call_room - 1)].size = 0;
    forget_all_bytes(queue);
}

void redis_queue_clear(struct redis_queue *queue)
{
    free(queue->bytes);
    free(queue->calls);
    memset(queue, 0, sizeof(*queue));
}
