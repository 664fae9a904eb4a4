/* Disks that take no more, directories that go away; and files under way on another disk. */
#include "writer_scene.h"

#include <sys/mount.h>

static void mount_at(const char *path, const char *options)
{
    if (mount("tmpfs", path, "tmpfs", 0, options) != 0)
        fail_msg("mount a tmpfs at '%s': %s (these tests need root)", path, strerror(errno));
}

static void expect_outcome(const char *what, const struct writer_result *result,
                           enum writer_outcome outcome, const char *text)
{
    if (result->outcome != outcome || !strstr(result->err.text, text))
        fail_msg("%s: outcome %d (%s), expected %d (%s)", what, result->outcome, result->err.text,
                 outcome, text);
}

static void expect_trouble(const char *what, const struct scene *scene, const char *text)
{
    const char *trouble = writer_trouble(scene->writer);
    int64_t pause_ms = writer_pause_ms(scene->writer, scene->root);

    if (text ? !trouble || !strstr(trouble, text) || pause_ms <= 0 : trouble || pause_ms)
        fail_msg("%s: trouble '%s', pause %" PRId64 ", expected '%s'", what, trouble ? trouble : "",
                 pause_ms, text ? text : "");
}

/* The clock jumps to the end of the pause. */
static void let_pause_pass(const struct scene *scene)
{
    int64_t pause_ms = writer_pause_ms(scene->writer, scene->root);

    clock_hold(-1, clock_now_ms() + pause_ms);
}

static void a_full_disk_is_paused_until_there_is_room(void **state)
{
    struct scene *scene = *state;
    struct writer_plan filler = scene_plan(scene, "filler"), plan = scene_plan(scene, "dir/file");
    char *path = scene_path(scene, "filler");
    struct writer_result result;
    struct writer_file *trial;
    int64_t last_ms = 0;

    mount_at(scene->root, "size=1m");
    clock_hold(-1, clock_now_ms());
    result = scene_place(scene, &filler, 1, MIB * 7 / 8);
    expect_outcome("filler", &result, WRITER_PLACED, "");
    result = scene_place(scene, &plan, 1, 300000);
    expect_outcome("full", &result, WRITER_NO_ROOM, "No space left on device");
    assert_non_null(strstr(result.err.text, "dir/file"));
    scene_expect("full", scene->root, "filler");
    for (int i = 0; i < 8; i++) { /* a trial each time, and longer pauses */
        int64_t pause_ms = writer_pause_ms(scene->writer, scene->root);

        expect_trouble("full", scene, "dir/file': No space left on device");
        if (pause_ms < last_ms || pause_ms > 30000)
            fail_msg("pause %d: %" PRId64 " ms after %" PRId64 " ms", i, pause_ms, last_ms);
        last_ms = pause_ms;
        let_pause_pass(scene);
        assert_int_equal(writer_pause_ms(scene->writer, scene->root), 0);
        result = scene_place(scene, &plan, 1, 300000);
        expect_outcome("still full", &result, WRITER_NO_ROOM, "No space left on device");
    }
    assert_int_equal(last_ms, 30000);
    assert_int_equal(unlink(path), 0);
    let_pause_pass(scene);
    trial = writer_begin(scene->writer, &plan, scene);
    assert_true(writer_pause_ms(scene->writer, scene->root) > 0); /* one at a time */
    writer_cancel(trial);
    assert_int_equal(writer_pause_ms(scene->writer, scene->root), 0);
    result = scene_place(scene, &plan, 1, 300000);
    expect_outcome("room again", &result, WRITER_PLACED, "");
    expect_trouble("room again", scene, NULL);
    scene_writer(scene, (struct writer_settings){0});
    umount2(scene->root, MNT_DETACH);
    free(path);
}

static void a_large_file_fails_when_the_disk_does(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = scene_plan(scene, "large");
    struct writer_file *file;
    struct writer_result result;

    mount_at(scene->root, "size=2m");
    file = writer_begin(scene->writer, &plan, scene);
    writer_continue(file, 0, 1700000000);
    scene_give(scene, file, 1, 0, 5 * MIB);
    assert_true(writer_has_failed(file));
    scene_expect("removed at once", scene->root, "");
    expect_trouble("failed", scene, "No space left on device");
    writer_finish(file, NULL, NULL);
    result = scene_result(scene);
    expect_outcome("large", &result, WRITER_NO_ROOM, "No space left on device");
    plan.path = "other"; /* the same when it is given up, of which there is no result */
    clock_hold(-1, clock_now_ms() + 60000);
    file = writer_begin(scene->writer, &plan, scene);
    writer_continue(file, 0, 1700000000);
    scene_give(scene, file, 1, 0, 5 * MIB);
    writer_suspend(file);
    scene_writer(scene, (struct writer_settings){0});
    scene_expect("suspended", scene->root, "");
    umount2(scene->root, MNT_DETACH);
}

