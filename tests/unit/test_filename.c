/* Filename keywords: which are refused, and what each makes of a name. */
#include "base/filename.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TIME_NOW "20250101T000001.25"

static const struct {
    const char *keyword, *name, *extension, *expected;
} names[] = {
    {"None", "a:b", NULL, "a:b"},
    {"None", "a:b", "x:y", "a:b"},
    {"WHATFN", "b:c:d", NULL, "b"},
    {"WHATFN", "b", NULL, "b"},
    {"WHATFN", ":c", NULL, ""},
    {"HEADFN", "SAXX_CWAO_x:c:d", NULL, "SAXX_CWAO"},
    {"HEADFN", "SAXX_CWAO", NULL, "SAXX_CWAO"},
    {"HEADFN", "SAXX:a_b", NULL, "SAXX"},
    {"SENDER", "b:c:SENDER=hoho", NULL, "hoho"},
    {"SENDER", "b:c:SENDER=hoho:x:y", NULL, "hoho"},
    {"SENDER", "b:c", NULL, "b:c"},
    {"SENDER", "b:SENDER=", NULL, ""},
    {"NONE", "A:b:c:d:e:f:g", NULL, "A:b:c:d:e:f"},
    {"NONE", "A:b:c:d:ee:f:g", NULL, "A:b:c:d:ee"},
    {"NONE", "A:b:c:d:e:f", NULL, "A:b:c:d:e:f"},
    {"NONE", "A:b:c:d:ee:f", NULL, "A:b:c:d:ee"},
    {"NONE", "A:b:c:d:e", NULL, "A:b:c:d:e"},
    {"NONE", "A:b:SENDER=hoho:x", NULL, "A:b"},
    {"NONESENDER", "b:c:SENDER=hoho", NULL, "b:c:SENDER=hoho"},
    {"NONESENDER", "b:c:SENDER=hoho:x:y:zzzzzzzzzzzzzz", NULL, "b:c:SENDER=hoho"},
    {"NONESENDER", "A:b:c:d:e:f:g", NULL, "A:b:c:d:e:f"},
    {"TIME", "a", NULL, "a:20250101000001"},
    {"TIME", "a:20240203040506", NULL, "a:20240203040506:20240203040506"},
    {"TIME", "a:10240203040506", NULL, "a:10240203040506:20250101000001"},
    {"WHATFN:TIME", "b:c", NULL, "b:20250101000001"},
    {"WHATFN:TIME", "b:c:20240203040506", NULL, "b:20240203040506"},
    {"SATNET=3", "a", NULL, "a:SATNET=3"},
    {"WHATFN:SATNET=3:TIME", "a:b", NULL, "a:SATNET=3:20250101000001"},
    {"DESTFN=x.gif", "a:b", NULL, "x.gif"},
    {"DESTFN=x=y", "a:b", NULL, "x=y"},
    {"WHATFN", "a:b", "x:y", "a"},
    {"NONE", "a:b", "x:y", "a:x:y"},
    {"NONE", "a", "b:c:d:e:f:g", "a:b:c:d:e:f"},
};

static void names_are_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct arena arena = {0};
        struct error err = {0};
        const char *name;

        if (!filename_check(names[i].keyword, &err))
            fail_msg("'%s': %s", names[i].keyword, err.text);
        name = filename_apply(&arena, names[i].keyword, names[i].name, names[i].extension,
                              TIME_NOW);
        if (strcmp(name, names[i].expected) != 0)
            fail_msg("'%s' of '%s': got '%s'", names[i].keyword, names[i].name, name);
        arena_clear(&arena);
    }
}

static void odd_times_do_no_harm(void **state)
{
    static const char *const times[] = {"", "2", "20250101", "20250101T", "20250101000001"};
    static const char *const expected[] = {"a:", "a:2", "a:20250101", "a:20250101",
                                           "a:20250101000001"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct arena arena = {0};

        assert_string_equal(filename_apply(&arena, "TIME", "a", NULL, times[i]), expected[i]);
        arena_clear(&arena);
    }
}

static const struct {
    const char *keyword, *text; /* begins with */
} refusals[] = {
    {"#", "unknown filename keyword '#'; there are None, WHATFN"},
    {"", "unknown filename keyword ''"},
    {"whatfn", "unknown filename keyword 'whatfn'"},
    {"WHATFN:", "unknown filename keyword ''"},
    {"WHATFN:TIMES", "unknown filename keyword 'TIMES'"},
    {"WHATFN:DESTFN", "unknown filename keyword 'DESTFN'"},
    {"DESTFN=a:b", "unknown filename keyword 'b'"},
    {"DESTFN=", "filename keyword 'DESTFN=': what follows '=' must be usable as a name"},
    {"DESTFN=a/b", "filename keyword 'DESTFN=a/b': what follows"},
    {"DESTFN=..", "filename keyword 'DESTFN=..': what follows"},
    {"SATNET=a/b", "filename keyword 'SATNET=a/b': what follows"},
    {"DESTFNSCRIPT=x.py", "filename keyword 'DESTFNSCRIPT=x.py': scripts are python"},
};

static void nonsense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct error err = {0};

        if (filename_check(refusals[i].keyword, &err) || err.kind != ERROR_OPERATOR
            || strncmp(err.text, refusals[i].text, strlen(refusals[i].text)) != 0)
            fail_msg("'%s': got '%s'", refusals[i].keyword, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_made),
        cmocka_unit_test(odd_times_do_no_harm),
        cmocka_unit_test(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
