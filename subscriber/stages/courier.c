/*
 * The threads and their bags. One lock guards all of them: it is held for moments, and a courier
 * brings much at a time. The loop is told of news through a descriptor; until it has looked, no
 * further telling is needed.
 *
 * A thread that had nothing to do for a while ends by itself, and with it its connection.
 */
#include "stages/courier.h"

#include "base/list.h"
#include "base/memory.h"
#include "stages/order.h"
#include "stages/remote.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BAG_SIZE    131072
#define IDLE_S      30
#define CLOSE_S     2
#define SOCKETS_MAX 4
#define STACK_SIZE  524288

struct bag {
    char *bytes;
    size_t filled, taken;
};

struct courier {
    struct list_link link;      /* in `all` */
    struct list_link idle_link; /* in `idle` while it has no order */
    struct list_link news_link;
    struct couriers *couriers;
    pthread_cond_t moved;
    struct remote *remote; /* its thread's */
    char *place;           /* scheme, host, port and user of its connection; NULL: none yet */
    struct order *order;   /* NULL: it waits for one */
    void *ticket;
    _Atomic bool recalled;
    bool dismissed; /* nobody waits for it any more */
    bool ended;     /* its way has come to an end, `outcome` says how */
    struct courier_outcome outcome;
    bool has_answer;
    int64_t from_byte, last_modified_s;
    struct bag bag, hand; /* filled by the thread; being looked at by the loop */
    int sockets[SOCKETS_MAX];
    int socket_count;
};

struct couriers {
    struct courier_settings settings;
    struct loop_watch *watch;
    int event;
    pthread_mutex_t lock;
    pthread_cond_t left; /* a thread has ended */
    bool closing;
    int threads;
    struct list all, idle, news;
};

/* ---- telling; the lock is held ---- */

static void tell(struct courier *courier)
{
    struct couriers *couriers = courier->couriers;
    uint64_t one = 1;

    if (courier->dismissed || list_is_linked(&courier->news_link))
        return;
    list_append(&couriers->news, &courier->news_link);
    if (write(couriers->event, &one, sizeof(one)) < 0)
        assert(errno == EAGAIN);
}

static void drop_order(struct courier *courier)
{
    order_free(courier->order);
    courier->order = NULL;
    courier->ended = courier->has_answer = courier->dismissed = false;
    courier->recalled = false;
    courier->bag.filled = courier->hand.filled = courier->hand.taken = 0;
    list_remove(&courier->news_link);
    list_append(&courier->couriers->idle, &courier->idle_link);
}

/* ---- in the thread ---- */

void courier_put_answer(struct courier *courier, int64_t from_byte, int64_t last_modified_s)
{
    pthread_mutex_lock(&courier->couriers->lock);
    courier->has_answer = true;
    courier->from_byte = from_byte;
    courier->last_modified_s = last_modified_s;
    tell(courier);
    pthread_mutex_unlock(&courier->couriers->lock);
}

bool courier_put(struct courier *courier, const char *bytes, size_t length)
{
    struct bag *bag = &courier->bag;

    pthread_mutex_lock(&courier->couriers->lock);
    while (length && !courier->recalled) {
        size_t fits = BAG_SIZE - bag->filled < length ? BAG_SIZE - bag->filled : length;

        if (!fits) {
            pthread_cond_wait(&courier->moved, &courier->couriers->lock);
            continue;
        }
        memcpy(bag->bytes + bag->filled, bytes, fits);
        bag->filled += fits;
        bytes += fits;
        length -= fits;
        tell(courier);
    }
    pthread_mutex_unlock(&courier->couriers->lock);
    return !courier->recalled;
}

bool courier_is_recalled(const struct courier *courier)
{
    return courier->recalled;
}

void courier_note_socket(struct courier *courier, int fd)
{
    pthread_mutex_lock(&courier->couriers->lock);
    if (courier->socket_count < SOCKETS_MAX)
        courier->sockets[courier->socket_count++] = fd;
    if (courier->recalled)
        shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&courier->couriers->lock);
}

void courier_forget_socket(struct courier *courier, int fd)
{
    pthread_mutex_lock(&courier->couriers->lock);
    for (int i = 0; i < courier->socket_count; i++)
        if (courier->sockets[i] == fd)
            courier->sockets[i--] = courier->sockets[--courier->socket_count];
    pthread_mutex_unlock(&courier->couriers->lock);
}

