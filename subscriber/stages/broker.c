/*
 * Deliveries from RabbitMQ, and acks for them.
 *
 * librabbitmq reads frames for us; the frames of a delivery are put together in incoming.c, so that
 * no call ever waits for the next one. Three of its habits shape this file: it may hold frames
 * that it has already read, so it is drained until it says that nothing is left; it serves
 * heartbeats only while it is being called, hence the timer; and its sends wait when the socket is
 * full, hence the look at the socket before anything is sent.
 */
#include "stages/broker.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "stages/broker_connect.h"
#include "stages/incoming.h"
#include "stages/queue_depth.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_FIRST_MS    1000
#define RECONNECT_MOST_MS     30000
#define RECONNECT_OPERATOR_MS 2000 /* someone has to mend it first; doubled up to a minute */
#define RECONNECT_SLOWEST_MS  60000
#define CONNECTION_HELD_MS    1000 /* delays begin anew after a connection that worked this long */
#define REPEAT_ERROR_MS       600000 /* the same failure is logged again after this time */
#define CLOSE_TIMEOUT_MS      1000

enum broker_state {
    BROKER_WAITING,    /* for the time of the next attempt */
    BROKER_CONNECTING, /* in the pool */
    BROKER_CONNECTED
};

/* A delivery that the broker waits to hear about; in the order of tags. */
struct broker_delivery {
    struct list_link link;         /* in `open` */
    struct list_link settled_link; /* in `settled` */
    uint64_t tag;
    bool settled, requeue;
};

struct broker {
    struct loop *loop;
    struct broker_settings settings;
    struct arena texts; /* of the settings */
    enum broker_state state;
    bool closing, readable, stopping, blocked;
    bool held; /* is to be, or is when connected */
    unsigned connections;
    int failures;
    int64_t next_try_ms, last_error_ms, connected_at_ms;
    char last_error[500];
    struct loop_timer *timer; /* the next attempt, or the next heartbeat */
    struct loop_watch *watch;
    struct broker_session session;
    amqp_connection_state_t connection;
    struct list open, settled;
    struct queue_depth depth;
    struct incoming incoming;
};

static void broker_timer_due(void *context)
{
    struct broker *broker = context;

    broker->readable = true; /* calling the library is what serves the heartbeat */
}

static void broker_socket_ready(void *context, int fd, int events)
{
    struct broker *broker = context;

    (void)fd;
    if (events & LOOP_READABLE)
        broker->readable = true;
    if (events & LOOP_WRITABLE) {
        broker->blocked = false;
        loop_watch_set(broker->watch, LOOP_READABLE);
    }
}

static void broker_copy_settings(struct broker *broker, const struct broker_settings *from)
{
    struct broker_settings *to = &broker->settings;
    struct arena *texts = &broker->texts;
    struct broker_binding *bindings;

    *to = *from;
    to->host = arena_copy(texts, from->host, strlen(from->host));
    to->vhost = arena_copy(texts, from->vhost, strlen(from->vhost));
    to->user = arena_copy(texts, from->user, strlen(from->user));
    to->password = arena_copy(texts, from->password, strlen(from->password));
    to->url = arena_copy(texts, from->url, strlen(from->url));
    to->queue = arena_copy(texts, from->queue, strlen(from->queue));
    to->record = from->record ? arena_copy(texts, from->record, strlen(from->record)) : NULL;
    bindings = arena_take(texts, (from->binding_count + 1) * sizeof(*bindings));
    for (size_t i = 0; i < from->binding_count; i++) {
        const struct broker_binding *binding = &from->bindings[i];

        bindings[i].exchange = arena_copy(texts, binding->exchange, strlen(binding->exchange));
        bindings[i].topic = arena_copy(texts, binding->topic, strlen(binding->topic));
        bindings[i].prefix_length = binding->prefix_length;
    }
    to->bindings = bindings;
}

struct broker *broker_open(struct loop *loop, const struct broker_settings *settings,
                           struct error *err)
{
    struct broker *broker;

    if (settings->prefetch < 1 || settings->prefetch > UINT16_MAX) {
        error_set(err, ERROR_OPERATOR, "prefetch %d: must be 1 to %d", settings->prefetch,
                  UINT16_MAX);
        return NULL;
    }
    broker = memory_new(sizeof(*broker));
    broker->loop = loop;
    broker_copy_settings(broker, settings);
    list_init(&broker->open);
    list_init(&broker->settled);
    broker->timer = loop_timer_open(loop, broker_timer_due, broker);
    broker->last_error_ms = -REPEAT_ERROR_MS;
    return broker;
}

