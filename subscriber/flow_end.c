/* The ends of a job, and what a failure means. */
#include "flow_work.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "record.h"
#include "settings/config.h"
#include "store/sr3_retries.h"

#include <assert.h>
#include <stdlib.h>

#define RETRY_FIRST_MS    1000  /* after a failure that may pass */
#define OPERATOR_FIRST_MS 30000 /* after one that someone has to mend */
#define GONE_TRIES        6 /* a file may be announced before it can be had: 404 gets half a minute */
#define STORE_AGAIN_MS    1000
#define MISMATCH_FIRST_MS 1000 /* the file may be being written */
#define MISMATCH_MOST_MS  60000
#define HAND_BUSY_MS      60000
#define HAND_MOST_MS      600000 /* a delivery stays open for so long; RabbitMQ's limit is 30 min */

_Static_assert(sizeof(struct store_identity) == RETRY_ID_SIZE, "a record's id is an identity");

/* ---- acked or handed back ---- */

/* Wherever it came from has to know of it no longer. */
static void acknowledge(struct flow *flow, struct job *job)
{
    broker_ack(flow->broker, job->ticket);
    if (job->sr3_entry)
        sr3_retries_settle(flow->sr3_retries, job->sr3_entry, true);
    job->ticket = (struct broker_ticket){0};
    job->sr3_entry = NULL;
}

static void end(struct flow *flow, struct job *job, enum job_state state)
{
    report_settled(flow->report, job, state);
    job_advance(job, state);
    if (state == JOB_ACKED)
        acknowledge(flow, job);
    else
        broker_requeue(flow->broker, job->ticket);
    deadline_clear(flow->deadlines, &job->deadline);
    job_free(job);
}

static bool is_settled(const struct job *job)
{
    return job->state == JOB_CONFIRMED || job->state == JOB_DUPLICATE || job->state == JOB_REJECTED
           || job->state == JOB_FAILED;
}

void flow_finish(struct flow *flow, struct job *job)
{
    if (job_has_record(job))
        retry_drop(flow->retry, &job->hold);
    else
        end(flow, job, JOB_ACKED);
}

void flow_hand_back(struct flow *flow, struct job *job)
{
    if (job_has_record(job))
        retry_let_go(flow->retry, &job->hold, 0);
    else
        end(flow, job, JOB_HANDED_BACK);
}

bool flow_is_unwanted(const struct flow *flow, const struct job *job)
{
    bool lost = job_is_delivery(job) && job->ticket.connection != flow->connection;

    return job->abandoned || flow->stopping || lost;
}

/* ---- waiting ---- */

void flow_confirm(struct flow *flow, struct job *job)
{
    if (flow_settle_other(flow, job, true))
        return;
    job->asking = true;
    dedupe_confirm(flow->dedupe, &job->claim);
}

void flow_release(struct flow *flow, struct job *job)
{
    if (flow_settle_other(flow, job, false))
        return;
    job->asking = true;
    dedupe_release(flow->dedupe, &job->claim);
}

static void free_claim(struct flow *flow, struct job *job, enum job_state state, int64_t delay_ms)
{
    job_advance(job, state);
    job->retry_delay_ms = delay_ms;
    flow_release(flow, job);
}

void flow_try_later(struct flow *flow, struct job *job, int64_t delay_ms, enum flow_wait where)
{
    job->retry_where = where;
    free_claim(flow, job, JOB_WAITING, delay_ms);
}

void flow_give_up_for_good(struct flow *flow, struct job *job, const struct error *err)
{
    report_given_up(flow->report, job, err);
    flow_discard(flow, job);
    free_claim(flow, job, JOB_FAILED, 0);
}

void flow_reject_claimed(struct flow *flow, struct job *job)
{
    free_claim(flow, job, JOB_REJECTED, 0);
}

static int64_t in_hand_ms(const struct job *job)
{
    return clock_now_ms() - job->taken_ms;
}

