/* What is there already: when it makes fetching needless, and what is kept beside a file. */
#include "writer_scene.h"

#include <sys/xattr.h>

#define NOW_NS (1735790592LL * NS_PER_S + 123456789)
#define OLDER  (NOW_NS - NS_PER_S)
#define NEWER  (NOW_NS + NS_PER_S)
#define SIZE   1000

enum there { NOTHING, A_FILE, A_DIRECTORY, A_LINK };

/* The file there has body 1, SIZE bytes and the time NOW_NS. */
static const struct {
    const char *what;
    enum there there;
    const char *method; /* announced */
    const char *value;  /* NULL: the digest of body `seed` */
    unsigned seed;      /* what is announced: 1 is the same */
    int64_t size_bytes; /* -1: not announced */
    int64_t mtime_ns;   /* announced */
    bool without_time_copy, keep_existing;
    const char *identity; /* its attributes, or NULL */
    const char *time;
    int code; /* 0: fetch */
} cases[] = {
    {"nothing", NOTHING, "md5", NULL, 1, SIZE, OLDER, false, false, NULL, NULL, 0},
    {"nothing, overwrite off", NOTHING, "md5", NULL, 1, SIZE, OLDER, false, true, NULL, NULL, 0},
    {"overwrite off", A_FILE, "md5", NULL, 2, 7, NEWER, false, true, NULL, NULL, 204},
    {"overwrite off, link", A_LINK, "md5", NULL, 2, 7, NEWER, false, true, NULL, NULL, 204},
    {"a link is replaced", A_LINK, "md5", NULL, 1, SIZE, OLDER, false, false, NULL, NULL, 0},
    {"other size", A_FILE, "md5", NULL, 2, 7, OLDER, false, false, NULL, NULL, 0},
    {"announced empty", A_FILE, "md5", NULL, 2, 0, OLDER, false, false, NULL, NULL, 0},
    {"same time", A_FILE, "md5", NULL, 2, SIZE, NOW_NS, false, false, NULL, NULL, 406},
    {"a rounded time", A_FILE, "md5", NULL, 2, SIZE, NOW_NS + 300, false, false, NULL, NULL, 406},
    {"older", A_FILE, "sha512", NULL, 2, SIZE, OLDER, false, false, NULL, NULL, 406},
    {"older, no size", A_FILE, "sha512", NULL, 2, -1, OLDER, false, false, NULL, NULL, 406},
    {"newer, same bytes", A_FILE, "md5", NULL, 1, SIZE, NEWER, false, false, NULL, NULL, 304},
    {"newer, same, sha512", A_FILE, "sha512", NULL, 1, SIZE, NEWER, false, false, NULL, NULL, 304},
    {"newer, other bytes", A_FILE, "md5", NULL, 2, SIZE, NEWER, false, false, NULL, NULL, 0},
    {"no time, same bytes", A_FILE, "md5", NULL, 1, SIZE, -1, false, false, NULL, NULL, 304},
    {"no identity, older", A_FILE, NULL, NULL, 1, SIZE, OLDER, false, false, NULL, NULL, 406},
    {"no identity, newer", A_FILE, NULL, NULL, 1, SIZE, NEWER, false, false, NULL, NULL, 0},
    {"nothing known", A_FILE, NULL, NULL, 1, -1, -1, false, false, NULL, NULL, 0},
    {"random", A_FILE, "random", "7", 1, SIZE, OLDER, false, false, NULL, NULL, 0},
    {"cod", A_FILE, "cod", "md5", 1, SIZE, OLDER, false, false, NULL, NULL, 0},
    {"arbitrary", A_FILE, "arbitrary", "v1", 1, SIZE, OLDER, false, false, NULL, NULL, 0},
    {"arbitrary, known", A_FILE, "arbitrary", "v1", 1, SIZE, OLDER, false, false,
     "{\"method\": \"arbitrary\", \"value\": \"v1\"}", "20250102T040313", 304},
    {"arbitrary, other", A_FILE, "arbitrary", "v2", 1, SIZE, OLDER, false, false,
     "{\"method\": \"arbitrary\", \"value\": \"v1\"}", "20250102T040313", 0},
    {"arbitrary, stale", A_FILE, "arbitrary", "v1", 1, SIZE, OLDER, false, false,
     "{\"method\": \"arbitrary\", \"value\": \"v1\"}", "20250102T040311", 0},
    {"fresh cache", A_FILE, "sha256", "abc", 1, SIZE, NEWER, false, false,
     "{\"method\":\"sha256\",\"value\":\"abc\"}", "20250102T040312.123456789", 304},
    {"stale cache", A_FILE, "md5", NULL, 1, SIZE, NEWER, false, false,
     "{\"method\":\"md5\",\"value\":\"abc\"}", "20250102T040311", 304},
    {"cache that makes no sense", A_FILE, "md5", NULL, 1, SIZE, NEWER, false, false,
     "{\"method\":", "20250102T040319", 304},
    {"no timeCopy, no attributes", A_FILE, "md5", NULL, 2, SIZE, OLDER, true, false, NULL, NULL, 0},
    {"no timeCopy, older", A_FILE, "md5", NULL, 2, SIZE, OLDER, true, false, NULL,
     "20250102T040311.5", 406},
    {"no timeCopy, newer", A_FILE, "md5", NULL, 2, SIZE, NOW_NS, true, false, NULL,
     "20250102T040311.5", 0},
};

