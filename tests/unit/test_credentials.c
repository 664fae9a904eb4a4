/* credentials.conf: which entry answers for which URL, and what is left out with a warning. */
#include "settings/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/sr3sub-test-XXXXXX";

static const char text[] =
    "# users\n"
    "\n"
    "amqps://alice:first@b.example.org/\n"
    "amqps://alice:second@b.example.org/data\n"
    "  amqps://bob:p%2fw@b.example.org\r\n"
    "amqp://alice:port@b.example.org:5672/\n"
    "amqp://carol@b.example.org/\n"                                     /* 7: no password */
    "nonsense secret\n"                                                 /* 8: no URL */
    "ftp://f:secret@ftp.example.org active, tls,prot_p,nosuch=secret\n" /* 9: unknown detail */
    "https://data.example.org/ bearer_token=abc==\n"
    "https://data.example.org/deep bt=deep\n"
    "sftp://s@ssh.example.org ssh_keyfile=~/.ssh/id # mine\n"
    "http://u@h.example.org\n" /* 13: user without password */
    "https://h.example.org/";  /* no newline */

static const struct {
    const char *wanted;
    int line; /* 0: there is none */
} lookups[] = {
    {"amqps://alice@b.example.org/", 3},
    {"amqps://alice@b.example.org", 3},
    {"amqps://alice@B.Example.org//", 3},
    {"amqps://alice@b.example.org/data", 4},
    {"amqps://alice:second@b.example.org/data", 4},
    {"amqps://alice:third@b.example.org/data", 0},
    {"amqps://alice@b.example.org/other", 0},
    {"amqps://b.example.org/", 3},
    {"amqps://bob@b.example.org/", 5},
    {"amqps://bob@b.example.org:5671/", 0},
    {"amqp://alice@b.example.org:5672", 6},
    {"amqp://alice@b.example.org", 0},
    {"amqp://carol@b.example.org/", 0},
    {"ftp://ftp.example.org/some/file", 9},
    {"https://data.example.org/file", 10},
    {"https://data.example.org/deep", 11},
    {"sftp://s@ssh.example.org/x", 12},
    {"http://u@h.example.org", 0},
    {"https://h.example.org/x", 14},
};

static void write_file(mode_t mode)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof(text) - 1, file), sizeof(text) - 1);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static struct credentials *load(void)
{
    struct error err = {0};
    struct credentials *credentials = credentials_load(path, &err);

    if (!credentials)
        fail_msg("%s", err.text);
    return credentials;
}

static void entries_are_found(void **state)
{
    struct credentials *credentials;

    (void)state;
    write_file(0600);
    credentials = load();
    for (size_t i = 0; i < COUNT_OF(lookups); i++) {
        struct error err = {0};
        struct url url;
        const struct credential *found;

        assert_true(url_parse(lookups[i].wanted, &url, &err));
        found = credentials_find(credentials, &url);
        if ((found ? found->line : 0) != lookups[i].line)
            fail_msg("'%s': got the entry of line %d", lookups[i].wanted, found ? found->line : 0);
        url_clear(&url);
    }
    credentials_free(credentials);
}

static const struct {
    const char *wanted, *key, *value; /* value NULL: there, without one; "-": not there */
} details[] = {
    {"ftp://ftp.example.org", "active", NULL},
    {"ftp://ftp.example.org", "tls", NULL},
    {"ftp://ftp.example.org", "prot_p", NULL},
    {"ftp://ftp.example.org", "nosuch", "-"},
    {"https://data.example.org/", "bearer_token", "abc=="},
    {"sftp://s@ssh.example.org", "ssh_keyfile", "~/.ssh/id"},
    {"sftp://s@ssh.example.org", "mine", "-"},
    {"https://nowhere/", "active", "-"},
};

static void details_are_found(void **state)
{
    struct credentials *credentials = load();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(details); i++) {
        struct error err = {0};
        struct url url;
        const struct credential_detail *found;
        const char *value;

        assert_true(url_parse(details[i].wanted, &url, &err));
        found = credential_detail(credentials_find(credentials, &url), details[i].key);
        value = found ? found->value : "-";
        if (strcmp(value ? value : "none", details[i].value ? details[i].value : "none") != 0)
            fail_msg("'%s' %s: got %s", details[i].wanted, details[i].key, value ? value : "none");
        url_clear(&url);
    }
    credentials_free(credentials);
}

static void warnings_name_lines_and_no_secrets(void **state)
{
    static const char *const expected[] = {"others than its owner",
                                           ":7: ", ":8: ", ":9: ", ":13: "};
    struct credentials *credentials;
    size_t i;

    (void)state;
    write_file(0640);
    credentials = load();
    for (i = 0; credentials_warning(credentials, i); i++) {
        const char *warning = credentials_warning(credentials, i);

        if (i >= COUNT_OF(expected) || !strstr(warning, expected[i]) || strstr(warning, "secret") ||
            strncmp(warning, path, strlen(path)) != 0)
            fail_msg("warning %zu: '%s'", i, warning);
    }
    assert_int_equal(i, COUNT_OF(expected));
    credentials_free(credentials);
}

static void a_missing_file_is_empty(void **state)
{
    struct error err = {0};
    struct credentials *credentials = credentials_load("/nonexistent/credentials.conf", &err);

    (void)state;
    assert_non_null(credentials);
    assert_int_equal(err.kind, ERROR_NONE);
    assert_null(credentials_warning(credentials, 0));
    credentials_free(credentials);
    assert_null(credentials_load("/", &err));
    assert_string_equal(err.text, "read '/': Is a directory");
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found),
        cmocka_unit_test(details_are_found),
        cmocka_unit_test(warnings_name_lines_and_no_secrets),
        cmocka_unit_test(a_missing_file_is_empty),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
