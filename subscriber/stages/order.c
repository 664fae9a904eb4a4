/* Requests are copied, because whoever made one need not keep it. */
#include "stages/order.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FAR_BYTES 33554432
#define FAR_TIMES 10

struct order *order_new(const struct download_request *request)
{
    size_t size = strlen(request->url) + 1;
    struct order *order = memory_new(sizeof(*order) + size);

    order->request = *request;
    order->request.url = memcpy(order->url, request->url, size);
    if (!request->login)
        return order;
    order->login = *request->login;
    order->login.user = memory_copy(request->login->user);
    order->login.password = memory_copy(request->login->password);
    order->login.bearer_token = memory_copy(request->login->bearer_token);
    order->login.ssh_key_file = memory_copy(request->login->ssh_key_file);
    order->request.login = &order->login;
    return order;
}

static void wipe(const char *text)
{
    char *secret = (char *)text; /* ours since order_new() */

    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void order_free(struct order *order)
{
    if (!order)
        return;
    explicit_bzero(order->url, strlen(order->url));
    wipe(order->login.user);
    wipe(order->login.password);
    wipe(order->login.bearer_token);
    wipe(order->login.ssh_key_file);
    free(order);
}

static bool begins(const struct order *order, const char *start)
{
    return strncmp(order->request.url, start, strlen(start)) == 0;
}

bool order_is_http(const struct order *order)
{
    return begins(order, "http://") || begins(order, "https://");
}

bool order_is_file(const struct order *order)
{
    return begins(order, "file:");
}

bool order_is_rest(const struct order *order)
{
    return order->request.from_byte > 0 && order->request.validator_s > 0;
}

/* A body without end, and not a file that has grown since it was announced. */
static bool is_far_from_announced(const struct download_request *request, int64_t size_bytes)
{
    return request->announced_bytes > 0 && size_bytes > FAR_BYTES
           && size_bytes / FAR_TIMES > request->announced_bytes;
}

bool order_allows_size(const struct order *order, int64_t size_bytes, struct error *err)
{
    const struct download_request *request = &order->request;

    if (request->size_max_bytes > 0 && size_bytes > request->size_max_bytes)
        return error_set(err, ERROR_PERMANENT,
                         "get '%s': larger than fileSizeMax, %" PRId64 " bytes", request->url,
                         request->size_max_bytes);
    if (is_far_from_announced(request, size_bytes))
        return error_set(err, ERROR_TEMPORARY,
                         "get '%s': many times as large as announced, %" PRId64 " bytes",
                         request->url, request->announced_bytes);
    return true;
}
