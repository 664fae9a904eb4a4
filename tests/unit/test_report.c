/* What becomes of announcements: each event's line, word by word, and what it counts. */
#include "report.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define AT_NS 1735790592000000000 /* 2025-01-02 04:03:12 */
#define HEAD  "2025-01-02 04:03:12,000 "

struct scene {
    char path[64];
    struct report report;
    struct job_board board;
    struct job *job;
};

static const struct report_settings all = {.title = "subscribe/dd_all",
                                           .topic_prefix = "v02.post",
                                           .instance = 3,
                                           .accepted = true,
                                           .placed = true,
                                           .rejected = true,
                                           .duplicates = true,
                                           .housekeeping = true};
static const struct report_settings few = {.title = "subscribe/dd_all", .topic_prefix = "v02.post"};

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));
    struct log_settings settings = {.level = LOG_INFO, .path = scene->path, .mode = 0600};
    struct error err = {0};
    int fd;

    setenv("TZ", "UTC", 1);
    tzset();
    clock_hold(AT_NS, 100000);
    snprintf(scene->path, sizeof(scene->path), "/tmp/test_report.XXXXXX");
    fd = mkstemp(scene->path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(log_open(&settings, &err));
    scene->job = job_new(&scene->board);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    job_advance(scene->job, JOB_FAILED);
    job_advance(scene->job, JOB_ACKED);
    job_free(scene->job);
    log_close();
    unlink(scene->path);
    clock_hold(-1, -1);
    free(scene);
    return 0;
}

/* The announcement that all events are about. */
static void begin(struct scene *scene, const struct report_settings *settings)
{
    struct announcement *announcement = &scene->job->announcement;

    report_init(&scene->report, settings);
    announcement->exchange = "xpublic";
    announcement->routing_key = "v02.post.20250102.WXO-DD";
    announcement->base_url = "https://dd.weather.gc.ca/";
    announcement->rel_path = "20250102/WXO-DD/file.xml";
    announcement->pub_time_ns = AT_NS - 1500000000;
    announcement->size_bytes = 12;
    announcement->identity_method = "md5";
    announcement->identity_value = "1a2b3c4d5e6f";
    scene->job->destination.directory = "/data";
    scene->job->destination.path = "WXO-DD/file.xml";
    scene->job->tries = 2;
}

static void accept_it(struct scene *scene)
{
    report_accepted(&scene->report, scene->job);
}

static void accept_the_unknown(struct scene *scene)
{
    scene->job->announcement.size_bytes = 0;
    scene->job->announcement.identity_value = NULL;
    scene->job->announcement.base_url = "https://dd.weather.gc.ca";
    scene->job->announcement.routing_key = "v02.postal.x";
    scene->job->announcement.retrieve_path = "get/it";
    report_accepted(&scene->report, scene->job);
}

static void reject_it(struct scene *scene)
{
    report_rejected(&scene->report, scene->job, 304, "mask=x");
}

static void find_it_placed(struct scene *scene)
{
    report_duplicate(&scene->report, scene->job);
}

static void find_it_older(struct scene *scene)
{
    report_older(&scene->report, scene->job);
}

static void place_it(struct scene *scene)
{
    struct writer_result result = {.size_bytes = 12, .fingerprint = "12:x"};

    scene->job->fetch_ms = scene->job->mismatch_accepted ? 0 : 31;
    report_placed(&scene->report, scene->job, &result);
}

static void place_it_changed(struct scene *scene)
{
    scene->job->mismatch_accepted = true;
    scene->job->destination.directory = "/";
    place_it(scene);
}

static void find_it_different(struct scene *scene)
{
    struct error err = {ERROR_TEMPORARY, "'x' is not what was announced"};

    report_mismatch(&scene->report, scene->job, &err);
}

static void fail_it(struct scene *scene)
{
    struct error err = {ERROR_TEMPORARY, "get 'x': HTTP 503"};

    report_failed(&scene->report, scene->job, &err, 2500);
}

