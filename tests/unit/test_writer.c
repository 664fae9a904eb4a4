/*
 * Files put in place: in a real directory, through a real loop and its pool. What counts is what
 * is on the disk afterwards: the file, whole, and nothing beside it.
 */
#include "stages/writer.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <fts.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000
#define CHUNK       65536 /* what the writer keeps in memory of one file before it writes */
#define LARGE       300000
#define MTIME_NS    1735790592719472885
#define ATIME_NS    1735790000000000001
#define NOBODY      65534

/* ---- the scene: a directory to place below, one beside it that must stay as it is ---- */

struct scene {
    struct loop *loop;
    struct loop_timer *timer;
    struct writer *writer;
    char base[64], root[80], outside[80], victim[96];
};

static void nothing(void *context)
{
    (void)context;
}

static void open_writer(struct scene *scene, const char *inflight,
                        enum writer_durability durability)
{
    struct writer_settings settings = {.inflight = inflight, .durability = durability};
    struct error err = {0};

    writer_close(scene->writer);
    scene->writer = writer_open(scene->loop, &settings, &err);
    if (!scene->writer)
        fail_msg("inflight '%s': %s", inflight ? inflight : "NULL", err.text);
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(text, file) == EOF || fclose(file) != 0)
        fail_msg("create '%s': %s", path, strerror(errno));
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    signal(SIGXFSZ, SIG_IGN);
    snprintf(scene->base, sizeof(scene->base), "/tmp/test_writer.XXXXXX");
    assert_non_null(mkdtemp(scene->base));
    snprintf(scene->root, sizeof(scene->root), "%s/data", scene->base);
    snprintf(scene->outside, sizeof(scene->outside), "%s/outside", scene->base);
    snprintf(scene->victim, sizeof(scene->victim), "%s/victim", scene->outside);
    assert_int_equal(mkdir(scene->root, 0755), 0);
    assert_int_equal(mkdir(scene->outside, 0755), 0);
    make_file(scene->victim, "untouched");
    scene->loop = loop_open();
    scene->timer = loop_timer_open(scene->loop, nothing, NULL);
    open_writer(scene, NULL, WRITER_DURABILITY_NONE);
    *state = scene;
    return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void remove_tree(const char *directory)
{
    char *roots[] = {memory_copy(directory), NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info != FTS_D)
            remove(entry->fts_accpath);
    fts_close(tree);
    free(roots[0]);
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    writer_close(scene->writer);
    loop_timer_close(scene->timer);
    loop_close(scene->loop);
    remove_tree(scene->base);
    free(scene);
    return 0;
}

/* ---- what is on the disk ---- */

/* All that is below `directory` and no directory, sorted: "a b/c b/d". The caller's. */
static char *print_tree(const char *directory)
{
    char *roots[] = {memory_copy(directory), NULL}, *text = memory_copy("");
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info != FTS_D && entry->fts_info != FTS_DP)
            memory_replace(&text, memory_format("%s%s%s", text, *text ? " " : "",
                                                entry->fts_path + strlen(directory) + 1));
    fts_close(tree);
    free(roots[0]);
    return text;
}

static void expect_tree(const char *what, const char *directory, const char *expected)
{
    char *text = print_tree(directory);

    if (strcmp(text, expected) != 0)
        fail_msg("%s: expected '%s' below %s, found '%s'", what, expected, directory, text);
    free(text);
}

static char *below(const struct scene *scene, const char *path)
{
    return memory_format("%s/%s", scene->root, path);
}

static void make_link(const struct scene *scene, const char *target, const char *path)
{
    char *name = below(scene, path);

    if (symlink(target, name) != 0)
        fail_msg("link '%s': %s", name, strerror(errno));
    free(name);
}

static void make_file_below(const struct scene *scene, const char *path, const char *text)
{
    char *name = below(scene, path);

    make_file(name, text);
    free(name);
}

static char *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    char *bytes = memory_new((size_t)1 << 23);

    if (!file)
        fail_msg("open '%s': %s", path, strerror(errno));
    *size = fread(bytes, 1, (size_t)1 << 23, file);
    fclose(file);
    return bytes;
}

static void expect_outside_untouched(const char *what, const struct scene *scene)
{
    size_t size;
    char *bytes = read_all(scene->victim, &size);

    expect_tree(what, scene->outside, "victim");
    if (size != 9 || memcmp(bytes, "untouched", 9) != 0)
        fail_msg("%s: the file outside was changed to '%.*s'", what, (int)size, bytes);
    free(bytes);
}

/* ---- bodies ---- */

static char *make_body(unsigned seed, size_t size)
{
    char *bytes = memory_new(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(seed * 31 + i * 7 + i / 251);
    return bytes;
}

static void expect_body(const char *what, const struct scene *scene, const char *path,
                        unsigned seed, size_t size)
{
    char *name = below(scene, path), *expected = make_body(seed, size);
    size_t found;
    char *bytes = read_all(name, &found);

    if (found != size || memcmp(bytes, expected, size) != 0)
        fail_msg("%s: '%s' has %zu bytes or other ones, expected %zu", what, path, found, size);
    free(bytes);
    free(expected);
    free(name);
}

static void print_digest(const char *method, unsigned seed, size_t size, char text[100])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char *bytes = make_body(seed, size);

    EVP_Digest(bytes, size, digest, &length, strcmp(method, "md5") == 0 ? EVP_md5() : EVP_sha512(),
               NULL);
    EVP_EncodeBlock((unsigned char *)text, digest, (int)length);
    free(bytes);
}

/* ---- what is done with the writer ---- */

static struct writer_plan plan_for(const struct scene *scene, const char *path)
{
    return (struct writer_plan){.directory = scene->root,
                                .path = path,
                                .mode = -1,
                                .mtime_ns = -1,
                                .atime_ns = -1,
                                .announced_mtime_ns = -1};
}

static void turn(struct scene *scene)
{
    writer_step(scene->writer);
    loop_timer_set(scene->timer, 20);
    loop_wait(scene->loop);
}

/* Appends everything, waits wherever the writer asks for it; returns how often it did. */
static int give(struct scene *scene, struct writer_file *file, void *ticket, unsigned seed,
                size_t size, size_t piece)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
    char *body = make_body(seed, size);
    int refusals = 0;

    for (size_t done = 0, length; done < size; done += length) {
        void *drained = NULL;

        length = size - done < piece ? size - done : piece;
        if (writer_append(file, body + done, length))
            continue;
        length = 0;
        refusals++;
        while (!writer_take_drained(scene->writer, &drained) && clock_now_ms() < deadline_ms)
            turn(scene);
        if (drained != ticket)
            fail_msg("%zu of %zu bytes: ticket %p came back as drained, expected %p", done, size,
                     drained, ticket);
    }
    free(body);
    return refusals;
}

