/*
 * A scripted HTTP server on a loopback port, for tests: each path has its answer in a table, each
 * connection its thread. It counts connections and how many requests were open at once.
 */
#pragma once

#include "base/memory.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HTTP_CONNECTIONS_MAX 128
#define HTTP_PIECE           8192

/* An answer. Zero is fine for whatever is not said. */
struct http_route {
    const char *path;
    const char *head; /* status line and headers, each with its \r\n; NULL: never answers */
    size_t body;      /* bytes of body: http_byte() of their position */
    size_t cut;       /* the connection is closed after so many bytes of it; 0: it is not */
    bool chunked;     /* the body is sent in chunks */
    bool closes;      /* the connection is closed afterwards */
    bool unfinished;  /* it is closed after `head`, without the empty line */
    int wait_ms;      /* before the answer */
    size_t piece;     /* bytes sent at once; 0: HTTP_PIECE */
    int pause_ms;     /* between pieces */
};

struct http_server {
    int fd, port;
    const struct http_route *routes;
    size_t route_count;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic int connections, requests, open, open_most;
    struct http_connection {
        struct http_server *server;
        pthread_t thread;
        int fd;
    } connection[HTTP_CONNECTIONS_MAX];
};

static inline char http_byte(size_t position)
{
    return (char)(position * 7 + position / 251);
}

/* Waits, but not for a connection that ends. */
static inline void http_pause(int fd, int ms)
{
    struct pollfd poller = {.fd = fd, .events = POLLRDHUP};

    if (ms > 0)
        poll(&poller, 1, ms);
}

static inline bool http_send(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

static inline bool http_send_piece(int fd, const struct http_route *route, size_t done,
                                   size_t length)
{
    char piece[HTTP_PIECE], size[20];

    for (size_t i = 0; i < length; i++)
        piece[i] = http_byte(done + i);
    snprintf(size, sizeof(size), "%zx\r\n", length);
    return (!route->chunked || http_send(fd, size, strlen(size))) && http_send(fd, piece, length)
        && (!route->chunked || http_send(fd, "\r\n", 2));
}

/* False: the connection has to be closed. */
static inline bool http_answer(int fd, const struct http_route *route)
{
    size_t piece = route->piece ? route->piece : HTTP_PIECE, length;
    size_t end = route->cut ? route->cut : route->body;

    if (!route->head)
        return true;
    if (!http_send(fd, route->head, strlen(route->head)) || route->unfinished
        || !http_send(fd, "\r\n", 2))
        return false;
    for (size_t done = 0; done < end; done += length) {
        length = end - done < piece ? end - done : piece;
        if (!http_send_piece(fd, route, done, length))
            return false;
        http_pause(fd, route->pause_ms);
    }
    return (!route->chunked || route->cut || http_send(fd, "0\r\n\r\n", 5)) && !route->cut
        && !route->closes;
}

/* Reads a request and writes its path; false when the connection has ended. */
static inline bool http_read_request(int fd, char path[256])
{
    char request[4096];
    size_t used = 0;

    do {
        ssize_t got = recv(fd, request + used, sizeof(request) - 1 - used, 0);

        if (got <= 0)
            return false;
        used += (size_t)got;
        request[used] = '\0';
    } while (!strstr(request, "\r\n\r\n") && used < sizeof(request) - 1);
    return sscanf(request, "GET %255s ", path) == 1;
}

static inline const struct http_route *http_find(const struct http_server *server,
                                                 const char *path)
{
    static const struct http_route missing = {
        .head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"};

    for (size_t i = 0; i < server->route_count; i++)
        if (strcmp(server->routes[i].path, path) == 0)
            return &server->routes[i];
    return &missing;
}

static inline void *http_serve(void *context)
{
    struct http_connection *connection = context;
    struct http_server *server = connection->server;
    bool goes_on = true;
    char path[256];

    while (goes_on && http_read_request(connection->fd, path)) {
        const struct http_route *route = http_find(server, path);
        int open = ++server->open, most = server->open_most;

        server->requests++;
        while (open > most && !atomic_compare_exchange_weak(&server->open_most, &most, open))
            continue;
        http_pause(connection->fd, route->wait_ms);
        if (route->head)
            server->open--; /* before the client can know, and begin the next */
        goes_on = http_answer(connection->fd, route);
    }
    shutdown(connection->fd, SHUT_RDWR); /* closed by http_server_stop() */
    return NULL;
}

static inline void *http_accept(void *context)
{
    struct http_server *server = context;
    int fd;

    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        struct http_connection *connection = &server->connection[server->connections];

        assert(server->connections < HTTP_CONNECTIONS_MAX);
        connection->server = server;
        connection->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        pthread_create(&connection->thread, NULL, http_serve, connection);
        server->connections++;
    }
    return NULL;
}

static inline struct http_server *http_server_start(const struct http_route *routes, size_t count)
{
    struct http_server *server = memory_new(sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);

    server->routes = routes;
    server->route_count = count;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->fd, (struct sockaddr *)&address, size) != 0 || listen(server->fd, 100) != 0
        || getsockname(server->fd, (struct sockaddr *)&address, &size) != 0
        || pthread_create(&server->thread, NULL, http_accept, server) != 0) {
        perror("scripted server");
        abort();
    }
    server->port = ntohs(address.sin_port);
    return server;
}

static inline void http_server_stop(struct http_server *server)
{
    shutdown(server->fd, SHUT_RDWR); /* ends accept() */
    pthread_join(server->thread, NULL);
    for (int i = 0; i < server->connections; i++) {
        shutdown(server->connection[i].fd, SHUT_RDWR);
        pthread_join(server->connection[i].thread, NULL);
        close(server->connection[i].fd);
    }
    close(server->fd);
    free(server);
}
