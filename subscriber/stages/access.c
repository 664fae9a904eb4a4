/* Lists of hosts and address ranges. They are short, so asking is a walk over all of them. */
#include "stages/access.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifndef CURLU_PUNYCODE
#define CURLU_PUNYCODE 0
#endif

/* IPv4 addresses are kept as IPv6 ones, ::ffff:a.b.c.d, which is also how they may be disguised. */
struct item {
    char *name; /* lower case; NULL: a range */
    unsigned char address[16];
    int bits;
};

struct items {
    struct item *item;
    size_t count, ranges;
};

struct access {
    struct items allow, deny;
};

static void map_v4(const void *v4, unsigned char address[16])
{
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    memcpy(address + 12, v4, 4);
}

/* An address, in brackets or not. 32 or 128: the most bits a prefix may have; 0: it is none. */
static int read_address(const char *text, size_t length, unsigned char address[16])
{
    char plain[INET6_ADDRSTRLEN];
    unsigned char v4[4];

    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    if (length >= sizeof(plain))
        return 0;
    memcpy(plain, text, length);
    plain[length] = '\0';
    if (inet_pton(AF_INET, plain, v4) == 1) {
        map_v4(v4, address);
        return 32;
    }
    return inet_pton(AF_INET6, plain, address) == 1 ? 128 : 0;
}

static bool read_range(const char *text, struct item *item)
{
    size_t length = strcspn(text, "/");
    int most = read_address(text, length, item->address);
    long bits = most;
    char *end;

    if (!most)
        return false;
    if (text[length]) {
        if (text[length + 1] < '0' || text[length + 1] > '9')
            return false;
        errno = 0;
        bits = strtol(text + length + 1, &end, 10);
        if (*end || errno || bits > most)
            return false;
    }
    item->bits = (int)bits + 128 - most;
    return true;
}

static bool is_name(const char *text)
{
    return *text
           && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*")
                  == strlen(text);
}

static bool items_read(struct items *items, struct download_names names, const char *option,
                       struct error *err)
{
    items->item = memory_resize(NULL, names.count + 1, sizeof(*items->item));
    for (size_t i = 0; i < names.count; i++) {
        struct item item = {0};

        if (read_range(names.items[i], &item))
            items->ranges++;
        else if (is_name(names.items[i]))
            item.name = memory_copy(names.items[i]);
        else
            return error_set(err, ERROR_OPERATOR,
                             "option '%s': '%.100s' is neither a host name nor an address; write "
                             "*.example.org, 192.0.2.1 or 10.0.0.0/8",
                             option, names.items[i]);
        items->item[items->count++] = item;
    }
    return true;
}

static void items_clear(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->item[i].name);
    free(items->item);
}

struct access *access_open(struct download_names allow, struct download_names deny,
                           struct error *err)
{
    struct access *access = memory_new(sizeof(*access));

    if (items_read(&access->allow, allow, "urlAllow", err)
        && items_read(&access->deny, deny, "urlDeny", err))
        return access;
    access_close(access);
    return NULL;
}

void access_close(struct access *access)
{
    if (!access)
        return;
    items_clear(&access->allow);
    items_clear(&access->deny);
    free(access);
}

bool access_is_open(const struct access *access)
{
    return !access->allow.count && !access->deny.count;
}

/* `*` stands for any letters; the other pattern letters of shells are none here. */
static bool name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *again = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            again = name;
        } else if (strncasecmp(pattern, name, 1) == 0) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++again;
        } else {
            return false;
        }
    }
    return !pattern[strspn(pattern, "*")];
}

static bool is_v4(const unsigned char *address)
{
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

static bool is_in_range(const unsigned char *address, const struct item *item)
{
    int bytes = item->bits / 8, rest = item->bits % 8;
    unsigned char mask = (unsigned char)(0xff00 >> rest);

    if (item->bits < 96 && is_v4(address)) /* "::/0" means no address of IPv4 */
        return false;
    return memcmp(address, item->address, (size_t)bytes) == 0
           && (!rest || ((address[bytes] ^ item->address[bytes]) & mask) == 0);
}

/* `address`: NULL when it is not known yet. */
static bool items_match(const struct items *items, const char *host, const unsigned char *address)
{
    for (size_t i = 0; i < items->count; i++) {
        const struct item *item = &items->item[i];

        if (item->name ? name_matches(item->name, host) : address && is_in_range(address, item))
            return true;
    }
    return false;
}

/* The host as libcurl understands the URL: decoded, in ASCII. NULL: it does not. */
static char *host_of(const char *url)
{
    CURLU *parts = curl_url();
    char *host = NULL, *copy = NULL;
    size_t length;

    if (parts && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK
        && curl_url_get(parts, CURLUPART_HOST, &host, CURLU_PUNYCODE) == CURLUE_OK) {
        copy = memory_copy(host);
        length = strlen(copy);
        if (length && copy[length - 1] == '.')
            copy[length - 1] = '\0';
    }
    curl_free(host);
    curl_url_cleanup(parts);
    return copy;
}

static bool decide(const struct access *access, const char *url, const unsigned char *address)
{
    unsigned char literal[16];
    char *host;
    bool allowed;

    if (access_is_open(access))
        return true;
    host = host_of(url);
    if (!host)
        return false;
    if (!address && read_address(host, strlen(host), literal))
        address = literal;
    allowed = !access->allow.count || items_match(&access->allow, host, address)
              || (!address && access->allow.ranges);
    allowed = allowed && !items_match(&access->deny, host, address);
    free(host);
    return allowed;
}

bool access_allows_url(const struct access *access, const char *url)
{
    return decide(access, url, NULL);
}

bool access_allows(const struct access *access, const char *url, const struct sockaddr *address)
{
    unsigned char bytes[16];

    if (address->sa_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr, bytes);
    else if (address->sa_family == AF_INET6)
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    else
        return access_is_open(access);
    return decide(access, url, bytes);
}
