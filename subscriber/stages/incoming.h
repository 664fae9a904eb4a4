/*
 * The delivery whose frames are coming in: its method, its header, its body in any number of
 * pieces. What is longer than 16 MiB is cut, and so malformed to its reader.
 *
 * Part of broker.c. Frames point into the library's memory, which the caller keeps until
 * incoming_release().
 */
#pragma once

#include "base/arena.h"
#include "stages/broker.h"
#include "stages/rabbitmq.h"

#define INCOMING_HEADERS_MAX 256

struct incoming {
    bool begun; /* its method is there, and it is not finished */
    amqp_basic_deliver_t method;
    amqp_basic_properties_t *properties; /* NULL: not there yet */
    uint64_t size_bytes, received_bytes;
    struct slice body; /* of a single frame, as it lies in the library's memory */
    char *buffer;      /* of several frames */
    size_t capacity;
    struct envelope_header headers[INCOMING_HEADERS_MAX];
    struct arena numbers; /* decimal text of header values */
};

void incoming_begin(struct incoming *incoming, const amqp_basic_deliver_t *method);

/* True: the delivery is whole. What nothing begun belongs to is passed over. */
bool incoming_add_header(struct incoming *incoming, const amqp_frame_t *frame);
bool incoming_add_body(struct incoming *incoming, const amqp_frame_t *frame);

/* Fills in all of a whole delivery but its ticket; it is valid until incoming_release(). */
void incoming_finish(struct incoming *incoming, struct delivery *delivery, uint64_t *tag);

void incoming_release(struct incoming *incoming); /* what the last one needed */
void incoming_clear(struct incoming *incoming);