static void wait_result(struct scene *scene, struct writer_result *result)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

    while (!writer_take_result(scene->writer, result)) {
        if (clock_now_ms() > deadline_ms)
            fail_msg("no result within %d ms", DEADLINE_MS);
        turn(scene);
    }
}

static void place_with(struct scene *scene, const struct writer_plan *plan, unsigned seed,
                       size_t size, const char *accept, struct writer_result *result)
{
    struct writer_file *file = writer_begin(scene->writer, plan, scene);

    give(scene, file, scene, seed, size, 16384);
    writer_finish(file, accept, NULL);
    wait_result(scene, result);
}

static const char *const outcome_names[] = {"placed", "mismatch", "kept", "late", "no room", "failed"};

static void expect_placed(const char *what, struct scene *scene, const struct writer_plan *plan,
                          unsigned seed, size_t size)
{
    struct writer_result result;

    place_with(scene, plan, seed, size, NULL, &result);
    if (result.outcome != WRITER_PLACED || result.size_bytes != (int64_t)size
        || result.ticket != scene)
        fail_msg("%s: %s, %" PRId64 " bytes (%s)", what, outcome_names[result.outcome],
                 result.size_bytes, result.err.text);
    expect_body(what, scene, plan->path, seed, size);
}

static void expect_outcome(const char *what, struct scene *scene, const struct writer_plan *plan,
                           size_t size, enum writer_outcome outcome, enum error_kind kind)
{
    struct writer_result result;

    place_with(scene, plan, 1, size, NULL, &result);
    if (result.outcome != outcome || result.err.kind != kind || !*result.err.text)
        fail_msg("%s, %zu bytes: %s, error kind %d (%s), expected kind %d", what, size,
                 outcome_names[result.outcome], result.err.kind, result.err.text, kind);
}

static void expect_failed(const char *what, struct scene *scene, const struct writer_plan *plan,
                          size_t size, enum error_kind kind)
{
    expect_outcome(what, scene, plan, size, WRITER_FAILED, kind);
}

/* Begins a large file and comes back when its first bytes are on the disk. */
static struct writer_file *begin_on_disk(struct scene *scene, const struct writer_plan *plan)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
    struct writer_file *file = writer_begin(scene->writer, plan, scene);
    char *body = make_body(1, CHUNK);
    void *drained = NULL;

    for (int i = 0; i < 2; i++)
        if (!writer_append(file, body, CHUNK))
            fail_msg("'%s': %d chunks were not taken", plan->path, i + 1);
    if (writer_append(file, body, 1))
        fail_msg("'%s': a third chunk was taken while the first is written", plan->path);
    while (!writer_take_drained(scene->writer, &drained)) {
        if (clock_now_ms() > deadline_ms)
            fail_msg("'%s': not written within %d ms", plan->path, DEADLINE_MS);
        turn(scene);
    }
    assert_ptr_equal(drained, scene);
    free(body);
    return file;
}

/* The inflight name of `plan`, below the root, as it was found there. The caller's. */
static char *find_inflight(struct scene *scene, const struct writer_plan *plan)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
    struct writer_file *file = begin_on_disk(scene, plan);
    char *inflight = print_tree(scene->root), *name = below(scene, inflight);

    writer_cancel(file);
    while (access(name, F_OK) == 0) {
        if (clock_now_ms() > deadline_ms)
            fail_msg("'%s' is still there after writer_cancel()", inflight);
        turn(scene);
    }
    free(name);
    return inflight;
}

/* ---- groups, durabilities, sizes ---- */

static const struct {
    enum writer_durability durability;
    const char *inflight;
    size_t files, bytes;
} groups[] = {
    {WRITER_DURABILITY_NONE, NULL, 1, 100},       {WRITER_DURABILITY_NONE, ".tmp", 3, 0},
    {WRITER_DURABILITY_NONE, ".", 10, 1000},      {WRITER_DURABILITY_NONE, "tmp/", 300, 10},
    {WRITER_DURABILITY_GROUP, ".tmp", 1, 100},    {WRITER_DURABILITY_GROUP, ".", 3, LARGE},
    {WRITER_DURABILITY_GROUP, "tmp/", 10, LARGE}, {WRITER_DURABILITY_GROUP, NULL, 300, 2000},
    {WRITER_DURABILITY_EACH, NULL, 1, LARGE},     {WRITER_DURABILITY_EACH, "tmp/", 3, 1},
    {WRITER_DURABILITY_EACH, ".tmp", 10, LARGE},  {WRITER_DURABILITY_EACH, ".", 140, 500},
};

/* Some of the names: in the root, in directories that are to be made. */
static char *group_path(size_t group, size_t i)
{
    return i % 3 == 0 ? memory_format("group%zu-%03zu", group, i)
                      : memory_format("group%zu/%zu/a/%03zu.grib2", group, i % 3, i);
}

/* What can be seen under a final name is whole, at any moment. */
static void expect_whole(const struct scene *scene, size_t group)
{
    for (size_t i = 0; i < groups[group].files; i++) {
        char *path = group_path(group, i), *name = below(scene, path);
        struct stat status;

        if (stat(name, &status) == 0 && status.st_size != (off_t)groups[group].bytes)
            fail_msg("group %zu: '%s' is seen with %lld bytes", group, path,
                     (long long)status.st_size);
        free(name);
        free(path);
    }
}

static void begin_group(struct scene *scene, size_t group, char *tickets)
{
    for (size_t i = 0; i < groups[group].files; i++) {
        char *path = group_path(group, i);
        struct writer_plan plan = plan_for(scene, path);
        struct writer_file *file;
        char digest[100];

        print_digest("md5", (unsigned)i, groups[group].bytes, digest);
        plan.size_bytes = (int64_t)groups[group].bytes;
        plan.identity_method = "md5";
        plan.identity_value = digest;
        file = writer_begin(scene->writer, &plan, tickets + i);
        give(scene, file, tickets + i, (unsigned)i, groups[group].bytes, 30000);
        writer_finish(file, NULL, NULL);
        free(path);
    }
}

