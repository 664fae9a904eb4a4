/*
 * Events on their way to the disk, gathered by directory.
 *
 * Each directory has one batch under way at a time, so a disk that does not answer holds up only
 * itself, and what was started later is not overtaken. A directory that nothing is known of any
 * more is forgotten: with dates in their names there would be more and more of them.
 */
#include "stages/events.h"

#include "stages/events_disk.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 128

struct place {
    struct list_link link;
    struct events *events;
    char *directory;
    struct list queue; /* for the next batch */
    struct list batch; /* what the pool works on */
    bool working;
};

struct events {
    struct loop *loop;
    enum events_durability durability;
    struct list places, results;
    int works; /* pieces of work in the pool */
};

struct events *events_open(struct loop *loop, const struct events_settings *settings)
{
    struct events *events = memory_new(sizeof(*events));

    events->loop = loop;
    events->durability = settings->durability;
    list_init(&events->places);
    list_init(&events->results);
    return events;
}

static void free_text(const char *text)
{
    free((void *)(uintptr_t)text);
}

static void event_free(struct disk_event *event)
{
    free_text(event->plan.directory);
    free_text(event->plan.path);
    free_text(event->plan.other_directory);
    free_text(event->plan.other_path);
    free_text(event->plan.refuse_reason);
    free_text(event->plan.target);
    free(event);
}

static void free_all(struct list *list)
{
    struct list_link *link;

    while ((link = list_take_first(list)))
        event_free(LIST_ITEM(link, struct disk_event, link));
}

static void place_free(struct place *place)
{
    list_remove(&place->link);
    free_all(&place->queue);
    free(place->directory);
    free(place);
}

void events_close(struct events *events)
{
    struct list_link *link;

    if (!events)
        return;
    while (events->works)
        loop_wait(events->loop);
    while ((link = list_first(&events->places)))
        place_free(LIST_ITEM(link, struct place, link));
    free_all(&events->results);
    free(events);
}

static struct place *place_get(struct events *events, const char *directory)
{
    struct place *place;

    for (struct list_link *link = list_first(&events->places); link;
         link = list_next(&events->places, link)) {
        place = LIST_ITEM(link, struct place, link);
        if (strcmp(place->directory, directory) == 0)
            return place;
    }
    place = memory_new(sizeof(*place));
    place->events = events;
    place->directory = memory_copy(directory);
    list_init(&place->queue);
    list_init(&place->batch);
    list_append(&events->places, &place->link);
    return place;
}

void events_start(struct events *events, const struct events_plan *plan,
                  const _Atomic int64_t *until_ms, void *ticket)
{
    struct disk_event *event = memory_new(sizeof(*event));

    event->plan = *plan;
    event->plan.directory = memory_copy(plan->directory);
    event->plan.path = memory_copy(plan->path);
    event->plan.other_directory = memory_copy(plan->other_directory);
    event->plan.other_path = memory_copy(plan->other_path);
    event->plan.refuse_reason = memory_copy(plan->refuse_reason);
    event->plan.target = memory_copy(plan->target);
    event->until_ms = until_ms;
    event->ticket = ticket;
    list_append(&place_get(events, plan->directory)->queue, &event->link);
}

static void batch_work(void *context)
{
    struct place *place = context;

    disk_events(&place->batch, place->events->durability);
}

static void batch_done(void *context)
{
    struct place *place = context;
    struct events *events = place->events;

    events->works--;
    place->working = false;
    list_append_all(&events->results, &place->batch);
    if (list_is_empty(&place->queue))
        place_free(place);
}

static void place_begin_batch(struct place *place)
{
    struct list_link *link;

    for (int i = 0; i < BATCH_MAX && (link = list_take_first(&place->queue)); i++)
        list_append(&place->batch, link);
    place->working = true;
    place->events->works++;
    loop_work(place->events->loop, batch_work, batch_done, place);
}

void events_step(struct events *events)
{
    for (struct list_link *link = list_first(&events->places); link;
         link = list_next(&events->places, link)) {
        struct place *place = LIST_ITEM(link, struct place, link);

        if (!place->working)
            place_begin_batch(place);
    }
}

bool events_take_result(struct events *events, struct events_result *result)
{
    struct list_link *link = list_take_first(&events->results);
    struct disk_event *event;

    if (!link)
        return false;
    event = LIST_ITEM(link, struct disk_event, link);
    *result = (struct events_result){.ticket = event->ticket,
                                     .outcome = event->outcome,
                                     .deed = event->deed,
                                     .code = event->code,
                                     .err = event->err};
    event_free(event);
    return true;
}

const char *events_op_name(enum events_op op)
{
    static const char *const names[EVENTS_OPS] = {
        [EVENTS_NOTHING] = "nothing", [EVENTS_LINK] = "link",     [EVENTS_HLINK] = "hlink",
        [EVENTS_REMOVE] = "remove",   [EVENTS_RENAME] = "rename", [EVENTS_MKDIR] = "mkdir",
    };

    return names[op];
}
