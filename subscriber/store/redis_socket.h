/*
 * The bytes between us and Redis: a TCP or unix socket, with TLS if wanted.
 *
 * Nothing waits. The name is resolved in the loop's pool, its addresses are tried in turn, each for
 * the timeout. `event` is called from the loop, never from the functions below, when the socket has
 * opened or failed, when there is something to read, and when there is room to write again; it may
 * close the socket.
 */
#pragma once

#include "base/loop.h"
#include "store/redis_address.h"

#include <sys/types.h>

struct redis_socket;
struct redis_tls;

enum redis_socket_state { REDIS_SOCKET_CONNECTING, REDIS_SOCKET_OPEN, REDIS_SOCKET_FAILED };

typedef void redis_socket_event(void *context);

/* Certificates are verified against those of the system. NULL and `err` when there are none. */
struct redis_tls *redis_tls_open(struct error *err) MUST_CHECK;
void redis_tls_close(struct redis_tls *tls); /* NULL is fine */

/* Begins to connect. `address` and `tls` (NULL: no TLS) must stay until the socket is closed. */
struct redis_socket *redis_socket_open(struct loop *loop, const struct redis_address *address,
                                       struct redis_tls *tls, int64_t connect_timeout_ms,
                                       redis_socket_event *event, void *context) MUST_CHECK;
void redis_socket_close(struct redis_socket *redis); /* NULL is fine */

enum redis_socket_state redis_socket_state(const struct redis_socket *redis);
const char *redis_socket_failure(const struct redis_socket *redis); /* "" unless it failed */

/* How many bytes were moved, 0: none can be at the moment, -1: the socket has failed. */
ssize_t redis_socket_read(struct redis_socket *redis, char *bytes, size_t size);
ssize_t redis_socket_write(struct redis_socket *redis, const char *bytes, size_t size);
