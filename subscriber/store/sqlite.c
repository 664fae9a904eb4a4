/*
 * The embedded store: one SQLite file, shared by the instances of one host.
 *
 * All questions of one store_send() are one transaction, done in the pool (sqlite_file.c). With
 * synchronous NORMAL a killed process loses nothing, a power cut may lose the last transactions,
 * which costs at most a repeated download. Every row has an end, by the wall clock, which is what
 * the processes share; a row past its end does not count, and a few of them are removed with each
 * transaction.
 */
#include "store/store.h"

#include "store/sqlite_file.h"

#include <stdlib.h>

/* The two kinds of id differ in length, so they can share a table. */
#define ANNOUNCEMENT_SIZE offsetof(struct store_identity, place) /* path and key */
#define PLACE_SIZE        sizeof(((struct store_identity *)0)->place)

/* Keys are hashes, so each file changes a page of its own, and most of what it costs is to read,
 * log and write back that page. Pages of 1024 to 4096 bytes, more cache and a longer log made no
 * difference that could be measured with a million files (tests/bench/store.c). */
#define FILE_SETUP                                                                                 \
    "PRAGMA page_size=2048;"                                                                       \
    "PRAGMA cache_size=-2048;" /* KiB */                                                           \
    "PRAGMA synchronous=NORMAL;"                                                                   \
    "PRAGMA temp_store=MEMORY;"                                                                    \
    "PRAGMA wal_autocheckpoint=2048;"                                                              \
    "PRAGMA journal_size_limit=8388608;"

enum statement { LOOK, REMEMBER, TAKE, RENEW, DROP, FORGET_KNOWN, FORGET_CLAIMS, STATEMENTS };

/* In all of them ?1 is the announcement or the one id, ?2 the place, ?3 the time, ?4 the owner. */
static const char *const statement_texts[STATEMENTS] = {
    [LOOK] = "SELECT (SELECT expires FROM known WHERE id = ?1),"
             " (SELECT pub_time_ns FROM known WHERE id = ?2 AND expires > ?3),"
             " (SELECT expires FROM claim WHERE id = ?1 AND owner <> ?4),"
             " (SELECT expires FROM claim WHERE id = ?2 AND owner <> ?4)",
    [REMEMBER] = "INSERT INTO known (id, expires, pub_time_ns) VALUES (?1, ?5, ?6)"
                 " ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, pub_time_ns ="
                 " CASE WHEN expires > ?3 THEN max(pub_time_ns, excluded.pub_time_ns)"
                 " ELSE excluded.pub_time_ns END",
    [TAKE] = "REPLACE INTO claim (id, expires, owner) VALUES (?1, ?5, ?4), (?2, ?5, ?4)",
    [RENEW] = "UPDATE claim SET expires = ?5 WHERE id IN (?1, ?2) AND owner = ?4 AND expires > ?3",
    [DROP] = "DELETE FROM claim WHERE id IN (?1, ?2) AND owner = ?4 AND expires > ?3",
    [FORGET_KNOWN] = ("DELETE FROM known WHERE id IN"
                      " (SELECT id FROM known WHERE expires <= ?3 ORDER BY expires LIMIT ?5)"),
    [FORGET_CLAIMS] = "DELETE FROM claim WHERE expires <= ?3",
};

struct sqlite {
    struct store store; /* first: this is what the callers hold */
    struct store_settings settings;
    struct sqlite_file file;
    int64_t forget_claims_ms; /* when lapsed claims are removed next */
};

static struct sqlite *sqlite_of(const struct store *store)
{
    return (struct sqlite *)store;
}

static struct store_question *question_of(struct list_link *link)
{
    return LIST_ITEM(link, struct store_question, link);
}

static void bind_id(struct sqlite *sqlite, enum statement which, int at, const void *id,
                    size_t size)
{
    sqlite_file_bind_bytes(&sqlite->file, which, at, id, size);
}

static void bind_number(struct sqlite *sqlite, enum statement which, int at, int64_t number)
{
    sqlite_file_bind_number(&sqlite->file, which, at, number);
}

static void bind_question(struct sqlite *sqlite, enum statement which,
                          const struct store_question *question)
{
    bind_id(sqlite, which, 1, &question->identity, ANNOUNCEMENT_SIZE);
    bind_id(sqlite, which, 2, question->identity.place, PLACE_SIZE);
    sqlite_file_bind_text(&sqlite->file, which, 4, question->owner);
}

