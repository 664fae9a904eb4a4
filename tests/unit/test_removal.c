/* Commands that remove files at ftp and sftp servers. */
#include "stages/removal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *url, *command; /* NULL: must be refused */
} removals[] = {
    {"ftp://h:21/a/b%20c", "DELE b c"},
    {"ftps://h/%2Fa/b", "DELE b"},
    {"ftp://h/b", "DELE b"},
    {"sftp://h/a/b%20c", "rm \"/a/b c\""},
    {"sftp://h/~/a/b", "rm \"a/b\""},
    {"sftp://h/~b", "rm \"/~b\""},
    {"sftp://h/a%22b%5Cc'd", "rm \"/a\\\"b\\\\c'd\""},
    {"sftp://h/a%25b", "rm \"/a%b\""},
    {"ftp://h/a%0D%0ADELE%20b", NULL},
    {"sftp://h/a%0Arm%20b", NULL},
    {"ftp://h/a%00b", NULL},
    {"ftp://h/a/", NULL},
    {"ftp://h", NULL},
    {"nonsense", NULL},
};

static void commands_are_printed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(removals); i++) {
        char *command = removal_print(removals[i].url);
        const char *expected = removals[i].command;

        if (!command != !expected || (command && strcmp(command, expected) != 0))
            fail_msg("'%s': got '%s'", removals[i].url, command ? command : "(refused)");
        free(command);
    }
}

static void servers_are_printed(void **state)
{
    char *server = removal_print_server("sftp://h:22/a/b");

    (void)state;
    assert_string_equal(server, "sftp://h:22/");
    free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_printed),
        cmocka_unit_test(servers_are_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