static void take_group(struct scene *scene, size_t group, char *tickets)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
    size_t results = 0;

    while (results < groups[group].files && clock_now_ms() < deadline_ms) {
        struct writer_result result;

        turn(scene);
        expect_whole(scene, group);
        while (writer_take_result(scene->writer, &result)) {
            size_t i = (size_t)((char *)result.ticket - tickets);
            char *path = group_path(group, i);

            if (result.outcome != WRITER_PLACED || tickets[i]++)
                fail_msg("group %zu, '%s': %s, result number %d (%s)", group, path,
                         outcome_names[result.outcome], tickets[i], result.err.text);
            expect_body("group", scene, path, (unsigned)i, groups[group].bytes);
            free(path);
            results++;
        }
    }
    if (results != groups[group].files)
        fail_msg("group %zu: %zu results for %zu files", group, results, groups[group].files);
}

static size_t count_files(const struct scene *scene)
{
    char *text = print_tree(scene->root);
    size_t files = *text ? 1 : 0;

    for (const char *at = text; *at; at++)
        files += *at == ' ';
    free(text);
    return files;
}

static void groups_are_placed(void **state)
{
    struct scene *scene = *state;
    size_t files = 0;

    for (size_t group = 0; group < COUNT_OF(groups); group++) {
        char tickets[300] = {0};
        struct writer_result result;

        open_writer(scene, groups[group].inflight, groups[group].durability);
        begin_group(scene, group, tickets);
        take_group(scene, group, tickets);
        files += groups[group].files;
        if (count_files(scene) != files || writer_take_result(scene->writer, &result))
            fail_msg("group %zu: %zu files on disk, expected %zu, or one result too many", group,
                     count_files(scene), files);
    }
}

static const struct {
    size_t bytes, piece;
    int refusals_min; /* the loop is not turned meanwhile: the third chunk has to wait */
} bodies[] = {
    {0, 1, 0},
    {1, 1, 0},
    {3000, 7, 0},
    {CHUNK - 1, CHUNK - 1, 0},
    {CHUNK, 1000, 0},
    {CHUNK, CHUNK, 0},
    {CHUNK + 1, CHUNK, 0},
    {CHUNK + 1, 1, 0},
    {CHUNK * 2, CHUNK, 0},
    {CHUNK * 2 + 1, CHUNK, 1},
    {LARGE, 4096, 1},
    {LARGE, LARGE, 0},
    {LARGE * 2, LARGE, 0},
    {LARGE * 9, LARGE, 1},
    {5000000, 16384, 1},
};

static void bodies_come_in_pieces(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(bodies); i++)
        for (int64_t announced = 0; announced < 2; announced++) {
            struct writer_plan plan = plan_for(scene, "body");
            struct writer_file *file;
            struct writer_result result;
            int refusals;

            plan.size_bytes = announced * (int64_t)bodies[i].bytes;
            file = writer_begin(scene->writer, &plan, &plan);
            refusals = give(scene, file, &plan, (unsigned)i, bodies[i].bytes, bodies[i].piece);
            turn(scene);
            if (announced == 0 && access(scene->root, F_OK) == 0 && i == 0)
                expect_tree("a body without bytes", scene->root, "");
            writer_finish(file, NULL, NULL);
            wait_result(scene, &result);
            if (result.outcome != WRITER_PLACED || refusals < bodies[i].refusals_min
                || result.size_bytes != (int64_t)bodies[i].bytes)
                fail_msg("%zu bytes in pieces of %zu: %s, %" PRId64 " bytes, refused %d times (%s)",
                         bodies[i].bytes, bodies[i].piece, outcome_names[result.outcome],
                         result.size_bytes, refusals, result.err.text);
            expect_body("pieces", scene, "body", (unsigned)i, bodies[i].bytes);
            expect_tree("pieces", scene->root, "body");
        }
}

static void nothing_is_seen_before_it_is_whole(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "a/b/late"), small = plan_for(scene, "a/small");
    struct writer_file *file = begin_on_disk(scene, &plan);
    struct writer_file *other = writer_begin(scene->writer, &small, &small);
    char *name = below(scene, plan.path), *other_name = below(scene, small.path);
    struct writer_result result;

    give(scene, other, &small, 2, 10, 10);
    for (int i = 0; i < 5; i++)
        turn(scene);
    assert_int_not_equal(access(name, F_OK), 0);
    assert_int_not_equal(access(other_name, F_OK), 0);
    writer_finish(file, NULL, NULL);
    writer_finish(other, NULL, NULL);
    assert_int_not_equal(access(name, F_OK), 0);
    wait_result(scene, &result);
    wait_result(scene, &result);
    expect_tree("afterwards", scene->root, "a/b/late a/small");
    free(name);
    free(other_name);
}

/* ---- mode and times ---- */

/* The end of the century, or of what a system of 32 bits knows. */
#define LATE_NS ((sizeof(time_t) > 4 ? 4102444799 : INT32_MAX) * NS_PER_S)

static const struct {
    int mode;
    unsigned found;
    int64_t mtime_ns, atime_ns;
} attributes[] = {
    {-1, 0640, -1, -1},
    {0644, 0644, MTIME_NS, ATIME_NS},
    {0, 0, MTIME_NS, ATIME_NS},
    {0777, 0777, 0, 0},
    {07755, 0755, -1, -1}, /* permission bits only */
    {0444, 0444, LATE_NS, MTIME_NS},
};

static bool time_is(struct timespec time, int64_t planned_ns, int64_t begun_ns)
{
    int64_t ns = time.tv_sec * NS_PER_S + time.tv_nsec;

    if (planned_ns >= 0)
        return ns == planned_ns;
    return ns >= begun_ns - NS_PER_S && ns <= clock_wall_ns() + NS_PER_S;
}

static void mode_and_times_are_as_planned(void **state)
{
    struct scene *scene = *state;
    mode_t mask = umask(027);

    for (size_t i = 0; i < COUNT_OF(attributes); i++)
        for (size_t size = 10; size <= LARGE; size += LARGE - 10) {
            struct writer_plan plan = plan_for(scene, "dir/file");
            int64_t begun_ns = clock_wall_ns();
            char *name = below(scene, plan.path);
            struct writer_result result;
            struct stat status = {0};

            plan.mode = attributes[i].mode;
            plan.mtime_ns = attributes[i].mtime_ns;
            plan.atime_ns = attributes[i].atime_ns;
            place_with(scene, &plan, 1, size, NULL, &result);
            if (stat(name, &status) != 0 || (status.st_mode & 07777) != attributes[i].found
                || !time_is(status.st_mtim, plan.mtime_ns, begun_ns)
                || !time_is(status.st_atim, plan.atime_ns, begun_ns))
                fail_msg("attributes %zu, %zu bytes: mode %o, mtime %lld, atime %lld (%s)", i, size,
                         status.st_mode & 07777, (long long)status.st_mtime,
                         (long long)status.st_atime, result.err.text);
            free(name);
        }
    umask(mask);
}

