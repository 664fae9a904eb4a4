/*
 * A copy of a request, kept as long as its transfer needs it.
 *
 * Part of download.c.
 */
#pragma once

#include "stages/download.h"

struct order {
    struct download_request request; /* points to what follows */
    struct download_login login;
    char url[];
};

struct order *order_new(const struct download_request *request) MUST_CHECK;
void order_free(struct order *order); /* its secrets are wiped out; NULL is fine */

bool order_is_http(const struct order *order);
bool order_is_file(const struct order *order);

/* Whether only the rest of the file is to be asked for. */
bool order_is_rest(const struct order *order);

/* Fails with ERROR_PERMANENT "larger than fileSizeMax" when `size_bytes` are too many. */
bool order_allows_size(const struct order *order, int64_t size_bytes, struct error *err) MUST_CHECK;
