/*
 * The parts of a URL as options and announcements write them:
 *
 *     scheme://[user[:password]@]host[:port][/path]
 */
#pragma once

#include "base/error.h"

struct url {
    char *scheme;   /* lower case */
    char *user;     /* percent-decoded; NULL when there is none */
    char *password; /* percent-decoded; NULL when there is none */
    char *host;     /* without the brackets of an IPv6 address */
    int port;       /* 0 when none is given */
    char *path;     /* from the first '/', or "" */
};

/*
 * False, with a text that never repeats the password, when `text` is not of that form. A password
 * may hold raw '/', '?', '#' or '@': the last '@' before the host ends it.
 */
bool url_parse(const char *text, struct url *url, struct error *err) MUST_CHECK;

/* As one writes it, without the password: `amqps://anonymous@dd.weather.gc.ca:5671/`. */
char *url_print(const struct url *url) MUST_CHECK;

void url_clear(struct url *url);
