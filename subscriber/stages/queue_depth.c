/* How much waits in the queue: asked on a channel of its own, without waiting for the answer. */
#include "stages/queue_depth.h"

#include "base/clock.h"

#define INTERVAL_MS 30000
#define REFUSED_MS  300000 /* where it is not allowed it is not asked for often */

void queue_depth_begin(struct queue_depth *depth, uint32_t messages)
{
    *depth = (struct queue_depth){.messages = messages, .consumers = -1, .due_ms = clock_now_ms()};
}

bool queue_depth_is_due(const struct queue_depth *depth)
{
    return (depth->state == QUEUE_DEPTH_CLOSED || depth->state == QUEUE_DEPTH_OPEN)
           && clock_now_ms() >= depth->due_ms;
}

int queue_depth_ask(struct queue_depth *depth, amqp_connection_state_t connection,
                    const char *queue)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    amqp_queue_declare_t declare = {.queue = amqp_cstring_bytes(queue), .passive = 1};

    if (depth->state == QUEUE_DEPTH_OPEN) {
        depth->state = QUEUE_DEPTH_ASKED;
        return amqp_send_method(connection, QUEUE_DEPTH_CHANNEL, AMQP_QUEUE_DECLARE_METHOD,
                                &declare);
    }
    if (amqp_get_channel_max(connection) == 1) { /* the other one is in use */
        depth->due_ms = INT64_MAX;
        return AMQP_STATUS_OK;
    }
    depth->state = QUEUE_DEPTH_OPENING;
    return amqp_send_method(connection, QUEUE_DEPTH_CHANNEL, AMQP_CHANNEL_OPEN_METHOD, &open);
}

static void read_closed(struct queue_depth *depth, amqp_connection_state_t connection)
{
    amqp_channel_close_ok_t ok = {0};

    amqp_send_method(connection, QUEUE_DEPTH_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    depth->state = QUEUE_DEPTH_CLOSED;
    depth->messages = depth->consumers = -1;
    depth->due_ms = clock_now_ms() + REFUSED_MS;
}

void queue_depth_read(struct queue_depth *depth, amqp_connection_state_t connection,
                      const amqp_frame_t *frame)
{
    const amqp_queue_declare_ok_t *ok;

    if (frame->frame_type != AMQP_FRAME_METHOD)
        return;
    switch (frame->payload.method.id) {
    case AMQP_CHANNEL_OPEN_OK_METHOD:
        depth->state = QUEUE_DEPTH_OPEN;
        break;
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        ok = frame->payload.method.decoded;
        depth->messages = ok->message_count;
        depth->consumers = ok->consumer_count;
        depth->state = QUEUE_DEPTH_OPEN;
        depth->due_ms = clock_now_ms() + INTERVAL_MS;
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        read_closed(depth, connection);
        break;
    default:
        break;
    }
    amqp_maybe_release_buffers_on_channel(connection, QUEUE_DEPTH_CHANNEL);
}