/* The others may well fit. */
static void a_file_that_cannot_fit_is_not_begun(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = scene_plan(scene, "large");
    struct writer_probed probed;

    mount_at(scene->root, "size=4m");
    plan.size_bytes = 8 * MIB;
    plan.has_size = true;
    probed = scene_probe(scene, writer_begin(scene->writer, &plan, scene));
    if (probed.advice != WRITER_REFUSED || probed.outcome != WRITER_FAILED
        || probed.err.kind != ERROR_OPERATOR || !strstr(probed.err.text, "8388608"))
        fail_msg("advice %d, outcome %d (%s)", probed.advice, probed.outcome, probed.err.text);
    expect_trouble("cannot fit", scene, NULL);
    plan.size_bytes = 2 * MIB;
    probed = scene_probe(scene, writer_begin(scene->writer, &plan, scene));
    assert_int_equal(probed.advice, WRITER_FETCH);
    scene_writer(scene, (struct writer_settings){0});
    umount2(scene->root, MNT_DETACH);
}

static const struct {
    const char *what, *options;
    unsigned long flags;
    const char *text;
} mounts[] = {
    {"read-only", "size=1m", MS_RDONLY, "Read-only file system"},
    {"no inodes", "size=1m,nr_inodes=1", 0, "No space left on device"},
};

static void disks_that_take_no_names(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = scene_plan(scene, "dir/file");

    for (size_t i = 0; i < COUNT_OF(mounts); i++) {
        struct writer_result result;

        scene_writer(scene, (struct writer_settings){0});
        mount_at(scene->root, mounts[i].options);
        if (mounts[i].flags
            && mount(NULL, scene->root, NULL, MS_REMOUNT | mounts[i].flags, NULL) != 0)
            fail_msg("%s: %s", mounts[i].what, strerror(errno));
        result = scene_place(scene, &plan, 1, 10);
        expect_outcome(mounts[i].what, &result, WRITER_NO_ROOM, mounts[i].text);
        expect_trouble(mounts[i].what, scene, mounts[i].text);
        umount2(scene->root, MNT_DETACH);
        let_pause_pass(scene);
        result = scene_place(scene, &plan, 1, 10); /* what was below the mount */
        expect_outcome(mounts[i].what, &result, WRITER_PLACED, "");
        expect_trouble(mounts[i].what, scene, NULL);
        clock_hold(-1, -1);
    }
}

