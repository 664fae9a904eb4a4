/*
 * Jobs on their way from stage to stage. Every stage takes work with one call and gives it back
 * with another; here jobs are moved from each to the next, and here alone it is decided what a
 * failure means.
 *
 * A job ends in one of two ways: it is acked, because its outcome is safe, or it is handed back,
 * because the broker will deliver it again: at a stop, and after the connection that brought it
 * was lost. On a lost connection running transfers go on; their announcements come again and are
 * then known to be placed.
 */
#include "flow.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "settings/config.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS    1000 /* after a failure that may pass */
#define RETRY_MOST_MS     60000
#define OPERATOR_FIRST_MS 30000 /* after one that someone has to mend */
#define OPERATOR_MOST_MS  300000
#define GONE_TRIES        6 /* a file may be announced before it can be had: 404 gets half a minute */
#define BUSY_FIRST_MS     20 /* another instance has it: asked again soon, then less often */
#define BUSY_MOST_MS      1000
#define STORE_AGAIN_MS    1000

/* ---- the ends of a job ---- */

static void ack(struct flow *flow, struct job *job)
{
    job_advance(job, JOB_ACKED);
    broker_ack(flow->broker, job->ticket);
    job_free(job);
}

static void hand_back(struct flow *flow, struct job *job)
{
    job_advance(job, JOB_HANDED_BACK);
    broker_requeue(flow->broker, job->ticket);
    job_free(job);
}

static void ask_claim(struct flow *flow, struct job *job)
{
    job->asking = true;
    dedupe_claim(flow->dedupe, &job->claim);
}

static void ask_confirm(struct flow *flow, struct job *job)
{
    job->asking = true;
    dedupe_confirm(flow->dedupe, &job->claim);
}

static void ask_release(struct flow *flow, struct job *job)
{
    job->asking = true;
    dedupe_release(flow->dedupe, &job->claim);
}

/* The broker has taken it back already, or is about to get it back. */
static bool is_unwanted(const struct flow *flow, const struct job *job)
{
    return job->abandoned || job->ticket.connection != flow->connection || flow->stopping;
}

static void reject(struct flow *flow, struct job *job, int code, const char *reason)
{
    report_rejected(flow->report, job, code, reason);
    job_advance(job, JOB_REJECTED);
    ack(flow, job);
}

/* Frees the claim; when that is answered the job waits `delay_ms`, or is handed back. */
static void try_later(struct flow *flow, struct job *job, int64_t delay_ms)
{
    job_advance(job, JOB_WAITING);
    job->retry_delay_ms = delay_ms;
    ask_release(flow, job);
}

static bool is_past_patience(const struct flow *flow, const struct job *job,
                             const struct error *err, bool gone)
{
    int64_t age_ms = clock_now_ms() - job->first_failure_ms;
    int64_t ttl_ms = flow->config->retry_ttl_ms;

    if (err->kind == ERROR_PERMANENT)
        return !gone || job->tries >= GONE_TRIES;
    return ttl_ms > 0 && age_ms > ttl_ms;
}

/* The one place that decides what a failed try means. `gone`: HTTP 404 and 410, which pass. */
static void settle_failure(struct flow *flow, struct job *job, const struct error *err, bool gone,
                           int64_t least_delay_ms)
{
    bool slow = err->kind == ERROR_OPERATOR;
    int64_t delay_ms;

    job->tries++;
    if (!job->first_failure_ms)
        job->first_failure_ms = clock_now_ms();
    if (is_past_patience(flow, job, err, gone)) {
        report_given_up(flow->report, job, err);
        job_advance(job, JOB_FAILED);
        ask_release(flow, job);
        return;
    }
    delay_ms = backoff_ms(job->tries, slow ? OPERATOR_FIRST_MS : RETRY_FIRST_MS,
                          slow ? OPERATOR_MOST_MS : RETRY_MOST_MS);
    if (delay_ms < least_delay_ms)
        delay_ms = least_delay_ms;
    report_failed(flow->report, job, err, delay_ms);
    try_later(flow, job, delay_ms);
}

