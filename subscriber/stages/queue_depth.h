/*
 * Private to broker: how much waits in the queue, and who consumes from it.
 *
 * The broker is asked now and then by declaring the queue passively. When that is refused the
 * broker closes the channel, so it has one of its own. Nothing here waits: what is asked goes off
 * at once, the answer comes among the frames.
 */
#pragma once

#include "stages/rabbitmq.h"

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_DEPTH_CHANNEL 2

enum queue_depth_state {
    QUEUE_DEPTH_CLOSED, /* the channel is */
    QUEUE_DEPTH_OPENING,
    QUEUE_DEPTH_OPEN,
    QUEUE_DEPTH_ASKED
};

struct queue_depth {
    enum queue_depth_state state;
    int64_t messages, consumers; /* -1: not known */
    int64_t due_ms;              /* when it is asked for next */
};

/* A new connection; its queue had so many messages when it was declared. */
void queue_depth_begin(struct queue_depth *depth, uint32_t messages);

bool queue_depth_is_due(const struct queue_depth *depth);

/* Sends the next question; the connection must be able to send. A status of librabbitmq. */
int queue_depth_ask(struct queue_depth *depth, amqp_connection_state_t connection,
                    const char *queue);

/* A frame on its channel. */
void queue_depth_read(struct queue_depth *depth, amqp_connection_state_t connection,
                      const amqp_frame_t *frame);
