/*
 * Events carried out in a real directory, through a real loop and its pool. What counts is what is
 * on the disk afterwards, and that nothing has changed beside it.
 *
 * Trees are written as words: "a/" a directory, "a/f" a file (its content is its name), "l>t" a
 * symbolic link. There '@' stands for the directory outside, '%' for the one to work in. Words
 * with a '*' at their end have more than one name.
 */
#include "stages/events.h"

#include "base/clock.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000
#define NOBODY      65534

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG  FIFTY FIFTY FIFTY FIFTY FIFTY "abcde" /* 255 bytes */

/* ---- the scene: a directory to work in, one beside it that must stay as it is ---- */

struct scene {
    struct loop *loop;
    struct loop_timer *timer;
    struct events *events;
    char base[64], root[80], other_root[80], outside[80];
};

static void nothing(void *context)
{
    (void)context;
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(text, file) == EOF || fclose(file) != 0)
        fail_msg("create '%s': %s", path, strerror(errno));
}

static void open_events(struct scene *scene, enum events_durability durability)
{
    events_close(scene->events);
    scene->events = events_open(scene->loop, &(struct events_settings){.durability = durability});
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));
    char *victim;

    snprintf(scene->base, sizeof(scene->base), "/tmp/test_events.XXXXXX");
    assert_non_null(mkdtemp(scene->base));
    assert_int_equal(chmod(scene->base, 0755), 0);
    snprintf(scene->root, sizeof(scene->root), "%s/data", scene->base);
    snprintf(scene->other_root, sizeof(scene->other_root), "%s/other", scene->base);
    snprintf(scene->outside, sizeof(scene->outside), "%s/outside", scene->base);
    assert_int_equal(mkdir(scene->outside, 0755), 0);
    victim = memory_format("%s/victim", scene->outside);
    make_file(victim, "untouched");
    memory_replace(&victim, memory_format("%s/empty", scene->outside));
    assert_int_equal(mkdir(victim, 0755), 0);
    free(victim);
    scene->loop = loop_open();
    scene->timer = loop_timer_open(scene->loop, nothing, NULL);
    open_events(scene, EVENTS_DURABILITY_NONE);
    *state = scene;
    return 0;
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

    path_use_openat2(true);
    events_close(scene->events);
    loop_timer_close(scene->timer);
    loop_close(scene->loop);
    remove_tree(scene->base);
    free(scene);
    return 0;
}

/* ---- trees ---- */

/* With '@' and '%' in the place of directories, or the other way round. Allocated. */
static char *replace(const char *text, const char *from, const char *to)
{
    char *result = memory_copy("");
    const char *at;

    for (; (at = strstr(text, from)); text = at + strlen(from))
        memory_replace(&result, memory_format("%s%.*s%s", result, (int)(at - text), text, to));
    memory_replace(&result, memory_format("%s%s", result, text));
    return result;
}

static char *expand(const struct scene *scene, const char *text)
{
    char *half = replace(text, "@", scene->outside), *whole = replace(half, "%", scene->root);

    free(half);
    return whole;
}

static void make_word(const char *root, char *word)
{
    char *arrow = strchr(word, '>'), *path;
    size_t length = strlen(word);

    if (arrow)
        *arrow = '\0';
    path = memory_format("%s/%s", root, word);
    if (arrow ? symlink(arrow + 1, path) : word[length - 1] == '/' ? mkdir(path, 0755) : 0)
        fail_msg("make '%s': %s", path, strerror(errno));
    if (!arrow && word[length - 1] != '/')
        make_file(path, word);
    free(path);
}

static void make_tree(const struct scene *scene, const char *root, const char *words)
{
    char *text = expand(scene, words), *rest = text, *word;

    assert_int_equal(mkdir(root, 0755), 0);
    while ((word = strsep(&rest, " ")))
        if (*word)
            make_word(root, word);
    free(text);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static char *print_entry(const FTSENT *entry, const char *name)
{
    char target[5000] = "";
    ssize_t length;

    if (entry->fts_info == FTS_D || entry->fts_info == FTS_DNR)
        return memory_format("%s/", name);
    length = readlink(entry->fts_path, target, sizeof(target) - 1);
    target[length > 0 ? length : 0] = '\0';
    return memory_format("%s%s%s%s", name, length >= 0 ? ">" : "", target,
                         entry->fts_statp->st_nlink > 1 ? "*" : "");
}

static char *print_tree(const struct scene *scene, const char *root)
{
    char *roots[] = {memory_copy(root), NULL}, *text = memory_copy(""), *half;
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);

    for (FTSENT *entry; (entry = fts_read(tree));) {
        char *word;

        if (entry->fts_info == FTS_DP || entry->fts_level == 0)
            continue;
        word = print_entry(entry, entry->fts_path + strlen(root) + 1);
        memory_replace(&text, memory_format("%s%s%s", text, *text ? " " : "", word));
        free(word);
    }
    fts_close(tree);
    free(roots[0]);
    half = replace(text, scene->outside, "@");
    memory_replace(&text, replace(half, scene->root, "%"));
    free(half);
    return text;
}

