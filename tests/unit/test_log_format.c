/* Layouts of log lines: Python's, and JSON. */
#include "base/log_format.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define AT_NS (1735790592LL * NS_PER_S + 19 * NS_PER_MS) /* 2025-01-02 04:03:12,019 */

static const struct log_record record = {.level = LOG_WARNING,
                                         .wall_ns = AT_NS,
                                         .where = "sarracenia.flow run",
                                         .message = "one\n100%",
                                         .file = "/src/subscriber/base/log.c",
                                         .line = 42};

static const struct {
    const char *layout, *line; /* NULL: it is refused */
} layouts[] = {
    {"", ""},
    {"plain", "plain"},
    {"100%%", "100%"},
    {"%%(message)s", "%(message)s"},
    {"%(message)s", "one\\x0a100%"},
    {"[%(message)s]", "[one\\x0a100%]"},
    {"%(asctime)s", "2025-01-02 04:03:12,019"},
    {"%(levelname)-8s|", "WARNING |"},
    {"%(levelname)8s|", " WARNING|"},
    {"%(levelname).1s|", "W|"},
    {"%(levelname)3s|", "WARNING|"},
    {"%(levelno)s %(levelno)05d", "30 00030"},
    {"%(name)s/%(funcName)s", "sarracenia.flow/run"},
    {"%(filename)s:%(lineno)d %(module)s", "log.c:42 log"},
    {"%(lineno)5d|%(lineno)-5d|%(lineno)05d|%(lineno)+d|%(lineno)s", "   42|42   |00042|+42|42"},
    {"%(pathname)s", "/src/subscriber/base/log.c"},
    {"%(msecs)03d %(msecs)d", "019 19"},
    {"%(created).2f", "1735790592.02"},
    {"%(processName)s %(threadName)s", "MainProcess MainThread"},
    {"\xc3\xa9%(lineno)d\xc3\xa9", "\xc3\xa9"
                                   "42\xc3\xa9"},

    {"%", NULL},
    {"%(", NULL},
    {"%(message)", NULL},
    {"%(message", NULL},
    {"%(nosuch)s", NULL},
    {"%()s", NULL},
    {"%(mess)s", NULL},
    {"%(messages)s", NULL},
    {"%(message)d", NULL},
    {"%(message)n", NULL},
    {"%s", NULL},
    {"%(lineno)x", NULL},
    {"%(message)9999s", NULL},
    {"%(message)99999999999999999999s", NULL},
};

static void layouts_are_carried_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(layouts); i++) {
        struct error err = {0};
        struct log_format *format = log_format_parse(layouts[i].layout, &err);
        char line[LOG_LINE_MAX];

        if (!format != !layouts[i].line || (!format && err.kind != ERROR_OPERATOR))
            fail_msg("'%s': %s", layouts[i].layout, err.text);
        if (!format)
            continue;
        line[log_format_print(format, &record, line)] = '\0';
        if (strcmp(line, layouts[i].line) != 0)
            fail_msg("'%s': '%s' and not '%s'", layouts[i].layout, line, layouts[i].line);
        log_format_free(format);
    }
}

static void numbers_of_the_process(void **state)
{
    struct error err = {0};
    struct log_format *format = log_format_parse("%(process)d %(thread)d", &err);
    char line[LOG_LINE_MAX], *expected = memory_format("%d %d", (int)getpid(), (int)gettid());

    (void)state;
    line[log_format_print(format, &record, line)] = '\0';
    assert_string_equal(line, expected);
    log_format_free(format);
    free(expected);
}

/* However long, it stays within the line. */
static void what_is_too_long_is_cut(void **state)
{
    struct error err = {0};
    struct log_record large = record;
    struct log_format *format =
        log_format_parse("%(message)s%(message)s%(message)400s%(lineno)d", &err);
    char line[LOG_LINE_MAX], *text = memory_new(20000);

    (void)state;
    for (int fill = 0; fill < 3; fill++) {
        memset(text, "x\n\""[fill], 19999);
        large.message = text;
        assert_in_range(log_format_print(format, &large, line), 8000, LOG_LINE_MAX - 1);
        assert_in_range(log_json_print(&large, line), 8000, LOG_LINE_MAX - 1);
    }
    log_format_free(format);
    free(text);
}

static const struct {
    const char *message, *expected;
} messages[] = {
    {"plain", "plain"},
    {"\"quoted\\\"", "\"quoted\\\""},
    {"two\nlines\t\x01\x7f", "two\nlines\t\x01\x7f"},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\xa7"},
    {"\xff|\xc3|\xc0\xaf|\xed\xa0\x80|\xe2\x82",
     "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
     "\xef\xbf\xbd\xef\xbf\xbd"},
};

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void json_lines_can_be_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        struct log_record wanted = record;
        char line[LOG_LINE_MAX];
        json_error_t problem;
        json_t *object;

        wanted.message = messages[i].message;
        object = json_loadb(line, log_json_print(&wanted, line), 0, &problem);
        if (!object)
            fail_msg("'%s': %s", line, problem.text);
        assert_string_equal(text_of(object, "message"), messages[i].expected);
        assert_string_equal(text_of(object, "asctime"), "2025-01-02 04:03:12,019");
        assert_string_equal(text_of(object, "levelname"), "WARNING");
        assert_string_equal(text_of(object, "name"), "sarracenia.flow");
        assert_string_equal(text_of(object, "funcName"), "run");
        assert_string_equal(text_of(object, "filename"), "log.c");
        assert_int_equal(json_integer_value(json_object_get(object, "lineno")), 42);
        json_decref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_carried_out),
        cmocka_unit_test(numbers_of_the_process),
        cmocka_unit_test(what_is_too_long_is_cut),
        cmocka_unit_test(json_lines_can_be_read),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
