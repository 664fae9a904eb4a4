/*
 * Transfers that block: ftp, ftps, sftp and local files, each in a thread of its own.
 *
 * libcurl waits in the middle of these protocols for servers that need not answer (TLS on ftp, the
 * reply behind a file, the goodbye), and a disk may be a network's. A courier is a thread with one
 * curl handle. It keeps its connection for a while for the next file from the same place. What it
 * brings waits in its bag until the loop looks at it; when the bag is full the courier waits.
 *
 * Part of download.c. All functions are for the loop's thread.
 */
#pragma once

#include "stages/access.h"
#include "stages/download.h"
#include "stages/hosts.h"

struct couriers;
struct courier;

struct courier_settings {
    const struct download_settings *download; /* these two outlive the couriers */
    const struct access *access;
    int couriers_max;
    void (*notice)(void *context); /* on the loop: there is news */
    void *context;
};

struct couriers *couriers_open(struct loop *loop,
                               const struct courier_settings *settings) MUST_CHECK;

/*
 * Recalls all. One that does not come back within two seconds, because it waits for a name or a
 * disk, is left behind: then nothing is freed, neither here nor what the settings point to, the
 * result is false, and loop_left_work() is true from here on.
 */
bool couriers_close(struct couriers *couriers) MUST_CHECK; /* NULL is fine */

/* Sends one; `request` is copied. NULL: all of them are out. */
struct courier *couriers_send(struct couriers *couriers, const struct download_request *request,
                              void *ticket);

/* A courier that has news, and its ticket; NULL: none has. */
struct courier *couriers_take_news(struct couriers *couriers, void **ticket);

/* True once: the bytes come now. They begin at *from_byte. */
bool courier_take_answer(struct courier *courier, int64_t *from_byte, int64_t *last_modified_s);

/* What is in its bag; *length 0: nothing. Good until courier_took(). */
const char *courier_look(struct courier *courier, size_t *length);
void courier_took(struct courier *courier, size_t length);

struct courier_outcome {
    bool fetched;
    struct error err;
    bool gone, broken, timed_out, unconnected;
    enum host_news news;
};

/* Whether it has come to an end, and its bag is empty. */
bool courier_is_done(struct courier *courier, struct courier_outcome *outcome);

/* It is not needed any more, done or not; its ticket will not be seen again. */
void courier_dismiss(struct courier *courier);