static void give_it_up(struct scene *scene)
{
    struct error err = {ERROR_PERMANENT, "get 'x': HTTP 404"};

    report_given_up(&scene->report, scene->job, &err);
}

static void drop_it(struct scene *scene)
{
    static const char body[] = "0123456789012345678901234567890123456789012345678901234567890123456"
                               "78901234567890123456789012345678901234567890123456789";
    struct envelope envelope = {.routing_key = {"v02.post", 8}, .body = {body, sizeof(body) - 1}};
    struct error err = {ERROR_PERMANENT, "no date"};

    report_received(&scene->report, &envelope);
    report_malformed(&scene->report, scene->job, &envelope, &err);
}

#define AFTER_ACCEPT HEAD "[INFO] sarracenia.flowcb.log after_accept "
#define NAME         "20250102/WXO-DD/file.xml"
#define DO_DOWNLOAD  "sarracenia.flow do_download "

static const struct {
    void (*event)(struct scene *scene);
    const char *line;
    bool always; /* whatever events are to be logged */
} events[] = {
    {accept_it,
     AFTER_ACCEPT "accepted: (lag: 1.50 )  exchange: xpublic subtopic: 20250102.WXO-DD a file with "
                  "baseUrl: https://dd.weather.gc.ca relPath: " NAME " id: 1a2b3c4 size: 12 \n",
     false},
    {accept_the_unknown,
     AFTER_ACCEPT "accepted: (lag: 1.50 )  exchange: xpublic subtopic: v02.postal.x a file with "
                  "baseUrl: https://dd.weather.gc.ca relPath: " NAME " retrievePath: get/it \n",
     false},
    {reject_it, AFTER_ACCEPT NAME " rejected: 304 mask=x \n", false},
    {find_it_placed, AFTER_ACCEPT NAME " rejected: 304 Not modified 1 (nodupe check) \n", false},
    {find_it_older, AFTER_ACCEPT NAME " rejected: 406 older than the version in place \n", false},
    {place_it,
     HEAD "[INFO] sarracenia.flowcb.log after_work downloaded ok: /data/WXO-DD/file.xml size: 12 "
          "lag: 1.50 time: 0.031 rate: 387B/s \n",
     false},
    {find_it_different,
     HEAD "[WARNING] sr3sub.writer verify 'x' is not what was announced; announced: size 12 md5 "
          "1a2b3c4d5e6f; fetching it again\n",
     true},
    {fail_it,
     HEAD "[WARNING] " DO_DOWNLOAD "attempt 2 failed: get 'x': HTTP 503 (again in 2.5 s)\n", true},
    {give_it_up,
     HEAD "[ERROR] " DO_DOWNLOAD "gave up " NAME " after 2 attempts: get 'x': HTTP 404\n", true},
    {drop_it,
     HEAD "[ERROR] sarracenia.moth.amqp getNewMessage malformed announcement dropped: no date "
          "(topic: v02.post, body: '0123456789012345678901234567890123456789012345678901234567890"
          "123456789012345678901234567890123456789...')\n",
     true},
};

/* What was logged since the last time. The caller's. */
static char *take_text(const struct scene *scene)
{
    char *text = memory_new(1 << 16);
    int fd = open(scene->path, O_RDWR | O_CLOEXEC);

    log_flush();
    if (fd < 0 || read(fd, text, (1 << 16) - 1) < 0 || ftruncate(fd, 0) != 0)
        fail_msg("read '%s': %s", scene->path, strerror(errno));
    close(fd);
    return text;
}

static void events_are_told(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(events); i++)
        for (int quiet = 0; quiet < 2; quiet++) {
            const char *expected = quiet && !events[i].always ? "" : events[i].line;
            char *text;

            begin(scene, quiet ? &few : &all);
            events[i].event(scene);
            text = take_text(scene);
            if (strcmp(text, expected) != 0)
                fail_msg("event %zu, quiet %d: expected '%s', found '%s'", i, quiet, expected,
                         text);
            free(text);
        }
}

