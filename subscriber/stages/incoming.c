#include "stages/incoming.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (16 << 20)

static struct slice slice_of(amqp_bytes_t bytes)
{
    return (struct slice){.bytes = bytes.bytes, .length = bytes.len};
}

static bool header_value(struct arena *numbers, const amqp_field_value_t *value, struct slice *text)
{
    int64_t number;

    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        *text = slice_of(value->value.bytes);
        return true;
    case AMQP_FIELD_KIND_BOOLEAN:
        number = value->value.boolean;
        break;
    case AMQP_FIELD_KIND_I8:
        number = value->value.i8;
        break;
    case AMQP_FIELD_KIND_U8:
        number = value->value.u8;
        break;
    case AMQP_FIELD_KIND_I16:
        number = value->value.i16;
        break;
    case AMQP_FIELD_KIND_U16:
        number = value->value.u16;
        break;
    case AMQP_FIELD_KIND_I32:
        number = value->value.i32;
        break;
    case AMQP_FIELD_KIND_U32:
        number = value->value.u32;
        break;
    case AMQP_FIELD_KIND_I64:
        number = value->value.i64;
        break;
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        number = (int64_t)value->value.u64;
        break;
    default: /* tables, arrays, floats: nothing that an announcement uses */
        return false;
    }
    text->bytes = arena_format(numbers, "%" PRId64, number);
    text->length = strlen(text->bytes);
    return true;
}

static size_t read_headers(struct incoming *incoming)
{
    const amqp_table_t *table = &incoming->properties->headers;
    size_t count = 0;

    if (!(incoming->properties->_flags & AMQP_BASIC_HEADERS_FLAG))
        return 0;
    for (int i = 0; i < table->num_entries && count < INCOMING_HEADERS_MAX; i++) {
        struct envelope_header *header = &incoming->headers[count];

        header->name = slice_of(table->entries[i].key);
        count += header_value(&incoming->numbers, &table->entries[i].value, &header->value);
    }
    return count;
}

static void add_to_buffer(struct incoming *incoming, amqp_bytes_t fragment)
{
    size_t room = BODY_MAX - incoming->body.length;
    size_t length = fragment.len < room ? fragment.len : room;

    if (incoming->body.length + length > incoming->capacity) {
        incoming->capacity = (incoming->body.length + length) * 2;
        incoming->buffer = memory_resize(incoming->buffer, incoming->capacity, 1);
    }
    if (length)
        memcpy(incoming->buffer + incoming->body.length, fragment.bytes, length);
    incoming->body.bytes = incoming->buffer;
    incoming->body.length += length;
}

void incoming_begin(struct incoming *incoming, const amqp_basic_deliver_t *method)
{
    incoming->method = *method;
    incoming->begun = true;
    incoming->properties = NULL;
}

bool incoming_add_header(struct incoming *incoming, const amqp_frame_t *frame)
{
    if (!incoming->begun)
        return false;
    incoming->properties = frame->payload.properties.decoded;
    incoming->size_bytes = frame->payload.properties.body_size;
    incoming->received_bytes = 0;
    incoming->body = (struct slice){.bytes = "", .length = 0};
    return incoming->size_bytes == 0;
}

bool incoming_add_body(struct incoming *incoming, const amqp_frame_t *frame)
{
    amqp_bytes_t fragment = frame->payload.body_fragment;
    bool single = incoming->received_bytes == 0 && fragment.len >= incoming->size_bytes;

    if (!incoming->begun || !incoming->properties)
        return false;
    incoming->received_bytes += fragment.len;
    if (single)
        incoming->body = slice_of(fragment);
    else
        add_to_buffer(incoming, fragment);
    return incoming->received_bytes >= incoming->size_bytes;
}

void incoming_finish(struct incoming *incoming, struct delivery *delivery, uint64_t *tag)
{
    struct envelope *envelope = &delivery->envelope;

    *tag = incoming->method.delivery_tag;
    delivery->redelivered = incoming->method.redelivered;
    if (incoming->properties->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
        envelope->content_type = slice_of(incoming->properties->content_type);
    envelope->exchange = slice_of(incoming->method.exchange);
    envelope->routing_key = slice_of(incoming->method.routing_key);
    envelope->headers = incoming->headers;
    envelope->header_count = read_headers(incoming);
    envelope->body = incoming->body;
    incoming->begun = false;
}

void incoming_release(struct incoming *incoming)
{
    arena_clear(&incoming->numbers);
}

void incoming_clear(struct incoming *incoming)
{
    arena_clear(&incoming->numbers);
    free(incoming->buffer);
}
