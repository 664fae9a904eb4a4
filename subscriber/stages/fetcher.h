/*
 * A curl handle for http and https, set up once and used for one transfer after the other.
 *
 * Part of download.c.
 */
#pragma once

#include "stages/transfer.h"

#include <curl/curl.h>

struct download_sockets;

/* What a new fetcher needs; all of it outlives the fetcher. */
struct fetcher_settings {
    const struct download_settings *download;
    const struct access *access;
    struct download_sockets *sockets;
    int64_t piece_bytes; /* at most handed over at once */
};

struct fetcher {
    struct list_link link; /* among the idle ones */
    const struct fetcher_settings *settings;
    struct transfer *transfer;
    CURL *easy;
    CURLU *url; /* in parts */
    struct curl_slist *headers;
    bool dressed; /* has options that the next transfer must not have */

    /* of the answer: */
    bool header_is_whole; /* its empty line was seen */
    bool denied;          /* a host that urlAllow and urlDeny exclude */
    bool encoded;         /* a transfer encoding that was not asked for */
    bool start_over;      /* the rest cannot be had: once more, from the first byte */
    size_t header_bytes;  /* of all answers, redirects included */
    int64_t range_first, range_last, range_total; /* Content-Range; -1: unknown */
    char error[CURL_ERROR_SIZE];
};

struct fetcher *fetcher_new(const struct fetcher_settings *settings) MUST_CHECK;
void fetcher_free(struct fetcher *fetcher);

/* Makes it ready for a transfer, and for none. */
void fetcher_begin(struct fetcher *fetcher, struct transfer *transfer);
void fetcher_end(struct fetcher *fetcher);

/* The options that fetchers and couriers have in common. */
void fetcher_set_times(CURL *easy, const struct download_settings *settings);
void fetcher_set_tls(CURL *easy, const struct download_settings *settings);
