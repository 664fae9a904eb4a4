/*
 * Answers http requests, with libmicrohttpd on our loop: it has one descriptor for all of its
 * sockets, and its only thread is ours.
 */
#include "listener.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX     32
#define CLIENT_MEMORY   16384u /* for a request: what is longer is refused */
#define SILENCE_MAX_S   10u
#define CLIENT_LIFE_MS  30000 /* however slowly it reads or writes */
#define HOST_LENGTH_MAX 256
#define TURN_MS         1000

struct listener {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_watch *watch;
    struct loop_timer *timer;
    listener_print *print;
    void *context;
    struct list clients; /* the oldest first */
    bool due;
};

struct client {
    struct list_link link;
    int fd;
    int64_t since_ms;
};

/* ---- requests ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, char *text,
                              const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_size, void **state)
{
    static const struct {
        const char *path, *type;
    } pages[] = {
        [LISTENER_METRICS] = {"/metrics", "text/plain; version=0.0.4; charset=utf-8"},
        [LISTENER_HEALTH] = {"/healthz", "text/plain; charset=utf-8"},
        [LISTENER_READY] = {"/readyz", "text/plain; charset=utf-8"},
    };
    struct listener *listener = context;
    bool good = true;
    char *text;

    (void)version;
    (void)body;
    (void)body_size;
    (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, memory_copy("only GET and HEAD\n"),
                      "text/plain");
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (strcmp(path, pages[i].path) == 0) {
            text = listener->print(listener->context, (enum listener_page)i, &good);
            return answer(connection, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text,
                          pages[i].type);
        }
    return answer(connection, MHD_HTTP_NOT_FOUND,
                  memory_copy("there are /metrics, /healthz and /readyz\n"), "text/plain");
}

/* ---- clients ---- */

static void on_client(void *context, struct MHD_Connection *connection, void **slot,
                      enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = context;
    const union MHD_ConnectionInfo *info;
    struct client *client = *slot;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (client)
            list_remove(&client->link);
        free(client);
        return;
    }
    client = memory_new(sizeof(*client));
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    client->fd = info ? info->connect_fd : -1;
    client->since_ms = clock_now_ms();
    list_append(&listener->clients, &client->link);
    *slot = client;
}

/* They are told by their socket that it is over; the library then closes it. */
static void cut_off_old(struct listener *listener)
{
    int64_t now_ms = clock_now_ms();

    for (struct list_link *link = list_first(&listener->clients); link;
         link = list_next(&listener->clients, link)) {
        struct client *client = LIST_ITEM(link, struct client, link);

        if (now_ms - client->since_ms < CLIENT_LIFE_MS)
            return;
        if (client->fd >= 0)
            shutdown(client->fd, SHUT_RDWR);
    }
}

/* ---- the loop ---- */

static void on_ready(void *context, int fd, int events)
{
    struct listener *listener = context;

    (void)fd;
    (void)events;
    listener->due = true;
}

static void on_timer(void *context)
{
    struct listener *listener = context;

    listener->due = true;
}

/* Once a second whatever it says: after there were too many clients it must be called to accept
 * others, and does not say so. */
static void set_timer(struct listener *listener)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    bool known = MHD_get_timeout(listener->daemon, &wait_ms) == MHD_YES;

    loop_timer_set(listener->timer, known && wait_ms < TURN_MS ? (int64_t)wait_ms : TURN_MS);
}

void listener_step(struct listener *listener)
{
    if (!listener || !listener->due)
        return;
    listener->due = false;
    cut_off_old(listener);
    MHD_run(listener->daemon);
    set_timer(listener);
}

/* ---- open ---- */

/* "[::1]:9110", "127.0.0.1:9110", "*:9110" or "9110". */
static bool split(const char *where, char host[HOST_LENGTH_MAX], const char **port)
{
    const char *colon = strrchr(where, ':'), *end = colon ? colon : where;
    size_t length;

    *port = colon ? colon + 1 : where;
    if (*where == '[' && end > where && end[-1] == ']') {
        where++;
        end--;
    }
    length = (size_t)(end - where);
    if (length >= HOST_LENGTH_MAX || !**port || strspn(*port, "0123456789") != strlen(*port))
        return false;
    memcpy(host, where, length);
    host[length] = '\0';
    if (strcmp(host, "*") == 0)
        host[0] = '\0';
    return strtol(*port, NULL, 10) <= 65535;
}

static int open_socket(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1,
        failure;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, CLIENTS_MAX) == 0)
        return fd;
    failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static int listen_at(const char *where, struct error *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[HOST_LENGTH_MAX];
    const char *port;
    int code, fd = -1;

    if (!split(where, host, &port)) {
        error_set(err, ERROR_OPERATOR, "metricsListen '%s': must be HOST:PORT", where);
        return -1;
    }
    code = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (code != 0) {
        error_set(err, ERROR_OPERATOR, "metricsListen '%s': %s", where, gai_strerror(code));
        return -1;
    }
    for (const struct addrinfo *address = found; address && fd < 0; address = address->ai_next)
        fd = open_socket(address);
    freeaddrinfo(found);
    if (fd < 0)
        error_set(err, ERROR_OPERATOR, "metricsListen '%s': %s", where, strerror(errno));
    return fd;
}

static struct MHD_Daemon *start_daemon(struct listener *listener, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, listener, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CLIENT_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_MAX_S,
        MHD_OPTION_NOTIFY_CONNECTION, on_client, listener, MHD_OPTION_END);
}

struct listener *listener_open(struct loop *loop, const char *where, listener_print *print,
                               void *context, struct error *err)
{
    int fd = listen_at(where, err);
    struct listener *listener;

    if (fd < 0)
        return NULL;
    listener = memory_new(sizeof(*listener));
    *listener = (struct listener){.loop = loop, .print = print, .context = context, .due = true};
    list_init(&listener->clients);
    listener->daemon = start_daemon(listener, fd);
    if (!listener->daemon) {
        error_set(err, ERROR_OPERATOR, "metricsListen '%s': cannot be started", where);
        close(fd);
        free(listener);
        return NULL;
    }
    listener->timer = loop_timer_open(loop, on_timer, listener);
    listener->watch = loop_watch_open(
        loop, MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, on_ready,
        listener);
    loop_watch_set(listener->watch, LOOP_READABLE);
    log_info("sr3sub.listener open", "answers /metrics, /healthz and /readyz at %s", where);
    return listener;
}

void listener_close(struct listener *listener)
{
    if (!listener)
        return;
    loop_watch_close(listener->watch);
    loop_timer_close(listener->timer);
    MHD_stop_daemon(listener->daemon); /* closes the socket, too */
    free(listener);
}