static void expect_tree(const struct scene *scene, const char *what, const char *root,
                        const char *expected)
{
    char *text = print_tree(scene, root);

    if (strcmp(text, expected) != 0)
        fail_msg("%s: there is '%s', not '%s'", what, text, expected);
    free(text);
}

static void expect_untouched(const struct scene *scene, const char *what)
{
    char *victim = memory_format("%s/victim", scene->outside), text[32] = "";
    FILE *file = fopen(victim, "r");

    expect_tree(scene, what, scene->outside, "empty/ victim");
    if (!file || !fgets(text, sizeof(text), file) || strcmp(text, "untouched") != 0)
        fail_msg("%s: the file outside was changed", what);
    fclose(file);
    free(victim);
}

/* ---- carrying out ---- */

static struct events_result take_result(struct scene *scene, const char *what)
{
    int64_t give_up_ms = clock_now_ms() + DEADLINE_MS;
    struct events_result result;

    while (!events_take_result(scene->events, &result)) {
        if (clock_now_ms() > give_up_ms)
            fail_msg("%s: no result", what);
        loop_timer_set(scene->timer, 1000);
        loop_wait(scene->loop);
        events_step(scene->events);
    }
    return result;
}

static struct events_result carry_out(struct scene *scene, const struct events_plan *plan,
                                      const char *what)
{
    struct events_result result;

    events_start(scene->events, plan, NULL, scene);
    events_step(scene->events);
    result = take_result(scene, what);
    assert_ptr_equal(result.ticket, scene);
    return result;
}

static const char *const outcomes[] = {
    [EVENTS_DONE] = "done",         [EVENTS_FETCH] = "fetch", [EVENTS_BLOCKED] = "blocked",
    [EVENTS_REJECTED] = "rejected", [EVENTS_LATE] = "late",   [EVENTS_FAILED] = "failed",
};

struct row {
    const char *name, *before;
    struct events_plan plan;
    enum events_outcome outcome;
    int code;
    const char *after; /* NULL: as before */
    int walker;        /* 1: only if the kernel walks, 2: only if it does not */
};

#define LINK(at, to)                                                                               \
    {                                                                                              \
        .op = EVENTS_LINK, .path = (at), .target = (to)                                            \
    }
#define HLINK(at, from)                                                                            \
    {                                                                                              \
        .op = EVENTS_HLINK, .path = (at), .other_path = (from)                                     \
    }
#define REMOVE(at)                                                                                 \
    {                                                                                              \
        .op = EVENTS_REMOVE, .path = (at)                                                          \
    }
#define RENAME(at, from)                                                                           \
    {                                                                                              \
        .op = EVENTS_RENAME, .path = (at), .other_path = (from)                                    \
    }
#define MKDIR(at)                                                                                  \
    {                                                                                              \
        .op = EVENTS_MKDIR, .path = (at), .mode = 0755                                             \
    }
#define DONE    EVENTS_DONE, 201
#define FETCH   EVENTS_FETCH, 0
#define REFUSED EVENTS_REJECTED, 422
#define BLOCKED EVENTS_BLOCKED, 500

