/*
 * What the broker and the library can do by themselves: takes messages off a queue and acks them,
 * many with each ack, and does nothing else.
 *
 *     consume PORT QUEUE MESSAGES
 *
 * The broker is on this machine and knows the user guest. Prints messages a second, from the first
 * one until all are acked and the broker has said so.
 */
#include "stages/rabbitmq.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHANNEL       1
#define PREFETCH      500
#define ACK_EVERY     125
#define PATIENCE_S    60
#define FRAME_SIZE    131072
#define HEARTBEAT_OFF 0

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "consume: %s\n", what);
    exit(1);
}

static void check(amqp_connection_state_t connection, const char *what)
{
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
        fail(what);
}

static amqp_connection_state_t open_connection(int port)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    amqp_rpc_reply_t reply;

    if (!socket || amqp_socket_open(socket, "127.0.0.1", port) != AMQP_STATUS_OK)
        fail("cannot connect to the broker");
    reply = amqp_login(connection, "/", CHANNEL, FRAME_SIZE, HEARTBEAT_OFF, AMQP_SASL_METHOD_PLAIN,
                       "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail("cannot log in");
    amqp_channel_open(connection, CHANNEL);
    check(connection, "cannot open a channel");
    return connection;
}

static void begin(amqp_connection_state_t connection, const char *queue)
{
    amqp_basic_qos(connection, CHANNEL, 0, PREFETCH, false);
    check(connection, "cannot set the prefetch");
    amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, false,
                       false, false, amqp_empty_table);
    check(connection, "cannot consume");
}

/* The delivery tag of the next message, whose body is read and thrown away. */
static uint64_t take_message(amqp_connection_state_t connection)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    amqp_envelope_t envelope;
    uint64_t tag;

    amqp_maybe_release_buffers(connection);
    if (amqp_consume_message(connection, &envelope, &patience, 0).reply_type
        != AMQP_RESPONSE_NORMAL)
        fail("no message came");
    tag = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return tag;
}

static double consume(amqp_connection_state_t connection, uint64_t messages)
{
    double started = 0;

    for (uint64_t taken = 1; taken <= messages; taken++) {
        uint64_t tag = take_message(connection);

        if (taken == 1)
            started = now_s();
        if (taken % ACK_EVERY == 0 || taken == messages)
            amqp_basic_ack(connection, CHANNEL, tag, true);
    }
    /* its answer comes after the acks were read */
    amqp_channel_close(connection, CHANNEL, AMQP_REPLY_SUCCESS);
    return now_s() - started;
}

int main(int argc, char **argv)
{
    amqp_connection_state_t connection;
    uint64_t messages;

    if (argc != 4)
        fail("usage: consume PORT QUEUE MESSAGES");
    messages = strtoull(argv[3], NULL, 10);
    connection = open_connection((int)strtol(argv[1], NULL, 10));
    begin(connection, argv[2]);
    printf("%.0f\n", (double)messages / consume(connection, messages));
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
