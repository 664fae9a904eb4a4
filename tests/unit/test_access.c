/* Which hosts may be fetched from. */
#include "stages/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LISTS_MAX 3

enum verdict { REFUSED, ALLOWED };

static const struct {
    const char *allow[LISTS_MAX], *deny[LISTS_MAX];
    const char *url, *address; /* NULL: not known yet */
    enum verdict verdict;
} cases[] = {
    {{NULL}, {NULL}, "http://h/", NULL, ALLOWED},
    {{NULL}, {NULL}, "http://h/", "10.1.2.3", ALLOWED},
    {{"h"}, {NULL}, "http://h/", NULL, ALLOWED},
    {{"h"}, {NULL}, "http://i/", NULL, REFUSED},
    {{"h"}, {NULL}, "http://h.i/", NULL, REFUSED},
    {{"*.example.org"}, {NULL}, "http://a.b.Example.ORG:81/x", NULL, ALLOWED},
    {{"*.example.org"}, {NULL}, "http://example.org/", NULL, REFUSED},
    {{"*.example.org"}, {NULL}, "http://u:p@a.example.org./", NULL, ALLOWED},
    {{"*.example.org"}, {NULL}, "http://a.example.org@evil/", NULL, REFUSED},
    {{"*.example.org"}, {NULL}, "http://a.example.org.evil/", NULL, REFUSED},
    {{"*a*b*"}, {NULL}, "http://xaxxaxbx/", NULL, ALLOWED},
    {{"*a*b"}, {NULL}, "http://xaxbxa/", NULL, REFUSED},
    {{"10.0.0.0/8"}, {NULL}, "http://h/", NULL, ALLOWED}, /* as far as is known */
    {{"10.0.0.0/8"}, {NULL}, "http://h/", "10.255.0.1", ALLOWED},
    {{"10.0.0.0/8"}, {NULL}, "http://h/", "11.0.0.1", REFUSED},
    {{"10.0.0.0/8"}, {NULL}, "http://11.0.0.1/", NULL, REFUSED},
    {{"10.0.0.0/8", "h"}, {NULL}, "http://h/", "11.0.0.1", ALLOWED},
    {{"10.0.0.0/8"}, {"10.1.0.0/16"}, "http://h/", "10.1.0.1", REFUSED},
    {{"h"}, {"h"}, "http://h/", NULL, REFUSED},
    {{NULL}, {"127.0.0.0/8", "::1"}, "http://h/", "::1", REFUSED},
    {{NULL}, {"127.0.0.0/8", "::1"}, "http://h/", "::ffff:127.9.9.9", REFUSED},
    {{NULL}, {"127.0.0.0/8", "::1"}, "http://h/", "::2", ALLOWED},
    {{NULL}, {"127.0.0.0/8"}, "http://[::ffff:127.0.0.1]/", NULL, REFUSED},
    {{NULL}, {"127.0.0.0/8"}, "http://0x7f.1/", NULL, REFUSED},
    {{NULL}, {"0.0.0.0/0"}, "http://h/", "192.0.2.1", REFUSED},
    {{NULL}, {"0.0.0.0/0"}, "http://h/", "2001:db8::1", ALLOWED},
    {{NULL}, {"::/0"}, "http://h/", "192.0.2.1", ALLOWED},
    {{NULL}, {"[2001:db8::]/33"}, "http://h/", "2001:db8:7fff::1", REFUSED},
    {{NULL}, {"2001:db8::/33"}, "http://h/", "2001:db8:8000::1", ALLOWED},
    {{NULL}, {"h"}, "not a url at all", NULL, REFUSED},
    {{NULL}, {"h"}, "ftp://H/x", NULL, REFUSED},
    {{NULL}, {"h"}, "sftp://h/~/x", "192.0.2.1", REFUSED},
    {{NULL},
     {"xn--bcher-kva.example"},
     "http://b\xC3\xBC"
     "cher.example/",
     NULL,
     REFUSED},
};

static struct download_names names(const char *const *items)
{
    size_t count = 0;

    while (count < LISTS_MAX && items[count])
        count++;
    return (struct download_names){items, count};
}

static bool ask(const struct access *access, const char *url, const char *address)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};

    if (!address)
        return access_allows_url(access, url);
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return access_allows(access, url, (struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return access_allows(access, url, (struct sockaddr *)&v6);
}

static void hosts_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct error err = {0};
        struct access *access = access_open(names(cases[i].allow), names(cases[i].deny), &err);

        if (!access || ask(access, cases[i].url, cases[i].address) != (cases[i].verdict == ALLOWED))
            fail_msg("case %zu: %s at %s must be %s (%s)", i, cases[i].url, cases[i].address,
                     cases[i].verdict == ALLOWED ? "allowed" : "refused", err.text);
        access_close(access);
    }
    access_close(NULL);
}

static const char *const senseless[] = {
    "",
    "a b",
    "http://h/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/8x",
    "::/129",
    "h/8",
    "[::1",
    "10.0.0.0/ 8",
    "10.0.0.0/99999999999999999999",
};

static void senseless_items_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(senseless); i++) {
        struct error err = {0};
        struct access *access =
            access_open(names((const char *const[LISTS_MAX]){"h", senseless[i]}),
                        (struct download_names){0}, &err);

        if (access || err.kind != ERROR_OPERATOR || !strstr(err.text, "urlAllow"))
            fail_msg("'%s': %s", senseless[i], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_told_apart),
        cmocka_unit_test(senseless_items_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
