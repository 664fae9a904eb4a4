/*
 * What was found is remembered for each server, since announcements of one server follow each
 * other. Their base URLs come from outside, so only so many are.
 */
#include "logins.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_MAX 64

struct known {
    char *server; /* base URL as far as its path */
    bool none;
    struct download_login login;
    char *user, *password, *bearer_token, *ssh_key_file; /* what `login` points to */
};

struct logins {
    const struct credentials *credentials;
    struct known known[KNOWN_MAX];
    size_t count, next; /* the oldest makes room */
};

struct logins *logins_open(const struct credentials *credentials)
{
    struct logins *logins = memory_new(sizeof(*logins));

    logins->credentials = credentials;
    return logins;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void known_clear(struct known *known)
{
    wipe(known->server); /* it may hold a password */
    wipe(known->user);
    wipe(known->password);
    wipe(known->bearer_token);
    wipe(known->ssh_key_file);
    *known = (struct known){0};
}

void logins_close(struct logins *logins)
{
    if (!logins)
        return;
    for (size_t i = 0; i < logins->count; i++)
        known_clear(&logins->known[i]);
    free(logins);
}

/* ---- reading an entry ---- */

static bool is_http(const struct url *url)
{
    return strcmp(url->scheme, "http") == 0 || strcmp(url->scheme, "https") == 0;
}

static bool is_sftp(const struct url *url)
{
    return strcmp(url->scheme, "sftp") == 0;
}

static char *in_home(const char *path)
{
    const char *home = getenv("HOME");

    return home && *home ? memory_format("%s/%s", home, path) : NULL;
}

/* "~/key" and "$HOME/key", as sr3 takes them. */
static char *key_path(const char *text)
{
    size_t length = strcspn(text + 1, "/");
    const char *value;
    char *name;

    if (strncmp(text, "~/", 2) == 0)
        return in_home(text + 2);
    if (*text != '$')
        return memory_copy(text);
    name = text[1] == '{' && text[length] == '}' ? memory_copy_bytes(text + 2, length - 2)
                                                 : memory_copy_bytes(text + 1, length);
    value = getenv(name);
    free(name);
    return value ? memory_format("%s%s", value, text + 1 + length) : memory_copy(text);
}

static char *usual_key(void)
{
    static const char *const names[] = {".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"};

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path = in_home(names[i]);

        if (path && access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static const char *detail_value(const struct credential *entry, const char *key)
{
    const struct credential_detail *detail = credential_detail(entry, key);

    return detail && detail->value && *detail->value ? detail->value : NULL;
}

static void read_details(const struct credential *entry, struct known *known)
{
    const char *token = detail_value(entry, "bearer_token");
    const char *key = detail_value(entry, "ssh_keyfile");

    token = token ? token : detail_value(entry, "bt");
    known->bearer_token = memory_copy(token);
    known->ssh_key_file = key ? key_path(key) : NULL;
    known->login.active = credential_detail(entry, "active") != NULL;
    known->login.ascii = credential_detail(entry, "ascii") != NULL;
    known->login.prot_p = credential_detail(entry, "prot_p") != NULL;
    known->login.implicit = credential_detail(entry, "implicit_ftps") != NULL;
    known->login.tls = known->login.prot_p || credential_detail(entry, "tls") != NULL;
}

/* An ftps server may have its entry as ftp, with details that say how it is encrypted. */
static const struct credential *find_entry(const struct credentials *credentials,
                                           const struct url *url)
{
    const struct credential *entry = credentials_find(credentials, url);
    struct url plain = *url;
    char scheme[] = "ftp";

    if (entry || strcmp(url->scheme, "ftps") != 0)
        return entry;
    plain.scheme = scheme;
    return credentials_find(credentials, &plain);
}

static void fill(struct known *known, const struct credential *entry, const struct url *url)
{
    const struct url *source = entry ? &entry->url : url;

    if (entry)
        read_details(entry, known);
    if (entry || !is_http(url)) {
        known->user = memory_copy(source->user);
        known->password = memory_copy(source->password);
    }
    if (is_sftp(url) && !known->ssh_key_file && !known->password)
        known->ssh_key_file = usual_key();
    known->login.user = known->user;
    known->login.password = known->password;
    known->login.bearer_token = known->bearer_token;
    known->login.ssh_key_file = known->ssh_key_file;
    known->none = !entry && !known->user && !known->ssh_key_file;
}

static void look_up(const struct credentials *credentials, const char *server, struct known *known)
{
    struct url url = {0};
    struct error err = {0};

    known->none = true;
    if (!url_parse(server, &url, &err))
        return;
    fill(known, credentials ? find_entry(credentials, &url) : NULL, &url);
    url_clear(&url);
}

/* ---- remembering ---- */

static size_t server_length(const char *base_url)
{
    const char *start = strstr(base_url, "://");

    start = start ? start + 3 : base_url;
    return (size_t)(start - base_url) + strcspn(start, "/?#");
}

const struct download_login *logins_find(struct logins *logins, const char *base_url)
{
    size_t length = server_length(base_url);
    struct known *known;

    for (size_t i = 0; i < logins->count; i++) {
        known = &logins->known[i];
        if (strncmp(known->server, base_url, length) == 0 && !known->server[length])
            return known->none ? NULL : &known->login;
    }
    known = &logins->known[logins->next];
    logins->next = (logins->next + 1) % KNOWN_MAX;
    if (logins->count < KNOWN_MAX)
        logins->count++;
    else
        known_clear(known);
    known->server = memory_copy_bytes(base_url, length);
    look_up(logins->credentials, known->server, known);
    return known->none ? NULL : &known->login;
}

char *logins_known_hosts(const char *option)
{
    return option ? memory_copy(option) : in_home(".ssh/known_hosts");
}
