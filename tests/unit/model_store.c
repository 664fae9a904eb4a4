/* A store as a few short arrays. */
#include "model_store.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FACTS_MAX 64
#define ID_SIZE   32

/* Something known about an announcement (path and key) or a place (zeros behind it). */
struct fact {
    unsigned char id[ID_SIZE];
    int64_t expires_ms;
    int64_t pub_time_ns;          /* of what is known of a place */
    char owner[STORE_OWNER_SIZE]; /* of a claim */
};

struct facts {
    struct fact all[FACTS_MAX];
    size_t count;
};

struct model_store {
    struct store_settings settings;
    struct facts known, claims;
};

struct connection {
    struct store store; /* first: this is what the callers hold */
    struct model_store *model;
    bool prompt, broken;
    struct list asked, sent, decided, answers;
};

static struct connection *connection_of(const struct store *store)
{
    return (struct connection *)(uintptr_t)store;
}

/* ---- facts ---- */

static int64_t now_ms(void)
{
    return clock_wall_ns() / NS_PER_MS;
}

static void announcement_id(const struct store_identity *identity, unsigned char id[ID_SIZE])
{
    memcpy(id, identity->path, sizeof(identity->path));
    memcpy(id + sizeof(identity->path), identity->key, sizeof(identity->key));
}

static void place_id(const struct store_identity *identity, unsigned char id[ID_SIZE])
{
    memset(id, 0, ID_SIZE);
    memcpy(id, identity->place, sizeof(identity->place));
}

/* NULL when it is not known, or not any more. */
static const struct fact *find(const struct facts *facts, const unsigned char id[ID_SIZE])
{
    for (size_t i = 0; i < facts->count; i++)
        if (memcmp(facts->all[i].id, id, ID_SIZE) == 0 && facts->all[i].expires_ms > now_ms())
            return &facts->all[i];
    return NULL;
}

static void drop(struct facts *facts, const struct fact *fact)
{
    facts->all[fact - facts->all] = facts->all[--facts->count];
}

static void sweep(struct facts *facts)
{
    for (size_t i = facts->count; i-- > 0;)
        if (facts->all[i].expires_ms <= now_ms())
            drop(facts, &facts->all[i]);
}

static struct fact *put(struct facts *facts, const unsigned char id[ID_SIZE], int64_t life_ms)
{
    const struct fact *known = find(facts, id);
    struct fact *fact;

    if (!known)
        sweep(facts);
    assert(known || facts->count < FACTS_MAX);
    fact = known ? &facts->all[known - facts->all] : &facts->all[facts->count++];
    if (!known)
        *fact = (struct fact){.pub_time_ns = INT64_MIN};
    memcpy(fact->id, id, ID_SIZE);
    fact->expires_ms = now_ms() + life_ms;
    return fact;
}

/* ---- the four questions ---- */

static bool is_owner(const struct fact *claim, const struct store_question *question)
{
    return claim && strcmp(claim->owner, question->owner) == 0;
}

static void ids_of(const struct store_question *question, unsigned char ids[2][ID_SIZE])
{
    announcement_id(&question->identity, ids[0]);
    place_id(&question->identity, ids[1]);
}

static void take_claims(struct model_store *model, const struct store_question *question)
{
    unsigned char ids[2][ID_SIZE];

    ids_of(question, ids);
    for (size_t i = 0; i < 2; i++)
        memcpy(put(&model->claims, ids[i], model->settings.lease_ms)->owner, question->owner,
               STORE_OWNER_SIZE);
}

static void drop_claims(struct model_store *model, const struct store_question *question)
{
    unsigned char ids[2][ID_SIZE];

    ids_of(question, ids);
    for (size_t i = 0; i < 2; i++) {
        const struct fact *claim = find(&model->claims, ids[i]);

        if (is_owner(claim, question))
            drop(&model->claims, claim);
    }
}

static int64_t busy_ms(const struct model_store *model, const struct store_question *question)
{
    unsigned char ids[2][ID_SIZE];
    int64_t longest_ms = 0;

    ids_of(question, ids);
    for (size_t i = 0; i < 2; i++) {
        const struct fact *claim = find(&model->claims, ids[i]);

        if (claim && !is_owner(claim, question) && claim->expires_ms - now_ms() > longest_ms)
            longest_ms = claim->expires_ms - now_ms();
    }
    return longest_ms;
}

static enum store_verdict claim(struct model_store *model, struct store_question *question)
{
    unsigned char id[ID_SIZE];

    announcement_id(&question->identity, id);
    if (find(&model->known, id)) {
        put(&model->known, id, model->settings.nodupe_ttl_ms);
        return STORE_DUPLICATE;
    }
    if (model_store_latest(model, question) > question->pub_time_ns)
        return STORE_OLDER;
    question->busy_ms = busy_ms(model, question);
    if (question->busy_ms)
        return STORE_BUSY;
    take_claims(model, question);
    return STORE_CLAIMED;
}

static enum store_verdict confirm(struct model_store *model, struct store_question *question)
{
    unsigned char ids[2][ID_SIZE];