static void write_body(const char *path, unsigned seed, size_t size)
{
    char *body = scene_body(seed, size);
    FILE *file = fopen(path, "we");

    if (!file || fwrite(body, 1, size, file) != size || fclose(file) != 0)
        fail_msg("write '%s': %s", path, strerror(errno));
    free(body);
}

static bool make_existing(size_t i, const char *path)
{
    struct timespec times[2] = {{.tv_sec = NOW_NS / NS_PER_S, .tv_nsec = NOW_NS % NS_PER_S}};
    const char *identity = cases[i].identity, *time = cases[i].time;

    if (cases[i].there == A_LINK)
        return symlink("/nowhere", path) == 0;
    if (cases[i].there == NOTHING)
        return true;
    write_body(path, 1, SIZE);
    if ((identity && setxattr(path, "user.sr_identity", identity, strlen(identity), 0) != 0)
        || (time && setxattr(path, "user.sr_mtime", time, strlen(time), 0) != 0))
        return false;
    times[1] = times[0];
    return utimensat(AT_FDCWD, path, times, 0) == 0;
}

static struct writer_plan plan_case(const struct scene *scene, size_t i, char digest[100])
{
    struct writer_plan plan = scene_plan(scene, "dir/file");

    scene_digest(cases[i].method && cases[i].method[0] == 'm' ? "md5" : "sha512", cases[i].seed,
                 SIZE, digest);
    plan.identity_method = cases[i].method;
    plan.identity_value = cases[i].value ? cases[i].value : cases[i].method ? digest : NULL;
    plan.has_size = cases[i].size_bytes >= 0;
    plan.size_bytes = plan.has_size ? cases[i].size_bytes : 0;
    plan.announced_mtime_ns = cases[i].mtime_ns;
    plan.mtime_ns = cases[i].without_time_copy ? -1 : cases[i].mtime_ns;
    plan.keep_existing = cases[i].keep_existing;
    return plan;
}

/* After many files that were not there, small ones are looked for when they are placed. */
static void find_nothing(struct scene *scene)
{
    struct writer_plan plan = scene_plan(scene, "dir/missing");
    struct writer_file *files[300];
    struct writer_probed probed;

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        files[i] = writer_begin(scene->writer, &plan, NULL);
        writer_probe(files[i]);
    }
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        while (!writer_take_probed(scene->writer, &probed))
            scene_turn(scene);
        assert_int_equal(probed.advice, WRITER_FETCH);
    }
    for (size_t i = 0; i < COUNT_OF(files); i++)
        writer_cancel(files[i]);
}

static void expect_probed(size_t i, struct scene *scene, const struct writer_plan *plan)
{
    struct writer_file *file = writer_begin(scene->writer, plan, scene);
    struct writer_probed probed = scene_probe(scene, file);

    if (probed.ticket != scene || probed.code != cases[i].code || probed.from_byte
        || probed.advice != (cases[i].code ? WRITER_KEEP : WRITER_FETCH))
        fail_msg("%s: advice %d, code %d (%s, %s), expected code %d", cases[i].what, probed.advice,
                 probed.code, probed.reason ? probed.reason : "", probed.err.text, cases[i].code);
    if (probed.advice == WRITER_FETCH)
        writer_cancel(file);
}

static void expect_late(size_t i, struct scene *scene, const struct writer_plan *plan)
{
    struct writer_file *file = writer_begin(scene->writer, plan, scene);
    struct writer_probed probed;
    struct writer_result result;

    writer_probe(file);
    assert_true(writer_take_probed(scene->writer, &probed)); /* at once */
    assert_int_equal(probed.advice, WRITER_FETCH);
    scene_give(scene, file, cases[i].seed, 0, (size_t)plan->size_bytes);
    writer_finish(file, "", NULL);
    result = scene_result(scene);
    if (result.code != cases[i].code || (result.outcome == WRITER_KEPT) != (cases[i].code != 0))
        fail_msg("%s, late: outcome %d, code %d (%s), expected code %d", cases[i].what,
                 result.outcome, result.code, result.err.text, cases[i].code);
}

