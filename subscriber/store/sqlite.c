/*
 * The embedded store: one SQLite file, shared by the instances of one host.
 *
 * All questions of one store_send() are one transaction, done in the pool; the connection is only
 * touched by the one piece of work under way. The file is in WAL mode with synchronous NORMAL: a
 * killed process loses nothing, a power cut may lose the last transactions, which costs at most a
 * repeated download. Every row has an end, by the wall clock, which is what the processes share; a
 * row past its end does not count, and a few of them are removed with each transaction.
 */
#include "store/store.h"

#include "base/clock.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_VERSION  1
#define BUSY_TIMEOUT_MS 5000

/* The two kinds of id differ in length, so they can share a table. */
#define ANNOUNCEMENT_SIZE ((int)offsetof(struct store_identity, place)) /* path and key */
#define PLACE_SIZE        ((int)sizeof(((struct store_identity *)0)->place))

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

/* What is known of announcements (32 bytes: path and key) and of places (16 bytes) is one table:
 * the place of a mirrored file has the hash of its path, so that both rows lie on one page. */
#define SCHEMA                                                                                     \
    "CREATE TABLE IF NOT EXISTS known"                                                             \
    "    (id BLOB PRIMARY KEY, expires INTEGER NOT NULL, pub_time_ns INTEGER NOT NULL)"            \
    "    WITHOUT ROWID;"                                                                           \
    "CREATE INDEX IF NOT EXISTS known_expires ON known (expires);"                                 \
    "CREATE TABLE IF NOT EXISTS claim"                                                             \
    "    (id BLOB PRIMARY KEY, expires INTEGER NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID;"      \
    "PRAGMA user_version=1;"

enum statement {
    BEGIN,
    COMMIT,
    LOOK,
    REMEMBER,
    TAKE,
    RENEW,
    DROP,
    FORGET_KNOWN,
    FORGET_CLAIMS,
    STATEMENTS
};

/* In all of them ?1 is the announcement or the one id, ?2 the place, ?3 the time, ?4 the owner. */
static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [LOOK] = "SELECT (SELECT expires FROM known WHERE id = ?1),"
             " (SELECT pub_time_ns FROM known WHERE id = ?2 AND expires > ?3),"
             " (SELECT expires FROM claim WHERE id = ?1 AND owner <> ?4),"
             " (SELECT expires FROM claim WHERE id = ?2 AND owner <> ?4)",
    [REMEMBER] = "INSERT INTO known (id, expires, pub_time_ns) VALUES (?1, ?5, ?6)"
                 " ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, pub_time_ns ="
                 " CASE WHEN expires > ?3 THEN max(pub_time_ns, excluded.pub_time_ns)"
                 " ELSE excluded.pub_time_ns END",
    [TAKE] = "REPLACE INTO claim (id, expires, owner) VALUES (?1, ?5, ?4), (?2, ?5, ?4)",
    [RENEW] = "UPDATE claim SET expires = ?5 WHERE id IN (?1, ?2) AND owner = ?4",
    [DROP] = "DELETE FROM claim WHERE id IN (?1, ?2) AND owner = ?4",
    [FORGET_KNOWN] = ("DELETE FROM known WHERE id IN"
                      " (SELECT id FROM known WHERE expires <= ?3 ORDER BY expires LIMIT ?5)"),
    [FORGET_CLAIMS] = "DELETE FROM claim WHERE expires <= ?3",
};

struct sqlite {
    struct store store; /* first: this is what the callers hold */
    struct store_settings settings;
    struct loop *loop;
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];

    struct list asked;   /* gathered since the last send */
    struct list sent;    /* wait until the work under way is done */
    struct list working; /* the work's own while it is under way */
    struct list answers;
    bool busy; /* work is under way */

    int64_t now_ms;           /* of the transaction, by the wall clock */
    int64_t forget_claims_ms; /* when lapsed claims are removed next */
    int code;                 /* the first thing that went wrong in it, SQLITE_OK: nothing */
    struct error problem;     /* what that means */
    char *failure;            /* the problem of the last transaction, for the callers */
};