static const struct row rows[] = {
    /* symbolic links */
    {"link", "", LINK("l", "t"), DONE, "l>t", 0},
    {"link below", "", LINK("a/b/l", "t"), DONE, "a/ a/b/ a/b/l>t", 0},
    {"link upwards", "a/ f", LINK("a/l", "../f"), DONE, "a/ a/l>../f f", 0},
    {"link once more", "l>t", LINK("l", "t"), DONE, NULL, 0},
    {"link replaces link", "l>u", LINK("l", "t"), DONE, "l>t", 0},
    {"link replaces file", "l", LINK("l", "t"), DONE, "l>t", 0},
    {"link replaces link that leads out", "l>@", LINK("l", "t"), DONE, "l>t", 0},
    {"link and directory", "l/", LINK("l", "t"), BLOCKED, NULL, 0},
    {"link through file", "f", LINK("f/l", "t"), BLOCKED, NULL, 0},
    {"link absolute inside", "", LINK("l", "%/a/b"), DONE, "l>%/a/b", 0},
    {"link absolute with ..", "", LINK("l", "%/../outside"), REFUSED, NULL, 0},
    {"link absolute outside", "", LINK("l", "@"), REFUSED, NULL, 0},
    {"link absolute beside", "", LINK("l", "%base"), REFUSED, NULL, 0},
    {"link out", "", LINK("l", "../outside"), REFUSED, NULL, 0},
    {"link out below", "a/ a/b/", LINK("a/b/l", "../../../outside"), REFUSED, NULL, 0},
    {"link out by dots between", "a/", LINK("a/l", ".././/../outside"), REFUSED, NULL, 0},
    {"link out behind a name", "a/", LINK("a/l", "b/../../../outside"), REFUSED, NULL, 0},
    {"link out through a link", "a/ a/up>..", LINK("a/l", "up/../outside"), REFUSED, NULL, 0},
    {"link through link, higher than it seems", "a/ a/b/ a/b/up>../..",
     LINK("a/b/up/l", "../outside"), REFUSED, NULL, 0},
    {"link through link, deeper than it seems", "a/ a/b/ down>a/b", LINK("down/l", "../../f"), DONE,
     "a/ a/b/ a/b/l>../../f down>a/b", 1},
    {"link through link that leads out", "o>@", LINK("o/l", "t"), REFUSED, NULL, 0},
    {"link through link that leads up", "o>../outside", LINK("o/l", "t"), REFUSED, NULL, 0},
    {"link allowed out",
     "",
     {.op = EVENTS_LINK, .path = "l", .target = "../outside", .link_outside = true},
     DONE,
     "l>../outside",
     0},
    {"link to itself", "", LINK("l", "l"), DONE, "l>l", 0},
    {"link with a long name", "", LINK(LONG, "t"), DONE, LONG ">t", 0},
    {"link with a long name replaces", LONG, LINK(LONG, "t"), DONE, LONG ">t", 0},
    {"link with too long a name", "", LINK(LONG "x", "t"), REFUSED, NULL, 0},

    /* hard links */
    {"hard link", "f", HLINK("h", "f"), DONE, "f* h*", 0},
    {"hard link below", "a/ a/f", HLINK("b/h", "a/f"), DONE, "a/ a/f* b/ b/h*", 0},
    {"hard link replaces", "f h", HLINK("h", "f"), DONE, "f* h*", 0},
    {"hard link replaces link", "f h>@/victim", HLINK("h", "f"), DONE, "f* h*", 0},
    {"hard link to itself", "f", HLINK("f", "f"), DONE, NULL, 0},
    {"hard link and directory", "f h/", HLINK("h", "f"), BLOCKED, NULL, 0},
    {"hard link to nothing", "", HLINK("h", "f"), FETCH, NULL, 0},
    {"hard link to nothing below a file", "f", HLINK("h", "f/g"), FETCH, NULL, 0},
    {"hard link to no place", "", HLINK("h", NULL), FETCH, NULL, 0},
    {"hard link to link", "l>f f", HLINK("h", "l"), REFUSED, NULL, 0},
    {"hard link to link that leads out", "l>@/victim", HLINK("h", "l"), REFUSED, NULL, 0},
    {"hard link through link", "a/ a/f l>a", HLINK("h", "l/f"), REFUSED, NULL, 0},
    {"hard link through link that leads out", "l>@", HLINK("h", "l/victim"), REFUSED, NULL, 0},
    {"hard link at link that leads out", "f l>@", HLINK("l/h", "f"), REFUSED, NULL, 0},
    {"hard link to directory", "a/", HLINK("h", "a"), REFUSED, NULL, 0},
    {"hard link above", "", HLINK("h", "../outside/victim"), REFUSED, NULL, 0},
    {"hard link with a long name", LONG, HLINK("a/" LONG, LONG), DONE, LONG "* a/ a/" LONG "*", 0},
    {"hard link elsewhere",
     "f",
     {.op = EVENTS_HLINK, .path = "h", .other_directory = "/tmp", .other_path = "f"},
     FETCH,
     NULL,
     0},
    {"hard link to nothing, not fetched",
     "",
     {.op = EVENTS_HLINK, .path = "h", .refuse_code = 422, .refuse_reason = "no URL"},
     REFUSED,
     NULL,
     0},

    /* removals */
    {"remove file", "a/ a/f a/g", REMOVE("a/f"), DONE, "a/ a/g", 0},
    {"remove link", "l>f f", REMOVE("l"), DONE, "f", 0},
    {"remove link that leads out", "l>@", REMOVE("l"), DONE, "", 0},
    {"remove link that leads nowhere", "l>x", REMOVE("l"), DONE, "", 0},
    {"remove directory", "a/ a/b/", REMOVE("a/b"), DONE, "a/", 0},
    {"remove nothing", "", REMOVE("f"), DONE, NULL, 0},
    {"remove nothing below nothing", "", REMOVE("a/b/f"), DONE, NULL, 0},
    {"remove nothing below a file", "f", REMOVE("f/g"), DONE, NULL, 0},
    {"remove directory with a file", "a/ a/f", REMOVE("a"), BLOCKED, NULL, 0},
    {"remove directory with a directory", "a/ a/b/", REMOVE("a"), BLOCKED, NULL, 0},
    {"remove through link", "a/ a/f l>a", REMOVE("l/f"), DONE, "a/ l>a", 1},
    {"remove through link, refused", "a/ a/f l>a", REMOVE("l/f"), REFUSED, NULL, 2},
    {"remove through link that leads out", "l>@", REMOVE("l/victim"), REFUSED, NULL, 0},
    {"remove through link that leads up", "l>../outside", REMOVE("l/victim"), REFUSED, NULL, 0},
    {"remove directory outside", "l>@", REMOVE("l/empty"), REFUSED, NULL, 0},
    {"remove above", "", REMOVE("../outside/victim"), REFUSED, NULL, 0},
    {"remove the directory itself", "", REMOVE("."), REFUSED, NULL, 0},
    {"remove nameless", "", REMOVE(""), REFUSED, NULL, 0},
    {"remove upwards", "a/", REMOVE("a/.."), REFUSED, NULL, 0},
    {"remove link to the directory itself", "a/ a/l>..", REMOVE("a/l"), DONE, "a/", 0},
    {"remove a long name", LONG, REMOVE(LONG), DONE, "", 0},
    {"remove too long a name", "", REMOVE(LONG "x"), REFUSED, NULL, 0},

    /* directories */
    {"mkdir", "", MKDIR("a"), DONE, "a/", 0},
    {"mkdir below", "", MKDIR("a/b/c"), DONE, "a/ a/b/ a/b/c/", 0},
    {"mkdir once more", "a/ a/f", MKDIR("a"), DONE, NULL, 0},
    {"mkdir and file", "a", MKDIR("a"), BLOCKED, NULL, 0},
    {"mkdir and link to directory", "a/ l>a", MKDIR("l"), DONE, NULL, 1},
    {"mkdir and link to directory, refused", "a/ l>a", MKDIR("l"), REFUSED, NULL, 2},
    {"mkdir and link that leads out", "l>@", MKDIR("l"), REFUSED, NULL, 0},
    {"mkdir through link that leads out", "l>@", MKDIR("l/new"), REFUSED, NULL, 0},
    {"mkdir through link that leads up", "l>..", MKDIR("l/outside/new"), REFUSED, NULL, 0},
    {"mkdir through file", "f", MKDIR("f/a"), BLOCKED, NULL, 0},
    {"mkdir above", "", MKDIR("../outside/new"), REFUSED, NULL, 0},
    {"mkdir with a long name", "", MKDIR(LONG "/" LONG), DONE, LONG "/ " LONG "/" LONG "/", 0},
    {"mkdir with too long a name", "", MKDIR(LONG "x"), REFUSED, NULL, 0},

    /* renames */
    {"rename file", "o", RENAME("n", "o"), DONE, "n", 0},
    {"rename file below", "a/ a/o", RENAME("b/c/n", "a/o"), DONE, "a/ b/ b/c/ b/c/n", 0},
    {"rename replaces file", "o n", RENAME("n", "o"), DONE, "n", 0},
    {"rename replaces link", "o n>@/victim", RENAME("n", "o"), DONE, "n", 0},
    {"rename replaces directory", "o n/", RENAME("n", "o"), DONE, "n", 0},
    {"rename and directory with a file", "o n/ n/f", RENAME("n", "o"), BLOCKED, NULL, 0},
    {"rename to itself", "o", RENAME("o", "o"), DONE, NULL, 0},
    {"rename directory", "o/ o/f", RENAME("n", "o"), DONE, "n/ n/f", 0},
    {"rename directory replaces directory", "n/ o/ o/f", RENAME("n", "o"), DONE, "n/ n/f", 0},
    {"rename directory replaces file", "n o/ o/f", RENAME("n", "o"), DONE, "n/ n/f", 0},
    {"rename directory and one with a file", "n/ n/g o/ o/f", RENAME("n", "o"), BLOCKED, NULL, 0},
    {"rename directory into itself", "o/ o/a/", RENAME("o/a/n", "o"), EVENTS_REJECTED, 500, NULL,
     0},
    {"rename link", "o>t", RENAME("n", "o"), DONE, "n>t", 0},
    {"rename link down", "a/ o>t", RENAME("a/n", "o"), DONE, "a/ a/n>t", 0},
    {"rename link so that it leads out", "a/ a/o>../t", RENAME("n", "a/o"), REFUSED, NULL, 0},
    {"rename link that leads out", "o>@", RENAME("n", "o"), REFUSED, NULL, 0},
    {"rename directory so that a link leads out", "a/ a/b/ a/b/c/ a/b/c/l>../../../t",
     RENAME("n", "a/b"), REFUSED, NULL, 0},
    {"rename directory with links up", "a/ a/b/ a/b/c/ a/b/c/l>../t", RENAME("n", "a/b"), DONE,
     "a/ n/ n/c/ n/c/l>../t", 0},
    {"rename directory with links aside", "a/ a/l>../t", RENAME("n", "a"), DONE, "n/ n/l>../t", 0},
    {"rename nothing", "", RENAME("n", "o"), FETCH, NULL, 0},
    {"rename nothing below nothing", "", RENAME("n", "a/o"), FETCH, NULL, 0},
    {"rename nothing below a file", "f", RENAME("n", "f/o"), FETCH, NULL, 0},
    {"rename what is not here", "", RENAME("n", NULL), FETCH, NULL, 0},
    {"rename to where it is renamed already", "n", RENAME("n", "o"), FETCH, NULL, 0},
    {"rename from outside", "l>@", RENAME("n", "l/victim"), REFUSED, NULL, 0},
    {"rename to outside", "o l>@", RENAME("l/n", "o"), REFUSED, "l>@ o", 0},
    {"rename from above", "", RENAME("n", "../outside/victim"), REFUSED, NULL, 0},
    {"rename to above", "o", RENAME("../outside/n", "o"), REFUSED, NULL, 0},
    {"rename the directory itself", "", RENAME("n", "."), REFUSED, NULL, 0},
    {"rename with a long name", LONG, RENAME("a/" LONG, LONG), DONE, "a/ a/" LONG, 0},
    {"rename an old version",
     "o",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .size_bytes = 2},
     FETCH,
     "",
     0},
    {"rename the version announced",
     "o",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .size_bytes = 1},
     DONE,
     "n",
     0},
    {"rename an old version, not fetched",
     "o",
     {.op = EVENTS_RENAME,
      .path = "n",
      .other_path = "o",
      .size_bytes = 2,
      .refuse_code = 422,
      .refuse_reason = "no URL"},
     REFUSED,
     NULL,
     0},
    {"rename nothing, not fetched",
     "",
     {.op = EVENTS_RENAME, .path = "n", .refuse_code = 202, .refuse_reason = "skipped"},
     EVENTS_REJECTED,
     202,
     NULL,
     0},
    {"rename directory that is not here",
     "",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .otherwise = EVENTS_MKDIR, .mode = 0755},
     DONE,
     "n/",
     0},
    {"rename link that is not here",
     "",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .otherwise = EVENTS_LINK, .target = "t"},
     DONE,
     "n>t",
     0},
    {"rename link that is not here, out",
     "",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .otherwise = EVENTS_LINK, .target = "@"},
     REFUSED,
     NULL,
     0},
    {"rename and removal",
     "n",
     {.op = EVENTS_RENAME, .path = "n", .other_path = "o", .otherwise = EVENTS_REMOVE},
     DONE,
     "",
     0},
};

