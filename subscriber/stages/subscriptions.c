/* The record of bindings. Two instances may write it at once: each writes the whole of it under a
 * name of its own, so one of them wins, and the next one to connect makes it right. */
#include "stages/subscriptions.h"

#include "base/url.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4 << 20)
#define ENTRIES_MAX    100 /* a name that changes at each start would make it grow for ever */
#define NAME_BYTES_MAX 255 /* AMQP 0-9-1, shortstr */

struct subscriptions {
    char *path;
    json_t *list;
};

/* ---- reading ---- */

static bool read_list(struct subscriptions *subscriptions, FILE *file, struct error *err)
{
    const char *path = subscriptions->path;
    struct stat status;
    json_error_t problem;

    if (fstat(fileno(file), &status))
        return error_set(err, ERROR_OPERATOR, "read '%s': %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_BYTES_MAX)
        return error_set(err, ERROR_OPERATOR, "read '%s': no file of sensible size", path);
    subscriptions->list = json_loadf(file, 0, &problem);
    if (!subscriptions->list)
        return error_set(err, ERROR_OPERATOR, "read '%s': line %d: %s", path, problem.line,
                         problem.text);
    return json_is_array(subscriptions->list)
           || error_set(err, ERROR_OPERATOR, "read '%s': it holds no list", path);
}

struct subscriptions *subscriptions_read(const char *path, struct error *err)
{
    struct subscriptions *subscriptions = memory_new(sizeof(*subscriptions));
    FILE *file = fopen(path, "re");
    bool good = true;

    subscriptions->path = memory_copy(path);
    if (file) {
        good = read_list(subscriptions, file, err);
        fclose(file);
    } else if (errno == ENOENT) {
        subscriptions->list = json_array();
    } else {
        good = error_set(err, ERROR_OPERATOR, "read '%s': %s", path, strerror(errno));
    }
    if (good)
        return subscriptions;
    subscriptions_free(subscriptions);
    return NULL;
}

void subscriptions_free(struct subscriptions *subscriptions)
{
    if (!subscriptions)
        return;
    json_decref(subscriptions->list);
    free(subscriptions->path);
    free(subscriptions);
}

/* ---- which entry ---- */

static int port_of(const struct url *url)
{
    if (url->port)
        return url->port;
    return strcmp(url->scheme, "amqps") == 0 ? 5671 : 5672;
}

/* Without the slashes around it; RabbitMQ's own vhost "/" is the empty path. */
static struct slice vhost_of(const char *path)
{
    const char *begin = path + strspn(path, "/");
    size_t length = strlen(begin);

    while (length && begin[length - 1] == '/')
        length--;
    return (struct slice){.bytes = begin, .length = length};
}

static bool same_vhost(const char *a, const char *b)
{
    struct slice one = vhost_of(a), other = vhost_of(b);

    return one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0;
}

/* As one writes URLs: a port that goes without saying may be missing. */
static bool is_broker(const char *text, const struct broker_settings *settings)
{
    struct error ignored = {0};
    struct url url = {0};
    bool same;

    if (!text || !url_parse(text, &url, &ignored))
        return false;
    same = strcasecmp(url.host, settings->host) == 0 && port_of(&url) == settings->port
           && strcmp(url.user ? url.user : "anonymous", settings->user) == 0
           && same_vhost(url.path, settings->vhost);
    url_clear(&url);
    return same;
}

static bool is_entry(const json_t *entry, const struct broker_settings *settings)
{
    const char *queue = json_string_value(json_object_get(json_object_get(entry, "queue"), "name"));

    return queue && strcmp(queue, settings->queue) == 0
           && is_broker(json_string_value(json_object_get(entry, "broker")), settings);
}

static json_t *find_entry(const struct subscriptions *subscriptions,
                          const struct broker_settings *settings)
{
    size_t index;
    json_t *entry;

    json_array_foreach(subscriptions->list, index, entry)
    {
        if (is_entry(entry, settings))
            return entry;
    }
    return NULL;
}

/* ---- bindings ---- */

/* "v02.post.#" of ["v02", "post"] and ["#"]; NULL: it is nothing that could be bound. */
static char *join_topic(const json_t *prefix, const json_t *sub, struct arena *texts)
{
    const json_t *parts[] = {prefix, sub};
    char *topic = NULL;

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (size_t j = 0; j < json_array_size(parts[i]); j++) {
            const char *word = json_string_value(json_array_get(parts[i], j));

            if (!word || strlen(word) + (topic ? strlen(topic) + 1 : 0) > NAME_BYTES_MAX)
                return NULL;
            topic = topic ? arena_format(texts, "%s.%s", topic, word)
                          : arena_copy(texts, word, strlen(word));
        }
    return topic;
}

static bool read_binding(const json_t *recorded, struct broker_binding *binding,
                         struct arena *texts)
{
    const char *exchange = json_string_value(json_object_get(recorded, "exchange"));

    if (!exchange || !*exchange || strlen(exchange) > NAME_BYTES_MAX)
        return false;
    *binding =
        (struct broker_binding){.exchange = arena_copy(texts, exchange, strlen(exchange)),
                                .topic = join_topic(json_object_get(recorded, "prefix"),
                                                    json_object_get(recorded, "sub"), texts)};
    return binding->topic;
}

static bool has_binding(const struct broker_binding *bindings, size_t count,
                        const struct broker_binding *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(bindings[i].exchange, wanted->exchange) == 0
            && strcmp(bindings[i].topic, wanted->topic) == 0)
            return true;
    return false;
}

