/*
 * The parts of a URL.
 *
 * The trouble is passwords that hold raw delimiters: where the password ends decides where the host
 * begins. URLs of brokers and of Redis have no '@' behind the host, so there the last one counts;
 * elsewhere a path may hold one, and what stands before the first '/' is believed if it can be a
 * host. Error texts quote nothing: any piece of a URL that was misread may be part of a password.
 */
#include "base/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const last_at_schemes[] = {"amqp", "amqps", "mqtt", "mqtts", "redis", "rediss"};
static const char *const hostless_schemes[] = {"file", "unix"};

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(text, list[i]))
            return true;
    return false;
}

static bool refuse(struct error *err, const char *why)
{
    return error_set(err, ERROR_OPERATOR, "read URL: %s", why);
}

/* Takes the scheme and moves *text behind "://". */
static bool parse_scheme(const char **text, struct url *url, struct error *err)
{
    const char *start = *text, *end = start;

    while (isalnum((unsigned char)*end) || (*end && strchr("+-.", *end)))
        end++;
    if (!isalpha((unsigned char)*start) || strncmp(end, "://", 3) != 0)
        return refuse(err, "it has to begin like 'https://'");
    url->scheme = memory_copy_bytes(start, (size_t)(end - start));
    for (char *c = url->scheme; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    *text = end + 3;
    return true;
}

static bool is_port(const char *text, size_t length)
{
    return strspn(text, "0123456789") >= length;
}

static size_t host_length(const char *text, size_t length)
{
    const char *bracket = length && *text == '[' ? memchr(text, ']', length) : NULL;
    const char *colon = bracket ? bracket + 1 : memchr(text, ':', length);

    return colon ? (size_t)(colon - text) : length;
}

/* Whether `text` can be `host` or `host:port`. */
static bool is_host(const char *text, size_t length)
{
    size_t host = host_length(text, length);
    bool bracketed = host && *text == '[';

    for (size_t i = 0; i < host; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c == 0x7f || strchr("/?#@\\\"<>", c) || (!bracketed && strchr("[]:", c)))
            return false;
    }
    return host > 0
           && (host == length
               || (text[host] == ':' && is_port(text + host + 1, length - host - 1)));
}

static size_t authority_length(const char *text)
{
    return strcspn(text, "/?#");
}

/* The '@' that ends user and password, NULL when there are none. */
static const char *find_user_end(const char *text, const char *scheme)
{
    size_t length = authority_length(text);
    const char *at;

    if (is_one_of(scheme, last_at_schemes, COUNT_OF(last_at_schemes)))
        return strrchr(text, '@');
    at = memrchr(text, '@', length);
    if (at || !length || is_host(text, length))
        return at;
    for (at = strchr(text, '@'); at; at = strchr(at + 1, '@'))
        if (is_host(at + 1, authority_length(at + 1)))
            return at;
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `text` with %XX replaced; a '%' that begins no such thing stands for itself. NULL for "". */
static char *decode(const char *text, size_t length, bool *has_nul)
{
    char *out = memory_copy_bytes(text, length), *to = out;

    for (const char *from = out; *from; from++) {
        int high = *from == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;

        *to = low >= 0 ? (char)(high * 16 + low) : *from;
        *has_nul = *has_nul || !*to;
        from += low >= 0 ? 2 : 0;
        to++;
    }
    *to = '\0';
    if (to == out)
        memory_replace(&out, NULL);
    return out;
}

static bool parse_user(const char *text, const char *end, struct url *url, struct error *err)
{
    const char *colon = memchr(text, ':', (size_t)(end - text));
    bool has_nul = false;

    url->user = decode(text, (size_t)((colon ? colon : end) - text), &has_nul);
    if (colon)
        url->password = decode(colon + 1, (size_t)(end - colon - 1), &has_nul);
    return !has_nul || refuse(err, "user or password holds a zero byte");
}

static bool parse_port(const char *text, size_t length, struct url *url, struct error *err)
{
    long port = length ? strtol(text, NULL, 10) : 0;

    if (length > 9 || port > 65535 || (length && port < 1))
        return refuse(err, "the port has to be a number from 1 to 65535");
    url->port = (int)port;
    return true;
}

static bool parse_host(const char *text, size_t length, struct url *url, struct error *err)
{
    size_t host = host_length(text, length);
    bool bracketed = host > 2 && *text == '[';

    if (!length && is_one_of(url->scheme, hostless_schemes, COUNT_OF(hostless_schemes))) {
        url->host = memory_copy("");
        return true;
    }
    if (!length)
        return refuse(err, "the host is missing");
    if (!is_host(text, length))
        return refuse(err, "what should be the host, or host:port, cannot be one; raw special "
                           "characters in a password are best written as %XX");
    url->host = memory_copy_bytes(text + bracketed, host - 2 * bracketed);
    return host == length || parse_port(text + host + 1, length - host - 1, url, err);
}

bool url_parse(const char *text, struct url *url, struct error *err)
{
    const char *user_end;
    size_t length;

    memset(url, 0, sizeof(*url));
    if (!parse_scheme(&text, url, err))
        goto fail;
    user_end = find_user_end(text, url->scheme);
    if (user_end && !parse_user(text, user_end, url, err))
        goto fail;
    if (user_end)
        text = user_end + 1;
    length = authority_length(text);
    if (!parse_host(text, length, url, err))
        goto fail;
    text += length;
    url->path = memory_format("%s%s", *text && *text != '/' ? "/" : "", text);
    return true;
fail:
    url_clear(url);
    return false;
}

/* A user as it has to be written in front of '@'. */
static char *encode(const char *text)
{
    char *out = memory_new(strlen(text) * 3 + 1), *to = out;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = isalnum(c) || strchr("-._~", c);

        *to++ = plain ? (char)c : '%';
        if (!plain) {
            *to++ = "0123456789ABCDEF"[c >> 4];
            *to++ = "0123456789ABCDEF"[c & 15];
        }
    }
    return out;
}

char *url_print(const struct url *url)
{
    char *user = url->user ? encode(url->user) : memory_copy("");
    char *port = url->port ? memory_format(":%d", url->port) : memory_copy("");
    bool bracketed = strchr(url->host, ':') != NULL;
    char *text =
        memory_format("%s://%s%s%s%s%s%s%s", url->scheme, user, *user ? "@" : "",
                      bracketed ? "[" : "", url->host, bracketed ? "]" : "", port, url->path);

    free(user);
    free(port);
    return text;
}

void url_clear(struct url *url)
{
    free(url->scheme);
    free(url->user);
    free(url->password);
    free(url->host);
    free(url->path);
    memset(url, 0, sizeof(*url));
}
