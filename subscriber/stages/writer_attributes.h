/*
 * What sr3 keeps about a file in its extended attributes: user.sr_identity, {"method": "md5",
 * "value": "..."}, and user.sr_mtime, a time as in announcements.
 *
 * A file system without them is no trouble: they only save reading a file again, and without
 * timeCopy they are the one place where its announced time is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ATTRIBUTES_TEXT_SIZE 512

struct attributes {
    char method[32], value[ATTRIBUTES_TEXT_SIZE]; /* "": none */
    int64_t mtime_ns;                             /* -1: none */
};

/* False if the file system knows no such attributes; other failures are not worth a word. */
bool attributes_write(int fd, const struct attributes *attributes);

/* What makes no sense counts as not there. */
void attributes_read(int fd, struct attributes *attributes);