static void broker_forget_deliveries(struct broker *broker)
{
    struct list_link *link;

    list_init(&broker->settled);
    while ((link = list_take_first(&broker->open)))
        free(LIST_ITEM(link, struct broker_delivery, link));
    broker->incoming.begun = false;
}

static void broker_free(struct broker *broker)
{
    broker_forget_deliveries(broker);
    arena_clear(&broker->texts);
    incoming_clear(&broker->incoming);
    broker_session_clear(&broker->session);
    free(broker);
}

void broker_close(struct broker *broker)
{
    if (!broker)
        return;
    loop_timer_close(broker->timer);
    loop_watch_close(broker->watch);
    broker->watch = NULL;
    if (broker->state == BROKER_CONNECTED)
        broker_disconnect(broker->connection, CLOSE_TIMEOUT_MS);
    if (broker->state == BROKER_CONNECTING)
        broker->closing = true; /* the pool still works with it: freed when that ends */
    else
        broker_free(broker);
}

/* The same failure over and over is one line, until it changes or ten minutes have passed. */
static void broker_log_failure(struct broker *broker, const char *text)
{
    int64_t now = clock_now_ms();

    if (strcmp(text, broker->last_error) == 0 && now - broker->last_error_ms < REPEAT_ERROR_MS)
        return;
    snprintf(broker->last_error, sizeof(broker->last_error), "%s", text);
    broker->last_error_ms = now;
    log_error("sarracenia.moth.amqp getSetup", "%s (trying again by itself)", text);
}

static void broker_wait_for_retry(struct broker *broker, enum error_kind kind)
{
    bool slow = kind == ERROR_OPERATOR;
    int64_t delay =
        backoff_ms(++broker->failures, slow ? RECONNECT_OPERATOR_MS : RECONNECT_FIRST_MS,
                   slow ? RECONNECT_SLOWEST_MS : RECONNECT_MOST_MS);

    broker->state = BROKER_WAITING;
    broker->next_try_ms = clock_now_ms() + delay;
    loop_timer_set(broker->timer, delay);
}

static void broker_lost(struct broker *broker, const char *why)
{
    log_warning("sarracenia.moth.amqp getNewMessage", "lost connection to broker %s: %s",
                broker->settings.url, why);
    loop_watch_close(broker->watch);
    broker->watch = NULL;
    amqp_destroy_connection(broker->connection);
    broker->connection = NULL;
    broker->blocked = false;
    broker_forget_deliveries(broker);
    if (clock_now_ms() - broker->connected_at_ms > CONNECTION_HELD_MS)
        broker->failures = 0;
    broker_wait_for_retry(broker, ERROR_TEMPORARY);
}

/* Neither is waited for to be confirmed. */
static void broker_send_hold(struct broker *broker)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(BROKER_CONSUMER_TAG),
                                  .nowait = 1};
    amqp_basic_consume_t consume = {.queue = amqp_cstring_bytes(broker->settings.queue),
                                    .consumer_tag = cancel.consumer_tag,
                                    .nowait = 1};

    if (broker->state != BROKER_CONNECTED)
        return;
    if (broker->held)
        amqp_send_method(broker->connection, BROKER_CHANNEL, AMQP_BASIC_CANCEL_METHOD, &cancel);
    else
        amqp_send_method(broker->connection, BROKER_CHANNEL, AMQP_BASIC_CONSUME_METHOD, &consume);
}

static void broker_connect_work(void *context)
{
    struct broker *broker = context;

    broker_connect(&broker->session);
}

