/*
 * Which hosts may be fetched from: urlAllow and urlDeny.
 *
 * An item is a host name, in which `*` stands for any letters ("*.example.org"), an address
 * ("192.0.2.1", "[2001:db8::1]") or a range of addresses ("10.0.0.0/8", "fc00::/7"). Names are
 * compared with the host of the URL, ranges with the address that is connected to, so neither a
 * redirect nor a name that leads inside gets around them. What the one list allows the other can
 * still deny; with an empty list of allowed hosts everything is that is not denied.
 *
 * Part of download.c. Nothing here changes after access_open(), so threads may ask.
 */
#pragma once

#include "stages/download.h"

#include <sys/socket.h>

struct access;

/* NULL and ERROR_OPERATOR for an item that is neither. */
struct access *access_open(struct download_names allow, struct download_names deny,
                           struct error *err) MUST_CHECK;
void access_close(struct access *access); /* NULL is fine */

/* True: there is nothing to ask. */
bool access_is_open(const struct access *access);

/* Whether the host of `url` may be fetched from, as far as it can be known without its address. */
bool access_allows_url(const struct access *access, const char *url);

/* Whether it may, now that it turned out to be at `address`. */
bool access_allows(const struct access *access, const char *url, const struct sockaddr *address);
