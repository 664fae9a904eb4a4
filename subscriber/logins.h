/*
 * Who logs in at a file server: from credentials.conf to what the download stage needs.
 *
 * An entry is looked up by the base URL of an announcement, as sr3 does: scheme, host and port must
 * be the same, and the user if the base URL names one. A user and password that stand in an ftp or
 * sftp base URL count when there is no entry; for http they never do. Without a password and a key,
 * sftp uses the first of OpenSSH's usual key files that is there.
 */
#pragma once

#include "settings/credentials.h"
#include "stages/download.h"

struct logins;

struct logins *logins_open(const struct credentials *credentials) MUST_CHECK; /* the caller's */
void logins_close(struct logins *logins); /* NULL is fine; secrets are wiped out */

/* How to log in, NULL: not at all. Good until the next call. */
const struct download_login *logins_find(struct logins *logins, const char *base_url);

/* Where the keys of ssh hosts are: `option`, or below the home directory; NULL: there is none. */
char *logins_known_hosts(const char *option) MUST_CHECK;