static void run_row(struct scene *scene, const struct row *row)
{
    struct events_plan plan = row->plan;
    char *target = plan.target ? expand(scene, plan.target) : NULL, *before;
    struct events_result result;

    make_tree(scene, scene->root, row->before);
    before = print_tree(scene, scene->root);
    plan.directory = scene->root;
    plan.target = target;
    if (plan.other_path && !plan.other_directory)
        plan.other_directory = scene->root;
    result = carry_out(scene, &plan, row->name);
    if (result.outcome != row->outcome || result.code != row->code)
        fail_msg("%s: %s with code %d: %s", row->name, outcomes[result.outcome], result.code,
                 result.err.text);
    if ((result.outcome == EVENTS_DONE || result.outcome == EVENTS_FETCH)
        == (*result.err.text != 0))
        fail_msg("%s: error '%s'", row->name, result.err.text);
    expect_tree(scene, row->name, scene->root, row->after ? row->after : before);
    expect_untouched(scene, row->name);
    free(target);
    free(before);
    remove_tree(scene->root);
}

static void run_rows(struct scene *scene, int walker)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (!rows[i].walker || rows[i].walker == walker)
            run_row(scene, &rows[i]);
}

static void events_are_carried_out(void **state)
{
    run_rows(*state, 1);
}

