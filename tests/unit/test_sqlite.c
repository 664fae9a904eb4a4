/*
 * The embedded store: the claim protocol between two instances on one file, step by step, and what
 * breaks: killed processes, a full disk, a file that is none of ours.
 */
#include "store_protocol.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

struct scene {
    struct loop *loop;
    char directory[40], path[64];
    struct store *stores[2]; /* two instances */
};

static struct store *open_store(struct scene *scene, int64_t nodupe_ttl_ms, struct error *err)
{
    struct store_settings settings = {.lease_ms = LEASE_MS,
                                      .nodupe_ttl_ms = nodupe_ttl_ms,
                                      .latest_ttl_ms = LATEST_MS};

    return store_open_sqlite(scene->loop, scene->path, &settings, err);
}

static struct store *must_open(struct scene *scene, int64_t nodupe_ttl_ms)
{
    struct error err = {0};
    struct store *store = open_store(scene, nodupe_ttl_ms, &err);

    if (!store)
        fail_msg("%s", err.text);
    return store;
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    snprintf(scene->directory, sizeof(scene->directory), "/tmp/test_sqlite.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    snprintf(scene->path, sizeof(scene->path), "%s/store.db", scene->directory);
    clock_hold(T0, 1000);
    *state = scene;
    return 0;
}

static int two_open(void **state)
{
    struct scene *scene;

    scene_open(state);
    scene = *state;
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene, NODUPE_MS);
    scene->stores[1] = must_open(scene, NODUPE_MS);
    return 0;
}

static void remove_file(const struct scene *scene, const char *suffix)
{
    char path[80];

    snprintf(path, sizeof(path), "%s%s", scene->path, suffix);
    unlink(path);
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    store_close(scene->stores[0]);
    store_close(scene->stores[1]);
    loop_close(scene->loop);
    remove_file(scene, "");
    remove_file(scene, "-wal");
    remove_file(scene, "-shm");
    assert_int_equal(rmdir(scene->directory), 0);
    free(scene);
    clock_hold(-1, -1);
    return 0;
}

static void pass(int64_t ms)
{
    clock_hold(clock_wall_ns() + ms * NS_PER_MS, clock_now_ms() + ms);
}

static void wait_for(struct scene *scene, struct store *store, struct store_question *question)
{
    struct store_question *answer;

    while (!(answer = store_take_answer(store)))
        loop_wait(scene->loop);
    assert_ptr_equal(answer, question);
}

static enum store_verdict ask(struct scene *scene, struct store *store,
                              struct store_question *question)
{
    store_ask(store, question);
    store_send(store);
    wait_for(scene, store, question);
    return question->verdict;
}

static enum store_verdict claim(struct scene *scene, struct store *store, int key)
{
    struct store_question question = question_of(STORE_CLAIM, 'c', key, key, T0);

    return ask(scene, store, &question);
}

/* Claims again what is claimed already, for a file that was not placed before. */
static enum store_verdict confirm(struct scene *scene, struct store *store, int key)
{
    struct store_question question = question_of(STORE_CLAIM, 'c', key, key, T0);

    if (ask(scene, store, &question) != STORE_CLAIMED)
        return question.verdict;
    question.action = STORE_CONFIRM;
    return ask(scene, store, &question);
}

/* ---- the protocol ---- */

static void run_step(struct scene *scene, const char *name, size_t number, const struct step *step)
{
    struct store *store = scene->stores[step->owner < 'a'];
    struct store_question question = question_of(step->action, step->owner, step->key, step->place,
                                                 T0 + step->pub_ms * NS_PER_MS);

    pass(step->pass_ms);
    ask(scene, store, &question);
    if (question.verdict != step->verdict || question.busy_ms != step->busy_ms)
        fail_msg("%s, step %zu: got %s, %lld ms (%s)", name, number + 1,
                 verdict_names[question.verdict], (long long)question.busy_ms,
                 store_failure(store) ? store_failure(store) : "no failure");
}

