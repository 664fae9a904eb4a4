/* credentials.conf: one entry per line, few lines, so finding one is a walk over all of them. */
#include "settings/credentials.h"

#include "settings/conf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define BLANKS  " \t\r\v\f"
#define SECRETS "/run/secrets/"

struct credentials {
    char *path;
    struct credential *entries;
    size_t entry_count;
    char **warnings;
    size_t warning_count;
};

static const char *const known_details[] = {
    "ssh_keyfile", "passive",      "active",      "binary",           "ascii",
    "tls",         "ssl",          "prot_p",      "implicit_ftps",    "bearer_token",
    "bt",          "login_method", "s3_endpoint", "s3_session_token", "azure_storage_credentials",
};

/* Schemes that are used without a password: without a user too, or with one. */
static const struct {
    const char *scheme;
    bool with_user;
} passwordless[] = {
    {"http", false}, {"https", false}, {"sftp", true},
    {"s3", false},   {"azure", false}, {"azblob", false},
};

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void warn(struct credentials *credentials, int line, const char *text)
{
    char *warning = line ? memory_format("%s:%d: %s", credentials->path, line, text)
                         : memory_format("%s: %s", credentials->path, text);

    credentials->warnings = memory_resize(credentials->warnings, credentials->warning_count + 1,
                                          sizeof(*credentials->warnings));
    credentials->warnings[credentials->warning_count++] = warning;
}

static void entry_clear(struct credential *entry)
{
    url_clear(&entry->url);
    for (size_t i = 0; i < entry->detail_count; i++) {
        free(entry->details[i].key);
        free(entry->details[i].value);
    }
    free(entry->details);
}

static bool has_enough(const struct url *url)
{
    if (url->password)
        return true;
    for (size_t i = 0; i < COUNT_OF(passwordless); i++)
        if (!strcmp(url->scheme, passwordless[i].scheme))
            return !url->user || passwordless[i].with_user;
    return false;
}

static bool is_known_detail(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(known_details); i++)
        if (!strcmp(key, known_details[i]))
            return true;
    return false;
}

static void add_detail(struct credentials *credentials, struct credential *entry, char *text)
{
    char *value = strchr(text, '=');

    if (value)
        *value++ = '\0';
    if (!is_known_detail(text))
        warn(credentials, entry->line, "a detail behind the URL is unknown and was left out");
    else {
        entry->details =
            memory_resize(entry->details, entry->detail_count + 1, sizeof(*entry->details));
        entry->details[entry->detail_count++] =
            (struct credential_detail){.key = memory_copy(text), .value = memory_copy(value)};
    }
}

/* One line, which is taken to pieces. */
static void add_entry(struct credentials *credentials, char *text, int line)
{
    struct credential entry = {.line = line};
    struct error ignored = {0};
    char *rest = NULL, *url = strtok_r(text, BLANKS, &rest), *detail;

    if (!url || *url == '#')
        return;
    if (!url_parse(url, &entry.url, &ignored) || !has_enough(&entry.url)) {
        warn(credentials, line,
             "entry left out, it is no URL with user and password such as "
             "amqps://user:password@host/");
        url_clear(&entry.url);
        return;
    }
    while ((detail = strtok_r(NULL, "," BLANKS, &rest)) && *detail != '#')
        add_detail(credentials, &entry, detail);
    credentials->entries = memory_resize(credentials->entries, credentials->entry_count + 1,
                                         sizeof(*credentials->entries));
    credentials->entries[credentials->entry_count++] = entry;
}

/* `text` is cut into lines in place; what follows a zero byte in a line is not seen. */
static void parse(struct credentials *credentials, char *text, size_t size)
{
    char *end = text + size;

    for (int line = 1; text < end; line++) {
        char *newline = memchr(text, '\n', (size_t)(end - text));

        if (newline)
            *newline = '\0';
        add_entry(credentials, text, line);
        text = newline ? newline + 1 : end;
    }
}

/* Secrets of a container are open to all of it, and to nobody else. */
static void check_mode(struct credentials *credentials)
{
    struct stat status;

    if (!strncmp(credentials->path, SECRETS, strlen(SECRETS)))
        return;
    if (!stat(credentials->path, &status) && (status.st_mode & 077))
        warn(credentials, 0,
             "others than its owner can use this file, which holds passwords; "
             "close it with chmod 600");
}

static struct credentials *credentials_new(const char *path)
{
    struct credentials *credentials = memory_new(sizeof(*credentials));

    credentials->path = memory_copy(path);
    return credentials;
}

struct credentials *credentials_parse(const char *path, const char *text, size_t size)
{
    struct credentials *credentials = credentials_new(path);
    char *copy = memory_copy_bytes(text, size);

    parse(credentials, copy, size);
    explicit_bzero(copy, size);
    free(copy);
    return credentials;
}

struct credentials *credentials_load(const char *path, struct error *err)
{
    struct credentials *credentials = credentials_new(path);
    char *text;
    size_t size;

    if (conf_file_read(path, &text, &size, err)) {
        check_mode(credentials);
        parse(credentials, text, size);
        explicit_bzero(text, size);
        free(text);
        return credentials;
    }
    if (errno == ENOENT) {
        err->kind = ERROR_NONE;
        return credentials;
    }
    credentials_free(credentials);
    return NULL;
}

void credentials_free(struct credentials *credentials)
{
    if (!credentials)
        return;
    for (size_t i = 0; i < credentials->entry_count; i++)
        entry_clear(&credentials->entries[i]);
    for (size_t i = 0; i < credentials->warning_count; i++)
        free(credentials->warnings[i]);
    free(credentials->entries);
    free(credentials->warnings);
    free(credentials->path);
    free(credentials);
}

const char *credentials_warning(const struct credentials *credentials, size_t index)
{
    return index < credentials->warning_count ? credentials->warnings[index] : NULL;
}

static const char *vhost(const struct url *url)
{
    return url->path + strspn(url->path, "/");
}

static bool same_place(const struct url *a, const struct url *b)
{
    return same(a->scheme, b->scheme) && !strcasecmp(a->host, b->host) && a->port == b->port;
}

static bool is_equal(const struct url *a, const struct url *b)
{
    return same_place(a, b) && same(a->user, b->user) && same(a->password, b->password)
           && same(a->path, b->path);
}

static bool fits(const struct url *entry, const struct url *wanted)
{
    return same_place(entry, wanted) && (!wanted->user || same(entry->user, wanted->user))
           && (!wanted->password || same(entry->password, wanted->password))
           && (strncmp(wanted->scheme, "amqp", 4) != 0 || same(vhost(entry), vhost(wanted)));
}

const struct credential *credentials_find(const struct credentials *credentials,
                                          const struct url *wanted)
{
    for (size_t i = 0; i < credentials->entry_count; i++)
        if (is_equal(&credentials->entries[i].url, wanted))
            return &credentials->entries[i];
    for (size_t i = 0; i < credentials->entry_count; i++)
        if (fits(&credentials->entries[i].url, wanted))
            return &credentials->entries[i];
    return NULL;
}

const struct credential_detail *credential_detail(const struct credential *credential,
                                                  const char *key)
{
    for (size_t i = 0; credential && i < credential->detail_count; i++)
        if (!strcmp(credential->details[i].key, key))
            return &credential->details[i];
    return NULL;
}