static bool step(struct sqlite *sqlite, enum statement which)
{
    return sqlite_file_step(&sqlite->file, which);
}

static void remember(struct sqlite *sqlite, const void *id, size_t size, int64_t ttl_ms,
                     int64_t pub_time_ns)
{
    if (ttl_ms <= 0)
        return;
    bind_id(sqlite, REMEMBER, 1, id, size);
    bind_number(sqlite, REMEMBER, 3, sqlite->file.now_ms);
    bind_number(sqlite, REMEMBER, 5, sqlite->file.now_ms + ttl_ms);
    bind_number(sqlite, REMEMBER, 6, pub_time_ns);
    step(sqlite, REMEMBER);
}

static void remember_placed(struct sqlite *sqlite, const struct store_question *question)
{
    remember(sqlite, &question->identity, ANNOUNCEMENT_SIZE, sqlite->settings.nodupe_ttl_ms, 0);
}

/* True when both were ours and had not lapsed; those that had are removed some time. */
static bool drop_claims(struct sqlite *sqlite, const struct store_question *question)
{
    bind_question(sqlite, DROP, question);
    bind_number(sqlite, DROP, 3, sqlite->file.now_ms);
    step(sqlite, DROP);
    return sqlite3_changes(sqlite->file.db) == 2;
}

static enum store_verdict release(struct sqlite *sqlite, const struct store_question *question)
{
    drop_claims(sqlite, question);
    return STORE_DONE;
}

static enum store_verdict confirm(struct sqlite *sqlite, const struct store_question *question)
{
    if (!drop_claims(sqlite, question))
        return STORE_LOST;
    remember_placed(sqlite, question);
    remember(sqlite, question->identity.place, PLACE_SIZE, sqlite->settings.latest_ttl_ms,
             question->pub_time_ns);
    return STORE_DONE;
}

/* What the file knows about a question; lives that are over are 0. */
struct facts {
    int64_t placed_ms; /* for how long it will still be remembered that it is placed */
    bool older;        /* a later version is at its place */
    int64_t busy_ms;   /* for how long somebody else's claims can still live */
};

static int64_t column_left_ms(struct sqlite *sqlite, int column)
{
    int64_t left_ms =
        sqlite3_column_int64(sqlite->file.statements[LOOK], column) - sqlite->file.now_ms;

    return left_ms > 0 ? left_ms : 0; /* no row is NULL, which reads as 0 */
}

static struct facts look(struct sqlite *sqlite, const struct store_question *question)
{
    sqlite3_stmt *statement = sqlite->file.statements[LOOK];
    struct facts facts = {0};
    int64_t place_ms;

    bind_question(sqlite, LOOK, question);
    bind_number(sqlite, LOOK, 3, sqlite->file.now_ms);
    if (!step(sqlite, LOOK))
        return facts;
    facts.placed_ms = column_left_ms(sqlite, 0);
    facts.older = sqlite3_column_type(statement, 1) != SQLITE_NULL
                  && sqlite3_column_int64(statement, 1) > question->pub_time_ns;
    facts.busy_ms = column_left_ms(sqlite, 2);
    place_ms = column_left_ms(sqlite, 3);
    if (place_ms > facts.busy_ms)
        facts.busy_ms = place_ms;
    sqlite3_reset(statement);
    return facts;
}

static void take_claims(struct sqlite *sqlite, const struct store_question *question)
{
    bind_question(sqlite, TAKE, question);
    bind_number(sqlite, TAKE, 5, sqlite->file.now_ms + sqlite->settings.lease_ms);
    step(sqlite, TAKE);
}

static enum store_verdict claim(struct sqlite *sqlite, struct store_question *question)
{
    int64_t ttl_ms = sqlite->settings.nodupe_ttl_ms;
    struct facts facts = look(sqlite, question);

    if (ttl_ms > 0 && facts.placed_ms > 0) {
        if (facts.placed_ms < ttl_ms - ttl_ms / 32) /* smaller moves are not worth a write */
            remember_placed(sqlite, question);
        return STORE_DUPLICATE;
    }
    if (facts.older)
        return STORE_OLDER;
    question->busy_ms = facts.busy_ms;
    if (facts.busy_ms > 0)
        return STORE_BUSY;
    take_claims(sqlite, question);
    return STORE_CLAIMED;
}

/* Claims that are not there any more are taken again if nobody did so meanwhile: neither now, nor
 * from then until it placed the announcement or a later version. */
