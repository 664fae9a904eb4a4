/*
 * The store in Redis, shared by all replicas.
 *
 * A question is one call of a script (redis_scripts.c), so each is decided as a whole, by the clock
 * of Redis; the questions of one turn go out in one write. The placed key is sr3's own, name and
 * value, so that instances of sr3 on the same queue see what was placed here, and the reverse.
 */
#include "store/store.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/redis_link.h"
#include "store/redis_scripts.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE         "sr3sub.store redis"
#define CLOSE_WAIT_MS 1000
#define QUIET_MS      60000 /* between two lines about keys of a wrong type */
#define HASH_DIGITS   32
#define TIME_SIZE     32 /* a publication time, or the time of a placed value */

enum key { KEY_CLAIM, KEY_PLACE, KEY_LATEST, KEY_PLACED, KEYS };
enum argument { OWNER = KEYS, LIFE, PUB_TIME, PLACED_LIFE, PLACED_VALUE, ARGUMENTS };

struct redis {
    struct store store; /* first: this is what the callers hold */
    struct redis_link *link;
    struct list answers;
    int64_t nodupe_ttl_ms;

    /* the arguments of the next call; what is the same in all of them is written only once */
    char *keys[KEYS];
    size_t prefixes[KEYS]; /* what comes before the hashes */
    char lease_ms[24], latest_ttl_ms[24], placed_ttl_s[24];
    char *value; /* TIME|PATH */
    size_t value_room, time_length;
    bool timed; /* the time in it is that of the questions being gathered */

    bool complained; /* about a key of a wrong type, at ... */
    int64_t complained_ms;
};

static struct redis *redis_of(const struct store *store)
{
    return (struct redis *)store;
}

/* ---- what is sent ---- */

static char *put_hash(char *to, const unsigned char hash[16])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 16; i++) {
        *to++ = digits[hash[i] >> 4];
        *to++ = digits[hash[i] & 15];
    }
    return to;
}

static void put_keys(struct redis *redis, const struct store_identity *identity)
{
    char **keys = redis->keys;
    char *to = put_hash(keys[KEY_PLACED] + redis->prefixes[KEY_PLACED], identity->key);

    *to++ = '.';
    put_hash(to, identity->path);
    memcpy(keys[KEY_CLAIM] + redis->prefixes[KEY_CLAIM],
           keys[KEY_PLACED] + redis->prefixes[KEY_PLACED], 2 * HASH_DIGITS + 1);
    put_hash(keys[KEY_PLACE] + redis->prefixes[KEY_PLACE], identity->place);
    put_hash(keys[KEY_LATEST] + redis->prefixes[KEY_LATEST], identity->place);
}

static char *value_room(struct redis *redis, size_t size)
{
    if (redis->value_room < size) {
        redis->value_room = 2 * size;
        redis->value = memory_resize(redis->value, redis->value_room, 1);
    }
    return redis->value;
}

/* Seconds as Python prints a float, of what microseconds are: the shortest text that means them. */
static void put_time(struct redis *redis)
{
    int64_t us = clock_wall_ns() / 1000;
    char *text = value_room(redis, TIME_SIZE);
    int length = snprintf(text, TIME_SIZE, "%" PRId64 ".%06" PRId64, us / 1000000, us % 1000000);

    while (text[length - 1] == '0' && text[length - 2] != '.')
        length--;
    text[length++] = '|';
    redis->time_length = (size_t)length;
    redis->timed = true;
}

/* What urllib.parse.quote() leaves as it is. */
static const bool is_plain[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['_'] = true,
    ['.'] = true,         ['-'] = true,         ['~'] = true,         ['/'] = true,
};

