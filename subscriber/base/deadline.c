/* A binary heap by due time; each deadline knows its position. */
#include "base/deadline.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

struct deadlines {
    struct deadline **heap;
    size_t count, capacity;
};

struct deadlines *deadlines_open(void)
{
    return memory_new(sizeof(struct deadlines));
}

void deadlines_close(struct deadlines *deadlines)
{
    if (!deadlines)
        return;
    free(deadlines->heap);
    free(deadlines);
}

static void heap_set(struct deadlines *deadlines, size_t position, struct deadline *deadline)
{
    deadlines->heap[position] = deadline;
    deadline->position = position;
}

static void heap_rise(struct deadlines *deadlines, size_t position)
{
    struct deadline *deadline = deadlines->heap[position];

    while (position > 0 && deadlines->heap[(position - 1) / 2]->due_ms > deadline->due_ms) {
        heap_set(deadlines, position, deadlines->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_set(deadlines, position, deadline);
}

static void heap_sink(struct deadlines *deadlines, size_t position)
{
    struct deadline *deadline = deadlines->heap[position];

    for (size_t child; (child = position * 2 + 1) < deadlines->count; position = child) {
        if (child + 1 < deadlines->count
            && deadlines->heap[child + 1]->due_ms < deadlines->heap[child]->due_ms)
            child++;
        if (deadlines->heap[child]->due_ms >= deadline->due_ms)
            break;
        heap_set(deadlines, position, deadlines->heap[child]);
    }
    heap_set(deadlines, position, deadline);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int64_t delay_ms)
{
    assert(!deadline->waiting);
    if (deadlines->count == deadlines->capacity) {
        deadlines->capacity = deadlines->capacity ? deadlines->capacity * 2 : 64;
        deadlines->heap =
            memory_resize(deadlines->heap, deadlines->capacity, sizeof(struct deadline *));
    }
    deadline->waiting = true;
    deadline->due_ms = clock_now_ms() + delay_ms;
    heap_set(deadlines, deadlines->count++, deadline);
    heap_rise(deadlines, deadline->position);
}

void deadline_clear(struct deadlines *deadlines, struct deadline *deadline)
{
    struct deadline *last;

    if (!deadline->waiting)
        return;
    deadline->waiting = false;
    last = deadlines->heap[--deadlines->count];
    if (last == deadline)
        return;
    heap_set(deadlines, deadline->position, last);
    heap_rise(deadlines, last->position);
    heap_sink(deadlines, last->position);
}

struct deadline *deadlines_take_any(struct deadlines *deadlines)
{
    struct deadline *deadline = deadlines->count ? deadlines->heap[0] : NULL;

    if (deadline)
        deadline_clear(deadlines, deadline);
    return deadline;
}

struct deadline *deadlines_take_due(struct deadlines *deadlines)
{
    return deadlines_next_ms(deadlines) == 0 ? deadlines_take_any(deadlines) : NULL;
}

int64_t deadlines_next_ms(const struct deadlines *deadlines)
{
    int64_t delay;

    if (!deadlines->count)
        return -1;
    delay = deadlines->heap[0]->due_ms - clock_now_ms();
    return delay > 0 ? delay : 0;
}
