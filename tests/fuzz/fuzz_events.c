/*
 * Sequences of events over a small tree, with links that lead out of it. After each of them what is
 * beside the tree has to be as it was; and where there were no links that lead out at first, none
 * of those that were made does, as the kernel sees it.
 *
 * Three bytes are an event: what, where, and whence or whereto.
 */
#include "stages/events_disk.h"

#include <assert.h>
#include <fcntl.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

#define EVENTS_MOST 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64], root[80], outside[80], victim[96], empty[96];

static const char *const paths[] = {
    "a",      "b",      "a/b",   "a/b/c",   "b/a",    "l",     "a/l",       "a/b/l",
    "l/a",    "l/l",    "b/l/a", "o1",      "o2",     "o3",    "o1/victim", "o2/empty",
    "o1/x",   "o3/x",   "a/o1",  "in",      "in/c",   "in/l",  "o3/data/a", "here",
    "here/a", "here/l", "l/b/l", "a/b/c/l", "o2/x/y", "in/o1", "o1/../x",   "..",
};

static const char *const targets[] = {
    "a",       "..",          "../..",        ".",        "b/c",       "../l",
    "../../l", "../../../x",  "l/..",         "l/../..",  "a/../../x", "../outside",
    "%/a",     "%",           "%/../outside", "@",        "@/victim",  "/",
    "./../a",  "../../../..", "../in/..",     "in/../..", "",          "here/../../outside",
};

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

static void remove_base(void)
{
    remove_tree(base);
}

static void must(bool worked)
{
    if (worked)
        return;
    perror("fuzz_events");
    abort();
}

static void make_base(void)
{
    int fd;

    snprintf(base, sizeof(base), "%s/fuzz_events.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(base) != NULL);
    atexit(remove_base);
    snprintf(root, sizeof(root), "%s/data", base);
    snprintf(outside, sizeof(outside), "%s/outside", base);
    snprintf(victim, sizeof(victim), "%s/victim", outside);
    snprintf(empty, sizeof(empty), "%s/empty", outside);
    must(mkdir(outside, 0755) == 0 && mkdir(empty, 0755) == 0);
    fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    must(fd >= 0 && write(fd, "untouched", 9) == 9 && close(fd) == 0);
}

static void make_tree(bool with_ways_out)
{
    int at, fd;

    must(mkdir(root, 0755) == 0);
    at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(at >= 0 && mkdirat(at, "a", 0755) == 0 && mkdirat(at, "a/b", 0755) == 0);
    must(symlinkat("a/b", at, "in") == 0 && symlinkat(".", at, "here") == 0);
    fd = openat(at, "a/b/c", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    must(fd >= 0 && close(fd) == 0);
    must(!with_ways_out
         || (symlinkat(outside, at, "o1") == 0 && symlinkat("../outside", at, "o2") == 0
             && symlinkat("..", at, "o3") == 0));
    close(at);
}

/* ---- what must hold ---- */

struct canary {
    struct stat base, outside, victim, empty;
};

static struct canary look(void)
{
    struct canary canary;

    must(stat(base, &canary.base) == 0 && stat(outside, &canary.outside) == 0
         && stat(victim, &canary.victim) == 0 && stat(empty, &canary.empty) == 0);
    return canary;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink
           && a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec
           && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void check_canary(const struct canary *before)
{
    struct canary now = look();

    assert(same(&before->base, &now.base) && same(&before->outside, &now.outside));
    assert(same(&before->victim, &now.victim) && same(&before->empty, &now.empty));
}

static void check_link(const char *path)
{
    char *real = realpath(path, NULL);
    size_t length = strlen(root);

    assert(!real || (strncmp(real, root, length) == 0 && (!real[length] || real[length] == '/')));
    free(real);
}

static void check_links(void)
{
    char *roots[] = {root, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE)
            check_link(entry->fts_path);
    fts_close(tree);
}

/* ---- events ---- */

static char *expand(const char *target)
{
    if (*target == '%' || *target == '@')
        return memory_format("%s%s", *target == '%' ? root : outside, target + 1);
    return memory_copy(target);
}

static void carry_out(const uint8_t *bytes)
{
    char *target = expand(targets[bytes[2] % COUNT_OF(targets)]);
    struct disk_event event = {.outcome = EVENTS_FAILED};
    struct list batch;

    event.plan = (struct events_plan){
        .op = 1 + bytes[0] % (EVENTS_OPS - 1),
        .directory = root,
        .path = paths[bytes[1] % COUNT_OF(paths)],
        .other_directory = root,
        .other_path = paths[bytes[2] % COUNT_OF(paths)],
        .otherwise = (bytes[0] >> 4) % EVENTS_OPS,
        .target = target,
        .mode = 0755,
    };
    if (event.plan.otherwise == EVENTS_HLINK || event.plan.otherwise == EVENTS_RENAME)
        event.plan.otherwise = EVENTS_NOTHING;
    list_init(&batch);
    list_append(&batch, &event.link);
    disk_events(&batch, EVENTS_DURABILITY_NONE);
    assert(event.outcome <= EVENTS_FAILED);
    assert((event.outcome == EVENTS_DONE || event.outcome == EVENTS_FETCH) == !*event.err.text);
    free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool with_ways_out = size && (*data & 1);
    struct canary canary;

    if (!*base)
        make_base();
    make_tree(with_ways_out);
    path_use_openat2(!size || !(*data & 2));
    canary = look();
    for (size_t i = 1; i + 3 <= size && i < 3 * EVENTS_MOST; i += 3) {
        carry_out(data + i);
        check_canary(&canary);
        if (!with_ways_out)
            check_links();
    }
    remove_tree(root);
    return 0;
}
