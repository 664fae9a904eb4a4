/* The log: its layout, its levels, one line per event, files opened anew. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define AT_NS (1735790592LL * NS_PER_S + 719 * NS_PER_MS) /* 2025-01-02 04:03:12,719 */
#define DATE  "2025-01-02 04:03:12,719 "

struct scene {
    char directory[64], path[80], moved[80];
};

static void open_log(const char *path, enum log_level level, bool with_pid)
{
    struct log_settings settings = {
        .level = level, .path = path, .mode = 0640, .with_pid = with_pid};
    struct error err = {0};

    if (!log_open(&settings, &err))
        fail_msg("%s", err.text);
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    setenv("TZ", "UTC", 1);
    tzset();
    umask(0);
    clock_hold(AT_NS, -1);
    snprintf(scene->directory, sizeof(scene->directory), "/tmp/test_log.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    snprintf(scene->path, sizeof(scene->path), "%s/log", scene->directory);
    snprintf(scene->moved, sizeof(scene->moved), "%s/log.1", scene->directory);
    open_log(scene->path, LOG_INFO, false);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    log_close();
    clock_hold(-1, -1);
    unlink(scene->path);
    unlink(scene->moved);
    rmdir(scene->directory);
    free(scene);
    return 0;
}

/* What is in the file, which is emptied. The caller's. */
static char *take_text(const char *path)
{
    char *text = memory_new(1 << 20);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || read(fd, text, (1 << 20) - 1) < 0 || ftruncate(fd, 0) != 0)
        fail_msg("read '%s': %s", path, strerror(errno));
    close(fd);
    return text;
}

static void expect_text(const char *path, const char *expected)
{
    char *text = take_text(path);

    if (strcmp(text, expected) != 0)
        fail_msg("%s: expected '%s', found '%s'", path, expected, text);
    free(text);
}

static const struct {
    enum log_level level;
    const char *where, *text, *line;
} lines[] = {
    {LOG_INFO, "sarracenia.flowcb.log after_accept", "accepted: (lag: 0.42 ) x ",
     DATE "[INFO] sarracenia.flowcb.log after_accept accepted: (lag: 0.42 ) x \n"},
    {LOG_WARNING, "a b", "", DATE "[WARNING] a b \n"},
    {LOG_ERROR, "a b", "x", DATE "[ERROR] a b x\n"},
    {LOG_CRITICAL, "a b", "x", DATE "[CRITICAL] a b x\n"},
    {LOG_DEBUG, "a b", "x", DATE "[DEBUG] a b x\n"},
    {LOG_INFO, "a b", "two\nlines\r\n", DATE "[INFO] a b two\\x0alines\\x0d\\x0a\n"},
    {LOG_INFO, "a b", "\t\x1b[31m\x7f\x01", DATE "[INFO] a b \\x09\\x1b[31m\\x7f\\x01\n"},
    {LOG_INFO, "a b", "\xc3\xa9t\xc3\xa9", DATE "[INFO] a b \xc3\xa9t\xc3\xa9\n"},
    {LOG_INFO, "a b", "%s %n \\x0a", DATE "[INFO] a b %s %n \\x0a\n"},
};

static void lines_have_their_layout(void **state)
{
    struct scene *scene = *state;

    open_log(scene->path, LOG_DEBUG, false);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        log_line(lines[i].level, lines[i].where, "%s", lines[i].text);
        log_flush();
        expect_text(scene->path, lines[i].line);
    }
}

static void the_process_id_stands_behind_the_level(void **state)
{
    struct scene *scene = *state;
    char *expected = memory_format(DATE "[INFO] %d a b x 7\n", (int)getpid());

    open_log(scene->path, LOG_INFO, true);
    log_info("a b", "x %d", 7);
    log_flush();
    expect_text(scene->path, expected);
    free(expected);
}

static void lower_levels_are_left_out(void **state)
{
    struct scene *scene = *state;

    for (int level = LOG_DEBUG; level <= LOG_CRITICAL; level++) {
        char *text;
        int count = 0;

        open_log(scene->path, (enum log_level)level, false);
        for (int i = LOG_DEBUG; i <= LOG_CRITICAL; i++) {
            log_line((enum log_level)i, "a b", "x");
            if (log_writes((enum log_level)i) != (i >= level))
                fail_msg("at level %d: level %d is written: %d", level, i, i < level);
        }
        log_debug("a b", "%s", "macro");
        log_flush();
        text = take_text(scene->path);
        for (char *at = text; (at = strchr(at, '\n')); at++)
            count++;
        if (count != LOG_CRITICAL - level + 1 + (level == LOG_DEBUG))
            fail_msg("at level %d: %d lines: %s", level, count, text);
        free(text);
    }
}

static void errors_are_written_at_once(void **state)
{
    struct scene *scene = *state;

    log_info("a b", "first");
    log_warning("a b", "second");
    expect_text(scene->path, "");
    log_error("a b", "third");
    expect_text(scene->path, DATE "[INFO] a b first\n" DATE "[WARNING] a b second\n" DATE
                                  "[ERROR] a b third\n");
}

