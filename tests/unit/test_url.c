/* URLs: their parts, how they print, and that no error text gives a password away. */
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    const char *scheme; /* NULL: must be refused */
    const char *user, *password, *host;
    int port;
    const char *path, *printed;
} urls[] = {
    {"amqps://dd.weather.gc.ca/", "amqps", NULL, NULL, "dd.weather.gc.ca", 0, "/",
     "amqps://dd.weather.gc.ca/"},
    {"AMQPS://anonymous:anonymous@dd.weather.gc.ca:5671/v", "amqps", "anonymous", "anonymous",
     "dd.weather.gc.ca", 5671, "/v", "amqps://anonymous@dd.weather.gc.ca:5671/v"},
    {"redis://:SuperSecure@redis:6379/0", "redis", NULL, "SuperSecure", "redis", 6379, "/0",
     "redis://redis:6379/0"},
    {"amqp://bob@h", "amqp", "bob", NULL, "h", 0, "", "amqp://bob@h"},
    {"amqp://bob:@h", "amqp", "bob", NULL, "h", 0, "", "amqp://bob@h"},
    {"amqp://b%40b:p%2fw%zz@h", "amqp", "b@b", "p/w%zz", "h", 0, "", "amqp://b%40b@h"},
    {"amqp://u:a@b/c?d#e@h:1/v", "amqp", "u", "a@b/c?d#e", "h", 1, "/v", "amqp://u@h:1/v"},
    {"https://u:a/c@h:1/v", "https", "u", "a/c", "h", 1, "/v", "https://u@h:1/v"},
    {"https://u:a#c@h/v@w", "https", "u", "a#c", "h", 0, "/v@w", "https://u@h/v@w"},
    {"https://u:a@c@h/v", "https", "u", "a@c", "h", 0, "/v", "https://u@h/v"},
    {"https://h/a@b", "https", NULL, NULL, "h", 0, "/a@b", "https://h/a@b"},
    {"https://h:8080/a:b@c", "https", NULL, NULL, "h", 8080, "/a:b@c", "https://h:8080/a:b@c"},
    {"https://[::1]:80/x", "https", NULL, NULL, "::1", 80, "/x", "https://[::1]:80/x"},
    {"https://[fe80::1]", "https", NULL, NULL, "fe80::1", 0, "", "https://[fe80::1]"},
    {"https://h:", "https", NULL, NULL, "h", 0, "", "https://h"},
    {"redis://h?db=1", "redis", NULL, NULL, "h", 0, "/?db=1", "redis://h/?db=1"},
    {"unix:///run/redis.sock?db=1", "unix", NULL, NULL, "", 0, "/run/redis.sock?db=1",
     "unix:///run/redis.sock?db=1"},
    {"file:///data", "file", NULL, NULL, "", 0, "/data", "file:///data"},
    {"", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"dd.weather.gc.ca", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps:/h", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"://h", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps:///vhost", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@h:99999/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@h:0/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@h:123456789012345678901/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@h:x/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret%00@h/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@h h/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
    {"amqps://u:secret@[::1/", NULL, NULL, NULL, NULL, 0, NULL, NULL},
};

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void check(size_t i, const struct url *url)
{
    char *printed = url_print(url);

    if (!same(url->scheme, urls[i].scheme) || !same(url->user, urls[i].user) ||
        !same(url->password, urls[i].password) || !same(url->host, urls[i].host) ||
        url->port != urls[i].port || !same(url->path, urls[i].path) ||
        !same(printed, urls[i].printed))
        fail_msg("'%s': got scheme %s user %s password %s host %s port %d path %s, printed %s",
                 urls[i].text, url->scheme, url->user ? url->user : "-",
                 url->password ? url->password : "-", url->host, url->port, url->path, printed);
    free(printed);
}

static void urls_are_parsed_and_printed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct error err = {0};
        struct url url;
        bool parsed = url_parse(urls[i].text, &url, &err);

        if (parsed != (urls[i].scheme != NULL))
            fail_msg("'%s': %s", urls[i].text, parsed ? "was taken" : err.text);
        if (parsed)
            check(i, &url);
        else if (err.kind != ERROR_OPERATOR || strstr(err.text, "secret"))
            fail_msg("'%s': kind %d, text '%s'", urls[i].text, (int)err.kind, err.text);
        url_clear(&url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_parsed_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