static void what_changed_is_told(void **state)
{
    struct scene *scene = *state;
    char *text;

    begin(scene, &all);
    place_it_changed(scene);
    text = take_text(scene);
    if (!strstr(text, "[WARNING]") || !strstr(text, "(12:x)")
        || !strstr(text, "downloaded ok: /WXO-DD/file.xml size: 12 lag: 1.50 \n"))
        fail_msg("found '%s'", text);
    free(text);
}

static void events_are_counted(void **state)
{
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;

    begin(scene, &few);
    for (size_t i = 0; i < COUNT_OF(events); i++)
        events[i].event(scene);
    report_read(&scene->report);
    free(take_text(scene));
    assert_int_equal(metrics->rx_bad, 1);
    assert_int_equal(metrics->rx_good, 1);
    assert_int_equal(metrics->rx_bytes, 120);
    assert_int_equal(metrics->rx_last_ns, AT_NS);
    assert_int_equal(metrics->lag_messages, 2);
    assert_true(metrics->lag_total_s == 3.0 && metrics->lag_max_s == 1.5);
    assert_int_equal(metrics->rejects, 4); /* rule, duplicate, older, given up */
    assert_int_equal(metrics->mismatches, 1);
    assert_int_equal(metrics->failures, 1);
    assert_int_equal(metrics->lag.count, 2);
    assert_int_equal(metrics->latency.count, 1);
    assert_int_equal(metrics->file_size.count, 1);
    assert_int_equal(metrics->transfer_rx_files, 1);
    assert_int_equal(metrics->transfer_rx_bytes, 12);
    assert_int_equal(metrics->transfer_rx_last_ns, AT_NS);
}

/* A fate is counted at the end, whatever was said before, and once. */
static void fates_are_counted_at_the_end(void **state)
{
    static const struct {
        void (*event)(struct scene *scene);
        size_t counter;
    } fates[] = {
        {reject_it, offsetof(struct metrics, rejected)},
        {find_it_placed, offsetof(struct metrics, duplicates)},
        {find_it_older, offsetof(struct metrics, older)},
        {place_it, offsetof(struct metrics, placed)},
        {give_it_up, offsetof(struct metrics, given_up)},
        {drop_it, offsetof(struct metrics, malformed)},
    };
    struct scene *scene = *state;
    struct report *report = &scene->report;

    begin(scene, &few);
    for (size_t i = 0; i < COUNT_OF(fates); i++) {
        const int64_t *counter = (const void *)((const char *)&report->metrics + fates[i].counter);

        fates[i].event(scene);
        assert_int_equal(*counter, 0);
        report_settled(report, scene->job, JOB_ACKED);
        assert_int_equal(*counter, 1);
    }
    scene->job->ticket.connection = 1;
    report_settled(report, scene->job, JOB_HANDED_BACK);
    assert_int_equal(report->metrics.handed_back, 1);
    scene->job->ticket.connection = 0; /* from the retry store */
    report_settled(report, scene->job, JOB_HANDED_BACK);
    assert_int_equal(report->metrics.kept, 1);
}