/* ---- stopping, and lost connections ---- */

/* Ends a job that nobody needs done here any more; what is under way ends it when it returns. */
static void abandon(struct flow *flow, struct job *job)
{
    job->abandoned = true;
    switch (job->state) {
    case JOB_ACCEPTED:
        if (dedupe_withdraw(flow->dedupe, &job->claim)) {
            job->asking = false;
            hand_back(flow, job);
        }
        break;
    case JOB_CLAIMED:
        download_cancel(job->transfer);
        writer_cancel(job->file);
        job->transfer = NULL;
        job->file = NULL;
        try_later(flow, job, 0);
        break;
    case JOB_WAITING:
        if (job->deadline.waiting && job->retry_delay_ms < 0) {
            deadline_clear(flow->deadlines, &job->deadline);
            hand_back(flow, job);
        }
        break;
    default: /* with the writer, or about to be settled */
        break;
    }
}

static bool is_active(const struct job *job)
{
    return job->state == JOB_CLAIMED && download_is_active(job->transfer);
}

void flow_abandon(struct flow *flow, bool all)
{
    struct list_link *link, *next;

    for (link = list_first(&flow->jobs); link; link = next) {
        struct job *job = LIST_ITEM(link, struct job, link);

        next = list_next(&flow->jobs, link);
        if (all || !is_active(job))
            abandon(flow, job);
    }
}

/* Deliveries of a lost connection come again: all but what is already being fetched is dropped. */
static void watch_connection(struct flow *flow)
{
    bool connected = broker_is_connected(flow->broker);
    unsigned connection = connected ? broker_connection(flow->broker) : 0;
    struct list_link *link, *next;

    report_connection(flow->report, connected);
    if (connection == flow->connection)
        return;
    flow->connection = connection;
    for (link = list_first(&flow->jobs); link; link = next) {
        struct job *job = LIST_ITEM(link, struct job, link);

        next = list_next(&flow->jobs, link);
        if (job->ticket.connection != connection && !is_active(job))
            abandon(flow, job);
    }
}

/* ---- take ---- */

static void accept(struct flow *flow, struct job *job, const struct judgement *judgement)
{
    bool at_top = strcmp(judgement->destination.directory, "/") == 0;
    char *destination = memory_format("%s/%s", at_top ? "" : judgement->destination.directory,
                                      judgement->destination.path);

    job->destination = judgement->destination;
    job->fetch_url = judgement->fetch_url;
    dedupe_identify(flow->dedupe, &job->claim, judgement->key, judgement->path, destination,
                    job->announcement.pub_time_ns);
    free(destination);
    job_advance(job, JOB_ACCEPTED);
    ask_claim(flow, job);
}

static void receive(struct flow *flow, const struct delivery *delivery)
{
    struct job *job;
    struct judgement judgement;
    struct error err = {0};

    if (flow->stopping) {
        broker_requeue(flow->broker, delivery->ticket);
        return;
    }
    job = job_new(&flow->board);
    job->ticket = delivery->ticket;
    job->redelivered = delivery->redelivered;
    list_append(&flow->jobs, &job->link);
    report_received(flow->report, &delivery->envelope);
    if (!announcement_parse(&delivery->envelope, &job->announcement, &err)) {
        report_malformed(flow->report, &delivery->envelope, &err);
        job_advance(job, JOB_FAILED);
        ack(flow, job);
        return;
    }
    report_read(flow->report);
    judge_decide(flow->judge, &job->announcement, clock_wall_ns(), &judgement);
    if (judgement.accepted)
        accept(flow, job, &judgement);
    else
        reject(flow, job, judgement.code, judgement.reason);
}

