/*
 * The command line: exit statuses and what is printed, up to where a subscriber would start. Both
 * streams go to files during a call, so that the texts can be compared.
 */
#include "cli.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS_MAX 8
#define TEXT_SIZE 8192
#define BROKER    "broker amqps://anonymous@127.0.0.1:1/\n"

static char home[] = "/tmp/sr3sub-test-XXXXXX";

struct outcome {
    enum cli_status status;
    char out[TEXT_SIZE], errors[TEXT_SIZE];
};

/* --- running a command ----------------------------------------------------------------------- */

static void read_all(int fd, char text[TEXT_SIZE])
{
    ssize_t length = pread(fd, text, TEXT_SIZE - 1, 0);

    assert_true(length >= 0);
    text[length] = '\0';
}

/* Sends `stream` to `fd`; returns what it was before. */
static int divert(FILE *stream, int fd)
{
    int before;

    fflush(stream);
    before = dup(fileno(stream));
    assert_true(before >= 0);
    assert_true(dup2(fd, fileno(stream)) >= 0);
    return before;
}

static void restore(FILE *stream, int before)
{
    fflush(stream);
    assert_true(dup2(before, fileno(stream)) >= 0);
    close(before);
}

static int nameless_file(void)
{
    int fd = open(home, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* Runs `sr3sub words...`; `words` end with NULL. */
static void run(const char *const *words, struct outcome *outcome)
{
    char *argv[WORDS_MAX + 2] = {memory_copy("sr3sub")};
    int argc = 1, out = nameless_file(), errors = nameless_file(), out_before, errors_before;

    for (; *words; words++)
        argv[argc++] = memory_copy(*words);
    out_before = divert(stdout, out);
    errors_before = divert(stderr, errors);
    outcome->status = cli_run(argc, argv);
    restore(stdout, out_before);
    restore(stderr, errors_before);
    read_all(out, outcome->out);
    read_all(errors, outcome->errors);
    close(out);
    close(errors);
    while (argc)
        free(argv[--argc]);
}

/* Fails with everything there is to know about a run. */
static void fail_run(const char *const *words, const struct outcome *outcome)
{
    char *line = memory_copy("sr3sub");

    for (; *words; words++)
        memory_replace(&line, memory_format("%s '%s'", line, *words));
    print_error("%s: status %d\nout: '%s'\nerrors: '%s'\n", line, outcome->status, outcome->out,
                outcome->errors);
    free(line);
    fail();
}

static bool begins_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* --- wrong usage ----------------------------------------------------------------------------- */

static const struct {
    const char *words[WORDS_MAX + 1];
    const char *says; /* behind "sr3sub: " */
} wrong[] = {
    {{"--nosuch"}, "unknown option '--nosuch'"},
    {{"-nosuch"}, "unknown option '-nosuch'"},
    {{"--nosuch=1"}, "unknown option '--nosuch=1'"},
    {{"--"}, "unknown option '--'"},
    {{"--=1"}, "unknown option '--=1'"},
    {{"foreground", "subscribe/a", "--nosuch", "1"}, "unknown option '--nosuch'"},
    {{"--help", "--nosuch"}, "unknown option '--nosuch'"},
    {{"--log"}, "'--log' could be several options, such as '--logDuplicates'"},
    {{"--logR", "on"}, "'--logR' could be several options, such as '--logReject'"},
    {{"-logStd"}, "unknown option '-logStd'"},
    {{"--include"}, "a value is missing behind '--include'"},
    {{"--LOGSTDOUT"}, "unknown option '--LOGSTDOUT'"},

    {{"dance"}, "unknown action 'dance'"},
    {{"dance", "subscribe/a"}, "unknown action 'dance'"},
    {{"subscribe/a", "foreground"}, "unknown action 'subscribe/a'"},
    {{"Foreground", "subscribe/a"}, "unknown action 'Foreground'"},
    {{""}, "unknown action ''"},
    {{"-"}, "unknown action '-'"},

    {{"--config"}, "a value is missing behind '--config'"},
    {{"-config"}, "a value is missing behind '-config'"},
    {{"-c"}, "a value is missing behind '-c'"},
    {{"foreground", "--config"}, "a value is missing behind '--config'"},
    {{"foreground", "subscribe/a", "--no"}, "a value is missing behind '--no'"},
    {{"foreground", "subscribe/a", "--broker"}, "a value is missing behind '--broker'"},
    {{"foreground", "subscribe/a", "--b"}, "a value is missing behind '--b'"},
    {{"foreground", "subscribe/a", "-b"}, "a value is missing behind '-b'"},
    {{"foreground", "subscribe/a", "--logFile"}, "a value is missing behind '--logFile'"},

    {{"foreground"}, "foreground runs one configuration; name it: 'subscribe/NAME'"},
    {{"foreground", "--logStdout"}, "foreground runs one configuration; name it: 'subscribe/NAME'"},
    {{"foreground", "a", "b"}, "foreground runs one configuration; name it: 'subscribe/NAME'"},
    {{"foreground", "a", "--logStdout", "b"},
     "foreground runs one configuration; name it: 'subscribe/NAME'"},
    {{"foreground", "--config", "a", "b", "c"},
     "foreground runs one configuration; name it: 'subscribe/NAME'"},

    {{"show"}, "show reads one configuration; name it: 'subscribe/NAME'"},
    {{"show", "a", "b", "--json"}, "show reads one configuration; name it: 'subscribe/NAME'"},
    {{"explain", "--text"}, "explain reads one configuration; name it: 'subscribe/NAME'"},
    {{"check", "--mirror", "on"},
     "check reads what is in files and takes no options such as 'mirror'"},
    {{"check", "--config", "a"},
     "check reads what is in files and takes no options such as 'config'"},

    {{"status", "--mirror", "on"},
     "status looks at what runs and takes no options such as 'mirror'"},
    {{"health"}, "health reads one configuration; name it: 'subscribe/NAME'"},
    {{"health", "a", "b"}, "health reads one configuration; name it: 'subscribe/NAME'"},
    {{"health", "a", "--no", "x"}, "--no wants the number of the instance, not 'x'"},

    {{"cleanup"}, "cleanup wants to know what; name it: 'subscribe/NAME'"},
    {{"cleanup", "a", "--dangerWillRobinson", "x"}, "--dangerWillRobinson wants a number, not 'x'"},
    {{"cleanup", "a", "--danger", "-1"}, "--dangerWillRobinson wants a number, not '-1'"},
    {{"retry"}, "retry wants 'list', 'drop' or 'now', not ''"},
    {{"retry", "subscribe/a"}, "retry wants 'list', 'drop' or 'now', not 'subscribe/a'"},
    {{"retry", "list"}, "retry list works on one configuration and one pattern"},
    {{"retry", "now", "a", "b", "c"}, "retry now works on one configuration and one pattern"},
    {{"retry", "drop", "b", "c", "-c", "a"},
     "retry drop works on one configuration and one pattern"},

    {{"--no", ""}, "--no wants the number of the instance, not ''"},
    {{"--no="}, "--no wants the number of the instance, not ''"},
    {{"--no", "-1"}, "--no wants the number of the instance, not '-1'"},
    {{"--no=-1"}, "--no wants the number of the instance, not '-1'"},
    {{"--no", "+1"}, "--no wants the number of the instance, not '+1'"},
    {{"--no", " 1"}, "--no wants the number of the instance, not ' 1'"},
    {{"--no", "1x"}, "--no wants the number of the instance, not '1x'"},
    {{"--no", "one"}, "--no wants the number of the instance, not 'one'"},
    {{"--no", "1.5"}, "--no wants the number of the instance, not '1.5'"},
    {{"--no", "10000"}, "--no wants the number of the instance, not '10000'"},
    {{"--no", "99999999999999999999"},
     "--no wants the number of the instance, not '99999999999999999999'"},
    {{"foreground", "subscribe/a", "--no", "--logStdout"},
     "--no wants the number of the instance, not '--logStdout'"},
};

/* Status 2, and on standard error one line that says why, then the usage. */
static void wrong_usage_is_refused(void **state)
{
    struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char *start = memory_format("sr3sub: %s\nusage: sr3sub ", wrong[i].says);

        run(wrong[i].words, &outcome);
        if (outcome.status != CLI_USAGE || *outcome.out || !begins_with(outcome.errors, start))
            fail_run(wrong[i].words, &outcome);
        free(start);
    }
}

/* --- what ends without a configuration ------------------------------------------------------- */

static const struct {
    const char *words[WORDS_MAX + 1];
    const char *prints; /* how standard output begins */
} informing[] = {
    {{NULL}, "usage: sr3sub "},
    {{"--help"}, "usage: sr3sub "},
    {{"-help"}, "usage: sr3sub "},
    {{"--hel"}, "usage: sr3sub "},
    {{"--vers"}, SR3SUB_VERSION "\n"},
    {{"options"}, "# Options\n"},
    {{"options", "--markdown"}, "# Options\n"},
    {{"options", "--bash"}, "# Completes the words of sr3sub in bash."},
    {{"-h"}, "usage: sr3sub "},
    {{"foreground", "--help"}, "usage: sr3sub "},
    {{"foreground", "a", "b", "-h"}, "usage: sr3sub "},
    {{"dance", "--help"}, "usage: sr3sub "},
    {{"--no", "3"}, "usage: sr3sub "},
    {{"--logStdout"}, "usage: sr3sub "},
    {{"--version"}, SR3SUB_VERSION "\n"},
    {{"-v"}, SR3SUB_VERSION "\n"},
    {{"--help", "--version"}, SR3SUB_VERSION "\n"},
    {{"foreground", "subscribe/a", "--version"}, SR3SUB_VERSION "\n"},
};

static void help_and_version_are_printed(void **state)
{
    struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(informing); i++) {
        run(informing[i].words, &outcome);
        if (outcome.status != CLI_OK || *outcome.errors
            || !begins_with(outcome.out, informing[i].prints))
            fail_run(informing[i].words, &outcome);
    }
}

