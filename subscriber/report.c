/* What becomes of announcements. The texts are sr3's wherever it has the event: people and scripts
 * look for them. */
#include "report.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_SHOWN 100
#define AFTER_WORK "sarracenia.flowcb.log after_work"
#define PATH_SHOWN "4000" /* what comes after it is to find room in the line too */

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

void report_received(struct report *report, const struct envelope *envelope)
{
    report->messages++;
    report->metrics.received++;
    report->metrics.last_received_s = clock_wall_s();
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
    metrics->last_placed_s = clock_wall_s();
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