    if (!model_store_holds(model, question)) {
        drop_claims(model, question);
        return STORE_LOST;
    }
    ids_of(question, ids);
    if (model->settings.nodupe_ttl_ms > 0)
        put(&model->known, ids[0], model->settings.nodupe_ttl_ms);
    if (model->settings.latest_ttl_ms > 0) {
        struct fact *latest = put(&model->known, ids[1], model->settings.latest_ttl_ms);

        if (latest->pub_time_ns < question->pub_time_ns)
            latest->pub_time_ns = question->pub_time_ns;
    }
    drop_claims(model, question);
    return STORE_DONE;
}

static enum store_verdict renew(struct model_store *model, struct store_question *question)
{
    if (model_store_holds(model, question)) {
        take_claims(model, question);
        return STORE_DONE;
    }
    if (claim(model, question) == STORE_CLAIMED)
        return STORE_CLAIMED;
    question->busy_ms = 0;
    drop_claims(model, question);
    return STORE_LOST;
}

static enum store_verdict decide(struct model_store *model, struct store_question *question)
{
    question->busy_ms = 0;
    switch (question->action) {
    case STORE_CLAIM:
        return claim(model, question);
    case STORE_CONFIRM:
        return confirm(model, question);
    case STORE_RENEW:
        return renew(model, question);
    case STORE_RELEASE:
        break;
    }
    drop_claims(model, question);
    return STORE_DONE;
}

bool model_store_holds(const struct model_store *model, const struct store_question *question)
{
    unsigned char ids[2][ID_SIZE];

    ids_of(question, ids);
    return is_owner(find(&model->claims, ids[0]), question)
           && is_owner(find(&model->claims, ids[1]), question);
}

static const struct fact *find_latest(const struct model_store *model,
                                      const struct store_question *question)
{
    unsigned char id[ID_SIZE];

    place_id(&question->identity, id);
    return find(&model->known, id);
}

int64_t model_store_latest(const struct model_store *model, const struct store_question *question)
{
    const struct fact *latest = find_latest(model, question);

    return latest ? latest->pub_time_ns : INT64_MIN;
}

/* ---- questions on their way ---- */

static struct store_question *take(struct list *list, size_t which)
{
    struct list_link *link = list_first(list);

    while (which-- > 0)
        link = list_next(list, link);
    list_remove(link);
    return LIST_ITEM(link, struct store_question, link);
}

static size_t count(const struct list *list)
{
    struct list_link *link;
    size_t items = 0;

    for (link = list_first(list); link; link = list_next(list, link))
        items++;
    return items;
}

size_t model_store_sent(const struct store *store)
{
    return count(&connection_of(store)->sent);
}

size_t model_store_decided(const struct store *store)
{
    return count(&connection_of(store)->decided);
}

void model_store_decide(struct store *store, size_t which)
{
    struct connection *connection = connection_of(store);
    struct store_question *question = take(&connection->sent, which);

    question->verdict = decide(connection->model, question);
    list_append(&connection->decided, &question->link);
}

void model_store_deliver(struct store *store, size_t which)
{
    struct connection *connection = connection_of(store);

    list_append(&connection->answers, &take(&connection->decided, which)->link);
}

void model_store_fail(struct store *store, size_t which, bool done)
{
    struct connection *connection = connection_of(store);
    struct store_question *question = take(&connection->sent, which);

    if (done)
        decide(connection->model, question);
    question->verdict = STORE_FAILED;
    list_append(&connection->answers, &question->link);
}

void model_store_disconnect(struct store *store)
{
    while (model_store_sent(store))
        model_store_fail(store, 0, false);
    connection_of(store)->broken = true;
}

/* ---- the functions of store.h ---- */

static void connection_ask(struct store *store, struct store_question *question)
{
    list_append(&connection_of(store)->asked, &question->link);
}

static void connection_send(struct store *store)
{
    struct connection *connection = connection_of(store);

    list_append_all(&connection->sent, &connection->asked);
    connection->broken = false; /* it was seen by who sends */
    while (connection->prompt && !list_is_empty(&connection->sent)) {
        model_store_decide(store, 0);
        model_store_deliver(store, 0);
    }
}

static struct store_question *connection_take_answer(struct store *store)
{
    struct list_link *link = list_take_first(&connection_of(store)->answers);

    return link ? LIST_ITEM(link, struct store_question, link) : NULL;
}

static const char *connection_failure(const struct store *store)
{
    return ((const struct connection *)store)->broken ? "not connected" : NULL;
}

static void connection_close(struct store *store)
{
    free(connection_of(store));
}

struct store *model_store_connect(struct model_store *model, bool prompt)
{
    static const struct store_functions functions = {
        .ask = connection_ask,
        .send = connection_send,
        .take_answer = connection_take_answer,
        .failure = connection_failure,
        .close = connection_close,
    };
    struct connection *connection = memory_new(sizeof(*connection));

    connection->store.functions = &functions;
    connection->model = model;
    connection->prompt = prompt;
    list_init(&connection->asked);
    list_init(&connection->sent);
    list_init(&connection->decided);
    list_init(&connection->answers);
    return &connection->store;
}

struct model_store *model_store_open(const struct store_settings *settings)
{
    struct model_store *model = memory_new(sizeof(*model));

    model->settings = *settings;
    return model;
}

void model_store_close(struct model_store *model)
{
    free(model);
}

void model_store_forget(struct model_store *model)
{
    model->known.count = model->claims.count = 0;
}
