/*
 * Local files that file: URLs name. Nothing is read but regular files below directories that the
 * operator named; links must not lead out of these.
 *
 * Part of download.c; everything here may wait for a disk.
 */
#pragma once

#include "stages/download.h"

/* Opens for reading. -1 and `err`; *gone: there is no such file. */
int local_file_open(struct download_names allowed, const char *url, int64_t *size_bytes,
                    int64_t *modified_s, bool *gone, struct error *err) MUST_CHECK;

/*
 * Removes a regular file, itself and not where a link points to. `modified_s`, if > 0, is how old
 * it has to be. False and `err`; *gone: there is no such file.
 */
bool local_file_remove(struct download_names allowed, const char *url, int64_t modified_s,
                       bool *gone, struct error *err) MUST_CHECK;

/* Whether every one of them can be one: an absolute path. */
bool local_file_check(struct download_names allowed, struct error *err) MUST_CHECK;
