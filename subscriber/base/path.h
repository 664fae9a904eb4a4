/*
 * Paths from outside, joined below a directory and never above it.
 *
 * path_clean() works on the text; path_open_below() and path_make_below() on the file system, where
 * a symbolic link must not lead out either.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/*
 * `path` with empty components removed ("a//b", "/a"), in `arena`. NULL and ERROR_PERMANENT for
 * what must not be used as a name: "." or ".." as a component, a component longer than 255 bytes,
 * a whole longer than 4000, nothing at all.
 */
char *path_clean(struct arena *arena, const char *path, struct error *err) MUST_CHECK;

/*
 * Opens the directory `path` (clean; "" is the root itself) below the open directory `root` without
 * following a link out of it. -1 with errno; the descriptor is the caller's.
 */
int path_open_below(int root, const char *path) MUST_CHECK;

/* The same for reading a file. It does not wait for whoever writes to a pipe. */
int path_open_file_below(int root, const char *path) MUST_CHECK;

/* As path_open_below(), and makes what is missing on the way, with mode 0775 less the umask. */
int path_make_below(int root, const char *path) MUST_CHECK;
int path_make_below_as(int root, const char *path, unsigned mode) MUST_CHECK; /* another mode */

/* The same as path_open_below(), and no link is followed at all, not even one that stays below. */
int path_open_plain(int root, const char *path) MUST_CHECK;

/*
 * How many levels the open directory `below` is below the open directory `root`, 0 for itself,
 * whatever links led there; -1 with errno, EXDEV when it is not below.
 */
int path_depth(int root, int below) MUST_CHECK;

/* Makes the directory `path` and its parents, like mkdir -p. */
bool path_make_directory(const char *path, unsigned mode, struct error *err) MUST_CHECK;

/* For tests: whether openat2 does the walk; without it every link is refused. */
void path_use_openat2(bool use);