static void what_is_there_decides(void **state)
{
    struct scene *scene = *state;
    char *path = scene_path(scene, "dir/file"), *directory = scene_path(scene, "dir");

    assert_int_equal(mkdir(directory, 0755), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char digest[100];
        struct writer_plan plan = plan_case(scene, i, digest);

        scene_writer(scene, (struct writer_settings){0});
        unlink(path);
        if (!make_existing(i, path))
            fail_msg("%s: %s", cases[i].what, strerror(errno));
        expect_probed(i, scene, &plan);
        find_nothing(scene);
        if (plan.has_size)
            expect_late(i, scene, &plan);
    }
    scene_writer(scene, (struct writer_settings){0});
    unlink(path);
    scene_expect("nothing else is left", scene->root, "");
    free(path);
    free(directory);
}

/* More than is read at once, and more files than are read at a time. */
static void large_files_are_compared_in_pieces(void **state)
{
    static const size_t size = 20000000;
    struct scene *scene = *state;
    struct writer_plan plan = scene_plan(scene, "large");
    char *path = scene_path(scene, "large"), digests[2][100];
    struct writer_probed probed;
    int kept = 0;

    write_body(path, 3, size);
    scene_digest("sha512", 3, size, digests[0]);
    scene_digest("sha512", 4, size, digests[1]);
    plan.identity_method = "sha512";
    for (int i = 0; i < 6; i++) {
        plan.identity_value = digests[i % 2];
        writer_probe(writer_begin(scene->writer, &plan, NULL));
    }
    for (int i = 0, turns = 0; i < 6; i++) {
        while (!writer_take_probed(scene->writer, &probed)) {
            assert_true(turns++ < DEADLINE_MS / 20);
            scene_turn(scene);
        }
        kept += probed.code == 304;
    }
    assert_int_equal(kept, 3);
    plan.identity_value = digests[0];
    for (int turns = 0; turns < 4; turns++) { /* given up anywhere on the way */
        struct writer_file *file = writer_begin(scene->writer, &plan, NULL);

        writer_probe(file);
        for (int k = 0; k < turns; k++)
            scene_turn(scene);
        if (!writer_take_probed(scene->writer, &probed))
            writer_cancel(file);
    }
    scene_expect("after all that", scene->root, "large");
    free(path);
}

static void obstacles_are_found_before_fetching(void **state)
{
    static const char *const paths[] = {"directory", "file/below"};
    struct scene *scene = *state;
    char *directory = scene_path(scene, "directory"), *file = scene_path(scene, "file");

    assert_int_equal(mkdir(directory, 0755), 0);
    write_body(file, 1, 1);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct writer_plan plan = scene_plan(scene, paths[i]);
        struct writer_probed probed = scene_probe(scene, writer_begin(scene->writer, &plan, &plan));

        if (probed.advice != WRITER_REFUSED || probed.outcome != WRITER_FAILED
            || probed.err.kind != ERROR_OPERATOR)
            fail_msg("%s: advice %d, outcome %d, kind %d (%s)", paths[i], probed.advice,
                     probed.outcome, probed.err.kind, probed.err.text);
        assert_int_equal(writer_pause_ms(scene->writer, scene->root), 0);
    }
    free(directory);
    free(file);
}

/* ---- what is kept beside a file ---- */

static const struct {
    const char *method, *value; /* announced; value NULL: the right digest */
    int64_t mtime_ns;
    bool without;
    const char *identity, *mtime; /* patterns of what is found; NULL: nothing */
} kept[] = {
    {"md5", NULL, NOW_NS, false, "{\"method\": \"md5\", \"value\": \"%s\"}",
     "20250102T040312.123456789"},
    {"sha512", NULL, NOW_NS, false, "{\"method\": \"sha512\", \"value\": \"%s\"}",
     "20250102T040312.123456789"},
    {"cod", "md5", NOW_NS, false, "{\"method\": \"md5\", \"value\": \"%s\"}",
     "20250102T040312.123456789"},
    {"arbitrary", "a \"b\"", NOW_NS, false,
     "{\"method\": \"arbitrary\", \"value\": \"a \\\"b\\\"\"}", "20250102T040312.123456789"},
    {"random", "77", NOW_NS, false, NULL, "20250102T040312.123456789"},
    {NULL, NULL, NOW_NS, false, NULL, "20250102T040312.123456789"},
    {NULL, NULL, -1, false, NULL, NULL},
    {"md5", NULL, NOW_NS, true, NULL, NULL},
};

