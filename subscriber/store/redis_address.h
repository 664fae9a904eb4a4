/*
 * Where a Redis is and how to log in to it, from a URL as redis-py takes it:
 *
 *     redis://[[user]:password@]host[:6379][/db][?db=N]
 *     rediss://...                                        the same over TLS
 *     unix://[[user]:password@]/path/to.sock[?db=N]
 */
#pragma once

#include "base/url.h"

struct redis_address {
    char *name; /* for messages: without the password */
    bool tls;
    char *path; /* of the socket; NULL: host and port */
    char *host, *port;
    char *user;     /* NULL: none */
    char *password; /* NULL: none */
    int database;
};

/* ERROR_OPERATOR for a URL that makes no sense; the text never repeats the password. */
bool redis_address_parse(const struct url *url, struct redis_address *address,
                         struct error *err) MUST_CHECK;
void redis_address_clear(struct redis_address *address);
