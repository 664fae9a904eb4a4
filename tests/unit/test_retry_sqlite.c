/* The retry store in the embedded store's file: what every one must do, and what breaks. */
#include "retry_store_cases.h"

#include "store/store.h"

#include <sqlite3.h>
#include <sys/resource.h>

#define T0 1735790592751000000

struct place {
    char directory[48], path[64];
};

static struct place *place_of(const struct retry_scene *scene)
{
    return scene->own;
}

struct retry_store *scene_open_store(struct retry_scene *scene, struct error *err)
{
    return retry_store_open_sqlite(scene->loop, place_of(scene)->path, err);
}

void scene_pass(struct retry_scene *scene, int64_t ms)
{
    (void)scene;
    clock_hold(clock_wall_ns() + ms * NS_PER_MS, clock_now_ms() + ms);
}

static sqlite3 *look_into(const struct retry_scene *scene)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(place_of(scene)->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

static void execute(const struct retry_scene *scene, const char *text)
{
    sqlite3 *db = look_into(scene);

    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int64_t read_number(const struct retry_scene *scene, const char *query)
{
    sqlite3 *db = look_into(scene);
    sqlite3_stmt *statement;
    int64_t number;

    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

void scene_clear(struct retry_scene *scene)
{
    execute(scene, "DELETE FROM retry");
}

static int open_none(void **state)
{
    struct retry_scene *scene = memory_new(sizeof(*scene));
    struct place *place = scene->own = memory_new(sizeof(*place));

    snprintf(place->directory, sizeof(place->directory), "/tmp/test_retry_sqlite.XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof(place->path), "%s/store.db", place->directory);
    clock_hold(T0, 1000);
    *state = scene;
    return 0;
}

static int open_two(void **state)
{
    struct retry_scene *scene;

    open_none(state);
    scene = *state;
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene);
    scene->stores[1] = must_open(scene);
    return 0;
}

static void remove_file(const struct place *place, const char *suffix)
{
    char path[80];

    snprintf(path, sizeof(path), "%s%s", place->path, suffix);
    unlink(path);
}

static int close_scene(void **state)
{
    struct retry_scene *scene = *state;
    struct place *place = place_of(scene);

    retry_store_close(scene->stores[0]);
    retry_store_close(scene->stores[1]);
    loop_close(scene->loop);
    remove_file(place, "");
    remove_file(place, "-wal");
    remove_file(place, "-shm");
    assert_int_equal(rmdir(place->directory), 0);
    free(place);
    free(scene);
    clock_hold(-1, -1);
    return 0;
}

static void a_later_start_remembers(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    keep(scene, scene->stores[0], 1, 0, "a");
    for (size_t i = 0; i < 2; i++)
        retry_store_close(scene->stores[i]);
    scene->stores[1] = NULL;
    scene->stores[0] = must_open(scene);
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    assert_int_equal(taken.question.waiting, 1);
    expect_bodies(&taken, "later", 1, "a");
}

static void the_count_stays_right(void **state)
{
    struct retry_scene *scene = *state;

    for (int i = 0; i < 40; i++)
        keep(scene, scene->stores[i % 2], i % 17, i, "a");
    for (int i = 0; i < 30; i += 3)
        drop(scene, scene->stores[i % 2], i);
    assert_int_equal(read_number(scene, "SELECT records - (SELECT count(*) FROM retry)"
                                        " FROM retry_count"),
                     0);
}

/* Neither takes nor lists look at every record: each plan is a search by an index. */
static void no_question_reads_all(void **state)
{
    static const char *const queries[] = {
        "SELECT id, due, body FROM retry WHERE due <= 1 ORDER BY due, id LIMIT 3",
        "SELECT id, due, body FROM retry WHERE due > 1 ORDER BY due, id LIMIT 3 OFFSET 2",
        "SELECT min(due) FROM retry",
        "DELETE FROM retry WHERE id = x'00'",
    };
    struct retry_scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        sqlite3 *db = look_into(scene);
        char *text = memory_format("EXPLAIN QUERY PLAN %s", queries[i]);
        sqlite3_stmt *statement;

        assert_int_equal(sqlite3_prepare_v2(db, text, -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
            const char *plan = (const char *)sqlite3_column_text(statement, 3);

            if (strstr(plan, "SCAN") || strstr(plan, "TEMP B-TREE"))
                fail_msg("%s: %s", queries[i], plan);
        }
        sqlite3_finalize(statement);
        sqlite3_close(db);
        free(text);
    }
}

/* Claims and retries share the file, whoever makes it. */
static void the_file_is_shared(void **state)
{
    static const struct store_settings settings = {.lease_ms = 1, .nodupe_ttl_ms = 1};
    struct retry_scene *scene = *state;

    for (int first = 0; first < 2; first++) {
        struct error err = {0};
        struct store *store;

        scene->loop = loop_open();
        if (first == 0)
            scene->stores[0] = must_open(scene);
        store = store_open_sqlite(scene->loop, place_of(scene)->path, &settings, &err);
        if (!store)
            fail_msg("%s", err.text);
        if (first == 1)
            scene->stores[0] = must_open(scene);
        keep(scene, scene->stores[0], 1, 0, "a");
        store_close(store);
        retry_store_close(scene->stores[0]);
        scene->stores[0] = NULL;
        loop_close(scene->loop);
        scene->loop = NULL;
        remove_file(place_of(scene), "");
    }
}

/* A file of the version before there were retries, in use by it. */
static void an_earlier_file_gets_its_table(void **state)
{
    struct retry_scene *scene = *state;
    struct taken taken;

    execute(scene, "CREATE TABLE known (id BLOB PRIMARY KEY, expires INTEGER NOT NULL,"
                   " pub_time_ns INTEGER NOT NULL) WITHOUT ROWID;"
                   "CREATE INDEX known_expires ON known (expires);"
                   "CREATE TABLE claim (id BLOB PRIMARY KEY, expires INTEGER NOT NULL,"
                   " owner TEXT NOT NULL) WITHOUT ROWID;"
                   "INSERT INTO known VALUES (x'01', 9, 9); PRAGMA user_version=1;");
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene);
    keep(scene, scene->stores[0], 1, 0, "a");
    take(scene, scene->stores[0], 8, LONG_MS, &taken);
    expect_bodies(&taken, "earlier file", 1, "a");
    assert_int_equal(read_number(scene, "SELECT count(*) FROM known"), 1);
    assert_int_equal(read_number(scene, "PRAGMA user_version"), 1);
}

#define STARTERS 6

static void start_and_keep(struct retry_scene *scene, int id)
{
    static const struct store_settings settings = {.lease_ms = 1, .nodupe_ttl_ms = 1};
    struct error err = {0};

    scene->loop = loop_open();
    if (id % 2 && !store_open_sqlite(scene->loop, place_of(scene)->path, &settings, &err))
        _exit(1);
    scene->stores[0] = must_open(scene);
    keep(scene, scene->stores[0], id, 0, "a");
    _exit(0);
}

static void many_can_make_the_file_at_once(void **state)
{
    struct retry_scene *scene = *state;
    pid_t children[STARTERS];

    for (int i = 0; i < STARTERS; i++) {
        children[i] = fork();
        if (children[i] == 0)
            start_and_keep(scene, i);
    }
    for (int i = 0; i < STARTERS; i++) {
        int status;

        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(read_number(scene, "SELECT records FROM retry_count"), STARTERS);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_fails_the_batch_and_passes(void **state)
{
    struct retry_scene *scene = *state;
    struct retry_store *store = scene->stores[0];
    struct taken taken = {.question = question_of(RETRY_TAKE, 0, LONG_MS)};
    struct retry_question dropped = question_of(RETRY_DROP, 1, 0);

    keep(scene, store, 1, 0, "a");
    taken.question.items = taken.items;
    taken.question.most = 8;
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(1024);
    retry_store_ask(store, &taken.question);
    retry_store_ask(store, &dropped);
    retry_store_send(store);
    wait_for(scene, store, &taken.question);
    wait_for(scene, store, &dropped);
    limit_file_size(RLIM_INFINITY);
    assert_false(taken.question.done || dropped.done);
    assert_int_equal(taken.question.item_count, 0);
    assert_non_null(strstr(retry_store_failure(store), place_of(scene)->path));
    take(scene, scene->stores[1], 8, LONG_MS, &taken);
    expect_bodies(&taken, "after the full disk", 1, "a");
    drop(scene, store, 1);
    assert_null(retry_store_failure(store));
}

static void foreign_files_are_refused(void **state)
{
    struct retry_scene *scene = *state;
    struct error err = {0};
    FILE *file = fopen(place_of(scene)->path, "w");

    for (int i = 0; i < 1000; i++)
        fputs("this is no database ", file);
    fclose(file);
    scene->loop = loop_open();
    assert_null(scene_open_store(scene, &err));
    assert_int_equal(err.kind, ERROR_OPERATOR);
    assert_non_null(strstr(err.text, "what waits in it for another try"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RETRY_STORE_TESTS(open_two, open_none, close_scene),
        cmocka_unit_test_setup_teardown(a_later_start_remembers, open_two, close_scene),
        cmocka_unit_test_setup_teardown(the_count_stays_right, open_two, close_scene),
        cmocka_unit_test_setup_teardown(no_question_reads_all, open_two, close_scene),
        cmocka_unit_test_setup_teardown(the_file_is_shared, open_none, close_scene),
        cmocka_unit_test_setup_teardown(an_earlier_file_gets_its_table, open_none, close_scene),
        cmocka_unit_test_setup_teardown(many_can_make_the_file_at_once, open_none, close_scene),
        cmocka_unit_test_setup_teardown(a_full_disk_fails_the_batch_and_passes, open_two,
                                        close_scene),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused, open_none, close_scene),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
