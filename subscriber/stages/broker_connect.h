/*
 * The part of broker.c that can only block: connecting, TLS, login, declaring, binding.
 *
 * It runs in a thread of the pool and talks to nobody but the broker; what it has to say comes back
 * in struct broker_session. broker_connect() ends with a consumer in place, so that from there on
 * frames only have to be read; the others are for commands that settle something and leave.
 */
#pragma once

#include "stages/broker.h"
#include "stages/rabbitmq.h"

#define BROKER_CHANNEL      1
#define BROKER_CONSUMER_TAG "sr3sub" /* unique on its channel is enough */

struct broker_session {
    /* in */
    const struct broker_settings *settings; /* untouched by others while connecting */
    bool held;                              /* no consumer is wanted for now */
    /* out */
    amqp_connection_state_t connection; /* NULL: it failed, see err */
    uint32_t messages_waiting;          /* in the queue, when it was declared */
    bool declared_differently;          /* the queue exists with other arguments; used as it is */
    struct error err;                   /* ERROR_OPERATOR: see what it says; else worth a retry */
    char difference[300];               /* the broker's words, with declared_differently */
    struct broker_binding *unbound;     /* were recorded, are not asked for any more, are gone */
    size_t unbound_count;
    struct error warning; /* what did not work, and does not matter enough to fail */
    struct arena texts;   /* private: of what was unbound */
};

/*
 * Bindings that the record (settings->record) has and the settings do not are taken off the queue
 * once the new ones are on it.
 */
void broker_connect(struct broker_session *session);

/* The same without a consumer, and leaves at once: `connection` is NULL, `err` says how it went. */
void broker_declare(struct broker_session *session);

/*
 * Deletes the queue, unless somebody consumes from it: that is an error. That there is none is not;
 * *existed says so.
 */
void broker_delete_queue(struct broker_session *session, bool *existed);

/* Logs, in sr3's words, what was declared, bound and unbound. Not from a thread of the pool. */
void broker_log_session(const struct broker_session *session);

/* Frees what came out of it, but not the connection; the settings stay, for another try. */
void broker_session_clear(struct broker_session *session);

/* Says goodbye and frees; waits for the answer at most `timeout_ms`. NULL is fine. */
void broker_disconnect(amqp_connection_state_t connection, int64_t timeout_ms);

/* What a reply or a status of librabbitmq means, in words. */
void broker_describe_reply(amqp_rpc_reply_t reply, char *text, size_t size);
