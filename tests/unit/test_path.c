/* Paths: texts made clean, and directories that cannot be reached from below the root. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X250 X50 X50 X50 X50 X50

static const struct {
    const char *path, *clean; /* NULL: refused */
} cleanings[] = {
    {"a", "a"},
    {"a/b/c", "a/b/c"},
    {"//a///b/", "a/b"},
    {"...", "..."},
    {"a..b/..c/d..", "a..b/..c/d.."},
    {".hidden/a", ".hidden/a"},
    {"a b\xC3\xA9", "a b\xC3\xA9"},
    {X250 "12345", X250 "12345"},
    {"a/" X250 "12345", "a/" X250 "12345"},
    {X250 "123456", NULL},
    {"", NULL},
    {"/", NULL},
    {"///", NULL},
    {".", NULL},
    {"..", NULL},
    {"a/./b", NULL},
    {"a/../b", NULL},
    {"/..", NULL},
    {"a/..", NULL},
};

static void paths_are_cleaned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cleanings); i++) {
        struct arena arena = {0};
        struct error err = {0};
        const char *clean = path_clean(&arena, cleanings[i].path, &err);
        bool same = clean && cleanings[i].clean ? strcmp(clean, cleanings[i].clean) == 0
                                                : clean == cleanings[i].clean;

        if (!same || (!clean && err.kind != ERROR_PERMANENT))
            fail_msg("'%s': got '%s' (%s)", cleanings[i].path, clean, err.text);
        arena_clear(&arena);
    }
}

static void long_paths_are_refused(void **state)
{
    char path[4100];
    struct arena arena = {0};
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(path); i++)
        path[i] = i % 2 ? '/' : 'a';
    path[4001] = '\0';
    path[4000] = '\0';
    path[3999] = 'a';
    assert_non_null(path_clean(&arena, path, &err));
    path[4000] = 'a';
    assert_null(path_clean(&arena, path, &err));
    assert_int_equal(err.kind, ERROR_PERMANENT);
    arena_clear(&arena);
}

/* A directory of its own for each test:
 *   top/root/     dir/sub, file, in -> dir, up -> .., abs -> /tmp, dangling -> ../outside/new
 *   top/outside/  must stay empty
 */
struct place {
    char top[64];
    int root;
};

static void in_top(const struct place *place, const char *name, char path[200])
{
    snprintf(path, 200, "%s/%s", place->top, name);
}

static void make_directory(const struct place *place, const char *name)
{
    char path[200];

    in_top(place, name, path);
    assert_int_equal(mkdir(path, 0777), 0);
}