static void durable_ones_too(void **state)
{
    open_events(*state, EVENTS_DURABILITY_EACH);
    run_rows(*state, 1);
}

static void without_openat2_as_well(void **state)
{
    path_use_openat2(false);
    run_rows(*state, 2);
}

/* ---- directories ---- */

static void missing_directories(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {.op = EVENTS_REMOVE, .directory = scene->root, .path = "a/b"};

    assert_int_equal(carry_out(scene, &plan, "remove").outcome, EVENTS_DONE);
    assert_int_equal(access(scene->root, F_OK), -1);
    plan.op = EVENTS_RENAME;
    plan.other_directory = scene->other_root;
    plan.other_path = "a";
    assert_int_equal(carry_out(scene, &plan, "rename").outcome, EVENTS_FETCH);
    assert_int_equal(access(scene->root, F_OK), -1);
    plan.op = EVENTS_LINK;
    plan.target = "t";
    assert_int_equal(carry_out(scene, &plan, "link").outcome, EVENTS_DONE);
    expect_tree(scene, "link", scene->root, "a/ a/b>t");
}

static void modes_are_set(void **state)
{
    static const struct {
        int announced;
        unsigned made;
    } modes[] = {{0777, 0777}, {0750, 0750}, {0555, 0755}, {0, 0700}, {07777, 0777}};
    struct scene *scene = *state;
    struct events_plan plan = {.op = EVENTS_MKDIR, .directory = scene->root, .path = "a/b"};
    struct stat status;
    char *path = memory_format("%s/a/b", scene->root);

    umask(027);
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        plan.mode = modes[i].announced;
        assert_int_equal(carry_out(scene, &plan, "mkdir").outcome, EVENTS_DONE);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, modes[i].made);
        plan.mode = 0711; /* what is there keeps its mode */
        assert_int_equal(carry_out(scene, &plan, "mkdir again").outcome, EVENTS_DONE);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, modes[i].made);
        assert_int_equal(rmdir(path), 0);
    }
    umask(022);
    free(path);
}