static void scripts_are_followed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct scene *scene;

        scene_open((void **)&scene);
        scene->loop = loop_open();
        scene->stores[0] = must_open(scene, scripts[i].nodupe_ttl_ms);
        scene->stores[1] = must_open(scene, scripts[i].nodupe_ttl_ms);
        for (size_t k = 0; k < STEPS_MAX && scripts[i].steps[k].owner; k++)
            run_step(scene, scripts[i].name, k, &scripts[i].steps[k]);
        scene_close((void **)&scene);
    }
}

static void a_later_start_remembers(void **state)
{
    struct scene *scene = *state;

    confirm(scene, scene->stores[0], 1);
    store_close(scene->stores[0]);
    store_close(scene->stores[1]);
    scene->stores[1] = NULL;
    scene->stores[0] = must_open(scene, NODUPE_MS);
    assert_int_equal(claim(scene, scene->stores[0], 1), STORE_DUPLICATE);
}

/* ---- asking and sending ---- */

static void questions_gathered_meanwhile_go_next(void **state)
{
    struct scene *scene = *state;
    struct store *store = scene->stores[0];
    struct store_question questions[4];

    for (int i = 0; i < 4; i++)
        questions[i] = question_of(STORE_CLAIM, 'a', i + 1, i + 1, T0);
    store_ask(store, &questions[0]);
    store_ask(store, &questions[1]);
    assert_null(store_take_answer(store));
    store_send(store);
    store_ask(store, &questions[2]);
    store_send(store);
    store_ask(store, &questions[3]); /* not sent */
    for (int i = 0; i < 3; i++)
        wait_for(scene, store, &questions[i]);
    assert_null(store_take_answer(store));
    assert_int_equal(claim(scene, scene->stores[1], 4), STORE_CLAIMED);
}

static void close_does_what_was_sent(void **state)
{
    struct scene *scene = *state;
    struct store_question taken = question_of(STORE_CLAIM, 'a', 1, 1, T0);
    struct store_question other = question_of(STORE_CLAIM, 'a', 2, 2, T0);
    struct store_question released = question_of(STORE_RELEASE, 'a', 1, 1, T0);

    ask(scene, scene->stores[0], &taken);
    store_ask(scene->stores[0], &other);
    store_send(scene->stores[0]);
    store_ask(scene->stores[0], &released);
    store_send(scene->stores[0]);
    store_close(scene->stores[0]);
    scene->stores[0] = NULL;
    assert_int_equal(claim(scene, scene->stores[1], 1), STORE_CLAIMED);
    assert_int_equal(claim(scene, scene->stores[1], 2), STORE_BUSY);
}

/* ---- forgetting ---- */

static sqlite3 *look_into(const struct scene *scene)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(scene->path, &db), SQLITE_OK);
    return db;
}

static int count_rows(const struct scene *scene, const char *query)
{
    sqlite3 *db = look_into(scene);
    sqlite3_stmt *statement;
    int count;

    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

#define MANY 300

static void ask_many(struct scene *scene, enum store_action action, struct store_question *questions)
{
    for (int i = 0; i < MANY; i++) {
        questions[i] = question_of(action, 'a', i, i + 1000, T0);
        memcpy(questions[i].identity.place + 4, &i, sizeof(i));
        store_ask(scene->stores[0], &questions[i]);
    }
    store_send(scene->stores[0]);
    for (int i = 0; i < MANY; i++)
        wait_for(scene, scene->stores[0], &questions[i]);
}

static void what_lapsed_is_removed_in_small_steps(void **state)
{
    static struct store_question questions[MANY];
    struct scene *scene = *state;
    int before = 2 * MANY;

    ask_many(scene, STORE_CLAIM, questions);
    ask_many(scene, STORE_CONFIRM, questions);
    ask_many(scene, STORE_CLAIM, questions); /* refused: placed */
    pass(NODUPE_MS + LATEST_MS);
    while (before > 0) {
        int left;

        claim(scene, scene->stores[1], 1 << 20);
        left = count_rows(scene, "SELECT count(*) FROM known");
        if (left >= before || left < before - 10)
            fail_msg("%d rows, then %d", before, left);
        before = left;
    }
    ask_many(scene, STORE_CLAIM, questions);
    assert_int_equal(questions[MANY - 1].verdict, STORE_CLAIMED);
    pass(NODUPE_MS);
    claim(scene, scene->stores[1], 1 << 20);
    assert_int_equal(count_rows(scene, "SELECT count(*) FROM claim WHERE owner = 'a'"), 0);
}

/* ---- what breaks ---- */

/* In a child: claims and confirms one file after the other, a byte to `fd` for each. */
static void work_until_killed(struct scene *scene, int fd)
{
    clock_hold(T0, 1000);
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene, NODUPE_MS);
    for (int key = 1;; key++) {
        enum store_verdict verdict = claim(scene, scene->stores[0], key);

        if (write(fd, "c", 1) != 1)
            _exit(1);
        if (verdict != STORE_DUPLICATE && confirm(scene, scene->stores[0], key) != STORE_DONE)
            _exit(1);
        if (write(fd, "d", 1) != 1)
            _exit(1);
    }
}

