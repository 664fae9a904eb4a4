/*
 * What events_disk.c, events_links.c and events_move.c share: one event in a batch, and names in
 * the directories that were opened for them. For these three only.
 */
#pragma once

#include "stages/events_disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#define EVENT_DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

enum event_code { EVENT_CODE_DONE = 201, EVENT_CODE_REFUSED = 422, EVENT_CODE_FAILED = 500 };

/* Where a batch is carried out. */
struct event_site {
    const char *directory;
    int root; /* -1: not opened yet, or not there */
    dev_t device;
    bool sync;  /* each directory that is changed */
    bool flush; /* the file system in the end */
};

/* A name in its open directory. */
struct event_end {
    int directory; /* -1: not open */
    const char *name;
};

/* Outcomes. Each event gets one, by one of these. */
void event_settle(struct disk_event *event, enum events_outcome outcome, int code);
void event_refuse(struct disk_event *event, int code, const char *why);
void event_fail(struct disk_event *event); /* by errno */

/* It is done, and made durable if it is to be. */
void event_finish(const struct event_site *site, struct disk_event *event,
                  const struct event_end *end);

/* Names. What returns false leaves the reason in errno. */
typedef int event_open_function(int root, const char *path);

bool event_open_root(struct event_site *site);
bool event_open_end(struct event_end *end, int root, const char *path, event_open_function *open);
void event_close_end(struct event_end *end); /* -1 is fine */
bool event_look(const struct event_end *end, struct stat *status);
bool event_is_same_file(const struct stat *a, const struct stat *b);
bool event_is_missing(int reason); /* an errno that means: there is no such name */
bool event_sync(const struct event_site *site, int directory);

/* A file, a link or an empty directory goes; gone already is fine. */
bool event_remove_end(const struct event_end *end);

/* Opens the directory that the event's name is to stand in, and makes what is missing of it. False:
 * the event is settled. */
bool event_open_place(struct event_site *site, struct disk_event *event, struct event_end *end);

/* What is done when there is nothing to link to, or to rename. */
void event_do_otherwise(struct event_site *site, struct disk_event *event);

/* events_links.c */
void event_make_link(struct event_site *site, struct disk_event *event);
void event_make_hard_link(struct event_site *site, struct disk_event *event);

/*
 * Whether the link `name` in `directory` leads to somewhere below `root` if it stands `depth`
 * levels below that. False with errno, EXDEV when it leads out.
 */
bool event_link_leads_inside(const char *root, int depth, int directory, const char *name);

/* events_move.c */
void event_make_rename(struct event_site *site, struct disk_event *event);
