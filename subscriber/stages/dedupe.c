/*
 * Duplicate suppression: what the store answers, and who waits for whom inside this instance.
 *
 * The store knows owners only by their token, and a claim of this instance is as foreign to another
 * one of it as any. So that copies of an announcement do not ask the store over and over while the
 * first of them is worked on, a table holds the identity and the place of every claim that is asked
 * for or held here; whatever meets one of them waits in that claim's list.
 */
#include "stages/dedupe.h"

#include "base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_BASE_MAX  64 /* the longest key of BLAKE2b */
#define HASH_SIZE     16
#define BUCKETS_FIRST 256

struct dedupe {
    struct store *store;
    int64_t renew_ms, sure_ms;
    bool failing; /* the store, when it was looked at last */
    EVP_MAC *mac;
    EVP_MAC_CTX *hash;
    char owner[STORE_OWNER_SIZE]; /* what the tokens of this process begin with */
    uint64_t serial;
    struct dedupe_tally tally;
    struct list held;    /* in the order of renew_at_ms */
    struct list answers; /* not taken yet */

    struct dedupe_node **buckets; /* what this instance works on, by identity and by place */
    size_t bucket_count, nodes;
};

static bool hash_open(struct dedupe *dedupe, const char *key_base, struct error *err)
{
    size_t length = strlen(key_base), size = HASH_SIZE;
    OSSL_PARAM parameters[] = {OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_END};

    if (length < 1 || length > KEY_BASE_MAX)
        return error_set(err, ERROR_OPERATOR,
                         "nodupe_redis_keybase '%s': must have 1 to %d bytes, not %zu", key_base,
                         KEY_BASE_MAX, length);
    dedupe->mac = EVP_MAC_fetch(NULL, "BLAKE2BMAC", NULL);
    dedupe->hash = dedupe->mac ? EVP_MAC_CTX_new(dedupe->mac) : NULL;
    if (!dedupe->hash
        || !EVP_MAC_init(dedupe->hash, (const unsigned char *)key_base, length, parameters))
        return error_set(err, ERROR_OPERATOR, "libcrypto has no BLAKE2BMAC");
    return true;
}

/* Begins with the key and size of hash_open() again each time. */
static void hash(struct dedupe *dedupe, const char *text, unsigned char out[HASH_SIZE])
{
    size_t length;

    if (!EVP_MAC_init(dedupe->hash, NULL, 0, NULL)
        || !EVP_MAC_update(dedupe->hash, (const unsigned char *)text, strlen(text))
        || !EVP_MAC_final(dedupe->hash, out, &length, HASH_SIZE))
        abort(); /* only when memory is out */
}

