/*
 * Who logs in where, and how: credentials.conf, a file shared with sr3.
 *
 *     # URL [detail[,detail...]]
 *     amqps://alice:secret@broker.example.org/
 *     ftp://bob:secret@ftp.example.org/ passive,tls,prot_p
 *     https://data.example.org/ bearer_token=0123456789
 *
 * Parts of a URL are percent-encoded (%2f is a slash). Nothing read here is ever put into an error
 * or a warning: those name the file and the line.
 *
 * Format: sr3_credentials(7).
 */
#pragma once

#include "base/url.h"

#include <stddef.h>

struct credentials;

struct credential_detail {
    char *key;   /* "passive", "bearer_token", ... as written */
    char *value; /* behind the first '='; NULL when there is none */
};

struct credential {
    struct url url;
    struct credential_detail *details;
    size_t detail_count;
    int line;
};

/* A file that does not exist holds no credentials. NULL and `err` when it cannot be read. */
struct credentials *credentials_load(const char *path, struct error *err) MUST_CHECK;

/* The same of `size` bytes in memory, which are copied; `path` is for warnings. */
struct credentials *credentials_parse(const char *path, const char *text, size_t size) MUST_CHECK;
void credentials_free(struct credentials *credentials); /* NULL is fine */

/*
 * Warning number `index`, from 0, NULL behind the last: lines that were left out, unknown details,
 * a file that others can read.
 */
const char *credentials_warning(const struct credentials *credentials, size_t index);

/*
 * The entry for `wanted`, NULL if there is none: one that is the same in every part, else the first
 * with the same scheme, host, port (none is not the same as the default one), vhost in the case of
 * a broker, and the same user and password where `wanted` has them.
 */
const struct credential *credentials_find(const struct credentials *credentials,
                                          const struct url *wanted);

/* The detail `key` of an entry, NULL if it has none. `credential` may be NULL. */
const struct credential_detail *credential_detail(const struct credential *credential,
                                                  const char *key);
