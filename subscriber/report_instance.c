/* What is told and counted of the instance as a whole: its start and end, its connection, its
 * periods. */
#include "report.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

void report_init(struct report *report, const struct report_settings *settings)
{
    memset(report, 0, sizeof(*report));
    report->settings = *settings;
    report->started_ms = report->period_started_ms = clock_now_ms();
    report->metrics.last_housekeeping_s = report->metrics.process_start_s = clock_wall_s();
    report->metrics.queued = METRIC_ABSENT;
    report->metrics.queue_messages = report->metrics.queue_consumers = -1;
    report->metrics.disk_free_bytes = -1;
}

/* Which container it is: its number may have been that of another one, and will be. */
static void log_host(void)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (!gethostname(name, sizeof(name) - 1))
        log_info("sr3sub.report started", "host: %s", name);
}

void report_started(const struct report *report)
{
    log_info("sarracenia.flow run", "pid: %d %s instance: %d", (int)getpid(),
             report->settings.title, report->settings.instance);
    log_host();
    if (report->settings.start)
        log_info("sarracenia.flowcb.log on_start", "starting");
    log_flush();
}

/* ---- the connection ---- */

static void report_add_disconnected(struct report *report)
{
    if (report->disconnected_since_s <= 0)
        return;
    report->metrics.disconnect_time_s += clock_wall_s() - report->disconnected_since_s;
    report->disconnected_since_s = clock_wall_s();
}

void report_connection(struct report *report, bool connected)
{
    struct metrics *metrics = &report->metrics;

    if (metrics->connected && !connected) {
        metrics->disconnects++;
        metrics->disconnect_last_s = report->disconnected_since_s = clock_wall_s();
    } else if (!metrics->connected && connected) {
        report_add_disconnected(report);
        report->disconnected_since_s = 0;
    }
    if (!connected || !metrics->connected)
        report->silent_since_ms = clock_now_ms();
    metrics->connected = connected;
}

void report_silence(struct report *report, const char *bindings, int64_t silence_ms)
{
    int64_t silent_ms = clock_now_ms() - report->silent_since_ms;

    if (report->silence_said || !report->metrics.connected || !silence_ms || silent_ms < silence_ms)
        return;
    report->silence_said = true;
    log_warning("sr3sub.subscriber tidy",
                "connected and bound, but nothing came for %" PRId64 " s; if that is not usual, "
                "compare topicPrefix and subtopic with what is announced (`sr3sub check`): %s",
                silent_ms / 1000, bindings);
}

void report_dormant(struct report *report)
{
    report->silent_since_ms = clock_now_ms();
}

static void count_stages(struct metrics *metrics, const struct job_board *board)
{
    const int *count = board->count;

    metrics->in_flight = job_board_open(board);
    metrics->claiming = count[JOB_RECEIVED] + count[JOB_ACCEPTED];
    metrics->fetching = count[JOB_CLAIMED];
    metrics->placing = count[JOB_FETCHED];
    metrics->confirming = count[JOB_PLACED];
    metrics->waiting = count[JOB_WAITING];
    metrics->settling = metrics->in_flight - metrics->claiming - metrics->fetching
                        - metrics->placing - metrics->confirming - metrics->waiting;
}

/* What waits for another try is not under way, and may wait for long. */
static void count_progress(struct report *report, const struct job_board *board)
{
    if (report->steps > report->steps_seen || job_board_open(board) <= board->count[JOB_WAITING])
        report->metrics.progress_last_s = clock_wall_s();
    report->steps_seen = report->steps;
}

void report_refresh(struct report *report, const struct job_board *board, int64_t stored)
{
    struct metrics *metrics = &report->metrics;
    double cpu_s = metrics_cpu_s();
    double up_s = (double)(clock_now_ms() - report->started_ms) / 1000;
    bool active = board->count[JOB_CLAIMED] > 0;

    report_add_disconnected(report);
    count_progress(report, board);
    metrics->cpu_s = cpu_s - metrics->last_housekeeping_cpu_s;
    metrics->message_rate = up_s > 0 ? (double)report->messages / up_s : 0;
    metrics->message_rate_cpu = cpu_s > 0 ? (double)report->messages / cpu_s : 0;
    metrics->download_retries = board->count[JOB_WAITING] + stored;
    metrics->stored_retries = stored;
    count_stages(metrics, board);
    metrics->process_cpu_s = cpu_s;
    if (metrics->transfer_connected) { /* as sr3: the time since the last look is added */
        metrics->transfer_connect_time_s += clock_wall_s() - metrics->transfer_connect_start_s;
        metrics->transfer_connect_start_s = clock_wall_s();
    }
    if (active != metrics->transfer_connected)
        metrics->transfer_connect_start_s = active ? clock_wall_s() : 0;
    metrics->transfer_connected = active;
}