static void transfers_are_counted_by_their_end(void **state)
{
    static const struct download_result results[] = {
        {.fetched = true, .status = 200, .connections = 1, .duration_ms = 10, .size_bytes = 50},
        {.fetched = true, .status = 206},
        {.status = 404},
        {.status = 503},
        {.timed_out = true},
        {.unconnected = true},
        {.untried = true},
        {.status = 200},
        {.gone = true, .err = {.kind = ERROR_PERMANENT}},
        {.err = {.kind = ERROR_OPERATOR}},
    };
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;

    begin(scene, &few);
    for (size_t i = 0; i < COUNT_OF(results); i++)
        report_transfer(&scene->report, &results[i]);
    assert_int_equal(metrics->transfers, 9);
    assert_int_equal(metrics->transfer_time.count, 9);
    assert_int_equal(metrics->answers_2xx, 3);
    assert_int_equal(metrics->answers_4xx, 1);
    assert_int_equal(metrics->answers_5xx, 1);
    assert_int_equal(metrics->failed_4xx, 1);
    assert_int_equal(metrics->failed_5xx, 1);
    assert_int_equal(metrics->failed_timeout, 1);
    assert_int_equal(metrics->failed_connect, 1);
    assert_int_equal(metrics->failed_not_found, 1);
    assert_int_equal(metrics->failed_refused, 1);
    assert_int_equal(metrics->failed_other, 1);
    assert_int_equal(metrics->connections_opened, 1);
    assert_int_equal(metrics->connections_reused, 4);
    assert_true(metrics->byte_rate == 5000);
}

static void quantiles_are_of_the_last_interval(void **state)
{
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;

    begin(scene, &few);
    for (int i = 0; i < 100; i++)
        accept_it(scene); /* lag 1.5 */
    report_sample(&scene->report);
    assert_true(metrics->lag_p50_s > 1.4 && metrics->lag_p50_s <= 1.5);
    assert_true(metrics->lag_p99_s <= metrics->lag_recent_max_s);
    assert_true(metrics->lag_recent_max_s == 1.5 && metrics->latency_p50_s == 0);
    assert_true(metrics->written_s == (double)AT_NS / NS_PER_S);
    report_sample(&scene->report);
    assert_true(metrics->lag_p50_s == 0 && metrics->lag_recent_max_s == 0);
}

static void lost_connections_are_counted(void **state)
{
    static const struct {
        int at_s;
        bool connected;
        int losses, away_s;
    } turns[] = {
        {0, false, 0, 0},  {5, true, 0, 0},   {10, true, 0, 0},   {20, false, 1, 0},
        {25, false, 1, 0}, {30, true, 1, 10}, {40, false, 2, 10}, {43, true, 2, 13},
    };
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;

    begin(scene, &all);
    for (size_t i = 0; i < COUNT_OF(turns); i++) {
        clock_hold(AT_NS + turns[i].at_s * NS_PER_S, 100000 + turns[i].at_s * 1000);
        report_connection(&scene->report, turns[i].connected);
        if (metrics->connected != turns[i].connected || metrics->disconnects != turns[i].losses
            || (int)metrics->disconnect_time_s != turns[i].away_s)
            fail_msg("after %d s: connected %d, lost %d times, %g s without", turns[i].at_s,
                     metrics->connected, (int)metrics->disconnects, metrics->disconnect_time_s);
    }
}

static void gauges_follow_the_board(void **state)
{
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;
    struct job_board board = {.count = {[JOB_WAITING] = 3, [JOB_CLAIMED] = 2, [JOB_ACKED] = 9}};

    begin(scene, &all);
    scene->report.messages = 50;
    clock_hold(AT_NS + 10 * NS_PER_S, 110000);
    report_refresh(&scene->report, &board, 4);
    assert_int_equal(metrics->download_retries, 7);
    assert_int_equal(metrics->in_flight, 5);
    assert_int_equal(metrics->fetching, 2);
    assert_int_equal(metrics->waiting, 3);
    assert_int_equal(metrics->settling, 0);
    assert_int_equal(metrics->stored_retries, 4);
    assert_true(metrics->message_rate == 5.0);
    assert_true(metrics->transfer_connected && metrics->transfer_connect_time_s == 0);
    clock_hold(AT_NS + 14 * NS_PER_S, 114000);
    board.count[JOB_CLAIMED] = 0;
    report_refresh(&scene->report, &board, 0);
    assert_true(!metrics->transfer_connected && metrics->transfer_connect_time_s == 4.0);
    assert_true(metrics->transfer_connect_start_s == 0);
}