/* ---- between directories ---- */

static const struct {
    const char *name, *before, *other_before, *path, *other_path;
    enum events_outcome outcome;
    const char *after, *other_after;
} moves[] = {
    {"file", "", "o", "n", "o", EVENTS_DONE, "n", ""},
    {"directory", "", "o/ o/f", "n", "o", EVENTS_DONE, "n/ n/f", ""},
    {"link", "", "o>t", "n", "o", EVENTS_DONE, "n>t", ""},
    {"link to the other directory", "", "o>%/../other/t", "n", "o", EVENTS_REJECTED, "",
     "o>%/../other/t"},
    {"directory with such a link", "", "o/ o/l>%/../other/t", "n", "o", EVENTS_REJECTED, "",
     "o/ o/l>%/../other/t"},
    {"the same name", "o", "o", "o", "o", EVENTS_DONE, "o", ""},
};

static void renames_between_directories(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(moves); i++) {
        struct events_plan plan = {.op = EVENTS_RENAME,
                                   .directory = scene->root,
                                   .path = moves[i].path,
                                   .other_directory = scene->other_root,
                                   .other_path = moves[i].other_path};
        struct events_result result;

        make_tree(scene, scene->root, moves[i].before);
        make_tree(scene, scene->other_root, moves[i].other_before);
        result = carry_out(scene, &plan, moves[i].name);
        if (result.outcome != moves[i].outcome)
            fail_msg("%s: %s: %s", moves[i].name, outcomes[result.outcome], result.err.text);
        expect_tree(scene, moves[i].name, scene->root, moves[i].after);
        expect_tree(scene, moves[i].name, scene->other_root, moves[i].other_after);
        remove_tree(scene->root);
        remove_tree(scene->other_root);
    }
}