static void print_hash(char text[2 * HASH_SIZE + 1], const unsigned char id[HASH_SIZE])
{
    for (size_t i = 0; i < HASH_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
}

char *dedupe_print_redis_key(const char *key_base, const char *key, const char *path)
{
    struct dedupe scratch = {0};
    unsigned char id[HASH_SIZE];
    char texts[2][2 * HASH_SIZE + 1], *name = NULL;
    struct error err = {0};

    if (hash_open(&scratch, key_base, &err)) {
        hash(&scratch, key, id);
        print_hash(texts[0], id);
        hash(&scratch, path, id);
        print_hash(texts[1], id);
        name = memory_format("%s:%s.%s", key_base, texts[0], texts[1]);
    }
    EVP_MAC_CTX_free(scratch.hash);
    EVP_MAC_free(scratch.mac);
    return name;
}

static bool owner_open(struct dedupe *dedupe, struct error *err)
{
    uint64_t random;

    if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
        return error_set(err, ERROR_OPERATOR, "libcrypto has no random numbers");
    snprintf(dedupe->owner, sizeof(dedupe->owner), "%016" PRIx64 ".%d", random, (int)getpid());
    return true;
}

struct dedupe *dedupe_open(struct store *store, const struct dedupe_settings *settings,
                           struct error *err)
{
    struct dedupe *dedupe = memory_new(sizeof(*dedupe));

    dedupe->store = store;
    dedupe->renew_ms = settings->lease_ms / 3;
    dedupe->sure_ms = settings->lease_ms - settings->lease_ms / 6;
    list_init(&dedupe->held);
    list_init(&dedupe->answers);
    dedupe->bucket_count = BUCKETS_FIRST;
    dedupe->buckets = memory_new(BUCKETS_FIRST * sizeof(*dedupe->buckets));
    if (hash_open(dedupe, settings->key_base, err) && owner_open(dedupe, err))
        return dedupe;
    dedupe_close(dedupe);
    return NULL;
}

void dedupe_close(struct dedupe *dedupe)
{
    if (!dedupe)
        return;
    EVP_MAC_CTX_free(dedupe->hash);
    EVP_MAC_free(dedupe->mac);
    free(dedupe->buckets);
    free(dedupe);
}

void dedupe_identify(struct dedupe *dedupe, struct dedupe_claim *claim, const char *key,
                     const char *path, const char *destination, int64_t pub_time_ns)
{
    struct store_identity *identity = &claim->question.identity;

    assert(!claim->working && !claim->asked && !list_is_linked(&claim->link));
    hash(dedupe, key, identity->key);
    hash(dedupe, path, identity->path);
    hash(dedupe, destination, identity->place);
    claim->question.pub_time_ns = pub_time_ns;
    claim->question.path_text = path;
}

/* Ids are hashes already. Many identities share one half: empty files have the same key. */
static struct dedupe_node **bucket_of(struct dedupe *dedupe, const void *id, size_t id_size)
{
    uint64_t head, tail;

    memcpy(&head, id, sizeof(head));
    memcpy(&tail, (const char *)id + id_size - sizeof(tail), sizeof(tail));
    return &dedupe->buckets[(head ^ tail) & (dedupe->bucket_count - 1)];
}

static void table_put(struct dedupe *dedupe, struct dedupe_node *node)
{
    struct dedupe_node **bucket = bucket_of(dedupe, node->id, node->id_size);

    node->next = *bucket;
    *bucket = node;
}

static void table_grow(struct dedupe *dedupe)
{
    struct dedupe_node **old = dedupe->buckets;
    size_t count = dedupe->bucket_count;

    dedupe->bucket_count = count * 2;
    dedupe->buckets = memory_new(dedupe->bucket_count * sizeof(*dedupe->buckets));
    for (size_t i = 0; i < count; i++) {
        while (old[i]) {
            struct dedupe_node *node = old[i];

            old[i] = node->next;
            table_put(dedupe, node);
        }
    }
    free(old);
}

static void table_add(struct dedupe *dedupe, struct dedupe_node *node, struct dedupe_claim *claim,
                      const void *id, size_t id_size)
{
    if (dedupe->nodes++ == dedupe->bucket_count)
        table_grow(dedupe);
    node->claim = claim;
    node->id = id;
    node->id_size = id_size;
    table_put(dedupe, node);
}

static void table_remove(struct dedupe *dedupe, struct dedupe_node *node)
{
    struct dedupe_node **at = bucket_of(dedupe, node->id, node->id_size);

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    dedupe->nodes--;
}

static struct dedupe_claim *table_find(struct dedupe *dedupe, const void *id, size_t id_size)
{
    struct dedupe_node *node = *bucket_of(dedupe, id, id_size);

    while (node && (node->id_size != id_size || memcmp(node->id, id, id_size) != 0))
        node = node->next;
    return node ? node->claim : NULL;
}

/* Path and key lie behind each other and are one id. */
#define ANNOUNCEMENT_ID(identity) (identity), offsetof(struct store_identity, place)
#define PLACE_ID(identity)        (identity)->place, sizeof((identity)->place)

static bool same_announcement(const struct dedupe_claim *one, const struct dedupe_claim *other)
{
    return memcmp(&one->question.identity, ANNOUNCEMENT_ID(&other->question.identity)) == 0;
}

static bool same_place(const struct dedupe_claim *one, const struct dedupe_claim *other)
{
    return memcmp(one->question.identity.place, PLACE_ID(&other->question.identity)) == 0;
}

static void answer(struct dedupe *dedupe, struct dedupe_claim *claim, enum dedupe_verdict verdict)
{
    claim->verdict = verdict;
    list_append(&dedupe->answers, &claim->answer_link);
}

static void ask(struct dedupe *dedupe, struct dedupe_claim *claim, enum store_action action)
{
    list_remove(&claim->held_link);
    claim->question.action = action;
    claim->asked = true;
    claim->asked_ms = clock_now_ms();
    store_ask(dedupe->store, &claim->question);
}

/* Asks the store, unless another claim of this instance is in the way. */
static void begin(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    const struct store_identity *identity = &claim->question.identity;
    struct dedupe_claim *other = table_find(dedupe, ANNOUNCEMENT_ID(identity));

    if (!other)
        other = table_find(dedupe, PLACE_ID(identity));
    if (other) {
        list_append(&other->waiters, &claim->link);
        return;
    }
    table_add(dedupe, &claim->by_identity, claim, ANNOUNCEMENT_ID(identity));
    table_add(dedupe, &claim->by_place, claim, PLACE_ID(identity));
    claim->working = true;
    ask(dedupe, claim, STORE_CLAIM);
}

/* What the store said of `claim` holds for `waiter` too; it need not be asked again. */
static bool shares_verdict(const struct dedupe_claim *waiter, const struct dedupe_claim *claim,
                           enum dedupe_verdict verdict)
{
    if (verdict != DEDUPE_DUPLICATE && verdict != DEDUPE_BUSY)
        return false;
    return same_announcement(waiter, claim)
           && (verdict == DEDUPE_DUPLICATE || same_place(waiter, claim));
}

/* Nothing is asked for or held any more: those that waited go on. */
static void settle(struct dedupe *dedupe, struct dedupe_claim *claim, enum dedupe_verdict verdict)
{
    struct list_link *link;
    struct list waiters;

    if (!claim->working)
        return;
    table_remove(dedupe, &claim->by_identity);
    table_remove(dedupe, &claim->by_place);
    claim->working = claim->held = false;
    list_init(&waiters);
    list_append_all(&waiters, &claim->waiters);
    while ((link = list_take_first(&waiters))) {
        struct dedupe_claim *waiter = LIST_ITEM(link, struct dedupe_claim, link);

        waiter->busy_ms = claim->busy_ms;
        if (shares_verdict(waiter, claim, verdict))
            answer(dedupe, waiter, verdict);
        else
            begin(dedupe, waiter);
    }
}

void dedupe_claim(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    char *owner = claim->question.owner;
    int length;

    assert(!claim->working && !claim->asked && !list_is_linked(&claim->link));
    list_remove(&claim->answer_link);
    list_init(&claim->waiters);
    claim->pinned = claim->lost = false;
    length = snprintf(owner, STORE_OWNER_SIZE, "%.27s.%" PRIx64, dedupe->owner, ++dedupe->serial);
    assert(length < STORE_OWNER_SIZE); /* a cut token would not be unique */
    begin(dedupe, claim);
}

static void request(struct dedupe *dedupe, struct dedupe_claim *claim, enum store_action action)
{
    bool renewing = claim->asked && claim->question.action == STORE_RENEW;

    assert(!claim->asked || (renewing && !claim->wanted));
    assert(!list_is_linked(&claim->link));
    list_remove(&claim->answer_link);
    if (!renewing) {
        ask(dedupe, claim, action);
        return;
    }
    claim->wanted = true;
    claim->next = action;
}

void dedupe_confirm(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    if (!claim->lost) {
        request(dedupe, claim, STORE_CONFIRM);
        return;
    }
    list_remove(&claim->answer_link);
    answer(dedupe, claim, DEDUPE_LOST);
}

void dedupe_release(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    request(dedupe, claim, STORE_RELEASE);
}

void dedupe_forget(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    assert(!claim->asked && !list_is_linked(&claim->link));
    list_remove(&claim->held_link);
    list_remove(&claim->answer_link);
    settle(dedupe, claim, DEDUPE_UNKNOWN);
    claim->sure_until_ms = INT64_MAX; /* it cannot be had, so it need not be waited for */
}

bool dedupe_withdraw(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    bool waits = list_is_linked(&claim->link);

    (void)dedupe;
    list_remove(&claim->link);
    return waits;
}

/*
 * A store that failed may have lost its memory: what is held is not sure until it was asked, which
 * is done as soon as it answers again. What is pinned is just being placed; whether that was right
 * will be told by the confirm.
 */
static void watch_store(struct dedupe *dedupe)
{
    bool failing = store_failure(dedupe->store) != NULL;

    if (failing == dedupe->failing)
        return;
    dedupe->failing = failing;
    for (struct list_link *link = list_first(&dedupe->held); link;
         link = list_next(&dedupe->held, link)) {
        struct dedupe_claim *claim = LIST_ITEM(link, struct dedupe_claim, held_link);

        if (!claim->pinned)
            claim->sure_until_ms = 0;
        claim->renew_at_ms = 0;
    }
}

static void renew_due(struct dedupe *dedupe)
{
    int64_t now_ms = clock_now_ms();
    struct list_link *link;

    while ((link = list_first(&dedupe->held))) {
        struct dedupe_claim *claim = LIST_ITEM(link, struct dedupe_claim, held_link);

        if (claim->renew_at_ms > now_ms)
            return;
        ask(dedupe, claim, STORE_RENEW);
    }
}

void dedupe_send(struct dedupe *dedupe)
{
    watch_store(dedupe);
    renew_due(dedupe);
    store_send(dedupe->store);
}

/* The interval is the same for all, so the list stays in order. */
static void hold(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    claim->held = true;
    claim->renew_at_ms = clock_now_ms() + dedupe->renew_ms;
    list_append(&dedupe->held, &claim->held_link);
}

/* The lease began when the store answered, which was after it was asked. */
static void hold_surely(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    hold(dedupe, claim);
    claim->sure_until_ms = claim->asked_ms + dedupe->sure_ms;
}

void dedupe_pin(struct dedupe_claim *claim)
{
    claim->pinned = true;
}

bool dedupe_is_sure(const struct dedupe_claim *claim)
{
    return clock_now_ms() < claim->sure_until_ms;
}

static void claim_answered(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    static const enum dedupe_verdict verdicts[] = {
        [STORE_CLAIMED] = DEDUPE_CLAIMED,     [STORE_OLDER] = DEDUPE_OLDER,
        [STORE_DUPLICATE] = DEDUPE_DUPLICATE, [STORE_BUSY] = DEDUPE_BUSY,
        [STORE_DONE] = DEDUPE_UNKNOWN,        [STORE_LOST] = DEDUPE_UNKNOWN,
        [STORE_FAILED] = DEDUPE_UNKNOWN,
    };
    enum dedupe_verdict verdict = verdicts[claim->question.verdict];

    claim->busy_ms = verdict == DEDUPE_BUSY ? claim->question.busy_ms : 0;
    answer(dedupe, claim, verdict);
    if (verdict == DEDUPE_CLAIMED)
        hold_surely(dedupe, claim);
    else
        settle(dedupe, claim, verdict);
}

/* Nothing is held any more. */
static void lose(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    claim->lost = true;
    claim->sure_until_ms = 0;
    if (list_is_linked(&claim->answer_link))
        claim->verdict = DEDUPE_BUSY; /* before it was known here that it was ours */
    else
        answer(dedupe, claim, DEDUPE_LOST);
    settle(dedupe, claim, DEDUPE_LOST);
}

/* Confirm or release. When the store failed, what was held still is, until it is asked again. */
static void end_answered(struct dedupe *dedupe, struct dedupe_claim *claim,
                         enum dedupe_verdict verdict)
{
    if (claim->question.verdict == STORE_LOST) {
        lose(dedupe, claim);
        return;
    }
    if (claim->question.verdict != STORE_FAILED) {
        answer(dedupe, claim, verdict);
        settle(dedupe, claim, verdict);
        return;
    }
    answer(dedupe, claim, DEDUPE_UNKNOWN);
    if (claim->held)
        hold(dedupe, claim);
}

static void renewed(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    if (claim->question.verdict == STORE_FAILED) {
        if (!claim->pinned)
            claim->sure_until_ms = 0;
        hold(dedupe, claim);
    } else {
        hold_surely(dedupe, claim);
    }
}

/* A release that had to wait goes out first, so that those who wait for the claim come after it. */
static void renew_answered(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    enum store_verdict verdict = claim->question.verdict;
    bool lost = verdict == STORE_LOST || (verdict == STORE_CLAIMED && claim->pinned);
    bool wanted = claim->wanted;

    claim->wanted = false;
    if (wanted && !(lost && claim->next == STORE_CONFIRM)) {
        ask(dedupe, claim, claim->next);
        if (lost)
            settle(dedupe, claim, DEDUPE_LOST);
    } else if (lost) {
        lose(dedupe, claim);
    } else {
        renewed(dedupe, claim);
    }
}

static void count_answer(struct dedupe *dedupe, const struct dedupe_claim *claim)
{
    if (claim->question.verdict == STORE_FAILED)
        dedupe->tally.failures++;
    else
        dedupe->tally.answers++;
    dedupe->tally.waited_ms += clock_now_ms() - claim->asked_ms;
}

struct dedupe_tally dedupe_tally(const struct dedupe *dedupe)
{
    return dedupe->tally;
}

static void answered(struct dedupe *dedupe, struct dedupe_claim *claim)
{
    count_answer(dedupe, claim);
    claim->asked = false;
    switch (claim->question.action) {
    case STORE_CLAIM:
        claim_answered(dedupe, claim);
        break;
    case STORE_CONFIRM:
        end_answered(dedupe, claim, DEDUPE_CONFIRMED);
        break;
    case STORE_RELEASE:
        end_answered(dedupe, claim, DEDUPE_RELEASED);
        break;
    case STORE_RENEW:
        renew_answered(dedupe, claim);
        break;
    }
}

struct dedupe_claim *dedupe_take_answer(struct dedupe *dedupe)
{
    struct store_question *question;
    struct list_link *link;

    while ((question = store_take_answer(dedupe->store)))
        answered(dedupe, LIST_ITEM(question, struct dedupe_claim, question));
    link = list_take_first(&dedupe->answers);
    return link ? LIST_ITEM(link, struct dedupe_claim, answer_link) : NULL;
}
