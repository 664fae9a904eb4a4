/* Large files whose transfer breaks: what is kept, what the next attempt makes of it. */
#include "writer_scene.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#define LAST_MODIFIED_S 1700000000
#define WHOLE           (5 * MIB + 777)

static const struct {
    const char *what, *inflight, *method;
    bool has_size;
    size_t broke_at; /* the first attempt ends after so many bytes */
    enum writer_durability durability;
} cases[] = {
    {"md5", NULL, "md5", true, 3 * MIB + 1000, WRITER_DURABILITY_NONE},
    {"sha512", ".tmp", "sha512", false, 4 * MIB, WRITER_DURABILITY_GROUP},
    {"nothing known", "tmp/", NULL, false, 2 * MIB + 5, WRITER_DURABILITY_EACH},
    {"size only", ".", NULL, true, 2 * MIB + 5, WRITER_DURABILITY_GROUP},
    {"opaque", "in/flight/", "arbitrary", true, MIB + CHUNK, WRITER_DURABILITY_GROUP},
    {"all but the end", NULL, "md5", true, WHOLE - 1, WRITER_DURABILITY_GROUP},
    {"all", NULL, "md5", true, WHOLE, WRITER_DURABILITY_GROUP},
    {"all, size unknown", NULL, "sha512", false, WHOLE, WRITER_DURABILITY_GROUP},
};

static struct writer_plan plan_of(const struct scene *scene, size_t i, char digest[100])
{
    struct writer_plan plan = scene_plan(scene, "dir/large");

    if (cases[i].method) {
        scene_digest(cases[i].method[0] == 'm' ? "md5" : "sha512", 1, WHOLE, digest);
        plan.identity_method = cases[i].method;
        plan.identity_value = digest;
    }
    plan.size_bytes = cases[i].has_size ? WHOLE : 0;
    plan.has_size = cases[i].has_size;
    return plan;
}

/* A transfer that ends early. */
static void begin_and_break(struct scene *scene, const struct writer_plan *plan, size_t bytes,
                            int64_t last_modified_s)
{
    struct writer_file *file = writer_begin(scene->writer, plan, scene);

    writer_continue(file, 0, last_modified_s);
    scene_give(scene, file, 1, 0, bytes);
    writer_suspend(file);
}

/* Another instance, or this one after a restart. */
static struct writer_file *probe_again(struct scene *scene, const struct writer_settings *settings,
                                       const struct writer_plan *plan, struct writer_probed *probed)
{
    struct writer_file *file;

    scene_writer(scene, *settings);
    file = writer_begin(scene->writer, plan, scene);
    *probed = scene_probe(scene, file);
    if (probed->advice != WRITER_FETCH)
        fail_msg("advice %d (%s)", probed->advice, probed->err.text);
    return file;
}

static void finish(const char *what, struct scene *scene, struct writer_file *file,
                   enum writer_outcome outcome)
{
    char *path = scene_path(scene, "dir/large");
    struct writer_result result;

    writer_finish(file, NULL, NULL);
    result = scene_result(scene);
    if (result.outcome != outcome)
        fail_msg("%s: outcome %d (%s)", what, result.outcome, result.err.text);
    scene_expect(what, scene->root, outcome == WRITER_PLACED ? "dir/large" : "");
    if (outcome == WRITER_PLACED)
        scene_expect_body(what, path, 1, WHOLE);
    unlink(path);
    free(path);
}

static void broken_transfers_go_on(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct writer_settings settings = {.inflight = cases[i].inflight,
                                           .durability = cases[i].durability};
        char digest[100];
        struct writer_plan plan = plan_of(scene, i, digest);
        struct writer_probed probed;
        struct writer_file *file;

        scene_writer(scene, settings);
        begin_and_break(scene, &plan, cases[i].broke_at, LAST_MODIFIED_S);
        file = probe_again(scene, &settings, &plan, &probed);
        if (probed.from_byte >= (int64_t)cases[i].broke_at
            || probed.from_byte < (int64_t)cases[i].broke_at - 4096
            || probed.last_modified_s != LAST_MODIFIED_S)
            fail_msg("%s: from byte %" PRId64 " of %zu, last modified %" PRId64, cases[i].what,
                     probed.from_byte, cases[i].broke_at, probed.last_modified_s);
        writer_suspend(file); /* the server did not even answer: it stays as it is */
        file = probe_again(scene, &settings, &plan, &probed);
        writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
        scene_give(scene, file, 1, (size_t)probed.from_byte, WHOLE);
        finish(cases[i].what, scene, file, WRITER_PLACED);
    }
}