static bool belongs_in_store(const struct flow *flow, const struct job *job, int64_t delay_ms,
                             enum flow_wait where)
{
    bool crowded = !job_is_delivery(job) || flow->board.count[JOB_WAITING] > flow->hand_max;

    switch (where) {
    case FLOW_WAIT_IN_HAND:
        return false;
    case FLOW_WAIT_BUSY:
        return crowded && in_hand_ms(job) > HAND_BUSY_MS;
    default:
        return crowded || in_hand_ms(job) + delay_ms > HAND_MOST_MS;
    }
}

static void keep(struct flow *flow, struct job *job, int64_t delay_ms, bool hold_on)
{
    const void *id = job->hold.held ? (const void *)job->hold.question.id
                                    : (const void *)&job->claim.question.identity;
    struct record record = {
        .received_ns = job->received_ns,
        .first_failure_ns = job->first_failure_ns,
        .tries = job->tries,
        .reason = job->reason,
        .fingerprint = job->fingerprint,
        .envelope = job->envelope,
    };

    retry_keep(flow->retry, &job->hold, id, record_print(&record), delay_ms, hold_on);
}

static void wait_in_hand(struct flow *flow, struct job *job, int64_t delay_ms)
{
    job->retry_delay_ms = -1;
    deadline_set(flow->deadlines, &job->deadline, delay_ms);
}

void flow_wait(struct flow *flow, struct job *job, int64_t delay_ms, enum flow_wait where)
{
    if (!job->hold.busy && belongs_in_store(flow, job, delay_ms, where)) {
        job->retry_delay_ms = delay_ms;
        keep(flow, job, delay_ms, false);
    } else {
        wait_in_hand(flow, job, delay_ms);
    }
}

void flow_keep_old(struct flow *flow)
{
    for (struct list_link *link = list_first(&flow->jobs); link;
         link = list_next(&flow->jobs, link)) {
        struct job *job = LIST_ITEM(link, struct job, link);

        if (in_hand_ms(job) < HAND_MOST_MS)
            return; /* the oldest are first */
        if (!job_has_record(job) && !is_settled(job) && !job->parked && !job->abandoned
            && !flow->stopping)
            keep(flow, job, 0, true);
    }
}

/* ---- answers of the retry store ---- */

static void answer_kept(struct flow *flow, struct job *job)
{
    if (!job->hold.held) {
        job_advance(job, JOB_KEPT);
        end(flow, job, JOB_ACKED);
        return;
    }
    acknowledge(flow, job); /* it goes on as a record */
    report_kept_on(flow->report);
}

/* The store does not answer. Nothing is lost by waiting, nor by leaving a record where it is: it
 * comes again when its lease ends, and is then known to be placed. */
static void answer_unknown(struct flow *flow, struct job *job)
{
    bool settled = is_settled(job);

    if (job->hold.question.action == RETRY_KEEP && job->hold.hold_on)
        return; /* asked again before long */
    if (flow_is_unwanted(flow, job))
        end(flow, job, settled ? JOB_ACKED : JOB_HANDED_BACK);
    else if (settled)
        deadline_set(flow->deadlines, &job->deadline, STORE_AGAIN_MS);
    else
        wait_in_hand(flow, job,
                     job->retry_delay_ms > STORE_AGAIN_MS ? job->retry_delay_ms : STORE_AGAIN_MS);
}

void flow_take_retry_answer(struct flow *flow, struct job *job)
{
    switch (job->hold.verdict) {
    case RETRY_KEPT:
        answer_kept(flow, job);
        break;
    case RETRY_SETTLED:
        end(flow, job, is_settled(job) ? JOB_ACKED : JOB_HANDED_BACK);
        break;
    case RETRY_UNKNOWN:
        answer_unknown(flow, job);
        break;
    }
}

/* ---- what a failure means ---- */

bool flow_may_repeat(const struct flow *flow, struct job *job, const struct download_result *result)
{
    return result->broken && ++job->tries_in_row < flow->config->attempts
           && !flow_is_unwanted(flow, job);
}

