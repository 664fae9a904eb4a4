/*
 * A list whose links live inside the items, so that adding and removing allocate nothing.
 *
 *     struct job { struct list_link link; ... };
 *     struct list waiting;
 *
 *     list_init(&waiting);
 *     list_append(&waiting, &job->link);
 *     struct job *first = LIST_ITEM(list_first(&waiting), struct job, link);
 *
 * A link is in one list at a time; list_remove() on a link that is in none does nothing, provided
 * the link is zeroed or was removed before.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_link {
    struct list_link *prev, *next;
};

struct list {
    struct list_link head;
};

/* The item around `link`, which must not be NULL. */
#define LIST_ITEM(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
    list->head.prev = list->head.next = &list->head;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}

static inline bool list_is_linked(const struct list_link *link)
{
    return link->next != NULL;
}

static inline void list_append(struct list *list, struct list_link *link)
{
    link->prev = list->head.prev;
    link->next = &list->head;
    list->head.prev->next = link;
    list->head.prev = link;
}

static inline void list_remove(struct list_link *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* The first link, NULL when the list is empty. */
static inline struct list_link *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

/* The link behind `link`, NULL at the end. Take it before removing `link`. */
static inline struct list_link *list_next(const struct list *list, const struct list_link *link)
{
    return link->next == &list->head ? NULL : link->next;
}

/* Removes and returns the first link, NULL when the list is empty. */
static inline struct list_link *list_take_first(struct list *list)
{
    struct list_link *link = list_first(list);

    if (link)
        list_remove(link);
    return link;
}

/* Moves everything in `from` behind what is in `to`; `from` is empty afterwards. */
static inline void list_append_all(struct list *to, struct list *from)
{
    struct list_link *link;

    if (list_is_empty(from))
        return;
    link = from->head.next;
    link->prev = to->head.prev;
    to->head.prev->next = link;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    list_init(from);
}
