/*
 * An announcement: the message that a file can be had.
 *
 * Every wire format is read into this one form; its words are those of v03 (the format's source:
 * the sr3 manual page sr_post(7)). v02.c and v03.c read one format each, announcement.c decides
 * which it is, checks what all have in common and answers questions about the result.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stdint.h>

/* Bytes somebody else owns; not NUL-terminated, may hold anything. */
struct slice {
    const char *bytes;
    size_t length;
};

struct envelope_header {
    struct slice name, value; /* integers and booleans as decimal text */
};

/* A message as the broker delivered it. */
struct envelope {
    struct slice content_type; /* length 0: absent */
    struct slice exchange, routing_key;
    const struct envelope_header *headers;
    size_t header_count;
    struct slice body;
};

/* A copy that lives in `arena`. */
void envelope_copy(const struct envelope *from, struct arena *arena, struct envelope *to);

enum announcement_format { ANNOUNCEMENT_V02, ANNOUNCEMENT_V03 };

/* What happens to the file apart from new content. Texts are NULL when the key is absent. */
struct file_op {
    bool present;           /* any of the following */
    bool remove, directory; /* both: a directory is removed */
    const char *link;       /* target of a symbolic link */
    const char *link_key;   /* the same as sr3 rewrites it, for duplicate keys; NULL: as it is */
    const char *hlink;      /* existing file that a hard link is made to */
    const char *rename;     /* former path */
};

/* All texts live in `arena`, are NUL-terminated UTF-8 and NULL when absent. */
struct announcement {
    struct arena arena;
    enum announcement_format format;
    int64_t received_ns;     /* wall clock: what date variables of its destination stand for */
    const char *exchange;    /* it came through */
    const char *routing_key; /* with %23 and %22 decoded to # and * */
    const char *pub_time;    /* as sr3 keeps it: v02 gets the T, v03 stays as received */
    int64_t pub_time_ns;
    const char *base_url;     /* never empty */
    const char *rel_path;     /* decoded; may be empty */
    const char *raw_rel_path; /* as received: what duplicate keys are made of */
    const char *retrieve_path;
    int64_t size_bytes; /* 0: unknown */
    bool has_size;      /* a size was given, be it 0: it is part of some duplicate keys */
    const char *identity_method;
    const char *identity_value; /* base64 without newlines for md5 and sha512, else the text */
    const char *mtime;          /* kept like pub_time; NULL also when it is no time */
    int64_t mtime_ns, atime_ns; /* -1: unknown */
    int mode;                   /* permission bits; -1: none given */
    struct file_op file_op;
    const char *rename;   /* suggested local path */
    const char *new_name; /* v02: first half of a double rename post */
    const char *source;
    const char *sundew_extension; /* further parts of the file name, for filename keywords */
    bool has_content;             /* the file's bytes came with the message: content.h reads them */
    const char *content_encoding; /* NULL: has_content, but not in a form that can be read */
    struct slice content;         /* as it stands in the message, of any text */
    bool has_blocks;              /* a partitioned file */
};

/*
 * Reads a message, which counts as received now. On failure the error is ERROR_PERMANENT and
 * `announcement` needs no clearing. Texts are copied, so the envelope may go away.
 */
bool announcement_parse(const struct envelope *envelope, struct announcement *announcement,
                        struct error *err) MUST_CHECK;
void announcement_clear(struct announcement *announcement);

/* The URL that accept and reject patterns see: base_url, one '/', rel_path, nothing encoded. */
char *announcement_match_url(struct announcement *announcement); /* lives in its arena */

/* The path of its base_url, from the '/' behind the host to the query: "" or "/p/q". */
struct slice announcement_base_path(const struct announcement *announcement);

/*
 * The URL to fetch (http, https, ftp, ftps, sftp, file), percent-encoded and without a user; NULL
 * and `err` when none can be made: another scheme, control characters in a retrieve_path, no file
 * name where one is needed. Lives in the announcement's arena. Made by announcement_url.c.
 */
char *announcement_fetch_url(struct announcement *announcement, struct error *err) MUST_CHECK;

/*
 * The time by which one version is older than another, in ns since 1970: when it was published. A
 * clock that is ahead must not shut out whatever is published after it, so a time in the future
 * counts for five minutes at most. Needs received_ns.
 */
int64_t announcement_version_ns(const struct announcement *announcement);

/* In what two announcements of the same file agree (sr3_options(7): nodupe_basis). */
enum announcement_basis {
    ANNOUNCEMENT_BY_PATH, /* content and path */
    ANNOUNCEMENT_BY_DATA, /* content alone */
    ANNOUNCEMENT_BY_NAME  /* the last component of the path alone */
};

/* The two texts of which sr3 makes a duplicate key. They live in the announcement's arena. */
void announcement_duplicate_key(struct announcement *announcement, enum announcement_basis basis,
                                const char **key, const char **path);

/*
 * The readers, for announcement.c. They leave to it what does not depend on the format: exchange,
 * routing_key, the checks of pub_time, base_url and rel_path, the numbers of pub_time and mtime.
 */
bool v02_parse(const struct envelope *envelope, struct announcement *announcement,
               struct error *err) MUST_CHECK;
bool v03_parse(const struct envelope *envelope, struct announcement *announcement,
               struct error *err) MUST_CHECK;

/* What the readers share. */

/* UTF-8 without a NUL. */
bool announcement_text_is_valid(struct slice text);

/* A copy in which %2 with a digit out of `codes` became the character behind that digit there. */
char *announcement_decode(struct arena *arena, struct slice text, const char *codes) MUST_CHECK;

/* Decimal digits only, up to 2^53; otherwise false and nothing is set. */
bool announcement_set_size(struct announcement *announcement, struct slice digits) MUST_CHECK;

/* "1,31,1,0,0": false when these are not five fields. */
bool announcement_split_parts(struct slice parts, struct slice *method,
                              struct slice *size) MUST_CHECK;

/* `value` is copied without its newlines; an empty one is no identity. */
void announcement_set_identity(struct announcement *announcement, const char *method,
                               struct slice value);

/* Texts that make no sense leave the field unknown. */
void announcement_set_mode(struct announcement *announcement, const char *octal);
void announcement_set_atime(struct announcement *announcement, const char *time);