/* The path percent-encoded, as urllib.parse.quote() does it. */
static void put_value(struct redis *redis, const char *path)
{
    char *to = value_room(redis, TIME_SIZE + 3 * strlen(path));

    to += redis->time_length;
    for (; *path; path++) {
        unsigned char c = (unsigned char)*path;

        *to++ = is_plain[c] ? (char)c : '%';
        if (!is_plain[c]) {
            *to++ = "0123456789ABCDEF"[c >> 4];
            *to++ = "0123456789ABCDEF"[c & 15];
        }
    }
    *to = '\0';
}

static void put_digits(char *text, size_t count, int64_t number)
{
    for (; count; number /= 10)
        text[--count] = (char)('0' + number % 10);
}

/* Texts of one width order as the times do. */
static void put_pub_time(char text[TIME_SIZE], int64_t pub_time_ns)
{
    int64_t ns = pub_time_ns > 0 ? pub_time_ns : 0;

    put_digits(text, 12, ns / NS_PER_S);
    text[12] = '.';
    put_digits(text + 13, 9, ns % NS_PER_S);
    text[22] = '\0';
}

/* ---- answers ---- */

static bool is_quiet(struct redis *redis)
{
    int64_t now_ms = clock_now_ms();

    if (redis->complained && now_ms - redis->complained_ms < QUIET_MS)
        return true;
    redis->complained = true;
    redis->complained_ms = now_ms;
    return false;
}

static void complain(struct redis *redis, const char *failure)
{
    if (!is_quiet(redis))
        log_error(WHERE, "%s, written by something else; remove it with DEL", failure);
}

static enum store_verdict verdict_of(struct store_question *question, long long result)
{
    if (result == REDIS_RESULT_DONE)
        return question->action == STORE_CLAIM ? STORE_CLAIMED : STORE_DONE;
    if (question->action == STORE_RENEW && result == REDIS_RESULT_ANEW)
        return STORE_CLAIMED;
    if (question->action != STORE_RELEASE && result == REDIS_RESULT_LOST)
        return STORE_LOST;
    if (question->action != STORE_CLAIM)
        return STORE_FAILED;
    if (result > 0) {
        question->busy_ms = result;
        return STORE_BUSY;
    }
    return result == REDIS_RESULT_DUPLICATE ? STORE_DUPLICATE
           : result == REDIS_RESULT_OLDER   ? STORE_OLDER
                                            : STORE_FAILED;
}

static void answered(void *ticket, const struct redisReply *reply, const char *failure)
{
    struct store_question *question = ticket;
    struct redis *redis = redis_of(question->store);

    question->busy_ms = 0;
    question->verdict = STORE_FAILED;
    if (!failure && reply->type == REDIS_REPLY_INTEGER)
        question->verdict = verdict_of(question, reply->integer);
    if (failure && reply && strstr(reply->str, "WRONGTYPE"))
        complain(redis, failure);
    list_append(&redis->answers, &question->link);
}

/* ---- questions ---- */

static void call(struct redis *redis, enum redis_claim_script script, size_t argc,
                 const char *const *argv, struct store_question *question)
{
    size_t lengths[ARGUMENTS];

    for (size_t i = 0; i < argc; i++)
        lengths[i] = strlen(argv[i]);
    redis_link_call(redis->link, script, argc, argv, lengths, answered, question);
}

static void release(struct redis *redis, struct store_question *question)
{
    const char *argv[] = {redis->keys[KEY_CLAIM], redis->keys[KEY_PLACE], question->owner};

    call(redis, REDIS_SCRIPT_RELEASE, COUNT_OF(argv), argv, question);
}

static void ask_script(struct redis *redis, enum redis_claim_script script, const char *life,
                       struct store_question *question)
{
    const char *argv[ARGUMENTS] = {[OWNER] = question->owner,
                                   [LIFE] = life,
                                   [PLACED_LIFE] = redis->placed_ttl_s,
                                   [PLACED_VALUE] = ""};
    char pub_time[TIME_SIZE];

