/* Reads v02 announcements: the body, then header names and values, with 0x1F between them all. */
#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice take(const char **at, const char *end)
{
    const char *start = *at;
    const char *stop = start < end ? memchr(start, 0x1F, (size_t)(end - start)) : NULL;

    *at = stop ? stop + 1 : end;
    return (struct slice){start, (size_t)((stop ? stop : end) - start)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope_header headers[20];
    struct envelope envelope = {.content_type = {"text/plain", 10}, .headers = headers};
    const char *at = (const char *)data, *end = at + size;

    if (!size)
        return 0;
    envelope.body = take(&at, end);
    envelope.routing_key = envelope.body;
    if (envelope.routing_key.length > 255)
        envelope.routing_key.length = 255;
    while (at < end && envelope.header_count < COUNT_OF(headers)) {
        struct envelope_header *header = &headers[envelope.header_count++];

        header->name = take(&at, end);
        header->value = take(&at, end);
    }
    exercise(&envelope);
    return 0;
}
