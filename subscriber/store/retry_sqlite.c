/*
 * The retry store in the file of the embedded store, on a connection of its own.
 *
 * All questions of one send are one transaction in the pool (sqlite_file.c), flushed to the disk:
 * what is kept here was acked, so nobody would deliver it again after a power cut.
 */
#include "store/retry_store.h"

#include "store/retry_limits.h"
#include "store/sqlite_file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SETUP                                                                                 \
    "PRAGMA page_size=2048;"                                                                       \
    "PRAGMA cache_size=-1024;" /* KiB */                                                           \
    "PRAGMA synchronous=FULL;"                                                                     \
    "PRAGMA temp_store=MEMORY;"                                                                    \
    "PRAGMA wal_autocheckpoint=2048;"                                                              \
    "PRAGMA journal_size_limit=8388608;"

enum statement { KEEP, HIDE, DROP, DUE, LIST, WAITING, NEXT, STATEMENTS };

/* In all of them ?1 is the id, ?2 a time, ?3 how many, ?4 how many are left out first. */
static const char *const statement_texts[STATEMENTS] = {
    [KEEP] = ("INSERT INTO retry (id, due, body) VALUES (?1, ?2, ?5)"
              " ON CONFLICT (id) DO UPDATE SET due = excluded.due, body = excluded.body"),
    [HIDE] = "UPDATE retry SET due = ?2 WHERE id = ?1",
    [DROP] = "DELETE FROM retry WHERE id = ?1",
    [DUE] = "SELECT id, due, body FROM retry WHERE due <= ?2 ORDER BY due, id LIMIT ?3",
    [LIST] = "SELECT id, due, body FROM retry WHERE due > ?2 ORDER BY due, id LIMIT ?3 OFFSET ?4",
    [WAITING] = "SELECT records FROM retry_count",
    [NEXT] = "SELECT min(due) FROM retry",
};

struct retry_sqlite {
    struct retry_store store; /* first: this is what the callers hold */
    struct sqlite_file file;
};

static struct retry_sqlite *sqlite_of(const struct retry_store *store)
{
    return (struct retry_sqlite *)store;
}

static struct retry_question *question_of(struct list_link *link)
{
    return LIST_ITEM(link, struct retry_question, link);
}

/* now + delay, also for delays that would not fit. */
static int64_t time_after(const struct sqlite_file *file, int64_t delay_ms)
{
    if (delay_ms > RETRY_DELAY_MAX_MS)
        delay_ms = RETRY_DELAY_MAX_MS;
    if (delay_ms < -RETRY_DELAY_MAX_MS)
        delay_ms = -RETRY_DELAY_MAX_MS;
    return file->now_ms + delay_ms;
}

static void bind_id_and_time(struct sqlite_file *file, enum statement which,
                             const unsigned char *id, int64_t time_ms)
{
    sqlite_file_bind_bytes(file, which, 1, id, RETRY_ID_SIZE);
    sqlite_file_bind_number(file, which, 2, time_ms);
}

static void keep(struct sqlite_file *file, const struct retry_question *question)
{
    bind_id_and_time(file, KEEP, question->id, time_after(file, question->delay_ms));
    sqlite_file_bind_bytes(file, KEEP, 5, question->body, question->body_size);
    sqlite_file_step(file, KEEP);
}

static void hide(struct sqlite_file *file, const unsigned char *id, int64_t delay_ms)
{
    bind_id_and_time(file, HIDE, id, time_after(file, delay_ms));
    sqlite_file_step(file, HIDE);
}

static void drop(struct sqlite_file *file, const struct retry_question *question)
{
    sqlite_file_bind_bytes(file, DROP, 1, question->id, RETRY_ID_SIZE);
    sqlite_file_step(file, DROP);
}

/* What a statement with one number says; -1 without one. */
static int64_t read_number(struct sqlite_file *file, enum statement which)
{
    sqlite3_stmt *statement = file->statements[which];
    int64_t number = -1;

    if (!sqlite_file_step(file, which))
        return number;
    if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return number;
}

static void copy_row(sqlite3_stmt *statement, struct retry_item *item, int64_t due_in_ms)
{
    memcpy(item->id, sqlite3_column_blob(statement, 0), RETRY_ID_SIZE);
    item->body_size = (size_t)sqlite3_column_bytes(statement, 2);
    item->body = memory_copy_bytes(sqlite3_column_blob(statement, 2), item->body_size);
    item->due_in_ms = due_in_ms;
}

/* Rows up to the limits of `question`; always one, however large. */
static void read_rows(struct sqlite_file *file, enum statement which,
                      struct retry_question *question)
{
    sqlite3_stmt *statement = file->statements[which];
    size_t size = 0;

