/*
 * The file of the embedded store: opened, made, and worked on one batch at a time.
 *
 * It is in WAL mode: a killed process loses nothing; what a power cut may cost depends on each
 * connection's `synchronous`. Versions of this program that know less tables share it, so new
 * tables are added under the same version, which counts changes of what is there.
 */
#include "store/sqlite_file.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_VERSION  1
#define BUSY_TIMEOUT_MS 5000

/* What is known of announcements (32 bytes: path and key) and of places (16 bytes) is one table:
 * the place of a mirrored file has the hash of its path, so that both rows lie on one page.
 * How many wait is asked with every batch, and counting rows takes longer the more there are. */
#define SCHEMA                                                                                     \
    "CREATE TABLE IF NOT EXISTS known"                                                             \
    "    (id BLOB PRIMARY KEY, expires INTEGER NOT NULL, pub_time_ns INTEGER NOT NULL)"            \
    "    WITHOUT ROWID;"                                                                           \
    "CREATE INDEX IF NOT EXISTS known_expires ON known (expires);"                                 \
    "CREATE TABLE IF NOT EXISTS claim"                                                             \
    "    (id BLOB PRIMARY KEY, expires INTEGER NOT NULL, owner TEXT NOT NULL) WITHOUT ROWID;"      \
    "CREATE TABLE IF NOT EXISTS retry"                                                             \
    "    (id BLOB PRIMARY KEY, due INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;"           \
    "CREATE INDEX IF NOT EXISTS retry_due ON retry (due);"                                         \
    "CREATE TABLE IF NOT EXISTS retry_count"                                                       \
    "    (only INTEGER PRIMARY KEY CHECK (only = 1), records INTEGER NOT NULL);"                   \
    "INSERT OR IGNORE INTO retry_count VALUES (1, 0);"                                             \
    "CREATE TRIGGER IF NOT EXISTS retry_added AFTER INSERT ON retry"                               \
    "    BEGIN UPDATE retry_count SET records = records + 1; END;"                                 \
    "CREATE TRIGGER IF NOT EXISTS retry_removed AFTER DELETE ON retry"                             \
    "    BEGIN UPDATE retry_count SET records = records - 1; END;"

/* Keeps the first problem; what follows it in the transaction is not done any more. */
void sqlite_file_note(struct sqlite_file *file, int code)
{
    bool passes = code == SQLITE_BUSY || code == SQLITE_LOCKED;
    bool broken = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;

    if (file->code != SQLITE_OK || code == SQLITE_OK || code == SQLITE_DONE)
        return;
    file->code = code;
    error_set(&file->problem, passes ? ERROR_TEMPORARY : ERROR_OPERATOR, "store '%s': %s%s",
              file->path, file->db ? sqlite3_errmsg(file->db) : sqlite3_errstr(code),
              broken ? "; the file may be removed, at the cost of repeated downloads and of what "
                       "waits in it for another try"
                     : "");
}

/* The file is fine for SQLite, but not for us. */
static void refuse(struct sqlite_file *file, const char *reason)
{
    if (file->code != SQLITE_OK)
        return;
    file->code = SQLITE_ERROR;
    error_set(&file->problem, ERROR_OPERATOR, "store '%s': %s", file->path, reason);
}

void sqlite_file_bind_bytes(struct sqlite_file *file, size_t statement, int at, const void *bytes,
                            size_t size)
{
    sqlite_file_note(file, sqlite3_bind_blob64(file->statements[statement], at, size ? bytes : "",
                                               size, SQLITE_STATIC));
}

void sqlite_file_bind_number(struct sqlite_file *file, size_t statement, int at, int64_t number)
{
    sqlite_file_note(file, sqlite3_bind_int64(file->statements[statement], at, number));
}

void sqlite_file_bind_text(struct sqlite_file *file, size_t statement, int at, const char *text)
{
    sqlite_file_note(file,
                     sqlite3_bind_text(file->statements[statement], at, text, -1, SQLITE_STATIC));
}

bool sqlite_file_step(struct sqlite_file *file, size_t statement)
{
    int code = file->code == SQLITE_OK ? sqlite3_step(file->statements[statement]) : SQLITE_DONE;

    if (code == SQLITE_ROW)
        return true;
    sqlite_file_note(file, code);
    sqlite3_reset(file->statements[statement]);
    return false;
}

static void execute(struct sqlite_file *file, const char *text)
{
    if (file->code == SQLITE_OK)
        sqlite_file_note(file, sqlite3_exec(file->db, text, NULL, NULL, NULL));
}

/* Whatever the statements did so far is undone. */
static void fail_all(struct sqlite_file *file)
{
    struct list_link *link;

    if (!sqlite3_get_autocommit(file->db))
        sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
    for (link = list_first(&file->working); link; link = list_next(&file->working, link))
        file->use->fail(link);
}