/* Kills the child as soon as it said `bytes` bytes; the last of them tells what it had done. */
static char kill_after(struct scene *scene, int bytes)
{
    char last = 0;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        work_until_killed(scene, ends[1]);
    }
    close(ends[1]);
    while (bytes-- > 0)
        assert_int_equal(read(ends[0], &last, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(ends[0]);
    return last;
}

static void a_killed_owner_frees_its_claims(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(kill_after(scene, 1), 'c');
    scene->loop = loop_open();
    scene->stores[0] = must_open(scene, NODUPE_MS);
    if (claim(scene, scene->stores[0], 1) == STORE_CLAIMED) { /* the owner's name is the same */
        struct store_question other = question_of(STORE_CLAIM, 'o', 1, 1, T0);

        assert_int_equal(ask(scene, scene->stores[0], &other), STORE_BUSY);
        pass(other.busy_ms);
        assert_int_equal(ask(scene, scene->stores[0], &other), STORE_CLAIMED);
    }
}

static void a_kill_at_any_time_breaks_nothing(void **state)
{
    struct scene *scene = *state;

    for (int bytes = 2; bytes < 60; bytes += 7) {
        int confirmed = bytes / 2;

        kill_after(scene, bytes);
        scene->loop = loop_open();
        scene->stores[0] = must_open(scene, NODUPE_MS);
        for (int key = 1; key <= confirmed; key++)
            assert_int_equal(claim(scene, scene->stores[0], key), STORE_DUPLICATE);
        store_close(scene->stores[0]);
        loop_close(scene->loop);
        scene->stores[0] = NULL;
        scene->loop = NULL;
        assert_int_equal(count_rows(scene, "SELECT integrity_check = 'ok'"
                                           " FROM pragma_integrity_check"), 1);
    }
}

#define STARTERS 6

static void many_can_make_the_file_at_once(void **state)
{
    struct scene *scene = *state;
    pid_t children[STARTERS];

    for (size_t i = 0; i < STARTERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct error err = {0};
            bool good;

            scene->loop = loop_open();
            scene->stores[0] = open_store(scene, NODUPE_MS, &err);
            good = scene->stores[0] && confirm(scene, scene->stores[0], (int)i) == STORE_DONE;
            if (!good)
                fprintf(stderr, "%s\n", err.text);
            _exit(!good);
        }
    }
    for (size_t i = 0; i < STARTERS; i++) {
        int status;

        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
}

static void a_locked_file_is_waited_for(void **state)
{
    struct scene *scene = *state;
    struct store_question question = question_of(STORE_CLAIM, 'a', 1, 1, T0);
    sqlite3 *db = look_into(scene);

    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    store_ask(scene->stores[0], &question);
    store_send(scene->stores[0]);
    assert_null(store_take_answer(scene->stores[0]));
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    wait_for(scene, scene->stores[0], &question);
    assert_int_equal(question.verdict, STORE_CLAIMED);
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
    struct scene *scene = *state;
    struct store *store = scene->stores[0];
    struct store_question questions[2] = {question_of(STORE_CLAIM, 'c', 1, 1, T0),
                                          question_of(STORE_CLAIM, 'a', 2, 2, T0)};

    assert_int_equal(ask(scene, store, &questions[0]), STORE_CLAIMED);
    questions[0].action = STORE_CONFIRM;
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(1024);
    store_ask(store, &questions[0]);
    store_ask(store, &questions[1]);
    store_send(store);
    wait_for(scene, store, &questions[0]);
    wait_for(scene, store, &questions[1]);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(questions[0].verdict, STORE_FAILED);
    assert_int_equal(questions[1].verdict, STORE_FAILED);
    assert_non_null(store_failure(store));
    assert_non_null(strstr(store_failure(store), scene->path));
    assert_int_equal(claim(scene, scene->stores[1], 1), STORE_CLAIMED); /* nothing was kept */
    assert_int_equal(claim(scene, scene->stores[1], 2), STORE_CLAIMED);
    assert_int_equal(confirm(scene, store, 3), STORE_DONE);
    assert_null(store_failure(store));
}

static void write_file(const struct scene *scene, const char *text)
{
    FILE *file = fopen(scene->path, "w");

    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs(text, file);
    fclose(file);
}

static void make_newer(const struct scene *scene)
{
    sqlite3 *db = look_into(scene);

    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void expect_refusal(struct scene *scene, const char *word)
{
    struct error err = {0};

    assert_null(open_store(scene, NODUPE_MS, &err));
    if (err.kind != ERROR_OPERATOR || !strstr(err.text, scene->path) || !strstr(err.text, word))
        fail_msg("'%s' has no '%s'", err.text, word);
}

static void foreign_files_are_refused(void **state)
{
    struct scene *scene = *state;

    scene->loop = loop_open();
    write_file(scene, "this is no database ");
    expect_refusal(scene, "may be removed, at the cost of repeated downloads");
    write_file(scene, "");
    make_newer(scene);
    expect_refusal(scene, "newer");
    unlink(scene->path);
    strcat(scene->path, "/none");
    expect_refusal(scene, "unable to open");
    *strrchr(scene->path, '/') = '\0';
}

/* Everything behind the first page is overwritten while the file is in use. */
static void a_file_broken_in_use_fails(void **state)
{
    struct scene *scene = *state;
    FILE *file;

    for (int key = 1; key < 50; key++)
        confirm(scene, scene->stores[0], key);
    store_close(scene->stores[0]); /* the last to close moves all from the log into the file */
    store_close(scene->stores[1]);
    scene->stores[1] = NULL;
    scene->stores[0] = must_open(scene, NODUPE_MS);
    file = fopen(scene->path, "r+");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    for (long left = ftell(file) - 4096, at = 4096; left > 0; left--, at++) {
        fseek(file, at, SEEK_SET);
        fputc(0xee, file);
    }
    fclose(file);
    assert_int_equal(confirm(scene, scene->stores[0], 7), STORE_FAILED);
    assert_non_null(strstr(store_failure(scene->stores[0]), "may be removed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_followed),
        cmocka_unit_test_setup_teardown(a_later_start_remembers, two_open, scene_close),
        cmocka_unit_test_setup_teardown(questions_gathered_meanwhile_go_next, two_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(close_does_what_was_sent, two_open, scene_close),
        cmocka_unit_test_setup_teardown(what_lapsed_is_removed_in_small_steps, two_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(a_killed_owner_frees_its_claims, scene_open, scene_close),
        cmocka_unit_test_setup_teardown(a_kill_at_any_time_breaks_nothing, scene_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(many_can_make_the_file_at_once, scene_open, scene_close),
        cmocka_unit_test_setup_teardown(a_locked_file_is_waited_for, two_open, scene_close),
        cmocka_unit_test_setup_teardown(a_full_disk_fails_the_batch_and_passes, two_open,
                                        scene_close),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused, scene_open, scene_close),
        cmocka_unit_test_setup_teardown(a_file_broken_in_use_fails, two_open, scene_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
