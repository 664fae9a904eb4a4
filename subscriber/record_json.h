/* What the readers of records (record.c, record_sr3.c) share. */
#pragma once

#include "base/error.h"

#include <jansson.h>

/* An announcement has at most 1 MiB; as JSON a byte of it may take six. */
#define RECORD_SIZE_MAX  (8 << 20)
#define RECORD_DEPTH_MAX 64

/*
 * The object that `text` is; NULL and ERROR_PERMANENT when it is none, or larger or deeper than any
 * record is. `what` is it called in the error.
 */
json_t *record_load(const char *text, size_t length, const char *what,
                    struct error *err) MUST_CHECK;
