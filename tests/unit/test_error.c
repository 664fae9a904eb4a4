/* Errors: the text is cut, never overrun; the kind survives what is put before it. */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    enum error_kind kind;
    const char *text, *context, *wrapped;
} errors[] = {
    {ERROR_TEMPORARY, "read: timeout", "get 'x'", "get 'x': read: timeout"},
    {ERROR_PERMANENT, "HTTP 404", "", ": HTTP 404"},
    {ERROR_OPERATOR, "", "option 'x'", "option 'x': "},
    {ERROR_PERMANENT, "100% %s %n", "line 5%", "line 5%: 100% %s %n"},
};

static void errors_are_set_and_wrapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct error err = {0};
        bool set = error_set(&err, errors[i].kind, "%s", errors[i].text);

        if (set || err.kind != errors[i].kind || strcmp(err.text, errors[i].text) != 0)
            fail_msg("set %zu: returned %d, kind %d, '%s'", i, set, err.kind, err.text);
        if (error_wrap(&err, "%s", errors[i].context) || err.kind != errors[i].kind
            || strcmp(err.text, errors[i].wrapped) != 0)
            fail_msg("wrap %zu: kind %d, '%s', expected '%s'", i, err.kind, err.text,
                     errors[i].wrapped);
    }
}

static void long_texts_are_cut(void **state)
{
    struct {
        struct error err;
        char behind[8];
    } guarded = {.behind = "guard"};
    struct error *err = &guarded.err;
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(err, ERROR_TEMPORARY, "%s", text);
    assert_int_equal(strlen(err->text), sizeof(err->text) - 1);
    error_wrap(err, "file %d", 7);
    assert_int_equal(strlen(err->text), sizeof(err->text) - 1);
    assert_int_equal(strncmp(err->text, "file 7: xxx", 11), 0);
    error_wrap(err, "%s", text);
    assert_int_equal(strlen(err->text), sizeof(err->text) - 1);
    assert_int_equal(err->kind, ERROR_TEMPORARY);
    assert_string_equal(guarded.behind, "guard");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_set_and_wrapped),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
