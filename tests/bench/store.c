/*
 * What one file costs in a store: claim and confirm, by the batch.
 *
 *     store FILE|URL [REMEMBERED [FILES [BATCH]]]
 *
 * Adds REMEMBERED placed files to the embedded store in FILE, or to the Redis at URL, then measures
 * FILES more; all are new ones in each run. What Redis itself uses is in `redis-cli info cpu`.
 */
#include "store/store.h"
#include "store/redis_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BATCH_MAX 1024

static struct store_question questions[2 * BATCH_MAX];

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static double wall_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Spreads a number over the bytes, as a hash would. */
static void scatter(uint64_t number, unsigned char bytes[16])
{
    for (size_t i = 0; i < 16; i += sizeof(number)) {
        number += 0x9e3779b97f4a7c15u;
        number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
        number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
        memcpy(bytes + i, &number, sizeof(number));
    }
}

static void identify(struct store_question *question, uint64_t number)
{
    scatter(number * 3, question->identity.key);
    scatter(number * 3 + 1, question->identity.path);
    scatter(number * 3 + (getenv("MIRROR") ? 1 : 2), question->identity.place);
    snprintf(question->owner, sizeof(question->owner), "0123456789abcdef.12345.%" PRIx64, number);
    question->pub_time_ns = 1735790592751000000 + (int64_t)number;
    question->path_text = "20250102/WXO-DD/model_gdps/25km/12/003/"
                          "20250102T12Z_MSC_GDPS_AirTemp_AGL-2m_LatLon0.15_PT003H.grib2";
}

static void ask(struct store *store, enum store_action action, size_t slot, uint64_t number)
{
    identify(&questions[slot], number);
    questions[slot].action = action;
    store_ask(store, &questions[slot]);
}

static void collect(struct loop *loop, struct store *store, size_t count)
{
    store_send(store);
    while (count) {
        struct store_question *question = store_take_answer(store);

        if (!question) {
            loop_wait(loop);
            continue;
        }
        count--;
        if (question->verdict != STORE_CLAIMED && question->verdict != STORE_DONE) {
            fprintf(stderr, "verdict %d: %s\n", (int)question->verdict, store_failure(store));
            exit(1);
        }
    }
}

static void fill(struct loop *loop, struct store *store, uint64_t from, uint64_t count)
{
    for (uint64_t done = 0; done < count; done += BATCH_MAX) {
        for (size_t i = 0; i < BATCH_MAX; i++)
            ask(store, STORE_CONFIRM, i, from + done + i);
        collect(loop, store, BATCH_MAX);
    }
}

/* As the program does it: each turn of the loop claims some files and confirms those before. */
static void place_files(struct loop *loop, struct store *store, uint64_t from, uint64_t count,
                        size_t batch)
{
    for (uint64_t done = 0; done < count; done += batch) {
        for (size_t i = 0; i < batch; i++) {
            ask(store, STORE_CLAIM, i, from + done + i);
            if (done)
                ask(store, STORE_CONFIRM, batch + i, from + done - batch + i);
        }
        collect(loop, store, done ? 2 * batch : batch);
    }
}

static struct store *open_redis(struct loop *loop, const char *text,
                                const struct store_settings *settings, struct error *err)
{
    struct url url;
    struct redis_settings redis = {
        .url = &url, .connect_timeout_ms = 5000, .command_timeout_ms = 10000};
    struct store *store;

    if (!url_parse(text, &url, err))
        return NULL;
    store = store_open_redis(loop, &redis, "sr3.nodupe.subscribe.bench", settings, err);
    url_clear(&url);
    for (int turns = 0; store && store_failure(store) && turns < 100; turns++)
        loop_wait(loop); /* until it is connected */
    return store;
}

int main(int argc, char **argv)
{
    struct store_settings settings = {
        .lease_ms = 30000, .nodupe_ttl_ms = 86400000000, .latest_ttl_ms = 86400000};
    uint64_t remembered = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    uint64_t files = argc > 3 ? strtoull(argv[3], NULL, 10) : 200000;
    size_t batch = argc > 4 ? strtoull(argv[4], NULL, 10) : 32;
    struct loop *loop = loop_open();
    struct error err = {0};
    uint64_t first = (uint64_t)time(NULL) << 32;
    struct rusage usage;
    struct store *store;
    double cpu, wall;

    if (argc < 2 || batch < 1 || batch > BATCH_MAX)
        return fprintf(stderr, "store FILE|URL [REMEMBERED [FILES [BATCH]]]\n"), 2;
    store = strstr(argv[1], "://") ? open_redis(loop, argv[1], &settings, &err)
                                   : store_open_sqlite(loop, argv[1], &settings, &err);
    if (!store)
        return fprintf(stderr, "%s\n", err.text), 1;
    fill(loop, store, first, remembered);
    cpu = cpu_seconds();
    wall = wall_seconds();
    place_files(loop, store, first + remembered + BATCH_MAX, files, batch);
    cpu = cpu_seconds() - cpu;
    wall = wall_seconds() - wall;
    getrusage(RUSAGE_SELF, &usage);
    printf("user %.1f sys %.1f total; ", seconds_of(usage.ru_utime), seconds_of(usage.ru_stime));
    printf("%.1f us cpu, %.1f us wall per file; %ld KiB at most\n", cpu * 1e6 / (double)files,
           wall * 1e6 / (double)files, usage.ru_maxrss);
    store_close(store);
    loop_close(loop);
    return 0;
}