/* ---- inflight names ---- */

static const struct {
    const char *inflight, *path, *pattern;
} names[] = {
    {".tmp", "file.dat", "file.dat.????????.tmp"},
    {".tmp", "a/b/file.dat", "a/b/file.dat.????????.tmp"},
    {NULL, "a/file", "a/.file.????????.tmp"},
    {".part", "a/file", "a/file.????????.part"},
    {".", "file.dat", ".file.dat.????????"},
    {".", "a/b/.hidden", "a/b/..hidden.????????"},
    {"tmp/", "file.dat", "tmp/file.dat.????????"},
    {"tmp/", "a/b/file.dat", "a/b/tmp/file.dat.????????"},
    {"in/flight/", "a/file", "a/in/flight/file.????????"},
    {".tmp/", "a/file", "a/.tmp/file.????????"},
    {".tmp", "\xc3\xa9t\xc3\xa9/\xe2\x82\xac", "\xc3\xa9t\xc3\xa9/\xe2\x82\xac.????????.tmp"},
};

static void inflight_names_follow_the_pattern(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct writer_plan plan = plan_for(scene, names[i].path);
        struct writer_result result;
        struct writer_file *file;
        char *found;

        open_writer(scene, names[i].inflight, WRITER_DURABILITY_NONE);
        file = begin_on_disk(scene, &plan);
        found = print_tree(scene->root);
        if (fnmatch(names[i].pattern, found, FNM_PATHNAME | FNM_PERIOD) != 0)
            fail_msg("'%s' for '%s': found '%s', expected '%s'",
                     names[i].inflight ? names[i].inflight : "NULL", names[i].path, found,
                     names[i].pattern);
        writer_finish(file, NULL, NULL);
        wait_result(scene, &result);
        expect_tree(names[i].pattern, scene->root, names[i].path);
        remove_tree(scene->root);
        assert_int_equal(mkdir(scene->root, 0755), 0);
        free(found);
    }
}

static const char *const bad_patterns[] = {
    "",           "tmp",
    "/",          "/tmp",
    "../",        "../tmp/",
    "a/../../b/", "..",
    ".a..",       ".0123456789012345678901234567890123456789012345678901234567890123456789",
};

static void senseless_patterns_are_refused(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(bad_patterns); i++) {
        struct writer_settings settings = {.inflight = bad_patterns[i]};
        struct error err = {0};
        struct writer *writer = writer_open(scene->loop, &settings, &err);

        if (writer || err.kind != ERROR_OPERATOR || !strstr(err.text, bad_patterns[i]))
            fail_msg("inflight '%s': opened %d, kind %d (%s)", bad_patterns[i], writer != NULL,
                     err.kind, err.text);
    }
}

static void names_may_have_255_bytes(void **state)
{
    static const char *const patterns[] = {".tmp", ".", "tmp/", ".a-rather-long-suffix"};
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        char longest[256], other[256], path[600];
        struct writer_plan plan = plan_for(scene, longest), second = plan_for(scene, path);
        struct writer_file *file;
        struct writer_result result;

        open_writer(scene, patterns[i], WRITER_DURABILITY_GROUP);
        memset(longest, 'n', 255);
        longest[255] = '\0';
        memcpy(other, longest, 256);
        other[254] = 'm'; /* differs only where the inflight name is cut */
        expect_placed(patterns[i], scene, &plan, 1, 10);
        plan.path = other;
        file = begin_on_disk(scene, &plan);
        plan.path = longest;
        expect_placed("while the other one is written", scene, &plan, 2, LARGE);
        writer_finish(file, NULL, NULL);
        wait_result(scene, &result);
        if (result.outcome != WRITER_PLACED)
            fail_msg("'%s': %s", patterns[i], result.err.text);
        snprintf(path, sizeof(path), "%s/%s", "directory", longest);
        expect_placed(patterns[i], scene, &second, 3, LARGE);
        assert_int_equal(count_files(scene), 3);
    }
}

/* ---- several versions, several writers ---- */

static void versions_do_not_meet(void **state)
{
    static const char *const identities[] = {NULL, "one", "two"};
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "versions");
    struct writer_file *files[5];
    struct writer_result result;

    plan.identity_method = "arbitrary";
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        plan.identity_value = identities[i < 3 ? i : 0];
        plan.size_bytes = i == 3 ? CHUNK * 2 : 0;
        plan.mtime_ns = i == 4 ? MTIME_NS : -1;
        files[i] = begin_on_disk(scene, &plan);
        if (count_files(scene) != i + 1)
            fail_msg("version %zu: %zu inflight files", i, count_files(scene));
    }
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        writer_finish(files[i], NULL, NULL);
        wait_result(scene, &result);
        if (result.outcome != WRITER_PLACED)
            fail_msg("version %zu: %s (%s)", i, outcome_names[result.outcome], result.err.text);
        if (count_files(scene) != COUNT_OF(files) - i)
            fail_msg("after version %zu: %zu files", i, count_files(scene));
    }
    expect_tree("versions", scene->root, "versions");
}

/* The second one must find the lock of the first, be it in the same process or even group. */
static void one_version_has_one_writer(void **state)
{
    struct scene *scene = *state;

    for (size_t size = 10; size <= LARGE; size += LARGE - 10) {
        struct writer_plan plan = plan_for(scene, "same");
        struct writer_file *files[2];
        struct writer_result results[2];
        int placed = 0, refused = 0;

        for (size_t i = 0; i < 2; i++) {
            files[i] = writer_begin(scene->writer, &plan, &files[i]);
            give(scene, files[i], &files[i], 5, size, 16384);
        }
        for (size_t i = 0; i < 2; i++)
            writer_finish(files[i], NULL, NULL);
        for (size_t i = 0; i < 2; i++) {
            wait_result(scene, &results[i]);
            placed += results[i].outcome == WRITER_PLACED;
            refused +=
                results[i].outcome == WRITER_FAILED && results[i].err.kind == ERROR_TEMPORARY;
        }
        if (placed != 1 || refused != 1)
            fail_msg("%zu bytes: %s (%s), %s (%s)", size, outcome_names[results[0].outcome],
                     results[0].err.text, outcome_names[results[1].outcome], results[1].err.text);
        expect_tree("same", scene->root, "same");
        expect_body("same", scene, "same", 5, size);
    }
}

