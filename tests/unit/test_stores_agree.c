/*
 * Every store answers the same: questions by chance, from several owners about few announcements
 * and places, put to each store and to the model of one (model_store.h), one after the other.
 *
 * SR3SUB_SEED=n runs one sequence alone and prints its questions.
 */
#include "model_store.h"

#include "base/clock.h"
#include "store/redis_link.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "redis_server.h"

#define T0         1735790592751000000
#define UNIT_MS    1000 /* time moves in these, so that nothing ends just when it is looked at */
#define LEASE_MS   (4 * UNIT_MS - UNIT_MS / 2)
#define NODUPE_MS  (8 * UNIT_MS - UNIT_MS / 2) /* any unit is enough to be refreshed */
#define LATEST_MS  (20 * UNIT_MS - UNIT_MS / 2)
#define SEQUENCES  40
#define QUESTIONS  150
#define OWNERS     4
#define IDENTITIES 3
#define PLACES     3
#define TIMES      4

/* A store to be compared with the model, opened anew for each sequence. */
struct candidate {
    const char *name;
    struct store *(*open)(struct loop *loop, const struct store_settings *settings,
                          struct error *err);
    void (*clean)(void);
    bool real_time; /* its clock cannot be held: nothing may end meanwhile */
};

static uint64_t random_state;

static unsigned chance(unsigned sides)
{
    uint64_t number = random_state += 0x9E3779B97F4A7C15;

    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB;
    return (unsigned)((number ^ (number >> 31)) % sides);
}

static struct store_question some_question(void)
{
    unsigned announcement = chance(IDENTITIES), place = chance(PLACES), owner = chance(OWNERS);
    struct store_question question = {.action = (enum store_action)chance(4),
                                      .pub_time_ns = T0 + chance(TIMES),
                                      .path_text = "a/b"};

    if (chance(2)) /* two of three claims would be other people's business */
        question.action = STORE_CLAIM;
    memset(question.identity.path, 0x50, sizeof(question.identity.path));
    memset(question.identity.key, 'a' + (int)announcement, sizeof(question.identity.key));
    memset(question.identity.place, 'A' + (int)place, sizeof(question.identity.place));
    snprintf(question.owner, sizeof(question.owner), "owner.%u.%u.%u", owner, announcement, place);
    return question;
}

static void ask(struct loop *loop, struct store *store, struct store_question *question)
{
    store_ask(store, question);
    store_send(store);
    while (!store_take_answer(store))
        loop_wait(loop);
}

static const char *verdict_name(enum store_verdict verdict)
{
    static const char *const names[] = {
        [STORE_CLAIMED] = "claimed", [STORE_DUPLICATE] = "duplicate", [STORE_OLDER] = "older",
        [STORE_BUSY] = "busy",       [STORE_DONE] = "done",           [STORE_LOST] = "lost",
        [STORE_FAILED] = "failed",
    };

    return names[verdict];
}

static void print_question(const struct store_question *question)
{
    static const char *const actions[] = {[STORE_CLAIM] = "claim",
                                          [STORE_CONFIRM] = "confirm",
                                          [STORE_RELEASE] = "release",
                                          [STORE_RENEW] = "renew"};

    printf("%6lld %s %s published %d: %s, %" PRId64 " ms\n", (clock_wall_ns() - T0) / NS_PER_MS,
           question->owner, actions[question->action], (int)(question->pub_time_ns - T0),
           verdict_name(question->verdict), question->busy_ms);
}

/* How long others are busy depends on the clock; that they are does not. */
static void compare(const struct candidate *candidate, uint64_t seed,
                    const struct store_question *model, const struct store_question *other)
{
    bool same = model->verdict == other->verdict && !model->busy_ms == !other->busy_ms
                && (candidate->real_time || model->busy_ms == other->busy_ms);

    if (same)
        return;
    print_question(model);
    fail_msg("SR3SUB_SEED=%" PRIu64 ": %s says %s, %" PRId64 " ms", seed, candidate->name,
             verdict_name(other->verdict), other->busy_ms);
}