/* It breaks again and again, each time with other pieces. */
static void many_attempts_make_one_file(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);
    struct writer_probed probed;
    struct writer_file *file;

    begin_and_break(scene, &plan, MIB + 1, LAST_MODIFIED_S);
    for (size_t end = MIB + 70000; end < WHOLE; end += 700001) {
        file = probe_again(scene, &settings, &plan, &probed);
        assert_true(probed.from_byte >= MIB);
        writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
        scene_give(scene, file, 1, (size_t)probed.from_byte, end);
        writer_suspend(file);
    }
    file = probe_again(scene, &settings, &plan, &probed);
    writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
    scene_give(scene, file, 1, (size_t)probed.from_byte, WHOLE);
    finish("many attempts", scene, file, WRITER_PLACED);
}

/* The server says that the file is another one now, or nobody asked where to go on. */
static void what_does_not_fit_is_begun_again(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);
    struct writer_probed probed;
    struct writer_file *file;

    for (int told = 0; told < 2; told++) {
        char *body = scene_body(9, 2 * MIB);

        file = writer_begin(scene->writer, &plan, scene);
        writer_continue(file, 0, LAST_MODIFIED_S);
        scene_give(scene, file, 9, 0, 2 * MIB);
        writer_suspend(file);
        file = probe_again(scene, &settings, &plan, &probed);
        assert_true(probed.from_byte > 0);
        if (told)
            writer_continue(file, 0, LAST_MODIFIED_S + 1);
        scene_give(scene, file, 1, 0, WHOLE);
        finish("begun again", scene, file, WRITER_PLACED);
        free(body);
    }
}

/* Bytes of two versions never make a file, whatever the server says. */
static void mixed_files_are_not_placed(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);
    struct writer_probed probed;
    struct writer_file *file = writer_begin(scene->writer, &plan, scene);

    writer_continue(file, 0, LAST_MODIFIED_S);
    scene_give(scene, file, 9, 0, 2 * MIB);
    writer_suspend(file);
    file = probe_again(scene, &settings, &plan, &probed);
    writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
    scene_give(scene, file, 1, (size_t)probed.from_byte, WHOLE);
    finish("mixed", scene, file, WRITER_MISMATCH);
}

static void an_attempt_follows_at_once(void **state)
{
    struct scene *scene = *state;
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);

    for (int i = 0; i < 5; i++) {
        struct writer_file *file;
        struct writer_probed probed;

        begin_and_break(scene, &plan, 3 * MIB, LAST_MODIFIED_S);
        file = writer_begin(scene->writer, &plan, scene);
        probed = scene_probe(scene, file);
        if (probed.advice != WRITER_FETCH || probed.from_byte < 2 * MIB)
            fail_msg("advice %d, from %" PRId64 " (%s)", probed.advice, probed.from_byte,
                     probed.err.text);
        writer_cancel(file);
    }
}

static const struct {
    size_t bytes;
    int64_t last_modified_s;
    bool cancel;
} not_kept[] = {
    {MIB - 1, LAST_MODIFIED_S, false},   {3 * MIB, -1, false},
    {3 * MIB, LAST_MODIFIED_S, true},    {0, LAST_MODIFIED_S, false},
    {CHUNK + 1, LAST_MODIFIED_S, false},
};

static void what_is_not_worth_it_is_removed(void **state)
{
    struct scene *scene = *state;
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);

    for (size_t i = 0; i < COUNT_OF(not_kept); i++) {
        struct writer_file *file = writer_begin(scene->writer, &plan, scene);

        writer_continue(file, 0, not_kept[i].last_modified_s);
        scene_give(scene, file, 1, 0, not_kept[i].bytes);
        if (not_kept[i].cancel)
            writer_cancel(file);
        else
            writer_suspend(file);
        scene_writer(scene, (struct writer_settings){0});
        scene_expect("not worth it", scene->root, "");
    }
}

static void closing_keeps_what_is_worth_it(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);
    struct writer_file *file = writer_begin(scene->writer, &plan, scene);
    struct writer_probed probed;

    writer_continue(file, 0, LAST_MODIFIED_S);
    scene_give(scene, file, 1, 0, 3 * MIB);
    file = probe_again(scene, &settings, &plan, &probed);
    assert_true(probed.from_byte > 2 * MIB);
    writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
    scene_give(scene, file, 1, (size_t)probed.from_byte, WHOLE);
    finish("after closing", scene, file, WRITER_PLACED);
}

/* ---- files that look like it ---- */

enum forgery {
    UNTOUCHED,
    WRITING,
    NEW_TIME,
    WHOLE_SECONDS,
    GREW,
    SHRANK,
    LINKED,
    TOO_LARGE,
    FORGERIES
};