/* ---- is it what was announced ---- */

static const struct {
    const char *method;
    int64_t size_off; /* announced size minus that of the body; -1000: none is announced */
    bool wrong_digest, matches;
} announced[] = {
    {"md5", 0, false, true},        {"sha512", 0, false, true},     {"md5", -1000, false, true},
    {"sha512", -1000, false, true}, {NULL, 0, false, true},         {"arbitrary", 0, true, true},
    {"cod", -1000, true, true},     {"md5", 0, true, false},        {"sha512", 0, true, false},
    {"md5", -1000, true, false},    {"sha512", -1000, true, false}, {"md5", 1, false, false},
    {"sha512", -1, false, false},   {NULL, 1, false, false},        {NULL, -1, false, false},
    {"arbitrary", 1, false, false},
};

static void expect_verdict(struct scene *scene, size_t i, size_t size)
{
    struct writer_plan plan = plan_for(scene, "dir/file");
    struct writer_result first, again, accepted;
    char what[80], digest[100];
    const char *method = announced[i].method;

    snprintf(what, sizeof(what), "announced %zu (%s), %zu bytes", i, method ? method : "none",
             size);
    print_digest(method && strcmp(method, "md5") == 0 ? "md5" : "sha512",
                 announced[i].wrong_digest ? 2 : 1, size, digest);
    plan.identity_method = method;
    plan.identity_value = method ? digest : NULL;
    if (announced[i].size_off > -1000)
        plan.size_bytes = (int64_t)size + announced[i].size_off;
    place_with(scene, &plan, 1, size, NULL, &first);
    if (first.outcome != (announced[i].matches ? WRITER_PLACED : WRITER_MISMATCH)
        || first.size_bytes != (int64_t)size || !*first.fingerprint)
        fail_msg("%s: %s, %" PRId64 " bytes, fingerprint '%s' (%s)", what,
                 outcome_names[first.outcome], first.size_bytes, first.fingerprint, first.err.text);
    expect_tree(what, scene->root, announced[i].matches ? "dir/file" : "");
    if (announced[i].matches)
        return;
    place_with(scene, &plan, 3, size + 5, first.fingerprint, &again);
    if (again.outcome != WRITER_MISMATCH || strcmp(again.fingerprint, first.fingerprint) == 0)
        fail_msg("%s: other bytes: %s, fingerprints '%s' and '%s'", what,
                 outcome_names[again.outcome], first.fingerprint, again.fingerprint);
    expect_tree(what, scene->root, "");
    place_with(scene, &plan, 1, size, first.fingerprint, &accepted);
    if (accepted.outcome != WRITER_PLACED || strcmp(accepted.fingerprint, first.fingerprint) != 0)
        fail_msg("%s: accepted: %s, fingerprints '%s' and '%s' (%s)", what,
                 outcome_names[accepted.outcome], first.fingerprint, accepted.fingerprint,
                 accepted.err.text);
    expect_body(what, scene, "dir/file", 1, size);
}

static void only_what_was_announced_is_placed(void **state)
{
    static const size_t sizes[] = {10, CHUNK, LARGE};
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(announced); i++)
        for (size_t k = 0; k < COUNT_OF(sizes); k++) {
            char *name = below(scene, "dir/file");

            expect_verdict(scene, i, sizes[k]);
            unlink(name);
            free(name);
        }
}

/* One bad file in a group that is flushed as a whole: the others are placed. */
static void a_mismatch_is_alone_in_its_group(void **state)
{
    struct scene *scene = *state;
    char tickets[20];

    open_writer(scene, ".tmp", WRITER_DURABILITY_GROUP);
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        char path[20];
        struct writer_plan plan = plan_for(scene, path);
        struct writer_file *file;

        snprintf(path, sizeof(path), "%02zu", i);
        plan.size_bytes = i == 7 ? 11 : 10;
        file = writer_begin(scene->writer, &plan, &tickets[i]);
        give(scene, file, &tickets[i], 1, 10, 10);
        writer_finish(file, NULL, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(tickets); i++) {
        struct writer_result result;
        bool bad;

        wait_result(scene, &result);
        bad = result.ticket == &tickets[7];
        if (result.outcome != (bad ? WRITER_MISMATCH : WRITER_PLACED))
            fail_msg("file %zu: %s", (size_t)((char *)result.ticket - tickets),
                     outcome_names[result.outcome]);
    }
    assert_int_equal(count_files(scene), COUNT_OF(tickets) - 1);
}

/* The time in which it may be placed ends, or is moved, while the file is on its way. */
static void nothing_is_placed_too_late(void **state)
{
    static const int delays_ms[] = {1000, -1}; /* moved by, after the file is finished */
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
        struct writer_plan plan = plan_for(scene, "dir/file");
        struct writer_file *file = writer_begin(scene->writer, &plan, scene);
        _Atomic int64_t until_ms = 1000000;
        struct writer_result result;

        clock_hold(-1, 1000000);
        give(scene, file, scene, 1, 10, 10);
        writer_finish(file, NULL, &until_ms);
        until_ms += delays_ms[i];
        wait_result(scene, &result);
        clock_hold(-1, -1);
        if (result.outcome != (delays_ms[i] > 0 ? WRITER_PLACED : WRITER_LATE)
            || count_files(scene) != 1)
            fail_msg("%zu: %s, %zu files", i, outcome_names[result.outcome], count_files(scene));
    }
}

static void a_file_is_replaced_as_a_whole(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "dir/file");
    char *name = below(scene, plan.path), byte;
    struct stat old, new;
    int fd;

    expect_placed("the first", scene, &plan, 1, LARGE);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    plan.size_bytes = 20;
    expect_placed("the second", scene, &plan, 2, 20);
    assert_int_equal(fstat(fd, &old), 0);
    assert_int_equal(stat(name, &new), 0);
    if (old.st_size != LARGE || old.st_ino == new.st_ino || old.st_nlink != 0
        || pread(fd, &byte, 1, LARGE - 1) != 1)
        fail_msg("a reader of the replaced file sees %lld bytes, %ju links", (long long)old.st_size,
                 (uintmax_t)old.st_nlink);
    close(fd);
    expect_tree("replaced", scene->root, "dir/file");
    free(name);
}

