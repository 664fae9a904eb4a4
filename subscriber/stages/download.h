/*
 * Many transfers at once, over kept connections.
 *
 * A transfer waits for its turn (so many at once in all, so many to one host), runs, and is taken
 * back with download_take_finished(). Its bytes go to the `receive` function as they arrive. A host
 * that is in trouble is paused, and transfers from it come back untried.
 */
#pragma once

#include "base/loop.h"

struct download;
struct transfer;

enum download_tls {
    DOWNLOAD_TLS_LAX,    /* nothing is verified */
    DOWNLOAD_TLS_NORMAL, /* certificate and host name */
    DOWNLOAD_TLS_STRICT  /* the same, and nothing below TLS 1.2 */
};

enum download_flow {
    DOWNLOAD_GO_ON,
    DOWNLOAD_PAUSE, /* these bytes were not taken: offer them again after download_resume() */
    DOWNLOAD_STOP   /* the transfer has failed; the receiver knows why */
};

/* Called for the bytes of a successful answer, in order. `ticket` as given to download_start(). */
typedef enum download_flow download_receive(void *ticket, const char *bytes, size_t length);

struct download_settings {
    int transfers_max;          /* at once, in all */
    int transfers_max_per_host; /* at once, to one host and port */
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms; /* slower than 1 byte/s for this long: given up */
    int64_t total_timeout_ms; /* of one transfer; 0: none */
    enum download_tls tls;
    download_receive *receive;
};

struct download_result {
    void *ticket;
    bool fetched;           /* the whole answer has arrived */
    struct error err;       /* why not */
    bool untried;           /* it was not asked for: its host is paused, for retry_after_ms still */
    bool broken;            /* the connection broke in the middle: another try may do at once */
    long status;            /* HTTP status; 0: none was received */
    int64_t size_bytes;     /* received */
    int64_t duration_ms;    /* from the start of the transfer, waiting not counted */
    int64_t retry_after_ms; /* the server asks for this delay; -1: it does not */
};

struct download *download_open(struct loop *loop, const struct download_settings *settings,
                               struct error *err) MUST_CHECK;
void download_close(struct download *download); /* stops what is under way; NULL is fine */

/* Begins to fetch `url` (http or https), which is copied. */
struct transfer *download_start(struct download *download, const char *url, void *ticket);

/* Ends a transfer that has not been taken back; its ticket will not be seen again. */
void download_cancel(struct transfer *transfer);

/* The receiver has room again after DOWNLOAD_PAUSE. */
void download_resume(struct transfer *transfer);

/* For how long the host of `url` is paused still, because it is in trouble; 0: it is not. */
int64_t download_pause_ms(const struct download *download, const char *url);

/* False while it waits for its turn. */
bool download_is_active(const struct transfer *transfer);

/* Starts transfers whose turn has come and moves those on whose sockets are ready. */
void download_step(struct download *download);

/* Takes back the next transfer that ended, well or not. False if none did. */
bool download_take_finished(struct download *download, struct download_result *result);
