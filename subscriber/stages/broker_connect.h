/*
 * The part of broker.c that can only block: connecting, TLS, login, declaring, binding.
 *
 * It runs in a thread of the pool and talks to nobody but the broker; what it has to say comes back
 * in struct broker_session. Ends with a consumer in place, so that from there on frames only have
 * to be read.
 */
#pragma once

#include "stages/broker.h"

#include <amqp.h>

#define BROKER_CHANNEL      1
#define BROKER_CONSUMER_TAG "sr3sub" /* unique on its channel is enough */

struct broker_session {
    /* in */
    const struct broker_settings *settings; /* untouched by others while connecting */
    /* out */
    amqp_connection_state_t connection; /* NULL: it failed, see err */
    uint32_t messages_waiting;          /* in the queue, when it was declared */
    bool declared_differently;          /* the queue exists with other arguments; used as it is */
    struct error err;                   /* ERROR_OPERATOR: see what it says; else worth a retry */
    char difference[300];               /* the broker's words, with declared_differently */
};

void broker_connect(struct broker_session *session);

/* Says goodbye and frees; waits for the answer at most `timeout_ms`. NULL is fine. */
void broker_disconnect(amqp_connection_state_t connection, int64_t timeout_ms);

/* What a reply or a status of librabbitmq means, in words. */
void broker_describe_reply(amqp_rpc_reply_t reply, char *text, size_t size);