static void pass(const struct candidate *candidate)
{
    int64_t ms = (int64_t)chance(3) * UNIT_MS;

    if (candidate->real_time || chance(3))
        return;
    if (chance(8) == 0)
        ms = 10 * UNIT_MS;
    clock_hold(clock_wall_ns() + ms * NS_PER_MS, clock_now_ms() + ms);
}

static void run_sequence(const struct candidate *candidate, uint64_t seed)
{
    const struct store_settings settings = {.lease_ms = candidate->real_time ? 3600000 : LEASE_MS,
                                            .nodupe_ttl_ms = seed % 4 == 0          ? 0
                                                             : candidate->real_time ? 7200000
                                                                                    : NODUPE_MS,
                                            .latest_ttl_ms =
                                                candidate->real_time ? 7200000 : LATEST_MS};
    struct loop *loop = loop_open();
    struct model_store *model = model_store_open(&settings);
    struct store *connection = model_store_connect(model, true), *store;
    struct error err = {0};

    random_state = seed;
    if (!candidate->real_time)
        clock_hold(T0, 1000);
    store = candidate->open(loop, &settings, &err);
    if (!store)
        fail_msg("%s: %s", candidate->name, err.text);
    for (int i = 0; i < QUESTIONS; i++) {
        struct store_question first = some_question(), second = first;

        ask(loop, connection, &first);
        ask(loop, store, &second);
        if (getenv("SR3SUB_SEED"))
            print_question(&first);
        compare(candidate, seed, &first, &second);
        pass(candidate);
    }
    store_close(store);
    candidate->clean();
    store_close(connection);
    model_store_close(model);
    loop_close(loop);
    clock_hold(-1, -1);
}

static void run(const struct candidate *candidate)
{
    const char *seed = getenv("SR3SUB_SEED");

    if (seed)
        run_sequence(candidate, strtoull(seed, NULL, 10));
    for (uint64_t i = 1; !seed && i <= SEQUENCES; i++)
        run_sequence(candidate, i);
}

/* ---- SQLite ---- */

static char sqlite_directory[40];

static struct store *open_sqlite(struct loop *loop, const struct store_settings *settings,
                                 struct error *err)
{
    char path[60];

    snprintf(sqlite_directory, sizeof(sqlite_directory), "/tmp/test_stores_agree.XXXXXX");
    assert_non_null(mkdtemp(sqlite_directory));
    snprintf(path, sizeof(path), "%s/store.db", sqlite_directory);
    return store_open_sqlite(loop, path, settings, err);
}

static void clean_sqlite(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[60];

    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        snprintf(path, sizeof(path), "%s/store.db%s", sqlite_directory, suffixes[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(sqlite_directory), 0);
}

static void sqlite_agrees(void **state)
{
    static const struct candidate sqlite = {
        .name = "SQLite", .open = open_sqlite, .clean = clean_sqlite};

    (void)state;
    run(&sqlite);
}

/* ---- Redis ---- */

static struct redis_server redis_server;

/* Each sequence has keys of its own. */
static struct store *open_redis(struct loop *loop, const struct store_settings *settings,
                                struct error *err)
{
    static unsigned sequences;
    char *text = memory_format("unix://%s", redis_server.socket);
    char *base = memory_format("sequence.%u", ++sequences);
    struct url url = redis_url_of(text);
    struct redis_settings redis = {
        .url = &url, .connect_timeout_ms = 5000, .command_timeout_ms = 20000};
    struct store *store = store_open_redis(loop, &redis, base, settings, err);

    while (store && store_failure(store)) /* not connected yet */
        loop_wait(loop);
    url_clear(&url);
    free(base);
    free(text);
    return store;
}

static void clean_redis(void)
{
}

static int redis_start(void **state)
{
    (void)state;
    redis_server_start(&redis_server);
    return 0;
}

static int redis_stop(void **state)
{
    (void)state;
    redis_server_end(&redis_server);
    return 0;
}

static void redis_agrees(void **state)
{
    static const struct candidate redis = {
        .name = "Redis", .open = open_redis, .clean = clean_redis, .real_time = true};

    (void)state;
    run(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlite_agrees),
        cmocka_unit_test_setup_teardown(redis_agrees, redis_start, redis_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
