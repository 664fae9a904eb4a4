/* Envelopes for tests, written as texts. */
#pragma once

#include "announcement.h"

#include <string.h>

static inline struct slice text_slice(const char *text)
{
    return text ? (struct slice){text, strlen(text)} : (struct slice){NULL, 0};
}

/* Headers as name, value, name, value, NULL. The result points into what was passed. */
static inline struct envelope make_envelope(const char *content_type, const char *body,
                                            const char *const *texts,
                                            struct envelope_header headers[16])
{
    struct envelope envelope = {.content_type = text_slice(content_type),
                                .exchange = text_slice("xpublic"),
                                .routing_key = text_slice("v02.post.a%23.%22b"),
                                .headers = headers,
                                .body = text_slice(body)};

    for (; texts && *texts && envelope.header_count < 16; texts += 2)
        headers[envelope.header_count++] =
            (struct envelope_header){text_slice(texts[0]), text_slice(texts[1])};
    return envelope;
}

static inline bool parse_texts(const char *content_type, const char *body,
                               const char *const *texts, struct announcement *announcement,
                               struct error *err)
{
    struct envelope_header headers[16];
    struct envelope envelope = make_envelope(content_type, body, texts, headers);

    return announcement_parse(&envelope, announcement, err);
}

/* Both NULL, or the same text. */
static inline bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}