static void broker_connect_done(void *context)
{
    struct broker *broker = context;

    if (broker->closing) {
        broker_disconnect(broker->session.connection, CLOSE_TIMEOUT_MS);
        broker_free(broker);
        return;
    }
    if (!broker->session.connection) {
        broker_log_failure(broker, broker->session.err.text);
        broker_wait_for_retry(broker, broker->session.err.kind);
        return;
    }
    broker_log_session(&broker->session);
    broker->state = BROKER_CONNECTED;
    broker->connection = broker->session.connection;
    broker->connected_at_ms = clock_now_ms();
    broker->last_error[0] = '\0';
    broker->connections++;
    broker->watch = loop_watch_open(broker->loop, amqp_get_sockfd(broker->connection),
                                    broker_socket_ready, broker);
    loop_watch_set(broker->watch, LOOP_READABLE);
    broker->readable = true; /* deliveries may have come right behind the consumer's confirmation */
    queue_depth_begin(&broker->depth, broker->session.messages_waiting);
    if (broker->held != broker->session.held)
        broker_send_hold(broker);
    loop_again(broker->loop);
}

void broker_step(struct broker *broker)
{
    if (broker->state == BROKER_CONNECTED && amqp_get_heartbeat(broker->connection) > 0
        && broker->readable)
        loop_timer_set(broker->timer, amqp_get_heartbeat(broker->connection) * 1000 / 4);
    if (broker->state != BROKER_WAITING || broker->stopping || clock_now_ms() < broker->next_try_ms)
        return;
    broker_session_clear(&broker->session);
    broker->session.settings = &broker->settings;
    broker->session.held = broker->held;
    broker->state = BROKER_CONNECTING;
    loop_work(broker->loop, broker_connect_work, broker_connect_done, broker);
}

/* ---- frames ---- */

/* All frames are in: makes the delivery of them. */
static bool broker_finish_delivery(struct broker *broker, struct delivery *delivery)
{
    struct broker_delivery *open = memory_new(sizeof(*open));

    *delivery = (struct delivery){0};
    incoming_finish(&broker->incoming, delivery, &open->tag);
    list_append(&broker->open, &open->link);
    delivery->ticket = (struct broker_ticket){.connection = broker->connections, .delivery = open};
    return true;
}

static void broker_closed_by_peer(struct broker *broker, const amqp_method_t *method)
{
    amqp_rpc_reply_t reply = {.reply_type = AMQP_RESPONSE_SERVER_EXCEPTION, .reply = *method};
    amqp_connection_close_ok_t ok = {0};
    char words[300];

    broker_describe_reply(reply, words, sizeof(words));
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        amqp_send_method(broker->connection, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    broker_lost(broker, words);
}

static void broker_read_method(struct broker *broker, const amqp_method_t *method)
{
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        incoming_begin(&broker->incoming, method->decoded);
        break;
    case AMQP_BASIC_CANCEL_METHOD: /* the queue has been deleted or has expired */
        broker_lost(broker, "the broker ended our consumer: was the queue deleted?");
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        broker_closed_by_peer(broker, method);
        break;
    default: /* connection.blocked and the like: of no concern to a consumer */
        break;
    }
}

/* True when the frame completed a delivery. */
static bool broker_read_frame(struct broker *broker, amqp_frame_t *frame, struct delivery *delivery)
{
    if (frame->channel == QUEUE_DEPTH_CHANNEL) {
        queue_depth_read(&broker->depth, broker->connection, frame);
        return false;
    }
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        broker_read_method(broker, &frame->payload.method);
        return false;
    case AMQP_FRAME_HEADER:
        return incoming_add_header(&broker->incoming, frame)
               && broker_finish_delivery(broker, delivery);
    case AMQP_FRAME_BODY:
        return incoming_add_body(&broker->incoming, frame)
               && broker_finish_delivery(broker, delivery);
    default:
        return false;
    }
}

bool broker_take_delivery(struct broker *broker, struct delivery *delivery)
{
    struct timeval at_once = {0};
    amqp_frame_t frame;

    while (broker->state == BROKER_CONNECTED && broker->readable) {
        if (!broker->incoming.begun) { /* what the last one pointed to is not needed any more */
            amqp_maybe_release_buffers_on_channel(broker->connection, BROKER_CHANNEL);
            incoming_release(&broker->incoming);
        }

        int status = amqp_simple_wait_frame_noblock(broker->connection, &frame, &at_once);

        if (status == AMQP_STATUS_TIMEOUT)
            broker->readable = false;
        else if (status != AMQP_STATUS_OK)
            broker_lost(broker, amqp_error_string2(status));
        else if (broker_read_frame(broker, &frame, delivery))
            return true;
    }
    return false;
}

/* ---- acks ---- */