/* ---- obstacles ---- */

enum obstacle {
    DIRECTORY,      /* at `where` there is a directory */
    FULL_DIRECTORY, /* ... with a file in it */
    PLAIN_FILE,
    LINK_OUT,        /* a link to the directory outside */
    LINK_UP,         /* the same, relative */
    LINK_TO_NOWHERE, /* out of the root, to what does not exist */
    LINK_LOOP
};

static const struct {
    const char *name;
    enum obstacle obstacle;
    const char *where, *path;
    enum error_kind kind;
    const char *tree; /* what is there afterwards */
} obstacles[] = {
    {"final name is a directory", DIRECTORY, "x", "x", ERROR_OPERATOR, ""},
    {"final name is a full directory", FULL_DIRECTORY, "x", "x", ERROR_OPERATOR, "x/inside"},
    {"component is a file", PLAIN_FILE, "x", "x/y", ERROR_OPERATOR, "x"},
    {"component above is a file", PLAIN_FILE, "x", "x/y/z", ERROR_OPERATOR, "x"},
    {"link out", LINK_OUT, "x", "x/y", ERROR_PERMANENT, "x"},
    {"link out above", LINK_OUT, "x", "x/y/z", ERROR_PERMANENT, "x"},
    {"link out, name of the file there", LINK_OUT, "x", "x/victim", ERROR_PERMANENT, "x"},
    {"relative link out", LINK_UP, "x", "x/y", ERROR_PERMANENT, "x"},
    {"link to nowhere", LINK_TO_NOWHERE, "x", "x/y", ERROR_PERMANENT, "x"},
    {"link loop", LINK_LOOP, "x", "x/y", ERROR_PERMANENT, "x"},
    {"inflight directory is a file", PLAIN_FILE, "tmp", "y", ERROR_OPERATOR, "tmp"},
    {"inflight directory leads out", LINK_OUT, "tmp", "y", ERROR_PERMANENT, "tmp"},
};

static void make_obstacle(const struct scene *scene, enum obstacle obstacle, const char *where)
{
    char *name = below(scene, where), *nowhere;

    switch (obstacle) {
    case FULL_DIRECTORY:
    case DIRECTORY:
        assert_int_equal(mkdir(name, 0755), 0);
        if (obstacle == FULL_DIRECTORY)
            make_file_below(scene, "x/inside", "kept");
        break;
    case PLAIN_FILE:
        make_file(name, "kept");
        break;
    case LINK_OUT:
        make_link(scene, scene->outside, where);
        break;
    case LINK_UP:
        make_link(scene, "../outside", where);
        break;
    case LINK_TO_NOWHERE:
        nowhere = memory_format("%s/missing", scene->outside);
        make_link(scene, nowhere, where);
        free(nowhere);
        break;
    case LINK_LOOP:
        make_link(scene, where, where);
        break;
    }
    free(name);
}

static void obstacles_leave_no_trace(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(obstacles); i++)
        for (int k = 0; k < 4; k++) {
            struct writer_plan plan = plan_for(scene, obstacles[i].path);
            bool below_tmp = strcmp(obstacles[i].where, "tmp") == 0;

            remove_tree(scene->root);
            assert_int_equal(mkdir(scene->root, 0755), 0);
            open_writer(scene, below_tmp || k % 2 ? "tmp/" : ".tmp",
                        k % 2 ? WRITER_DURABILITY_EACH : WRITER_DURABILITY_GROUP);
            make_obstacle(scene, obstacles[i].obstacle, obstacles[i].where);
            expect_failed(obstacles[i].name, scene, &plan, k / 2 ? LARGE : 10, obstacles[i].kind);
            expect_tree(obstacles[i].name, scene->root, obstacles[i].tree);
            expect_outside_untouched(obstacles[i].name, scene);
        }
}

static void names_too_long_are_permanent(void **state)
{
    struct scene *scene = *state;
    char path[300] = "";
    struct writer_plan plan = plan_for(scene, path);

    memset(path, 'n', sizeof(path));
    memcpy(path + sizeof(path) - 3, "/f", 3);
    expect_failed("directory of 297 bytes", scene, &plan, 10, ERROR_PERMANENT);
    expect_tree("too long", scene->root, "");
}

/* A link that stays below the directory is the user's way to spread data over disks' folders. */
static void links_that_stay_inside_are_followed(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "today/a/file");
    char *name = below(scene, "20250102");

    assert_int_equal(mkdir(name, 0755), 0);
    make_link(scene, "20250102", "today");
    expect_placed("link inside", scene, &plan, 1, 10);
    expect_tree("link inside", scene->root, "20250102/a/file today");
    free(name);
}

static void a_link_as_final_name_is_replaced(void **state)
{
    struct scene *scene = *state;

    for (size_t size = 10; size <= LARGE; size += LARGE - 10) {
        struct writer_plan plan = plan_for(scene, "final");
        char *name = below(scene, "final");
        struct stat status;

        plan.mode = 0600;
        unlink(name);
        make_link(scene, scene->victim, "final");
        expect_placed("final link", scene, &plan, 1, size);
        if (lstat(name, &status) != 0 || !S_ISREG(status.st_mode))
            fail_msg("%zu bytes: the final name is no file", size);
        expect_outside_untouched("final link", scene);
        free(name);
    }
}

static void a_link_as_inflight_name_is_not_followed(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "dir/file");
    char *inflight = find_inflight(scene, &plan);

    for (size_t size = 10; size <= LARGE; size += LARGE - 10) {
        make_link(scene, scene->victim, inflight);
        expect_placed("inflight link", scene, &plan, 1, size);
        expect_tree("inflight link", scene->root, "dir/file");
        expect_outside_untouched("inflight link", scene);
    }
    make_link(scene, scene->victim, inflight);
    writer_discard(scene->writer, &plan);
    open_writer(scene, NULL, WRITER_DURABILITY_NONE);
    expect_outside_untouched("discarded inflight link", scene);
    free(inflight);
}