    for (size_t i = 0; i < KEYS; i++)
        argv[i] = redis->keys[i];
    put_pub_time(pub_time, question->pub_time_ns);
    argv[PUB_TIME] = pub_time;
    if (redis->nodupe_ttl_ms > 0) {
        if (!redis->timed)
            put_time(redis);
        put_value(redis, question->path_text ? question->path_text : "");
        argv[PLACED_VALUE] = redis->value;
    }
    call(redis, script, ARGUMENTS, argv, question);
}

static void redis_ask(struct store *store, struct store_question *question)
{
    struct redis *redis = redis_of(store);

    put_keys(redis, &question->identity);
    switch (question->action) {
    case STORE_CLAIM:
        ask_script(redis, REDIS_SCRIPT_CLAIM, redis->lease_ms, question);
        break;
    case STORE_CONFIRM:
        ask_script(redis, REDIS_SCRIPT_CONFIRM, redis->latest_ttl_ms, question);
        break;
    case STORE_RELEASE:
        release(redis, question);
        break;
    case STORE_RENEW:
        ask_script(redis, REDIS_SCRIPT_RENEW, redis->lease_ms, question);
        break;
    }
}

static void redis_send(struct store *store)
{
    struct redis *redis = redis_of(store);

    redis->timed = false;
    redis_link_send(redis->link);
}

static struct store_question *redis_take_answer(struct store *store)
{
    struct list_link *link = list_take_first(&redis_of(store)->answers);

    return link ? LIST_ITEM(link, struct store_question, link) : NULL;
}

static const char *redis_failure(const struct store *store)
{
    return redis_link_failure(redis_of(store)->link);
}

/* What was sent is still done, if Redis answers: at the end of a run these are the releases. */
static void redis_close(struct store *store)
{
    struct redis *redis = redis_of(store);

    redis_link_close(redis->link, CLOSE_WAIT_MS);
    for (size_t i = 0; i < KEYS; i++)
        free(redis->keys[i]);
    free(redis->value);
    free(redis);
}

static const struct store_functions redis_functions = {
    .ask = redis_ask,
    .send = redis_send,
    .take_answer = redis_take_answer,
    .failure = redis_failure,
    .close = redis_close,
};

static void make_keys(struct redis *redis, const char *key_base)
{
    static const char *const kinds[KEYS] = {".claim:", ".place:", ".latest:", ":"};

    for (size_t i = 0; i < KEYS; i++) {
        size_t room = strlen(key_base) + strlen(kinds[i]) + 2 * HASH_DIGITS + 2;

        redis->keys[i] = memory_new(room);
        redis->prefixes[i] = (size_t)snprintf(redis->keys[i], room, "%s%s", key_base, kinds[i]);
    }
}

struct store *store_open_redis(struct loop *loop, const struct redis_settings *settings,
                               const char *key_base, const struct store_settings *store_settings,
                               struct error *err)
{
    struct redis *redis = memory_new(sizeof(*redis));
    int64_t ttl_ms = store_settings->nodupe_ttl_ms;

    redis->store.functions = &redis_functions;
    list_init(&redis->answers);
    redis->nodupe_ttl_ms = ttl_ms;
    make_keys(redis, key_base);
    snprintf(redis->lease_ms, sizeof(redis->lease_ms), "%" PRId64, store_settings->lease_ms);
    snprintf(redis->latest_ttl_ms, sizeof(redis->latest_ttl_ms), "%" PRId64,
             store_settings->latest_ttl_ms > 0 ? store_settings->latest_ttl_ms : 0);
    snprintf(redis->placed_ttl_s, sizeof(redis->placed_ttl_s), "%" PRId64,
             ttl_ms <= 0     ? 0
             : ttl_ms < 1000 ? 1
                             : ttl_ms / 1000);
    redis->link = redis_link_open(loop, settings, redis_claim_scripts, REDIS_SCRIPTS, err);
    if (redis->link)
        return &redis->store;
    redis_close(&redis->store);
    return NULL;
}