static void expect_attribute(size_t i, const char *path, const char *name, const char *expected)
{
    char found[500];
    ssize_t length = getxattr(path, name, found, sizeof(found) - 1);

    found[length > 0 ? length : 0] = '\0';
    if (strcmp(found, expected ? expected : "") != 0)
        fail_msg("case %zu: %s is '%s', expected '%s'", i, name, found, expected ? expected : "");
}

static void attributes_are_those_of_sr3(void **state)
{
    struct scene *scene = *state;
    char *path = scene_path(scene, "file");

    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        struct writer_plan plan = scene_plan(scene, "file");
        bool sha512 = kept[i].method && kept[i].method[0] == 's';
        char digest[100], *identity;

        scene_writer(scene, (struct writer_settings){.without_attributes = kept[i].without});
        scene_digest(sha512 ? "sha512" : "md5", 1, SIZE, digest);
        plan.identity_method = kept[i].method;
        plan.identity_value = kept[i].value ? kept[i].value : kept[i].method ? digest : NULL;
        plan.announced_mtime_ns = plan.mtime_ns = kept[i].mtime_ns;
        plan.mode = 0444;
        assert_int_equal(scene_place(scene, &plan, 1, SIZE).outcome, WRITER_PLACED);
        if (i == 0 && getxattr(path, "user.sr_mtime", NULL, 0) < 0 && errno == ENOTSUP)
            break; /* a file system without them */
        identity = kept[i].identity && strstr(kept[i].identity, "%s")
                       ? memory_format("%.*s%s\"}",
                                       (int)(strstr(kept[i].identity, "%s") - kept[i].identity),
                                       kept[i].identity, digest)
                       : memory_copy(kept[i].identity);
        expect_attribute(i, path, "user.sr_identity", identity);
        expect_attribute(i, path, "user.sr_mtime", kept[i].mtime);
        free(identity);
    }
    free(path);
}

/* ---- what is not as announced ---- */

static const struct {
    enum writer_mismatch mismatch;
    bool accept_wrong_size, wrong_size, again;
    enum writer_outcome outcome;
    bool changed;
} mismatches[] = {
    {WRITER_MISMATCH_PLACE, false, false, false, WRITER_MISMATCH, false},
    {WRITER_MISMATCH_PLACE, false, false, true, WRITER_PLACED, true},
    {WRITER_MISMATCH_PLACE, false, true, true, WRITER_PLACED, true},
    {WRITER_MISMATCH_RETRY, false, false, true, WRITER_MISMATCH, true},
    {WRITER_MISMATCH_REJECT, false, false, false, WRITER_MISMATCH, false},
    {WRITER_MISMATCH_REJECT, false, true, true, WRITER_MISMATCH, true},
    {WRITER_MISMATCH_REJECT, true, true, false, WRITER_PLACED, false},
    {WRITER_MISMATCH_RETRY, true, false, false, WRITER_MISMATCH, false},
};

static void mismatches_end_as_told(void **state)
{
    struct scene *scene = *state;
    char *path = scene_path(scene, "file");

    for (size_t i = 0; i < COUNT_OF(mismatches); i++) {
        struct writer_plan plan = scene_plan(scene, "file");
        struct writer_result first, result;
        struct writer_file *file;
        char digest[100];

        unlink(path);
        scene_writer(
            scene, (struct writer_settings){.mismatch = mismatches[i].mismatch,
                                            .accept_wrong_size = mismatches[i].accept_wrong_size});
        scene_digest("md5", 2, SIZE, digest);
        plan.identity_method = "md5";
        plan.identity_value = digest;
        plan.size_bytes = mismatches[i].wrong_size ? SIZE + 1 : SIZE;
        first = result = scene_place(scene, &plan, 1, SIZE);
        if (mismatches[i].again) {
            file = writer_begin(scene->writer, &plan, scene);
            scene_give(scene, file, 1, 0, SIZE);
            writer_finish(file, first.fingerprint, NULL);
            result = scene_result(scene);
        }
        if (result.outcome != mismatches[i].outcome || result.changed != mismatches[i].changed)
            fail_msg("mismatch %zu: outcome %d, changed %d (%s)", i, result.outcome, result.changed,
                     result.err.text);
        scene_expect("mismatch", scene->root, result.outcome == WRITER_PLACED ? "file" : "");
    }
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_is_there_decides),
        SCENE(large_files_are_compared_in_pieces),
        SCENE(obstacles_are_found_before_fetching),
        SCENE(attributes_are_those_of_sr3),
        SCENE(mismatches_end_as_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