/* With the lock. False: there was none for a while, or there will be none. */
static bool wait_for_order(struct courier *courier)
{
    struct couriers *couriers = courier->couriers;
    struct timespec until;
    int result = 0;

    while (courier->ended && !couriers->closing) /* the loop has not let go of it yet */
        pthread_cond_wait(&courier->moved, &couriers->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    while (!courier->order && !couriers->closing && result == 0)
        result = pthread_cond_timedwait(&courier->moved, &couriers->lock, &until);
    return courier->order && !couriers->closing;
}

static void deliver(struct courier *courier)
{
    struct courier_outcome outcome = {0};

    pthread_mutex_unlock(&courier->couriers->lock);
    remote_carry_out(courier->remote, courier->order, &outcome);
    pthread_mutex_lock(&courier->couriers->lock);
    courier->outcome = outcome;
    courier->ended = true;
    if (courier->dismissed)
        drop_order(courier);
    else
        tell(courier);
}

/* With the lock, which is let go; `courier` is freed. */
static void leave(struct courier *courier)
{
    struct couriers *couriers = courier->couriers;

    list_remove(&courier->idle_link);
    list_remove(&courier->news_link);
    pthread_mutex_unlock(&couriers->lock);
    remote_free(courier->remote);
    pthread_mutex_lock(&couriers->lock);
    list_remove(&courier->link);
    pthread_cond_destroy(&courier->moved);
    order_free(courier->order);
    free(courier->bag.bytes);
    free(courier->hand.bytes);
    free(courier->place);
    free(courier);
    couriers->threads--;
    pthread_cond_signal(&couriers->left);
    pthread_mutex_unlock(&couriers->lock);
}

static void *live(void *context)
{
    struct courier *courier = context;

    pthread_mutex_lock(&courier->couriers->lock);
    while (wait_for_order(courier))
        deliver(courier);
    leave(courier);
    return NULL;
}

/* ---- on the loop: all of them ---- */

static void event_ready(void *context, int fd, int events)
{
    struct couriers *couriers = context;
    uint64_t count;

    (void)events;
    if (read(fd, &count, sizeof(count)) == sizeof(count))
        couriers->settings.notice(couriers->settings.context);
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct couriers *couriers_open(struct loop *loop, const struct courier_settings *settings)
{
    struct couriers *couriers = memory_new(sizeof(*couriers));

    couriers->settings = *settings;
    couriers->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (couriers->event < 0)
        abort(); /* out of descriptors before anything was opened */
    couriers->watch = loop_watch_open(loop, couriers->event, event_ready, couriers);
    loop_watch_set(couriers->watch, LOOP_READABLE);
    pthread_mutex_init(&couriers->lock, NULL);
    cond_init(&couriers->left);
    list_init(&couriers->all);
    list_init(&couriers->idle);
    list_init(&couriers->news);
    return couriers;
}

static void recall(struct courier *courier)
{
    courier->recalled = true;
    for (int i = 0; i < courier->socket_count; i++)
        shutdown(courier->sockets[i], SHUT_RDWR);
    pthread_cond_signal(&courier->moved);
}

/* With the lock. Whether all threads have ended. */
static bool wait_for_all(struct couriers *couriers)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_S;
    while (couriers->threads)
        if (pthread_cond_timedwait(&couriers->left, &couriers->lock, &until) != 0)
            break;
    return couriers->threads == 0;
}

bool couriers_close(struct couriers *couriers)
{
    bool ended;

    if (!couriers)
        return true;
    loop_watch_close(couriers->watch);
    pthread_mutex_lock(&couriers->lock);
    couriers->closing = true;
    for (struct list_link *link = list_first(&couriers->all); link;
         link = list_next(&couriers->all, link)) {
        struct courier *courier = LIST_ITEM(link, struct courier, link);

        courier->dismissed = true;
        recall(courier);
    }
    ended = wait_for_all(couriers);
    pthread_mutex_unlock(&couriers->lock);
    if (!ended) {
        loop_leave_work();
        return false;
    }
    close(couriers->event);
    pthread_cond_destroy(&couriers->left);
    pthread_mutex_destroy(&couriers->lock);
    free(couriers);
    return true;
}

static bool start_thread(struct courier *courier)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int result;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    result = pthread_create(&thread, &attributes, live, courier);
    pthread_attr_destroy(&attributes);
    return result == 0;
}

/* With the lock. NULL: no more threads are to be had. */
static struct courier *hire(struct couriers *couriers)
{
    struct courier *courier;

