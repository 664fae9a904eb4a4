/* Extended attributes in the form of sr3. Anybody may have written what is read here. */
#include "stages/writer_attributes.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define IDENTITY "user.sr_identity"
#define MTIME    "user.sr_mtime"

static bool put(int fd, const char *name, const char *text)
{
    return fsetxattr(fd, name, text, strlen(text), 0) == 0 || (errno != ENOTSUP && errno != ENOSYS);
}

/* Base64 and the like need no quoting. */
static bool is_plain(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.,: ")
           == strlen(text);
}

static bool put_identity(int fd, const struct attributes *attributes)
{
    char plain[2 * ATTRIBUTES_TEXT_SIZE + 32];
    json_t *object;
    char *text;
    bool known;

    if (is_plain(attributes->method) && is_plain(attributes->value)) {
        snprintf(plain, sizeof(plain), "{\"method\": \"%s\", \"value\": \"%s\"}",
                 attributes->method, attributes->value);
        return put(fd, IDENTITY, plain);
    }
    object = json_pack("{ss ss}", "method", attributes->method, "value", attributes->value);
    text = object ? json_dumps(object, JSON_ENSURE_ASCII) : NULL;
    json_decref(object);
    known = !text || put(fd, IDENTITY, text);
    free(text);
    return known;
}

bool attributes_write(int fd, const struct attributes *attributes)
{
    char time[CLOCK_TEXT_SIZE];
    bool known = true;

    if (attributes->mtime_ns >= 0) {
        clock_print(attributes->mtime_ns, time);
        known = put(fd, MTIME, time);
    }
    if (!known || !*attributes->method)
        return known;
    return put_identity(fd, attributes);
}

static void copy_text(char *to, size_t size, const json_t *text)
{
    if (json_is_string(text) && json_string_length(text) < size)
        memcpy(to, json_string_value(text), json_string_length(text) + 1);
}

static void read_identity(int fd, struct attributes *attributes)
{
    char text[2 * ATTRIBUTES_TEXT_SIZE];
    ssize_t length = fgetxattr(fd, IDENTITY, text, sizeof(text));
    json_t *object = length > 0 ? json_loadb(text, (size_t)length, 0, NULL) : NULL;

    copy_text(attributes->method, sizeof(attributes->method), json_object_get(object, "method"));
    copy_text(attributes->value, sizeof(attributes->value), json_object_get(object, "value"));
    json_decref(object);
}

void attributes_read(int fd, struct attributes *attributes)
{
    char time[64];
    ssize_t length = fgetxattr(fd, MTIME, time, sizeof(time) - 1);

    *attributes = (struct attributes){.mtime_ns = -1};
    if (length < 0 && (errno == ENOTSUP || errno == ENOSYS))
        return;
    if (length > 0) {
        time[length] = '\0';
        if (!clock_parse(time, &attributes->mtime_ns))
            attributes->mtime_ns = -1;
    }
    read_identity(fd, attributes);
}
