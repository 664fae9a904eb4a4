/*
 * RabbitMQ: connect, declare, bind, consume, ack, reconnect.
 *
 * The connection is kept up for as long as the broker is open: lost ones are noticed within two
 * heartbeats and made again with growing delays. Connecting and declaring run in the loop's pool;
 * afterwards frames are read without ever waiting. What was not acked on a lost connection is
 * delivered again by the broker, and an ack for it is quietly dropped: a delivery tag is good only
 * on the connection that brought it.
 */
#pragma once

#include "announcement.h"
#include "base/loop.h"

struct broker;

enum broker_tls {
    BROKER_TLS_OFF,
    BROKER_TLS_LAX,   /* encrypted, nothing verified */
    BROKER_TLS_VERIFY /* certificate and host name, TLS 1.2 or newer */
};

struct broker_binding {
    const char *exchange;
    const char *topic;    /* with the prefix: v02.post.# */
    size_t prefix_length; /* how many letters of it are the prefix; 0: it has none */
};

struct broker_settings {
    const char *host;
    int port;
    enum broker_tls tls;
    const char *vhost, *user, *password;
    const char *url; /* for the log, without the password */
    const char *queue;
    bool declare, bind, durable, auto_delete;
    bool rehearse; /* neither declares nor binds, but says what would be bound */
    int64_t expire_ms, message_ttl_ms; /* 0: the queue is declared without */
    const struct broker_binding *bindings;
    size_t binding_count;
    int prefetch;    /* deliveries that may be open at once; 1 to 65535 */
    int heartbeat_s; /* asked of the broker; 0: none */
    int64_t connect_timeout_ms;
    const char *record; /* file that remembers what was bound (subscriptions.h); NULL: none */
};

/* Which delivery: good only as long as its connection; later uses are quietly ignored. */
struct broker_ticket {
    unsigned connection;
    struct broker_delivery *delivery; /* private */
};

struct delivery {
    struct broker_ticket ticket;
    bool redelivered;
    struct envelope envelope; /* good until the next call of a broker function */
};

/* `settings` is copied. Begins to connect at once. */
struct broker *broker_open(struct loop *loop, const struct broker_settings *settings,
                           struct error *err) MUST_CHECK;

/* Closes without waiting for the broker's answers; acks that were flushed have gone out. */
void broker_close(struct broker *broker); /* NULL is fine */

/* Reconnects when it is time, keeps the heartbeat, notices a lost connection. */
void broker_step(struct broker *broker);

/* The next delivery that has arrived. False if there is none. */
bool broker_take_delivery(struct broker *broker, struct delivery *delivery);

/* Gathers; broker_flush() sends. */
void broker_ack(struct broker *broker, struct broker_ticket ticket);
void broker_requeue(struct broker *broker, struct broker_ticket ticket);
void broker_flush(struct broker *broker);

/* True once everything that was flushed has left this process. */
bool broker_is_flushed(const struct broker *broker);

/*
 * No more deliveries, please. Some may still be on their way: take them and hand them back. Those
 * that are open can be acked as before, but a connection that is lost now stays so.
 */
void broker_stop_consuming(struct broker *broker);

/*
 * While it is held nothing is consumed, and the connection is kept. Deliveries may still be on
 * their way: take them and hand them back.
 */
void broker_hold(struct broker *broker, bool held);

bool broker_is_connected(const struct broker *broker);

/*
 * What waits in the queue and who consumes from it, as last heard: asked for when connecting and
 * twice a minute. -1: nothing was heard on this connection, or the broker would not say; -2: not
 * connected.
 */
struct broker_queue {
    int64_t messages, consumers;
};

struct broker_queue broker_queue(const struct broker *broker);

/* Number of the current or last connection; changes with each that was made. */
unsigned broker_connection(const struct broker *broker);