/* In the pool. The time is taken when the file is ours, which may have taken long. */
static void work(void *context)
{
    struct sqlite_file *file = context;

    file->code = SQLITE_OK;
    execute(file, "BEGIN IMMEDIATE");
    file->now_ms = clock_wall_ns() / NS_PER_MS;
    file->use->decide(file);
    execute(file, "COMMIT");
    if (file->code != SQLITE_OK)
        fail_all(file);
}

static void start_work(struct sqlite_file *file);

static void work_done(void *context)
{
    struct sqlite_file *file = context;

    file->busy = false;
    memory_replace(&file->failure,
                   file->code == SQLITE_OK ? NULL : memory_copy(file->problem.text));
    list_append_all(&file->answers, &file->working);
    start_work(file);
}

static void start_work(struct sqlite_file *file)
{
    if (file->busy || list_is_empty(&file->sent))
        return;
    file->busy = true;
    list_append_all(&file->working, &file->sent);
    loop_work(file->loop, work, work_done, file);
}

void sqlite_file_ask(struct sqlite_file *file, struct list_link *question)
{
    list_append(&file->asked, question);
}

void sqlite_file_send(struct sqlite_file *file)
{
    list_append_all(&file->sent, &file->asked);
    start_work(file);
}

struct list_link *sqlite_file_take_answer(struct sqlite_file *file)
{
    return list_take_first(&file->answers);
}

void sqlite_file_close(struct sqlite_file *file)
{
    while (file->busy)
        loop_wait(file->loop);
    for (size_t i = 0; i < file->use->statement_count; i++)
        sqlite3_finalize(file->statements[i]);
    sqlite3_close(file->db);
    free(file->failure);
    free(file->path);
}

static sqlite3_stmt *prepare(struct sqlite_file *file, const char *text)
{
    sqlite3_stmt *statement = NULL;

    if (file->code == SQLITE_OK)
        sqlite_file_note(file, sqlite3_prepare_v3(file->db, text, -1, SQLITE_PREPARE_PERSISTENT,
                                                  &statement, NULL));
    return statement;
}

static void open_connection(struct sqlite_file *file)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    sqlite_file_note(file, sqlite3_open_v2(file->path, &file->db, flags, NULL));
    if (file->code == SQLITE_OK)
        sqlite_file_note(file, sqlite3_busy_timeout(file->db, BUSY_TIMEOUT_MS));
    execute(file, file->use->setup);
}

static int begin_wal(struct sqlite_file *file)
{
    sqlite3_stmt *statement = prepare(file, "PRAGMA journal_mode=WAL");
    int code = statement ? sqlite3_step(statement) : SQLITE_DONE;

    if (code == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0)
        refuse(file, "its file system has no shared memory; put it on a local disk");
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_DONE : code;
}

/* Two processes that both change the mode of a new file would wait for each other for ever, so
 * SQLite does not wait here, whatever the timeout. */
static void begin_wal_patiently(struct sqlite_file *file)
{
    int code = begin_wal(file);

    for (int tries = 0; code == SQLITE_BUSY && tries < BUSY_TIMEOUT_MS / 10; tries++) {
        sqlite3_sleep(10);
        code = begin_wal(file);
    }
    sqlite_file_note(file, code);
}

static int64_t read_number(struct sqlite_file *file, const char *query)
{
    sqlite3_stmt *statement = prepare(file, query);
    int64_t number = 0;

    if (statement && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite_file_note(file, sqlite3_finalize(statement));
    return number;
}

/* Also where an earlier version made the file, which had fewer tables. */
static bool has_all_tables(struct sqlite_file *file)
{
    return read_number(file, "SELECT count(*) FROM sqlite_schema WHERE name = 'retry_removed'") > 0;
}

static void make_schema(struct sqlite_file *file)
{
    int64_t version;

    execute(file, "BEGIN IMMEDIATE");
    version = read_number(file, "PRAGMA user_version");
    if (version > SCHEMA_VERSION)
        refuse(file, "written by a newer version of sr3sub");
    if (!has_all_tables(file))
        execute(file, SCHEMA);
    if (version < SCHEMA_VERSION)
        execute(file, "PRAGMA user_version=1");
    execute(file, "COMMIT");
}

bool sqlite_file_open(struct sqlite_file *file, struct loop *loop, const char *path,
                      const struct sqlite_file_use *use, struct error *err)
{
    assert(use->statement_count <= SQLITE_FILE_STATEMENTS_MAX);
    file->use = use;
    file->loop = loop;
    file->path = memory_copy(path);
    list_init(&file->asked);
    list_init(&file->sent);
    list_init(&file->working);
    list_init(&file->answers);

    open_connection(file);
    begin_wal_patiently(file);
    make_schema(file);
    for (size_t i = 0; i < use->statement_count; i++)
        file->statements[i] = prepare(file, use->statements[i]);
    if (file->code == SQLITE_OK)
        return true;
    *err = file->problem;
    return false;
}