struct broker_binding *subscriptions_find_stale(const struct subscriptions *subscriptions,
                                                const struct broker_settings *settings,
                                                struct arena *texts, size_t *count)
{
    const json_t *recorded = json_object_get(find_entry(subscriptions, settings), "bindings");
    struct broker_binding *stale =
        memory_resize(NULL, json_array_size(recorded) + 1, sizeof(*stale));

    *count = 0;
    for (size_t i = 0; i < json_array_size(recorded); i++)
        if (read_binding(json_array_get(recorded, i), &stale[*count], texts)
            && !has_binding(settings->bindings, settings->binding_count, &stale[*count])
            && !has_binding(stale, *count, &stale[*count]))
            ++*count;
    return stale;
}

/* ---- writing ---- */

/* ["v02", "post"] of the first `length` bytes of "v02.post.#". */
static json_t *split_words(const char *text, size_t length)
{
    json_t *words = json_array();

    while (length) {
        const char *dot = memchr(text, '.', length);
        size_t word = dot ? (size_t)(dot - text) : length;
        size_t step = dot ? word + 1 : word;

        json_array_append_new(words, json_stringn_nocheck(text, word));
        text += step;
        length -= step;
    }
    return words;
}

static json_t *print_binding(const struct broker_binding *binding)
{
    size_t prefix = binding->prefix_length;
    const char *sub = binding->topic + prefix + (prefix ? 1 : 0);
    json_t *printed = json_object();

    json_object_set_new(printed, "exchange", json_string_nocheck(binding->exchange));
    json_object_set_new(printed, "prefix", split_words(binding->topic, prefix));
    json_object_set_new(printed, "sub", split_words(sub, strlen(sub)));
    return printed;
}

static json_t *print_bindings(const struct broker_settings *settings,
                              const struct broker_binding *others, size_t other_count)
{
    json_t *list = json_array();

    for (size_t i = 0; settings->bind && i < settings->binding_count; i++)
        json_array_append_new(list, print_binding(&settings->bindings[i]));
    for (size_t i = 0; i < other_count; i++)
        json_array_append_new(list, print_binding(&others[i]));
    return list;
}

static void set_queue(json_t *queue, const struct broker_settings *settings)
{
    json_object_set_new(queue, "name", json_string_nocheck(settings->queue));
    if (!json_object_get(queue, "cleanup_needed"))
        json_object_set_new(queue, "cleanup_needed", json_null());
    json_object_set_new(queue, "durable", json_boolean(settings->durable));
    json_object_set_new(queue, "expire",
                        settings->expire_ms > 0 ? json_real((double)settings->expire_ms / 1000)
                                                : json_null());
    json_object_set_new(queue, "prefetch", json_integer(settings->prefetch));
    json_object_set_new(queue, "bind", json_boolean(settings->bind));
    json_object_set_new(queue, "declare", json_boolean(settings->declare));
}

/* The entry of this broker and queue, made when there is none. */
static json_t *take_entry(struct subscriptions *subscriptions,
                          const struct broker_settings *settings)
{
    json_t *entry = find_entry(subscriptions, settings);

    if (entry)
        return entry;
    while (json_array_size(subscriptions->list) >= ENTRIES_MAX)
        json_array_remove(subscriptions->list, 0);
    entry = json_object();
    json_object_set_new(entry, "broker", json_string_nocheck(settings->url));
    json_object_set_new(entry, "bindings", json_null()); /* sr3's order of members */
    json_object_set_new(entry, "queue", json_object());
    json_array_append_new(subscriptions->list, entry);
    return entry;
}

static bool write_text(const char *path, const char *text, struct error *err)
{
    char *temporary = memory_format("%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    size_t length = strlen(text);
    bool written = fd >= 0 && write(fd, text, length) == (ssize_t)length && !fchmod(fd, 0644);

    if (fd >= 0 && close(fd))
        written = false;
    if (written && rename(temporary, path))
        written = false;
    if (!written) {
        error_set(err, ERROR_OPERATOR, "write '%s': %s", path, strerror(errno));
        if (fd >= 0)
            unlink(temporary);
    }
    free(temporary);
    return written;
}

bool subscriptions_record(struct subscriptions *subscriptions,
                          const struct broker_settings *settings,
                          const struct broker_binding *others, size_t other_count,
                          struct error *err)
{
    json_t *before = json_deep_copy(subscriptions->list);
    json_t *entry = take_entry(subscriptions, settings);
    bool written = true;

    json_object_set_new(entry, "bindings", print_bindings(settings, others, other_count));
    set_queue(json_object_get(entry, "queue"), settings);
    if (!json_equal(before, subscriptions->list)) {
        char *text = json_dumps(subscriptions->list, JSON_ENSURE_ASCII);

        written = text ? write_text(subscriptions->path, text, err)
                       : error_set(err, ERROR_OPERATOR, "write '%s': a name in it is no UTF-8",
                                   subscriptions->path);
        free(text);
    }
    json_decref(before);
    return written;
}
