/*
 * Where a Redis is. Of the many things that redis-py takes behind a '?' only the database says
 * where the keys are; the others tune that client and are left aside with a warning. Their values
 * are not shown: one of them may be a password.
 */
#include "store/redis_address.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define WHERE        "sr3sub.store redis"
#define DATABASE_MAX 1000000

static bool read_database(const char *text, size_t length, int *database, struct error *err)
{
    char digits[8] = "";

    if (!length || length >= sizeof(digits) || strspn(text, "0123456789") < length)
        return error_set(err, ERROR_OPERATOR,
                         "Redis URL: the database has to be a number, as in "
                         "redis://host:6379/0");
    memcpy(digits, text, length);
    *database = (int)strtol(digits, NULL, 10);
    return *database <= DATABASE_MAX
           || error_set(err, ERROR_OPERATOR, "Redis URL: there is no database %d", *database);
}

/* `text` begins behind the '?'. */
static bool read_query(const char *text, struct redis_address *address, struct error *err)
{
    while (*text) {
        size_t length = strcspn(text, "&#"), name = strcspn(text, "=&#");

        if (name == 2 && !strncmp(text, "db=", 3)) {
            if (!read_database(text + 3, length - 3, &address->database, err))
                return false;
        } else if (length) {
            log_warning(WHERE, "Redis URL: '%.*s' behind the '?' has no meaning here",
                        (int)(name > 40 ? 40 : name), text);
        }
        text += length;
        if (*text != '&')
            break;
        text++;
    }
    return true;
}

static bool read_place(const struct url *url, struct redis_address *address, struct error *err)
{
    size_t length = strcspn(url->path, "?#");

    if (!strcmp(url->scheme, "unix")) {
        if (length < 2 || *url->host)
            return error_set(err, ERROR_OPERATOR,
                             "Redis URL: a socket needs a whole path, as in "
                             "unix:///run/redis/redis.sock");
        address->path = memory_copy_bytes(url->path, length);
        return true;
    }
    address->tls = !strcmp(url->scheme, "rediss");
    if (!address->tls && strcmp(url->scheme, "redis") != 0)
        return error_set(err, ERROR_OPERATOR,
                         "Redis URL: it has to begin with redis://, rediss:// or unix://, not "
                         "%.20s://",
                         url->scheme);
    address->host = memory_copy(url->host);
    address->port = memory_format("%d", url->port ? url->port : 6379);
    return length < 2 || read_database(url->path + 1, length - 1, &address->database, err);
}

static char *print_name(const struct url *url, const struct redis_address *address)
{
    bool bracketed = strchr(url->host, ':') != NULL;
    const char *user = url->user ? url->user : "";

    if (address->path)
        return memory_format("unix://%s%s%s?db=%d", user, *user ? "@" : "", address->path,
                             address->database);
    return memory_format("%s://%s%s%s%s%s:%s/%d", url->scheme, user, *user ? "@" : "",
                         bracketed ? "[" : "", address->host, bracketed ? "]" : "", address->port,
                         address->database);
}

bool redis_address_parse(const struct url *url, struct redis_address *address, struct error *err)
{
    const char *query = strchr(url->path, '?');

    memset(address, 0, sizeof(*address));
    if (!read_place(url, address, err) || (query && !read_query(query + 1, address, err))) {
        redis_address_clear(address);
        return false;
    }
    address->user = memory_copy(url->user);
    address->password = memory_copy(url->password);
    address->name = print_name(url, address);
    return true;
}

void redis_address_clear(struct redis_address *address)
{
    free(address->name);
    free(address->path);
    free(address->host);
    free(address->port);
    free(address->user);
    free(address->password);
    memset(address, 0, sizeof(*address));
}