    while (question->item_count < question->most && sqlite_file_step(file, which)) {
        int64_t due_in_ms = sqlite3_column_int64(statement, 1) - file->now_ms;

        if (sqlite3_column_bytes(statement, 0) != RETRY_ID_SIZE)
            continue;
        size += (size_t)sqlite3_column_bytes(statement, 2);
        if (question->item_count > 0 && size > RETRY_BODIES_SIZE_MAX)
            break;
        copy_row(statement, &question->items[question->item_count++],
                 which == DUE ? -due_in_ms : due_in_ms);
    }
    sqlite3_reset(statement);
}

static void take(struct sqlite_file *file, struct retry_question *question)
{
    sqlite_file_bind_number(file, DUE, 2, file->now_ms);
    sqlite_file_bind_number(file, DUE, 3, (int64_t)question->most);
    read_rows(file, DUE, question);
    for (size_t i = 0; i < question->item_count; i++)
        hide(file, question->items[i].id, question->delay_ms);
}

static void list(struct sqlite_file *file, struct retry_question *question)
{
    sqlite_file_bind_number(file, LIST, 2, time_after(file, question->due_after_ms));
    sqlite_file_bind_number(file, LIST, 3, (int64_t)question->most);
    sqlite_file_bind_number(file, LIST, 4, (int64_t)question->first);
    read_rows(file, LIST, question);
}

static void count(struct sqlite_file *file, struct retry_question *question)
{
    int64_t next_ms = read_number(file, NEXT);

    question->waiting = read_number(file, WAITING);
    if (next_ms >= 0)
        question->next_due_ms = next_ms > file->now_ms ? next_ms - file->now_ms : 0;
}

static void answer(struct sqlite_file *file, struct retry_question *question)
{
    question->done = true;
    question->item_count = 0;
    question->next_due_ms = -1;
    switch (question->action) {
    case RETRY_KEEP:
        keep(file, question);
        break;
    case RETRY_HIDE:
        hide(file, question->id, question->delay_ms);
        break;
    case RETRY_DROP:
        drop(file, question);
        break;
    case RETRY_TAKE:
        take(file, question);
        count(file, question);
        break;
    case RETRY_LIST:
        list(file, question);
        count(file, question);
        break;
    }
}

static void answer_all(struct sqlite_file *file)
{
    struct list_link *link;

    for (link = list_first(&file->working); link; link = list_next(&file->working, link))
        answer(file, question_of(link));
}

static void forget_answer(struct list_link *link)
{
    struct retry_question *question = question_of(link);

    while (question->item_count > 0)
        free(question->items[--question->item_count].body);
    question->done = false;
}

static void retry_sqlite_ask(struct retry_store *store, struct retry_question *question)
{
    assert(question->most <= RETRY_TAKE_MAX);
    question->done = false;
    question->item_count = 0;
    sqlite_file_ask(&sqlite_of(store)->file, &question->link);
}

static void retry_sqlite_send(struct retry_store *store)
{
    sqlite_file_send(&sqlite_of(store)->file);
}

static struct retry_question *retry_sqlite_take_answer(struct retry_store *store)
{
    struct list_link *link = sqlite_file_take_answer(&sqlite_of(store)->file);

    return link ? question_of(link) : NULL;
}

static const char *retry_sqlite_failure(const struct retry_store *store)
{
    return sqlite_of(store)->file.failure;
}

static void retry_sqlite_close(struct retry_store *store)
{
    struct retry_sqlite *sqlite = sqlite_of(store);

    sqlite_file_close(&sqlite->file);
    free(sqlite);
}

static const struct retry_store_functions retry_sqlite_functions = {
    .ask = retry_sqlite_ask,
    .send = retry_sqlite_send,
    .take_answer = retry_sqlite_take_answer,
    .failure = retry_sqlite_failure,
    .close = retry_sqlite_close,
};

static const struct sqlite_file_use retry_sqlite_use = {
    .setup = FILE_SETUP,
    .statements = statement_texts,
    .statement_count = STATEMENTS,
    .decide = answer_all,
    .fail = forget_answer,
};

struct retry_store *retry_store_open_sqlite(struct loop *loop, const char *path, struct error *err)
{
    struct retry_sqlite *sqlite = memory_new(sizeof(*sqlite));

    sqlite->store.functions = &retry_sqlite_functions;
    if (sqlite_file_open(&sqlite->file, loop, path, &retry_sqlite_use, err))
        return &sqlite->store;
    retry_sqlite_close(&sqlite->store);
    return NULL;
}
