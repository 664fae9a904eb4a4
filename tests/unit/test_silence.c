/* The report: that a silent subscription says so, once and in time. */
#include "report.h"

#include "base/clock.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS 900000

/* How often the warning was logged after `events`, each followed by a step. */
static int warnings_after(const char *events, int64_t step_ms, int64_t silence_ms)
{
    char path[] = "/tmp/sr3sub-test-XXXXXX", line[1000];
    int fd = mkstemp(path), count = 0;
    struct log_settings log = {.level = LOG_DEBUG, .path = path, .mode = 0600};
    struct envelope envelope = {.body = {NULL, 0}};
    struct report report;
    struct error err = {0};
    int64_t now_ms = 1000;
    FILE *file;

    assert_true(fd >= 0 && log_open(&log, &err));
    clock_hold(0, now_ms);
    report_init(&report, &(struct report_settings){.title = "t", .topic_prefix = "v03"});
    for (; *events; events++) {
        if (*events == 'm')
            report_received(&report, &envelope);
        else if (*events != '.')
            report_connection(&report, *events == 'c');
        clock_hold(0, now_ms += step_ms);
        report_silence(&report, "xpublic v03.#", silence_ms);
    }
    log_close();
    clock_hold(-1, -1);
    file = fdopen(fd, "r");
    while (fgets(line, sizeof(line), file))
        count += strstr(line, "nothing came for") && strstr(line, "xpublic v03.#");
    fclose(file);
    unlink(path);
    return count;
}

static const struct {
    const char *events; /* c connected, d disconnected, m message, '.' nothing; then a step */
    int64_t step_ms, silence_ms;
    int warnings;
} cases[] = {
    {"c", SILENCE_MS - 1, SILENCE_MS, 0},
    {"c", SILENCE_MS, SILENCE_MS, 1},
    {"c...", SILENCE_MS, SILENCE_MS, 1},            /* once */
    {"...", SILENCE_MS, SILENCE_MS, 0},             /* never connected */
    {"c.mmmm", SILENCE_MS / 3, SILENCE_MS, 0},      /* each message begins the time again */
    {"cm..", SILENCE_MS / 3, SILENCE_MS, 1},        /* came to an end */
    {"c.dc.d", SILENCE_MS / 3, SILENCE_MS, 0},      /* each connection too */
    {"cm.m..m....", SILENCE_MS / 2, SILENCE_MS, 1}, /* once, however often */
    {"c...", SILENCE_MS, 0, 0},                     /* switched off */
};

static void silence_is_said_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int warnings = warnings_after(cases[i].events, cases[i].step_ms, cases[i].silence_ms);

        if (warnings != cases[i].warnings)
            fail_msg("'%s': %d warnings, not %d", cases[i].events, warnings, cases[i].warnings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_said_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