static void version_is_one_line(void **state)
{
    struct outcome outcome;

    (void)state;
    run((const char *[]){"--version", NULL}, &outcome);
    assert_string_equal(outcome.out, SR3SUB_VERSION "\n");
}

/* --- configurations that cannot be run ------------------------------------------------------- */

static char *config_path(const char *name)
{
    return memory_format("%s/sr3/subscribe/%s.conf", home, name);
}

static void write_config(const char *name, const char *text)
{
    char *path = config_path(name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static const struct {
    const char *words[WORDS_MAX + 1];
    const char *says; /* behind "sr3sub: "; %s: the home directory */
} failing[] = {
    {{"foreground", "subscribe/none"}, "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"foreground", "none"}, "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"foreground", "--config", "subscribe/none.conf"},
     "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"--config=subscribe/none.conf", "foreground", "--no=3", "-debug"},
     "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"foreground", "--conf", "none", "--deb", "--logStd", "--att=3"},
     "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"foreground", "-c", "none", "--debug", "off"},
     "read '%s/sr3/subscribe/none.conf': there is no such file"},
    {{"foreground", ""}, "'' names no configuration; write subscribe/NAME for the file NAME.conf"},
    {{"foreground", "--config="},
     "'' names no configuration; write subscribe/NAME for the file NAME.conf"},
    {{"foreground", "poll/a"},
     "'poll/a' names no configuration; write subscribe/NAME for the file NAME.conf"},
    {{"foreground", "works", "--attempts", "many"},
     "command line: option 'attempts': 'many' is no number; write digits, such as 25"},
    {{"foreground", "works", "--include", "a.inc"},
     "command line: option 'include': works only in files"},
};

/* Status 1, and one line on standard error; the usage would not help. */
static void bad_configurations_are_refused(void **state)
{
    struct outcome outcome;

    (void)state;
    write_config("works", BROKER);
    for (size_t i = 0; i < COUNT_OF(failing); i++) {
        const char *mark = strstr(failing[i].says, "%s");
        int head = mark ? (int)(mark - failing[i].says) : 0;
        char *start = memory_format("sr3sub: %.*s%s%s", head, failing[i].says, mark ? home : "",
                                    failing[i].says + (mark ? head + 2 : 0));

        run(failing[i].words, &outcome);
        if (outcome.status != CLI_FAILED || *outcome.out || !begins_with(outcome.errors, start)
            || strchr(outcome.errors, '\n') != outcome.errors + strlen(outcome.errors) - 1)
            fail_run(failing[i].words, &outcome);
        free(start);
    }
}

/* --- what the environment names --------------------------------------------------------------- */

static const struct {
    const char *config, *instance;
    const char *words[WORDS_MAX + 1];
    enum cli_status status;
    const char *says; /* somewhere on standard output or behind "sr3sub: " */
} named[] = {
    {"subscribe/none.conf", "3", {NULL}, CLI_FAILED, "/none.conf': there is no such file"},
    {"none", "", {"--logStdout"}, CLI_FAILED, "/none.conf': there is no such file"},
    {"none", "3", {"foreground"}, CLI_FAILED, "/none.conf': there is no such file"},
    {"none", "3", {"health"}, CLI_FAILED, "/none.conf': there is no such file"},
    {"subscribe/works.conf", "3", {"health"}, CLI_FAILED, "/subscribe_works_03.json"},
    {"works", "3", {"health", "--no", "4"}, CLI_FAILED, "/subscribe_works_04.json"},
    {"works", "3", {"health", "--no", "0"}, CLI_FAILED, "/subscribe_works_00.json"},
    {"works", "x", {"health", "--no", "4"}, CLI_FAILED, "/subscribe_works_04.json"},
    {"works", "3", {"show", "--json"}, CLI_OK, "\"instance\": 3,"},
    {"works", "", {"show", "--json"}, CLI_OK, "\"instance\": 0,"},
    {"none", NULL, {"show", "works"}, CLI_OK, "subscribe/works, from "},
    {"none", NULL, {"show", "--config", "works"}, CLI_OK, "subscribe/works, from "},
    {"none", "1", {"--version"}, CLI_OK, SR3SUB_VERSION},
    {"none", "1", {"--help"}, CLI_OK, "usage: "},
    {"", "1", {NULL}, CLI_OK, "usage: "},
    {NULL, "1", {"foreground"}, CLI_USAGE, "foreground runs one configuration"},
    {"works",
     "{{.Task.Slot}}",
     {NULL},
     CLI_USAGE,
     "SR3_INSTANCE wants the number of the instance, not '{{.Task.Slot}}'"},
    {"works", "1", {"cleanup"}, CLI_USAGE, "cleanup wants to know what"},
    {"works", "1", {"retry", "list"}, CLI_USAGE, "retry list works on one configuration"},
};

static void set_variable(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void the_environment_names_configuration_and_instance(void **state)
{
    struct outcome outcome;

    (void)state;
    write_config("works", BROKER);
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        set_variable("SR3_CONFIG", named[i].config);
        set_variable("SR3_INSTANCE", named[i].instance);
        run(named[i].words, &outcome);
        if (outcome.status != named[i].status
            || !strstr(outcome.status == CLI_OK ? outcome.out : outcome.errors, named[i].says))
            fail_run(named[i].words, &outcome);
    }
    unsetenv("SR3_CONFIG");
    unsetenv("SR3_INSTANCE");
}

/* --- the log --------------------------------------------------------------------------------- */

/*
 * Runs a configuration that leaves a warning in the log and then stops at its state directory,
 * whose place is taken by a file.
 */
static void run_until_state(const char *first, const char *second, struct outcome *outcome)
{
    const char *words[] = {"foreground", "log", first, second, NULL};
    char *cache = memory_format("%s/file", home);
    FILE *file = fopen(cache, "w");

    assert_non_null(file);
    fclose(file);
    setenv("XDG_CACHE_HOME", cache, 1);
    write_config("log", BROKER);
    run(words, outcome);
    assert_int_equal(outcome->status, CLI_FAILED);
    setenv("XDG_CACHE_HOME", home, 1);
    free(cache);
}

static void log_goes_to_standard_error(void **state)
{
    char *line = memory_format("[WARNING] %d sarracenia.config parse ", (int)getpid());
    struct outcome outcome;

    (void)state;
    run_until_state(NULL, NULL, &outcome);
    assert_non_null(strstr(outcome.errors, line));
    assert_string_equal(outcome.out, "");
    free(line);
}

static void log_goes_to_standard_output(void **state)
{
    char *line = memory_format("[WARNING] %d sarracenia.config parse ", (int)getpid());
    struct outcome outcome;

    (void)state;
    run_until_state("--logStdout", NULL, &outcome);
    assert_non_null(strstr(outcome.out, line));
    assert_true(begins_with(outcome.errors, "sr3sub: "));
    free(line);
}

/* The layout of a file is without the process id; a second run appends. */
static void log_goes_to_a_file(void **state)
{
    char *path = memory_format("%s/sub.log", home), *argument = memory_format("--logFile=%s", path);
    char text[TEXT_SIZE], *first;
    struct outcome outcome;
    struct stat status;
    int fd;

    (void)state;
    run_until_state(argument, "--permLog=0640", &outcome);
    assert_string_equal(outcome.out, "");
    assert_true(begins_with(outcome.errors, "sr3sub: "));
    run_until_state(argument, "--logStdout", &outcome);
    assert_string_equal(outcome.out, "");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    read_all(fd, text);
    assert_int_equal(fstat(fd, &status), 0);
    close(fd);
    assert_int_equal(status.st_mode & 07777, 0640);
    first = strstr(text, "[WARNING] sarracenia.config parse ");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "[WARNING] sarracenia.config parse "));
    free(argument);
    free(path);
}