/* Once something was placed, one directory that takes nothing is that file's own affair. */
static void a_denial_alone_pauses_nothing(void **state)
{
    struct scene *scene = *state;
    struct writer_plan good = scene_plan(scene, "good/file"), bad = scene_plan(scene, "bad/file");
    bool root = geteuid() == 0;
    struct writer_result result;

    assert_int_equal(root ? chown(scene->root, 65534, 65534) : 0, 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    result = scene_place(scene, &good, 1, 10);
    expect_outcome("good", &result, WRITER_PLACED, "");
    assert_int_equal(chmod(scene->root, 0555), 0);
    result = scene_place(scene, &bad, 1, 10);
    expect_outcome("bad", &result, WRITER_FAILED, "Permission denied");
    assert_int_equal(result.err.kind, ERROR_OPERATOR);
    expect_trouble("bad", scene, NULL);
    result = scene_place(scene, &good, 2, 10);
    expect_outcome("good again", &result, WRITER_PLACED, "");
    for (int i = 0; i < 2; i++)
        result = scene_place(scene, &bad, 1, 10);
    expect_outcome("bad only", &result, WRITER_NO_ROOM, "Permission denied");
    expect_trouble("bad only", scene, "bad/file");
    assert_int_equal(chmod(scene->root, 0755), 0);
    assert_int_equal(root ? seteuid(0) : 0, 0);
}

/* ---- directories that go away ---- */

static void move_away(const struct scene *scene)
{
    char *away = memory_format("%s/away", scene->base);

    assert_int_equal(rename(scene->root, away), 0);
    free(away);
}

static void remove_all(const struct scene *scene)
{
    scene_remove(scene->root);
}

static void remove_below(const struct scene *scene)
{
    char *path = scene_path(scene, "dir");

    scene_remove(path);
    free(path);
}

static void a_directory_removed_under_us_is_made_again(void **state)
{
    static void (*const accidents[])(const struct scene *) = {remove_all, move_away, remove_below};
    struct scene *scene = *state;
    char *path = scene_path(scene, "dir/file");

    for (size_t i = 0; i < COUNT_OF(accidents); i++)
        for (size_t size = 10; size <= 3 * CHUNK; size += 3 * CHUNK - 10) {
            struct writer_plan plan = scene_plan(scene, "dir/file");
            struct writer_result result = scene_place(scene, &plan, 1, size);
            char *away = memory_format("%s/away", scene->base);

            expect_outcome("before", &result, WRITER_PLACED, "");
            accidents[i](scene);
            result = scene_place(scene, &plan, 2, size);
            if (result.outcome != WRITER_PLACED)
                fail_msg("accident %zu, %zu bytes: %s", i, size, result.err.text);
            scene_expect_body("after the accident", path, 2, size);
            expect_trouble("after the accident", scene, NULL);
            scene_remove(away);
            free(away);
        }
    free(path);
}

/* Between its chunks: then it is lost, and fetched again. */
static void a_directory_removed_during_a_file(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = scene_plan(scene, "dir/file");
    struct writer_file *file = writer_begin(scene->writer, &plan, scene);
    struct writer_result result;

    scene_give(scene, file, 1, 0, 3 * CHUNK);
    remove_below(scene);
    scene_give(scene, file, 1, 3 * CHUNK, 5 * CHUNK);
    writer_finish(file, NULL, NULL);
    result = scene_result(scene);
    expect_outcome("removed", &result, WRITER_FAILED, "inflight file was removed");
    assert_int_equal(result.err.kind, ERROR_TEMPORARY);
    expect_trouble("removed", scene, NULL);
    result = scene_place(scene, &plan, 1, 5 * CHUNK);
    expect_outcome("again", &result, WRITER_PLACED, "");
}

/* ---- inflight directories ---- */

static void inflight_directories_of_their_own(void **state)
{
    struct scene *scene = *state;
    char *inflight = memory_format("%s/in/flight/", scene->base);
    char *path = scene_path(scene, "dir/file");

    for (int apart = 0; apart < 2; apart++) {
        struct writer_plan plan = scene_plan(scene, "dir/file");
        struct writer_probed probed;
        struct writer_result result;
        struct writer_file *file;
        struct stat status;

        scene_writer(scene, (struct writer_settings){.inflight = inflight, .directory_mode = 0700});
        if (apart)
            mount_at(inflight, "size=8m");
        plan.identity_method = "arbitrary";
        plan.identity_value = apart ? "two" : "one";
        file = writer_begin(scene->writer, &plan, scene);
        writer_continue(file, 0, 1700000000);
        scene_give(scene, file, 1, 0, 2 * MIB);
        writer_suspend(file);
        scene_writer(scene, (struct writer_settings){.inflight = inflight, .directory_mode = 0700});
        if (!apart)
            scene_expect("nothing beside", scene->root, "");
        assert_int_equal(stat(inflight, &status), 0);
        if (!apart && (status.st_mode & 0777) != 0700)
            fail_msg("mode %o", status.st_mode & 0777);
        plan.announced_mtime_ns = clock_wall_ns() + 100 * NS_PER_S;
        file = writer_begin(scene->writer, &plan, scene);
        probed = scene_probe(scene, file);
        if (probed.advice != WRITER_FETCH || probed.from_byte < MIB)
            fail_msg("apart %d: advice %d, from %" PRId64 " (%s)", apart, probed.advice,
                     probed.from_byte, probed.err.text);
        writer_continue(file, probed.from_byte, 1700000000);
        scene_give(scene, file, 1, (size_t)probed.from_byte, 3 * MIB);
        writer_finish(file, NULL, NULL);
        result = scene_result(scene);
        expect_outcome("placed", &result, WRITER_PLACED, "");
        scene_expect("placed", scene->root, "dir/file");
        scene_expect("nothing left", inflight, "");
        scene_expect_body("placed", path, 1, 3 * MIB);
        assert_int_equal(unlink(path), 0);
        if (apart)
            umount2(inflight, MNT_DETACH);
    }
    free(path);
    free(inflight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_full_disk_is_paused_until_there_is_room),
        SCENE(a_large_file_fails_when_the_disk_does),
        SCENE(a_file_that_cannot_fit_is_not_begun),
        SCENE(disks_that_take_no_names),
        SCENE(a_denial_alone_pauses_nothing),
        SCENE(a_directory_removed_under_us_is_made_again),
        SCENE(a_directory_removed_during_a_file),
        SCENE(inflight_directories_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