static void housekeeping_sums_up_and_restarts(void **state)
{
    struct scene *scene = *state;
    const struct metrics *metrics = &scene->report.metrics;
    char *text;

    begin(scene, &all);
    accept_it(scene);
    reject_it(scene);
    place_it(scene);
    report_read(&scene->report);
    report_read(&scene->report);
    free(take_text(scene));
    clock_hold(AT_NS, 104000);
    report_refresh(&scene->report, &scene->board, 0);
    report_housekeeping(&scene->report, 300000);
    text = take_text(scene);
    if (!strstr(text, "messages received: 2, accepted: 1, rejected: 1   rate accepted: 50.0% or "
                      "0.2 m/s\n")
        || !strstr(text, "files transferred: 1 bytes: 12 rate: 3.0/sec\n")
        || !strstr(text, "lag: average: 1.50, maximum: 1.50 \n")
        || !strstr(text, "subscribe/dd_all instance: 3\n"))
        fail_msg("found '%s'", text);
    assert_int_equal(metrics->rx_good + metrics->rejects + metrics->transfer_rx_files, 0);
    assert_int_equal(scene->report.period_started_ms, 104000);
    assert_true(metrics->next_housekeeping_s - metrics->last_housekeeping_s == 300.0);
    free(text);
}

static void start_and_stop_are_told(void **state)
{
    struct scene *scene = *state;
    char host[HOST_NAME_MAX + 1] = "", *expected, *text;

    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    expected = memory_format(
        HEAD "[INFO] sarracenia.flow run pid: %d subscribe/dd_all instance: 3\n" HEAD
             "[INFO] sr3sub.report started host: %s\n" HEAD
             "[INFO] sr3sub.report totals since the start: received 6, revived 0, taken over 0; "
             "placed 5, events 0, duplicates 0, older 0, rejected 0, malformed 0, given up 0, kept "
             "for retry 0, handed back 0, in flight 1\n" HEAD
             "[INFO] sarracenia.flow close flow/close completed cleanly pid: %d "
             "subscribe/dd_all instance: 3\n",
        (int)getpid(), host, (int)getpid());
    begin(scene, &all);
    report_started(&scene->report);
    scene->report.metrics.received = 2;
    scene->report.before.received = 4;
    scene->report.metrics.placed = 5;
    scene->report.metrics.in_flight = 1;
    report_stopped(&scene->report);
    text = take_text(scene);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
}

static void more_events_are_told_when_asked_for(void **state)
{
    static const struct report_settings more = {
        .title = "t", .topic_prefix = "v02.post", .start = true, .stop = true, .gathered = true};
    struct envelope envelope = {.body = {"x", 1}};
    struct scene *scene = *state;
    struct report *report = &scene->report;
    char *text;

    begin(scene, &more);
    report_started(report);
    report_gathered(report);
    report_received(report, &envelope);
    report_received(report, &envelope);
    report_gathered(report);
    report_gathered(report);
    report_stopped(report);
    text = take_text(scene);
    assert_non_null(strstr(text, "[INFO] sarracenia.flowcb.log on_start starting\n"));
    assert_non_null(strstr(text, "[INFO] sarracenia.flowcb.log gather messages: 2\n"));
    assert_null(strstr(text, "gather messages: 0"));
    assert_non_null(strstr(text, "[INFO] sarracenia.flowcb.log stats messages received: "));
    assert_non_null(strstr(text, "[INFO] sarracenia.flowcb.log on_stop stopping\n"));
    free(text);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(events_are_told),
        CASE(what_changed_is_told),
        CASE(events_are_counted),
        CASE(fates_are_counted_at_the_end),
        CASE(transfers_are_counted_by_their_end),
        CASE(quantiles_are_of_the_last_interval),
        CASE(lost_connections_are_counted),
        CASE(gauges_follow_the_board),
        CASE(housekeeping_sums_up_and_restarts),
        CASE(start_and_stop_are_told),
        CASE(more_events_are_told_when_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