static void two_names_of_one_file_become_one(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {.op = EVENTS_HLINK,
                               .directory = scene->root,
                               .path = "n",
                               .other_directory = scene->root,
                               .other_path = "o"};

    make_tree(scene, scene->root, "o l>.");
    assert_int_equal(carry_out(scene, &plan, "hard link").outcome, EVENTS_DONE);
    plan.op = EVENTS_RENAME;
    assert_int_equal(carry_out(scene, &plan, "rename").outcome, EVENTS_DONE);
    expect_tree(scene, "rename", scene->root, "l>. n");
    plan.other_path = "l/n"; /* its own name by way of a link */
    assert_int_equal(carry_out(scene, &plan, "rename").outcome, EVENTS_DONE);
    expect_tree(scene, "rename", scene->root, "l>. n");
}

/* Looking through a directory has an end: what is too deep does not move up. */
static void deep_directories_stay(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {.op = EVENTS_RENAME,
                               .directory = scene->root,
                               .path = "n",
                               .other_directory = scene->root,
                               .other_path = "a/o"};
    char *path;

    make_tree(scene, scene->root, "a/ a/o/");
    path = memory_format("%s/a/o", scene->root);
    for (int i = 0; i < 70; i++) {
        memory_replace(&path, memory_format("%s/d", path));
        assert_int_equal(mkdir(path, 0755), 0);
    }
    assert_int_equal(carry_out(scene, &plan, "up").code, 422);
    assert_int_equal(access(path, F_OK), 0);
    plan.path = "b/n";
    assert_int_equal(carry_out(scene, &plan, "aside").outcome, EVENTS_DONE);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

/* ---- many at once ---- */

static void many_are_done_in_order(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {.directory = scene->root, .path = "a/l"};
    char targets[300][8];
    int tickets[COUNT_OF(targets)];

    open_events(scene, EVENTS_DURABILITY_GROUP);
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        snprintf(targets[i], sizeof(targets[i]), "t%zu", i);
        plan.op = i % 3 == 1 ? EVENTS_REMOVE : EVENTS_LINK;
        plan.target = targets[i];
        events_start(scene->events, &plan, NULL, &tickets[i]);
    }
    events_step(scene->events);
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        struct events_result result = take_result(scene, "many");

        assert_ptr_equal(result.ticket, &tickets[i]);
        assert_int_equal(result.outcome, EVENTS_DONE);
    }
    expect_tree(scene, "many", scene->root, "a/ a/l>t299");
}

static void too_late_is_not_done(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {.op = EVENTS_REMOVE, .directory = scene->root, .path = "f"};
    _Atomic int64_t until_ms = 0;

    make_tree(scene, scene->root, "f");
    events_start(scene->events, &plan, &until_ms, NULL);
    events_step(scene->events);
    assert_int_equal(take_result(scene, "late").outcome, EVENTS_LATE);
    expect_tree(scene, "late", scene->root, "f");
    until_ms = clock_now_ms() + DEADLINE_MS;
    events_start(scene->events, &plan, &until_ms, NULL);
    events_step(scene->events);
    assert_int_equal(take_result(scene, "in time").outcome, EVENTS_DONE);
    expect_tree(scene, "in time", scene->root, "");
}

static void closing_forgets(void **state)
{
    struct scene *scene = *state;
    struct events_plan plan = {
        .op = EVENTS_LINK, .directory = scene->root, .path = "l", .target = "t"};

    events_start(scene->events, &plan, NULL, NULL);
    events_step(scene->events);
    events_start(scene->events, &plan, NULL, NULL);
    plan.directory = scene->other_root;
    events_start(scene->events, &plan, NULL, NULL);
    open_events(scene, EVENTS_DURABILITY_NONE);
    expect_tree(scene, "closed", scene->root, "l>t");
    assert_int_equal(access(scene->other_root, F_OK), -1);
}