static struct sqlite *sqlite_of(const struct store *store)
{
    return (struct sqlite *)store;
}

/* Keeps the first problem; what follows it in the transaction is not done any more. */
static void note(struct sqlite *sqlite, int code)
{
    bool passes = code == SQLITE_BUSY || code == SQLITE_LOCKED;
    bool broken = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;

    if (sqlite->code != SQLITE_OK || code == SQLITE_OK || code == SQLITE_DONE)
        return;
    sqlite->code = code;
    error_set(&sqlite->problem, passes ? ERROR_TEMPORARY : ERROR_OPERATOR, "store '%s': %s%s",
              sqlite->path, sqlite->db ? sqlite3_errmsg(sqlite->db) : sqlite3_errstr(code),
              broken ? "; the file may be removed, at the cost of repeated downloads" : "");
}

/* The file is fine for SQLite, but not for us. */
static void refuse(struct sqlite *sqlite, const char *reason)
{
    if (sqlite->code != SQLITE_OK)
        return;
    sqlite->code = SQLITE_ERROR;
    error_set(&sqlite->problem, ERROR_OPERATOR, "store '%s': %s", sqlite->path, reason);
}

static void bind_id(struct sqlite *sqlite, enum statement which, int at, const void *id, int size)
{
    note(sqlite, sqlite3_bind_blob(sqlite->statements[which], at, id, size, SQLITE_STATIC));
}

static void bind_number(struct sqlite *sqlite, enum statement which, int at, int64_t number)
{
    note(sqlite, sqlite3_bind_int64(sqlite->statements[which], at, number));
}

static void bind_owner(struct sqlite *sqlite, enum statement which, const char *owner)
{
    note(sqlite, sqlite3_bind_text(sqlite->statements[which], 4, owner, -1, SQLITE_STATIC));
}

static void bind_question(struct sqlite *sqlite, enum statement which,
                          const struct store_question *question)
{
    bind_id(sqlite, which, 1, &question->identity, ANNOUNCEMENT_SIZE);
    bind_id(sqlite, which, 2, question->identity.place, PLACE_SIZE);
    bind_owner(sqlite, which, question->owner);
}

/* True when there is a row; sqlite3_reset() is the caller's then. */
static bool step(struct sqlite *sqlite, enum statement which)
{
    int code = sqlite->code == SQLITE_OK ? sqlite3_step(sqlite->statements[which]) : SQLITE_DONE;

    if (code == SQLITE_ROW)
        return true;
    note(sqlite, code);
    sqlite3_reset(sqlite->statements[which]);
    return false;
}

static void remember(struct sqlite *sqlite, const void *id, int size, int64_t ttl_ms,
                     int64_t pub_time_ns)
{
    if (ttl_ms <= 0)
        return;
    bind_id(sqlite, REMEMBER, 1, id, size);
    bind_number(sqlite, REMEMBER, 3, sqlite->now_ms);
    bind_number(sqlite, REMEMBER, 5, sqlite->now_ms + ttl_ms);
    bind_number(sqlite, REMEMBER, 6, pub_time_ns);
    step(sqlite, REMEMBER);
}

static void remember_placed(struct sqlite *sqlite, const struct store_question *question)
{
    remember(sqlite, &question->identity, ANNOUNCEMENT_SIZE, sqlite->settings.nodupe_ttl_ms, 0);
}

static enum store_verdict release(struct sqlite *sqlite, const struct store_question *question)
{
    bind_question(sqlite, DROP, question);
    step(sqlite, DROP);
    return STORE_DONE;
}

static enum store_verdict confirm(struct sqlite *sqlite, const struct store_question *question)
{
    remember_placed(sqlite, question);
    remember(sqlite, question->identity.place, PLACE_SIZE, sqlite->settings.latest_ttl_ms,
             question->pub_time_ns);
    return release(sqlite, question);
}

/* What the file knows about a question; lives that are over are 0. */
struct facts {
    int64_t placed_ms; /* for how long it will still be remembered that it is placed */
    bool older;        /* a later version is at its place */
    int64_t busy_ms;   /* for how long somebody else's claims can still live */
};

