/*
 * One connection to the file of the embedded store, and the batches done on it.
 *
 * The file is shared by the instances of one host, and by all that an instance keeps there: claims
 * and what was placed (sqlite.c), what waits for another try (retry_sqlite.c). Whoever comes first
 * makes all tables.
 *
 * Questions are gathered in lists; all of one send are one transaction, done in the pool, one at a
 * time. The connection is touched only by the work under way.
 */
#pragma once

#include "base/list.h"
#include "base/loop.h"

#include <sqlite3.h>

#define SQLITE_FILE_STATEMENTS_MAX 12

struct sqlite_file;

/* What a store does with the file. decide() and fail() run in the pool. */
struct sqlite_file_use {
    const char *setup;             /* PRAGMAs of this connection */
    const char *const *statements; /* prepared when the file is opened */
    size_t statement_count;
    void (*decide)(struct sqlite_file *file); /* answers what is in `working` */
    void (*fail)(struct list_link *link);     /* a question whose transaction was undone */
};

/* Part of the store that uses it. Its members are for that store. */
struct sqlite_file {
    const struct sqlite_file_use *use;
    struct loop *loop;
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[SQLITE_FILE_STATEMENTS_MAX];

    struct list asked;   /* gathered since the last send */
    struct list sent;    /* wait until the work under way is done */
    struct list working; /* the work's own while it is under way */
    struct list answers;
    bool busy; /* work is under way */

    int64_t now_ms;       /* of the transaction, by the wall clock */
    int code;             /* the first thing that went wrong in it, SQLITE_OK: nothing */
    struct error problem; /* what that means */
    char *failure;        /* the problem of the last transaction, for the callers */
};

/*
 * Opens the file, makes it and its tables when missing, prepares the statements. `use` must live as
 * long as `file`. On failure it is to be closed, too.
 */
bool sqlite_file_open(struct sqlite_file *file, struct loop *loop, const char *path,
                      const struct sqlite_file_use *use, struct error *err) MUST_CHECK;

/* Waits until all that was sent is done. */
void sqlite_file_close(struct sqlite_file *file);

/* On the loop. */
void sqlite_file_ask(struct sqlite_file *file, struct list_link *question);
void sqlite_file_send(struct sqlite_file *file);
struct list_link *sqlite_file_take_answer(struct sqlite_file *file); /* NULL: none has arrived */

/*
 * In the pool. Once something went wrong the rest of the transaction is not done any more:
 * sqlite_file_step() says that there is no row, and in the end everything is undone.
 */
void sqlite_file_note(struct sqlite_file *file, int code);
void sqlite_file_bind_bytes(struct sqlite_file *file, size_t statement, int at, const void *bytes,
                            size_t size);
void sqlite_file_bind_number(struct sqlite_file *file, size_t statement, int at, int64_t number);
void sqlite_file_bind_text(struct sqlite_file *file, size_t statement, int at, const char *text);

/* True when there is a row; sqlite3_reset() is the caller's then. */
bool sqlite_file_step(struct sqlite_file *file, size_t statement);
