/*
 * An announcement as the retry store keeps it: the message as the broker delivered it, and what
 * became of it so far.
 *
 * The text is one JSON object in UTF-8:
 *
 *     {"v": 1, "received": "20250102T040312.751", "failed": "20250102T040313", "tries": 2,
 *      "reason": "get 'http://...': HTTP 503", "fingerprint": "...",
 *      "exchange": "xpublic", "topic": "v02.post.obs", "contentType": "text/plain",
 *      "headers": {"sum": "d,735f...", ...}, "body": "20250102040312.75 http://... /obs/x"}
 *
 * Times are UTC in the form of announcements. A member that is empty or unknown is left out. Where
 * a header's value, the body or another text is no UTF-8, or has a NUL, {"base64": "..."} takes its
 * place. Headers whose name is no such text are left out, no reader asks for them; of those with
 * the same name the last one counts.
 */
#pragma once

#include "announcement.h"

struct record {
    int64_t received_ns;      /* wall clock: when it was delivered first */
    int64_t first_failure_ns; /* wall clock; 0: it has not failed, it only waits */
    int tries;                /* that failed */
    char *reason;             /* of the last failure; NULL: none */
    char *fingerprint;        /* of bytes that were not the announced ones; NULL: none */
    struct envelope envelope; /* its bytes are the record's when it was parsed */
    struct arena arena;       /* private: what a parsed record's texts live in */
};

/* Allocated text of `record`. */
char *record_print(const struct record *record) MUST_CHECK;

/* Reads a text; false and ERROR_PERMANENT when it is none of ours. Otherwise clear it later. */
bool record_parse(const char *text, size_t length, struct record *record,
                  struct error *err) MUST_CHECK;

/*
 * Reads an entry of sr3's retry lists (jsonpickle's JSON of a message) into the announcement that
 * it was made of: v03 whatever its `_format`. Members that sr3 computed (new_dir, new_file ...) are
 * ignored: this configuration decides anew.
 */
bool record_parse_sr3(const char *text, size_t length, struct record *record,
                      struct error *err) MUST_CHECK;

void record_clear(struct record *record);