static int64_t column_left_ms(struct sqlite *sqlite, int column)
{
    int64_t left_ms = sqlite3_column_int64(sqlite->statements[LOOK], column) - sqlite->now_ms;

    return left_ms > 0 ? left_ms : 0; /* no row is NULL, which reads as 0 */
}

static struct facts look(struct sqlite *sqlite, const struct store_question *question)
{
    sqlite3_stmt *statement = sqlite->statements[LOOK];
    struct facts facts = {0};
    int64_t place_ms;

    bind_question(sqlite, LOOK, question);
    bind_number(sqlite, LOOK, 3, sqlite->now_ms);
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
    bind_number(sqlite, TAKE, 5, sqlite->now_ms + sqlite->settings.lease_ms);
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
    bind_number(sqlite, RENEW, 5, sqlite->now_ms + sqlite->settings.lease_ms);
    step(sqlite, RENEW);
    if (sqlite3_changes(sqlite->db) == 2 || claim(sqlite, question) == STORE_CLAIMED)
        return STORE_DONE;
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
    bind_number(sqlite, FORGET_KNOWN, 3, sqlite->now_ms);
    bind_number(sqlite, FORGET_KNOWN, 5, 2 * questions);
    step(sqlite, FORGET_KNOWN);
}

/* Claims are as few as the files being worked on, so all of them can be looked at now and then for
 * what a killed process left. That spares the many that come and go an index. */
static void forget_claims(struct sqlite *sqlite)
{
    if (sqlite->now_ms < sqlite->forget_claims_ms)
        return;
    sqlite->forget_claims_ms = sqlite->now_ms + sqlite->settings.lease_ms;
    bind_number(sqlite, FORGET_CLAIMS, 3, sqlite->now_ms);
    step(sqlite, FORGET_CLAIMS);
}

/* Whatever the statements did so far is undone. */
static void fail_all(struct sqlite *sqlite)
{
    struct list_link *link;

    if (!sqlite3_get_autocommit(sqlite->db))
        sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
    for (link = list_first(&sqlite->working); link; link = list_next(&sqlite->working, link))
        LIST_ITEM(link, struct store_question, link)->verdict = STORE_FAILED;
}

/* In the pool. The time is taken when the file is ours, which may have taken long. */
static void work(void *context)
{
    struct sqlite *sqlite = context;
    struct list_link *link;
    int64_t questions = 0;

    sqlite->code = SQLITE_OK;
    step(sqlite, BEGIN);
    sqlite->now_ms = clock_wall_ns() / NS_PER_MS;
    for (link = list_first(&sqlite->working); link && sqlite->code == SQLITE_OK;
         link = list_next(&sqlite->working, link), questions++)
        decide(sqlite, LIST_ITEM(link, struct store_question, link));
    forget_known(sqlite, questions);
    forget_claims(sqlite);
    step(sqlite, COMMIT);
    if (sqlite->code != SQLITE_OK)
        fail_all(sqlite);
}

static void start_work(struct sqlite *sqlite);

static void work_done(void *context)
{
    struct sqlite *sqlite = context;

    sqlite->busy = false;
    memory_replace(&sqlite->failure,
                   sqlite->code == SQLITE_OK ? NULL : memory_copy(sqlite->problem.text));
    list_append_all(&sqlite->answers, &sqlite->working);
    start_work(sqlite);
}

static void start_work(struct sqlite *sqlite)
{
    if (sqlite->busy || list_is_empty(&sqlite->sent))
        return;
    sqlite->busy = true;
    list_append_all(&sqlite->working, &sqlite->sent);
    loop_work(sqlite->loop, work, work_done, sqlite);
}

static void sqlite_ask(struct store *store, struct store_question *question)
{
    list_append(&sqlite_of(store)->asked, &question->link);
}

static void sqlite_send(struct store *store)
{
    struct sqlite *sqlite = sqlite_of(store);

    list_append_all(&sqlite->sent, &sqlite->asked);
    start_work(sqlite);
}