static void forge(enum forgery forgery, const char *path, const char *other)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    if (forgery == WRITING)
        times[0].tv_nsec = UTIME_OMIT;
    if (forgery == WHOLE_SECONDS)
        times[0] = times[1] = (struct timespec){.tv_sec = LAST_MODIFIED_S};
    if (forgery == GREW || forgery == SHRANK) {
        assert_int_equal(truncate(path, status.st_size + (forgery == GREW ? MIB : -4096)), 0);
        times[0] = times[1] = status.st_mtim;
    }
    if (forgery == WRITING)
        assert_int_equal(truncate(path, status.st_size + 65536), 0);
    if (forgery == WRITING || forgery == NEW_TIME || forgery == WHOLE_SECONDS || forgery == GREW
        || forgery == SHRANK)
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    if (forgery == LINKED)
        assert_int_equal(link(path, other), 0);
}

static void only_our_own_parts_are_used(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char *other = memory_format("%s/other", scene->base);

    for (int forgery = 0; forgery < FORGERIES; forgery++) {
        char digest[100];
        struct writer_plan plan = plan_of(scene, 0, digest);
        char *inflight = writer_print_inflight(NULL, &plan);
        struct writer_probed probed;
        struct writer_file *file;

        begin_and_break(scene, &plan, 3 * MIB, LAST_MODIFIED_S);
        scene_writer(scene, settings);
        forge((enum forgery)forgery, inflight, other);
        if (forgery == TOO_LARGE)
            plan.size_bytes = 2 * MIB;
        file = probe_again(scene, &settings, &plan, &probed);
        if ((probed.from_byte > 0) != (forgery == UNTOUCHED || forgery == WRITING)
            || probed.from_byte > 3 * MIB)
            fail_msg("forgery %d: from byte %" PRId64, forgery, probed.from_byte);
        plan.size_bytes = WHOLE;
        writer_cancel(file);
        writer_discard(scene->writer, &plan);
        scene_writer(scene, settings);
        scene_expect("discarded", scene->root, "");
        unlink(other);
        free(inflight);
    }
    free(other);
}

static void a_part_that_is_being_written_is_left_alone(void **state)
{
    struct scene *scene = *state;
    struct writer_settings settings = {0};
    char digest[100];
    struct writer_plan plan = plan_of(scene, 0, digest);
    char *inflight = writer_print_inflight(NULL, &plan);
    struct writer_probed probed;
    struct writer_file *file;
    int fd;

    begin_and_break(scene, &plan, 3 * MIB, LAST_MODIFIED_S);
    scene_writer(scene, settings);
    fd = open(inflight, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    probed = scene_probe(scene, writer_begin(scene->writer, &plan, scene));
    if (probed.advice != WRITER_REFUSED || probed.err.kind != ERROR_TEMPORARY)
        fail_msg("advice %d (%s)", probed.advice, probed.err.text);
    close(fd);
    file = probe_again(scene, &settings, &plan, &probed);
    assert_true(probed.from_byte > 0);
    writer_cancel(file);
    free(inflight);
}

/* ---- killed ---- */

static void write_until_killed(const char *root, size_t bytes)
{
    struct scene scene = {0};
    char digest[100];
    struct writer_plan plan;
    struct writer_file *file;

    snprintf(scene.root, sizeof(scene.root), "%s", root);
    scene.loop = loop_open();
    scene.timer = loop_timer_open(scene.loop, scene_nothing, NULL);
    scene_writer(&scene, (struct writer_settings){0});
    plan = plan_of(&scene, 0, digest);
    file = writer_begin(scene.writer, &plan, NULL);
    writer_continue(file, 0, LAST_MODIFIED_S);
    scene_give(&scene, file, 1, 0, bytes);
    raise(SIGKILL);
}

static void a_killed_process_leaves_its_part(void **state)
{
    struct scene *scene = *state;

    for (size_t bytes = MIB / 2; bytes < WHOLE; bytes += MIB + 12345) {
        struct writer_settings settings = {0};
        char digest[100];
        struct writer_plan plan = plan_of(scene, 0, digest);
        struct writer_probed probed;
        struct writer_file *file;
        int status;
        pid_t child = fork();

        if (child == 0)
            write_until_killed(scene->root, bytes);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        file = probe_again(scene, &settings, &plan, &probed);
        if (probed.from_byte > (int64_t)bytes
            || (probed.from_byte && probed.last_modified_s != LAST_MODIFIED_S))
            fail_msg("%zu bytes: from byte %" PRId64, bytes, probed.from_byte);
        if (probed.from_byte)
            writer_continue(file, probed.from_byte, LAST_MODIFIED_S);
        scene_give(scene, file, 1, (size_t)probed.from_byte, WHOLE);
        finish("killed", scene, file, WRITER_PLACED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_killed_process_leaves_its_part), /* first: it forks */
        SCENE(broken_transfers_go_on),           SCENE(many_attempts_make_one_file),
        SCENE(what_does_not_fit_is_begun_again), SCENE(mixed_files_are_not_placed),
        SCENE(an_attempt_follows_at_once),
        SCENE(what_is_not_worth_it_is_removed),  SCENE(closing_keeps_what_is_worth_it),
        SCENE(only_our_own_parts_are_used),      SCENE(a_part_that_is_being_written_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