/* More than the buffer holds: nothing is lost, long lines are cut, each stays one line. */
static void long_lines_are_cut(void **state)
{
    struct scene *scene = *state;
    char *message = memory_new(20001), *text;
    size_t lines_found = 0;

    for (int fill = 0; fill < 2; fill++) {
        memset(message, fill ? 'x' : '\n', 20000);
        for (int i = 0; i < 20; i++)
            log_info("a b", "%s", message);
    }
    log_flush();
    text = take_text(scene->path);
    for (char *at = text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        if (!end || end - at < 8000 || end - at > 8500 || strncmp(at, DATE, strlen(DATE)) != 0)
            fail_msg("line %zu has %td bytes", lines_found, end ? end - at : -1);
        lines_found++;
    }
    assert_int_equal(lines_found, 40);
    free(text);
    free(message);
}

static void files_are_appended_to_and_opened_anew(void **state)
{
    struct scene *scene = *state;
    struct error err = {0};
    struct stat status;

    assert_int_equal(stat(scene->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    log_info("a b", "one");
    open_log(scene->path, LOG_INFO, false); /* what is gathered is not lost */
    log_info("a b", "two");
    assert_int_equal(rename(scene->path, scene->moved), 0);
    log_info("a b", "three");
    assert_true(log_reopen(&err));
    log_info("a b", "four");
    log_close();
    expect_text(scene->moved, DATE "[INFO] a b one\n" DATE "[INFO] a b two\n" DATE
                                   "[INFO] a b three\n");
    expect_text(scene->path, DATE "[INFO] a b four\n");
}

static void a_log_that_cannot_be_opened(void **state)
{
    struct scene *scene = *state;
    struct log_settings settings = {.level = LOG_INFO, .path = scene->directory, .mode = 0640};
    struct error err = {0};

    log_info("a b", "before");
    if (log_open(&settings, &err) || err.kind != ERROR_OPERATOR
        || !strstr(err.text, scene->directory))
        fail_msg("kind %d: %s", err.kind, err.text);
    log_info("a b", "after");
    log_flush();
    expect_text(scene->path, DATE "[INFO] a b before\n" DATE "[INFO] a b after\n");
}

static const struct {
    const char *name;
    int level; /* -1: there is none */
} levels[] = {
    {"debug", LOG_DEBUG},       {"info", LOG_INFO},     {"warning", LOG_WARNING},
    {"error", LOG_ERROR},       {"critical", LOG_CRITICAL}, {"INFO", LOG_INFO},
    {"Warning", LOG_WARNING},   {"none", LOG_CRITICAL}, {"notset", LOG_DEBUG},
    {"", -1},                   {"inf", -1},            {"infos", -1},
    {"20", -1},
};

static void level_names_are_parsed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        enum log_level level = LOG_ERROR;
        bool parsed = log_level_parse(levels[i].name, &level);

        if (parsed ? (int)level != levels[i].level : levels[i].level != -1)
            fail_msg("'%s': parsed %d, level %d", levels[i].name, parsed, (int)level);
    }
}

static const struct {
    const char *message, *shown;
} secrets[] = {
    {"at amqp://me:secret@host/", "at amqp://me:***@host/"},
    {"at amqp://me:s@host and ftp://you:longer@host", "at amqp://me:*@host and ftp://you:***@host"},
    {"redis://:secret@host:6379/0", "redis://:***@host:6379/0"},
    {"sftp://me:se@cr@et@host/x", "sftp://me:***@host/x"},
    {"sftp://me:se/cr?et@host/x", "sftp://me:***@host/x"},
    {"sftp://me:12/34x@host/x", "sftp://me:12/34x@host/x"}, /* it looks like a port */
    {"body: '{\"baseUrl\": \"sftp://me:secr...'", "body: '{\"baseUrl\": \"sftp://me:***'"},
    {"body: '{\"baseUrl\": \"sftp:\\/\\/me:secret@host\\/\"}'",
     "body: '{\"baseUrl\": \"sftp:\\/\\/me:***@host\\/\"}'"},
    {"get 'http://host:8080/a@b': HTTP 404", "get 'http://host:8080/a@b': HTTP 404"},
    {"get 'http://host/a:b@c' : HTTP 404", "get 'http://host/a:b@c' : HTTP 404"},
    {"at http://host:80: refused", "at http://host:80: refused"},
    {"at http://host: refused", "at http://host: refused"},
    {"at http://[::1]:9110/x@y", "at http://[::1]:9110/x@y"},
    {"at http://me@host:80/", "at http://me@host:80/"},
    {"://", "://"},
};

static void passwords_are_hidden(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        char *expected = memory_format(DATE "[INFO] a b %s\n", secrets[i].shown);

        log_info("a b", "%s", secrets[i].message);
        log_flush();
        expect_text(scene->path, expected);
        free(expected);
    }
}

/* Those of ASCII, and those of Unicode, which some terminals obey as well. */
static void control_characters_are_shown(void **state)
{
    struct scene *scene = *state;

    log_info("a b", "%s", "\033[2J\n\x7f \xc2\x9b[ \xc3\x9b \xc2");
    log_flush();
    expect_text(scene->path,
                DATE "[INFO] a b \\x1b[2J\\x0a\\x7f \\xc2\\x9b[ \xc3\x9b \xc2\n");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(lines_have_their_layout),
        CASE(the_process_id_stands_behind_the_level),
        CASE(lower_levels_are_left_out),
        CASE(errors_are_written_at_once),
        CASE(long_lines_are_cut),
        CASE(passwords_are_hidden),
        CASE(control_characters_are_shown),
        CASE(files_are_appended_to_and_opened_anew),
        CASE(a_log_that_cannot_be_opened),
        cmocka_unit_test(level_names_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