static void sample(struct quantiles *quantiles, double *p50, double *p95, double *p99, double *max)
{
    *p50 = quantiles_find(quantiles, 0.50);
    *p95 = quantiles_find(quantiles, 0.95);
    *p99 = quantiles_find(quantiles, 0.99);
    *max = quantiles->max_s;
    memset(quantiles, 0, sizeof(*quantiles));
}

void report_sample(struct report *report)
{
    struct metrics *metrics = &report->metrics;

    sample(&report->lag, &metrics->lag_p50_s, &metrics->lag_p95_s, &metrics->lag_p99_s,
           &metrics->lag_recent_max_s);
    sample(&report->latency, &metrics->latency_p50_s, &metrics->latency_p95_s,
           &metrics->latency_p99_s, &metrics->latency_recent_max_s);
    metrics->written_s = clock_wall_s();
}

static void report_statistics(const struct report *report)
{
    const struct metrics *metrics = &report->metrics;
    double period_s = (double)(clock_now_ms() - report->period_started_ms) / 1000;
    int64_t received = metrics->rx_good + metrics->rx_bad;
    int64_t accepted = metrics->lag_messages;

    log_info("sarracenia.flowcb.log stats",
             "messages received: %" PRId64 ", accepted: %" PRId64 ", rejected: %" PRId64
             "   rate accepted: %.1f%% or %.1f m/s",
             received, accepted, metrics->rejects,
             received ? 100.0 * (double)accepted / (double)received : 0.0,
             period_s > 0 ? (double)accepted / period_s : 0.0);
    log_info("sarracenia.flowcb.log stats",
             "files transferred: %" PRId64 " bytes: %" PRId64 " rate: %.1f/sec",
             metrics->transfer_rx_files, metrics->transfer_rx_bytes,
             period_s > 0 ? (double)metrics->transfer_rx_bytes / period_s : 0.0);
    if (accepted)
        log_info("sarracenia.flowcb.log stats", "lag: average: %.2f, maximum: %.2f ",
                 metrics->lag_total_s / (double)accepted, metrics->lag_max_s);
}

void report_housekeeping(struct report *report, int64_t housekeeping_ms)
{
    struct metrics *metrics = &report->metrics;

    if (report->settings.housekeeping) {
        log_info("sarracenia.flow _runHousekeeping", "on_housekeeping pid: %d %s instance: %d",
                 (int)getpid(), report->settings.title, report->settings.instance);
        report_statistics(report);
    }
    metrics_reset(metrics, &report->before);
    report->period_started_ms = clock_now_ms();
    metrics->last_housekeeping_s = clock_wall_s();
    metrics->next_housekeeping_s = metrics->last_housekeeping_s + (double)housekeeping_ms / 1000;
    metrics->last_housekeeping_cpu_s = metrics_cpu_s();
    metrics->cpu_s = 0;
}

/* Everything that came in and what became of it, so that nothing can be missing unseen. */
static void report_totals(const struct report *report)
{
    const struct metrics *metrics = &report->metrics, *before = &report->before;

#define TOTAL(field) (metrics->field + before->field)
    log_info("sr3sub.report totals",
             "since the start: received %" PRId64 ", revived %" PRId64 ", taken over %" PRId64
             "; placed %" PRId64 ", events %" PRId64 ", duplicates %" PRId64 ", older %" PRId64
             ", rejected %" PRId64 ", malformed %" PRId64 ", given up %" PRId64
             ", kept for retry %" PRId64 ", handed back %" PRId64 ", in flight %" PRId64,
             TOTAL(received), TOTAL(revived), TOTAL(taken_over), TOTAL(placed), TOTAL(events),
             TOTAL(duplicates), TOTAL(older), TOTAL(rejected), TOTAL(malformed), TOTAL(given_up),
             TOTAL(kept), TOTAL(handed_back), metrics->in_flight);
#undef TOTAL
}

void report_stopped(const struct report *report)
{
    if (report->settings.stop) {
        report_statistics(report);
        log_info("sarracenia.flowcb.log on_stop", "stopping");
    }
    report_totals(report);
    log_info("sarracenia.flow close", "flow/close completed cleanly pid: %d %s instance: %d",
             (int)getpid(), report->settings.title, report->settings.instance);
}
