/* The hosts that files are fetched from. Their names come from announcements, so those that are of
 * no interest now are forgotten, and only so many are remembered for their troubles. */
#include "stages/hosts.h"

#include "base/backoff.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS        64
#define TROUBLES_MAX   3 /* in a row, then it is paused */
#define PAUSE_FIRST_MS 1000
#define PAUSE_MOST_MS  60000
#define CROWDED_MS     30000
#define REST_MOST_MS   3600000 /* what a server may ask for */
#define RESTING_MAX    256     /* idle hosts that are remembered for their troubles */

struct host {
    struct host *next; /* in its bucket */
    struct hosts *hosts;
    char *name; /* scheme, host and port */
    int active;
    struct list waiting;
    struct list_link runnable; /* linked while something waits and there is room */
    struct list_link resting;  /* linked while it is idle and in trouble, the oldest first */
    int troubles;              /* in a row */
    int64_t paused_until_ms;   /* steady clock; 0: it is not */
    bool crowded;              /* that is why it is paused */
};

struct hosts {
    struct host *buckets[BUCKETS];
    struct list runnable, resting;
    int active_max, resting_count;
};

struct hosts *hosts_open(int active_max)
{
    struct hosts *hosts = memory_new(sizeof(*hosts));

    hosts->active_max = active_max;
    list_init(&hosts->runnable);
    list_init(&hosts->resting);
    return hosts;
}

static size_t bucket_of(const char *name, size_t length)
{
    size_t hash = 5381;

    for (size_t i = 0; i < length; i++)
        hash = hash * 33 + (unsigned char)name[i];
    return hash % BUCKETS;
}

/* "http://host:port" of a URL: as far as the first '/' of its path. */
static size_t name_length(const char *url)
{
    const char *authority = strstr(url, "://");

    authority = authority ? authority + 3 : url;
    return (size_t)(authority - url) + strcspn(authority, "/?#");
}

static struct host *find(const struct hosts *hosts, const char *url)
{
    size_t length = name_length(url);
    struct host *host = hosts->buckets[bucket_of(url, length)];

    while (host && (strlen(host->name) != length || memcmp(host->name, url, length) != 0))
        host = host->next;
    return host;
}

struct host *hosts_get(struct hosts *hosts, const char *url)
{
    size_t length = name_length(url);
    struct host **bucket = &hosts->buckets[bucket_of(url, length)];
    struct host *host = find(hosts, url);

    if (host)
        return host;
    host = memory_new(sizeof(*host));
    host->hosts = hosts;
    host->name = memory_copy_bytes(url, length);
    list_init(&host->waiting);
    host->next = *bucket;
    *bucket = host;
    return host;
}

static void forget(struct host *host)
{
    struct hosts *hosts = host->hosts;
    struct host **at = &hosts->buckets[bucket_of(host->name, strlen(host->name))];

    while (*at != host)
        at = &(*at)->next;
    *at = host->next;
    if (list_is_linked(&host->resting))
        hosts->resting_count--;
    list_remove(&host->resting);
    list_remove(&host->runnable);
    free(host->name);
    free(host);
}

static void rest(struct host *host)
{
    struct hosts *hosts = host->hosts;

    if (list_is_linked(&host->resting))
        return;
    list_append(&hosts->resting, &host->resting);
    if (++hosts->resting_count > RESTING_MAX)
        forget(LIST_ITEM(list_first(&hosts->resting), struct host, resting));
}

static void wake(struct host *host)
{
    if (!list_is_linked(&host->resting))
        return;
    list_remove(&host->resting);
    host->hosts->resting_count--;
}

static int64_t pause_left_ms(const struct host *host)
{
    int64_t left_ms = host->paused_until_ms - clock_now_ms();

    return left_ms > 0 ? left_ms : 0;
}

/* After trouble a single one tries whether it is over. */
static bool has_room(const struct host *host)
{
    if (pause_left_ms(host))
        return false;
    return host->active < (host->troubles < TROUBLES_MAX ? host->hosts->active_max : 1);
}

static void update(struct host *host)
{
    bool runnable = !list_is_empty(&host->waiting) && has_room(host);

    if (runnable && !list_is_linked(&host->runnable))
        list_append(&host->hosts->runnable, &host->runnable);
    else if (!runnable)
        list_remove(&host->runnable);
    if (host->active || !list_is_empty(&host->waiting))
        wake(host);
    else if (host->troubles || pause_left_ms(host))
        rest(host);
    else
        forget(host);
}

bool host_wait(struct host *host, struct list_link *waiting)
{
    if (pause_left_ms(host))
        return false;
    list_append(&host->waiting, waiting);
    update(host);
    return true;
}

void host_wait_no_more(struct host *host, struct list_link *waiting)
{
    list_remove(waiting);
    update(host);
}

bool hosts_have_turn(const struct hosts *hosts)
{
    return !list_is_empty(&hosts->runnable);
}

struct list_link *hosts_take_turn(struct hosts *hosts)
{
    struct list_link *link = list_take_first(&hosts->runnable);
    struct host *host;

    if (!link)
        return NULL;
    host = LIST_ITEM(link, struct host, runnable);
    link = list_take_first(&host->waiting);
    host->active++;
    update(host); /* to the end of the line: hosts take turns */
    return link;
}

static void trouble(struct host *host)
{
    if (++host->troubles >= TROUBLES_MAX)
        host->paused_until_ms =
            clock_now_ms()
            + backoff_ms(host->troubles - TROUBLES_MAX + 1, PAUSE_FIRST_MS, PAUSE_MOST_MS);
}

void host_done(struct host *host, enum host_news news, int64_t rest_ms, struct list *turned_away)
{
    host->active--;
    if (news != HOST_UNKNOWN && host->crowded) {
        host->crowded = false;
        host->paused_until_ms = 0;
    }
    if (news == HOST_WELL)
        host->troubles = 0;
    else if (news == HOST_TROUBLE && !pause_left_ms(host)) /* others may have failed just before */
        trouble(host);
    if (rest_ms > REST_MOST_MS)
        rest_ms = REST_MOST_MS;
    if (rest_ms > pause_left_ms(host))
        host->paused_until_ms = clock_now_ms() + rest_ms;
    if (pause_left_ms(host))
        list_append_all(turned_away, &host->waiting);
    update(host);
}

static void disperse(struct host *host, struct list *turned_away)
{
    host->crowded = true;
    host->paused_until_ms = clock_now_ms() + CROWDED_MS;
    list_append_all(turned_away, &host->waiting);
    update(host);
}

void hosts_disperse(struct hosts *hosts, host_waits_too_long *too_long, struct list *turned_away)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct host *host = hosts->buckets[i], *next; host; host = next) {
            next = host->next;
            if (!has_room(host) && !list_is_empty(&host->waiting)
                && too_long(list_first(&host->waiting)))
                disperse(host, turned_away);
        }
}

int64_t hosts_pause_ms(const struct hosts *hosts, const char *url)
{
    const struct host *host = find(hosts, url);

    return host ? pause_left_ms(host) : 0;
}

struct list_link *hosts_take_any(struct hosts *hosts)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct host *host = hosts->buckets[i]; host; host = host->next)
            if (!list_is_empty(&host->waiting))
                return list_take_first(&host->waiting);
    return NULL;
}

void hosts_close(struct hosts *hosts)
{
    if (!hosts)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (hosts->buckets[i])
            forget(hosts->buckets[i]);
    free(hosts);
}