static void take_due(struct flow *flow)
{
    struct deadline *deadline;

    while ((deadline = deadlines_take_due(flow->deadlines))) {
        struct job *job = deadline->ticket;

        if (job->state == JOB_PLACED) { /* the store did not answer the first time */
            ask_confirm(flow, job);
        } else if (job->state == JOB_WAITING && job->retry_delay_ms < 0) {
            job_advance(job, JOB_ACCEPTED);
            ask_claim(flow, job);
        } else { /* the store did not answer when the claim was to be released */
            ask_release(flow, job);
        }
    }
}

void flow_take(struct flow *flow)
{
    struct delivery delivery;

    broker_step(flow->broker);
    while (broker_take_delivery(flow->broker, &delivery))
        receive(flow, &delivery);
    watch_connection(flow);
    take_due(flow);
}

/* ---- judge ---- */

static struct writer_plan plan_of(const struct flow *flow, const struct job *job)
{
    return judge_plan(flow->config, &job->announcement, &job->destination);
}

static void fetch_claimed(struct flow *flow, struct job *job)
{
    struct writer_plan plan = plan_of(flow, job);

    job_advance(job, JOB_CLAIMED);
    if (!job->tries)
        report_accepted(flow->report, job);
    job->busy_tries = 0;
    job->file = writer_begin(flow->writer, &plan, job);
    job->transfer = download_start(flow->download, job->fetch_url, job);
}

static void wait_for_retry(struct flow *flow, struct job *job, int64_t delay_ms)
{
    job->retry_delay_ms = -1;
    deadline_set(flow->deadlines, &job->deadline, delay_ms);
}

static void answer_claimed(struct flow *flow, struct job *job)
{
    if (!is_unwanted(flow, job)) {
        fetch_claimed(flow, job);
        return;
    }
    job->abandoned = true;
    try_later(flow, job, 0);
}

static void answer_older(struct flow *flow, struct job *job)
{
    struct writer_plan plan = plan_of(flow, job);

    report_older(flow->report, job);
    if (job->redelivered) /* whoever died with it may have left a part of it */
        writer_discard(flow->writer, &plan);
    job_advance(job, JOB_REJECTED);
    ack(flow, job);
}

/* The claim was not to be had, or nobody knows. */
static void answer_later(struct flow *flow, struct job *job, int64_t delay_ms)
{
    if (is_unwanted(flow, job)) {
        hand_back(flow, job);
        return;
    }
    job_advance(job, JOB_WAITING);
    wait_for_retry(flow, job, delay_ms);
}

static void answer_busy(struct flow *flow, struct job *job)
{
    int64_t delay_ms = backoff_ms(++job->busy_tries, BUSY_FIRST_MS, BUSY_MOST_MS);

    flow->report->metrics.busy++;
    answer_later(flow, job, delay_ms < job->claim.busy_ms ? delay_ms : job->claim.busy_ms);
}

static void answer_released(struct flow *flow, struct job *job)
{
    if (job->state == JOB_FAILED && !job->abandoned)
        ack(flow, job);
    else if (is_unwanted(flow, job))
        hand_back(flow, job);
    else
        wait_for_retry(flow, job, job->retry_delay_ms);
}

static void answer_unknown(struct flow *flow, struct job *job)
{
    if (job->state == JOB_ACCEPTED)
        answer_later(flow, job, STORE_AGAIN_MS);
    else /* a confirm or a release, which is asked for again */
        deadline_set(flow->deadlines, &job->deadline, STORE_AGAIN_MS);
}

/* Somebody else took over, because this process did not move for longer than the lease. */
static void answer_lost(struct flow *flow, struct job *job)
{
    if (job->state != JOB_CLAIMED)
        return; /* all bytes are here: placing and confirming it does no harm */
    download_cancel(job->transfer);
    writer_cancel(job->file);
    job->transfer = NULL;
    job->file = NULL;
    answer_later(flow, job, STORE_AGAIN_MS);
}

