/* Which configurations are meant by names and shell patterns. */
#include "config_home.h"

#include "commands/commands.h"

#define WORDS_MAX 4

static const struct {
    const char *patterns[WORDS_MAX];
    const char *found; /* NULL: refused */
} cases[] = {
    {{NULL}, "subscribe/a1.conf subscribe/a2.yaml subscribe/b.conf "},
    {{"subscribe/a*"}, "subscribe/a1.conf subscribe/a2.yaml "},
    {{"subscribe/a?.conf"}, "subscribe/a1.conf "},
    {{"*/a2"}, "subscribe/a2.yaml "},
    {{"a[12]"}, "subscribe/a1.conf subscribe/a2.yaml "},
    {{"*/b", "subscribe/*"}, "subscribe/b.conf subscribe/a1.conf subscribe/a2.yaml "},
    {{"subscribe/b", "subscribe/none"}, "subscribe/b subscribe/none "},
    {{"subscribe/b", "subscribe/b"}, "subscribe/b "},
    {{"*.conf"}, "subscribe/a1.conf subscribe/b.conf "},
    {{"subscribe/c*"}, NULL},
    {{"sender/*"}, NULL},
    {{"subscribe/a*", "z*"}, NULL},
};

static void names_and_patterns_are_found(void **state)
{
    static const char *const files[] = {"a1.conf", "a2.yaml", "b.conf",
                                        ".c.conf", "c.inc",   "c.conf~"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char *name = memory_format("subscribe/%s", files[i]);

        write_file(name, "");
        free(name);
    }
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct error err = {0};
        size_t words = 0, count;
        char **found, *list = memory_copy("");

        while (words < WORDS_MAX && cases[i].patterns[words])
            words++;
        found = command_find_names(cases[i].patterns, words, &count, &err);
        for (size_t j = 0; j < count; j++)
            memory_replace(&list, memory_format("%s%s ", list, found[j]));
        if (!found != !cases[i].found || (found && strcmp(list, cases[i].found) != 0))
            fail_msg("case %zu:\n got %s (%s)\nwant %s", i, list, err.text,
                     cases[i].found ? cases[i].found : "refused");
        command_free_names(found, count);
        free(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_patterns_are_found),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
