/* The reader of .conf files: syntax, variables, includes, and what must not bring it down. */
#include "settings/conf_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char warnings[4096];

static char *variable(void *context, const char *name)
{
    (void)context;
    if (!strcmp(name, "HOST"))
        return memory_copy("node7");
    if (!strcmp(name, "EMPTY"))
        return memory_copy("");
    if (!strcmp(name, "OTHER"))
        return memory_copy("${HOST}");
    if (!strcmp(name, "LARGE"))
        return memory_format("%700000d", 1);
    return NULL;
}

static bool include(void *context, const char *name, char **path, char **text, size_t *size_bytes,
                    struct error *err)
{
    (void)context;
    if (!strcmp(name, "missing.inc"))
        return error_set(err, ERROR_OPERATOR, "read '%s': no such file", name);
    *path = memory_copy(name);
    *text = memory_copy(strcmp(name, "self.inc") ? "inner 1\n\ninner 2" : "include self.inc\n");
    *size_bytes = strlen(*text);
    return true;
}

static void warn(void *context, const char *text)
{
    (void)context;
    snprintf(warnings, sizeof(warnings), "%s", text);
}

static const struct conf_host host = {.variable = variable, .include = include, .warn = warn};

#define TEXT(literal) literal, sizeof(literal) - 1

static const struct {
    const char *text;
    size_t size;
    const char *settings; /* "file:line name=value (written);" ... and the error, if any */
} files[] = {
    {TEXT(""), ""},
    {TEXT("\n\n  \t\n"), ""},
    {TEXT("# a b\n   #c\n"), ""},
    {TEXT("mirror"), "t:1 mirror= ();"},
    {TEXT("  mirror \t on  "), "t:1 mirror=on (on);"},
    {TEXT("a  b\t c # d\r\nb e\r\n"), "t:1 a=b c # d (b c # d);t:2 b=e (e);"},
    {TEXT("\xef\xbb\xbf"
          "a b"),
     "t:1 a=b (b);"},
    {TEXT("a ${HOST}.x ${NO} ${EMPTY} ${ ${} $ $HOST"),
     "t:1 a=node7.x ${NO}  ${ ${} $ $HOST (${HOST}.x ${NO} ${EMPTY} ${ ${} $ $HOST);"},
    {TEXT("a ${OTHER}${HOST"), "t:1 a=${HOST}${HOST (${OTHER}${HOST);"},
    {TEXT("${HOST} x"), "t:1 node7=x (x);"},
    {TEXT("${EMPTY} x"), ""},
    {TEXT("a 1\ninclude x.inc # y\nb 2"),
     "t:1 a=1 (1);x.inc:1 inner=1 (1);x.inc:3 inner=2 (2);t:3 b=2 (2);"},
    {TEXT("config ${HOST}\nc c.inc"),
     "node7:1 inner=1 (1);node7:3 inner=2 (2);c.inc:1 inner=1 (1);c.inc:3 inner=2 (2);"},
    {TEXT("include missing.inc\nb 2"),
     "t:2 b=2 (2);warning t:1: option 'include': read 'missing.inc': no such file"},
    {TEXT("a 1\ninclude"),
     "t:1 a=1 (1);error t:2: option 'include': the name of a file is missing"},
    {TEXT("include self.inc"),
     "error self.inc:1: files include each other more than 16 deep; perhaps in a circle"},
    {TEXT("a\0b\n"), "error t:1: a zero byte: this is no text file, or is one in UTF-16"},
    {TEXT("\na ${LARGE}${LARGE}"), "error t:2: with its variables replaced the line is too long"},
};

static void settings_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct conf_file *file = conf_file_open_memory("t", files[i].text, files[i].size, &host);
        char *got = memory_copy("");
        struct error err = {0};
        struct conf_setting s;

        *warnings = '\0';
        while (conf_file_take(file, &s, &err))
            memory_replace(&got, memory_format("%s%s:%d %s=%s (%s);", got, s.file, s.line, s.name,
                                               s.value, s.written));
        if (err.kind != ERROR_NONE)
            memory_replace(&got, memory_format("%serror %s", got, err.text));
        if (*warnings)
            memory_replace(&got, memory_format("%swarning %s", got, warnings));
        if (strcmp(got, files[i].settings) != 0)
            fail_msg("'%s':\n got %s\nwant %s", files[i].text, got, files[i].settings);
        free(got);
        conf_file_close(file);
    }
}

static void long_lines_are_read(void **state)
{
    size_t size = 3 << 20;
    char *text = memory_new(size);
    struct conf_setting setting;
    struct error err = {0};

    (void)state;
    memset(text, 'x', size);
    text[1] = text[1000] = ' ';
    struct conf_file *file = conf_file_open_memory("t", text, size, &host);

    assert_true(conf_file_take(file, &setting, &err));
    assert_int_equal(strlen(setting.value), size - 2);
    assert_false(conf_file_take(file, &setting, &err));
    assert_int_equal(err.kind, ERROR_NONE);
    conf_file_close(file);
    free(text);
}

static void unreadable_files_are_errors(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(conf_file_open("/nonexistent/x.conf", &host, &err));
    assert_string_equal(err.text, "read '/nonexistent/x.conf': No such file or directory");
    assert_null(conf_file_open("/", &host, &err));
    assert_string_equal(err.text, "read '/': Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(long_lines_are_read),
        cmocka_unit_test(unreadable_files_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