static struct store_question *sqlite_take_answer(struct store *store)
{
    struct list_link *link = list_take_first(&sqlite_of(store)->answers);

    return link ? LIST_ITEM(link, struct store_question, link) : NULL;
}

static const char *sqlite_failure(const struct store *store)
{
    return sqlite_of(store)->failure;
}

/* What was sent is still done: at the end of a run these are the releases. */
static void sqlite_close(struct store *store)
{
    struct sqlite *sqlite = sqlite_of(store);

    while (sqlite->busy)
        loop_wait(sqlite->loop);
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(sqlite->statements[i]);
    sqlite3_close(sqlite->db);
    free(sqlite->failure);
    free(sqlite->path);
    free(sqlite);
}

static const struct store_functions sqlite_functions = {
    .ask = sqlite_ask,
    .send = sqlite_send,
    .take_answer = sqlite_take_answer,
    .failure = sqlite_failure,
    .close = sqlite_close,
};

static void execute(struct sqlite *sqlite, const char *text)
{
    if (sqlite->code == SQLITE_OK)
        note(sqlite, sqlite3_exec(sqlite->db, text, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(struct sqlite *sqlite, const char *text)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite->code == SQLITE_OK)
        note(sqlite,
             sqlite3_prepare_v3(sqlite->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
    return statement;
}

static void open_file(struct sqlite *sqlite)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    note(sqlite, sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL));
    if (sqlite->code == SQLITE_OK)
        note(sqlite, sqlite3_busy_timeout(sqlite->db, BUSY_TIMEOUT_MS));
    execute(sqlite, FILE_SETUP);
}

static int begin_wal(struct sqlite *sqlite)
{
    sqlite3_stmt *statement = prepare(sqlite, "PRAGMA journal_mode=WAL");
    int code = statement ? sqlite3_step(statement) : SQLITE_DONE;

    if (code == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        refuse(sqlite, "its file system has no shared memory; put it on a local disk");
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_DONE : code;
}

/* Two processes that both change the mode of a new file would wait for each other for ever, so
 * SQLite does not wait here, whatever the timeout. */
static void begin_wal_patiently(struct sqlite *sqlite)
{
    int code = begin_wal(sqlite);

    for (int tries = 0; code == SQLITE_BUSY && tries < BUSY_TIMEOUT_MS / 10; tries++) {
        sqlite3_sleep(10);
        code = begin_wal(sqlite);
    }
    note(sqlite, code);
}

static int64_t read_version(struct sqlite *sqlite)
{
    sqlite3_stmt *statement = prepare(sqlite, "PRAGMA user_version");
    int64_t version = 0;

    if (statement && sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int64(statement, 0);
    note(sqlite, sqlite3_finalize(statement));
    return version;
}

static void make_schema(struct sqlite *sqlite)
{
    int64_t version;

    execute(sqlite, "BEGIN IMMEDIATE");
    version = read_version(sqlite);
    if (version > SCHEMA_VERSION)
        refuse(sqlite, "written by a newer version of sr3sub");
    if (version < SCHEMA_VERSION)
        execute(sqlite, SCHEMA);
    execute(sqlite, "COMMIT");
}

struct store *store_open_sqlite(struct loop *loop, const char *path,
                                const struct store_settings *settings, struct error *err)
{
    struct sqlite *sqlite = memory_new(sizeof(*sqlite));

    sqlite->store.functions = &sqlite_functions;
    sqlite->settings = *settings;
    sqlite->loop = loop;
    sqlite->path = memory_copy(path);
    list_init(&sqlite->asked);
    list_init(&sqlite->sent);
    list_init(&sqlite->working);
    list_init(&sqlite->answers);

    open_file(sqlite);
    begin_wal_patiently(sqlite);
    make_schema(sqlite);
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite->statements[i] = prepare(sqlite, statement_texts[i]);
    if (sqlite->code == SQLITE_OK)
        return &sqlite->store;
    *err = sqlite->problem;
    sqlite_close(&sqlite->store);
    return NULL;
}