/* ---- what needs another user, or a mount: in a process of its own ---- */

enum child { CHILD_PASSED, CHILD_FAILED, CHILD_SKIPPED };

/* As nobody, in a directory that it must not write to: 0 if every event fails as it should. */
static int try_without_permission(struct scene *scene)
{
    static const struct events_plan plans[] = {REMOVE("a/f"), LINK("a/l", "t"), MKDIR("a/d"),
                                               RENAME("a/n", "a/f"), HLINK("a/h", "a/f")};

    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return CHILD_SKIPPED;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        struct events_plan plan = plans[i];
        struct events_result result;

        plan.directory = plan.other_directory = scene->root;
        result = carry_out(scene, &plan, "without permission");
        if (plan.op == EVENTS_HLINK && result.outcome == EVENTS_FETCH) /* protected_hardlinks */
            continue;
        if (result.outcome != EVENTS_FAILED || result.err.kind != ERROR_OPERATOR)
            return CHILD_FAILED;
    }
    return CHILD_PASSED;
}

/* Moves out of, into and over a file system that is mounted in the directory. */
static int try_across_devices(struct scene *scene)
{
    static const struct {
        struct events_plan plan;
        enum events_outcome outcome;
    } steps[] = {
        {LINK("m/l", "../f"), EVENTS_DONE},     {LINK("m/l", "../../f"), EVENTS_REJECTED},
        {HLINK("m/h", "f"), EVENTS_FETCH},      {RENAME("m/n", "f"), EVENTS_FETCH},
        {RENAME("m/n", "f"), EVENTS_FETCH},     {RENAME("m/n", "d"), EVENTS_BLOCKED},
        {RENAME("m/n", "empty"), EVENTS_FETCH}, {MKDIR("m/a/b"), EVENTS_DONE},
        {REMOVE("m"), EVENTS_FAILED},
    };
    char *mount_point = memory_format("%s/m", scene->root);

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mount("none", mount_point, "tmpfs", 0, NULL) != 0)
        return CHILD_SKIPPED;
    open_events(scene, EVENTS_DURABILITY_GROUP);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct events_plan plan = steps[i].plan;
        struct events_result result;

        plan.directory = plan.other_directory = scene->root;
        result = carry_out(scene, &plan, "across devices");
        if (result.outcome != steps[i].outcome) {
            fprintf(stderr, "step %zu: %s: %s\n", i, outcomes[result.outcome], result.err.text);
            return CHILD_FAILED;
        }
    }
    expect_tree(scene, "across devices", mount_point, "a/ a/b/ l>../f");
    umount(mount_point);
    free(mount_point);
    return CHILD_PASSED;
}

/* The pool's threads do not come along, so the child has a loop of its own. */
static void run_child(struct scene *scene, int (*run)(struct scene *))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(run(scene));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == CHILD_FAILED)
        fail_msg("the child failed, status %x", status);
    if (WEXITSTATUS(status) == CHILD_SKIPPED)
        print_message("not possible here\n");
}

static void permissions_are_the_operators(void **state)
{
    struct scene *scene = *state;

    make_tree(scene, scene->root, "a/ a/f");
    run_child(scene, try_without_permission);
    expect_tree(scene, "without permission", scene->root, "a/ a/f");
}

static void file_systems_are_kept_apart(void **state)
{
    struct scene *scene = *state;

    make_tree(scene, scene->root, "m/ f d/ d/f empty/");
    run_child(scene, try_across_devices);
    expect_tree(scene, "across devices", scene->root, "d/ d/f m/");
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(events_are_carried_out),
        SCENE(durable_ones_too),
        SCENE(without_openat2_as_well),
        SCENE(missing_directories),
        SCENE(modes_are_set),
        SCENE(renames_between_directories),
        SCENE(two_names_of_one_file_become_one),
        SCENE(deep_directories_stay),
        SCENE(many_are_done_in_order),
        SCENE(too_late_is_not_done),
        SCENE(closing_forgets),
        SCENE(permissions_are_the_operators),
        SCENE(file_systems_are_kept_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
