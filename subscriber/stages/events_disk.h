/*
 * The part of events.c that touches the disk. It may block and runs in the pool.
 */
#pragma once

#include "base/list.h"
#include "stages/events.h"

struct disk_event {
    struct list_link link;
    struct events_plan plan; /* its texts are the event's own */
    const _Atomic int64_t *until_ms;
    void *ticket;
    enum events_outcome outcome;
    enum events_op deed; /* what was tried in the end: plan.op or plan.otherwise */
    int code;
    struct error err;
};

/* Carries out a list of disk_events, which all have the same directory. */
void disk_events(struct list *batch, enum events_durability durability);
