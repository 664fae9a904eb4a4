/* From credentials.conf and a base URL to a login. */
#include "logins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "ftp://bob:s%2fcret@ftp.example.org/ active,ascii\n"
                           "ftp://tls.example.org/ tls\n"
                           "ftp://eve:x@tls.example.org/ tls\n"
                           "ftp://ann:y@p.example.org/ passive,binary,tls,prot_p\n"
                           "ftps://i.example.org/ implicit_ftps\n"
                           "ftps://joe:z@i.example.org/ implicit_ftps\n"
                           "ftp://sue:q@plain.example.org/ tls\n"
                           "https://data.example.org/ bearer_token=abc\n"
                           "https://short.example.org/ bt=def\n"
                           "http://al:pw@web.example.org:8080/\n"
                           "sftp://kim@ssh.example.org/ ssh_keyfile=~/keys/kim\n"
                           "sftp://kim2@ssh.example.org/ ssh_keyfile=$HOME/k\n"
                           "sftp://kim3@ssh.example.org/ ssh_keyfile=${HOME}/k3\n"
                           "sftp://lee:pass@ssh.example.org/\n";

static const struct {
    const char *base_url, *user, *password, *token, *key;
    const char *flags; /* active, ascii, tls, prot_p, implicit; NULL: no login at all */
} cases[] = {
    {"ftp://ftp.example.org/x", "bob", "s/cret", NULL, NULL, "Aa---"},
    {"ftp://bob@ftp.example.org", "bob", "s/cret", NULL, NULL, "Aa---"},
    {"ftp://ron@ftp.example.org/", "ron", NULL, NULL, NULL, "-----"},
    {"ftp://tls.example.org/", "eve", "x", NULL, NULL, "--t--"},
    {"ftp://p.example.org/a", "ann", "y", NULL, NULL, "--tp-"},
    {"ftps://i.example.org/", "joe", "z", NULL, NULL, "----i"},
    {"ftps://plain.example.org/", "sue", "q", NULL, NULL, "--t--"},
    {"ftp://i.example.org/", NULL, NULL, NULL, NULL, NULL},
    {"ftp://anonymous:me@other.example.org/", "anonymous", "me", NULL, NULL, "-----"},
    {"https://data.example.org/a/b", NULL, NULL, "abc", NULL, "-----"},
    {"https://short.example.org/", NULL, NULL, "def", NULL, "-----"},
    {"http://data.example.org/", NULL, NULL, NULL, NULL, NULL},
    {"http://web.example.org:8080/", "al", "pw", NULL, NULL, "-----"},
    {"http://web.example.org/", NULL, NULL, NULL, NULL, NULL},
    {"http://own:word@other.example.org/", NULL, NULL, NULL, NULL, NULL},
    {"sftp://kim@ssh.example.org/", "kim", NULL, NULL, "/nowhere/keys/kim", "-----"},
    {"sftp://kim2@ssh.example.org/", "kim2", NULL, NULL, "/nowhere/k", "-----"},
    {"sftp://kim3@ssh.example.org/", "kim3", NULL, NULL, "/nowhere/k3", "-----"},
    {"sftp://lee@ssh.example.org/", "lee", "pass", NULL, NULL, "-----"},
    {"file:/tmp/x", NULL, NULL, NULL, NULL, NULL},
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_right(size_t i, const struct download_login *login)
{
    char flags[6] = "";

    if (!login || !cases[i].flags)
        return !login && !cases[i].flags;
    snprintf(flags, sizeof(flags), "%c%c%c%c%c", login->active ? 'A' : '-',
             login->ascii ? 'a' : '-', login->tls ? 't' : '-', login->prot_p ? 'p' : '-',
             login->implicit ? 'i' : '-');
    return same(login->user, cases[i].user) && same(login->password, cases[i].password)
           && same(login->bearer_token, cases[i].token) && same(login->ssh_key_file, cases[i].key)
           && same(flags, cases[i].flags);
}

static void logins_are_found(void **state)
{
    struct credentials *credentials = credentials_parse("c.conf", text, strlen(text));
    struct logins *logins = logins_open(credentials);

    (void)state;
    setenv("HOME", "/nowhere", 1);
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) { /* once more, from what is remembered */
        size_t k = i % COUNT_OF(cases);

        if (!is_right(k, logins_find(logins, cases[k].base_url)))
            fail_msg("%s: wrong login", cases[k].base_url);
    }
    logins_close(logins);
    credentials_free(credentials);
}

/* Names of servers come from outside. */
static void only_so_many_are_remembered(void **state)
{
    struct credentials *credentials = credentials_parse("c.conf", text, strlen(text));
    struct logins *logins = logins_open(credentials);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char *url = memory_format("http://h%d.example.org/", i);

        assert_null(logins_find(logins, url));
        if (i % 10 == 0 && !is_right(0, logins_find(logins, cases[0].base_url)))
            fail_msg("after %d: %s", i, cases[0].base_url);
        free(url);
    }
    logins_close(logins);
    logins_close(NULL);
    credentials_free(credentials);
}

static void without_credentials_there_are_none(void **state)
{
    struct logins *logins = logins_open(NULL);
    char *path = logins_known_hosts("/etc/hosts.known");

    (void)state;
    assert_null(logins_find(logins, "https://data.example.org/"));
    assert_string_equal(path, "/etc/hosts.known");
    free(path);
    path = logins_known_hosts(NULL);
    assert_string_equal(path, "/nowhere/.ssh/known_hosts");
    free(path);
    logins_close(logins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logins_are_found),
        cmocka_unit_test(only_so_many_are_remembered),
        cmocka_unit_test(without_credentials_there_are_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