    if (couriers->threads >= couriers->settings.couriers_max)
        return NULL;
    courier = memory_new(sizeof(*courier));
    courier->couriers = couriers;
    cond_init(&courier->moved);
    courier->remote = remote_new(&couriers->settings, courier);
    courier->bag.bytes = memory_new(BAG_SIZE);
    courier->hand.bytes = memory_new(BAG_SIZE);
    list_append(&couriers->all, &courier->link);
    list_append(&couriers->idle, &courier->idle_link);
    couriers->threads++;
    if (start_thread(courier))
        return courier;
    leave(courier);
    pthread_mutex_lock(&couriers->lock);
    return NULL;
}

/* ---- on the loop: one of them ---- */

static char *place_of(const struct download_request *request)
{
    const char *start = strstr(request->url, "://");
    const char *path = start ? start + 3 + strcspn(start + 3, "/") : request->url;
    const char *user = request->login ? request->login->user : NULL;

    return memory_format("%.*s %s", (int)(path - request->url), request->url, user ? user : "");
}

/* One that has been there, else any that is idle, else a new one. */
static struct courier *choose(struct couriers *couriers, const char *place)
{
    struct list_link *link = list_first(&couriers->idle);

    for (; link; link = list_next(&couriers->idle, link)) {
        struct courier *courier = LIST_ITEM(link, struct courier, idle_link);

        if (courier->place && strcmp(courier->place, place) == 0)
            return courier;
    }
    link = list_first(&couriers->idle);
    return link ? LIST_ITEM(link, struct courier, idle_link) : hire(couriers);
}

struct courier *couriers_send(struct couriers *couriers, const struct download_request *request,
                              void *ticket)
{
    char *place = place_of(request);
    struct courier *courier;

    pthread_mutex_lock(&couriers->lock);
    courier = choose(couriers, place);
    if (courier) {
        list_remove(&courier->idle_link);
        memory_replace(&courier->place, memory_copy(place));
        courier->order = order_new(request);
        courier->ticket = ticket;
        pthread_cond_signal(&courier->moved);
    }
    pthread_mutex_unlock(&couriers->lock);
    free(place);
    return courier;
}

struct courier *couriers_take_news(struct couriers *couriers, void **ticket)
{
    struct list_link *link;
    struct courier *courier = NULL;

    pthread_mutex_lock(&couriers->lock);
    link = list_take_first(&couriers->news);
    if (link) {
        courier = LIST_ITEM(link, struct courier, news_link);
        *ticket = courier->ticket;
    }
    pthread_mutex_unlock(&couriers->lock);
    return courier;
}

bool courier_take_answer(struct courier *courier, int64_t *from_byte, int64_t *last_modified_s)
{
    bool has_answer;

    pthread_mutex_lock(&courier->couriers->lock);
    has_answer = courier->has_answer;
    courier->has_answer = false;
    *from_byte = courier->from_byte;
    *last_modified_s = courier->last_modified_s;
    pthread_mutex_unlock(&courier->couriers->lock);
    return has_answer;
}

const char *courier_look(struct courier *courier, size_t *length)
{
    struct bag *hand = &courier->hand;

    if (hand->taken == hand->filled) {
        struct bag empty = {.bytes = hand->bytes};

        pthread_mutex_lock(&courier->couriers->lock);
        *hand = courier->bag;
        courier->bag = empty;
        pthread_cond_signal(&courier->moved);
        pthread_mutex_unlock(&courier->couriers->lock);
    }
    *length = hand->filled - hand->taken;
    return hand->bytes + hand->taken;
}

void courier_took(struct courier *courier, size_t length)
{
    courier->hand.taken += length;
}

bool courier_is_done(struct courier *courier, struct courier_outcome *outcome)
{
    bool done;

    pthread_mutex_lock(&courier->couriers->lock);
    done = courier->ended && !courier->has_answer && courier->bag.filled == 0
           && courier->hand.taken == courier->hand.filled;
    if (done)
        *outcome = courier->outcome;
    pthread_mutex_unlock(&courier->couriers->lock);
    return done;
}

void courier_dismiss(struct courier *courier)
{
    struct couriers *couriers = courier->couriers;

    pthread_mutex_lock(&couriers->lock);
    if (courier->ended) {
        drop_order(courier);
        pthread_cond_signal(&courier->moved);
    } else {
        courier->dismissed = true;
        list_remove(&courier->news_link);
        recall(courier);
    }
    pthread_mutex_unlock(&couriers->lock);
}
