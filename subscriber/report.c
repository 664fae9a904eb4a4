/* What becomes of announcements. The texts are sr3's wherever it has the event: people and scripts
 * look for them. */
#include "report.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BODY_SHOWN 100
#define AFTER_WORK "sarracenia.flowcb.log after_work"
#define PATH_SHOWN "4000" /* what comes after it is to find room in the line too */

static double seconds_now(void)
{
    return (double)clock_wall_ns() / (double)NS_PER_S;
}

static double seconds_since(int64_t wall_ns)
{
    return (double)(clock_wall_ns() - wall_ns) / (double)NS_PER_S;
}

/* As "%.2f" prints them, in a tenth of the time: two of them stand in the lines of each file. */
struct seconds {
    const char *sign;
    int64_t whole;
    int hundredths;
};

#define SECONDS             "%s%" PRId64 ".%02d"
#define SECONDS_OF(seconds) (seconds).sign, (seconds).whole, (seconds).hundredths

static struct seconds split(double seconds)
{
    int64_t hundredths = llround(fabs(seconds) * 100);

    return (struct seconds){seconds < 0 ? "-" : "", hundredths / 100, (int)(hundredths % 100)};
}

void report_init(struct report *report, const struct report_settings *settings)
{
    memset(report, 0, sizeof(*report));
    report->settings = *settings;
    report->started_ms = report->period_started_ms = clock_now_ms();
    report->metrics.last_housekeeping_s = report->metrics.process_start_s = seconds_now();
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

void report_received(struct report *report, const struct envelope *envelope)
{
    report->messages++;
    report->metrics.received++;
    report->metrics.last_received_s = seconds_now();
    report->silent_since_ms = clock_now_ms();
    report->metrics.rx_bytes += (int64_t)envelope->body.length;
}

void report_gathered(struct report *report)
{
    if (report->settings.gathered && report->messages > report->messages_told)
        log_info("sarracenia.flowcb.log gather", "messages: %" PRId64,
                 report->messages - report->messages_told);
    report->messages_told = report->messages;
}

void report_revived(struct report *report)
{
    report->metrics.revived++;
}

void report_taken_over(struct report *report)
{
    report->metrics.taken_over++;
}

void report_malformed(struct report *report, struct job *job, const struct envelope *envelope,
                      const struct error *err)
{
    const struct slice *body = &envelope->body;
    int shown = body->length < BODY_SHOWN ? (int)body->length : BODY_SHOWN;

    job->fate = FATE_MALFORMED;
    if (job_is_delivery(job))
        report->metrics.rx_bad++;
    log_fate(LOG_ERROR, "sarracenia.moth.amqp getNewMessage",
             "malformed announcement dropped: %s (topic: %.*s, body: '%.*s%s')", err->text,
             (int)envelope->routing_key.length, envelope->routing_key.bytes, shown, body->bytes,
             body->length > BODY_SHOWN ? "..." : "");
}

void report_read(struct report *report)
{
    report->metrics.rx_good++;
    report->metrics.rx_last_ns = clock_wall_ns();
}

void report_rejected(struct report *report, struct job *job, int code, const char *reason)
{
    job->fate = FATE_REJECTED;
    report->metrics.rejects++;
    if (report->settings.rejected)
        log_info("sarracenia.flowcb.log after_accept", "%." PATH_SHOWN "s rejected: %d %s ",
                 job->announcement.rel_path, code, reason);
}

void report_duplicate(struct report *report, struct job *job)
{
    job->fate = FATE_DUPLICATE;
    report->metrics.rejects++;
    if (report->settings.duplicates)
        log_info("sarracenia.flowcb.log after_accept",
                 "%." PATH_SHOWN "s rejected: 304 Not modified 1 (nodupe check) ",
                 job->announcement.rel_path);
}

void report_older(struct report *report, struct job *job)
{
    job->fate = FATE_OLDER;
    report->metrics.rejects++;
    if (report->settings.rejected)
        log_info("sarracenia.flowcb.log after_accept",
                 "%." PATH_SHOWN "s rejected: 406 older than the version in place ",
                 job->announcement.rel_path);
}

/* The routing key without the prefix that every topic of the subscription has. */
static const char *subtopic_of(const struct report *report, const char *routing_key)
{
    size_t length = strlen(report->settings.topic_prefix);

    if (strncmp(routing_key, report->settings.topic_prefix, length) == 0
        && routing_key[length] == '.')
        return routing_key + length + 1;
    return routing_key;
}

/* "id: 1a2b3c4 size: 12 " as far as they are known. */
static void print_identity(const struct announcement *announcement, char *text, size_t size)
{
    int used = 0;

    text[0] = '\0';
    if (announcement->identity_value)
        used = snprintf(text, size, "id: %.7s ", announcement->identity_value);
    if (announcement->size_bytes > 0)
        snprintf(text + used, size - (size_t)used, "size: %" PRId64 " ", announcement->size_bytes);
}

/* A base URL without a '/' at its end, in two parts: between them is a password. */
struct shown_base {
    int front_length;
    const char *back;
    int back_length;
};

static struct shown_base show_base(const char *base_url)
{
    const char *scheme = strstr(base_url, "://"), *start = scheme ? scheme + 3 : base_url;
    const char *at = memrchr(start, '@', strcspn(start, "/?#"));
    const char *colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
    const char *front_end = colon ? colon : start, *back = colon ? at : start;
    size_t back_length = strlen(back);

    if (back_length && back[back_length - 1] == '/')
        back_length--;
    return (struct shown_base){(int)(front_end - base_url), back, (int)back_length};
}

void report_accepted(struct report *report, const struct job *job)
{
    const struct announcement *announcement = &job->announcement;
    double lag = seconds_since(announcement->pub_time_ns);
    struct shown_base base = show_base(announcement->base_url);
    struct seconds shown_lag = split(lag);
    char identity[64];

    report->metrics.lag_total_s += lag;
    report->metrics.lag_messages++;
    histogram_add(&report->metrics.lag, &metrics_lag_bounds, lag);
    quantiles_add(&report->lag, lag);
    if (lag > report->metrics.lag_max_s)
        report->metrics.lag_max_s = lag;
    if (!report->settings.accepted)
        return;
    print_identity(announcement, identity, sizeof(identity));
    log_info("sarracenia.flowcb.log after_accept",
             "accepted: (lag: " SECONDS
             " )  exchange: %s subtopic: %s a file with baseUrl: %.*s%.*s "
             "relPath: %s%s%s %s",
             SECONDS_OF(shown_lag), announcement->exchange,
             subtopic_of(report, announcement->routing_key), base.front_length,
             announcement->base_url, base.back_length, base.back, announcement->rel_path,
             announcement->retrieve_path ? " retrievePath: " : "",
             announcement->retrieve_path ? announcement->retrieve_path : "", identity);
}

static const char *shown_directory(const struct job *job)
{
    return strcmp(job->destination.directory, "/") == 0 ? "" : job->destination.directory;
}

static void log_done(const char *verb, const struct job *job)
{
    log_info(AFTER_WORK, "%s ok: %s/%s ", verb, shown_directory(job), job->destination.path);
}

/* The figures stand behind what sr3 says. */
static void log_placed(const char *verb, const struct job *job, int64_t size_bytes)
{
    struct seconds lag = split(seconds_since(job->announcement.pub_time_ns));
    int64_t took_ms = job->fetch_ms;

    if (job->from_content || took_ms <= 0)
        log_info(AFTER_WORK, "%s ok: %s/%s size: %" PRId64 " lag: " SECONDS " ", verb,
                 shown_directory(job), job->destination.path, size_bytes, SECONDS_OF(lag));
    else
        log_info(AFTER_WORK,
                 "%s ok: %s/%s size: %" PRId64 " lag: " SECONDS " time: %" PRId64
                 ".%03d rate: %" PRId64 "B/s ",
                 verb, shown_directory(job), job->destination.path, size_bytes, SECONDS_OF(lag),
                 took_ms / 1000, (int)(took_ms % 1000),
                 (int64_t)((double)(size_bytes - job->from_byte) * 1000 / (double)took_ms));
}

static void count_placed(struct report *report, const struct job *job, int64_t size_bytes)
{
    struct metrics *metrics = &report->metrics;
    double latency = seconds_since(job->announcement.pub_time_ns);

    histogram_add(&metrics->latency, &metrics_lag_bounds, latency);
    histogram_add(&metrics->file_size, &metrics_size_bounds, (double)size_bytes);
    quantiles_add(&report->latency, latency);
    metrics->transfer_rx_last_ns = clock_wall_ns();
    metrics->last_placed_s = seconds_now();
}

void report_placed(struct report *report, struct job *job, const struct writer_result *result)
{
    job->fate = FATE_PLACED;
    count_placed(report, job, result->size_bytes);
    if (!job->from_content) {
        report->metrics.transfer_rx_files++;
        report->metrics.transfer_rx_bytes += result->size_bytes - job->from_byte;
    }
    if (job->mismatch_accepted)
        log_warning("sr3sub.writer place",
                    "'%s' has changed since it was announced: the server gave the same bytes twice "
                    "(%s), they are placed",
                    job->destination.path, result->fingerprint);
    if (report->settings.placed)
        log_placed(job->from_content ? "written from message" : "downloaded", job,
                   result->size_bytes);
}

void report_done(struct report *report, struct job *job, enum events_op deed)
{
    static const char *const verbs[EVENTS_OPS] = {
        [EVENTS_NOTHING] = "nothing", [EVENTS_LINK] = "linked",    [EVENTS_HLINK] = "linked",
        [EVENTS_REMOVE] = "removed",  [EVENTS_RENAME] = "renamed", [EVENTS_MKDIR] = "directory",
    };

    job->fate = FATE_EVENT;
    if (report->settings.placed)
        log_done(verbs[deed], job);
}

void report_rehearsed(struct report *report, struct job *job)
{
    const char *from = job->op == JUDGE_DOWNLOAD ? job->fetch_url : NULL;

    (void)report;
    job->fate = FATE_EVENT;
    log_info("sr3sub.flow dry_run", "would %s: %s/%s%s%s",
             job->op == JUDGE_NOTHING ? "do nothing" : judge_op_name(job->op),
             strcmp(job->destination.directory, "/") == 0 ? "" : job->destination.directory,
             job->destination.path, from ? " from " : "", from ? from : "");
}

void report_removed(struct report *report, const struct job *job, const struct error *err)
{
    (void)report;
    if (err)
        log_error("sr3sub.flow delete_destination", "'%s' stays: %s", job->destination.path,
                  err->text);
    else
        log_info("sarracenia.flow work", "deleting %s/%s", job->destination.directory,
                 job->destination.path);
}

void report_cleared(struct report *report, const struct job *job, const struct error *err)
{
    if (err) {
        report->metrics.sources_left++;
        log_error("sr3sub.flow delete", "'%s' stays at its source: %s", job->fetch_url, err->text);
    } else {
        report->metrics.sources_removed++;
        log_info("sr3sub.flow delete", "removed '%s' at its source", job->fetch_url);
    }
}

void report_mismatch(struct report *report, const struct job *job, const struct error *err)
{
    report->metrics.mismatches++;
    log_warning("sr3sub.writer verify", "%s; announced: size %" PRId64 " %s %s; fetching it again",
                err->text, job->announcement.size_bytes,
                job->announcement.identity_method ? job->announcement.identity_method : "",
                job->announcement.identity_value ? job->announcement.identity_value : "");
}

void report_late(struct report *report, const struct error *err)
{
    report->metrics.failures++;
    log_warning("sr3sub.writer place", "%s; it is claimed and fetched again", err->text);
}

void report_unsure(struct report *report, const struct job *job)
{
    report->metrics.failures++;
    log_warning("sr3sub.dedupe confirm",
                "'%s': the claim lapsed while the file was being placed; it is fetched again, lest "
                "an older version was put on top",
                job->destination.path);
}

void report_failed(struct report *report, const struct job *job, const struct error *err,
                   int64_t retry_ms)
{
    report->steps++;
    report->metrics.failures++;
    log_warning("sarracenia.flow do_download", "attempt %d failed: %s (again in %.1f s)",
                job->tries, err->text, (double)retry_ms / 1000);
}

void report_given_up(struct report *report, struct job *job, const struct error *err)
{
    job->fate = FATE_GIVEN_UP;
    report->metrics.rejects++;
    log_fate(LOG_ERROR, "sarracenia.flow do_download",
             "gave up %." PATH_SHOWN "s after %d attempts: %s", job->announcement.rel_path,
             job->tries, err->text);
}

/* ---- transfers and ends ---- */

static void count_answer(struct metrics *metrics, long status)
{
    int64_t *const classes[] = {&metrics->answers_2xx, &metrics->answers_3xx, &metrics->answers_4xx,
                                &metrics->answers_5xx};

    if (status >= 200 && status < 600)
        ++*classes[status / 100 - 2];
}

static void count_failure(struct metrics *metrics, const struct download_result *result)
{
    if (result->timed_out)
        metrics->failed_timeout++;
    else if (result->unconnected)
        metrics->failed_connect++;
    else if (result->status >= 500)
        metrics->failed_5xx++;
    else if (result->status >= 400)
        metrics->failed_4xx++;
    else if (result->gone)
        metrics->failed_not_found++;
    else if (result->err.kind == ERROR_OPERATOR)
        metrics->failed_refused++;
    else
        metrics->failed_other++;
}

void report_transfer(struct report *report, const struct download_result *result)
{
    struct metrics *metrics = &report->metrics;

    if (result->untried)
        return;
    if (result->duration_ms > 0)
        metrics->byte_rate = (double)result->size_bytes * 1000 / (double)result->duration_ms;
    metrics->transfers++;
    metrics->connections_opened += result->connections;
    metrics->connections_reused += result->status && !result->connections;
    histogram_add(&metrics->transfer_time, &metrics_time_bounds,
                  (double)result->duration_ms / 1000);
    count_answer(metrics, result->status);
    if (!result->fetched)
        count_failure(metrics, result);
}

void report_disk_failure(struct report *report)
{
    report->metrics.failed_disk++;
}

static int64_t *counter_of(struct metrics *metrics, enum job_fate fate)
{
    switch (fate) {
    case FATE_PLACED:
        return &metrics->placed;
    case FATE_DUPLICATE:
        return &metrics->duplicates;
    case FATE_OLDER:
        return &metrics->older;
    case FATE_REJECTED:
        return &metrics->rejected;
    case FATE_MALFORMED:
        return &metrics->malformed;
    case FATE_GIVEN_UP:
        return &metrics->given_up;
    case FATE_NONE:
    case FATE_EVENT:
        break;
    }
    return &metrics->events;
}

void report_settled(struct report *report, const struct job *job, enum job_state next)
{
    struct metrics *metrics = &report->metrics;
    bool is_record = !job->ticket.connection && !job->sr3_entry;

    report->steps++;
    if (next == JOB_HANDED_BACK)
        ++*(is_record ? &metrics->kept : &metrics->handed_back);
    else if (job->state == JOB_KEPT)
        metrics->kept++;
    else
        ++*counter_of(metrics, job->fate);
}

void report_kept_on(struct report *report)
{
    report->metrics.kept++;
    report->metrics.revived++;
}

/* ---- the connection ---- */

static void report_add_disconnected(struct report *report)
{
    if (report->disconnected_since_s <= 0)
        return;
    report->metrics.disconnect_time_s += seconds_now() - report->disconnected_since_s;
    report->disconnected_since_s = seconds_now();
}

void report_connection(struct report *report, bool connected)
{
    struct metrics *metrics = &report->metrics;

    if (metrics->connected && !connected) {
        metrics->disconnects++;
        metrics->disconnect_last_s = report->disconnected_since_s = seconds_now();
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
        report->metrics.progress_last_s = seconds_now();
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
        metrics->transfer_connect_time_s += seconds_now() - metrics->transfer_connect_start_s;
        metrics->transfer_connect_start_s = seconds_now();
    }
    if (active != metrics->transfer_connected)
        metrics->transfer_connect_start_s = active ? seconds_now() : 0;
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
    metrics->written_s = seconds_now();
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
    metrics->last_housekeeping_s = seconds_now();
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