static void an_inflight_name_that_is_no_file_fails(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "file");
    char *inflight = find_inflight(scene, &plan), *name = below(scene, inflight);

    assert_int_equal(mkdir(name, 0755), 0);
    expect_failed("a directory", scene, &plan, 10, ERROR_OPERATOR);
    assert_int_equal(rmdir(name), 0);
    assert_int_equal(mkfifo(name, 0644), 0);
    expect_failed("a fifo", scene, &plan, LARGE, ERROR_TEMPORARY);
    assert_int_equal(unlink(name), 0);
    expect_placed("at last", scene, &plan, 1, 10);
    free(name);
    free(inflight);
}

/* ---- the directory itself ---- */

static void the_directory_is_made(void **state)
{
    struct scene *scene = *state;
    char *deep = memory_format("%s/new/er/est", scene->root);
    char *blocked = memory_format("%s/file/sub", scene->root);
    struct writer_plan plan = plan_for(scene, "a/b/c");
    struct writer_result result;

    plan.directory = deep;
    place_with(scene, &plan, 1, 10, NULL, &result);
    expect_tree(result.err.text, scene->root, "new/er/est/a/b/c");
    make_file_below(scene, "file", "kept");
    plan.directory = blocked;
    place_with(scene, &plan, 1, LARGE, NULL, &result);
    if (result.outcome != WRITER_NO_ROOM || result.err.kind != ERROR_OPERATOR)
        fail_msg("below a file: %s, kind %d (%s)", outcome_names[result.outcome], result.err.kind,
                 result.err.text);
    expect_tree("below a file", scene->root, "file new/er/est/a/b/c");
    make_file_below(scene, "file", "");
    remove_tree(blocked);
    char *name = below(scene, "file");

    assert_int_equal(unlink(name), 0);
    place_with(scene, &plan, 1, LARGE, NULL, &result); /* the obstacle is gone: it recovers */
    expect_tree(result.err.text, scene->root, "file/sub/a/b/c new/er/est/a/b/c");
    free(name);
    free(deep);
    free(blocked);
}

static void a_directory_that_is_not_writable(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "file"), nested = plan_for(scene, "a/file");
    bool root = geteuid() == 0;

    assert_int_equal(chmod(scene->base, 0755), 0);
    if (root)
        assert_int_equal(chown(scene->root, NOBODY, NOBODY), 0);
    if (root && seteuid(NOBODY) != 0)
        skip();
    assert_int_equal(chmod(scene->root, 0555), 0);
    expect_outcome("not writable", scene, &plan, 10, WRITER_NO_ROOM, ERROR_OPERATOR);
    expect_outcome("not writable", scene, &plan, LARGE, WRITER_NO_ROOM, ERROR_OPERATOR);
    expect_outcome("not writable", scene, &nested, 10, WRITER_NO_ROOM, ERROR_OPERATOR);
    expect_tree("not writable", scene->root, "");
    assert_int_equal(chmod(scene->root, 0755), 0);
    expect_placed("writable again", scene, &plan, 1, 10);
    if (root)
        assert_int_equal(seteuid(0), 0);
}

/* ---- what others hold, what others left ---- */

/* A process that holds the lock of `path` until the returned pipe is closed. */
static pid_t lock_elsewhere(const char *path, int *release)
{
    int ready[2], wait[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(wait), 0);
    child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR | O_CREAT, 0644);

        close(wait[1]);
        if (fd >= 0 && write(fd, "theirs", 6) == 6 && flock(fd, LOCK_EX) == 0
            && write(ready[1], "", 1) == 1 && read(wait[0], &byte, 1) == 0)
            _exit(0);
        _exit(1);
    }
    close(ready[1]);
    close(wait[0]);
    if (child < 0 || read(ready[0], &byte, 1) != 1)
        fail_msg("the other process could not lock '%s'", path);
    close(ready[0]);
    *release = wait[1];
    return child;
}

static void a_locked_inflight_file_is_left_alone(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "dir/file");
    char *inflight = find_inflight(scene, &plan), *name = below(scene, inflight), *theirs;
    int release, status = -1;
    pid_t child = lock_elsewhere(name, &release);
    size_t size;

    expect_failed("locked", scene, &plan, 10, ERROR_TEMPORARY);
    expect_failed("locked", scene, &plan, LARGE, ERROR_TEMPORARY);
    writer_discard(scene->writer, &plan);
    open_writer(scene, NULL, WRITER_DURABILITY_NONE); /* waits for the discard */
    expect_tree("locked", scene->root, inflight);
    theirs = read_all(name, &size);
    if (size != 6 || memcmp(theirs, "theirs", 6) != 0)
        fail_msg("the locked file was changed: '%.*s'", (int)size, theirs);
    close(release);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect_placed("after the other process", scene, &plan, 1, 10);
    expect_tree("after the other process", scene->root, "dir/file");
    free(theirs);
    free(name);
    free(inflight);
}

static void leave_behind(const struct scene *scene, const char *inflight, size_t size)
{
    char *name = below(scene, inflight), *body = make_body(77, size);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, body, size) != (ssize_t)size)
        fail_msg("create '%s': %s", name, strerror(errno));
    close(fd);
    free(body);
    free(name);
}

static void what_a_crash_left_is_written_over(void **state)
{
    static const char *const patterns[] = {".tmp", ".", "tmp/"};
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(patterns); i++)
        for (size_t size = 0; size <= LARGE; size += LARGE / 2) {
            struct writer_plan plan = plan_for(scene, "dir/file");
            char *name = below(scene, "dir/file"), *inflight;

            unlink(name);
            open_writer(scene, patterns[i], WRITER_DURABILITY_NONE);
            inflight = find_inflight(scene, &plan);
            leave_behind(scene, inflight, 1000000);
            expect_placed(patterns[i], scene, &plan, 1, size);
            expect_tree(patterns[i], scene->root, "dir/file");
            free(inflight);
            free(name);
        }
}

static void discard_removes_what_was_left(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "dir/file"), gone = plan_for(scene, "no/where");
    struct writer_plan other = plan;
    char *inflight = find_inflight(scene, &plan);
    struct writer_result result;

    leave_behind(scene, inflight, 1000);
    other.identity_value = "another version";
    writer_discard(scene->writer, &other);
    writer_discard(scene->writer, &gone);
    open_writer(scene, NULL, WRITER_DURABILITY_NONE);
    expect_tree("another version discarded", scene->root, inflight);
    writer_discard(scene->writer, &plan);
    for (int i = 0; i < 3; i++)
        turn(scene);
    assert_false(writer_take_result(scene->writer, &result));
    open_writer(scene, NULL, WRITER_DURABILITY_NONE);
    expect_tree("discarded", scene->root, "");
    expect_placed("place", scene, &plan, 1, 10);
    writer_discard(scene->writer, &plan);
    open_writer(scene, NULL, WRITER_DURABILITY_NONE);
    expect_tree("the final file is none of its business", scene->root, "dir/file");
    free(inflight);
}

