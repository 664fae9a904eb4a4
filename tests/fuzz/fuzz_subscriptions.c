/*
 * The record of bindings, fed with anything: what is said to be stale can be unbound, and what is
 * recorded next holds what is wanted.
 */
#include "stages/subscriptions.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct broker_binding wanted = {"xpublic", "v02.post.#", 8};

static const struct broker_settings settings = {.host = "localhost",
                                                .port = 5672,
                                                .vhost = "/",
                                                .user = "guest",
                                                .url = "amqp://guest@localhost/",
                                                .queue = "q",
                                                .bind = true,
                                                .bindings = &wanted,
                                                .binding_count = 1,
                                                .prefetch = 1};

static void use(struct subscriptions *subscriptions)
{
    struct arena texts = {0};
    struct error err = {0};
    size_t count;
    struct broker_binding *stale =
        subscriptions_find_stale(subscriptions, &settings, &texts, &count);

    for (size_t i = 0; i < count; i++) {
        assert(*stale[i].exchange && strlen(stale[i].exchange) <= 255);
        assert(strlen(stale[i].topic) <= 255);
        assert(strcmp(stale[i].exchange, wanted.exchange) || strcmp(stale[i].topic, wanted.topic));
    }
    /* the directory of this name takes no files; the record itself is changed all the same */
    if (subscriptions_record(subscriptions, &settings, stale, count, &err))
        assert(!err.kind);
    free(stale);
    stale = subscriptions_find_stale(subscriptions, &settings, &texts, &count);
    free(stale);
    arena_clear(&texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("record", MFD_CLOEXEC);
    char path[40];
    struct error err = {0};
    struct subscriptions *subscriptions;

    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    subscriptions = subscriptions_read(path, &err);
    if (subscriptions)
        use(subscriptions);
    else
        assert(err.kind);
    subscriptions_free(subscriptions);
    close(fd);
    return 0;
}
