/*
 * What the parts of download.c share: a transfer, and the stage as far as they need it.
 *
 * An http transfer is moved on by a fetcher (fetcher.c, answer.c), any other by a courier
 * (courier.c). Both hand over bytes with transfer_take(), which knows about limits.
 */
#pragma once

#include "base/list.h"
#include "stages/access.h"
#include "stages/courier.h"
#include "stages/download.h"
#include "stages/hosts.h"
#include "stages/order.h"

struct fetcher;

struct transfer {
    struct list_link link;      /* waiting at its host, active, or finished */
    struct list_link throttled; /* linked while it waits for byte_rate_max */
    struct download *download;
    struct host *host;
    struct order *order;
    struct fetcher *fetcher; /* one of them while it is active, none while it waits */
    struct courier *courier;
    void *ticket;
    bool paused;   /* the receiver has no room */
    bool stopped;  /* the receiver wants no more */
    bool answered; /* download_answered() was called */
    bool has_turn; /* its bytes may be taken: those that were throttled before it had theirs */
    int64_t from_byte, received, asked_ms, started_ms;
    struct download_result result;
};

/* The bytes come now, and begin at `from_byte`. */
void transfer_answer(struct transfer *transfer, int64_t from_byte, int64_t last_modified_s);

/* Hands bytes to the receiver. After DOWNLOAD_STOP result.err may say why. */
enum download_flow transfer_take(struct transfer *transfer, const char *bytes, size_t length);