static void take_answer(struct flow *flow, struct job *job)
{
    if (job->claim.verdict == DEDUPE_LOST) {
        answer_lost(flow, job);
        return;
    }
    job->asking = false;
    switch (job->claim.verdict) {
    case DEDUPE_CLAIMED:
        answer_claimed(flow, job);
        break;
    case DEDUPE_DUPLICATE:
        report_duplicate(flow->report, job);
        job_advance(job, JOB_DUPLICATE);
        ack(flow, job);
        break;
    case DEDUPE_OLDER:
        answer_older(flow, job);
        break;
    case DEDUPE_BUSY:
        answer_busy(flow, job);
        break;
    case DEDUPE_CONFIRMED:
        job_advance(job, JOB_CONFIRMED);
        ack(flow, job);
        break;
    case DEDUPE_RELEASED:
        answer_released(flow, job);
        break;
    case DEDUPE_UNKNOWN:
        answer_unknown(flow, job);
        break;
    case DEDUPE_LOST: /* handled above */
        break;
    }
}

void flow_judge(struct flow *flow)
{
    struct dedupe_claim *claim;

    while ((claim = dedupe_take_answer(flow->dedupe)))
        take_answer(flow, claim->ticket);
}

/* ---- fetch ---- */

enum download_flow flow_receive_bytes(void *ticket, const char *bytes, size_t length)
{
    struct job *job = ticket;

    return writer_append(job->file, bytes, length) ? DOWNLOAD_GO_ON : DOWNLOAD_PAUSE;
}

static void take_finished(struct flow *flow, const struct download_result *result)
{
    struct job *job = result->ticket;
    struct writer_file *file = job->file;

    job->transfer = NULL;
    job->file = NULL;
    if (result->duration_ms > 0)
        flow->report->metrics.byte_rate =
            (double)result->size_bytes * 1000 / (double)result->duration_ms;
    if (result->fetched) {
        job_advance(job, JOB_FETCHED);
        writer_finish(file, job->fingerprint, &job->claim.sure_until_ms);
        return;
    }
    writer_cancel(file);
    settle_failure(flow, job, &result->err, result->status == 404 || result->status == 410,
                   result->retry_after_ms);
}

void flow_fetch(struct flow *flow)
{
    struct download_result result;
    void *ticket;

    while (writer_take_drained(flow->writer, &ticket)) {
        struct job *job = ticket;

        download_resume(job->transfer);
    }
    download_step(flow->download);
    while (download_take_finished(flow->download, &result))
        take_finished(flow, &result);
}

/* ---- place ---- */

static void take_placed(struct flow *flow, struct job *job, const struct writer_result *result)
{
    job->mismatch_accepted = job->fingerprint && strcmp(job->fingerprint, result->fingerprint) == 0;
    job_advance(job, JOB_PLACED);
    report_placed(flow->report, job, result);
    ask_confirm(flow, job);
}

static void take_result(struct flow *flow, const struct writer_result *result)
{
    struct job *job = result->ticket;

    switch (result->outcome) {
    case WRITER_PLACED:
        take_placed(flow, job, result);
        break;
    case WRITER_MISMATCH:
        memory_replace(&job->fingerprint, memory_copy(result->fingerprint));
        report_mismatch(flow->report, job, &result->err);
        job->tries++;
        try_later(flow, job, backoff_ms(job->tries, RETRY_FIRST_MS, RETRY_MOST_MS));
        break;
    case WRITER_LATE:
        report_late(flow->report, &result->err);
        try_later(flow, job, 0);
        break;
    case WRITER_FAILED:
        settle_failure(flow, job, &result->err, false, -1);
        break;
    }
}

void flow_place(struct flow *flow)
{
    struct writer_result result;

    writer_step(flow->writer);
    while (writer_take_result(flow->writer, &result))
        take_result(flow, &result);
}

void flow_send(struct flow *flow)
{
    dedupe_send(flow->dedupe);
    broker_flush(flow->broker);
}
