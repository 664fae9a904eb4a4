/* What waits for another try: a binary heap by due time, each entry knowing its position. */
#include "stages/retry.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

struct retry {
    struct retry_entry **heap;
    size_t count, capacity;
};

struct retry *retry_open(void)
{
    return memory_new(sizeof(struct retry));
}

void retry_close(struct retry *retry)
{
    if (!retry)
        return;
    free(retry->heap);
    free(retry);
}

static void heap_set(struct retry *retry, size_t position, struct retry_entry *entry)
{
    retry->heap[position] = entry;
    entry->position = position;
}

static void heap_rise(struct retry *retry, size_t position)
{
    struct retry_entry *entry = retry->heap[position];

    while (position > 0 && retry->heap[(position - 1) / 2]->due_ms > entry->due_ms) {
        heap_set(retry, position, retry->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_set(retry, position, entry);
}

static void heap_sink(struct retry *retry, size_t position)
{
    struct retry_entry *entry = retry->heap[position];

    for (size_t child; (child = position * 2 + 1) < retry->count; position = child) {
        if (child + 1 < retry->count && retry->heap[child + 1]->due_ms < retry->heap[child]->due_ms)
            child++;
        if (retry->heap[child]->due_ms >= entry->due_ms)
            break;
        heap_set(retry, position, retry->heap[child]);
    }
    heap_set(retry, position, entry);
}

void retry_put(struct retry *retry, struct retry_entry *entry, int64_t delay_ms)
{
    assert(!entry->waiting);
    if (retry->count == retry->capacity) {
        retry->capacity = retry->capacity ? retry->capacity * 2 : 64;
        retry->heap = memory_resize(retry->heap, retry->capacity, sizeof(struct retry_entry *));
    }
    entry->waiting = true;
    entry->due_ms = clock_now_ms() + delay_ms;
    heap_set(retry, retry->count++, entry);
    heap_rise(retry, entry->position);
}

void retry_remove(struct retry *retry, struct retry_entry *entry)
{
    struct retry_entry *last;

    if (!entry->waiting)
        return;
    entry->waiting = false;
    last = retry->heap[--retry->count];
    if (last == entry)
        return;
    heap_set(retry, entry->position, last);
    heap_rise(retry, last->position);
    heap_sink(retry, last->position);
}

struct retry_entry *retry_take_any(struct retry *retry)
{
    struct retry_entry *entry = retry->count ? retry->heap[0] : NULL;

    if (entry)
        retry_remove(retry, entry);
    return entry;
}

struct retry_entry *retry_take_due(struct retry *retry)
{
    return retry_next_ms(retry) == 0 ? retry_take_any(retry) : NULL;
}

int64_t retry_next_ms(const struct retry *retry)
{
    int64_t delay;

    if (!retry->count)
        return -1;
    delay = retry->heap[0]->due_ms - clock_now_ms();
    return delay > 0 ? delay : 0;
}