static int set_up(void **state)
{
    struct place *place = memory_new(sizeof(*place));
    char path[200];

    strcpy(place->top, "/tmp/test_path.XXXXXX");
    if (!mkdtemp(place->top))
        return -1;
    make_directory(place, "root");
    make_directory(place, "outside");
    make_directory(place, "root/dir");
    make_directory(place, "root/dir/sub");
    in_top(place, "root", path);
    place->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(openat(place->root, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    *state = place;
    return symlinkat("dir", place->root, "in") | symlinkat("..", place->root, "up")
           | symlinkat("/tmp", place->root, "abs")
           | symlinkat("../outside/new", place->root, "dangling")
           | symlinkat("../outside", place->root, "out");
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[100];

    path_use_openat2(true);
    close(place->root);
    snprintf(command, sizeof(command), "rm -rf %s", place->top);
    if (system(command) != 0)
        return -1;
    free(place);
    return 0;
}

/* What open and make say about a path: 0 or errno, with openat2 and without. */
static const struct {
    const char *path;
    int opened, opened_plain, made, made_plain; /* -1: any error */
} walks[] = {
    {"", 0, 0, 0, 0},
    {"dir", 0, 0, 0, 0},
    {"dir/sub", 0, 0, 0, 0},
    {"new", ENOENT, ENOENT, 0, 0},
    {"dir/new/a/b/c", ENOENT, ENOENT, 0, 0},
    {"file", ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR},
    {"file/a", ENOTDIR, ENOTDIR, ENOTDIR, ENOTDIR},
    {"dir/sub/../../file", ENOTDIR, -1, ENOTDIR, -1},
    {"in", 0, -1, 0, -1},
    {"in/sub", 0, -1, 0, -1},
    {"in/fresh/a", ENOENT, -1, 0, -1},
    {"up", EXDEV, -1, EXDEV, -1},
    {"up/outside", EXDEV, -1, EXDEV, -1},
    {"up/outside/a", EXDEV, -1, EXDEV, -1},
    {"out", EXDEV, -1, EXDEV, -1},
    {"out/a", EXDEV, -1, EXDEV, -1},
    {"abs", EXDEV, -1, EXDEV, -1},
    {"abs/a", EXDEV, -1, EXDEV, -1},
    {"dangling", -1, -1, -1, -1},
    {"dangling/a", -1, -1, -1, -1},
    {"..", EXDEV, EXDEV, EXDEV, EXDEV},
    {"../outside/a", EXDEV, EXDEV, EXDEV, EXDEV},
    {"dir/../../outside/a", EXDEV, EXDEV, EXDEV, EXDEV},
    {"/tmp", EXDEV, EXDEV, EXDEV, EXDEV},
};

static bool is_expected(int got, int expected)
{
    return expected == -1 ? got != 0 : got == expected;
}

static int result_of(int fd)
{
    int problem = fd < 0 ? errno : 0;
    int flags = fd < 0 ? FD_CLOEXEC : fcntl(fd, F_GETFD);

    assert_true(flags & FD_CLOEXEC);
    if (fd >= 0) {
        assert_int_equal(fsync(fd), 0);
        close(fd);
    }
    return problem;
}

static void check_outside(const struct place *place)
{
    char path[200];

    in_top(place, "outside", path);
    if (rmdir(path) != 0 || mkdir(path, 0777) != 0)
        fail_msg("something was made in '%s': %s", path, strerror(errno));
}

static void check_walks(const struct place *place, bool kernel)
{
    path_use_openat2(kernel);
    for (size_t i = 0; i < COUNT_OF(walks); i++) {
        int opened = result_of(path_open_below(place->root, walks[i].path));
        int made = result_of(path_make_below(place->root, walks[i].path));

        if (!is_expected(opened, kernel ? walks[i].opened : walks[i].opened_plain)
            || !is_expected(made, kernel ? walks[i].made : walks[i].made_plain))
            fail_msg("'%s', openat2 %d: open %s, make %s", walks[i].path, kernel, strerror(opened),
                     strerror(made));
        check_outside(place);
    }
}

static bool kernel_has_openat2(const struct place *place)
{
    int fd;

    path_use_openat2(true);
    fd = path_open_below(place->root, "in"); /* a link: only openat2 follows it */
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void walks_stay_below_with_openat2(void **state)
{
    if (!kernel_has_openat2(*state))
        skip();
    check_walks(*state, true);
}

static void walks_stay_below_without_openat2(void **state)
{
    check_walks(*state, false);
}

static void modes_follow_the_umask(void **state)
{
    const struct place *place = *state;
    mode_t mask = umask(027);
    struct stat status;

    assert_int_equal(result_of(path_make_below(place->root, "m/n")), 0);
    umask(mask);
    assert_int_equal(fstatat(place->root, "m/n", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
}

static void deep_paths_are_made(void **state)
{
    const struct place *place = *state;
    char path[4001];

    for (size_t i = 0; i < 4000; i++)
        path[i] = i % 2 ? '/' : 'a';
    path[3999] = '\0';
    assert_int_equal(result_of(path_make_below(place->root, path)), 0);
    path_use_openat2(false);
    assert_int_equal(result_of(path_open_below(place->root, path)), 0);
}

static void directories_are_made_with_parents(void **state)
{
    const struct place *place = *state;
    char path[200];
    struct error err = {0};

    in_top(place, "a//b/c/", path);
    assert_true(path_make_directory(path, 0700, &err));
    assert_true(path_make_directory(path, 0700, &err));
    assert_true(path_make_directory("/", 0700, &err));
    in_top(place, "root/in/x", path); /* the operator's own links are followed */
    assert_true(path_make_directory(path, 0700, &err));
    in_top(place, "root/file/x", path);
    assert_false(path_make_directory(path, 0700, &err));
    assert_int_equal(err.kind, ERROR_OPERATOR);
    assert_non_null(strstr(err.text, path));
}

static void links_are_not_followed(void **state)
{
    static const struct {
        const char *path;
        int problem;
    } rows[] = {
        {"", 0},           {"dir/sub", 0},      {"in", ELOOP},    {"in/sub", ELOOP},
        {"up", ELOOP},     {"out", ELOOP},      {"abs/a", ELOOP}, {"dangling", ELOOP},
        {"file", ENOTDIR}, {"file/a", ENOTDIR}, {"new", ENOENT},  {"..", EXDEV},
        {"dir/..", EXDEV}, {"/tmp", EXDEV},
    };
    struct place *place = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int problem = result_of(path_open_plain(place->root, rows[i].path));

        if (problem != rows[i].problem)
            fail_msg("'%s': %s", rows[i].path, strerror(problem));
    }
}

static void levels_are_counted(void **state)
{
    static const struct {
        const char *path;
        int depth;
    } rows[] = {{".", 0},          {"dir", 1}, {"dir/sub", 2}, {"in", 1},   {"in/sub", 2},
                {"dir/sub/..", 1}, {"up", -1}, {"out", -1},    {"abs", -1}, {"/", -1}};
    struct place *place = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = openat(place->root, rows[i].path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int depth = path_depth(place->root, fd);

        if (depth != rows[i].depth || (depth < 0 && errno != EXDEV))
            fail_msg("'%s': %d", rows[i].path, depth);
        close(fd);
    }
    assert_int_equal(path_depth(place->root, -1), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_cleaned),
        cmocka_unit_test(long_paths_are_refused),
        cmocka_unit_test_setup_teardown(walks_stay_below_with_openat2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(walks_stay_below_without_openat2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(modes_follow_the_umask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deep_paths_are_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_are_made_with_parents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_are_counted, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