static void log_file_must_be_writable(void **state)
{
    char *path = memory_format("%s/missing/sub.log", home);
    char *says = memory_format("sr3sub: open log file '%s': No such file or directory\n", path);
    struct outcome outcome;

    (void)state;
    write_config("log", BROKER);
    run((const char *[]){"foreground", "log", "--logFile", path, NULL}, &outcome);
    assert_int_equal(outcome.status, CLI_FAILED);
    assert_string_equal(outcome.errors, says);
    free(says);
    free(path);
}

/* --- the files of the tests ------------------------------------------------------------------ */

static int prepare(void **state)
{
    char *sr3, *subscribe;

    (void)state;
    if (!mkdtemp(home))
        return -1;
    umask(022);
    setenv("HOME", home, 1);
    setenv("XDG_CONFIG_HOME", home, 1);
    setenv("XDG_CACHE_HOME", home, 1);
    sr3 = memory_format("%s/sr3", home);
    subscribe = memory_format("%s/subscribe", sr3);
    mkdir(sr3, 0755);
    mkdir(subscribe, 0755);
    free(subscribe);
    free(sr3);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static int clean_up(void **state)
{
    (void)state;
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_usage_is_refused),
        cmocka_unit_test(help_and_version_are_printed),
        cmocka_unit_test(version_is_one_line),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(the_environment_names_configuration_and_instance),
        cmocka_unit_test(log_goes_to_standard_error),
        cmocka_unit_test(log_goes_to_standard_output),
        cmocka_unit_test(log_goes_to_a_file),
        cmocka_unit_test(log_file_must_be_writable),
    };

    return cmocka_run_group_tests(tests, prepare, clean_up);
}