static bool is_past_patience(const struct flow *flow, const struct job *job,
                             const struct error *err, bool gone)
{
    int64_t age_ms = (clock_wall_ns() - job->first_failure_ns) / NS_PER_MS;
    int64_t ttl_ms = flow->config->retry_ttl_ms;

    if (err->kind == ERROR_PERMANENT)
        return !gone || job->tries >= GONE_TRIES;
    return ttl_ms > 0 && age_ms > ttl_ms;
}

static void note_failure(struct job *job, const struct error *err)
{
    job->tries++;
    if (!job->first_failure_ns)
        job->first_failure_ns = clock_wall_ns();
    memory_replace(&job->reason, memory_copy(err->text));
}

void flow_settle_mismatch(struct flow *flow, struct job *job, const struct error *err)
{
    note_failure(job, err);
    if (is_past_patience(flow, job, err, false)) {
        flow_give_up_for_good(flow, job, err);
        return;
    }
    report_mismatch(flow->report, job, err);
    flow_try_later(flow, job, backoff_ms(job->tries, MISMATCH_FIRST_MS, MISMATCH_MOST_MS),
                   FLOW_WAIT_ANYWHERE);
}

void flow_settle_failure(struct flow *flow, struct job *job, const struct error *err, bool gone,
                         int64_t least_delay_ms)
{
    int64_t first_ms = err->kind == ERROR_OPERATOR ? OPERATOR_FIRST_MS : RETRY_FIRST_MS;
    int64_t most_ms = flow->config->housekeeping_ms;
    int64_t delay_ms;

    note_failure(job, err);
    if (is_past_patience(flow, job, err, gone)) {
        flow_give_up_for_good(flow, job, err);
        return;
    }
    delay_ms = backoff_ms(job->tries, first_ms < most_ms ? first_ms : most_ms, most_ms);
    if (delay_ms < least_delay_ms)
        delay_ms = least_delay_ms;
    report_failed(flow->report, job, err, delay_ms);
    flow_try_later(flow, job, delay_ms, FLOW_WAIT_ANYWHERE);
}

/* ---- abandoning ---- */

/* An answer under way, or a claim that could not be released yet, is waited for. */
static bool is_being_settled(const struct job *job)
{
    return job->asking || (job->hold.busy && !job->hold.hold_on)
           || (job->deadline.waiting && job->retry_delay_ms >= 0);
}

static void abandon_waiting(struct flow *flow, struct job *job)
{
    if (is_being_settled(job))
        return;
    deadline_clear(flow->deadlines, &job->deadline);
    flow_hand_back(flow, job);
}

static void abandon_parked(struct flow *flow, struct job *job)
{
    if (!job->parked)
        return;
    deadline_clear(flow->deadlines, &job->deadline);
    flow_hand_back(flow, job);
}

bool flow_give_up(struct flow *flow, struct job *job)
{
    if (!job->file)
        return false;
    if (job->transfer)
        download_cancel(job->transfer);
    writer_suspend(job->file);
    deadline_clear(flow->deadlines, &job->deadline);
    job->transfer = NULL;
    job->file = NULL;
    return true;
}

void flow_abandon_job(struct flow *flow, struct job *job)
{
    job->abandoned = true;
    switch (job->state) {
    case JOB_ACCEPTED:
        if (dedupe_withdraw(flow->dedupe, &job->claim)) {
            job->asking = false;
            flow_hand_back(flow, job);
        }
        break;
    case JOB_CLAIMED:
    case JOB_FETCHED:
        if (flow_give_up(flow, job))
            flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
        break;
    case JOB_WAITING:
        abandon_waiting(flow, job);
        break;
    case JOB_RECEIVED:
        abandon_parked(flow, job);
        break;
    case JOB_CONFIRMED:
        if (flow->stopping)
            flow_leave_source(flow, job);
        break;
    default: /* with the writer, or about to be settled */
        break;
    }
}
