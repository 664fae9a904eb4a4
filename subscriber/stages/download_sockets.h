/*
 * Curl's sockets and its timer on our loop: what became ready is noted, and handed to curl when the
 * stage's turn comes.
 *
 * Part of download.c.
 */
#pragma once

#include "base/loop.h"

#include <curl/curl.h>

struct download_sockets;

struct download_sockets *download_sockets_new(struct loop *loop, CURLM *multi) MUST_CHECK;

/* After curl has let go of everything. NULL is fine. */
void download_sockets_free(struct download_sockets *sockets);

/* Opens a socket as curl asks for; CURL_SOCKET_BAD when the system has none. */
curl_socket_t download_sockets_open(struct download_sockets *sockets,
                                    const struct curl_sockaddr *address);

/* Curl's CURLOPT_CLOSESOCKETFUNCTION; `sockets` is its data. */
int download_sockets_on_close(void *sockets, curl_socket_t fd);

/* Lets curl work on what is ready. */
void download_sockets_step(struct download_sockets *sockets);

/* There is more to do at once. */
bool download_sockets_are_ready(const struct download_sockets *sockets);
