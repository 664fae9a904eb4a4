/* Log files that are put aside, readers that do not read, and errors that come in numbers. */
#include "base/log.h"
#include "base/log_output.h"
#include "base/log_rotate.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define DAY_S   86400
#define AT_S    1735790592LL /* 2025-01-02 04:03:12 */
#define HOUR_MS 3600000

struct scene {
    char directory[64], path[80];
    int64_t now_s;
};

static void set_clock(struct scene *scene, int64_t now_s)
{
    scene->now_s = now_s;
    clock_hold(now_s * NS_PER_S, now_s * 1000);
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    setenv("TZ", "UTC", 1);
    tzset();
    set_clock(scene, AT_S);
    snprintf(scene->directory, sizeof(scene->directory), "/tmp/test_log.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    snprintf(scene->path, sizeof(scene->path), "%s/a.log", scene->directory);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    DIR *list = opendir(scene->directory);

    log_close();
    clock_hold(-1, -1);
    for (struct dirent *entry; (entry = readdir(list));)
        unlinkat(dirfd(list), entry->d_name, 0);
    closedir(list);
    rmdir(scene->directory);
    free(scene);
    return 0;
}

static void open_log(const struct scene *scene, const struct log_settings *settings)
{
    struct log_settings used = *settings;
    struct error err = {0};

    if (!used.to_stdout)
        used.path = scene->path;
    used.level = LOG_INFO;
    used.mode = 0640;
    if (!used.format)
        used.format = "%(message)s";
    if (!log_open(&used, &err))
        fail_msg("%s", err.text);
}

static void run_chore(void)
{
    struct log_chore *chore = log_take_chore();

    if (!chore)
        return;
    assert_null(log_take_chore());
    log_chore_run(chore);
    log_chore_end(chore);
}

static char *read_path(const char *path)
{
    char *text = memory_new(1 << 16);
    gzFile file = gzopen(path, "rb"); /* also reads what is not compressed */

    if (!file)
        fail_msg("no '%s'", path);
    assert_true(gzread(file, text, (1 << 16) - 1) >= 0);
    gzclose(file);
    return text;
}

static void expect(const struct scene *scene, const char *name, const char *content)
{
    char *path = memory_format("%s/%s", scene->directory, name), *text = read_path(path);

    if (strcmp(text, content) != 0)
        fail_msg("%s: '%s' and not '%s'", name, text, content);
    free(text);
    free(path);
}

static int count_files(const struct scene *scene)
{
    DIR *list = opendir(scene->directory);
    int count = -2;

    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* ---- rotation ---- */

static void put_aside_at_midnight(void **state)
{
    struct scene *scene = *state;

    open_log(scene,
             &(struct log_settings){.rotate_interval_ms = DAY_S * 1000LL, .rotate_count = 5});
    log_info("a b", "first");
    log_flush();
    set_clock(scene, AT_S - AT_S % DAY_S + DAY_S - 1);
    log_info("a b", "last");
    log_flush();
    assert_int_equal(count_files(scene), 1);
    set_clock(scene, scene->now_s + 1);
    log_flush(); /* nothing to write, nothing to do */
    assert_int_equal(count_files(scene), 1);
    log_info("a b", "next");
    log_flush();
    expect(scene, "a.log.2025-01-02", "first\nlast\n");
    expect(scene, "a.log", "next\n");
}

/* Two days; and a file that is there already belongs to the day on which it was written. */
static void days_are_counted_from_the_file(void **state)
{
    struct scene *scene = *state;
    struct timespec times[2] = {{.tv_sec = AT_S - DAY_S}, {.tv_sec = AT_S - DAY_S}};
    FILE *file = fopen(scene->path, "w");

    fputs("old\n", file);
    fclose(file);
    utimensat(AT_FDCWD, scene->path, times, 0);
    open_log(scene, &(struct log_settings){.rotate_interval_ms = 2000LL * DAY_S});
    log_info("a b", "more");
    log_flush();
    assert_int_equal(count_files(scene), 1);
    set_clock(scene, AT_S + DAY_S);
    log_info("a b", "new");
    log_flush();
    expect(scene, "a.log.2025-01-01", "old\nmore\n");
    expect(scene, "a.log", "new\n");
}

/* In a zone where a day has 23 hours, midnight is midnight. */
static void midnight_is_local(void **state)
{
    struct scene *scene = *state;
    const int64_t evening_s = 1743289200 - 600; /* 2025-03-30 00:00 in Paris, less ten minutes */

    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    set_clock(scene, evening_s);
    open_log(scene, &(struct log_settings){.rotate_interval_ms = DAY_S * 1000LL});
    log_info("a b", "saturday");
    log_flush();
    set_clock(scene, evening_s + 600);
    log_info("a b", "sunday");
    log_flush();
    expect(scene, "a.log.2025-03-29", "saturday\n");
    set_clock(scene, evening_s + 600 + 23 * 3600 - 1);
    log_info("a b", "late");
    log_flush();
    set_clock(scene, scene->now_s + 1);
    log_info("a b", "monday");
    log_flush();
    expect(scene, "a.log.2025-03-30", "sunday\nlate\n");
    expect(scene, "a.log", "monday\n");
}

static void the_newest_are_kept(void **state)
{
    struct scene *scene = *state;

    open_log(scene, &(struct log_settings){
                        .rotate_interval_ms = HOUR_MS, .rotate_count = 2, .json = true});
    for (int hour = 0; hour < 6; hour++) {
        set_clock(scene, AT_S + 3600 * hour);
        log_info("a b", "%d", hour);
        log_flush();
        run_chore();
    }
    assert_int_equal(count_files(scene), 6);
    expect(scene, "a.log.2025-01-02_07-03-12", "3\n");
    expect(scene, "a.log.2025-01-02_08-03-12", "4\n");
    expect(scene, "a.log", "5\n");
}

static void old_files_are_compressed(void **state)
{
    struct scene *scene = *state;
    char *foreign = memory_format("%s/a.log.backup", scene->directory);
    char *left = memory_format("%s/a.log.2024-12-30.gz.tmp", scene->directory);
    struct stat status;
    char *path = memory_format("%s/a.log.2025-01-02_04-03-12.gz", scene->directory);

    close(open(foreign, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    open_log(scene, &(struct log_settings){
                        .rotate_interval_ms = HOUR_MS, .rotate_count = 5, .rotate_compress = true});
    log_info("a b", "old");
    log_flush();
    set_clock(scene, AT_S + 3600);
    log_info("a b", "new");
    log_flush();
    run_chore();
    expect(scene, "a.log.2025-01-02_04-03-12.gz", "old\n");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(access(foreign, F_OK), 0);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(count_files(scene), 3);
    free(foreign);
    free(left);
    free(path);
}

/* Whoever was first has renamed it: the new file must not follow. */
static void what_others_put_aside_is_left_alone(void **state)
{
    struct scene *scene = *state;
    char *moved = memory_format("%s/moved", scene->directory);

    open_log(scene, &(struct log_settings){.rotate_interval_ms = HOUR_MS});
    log_info("a b", "one");
    log_flush();
    assert_int_equal(rename(scene->path, moved), 0);
    close(open(scene->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    set_clock(scene, AT_S + 3600);
    log_info("a b", "two");
    log_flush();
    expect(scene, "moved", "one\n");
    expect(scene, "a.log", "two\n");
    assert_int_equal(count_files(scene), 2);
    free(moved);
}

/* ---- JSON ---- */

static void json_stands_beside(void **state)
{
    struct scene *scene = *state;
    char *path = memory_format("%s/a.json", scene->directory), *text;

    open_log(scene, &(struct log_settings){.json = true});
    log_info("a b", "one \"two\"");
    log_close();
    expect(scene, "a.log", "one \"two\"\n");
    text = read_path(path);
    assert_non_null(strstr(text, "\"message\": \"one \\\"two\\\"\""));
    free(text);
    free(path);
}

/* ---- secrets ---- */

static const struct {
    const char *text, *shown;
} secrets[] = {
    {"get 'http://user:secret@host/a'", "get 'http://user:***@host/a'"},
    {"amqp://u:p@h and redis://:long@h:6379/0", "amqp://u:*@h and redis://:***@h:6379/0"},
    {"http://host:80/a@b", "http://host:80/a@b"},
    {"http://user@host/", "http://user@host/"},
    {"http://host/a:b@c", "http://host/a:b@c"},
    {"://:@", "://:@"},
    {"://", "://"},
    {"x://y x://u:pppp@", "x://y x://u:***@"},
};

static void passwords_are_hidden(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        char *expected = memory_format("%s\n", secrets[i].shown);

        unlink(scene->path);
        open_log(scene, &(struct log_settings){0});
        log_info("a b", "%s", secrets[i].text);
        log_close();
        expect(scene, "a.log", expected);
        free(expected);
    }
}

/* ---- errors that come in numbers ---- */

static void the_same_error_is_counted(void **state)
{
    struct scene *scene = *state;

    open_log(scene, &(struct log_settings){.repeat_limit = 20});
    for (int i = 0; i < 1000; i++)
        log_error("a b", "no route to %s", "host");
    log_flush();
    expect(scene, "a.log", "no route to host\n");
    set_clock(scene, AT_S + 10);
    log_flush();
    expect(scene, "a.log", "no route to host\nno route to host (and 998 more like it in 10 s)\n");
    log_error("a b", "no route to %s", "host"); /* another place in the program */
    log_close();
    expect(scene, "a.log",
           "no route to host\nno route to host (and 998 more like it in 10 s)\n"
           "no route to host\n");
}

static void log_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        log_warning("a b", "file %d failed", i);
        log_info("a b", "file %d", i);
    }
}

/* Of lines that are alike some are written; INFO always; at the end, what is left is told. */
static void errors_that_are_alike_are_counted(void **state)
{
    struct scene *scene = *state;

    open_log(scene, &(struct log_settings){.repeat_limit = 2});
    log_many(0, 4);
    expect(scene, "a.log", "");
    log_close();
    expect(scene, "a.log",
           "file 0 failed\nfile 0\nfile 1 failed\nfile 1\nfile 2\nfile 3\n"
           "file 3 failed (and 1 more like it in 0 s)\n");
}

static void a_single_one_is_written_as_it_is(void **state)
{
    struct scene *scene = *state;

    open_log(scene,
             &(struct log_settings){.repeat_limit = 1, .format = "%(levelname)s %(message)s"});
    for (int i = 0; i < 2; i++)
        log_warning("a b", "file %d failed", i);
    log_close();
    expect(scene, "a.log", "WARNING file 0 failed\nWARNING file 1 failed\n");
}

/* Each announcement's end is a line of its own. */
static void fates_are_never_counted(void **state)
{
    struct scene *scene = *state;

    open_log(scene, &(struct log_settings){.repeat_limit = 1});
    for (int i = 0; i < 3; i++)
        log_fate(LOG_ERROR, "a b", "gave up");
    expect(scene, "a.log", "");
    log_close();
    expect(scene, "a.log", "gave up\ngave up\ngave up\n");
}

static void no_limit(void **state)
{
    struct scene *scene = *state;

    open_log(scene, &(struct log_settings){0});
    for (int i = 0; i < 3; i++)
        log_warning("a b", "same");
    log_close();
    expect(scene, "a.log", "same\nsame\nsame\n");
}

/* ---- readers that do not read ---- */

/* Reads until there is nothing; returns how many bytes and, in *lines, how many lines. */
static size_t read_out(int fd, size_t *lines)
{
    char piece[4096];
    size_t total = 0;
    ssize_t length;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((length = read(fd, piece, sizeof(piece))) > 0) {
        total += (size_t)length;
        for (ssize_t i = 0; i < length; i++)
            *lines += piece[i] == '\n';
    }
    return total;
}

static void check_stuck(int reader, int writer, bool nonblock)
{
    struct log_output output;
    char text[120];
    size_t lines = 0;
    int64_t dropped = 0;

    log_output_open(&output, writer, false);
    assert_false(output.patient);
    output.nonblock = output.nonblock && nonblock;
    for (int i = 0; i < 30000; i++) {
        snprintf(text, sizeof(text), "%09d%089d\n", i, 0);
        log_output_write(&output, text, 99);
    }
    assert_true(output.dropped > 0);
    assert_int_equal(log_output_take_dropped(&output), 0); /* not before it reads */
    for (int i = 0; i < 10000 && output.kept; i++) {
        read_out(reader, &lines);
        log_output_drain(&output);
    }
    dropped = log_output_take_dropped(&output);
    read_out(reader, &lines);
    assert_int_equal(lines + (size_t)dropped, 30000);
    assert_true(lines >= (LOG_KEPT_MAX - 99) / 99);
    log_output_write(&output, "again\n", 6);
    assert_int_equal(read_out(reader, &lines), 6);
    log_output_close(&output);
}

static void nobody_waits_for_a_reader(void **state)
{
    int ends[2];

    (void)state;
    for (int round = 0; round < 3; round++) {
        if (round < 2)
            assert_int_equal(pipe(ends), 0);
        else
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        check_stuck(ends[0], round == 2 ? ends[1] : ends[1], round == 0);
        assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* it is shared */
        close(ends[0]);
        close(ends[1]);
    }
}

/* The whole log: what was lost is told. */
static void lost_lines_are_told(void **state)
{
    struct scene *scene = *state;
    int ends[2], before = dup(STDOUT_FILENO), number = 0;
    size_t lines = 0, length;
    char tail[4096] = "";

    fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    open_log(scene, &(struct log_settings){.to_stdout = true});
    for (; number < 20000; number++)
        log_info("a b", "%0100d", number);
    dup2(before, STDOUT_FILENO);
    for (int i = 0; i < 200; i++) {
        ssize_t got;

        log_flush();
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        while ((got = read(ends[0], tail, sizeof(tail) - 1)) > 0) {
            length = (size_t)got;
            tail[length] = '\0';
            for (size_t at = 0; at < length; at++)
                lines += tail[at] == '\n';
        }
    }
    if (!strstr(tail, "lines of the log could not be written and are lost\n"))
        fail_msg("'%s'", tail);
    assert_true(lines < (size_t)number);
    log_close();
    close(ends[0]);
    close(ends[1]);
    close(before);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(put_aside_at_midnight),
        CASE(days_are_counted_from_the_file),
        CASE(midnight_is_local),
        CASE(the_newest_are_kept),
        CASE(old_files_are_compressed),
        CASE(what_others_put_aside_is_left_alone),
        CASE(json_stands_beside),
        CASE(passwords_are_hidden),
        CASE(the_same_error_is_counted),
        CASE(errors_that_are_alike_are_counted),
        CASE(a_single_one_is_written_as_it_is),
        CASE(fates_are_never_counted),
        CASE(no_limit),
        CASE(nobody_waits_for_a_reader),
        CASE(lost_lines_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