/* ---- giving up ---- */

static const struct {
    size_t chunks, bytes; /* appended: so many full chunks, then so many bytes */
    int turns;            /* of the loop before the cancel */
} cancels[] = {
    {0, 0, 0}, {0, 0, 2}, {0, 10, 0}, {0, 10, 2}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1},
    {1, 1, 9}, {2, 0, 0}, {2, 0, 9},  {2, 1, 0},  {2, 1, 9}, /* the last two wait for room */
};

static void a_cancel_leaves_nothing(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(cancels); i++)
        for (int discarded = 0; discarded < 2; discarded++) {
            struct writer_plan plan = plan_for(scene, "dir/file");
            struct writer_file *file = writer_begin(scene->writer, &plan, scene);
            char *body = make_body(1, CHUNK), what[60];
            struct writer_result result;
            void *drained;

            snprintf(what, sizeof(what), "%zu chunks, %zu bytes, %d turns", cancels[i].chunks,
                     cancels[i].bytes, cancels[i].turns);
            for (size_t k = 0; k < cancels[i].chunks; k++)
                if (!writer_append(file, body, CHUNK))
                    fail_msg("%s: chunk %zu was not taken", what, k);
            if (cancels[i].bytes)
                writer_append(file, body, cancels[i].bytes);
            for (int k = 0; k < cancels[i].turns; k++)
                turn(scene);
            writer_cancel(file);
            if (writer_take_drained(scene->writer, &drained))
                fail_msg("%s: asked for more bytes after the cancel", what);
            if (discarded)
                turn(scene);
            if (writer_take_result(scene->writer, &result))
                fail_msg("%s: a result after the cancel", what);
            open_writer(scene, NULL, WRITER_DURABILITY_NONE);
            expect_tree(what, scene->root, "");
            free(body);
        }
}

static void close_forgets_what_is_under_way(void **state)
{
    static const size_t sizes[] = {10, CHUNK + 1, CHUNK * 2};
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (int turns = 0; turns < 4; turns++) {
            struct writer_plan plan = plan_for(scene, "dir/file");
            char *name = below(scene, plan.path), what[60];
            struct writer_file *file;
            struct stat status;

            snprintf(what, sizeof(what), "closed after %d turns, %zu bytes", turns, sizes[i]);
            unlink(name);
            open_writer(scene, NULL, turns % 2 ? WRITER_DURABILITY_GROUP : WRITER_DURABILITY_EACH);
            file = writer_begin(scene->writer, &plan, scene);
            give(scene, file, scene, 1, sizes[i], CHUNK);
            writer_finish(file, NULL, NULL);
            if (turns == 1)
                writer_step(scene->writer);
            for (int k = 1; k < turns; k++)
                turn(scene);
            open_writer(scene, NULL, WRITER_DURABILITY_NONE);
            if (stat(name, &status) == 0 && status.st_size != (off_t)sizes[i])
                fail_msg("%s: a part is seen", what);
            expect_placed(what, scene, &plan, 2, sizes[i]); /* nothing is left locked */
            expect_tree(what, scene->root, "dir/file");
            free(name);
        }
    writer_close(NULL);
}

/* ---- a disk that takes no more ---- */

static void files_that_cannot_be_written_leave_nothing(void **state)
{
    struct scene *scene = *state;
    struct writer_plan plan = plan_for(scene, "dir/file");
    struct rlimit old, limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){.rlim_cur = 100000, .rlim_max = old.rlim_max};
    for (int durability = 0; durability <= WRITER_DURABILITY_EACH; durability++) {
        open_writer(scene, ".tmp", (enum writer_durability)durability);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        expect_failed("file size limit", scene, &plan, LARGE, ERROR_OPERATOR);
        expect_failed("file size limit", scene, &plan, 2000000, ERROR_OPERATOR);
        expect_failed("file size limit", scene, &plan, 100001, ERROR_OPERATOR);
        expect_tree("file size limit", scene->root, "");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    }
    expect_placed("without the limit", scene, &plan, 1, LARGE);
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    struct writer_plan large = plan_for(scene, "a/large"), small = plan_for(scene, "a/small");

    if (mount("tmpfs", scene->root, "tmpfs", 0, "size=256k") != 0)
        skip();
    open_writer(scene, ".tmp", WRITER_DURABILITY_GROUP);
    expect_outcome("full disk", scene, &large, 1000000, WRITER_NO_ROOM, ERROR_TEMPORARY);
    expect_tree("full disk", scene->root, "");
    expect_placed("what still fits", scene, &small, 1, 10000);
    open_writer(scene, ".tmp", WRITER_DURABILITY_GROUP);
    assert_int_equal(umount2(scene->root, MNT_DETACH), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(groups_are_placed),
        CASE(bodies_come_in_pieces),
        CASE(nothing_is_seen_before_it_is_whole),
        CASE(mode_and_times_are_as_planned),
        CASE(inflight_names_follow_the_pattern),
        CASE(senseless_patterns_are_refused),
        CASE(names_may_have_255_bytes),
        CASE(versions_do_not_meet),
        CASE(one_version_has_one_writer),
        CASE(only_what_was_announced_is_placed),
        CASE(a_mismatch_is_alone_in_its_group),
        CASE(nothing_is_placed_too_late),
        CASE(a_file_is_replaced_as_a_whole),
        CASE(obstacles_leave_no_trace),
        CASE(names_too_long_are_permanent),
        CASE(links_that_stay_inside_are_followed),
        CASE(a_link_as_final_name_is_replaced),
        CASE(a_link_as_inflight_name_is_not_followed),
        CASE(an_inflight_name_that_is_no_file_fails),
        CASE(the_directory_is_made),
        CASE(a_directory_that_is_not_writable),
        CASE(a_locked_inflight_file_is_left_alone),
        CASE(what_a_crash_left_is_written_over),
        CASE(discard_removes_what_was_left),
        CASE(a_cancel_leaves_nothing),
        CASE(close_forgets_what_is_under_way),
        CASE(files_that_cannot_be_written_leave_nothing),
        CASE(a_full_disk_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
