/*
 * A small tree below `root`, with links that lead out of it if so asked, and what is beside it and
 * has to stay as it is: names, contents, modes, times.
 */
#pragma once

#include "base/memory.h"

#include <assert.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64], root[80], outside[80], victim[96], empty[96];

static inline void remove_tree(const char *directory)
{
    char *roots[] = {memory_copy(directory), NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info != FTS_D)
            remove(entry->fts_accpath);
    fts_close(tree);
    free(roots[0]);
}

static inline void remove_base(void)
{
    remove_tree(base);
}

static inline void must(bool worked)
{
    if (worked)
        return;
    perror("canary");
    abort();
}

static inline void make_base(const char *target)
{
    int fd;

    snprintf(base, sizeof(base), "%s/%s.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", target);
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

static inline void make_tree(bool with_ways_out)
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

static inline struct canary look(void)
{
    struct canary canary;

    must(stat(base, &canary.base) == 0 && stat(outside, &canary.outside) == 0
         && stat(victim, &canary.victim) == 0 && stat(empty, &canary.empty) == 0);
    return canary;
}

static inline bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink
           && a->st_size == b->st_size && a->st_ctim.tv_sec == b->st_ctim.tv_sec
           && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static inline void check_canary(const struct canary *before)
{
    struct canary now = look();

    assert(same(&before->base, &now.base) && same(&before->outside, &now.outside));
    assert(same(&before->victim, &now.victim) && same(&before->empty, &now.empty));
}

static inline void check_link(const char *path)
{
    char *real = realpath(path, NULL);
    size_t length = strlen(root);

    assert(!real || (strncmp(real, root, length) == 0 && (!real[length] || real[length] == '/')));
    free(real);
}

static inline void check_links(void)
{
    char *roots[] = {root, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE)
            check_link(entry->fts_path);
    fts_close(tree);
}