static enum store_verdict renew(struct sqlite *sqlite, struct store_question *question)
{
    bind_question(sqlite, RENEW, question);
    bind_number(sqlite, RENEW, 3, sqlite->file.now_ms);
    bind_number(sqlite, RENEW, 5, sqlite->file.now_ms + sqlite->settings.lease_ms);
    step(sqlite, RENEW);
    if (sqlite3_changes(sqlite->file.db) == 2)
        return STORE_DONE;
    if (claim(sqlite, question) == STORE_CLAIMED)
        return STORE_CLAIMED;
    question->busy_ms = 0;
    release(sqlite, question);
    return STORE_LOST;
}

static void decide(struct sqlite *sqlite, struct store_question *question)
{
    question->busy_ms = 0;
    switch (question->action) {
    case STORE_CLAIM:
        question->verdict = claim(sqlite, question);
        break;
    case STORE_CONFIRM:
        question->verdict = confirm(sqlite, question);
        break;
    case STORE_RELEASE:
        question->verdict = release(sqlite, question);
        break;
    case STORE_RENEW:
        question->verdict = renew(sqlite, question);
        break;
    }
}

/* Two for each question: what lapses is caught up with, however much it is, and no transaction
 * becomes long. */
static void forget_known(struct sqlite *sqlite, int64_t questions)
{
    bind_number(sqlite, FORGET_KNOWN, 3, sqlite->file.now_ms);
    bind_number(sqlite, FORGET_KNOWN, 5, 2 * questions);
    step(sqlite, FORGET_KNOWN);
}

/* Claims are as few as the files being worked on, so all of them can be looked at now and then for
 * what a killed process left. That spares the many that come and go an index. */
static void forget_claims(struct sqlite *sqlite)
{
    if (sqlite->file.now_ms < sqlite->forget_claims_ms)
        return;
    sqlite->forget_claims_ms = sqlite->file.now_ms + sqlite->settings.lease_ms;
    bind_number(sqlite, FORGET_CLAIMS, 3, sqlite->file.now_ms);
    step(sqlite, FORGET_CLAIMS);
}

static void sqlite_decide(struct sqlite_file *file)
{
    struct sqlite *sqlite = (struct sqlite *)((char *)file - offsetof(struct sqlite, file));
    struct list_link *link;
    int64_t questions = 0;

    for (link = list_first(&file->working); link && file->code == SQLITE_OK;
         link = list_next(&file->working, link), questions++)
        decide(sqlite, question_of(link));
    forget_known(sqlite, questions);
    forget_claims(sqlite);
}

static void sqlite_fail(struct list_link *link)
{
    question_of(link)->verdict = STORE_FAILED;
}

static void sqlite_ask(struct store *store, struct store_question *question)
{
    sqlite_file_ask(&sqlite_of(store)->file, &question->link);
}

static void sqlite_send(struct store *store)
{
    sqlite_file_send(&sqlite_of(store)->file);
}

static struct store_question *sqlite_take_answer(struct store *store)
{
    struct list_link *link = sqlite_file_take_answer(&sqlite_of(store)->file);

    return link ? question_of(link) : NULL;
}

static const char *sqlite_failure(const struct store *store)
{
    return sqlite_of(store)->file.failure;
}

/* What was sent is still done: at the end of a run these are the releases. */
static void sqlite_close(struct store *store)
{
    struct sqlite *sqlite = sqlite_of(store);

    sqlite_file_close(&sqlite->file);
    free(sqlite);
}

static const struct store_functions sqlite_functions = {
    .ask = sqlite_ask,
    .send = sqlite_send,
    .take_answer = sqlite_take_answer,
    .failure = sqlite_failure,
    .close = sqlite_close,
};

static const struct sqlite_file_use sqlite_use = {
    .setup = FILE_SETUP,
    .statements = statement_texts,
    .statement_count = STATEMENTS,
    .decide = sqlite_decide,
    .fail = sqlite_fail,
};

struct store *store_open_sqlite(struct loop *loop, const char *path,
                                const struct store_settings *settings, struct error *err)
{
    struct sqlite *sqlite = memory_new(sizeof(*sqlite));

    sqlite->store.functions = &sqlite_functions;
    sqlite->settings = *settings;
    if (sqlite_file_open(&sqlite->file, loop, path, &sqlite_use, err))
        return &sqlite->store;
    sqlite_close(&sqlite->store);
    return NULL;
}
