/* The sockets of kept connections stay watched while they rest, which spares telling the kernel
 * twice for every file. */
#include "stages/download_sockets.h"

#include "base/list.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct watched {
    struct list_link ready_link;
    struct download_sockets *sockets;
    struct loop_watch *watch;
    int fd, wanted, ready;
    bool connection; /* opened by us, not one of curl's inner ones */
};

struct download_sockets {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    bool timer_due;
    struct list ready;
    struct watched **watched; /* by descriptor */
    size_t capacity;
};

static void socket_ready(void *context, int fd, int events)
{
    struct watched *socket = context;

    (void)fd;
    if (!socket->wanted) { /* a resting connection: the server has closed it, curl will find out */
        loop_watch_set(socket->watch, 0);
        return;
    }
    socket->ready |= events;
    if (!list_is_linked(&socket->ready_link))
        list_append(&socket->sockets->ready, &socket->ready_link);
}

static struct watched *socket_add(struct download_sockets *sockets, int fd, bool connection)
{
    struct watched *socket = memory_new(sizeof(*socket));

    if ((size_t)fd >= sockets->capacity) {
        size_t capacity = (size_t)fd + 64;

        sockets->watched = memory_resize(sockets->watched, capacity, sizeof(struct watched *));
        memset(sockets->watched + sockets->capacity, 0,
               (capacity - sockets->capacity) * sizeof(struct watched *));
        sockets->capacity = capacity;
    }
    socket->sockets = sockets;
    socket->fd = fd;
    socket->connection = connection;
    socket->watch = loop_watch_open(sockets->loop, fd, socket_ready, socket);
    sockets->watched[fd] = socket;
    return socket;
}

static struct watched *socket_find(struct download_sockets *sockets, int fd)
{
    return (size_t)fd < sockets->capacity ? sockets->watched[fd] : NULL;
}

static void socket_remove(struct watched *socket)
{
    socket->sockets->watched[socket->fd] = NULL;
    list_remove(&socket->ready_link);
    loop_watch_close(socket->watch);
    free(socket);
}

curl_socket_t download_sockets_open(struct download_sockets *sockets,
                                    const struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);

    if (fd < 0)
        return CURL_SOCKET_BAD;
    socket_add(sockets, fd, true);
    return fd;
}

int download_sockets_on_close(void *context, curl_socket_t fd)
{
    struct download_sockets *sockets = context;
    struct watched *socket = socket_find(sockets, fd);

    if (socket)
        socket_remove(socket);
    return close(fd);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    struct download_sockets *sockets = context;
    struct watched *socket = socket_find(sockets, fd);

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (socket && socket->connection)
            socket->wanted = 0; /* stays watched: most likely curl wants it again at once */
        else if (socket)
            socket_remove(socket);
        return 0;
    }
    if (!socket)
        socket = socket_add(sockets, fd, false);
    socket->wanted =
        (what & CURL_POLL_IN ? LOOP_READABLE : 0) | (what & CURL_POLL_OUT ? LOOP_WRITABLE : 0);
    loop_watch_set(socket->watch, socket->wanted);
    return 0;
}

static void timer_due(void *context)
{
    struct download_sockets *sockets = context;

    sockets->timer_due = true;
}

static int on_timer(CURLM *multi, long delay_ms, void *context)
{
    struct download_sockets *sockets = context;

    (void)multi;
    sockets->timer_due = delay_ms == 0;
    if (delay_ms > 0)
        loop_timer_set(sockets->timer, delay_ms);
    else
        loop_timer_stop(sockets->timer);
    return 0;
}

struct download_sockets *download_sockets_new(struct loop *loop, CURLM *multi)
{
    struct download_sockets *sockets = memory_new(sizeof(*sockets));

    sockets->loop = loop;
    sockets->multi = multi;
    list_init(&sockets->ready);
    sockets->timer = loop_timer_open(loop, timer_due, sockets);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, sockets);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, sockets);
    return sockets;
}

void download_sockets_free(struct download_sockets *sockets)
{
    if (!sockets)
        return;
    for (size_t fd = 0; fd < sockets->capacity; fd++)
        if (sockets->watched[fd])
            socket_remove(sockets->watched[fd]);
    free(sockets->watched);
    loop_timer_close(sockets->timer);
    free(sockets);
}

void download_sockets_step(struct download_sockets *sockets)
{
    struct list_link *link;
    int running;

    while ((link = list_take_first(&sockets->ready))) {
        struct watched *socket = LIST_ITEM(link, struct watched, ready_link);
        int events = (socket->ready & LOOP_READABLE ? CURL_CSELECT_IN : 0)
                     | (socket->ready & LOOP_WRITABLE ? CURL_CSELECT_OUT : 0);

        socket->ready = 0;
        curl_multi_socket_action(sockets->multi, socket->fd, events, &running);
    }
    while (sockets->timer_due) {
        sockets->timer_due = false;
        curl_multi_socket_action(sockets->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

bool download_sockets_are_ready(const struct download_sockets *sockets)
{
    return sockets->timer_due || !list_is_empty(&sockets->ready);
}