static void broker_settle(struct broker *broker, struct broker_ticket ticket, bool requeue)
{
    struct broker_delivery *delivery = ticket.delivery;

    if (broker->state != BROKER_CONNECTED || ticket.connection != broker->connections)
        return; /* the broker has taken it back already */
    assert(!delivery->settled);
    delivery->settled = true;
    delivery->requeue = requeue;
    list_append(&broker->settled, &delivery->settled_link);
}

void broker_ack(struct broker *broker, struct broker_ticket ticket)
{
    broker_settle(broker, ticket, false);
}

void broker_requeue(struct broker *broker, struct broker_ticket ticket)
{
    broker_settle(broker, ticket, true);
}

static bool broker_can_send(struct broker *broker)
{
    struct pollfd socket = {.fd = amqp_get_sockfd(broker->connection), .events = POLLOUT};

    if (poll(&socket, 1, 0) > 0)
        return true; /* also when it is broken: the send will tell */
    broker->blocked = true;
    loop_watch_set(broker->watch, LOOP_READABLE | LOOP_WRITABLE);
    return false;
}

static void broker_forget(struct broker_delivery *delivery)
{
    list_remove(&delivery->link);
    list_remove(&delivery->settled_link);
    free(delivery);
}

/* One ack for the unbroken run of done deliveries at the front. */
static int broker_ack_run(struct broker *broker)
{
    struct list_link *link;
    uint64_t last = 0;
    int count = 0;

    while ((link = list_first(&broker->open))) {
        struct broker_delivery *delivery = LIST_ITEM(link, struct broker_delivery, link);

        if (!delivery->settled || delivery->requeue)
            break;
        last = delivery->tag;
        count++;
        broker_forget(delivery);
    }
    return count ? amqp_basic_ack(broker->connection, BROKER_CHANNEL, last, count > 1)
                 : AMQP_STATUS_OK;
}

static int broker_settle_one(struct broker *broker, struct broker_delivery *delivery)
{
    uint64_t tag = delivery->tag;
    bool requeue = delivery->requeue;

    broker_forget(delivery);
    if (requeue)
        return amqp_basic_nack(broker->connection, BROKER_CHANNEL, tag, 0, 1);
    return amqp_basic_ack(broker->connection, BROKER_CHANNEL, tag, 0);
}

/* Asks in time for how much waits; false when the connection broke. */
static bool broker_ask_depth(struct broker *broker)
{
    int status;

    if (broker->state != BROKER_CONNECTED || broker->blocked || broker->stopping
        || !queue_depth_is_due(&broker->depth) || !broker_can_send(broker))
        return true;
    status = queue_depth_ask(&broker->depth, broker->connection, broker->settings.queue);
    if (status != AMQP_STATUS_OK)
        broker_lost(broker, amqp_error_string2(status));
    return status == AMQP_STATUS_OK;
}

struct broker_queue broker_queue(const struct broker *broker)
{
    if (broker->state != BROKER_CONNECTED)
        return (struct broker_queue){.messages = -2, .consumers = -2};
    return (struct broker_queue){.messages = broker->depth.messages,
                                 .consumers = broker->depth.consumers};
}

void broker_flush(struct broker *broker)
{
    struct list_link *link;
    int status;

    if (!broker_ask_depth(broker))
        return;
    if (broker->state != BROKER_CONNECTED || list_is_empty(&broker->settled) || broker->blocked
        || !broker_can_send(broker))
        return;
    status = broker_ack_run(broker);
    while (status == AMQP_STATUS_OK && (link = list_first(&broker->settled)))
        status = broker_settle_one(broker, LIST_ITEM(link, struct broker_delivery, settled_link));
    if (status != AMQP_STATUS_OK)
        broker_lost(broker, amqp_error_string2(status));
}

bool broker_is_flushed(const struct broker *broker)
{
    return broker->state != BROKER_CONNECTED || list_is_empty(&broker->settled);
}

void broker_hold(struct broker *broker, bool held)
{
    if (broker->held == held || broker->stopping)
        return;
    broker->held = held;
    broker_send_hold(broker);
}

void broker_stop_consuming(struct broker *broker)
{
    broker_hold(broker, true);
    broker->stopping = true;
}

bool broker_is_connected(const struct broker *broker)
{
    return broker->state == BROKER_CONNECTED;
}

unsigned broker_connection(const struct broker *broker)
{
    return broker->connections;
}
