/*
 * Jobs on their way from stage to stage. Every stage takes work with one call and gives it back
 * with another; here jobs are moved from each to the next. What is done with a claimed one is in
 * flow_work.c and flow_event.c, how they end in flow_end.c.
 *
 * On a lost connection running transfers go on; their announcements come again and are then known
 * to be placed.
 */
#include "flow_work.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "record.h"
#include "settings/config.h"
#include "stages/vip.h"
#include "store/sr3_retries.h"

#include <stdlib.h>
#include <string.h>

#define BUSY_FIRST_MS  20 /* another instance has it: asked again soon, then less often */
#define BUSY_MOST_MS   1000
#define STORE_AGAIN_MS 1000
#define UNREADABLE_MS  3600000 /* a record that makes no sense is looked at again after that */

static void ask_claim(struct flow *flow, struct job *job)
{
    job->asking = true;
    dedupe_claim(flow->dedupe, &job->claim);
}

static void reject(struct flow *flow, struct job *job, int code, const char *reason)
{
    report_rejected(flow->report, job, code, reason);
    job_advance(job, JOB_REJECTED);
    flow_finish(flow, job);
}

/* ---- stopping, and lost connections ---- */

static bool is_active(const struct job *job)
{
    return job->transfer && download_is_active(job->transfer);
}

void flow_abandon(struct flow *flow, bool all)
{
    struct list_link *link, *next;

    for (link = list_first(&flow->jobs); link; link = next) {
        struct job *job = LIST_ITEM(link, struct job, link);

        next = list_next(&flow->jobs, link);
        if (all || !is_active(job))
            flow_abandon_job(flow, job);
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
    if (!connection)
        intake_forget_turns(&flow->intake);
    for (link = list_first(&flow->jobs); link; link = next) {
        struct job *job = LIST_ITEM(link, struct job, link);

        next = list_next(&flow->jobs, link);
        if (job_is_delivery(job) && job->ticket.connection != connection && !is_active(job))
            flow_abandon_job(flow, job);
    }
}

/* ---- take ---- */

/* How long a file has to rest still before it is fetched. */
static int64_t rest_ms(const struct job *job, const struct judgement *judgement)
{
    return judgement->wait_ms - (clock_wall_ns() - job->received_ns) / NS_PER_MS;
}

/* Asks for the claim, unless it is known that nothing could be done with it now. */
static void claim_or_wait(struct flow *flow, struct job *job, int64_t least_ms)
{
    enum flow_wait where = FLOW_WAIT_ANYWHERE;
    int64_t pause_ms = flow_pause_ms(flow, job, &where);

    if (pause_ms < least_ms)
        pause_ms = least_ms;
    if (pause_ms <= 0) {
        ask_claim(flow, job);
        return;
    }
    job_advance(job, JOB_WAITING);
    flow_wait(flow, job, pause_ms, where);
}

static void accept(struct flow *flow, struct job *job, const struct judgement *judgement)
{
    char *destination =
        job_print_place(job, judgement->destination.directory, judgement->destination.path);

    job->destination = judgement->destination;
    job->fetch_url = judgement->fetch_url;
    job->op = judgement->op;
    job->key = judgement->key;
    job->path = judgement->path;
    job->event = judgement->event;
    dedupe_identify(flow->dedupe, &job->claim, judgement->key, judgement->path, destination,
                    announcement_version_ns(&job->announcement));
    job_advance(job, JOB_ACCEPTED);
    if (flow->config->dry_run)
        flow_rehearse(flow, job);
    else
        claim_or_wait(flow, job, rest_ms(job, judgement));
}

static struct job *begin(struct flow *flow)
{
    struct job *job = job_new(&flow->board);

    list_append(&flow->jobs, &job->link);
    return job;
}

/* Reads the message and decides about it. It is judged by the time at which it was received first,
 * so that another try has the same outcome as the first. */
static void judge(struct flow *flow, struct job *job, const struct envelope *envelope)
{
    struct judgement judgement;
    struct error err = {0};

    if (!announcement_parse(envelope, &job->announcement, &err)) {
        report_malformed(flow->report, job, envelope, &err);
        job_advance(job, JOB_FAILED);
        flow_finish(flow, job);
        return;
    }
    envelope_copy(envelope, &job->announcement.arena, &job->envelope);
    if (job_is_delivery(job))
        report_read(flow->report);
    judge_decide(flow->judge, &job->announcement, job->received_ns, &judgement);
    if (judgement.accepted)
        accept(flow, job, &judgement);
    else
        reject(flow, job, judgement.code, judgement.reason);
}

/* Puts it aside, unread, until its turn. */
static void park(struct flow *flow, struct job *job, const struct envelope *envelope,
                 int64_t delay_ms)
{
    envelope_copy(envelope, &job->parked_arena, &job->envelope);
    job->parked = true;
    deadline_set(flow->deadlines, &job->deadline, delay_ms);
}

static void unpark(struct flow *flow, struct job *job)
{
    struct arena arena = job->parked_arena;

    job->parked = false;
    job->parked_arena = (struct arena){0};
    judge(flow, job, &job->envelope);
    arena_clear(&arena);
}

static void receive(struct flow *flow, const struct delivery *delivery)
{
    int64_t delay_ms;
    struct job *job;

    if (flow->stopping || flow_is_held(flow) || !intake_take(&flow->intake, &delay_ms)) {
        broker_requeue(flow->broker, delivery->ticket);
        return;
    }
    job = begin(flow);
    job->ticket = delivery->ticket;
    job->redelivered = delivery->redelivered;
    job->received_ns = clock_wall_ns();
    report_received(flow->report, &delivery->envelope);
    if (delay_ms > 0)
        park(flow, job, &delivery->envelope, delay_ms);
    else
        judge(flow, job, &delivery->envelope);
}

/* Another try for what is kept in the retry store. */
static void revive(struct flow *flow, struct retry_item *item)
{
    struct job *job = begin(flow);
    struct record record;
    struct error err = {0};

    retry_adopt(flow->retry, &job->hold, item->id);
    report_revived(flow->report);
    if (flow->stopping) {
        flow_hand_back(flow, job);
    } else if (!record_parse(item->body, item->body_size, &record, &err)) {
        log_error("sr3sub.retry take", "%s; it stays where it is (`sr3sub retry list`)", err.text);
        retry_let_go(flow->retry, &job->hold, UNREADABLE_MS);
    } else {
        job->redelivered = true;
        job->received_ns = record.received_ns;
        job->first_failure_ns = record.first_failure_ns;
        job->tries = record.tries;
        job->reason = memory_copy(record.reason);
        job->fingerprint = memory_copy(record.fingerprint);
        judge(flow, job, &record.envelope);
        record_clear(&record);
    }
    free(item->body);
}

/* What sr3 left in its retry queues. It stays there until its outcome is safe. */
static void take_over(struct flow *flow)
{
    struct sr3_entry *entry;

    while (flow->sr3_retries && (entry = sr3_retries_take_entry(flow->sr3_retries))) {
        struct record record;
        struct error err = {0};
        struct job *job;

        if (!record_parse_sr3(entry->text, entry->length, &record, &err)) {
            log_error("sr3sub.retry take_over", "%s: %s; moved to '%s.unreadable'", entry->place,
                      err.text, entry->place);
            sr3_retries_settle(flow->sr3_retries, entry, false);
            continue;
        }
        job = begin(flow);
        job->sr3_entry = entry;
        report_taken_over(flow->report);
        job->received_ns = record.received_ns;
        judge(flow, job, &record.envelope);
        record_clear(&record);
    }
    if (flow->sr3_retries && sr3_retries_is_done(flow->sr3_retries)) {
        sr3_retries_close(flow->sr3_retries);
        flow->sr3_retries = NULL;
    }
}

/* The time of a job that waits in hand has come, or that of asking a store again that did not
 * answer. */
static void go_on(struct flow *flow, struct job *job)
{
    if (job->parked) {
        unpark(flow, job);
    } else if (job->state == JOB_FETCHED || job->state == JOB_CLAIMED) {
        flow_go_on_surely(flow, job);
    } else if (job->state == JOB_PLACED) {
        flow_confirm(flow, job);
    } else if (job->retry_delay_ms >= 0) { /* the claim is to be released still */
        flow_release(flow, job);
    } else if (job->state == JOB_WAITING) {
        job_advance(job, JOB_ACCEPTED);
        claim_or_wait(flow, job, 0);
    } else if (job->state == JOB_CONFIRMED && job->clearing) {
        flow_clear_up(flow, job);
    } else { /* its record is to be dropped still */
        flow_finish(flow, job);
    }
}

static void take_due(struct flow *flow)
{
    struct deadline *deadline;

    while ((deadline = deadlines_take_due(flow->deadlines)))
        go_on(flow, deadline->ticket);
}

/* ---- how much is taken ---- */

bool flow_is_held(const struct flow *flow)
{
    return flow->vip && !vip_is_here(flow->vip);
}

bool flow_is_done(const struct flow *flow)
{
    return intake_is_full(&flow->intake)
           && job_board_open(&flow->board) <= flow->board.count[JOB_WAITING];
}

static void watch_intake(struct flow *flow)
{
    bool full = intake_is_full(&flow->intake);

    if (flow->stopping)
        return;
    broker_hold(flow->broker, full || flow_is_held(flow));
    retry_pause(flow->retry, full || flow_is_held(flow) || flow->config->dry_run);
}

void flow_take(struct flow *flow)
{
    struct delivery delivery;
    struct retry_item item;

    watch_intake(flow);
    broker_step(flow->broker);
    while (broker_take_delivery(flow->broker, &delivery))
        receive(flow, &delivery);
    report_gathered(flow->report);
    watch_intake(flow);
    watch_connection(flow);
    while (retry_take_due(flow->retry, &item))
        revive(flow, &item);
    take_over(flow);
    take_due(flow);
}

/* ---- judge ---- */

static void answer_claimed(struct flow *flow, struct job *job)
{
    if (!flow_is_unwanted(flow, job)) {
        flow_begin(flow, job);
        return;
    }
    job->abandoned = true;
    flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
}

static void answer_older(struct flow *flow, struct job *job)
{
    report_older(flow->report, job);
    if (job->redelivered) /* whoever died with it may have left a part of it */
        flow_discard(flow, job);
    job_advance(job, JOB_REJECTED);
    flow_finish(flow, job);
}

/* The claim was not to be had, or nobody knows. */
static void answer_later(struct flow *flow, struct job *job, int64_t delay_ms, enum flow_wait where)
{
    if (flow_is_unwanted(flow, job)) {
        flow_hand_back(flow, job);
        return;
    }
    job_advance(job, JOB_WAITING);
    flow_wait(flow, job, delay_ms, where);
}

static void answer_busy(struct flow *flow, struct job *job)
{
    int64_t delay_ms = backoff_ms(++job->busy_tries, BUSY_FIRST_MS, BUSY_MOST_MS);

    flow->report->metrics.busy++;
    answer_later(flow, job, delay_ms < job->claim.busy_ms ? delay_ms : job->claim.busy_ms,
                 FLOW_WAIT_BUSY);
}

static void answer_released(struct flow *flow, struct job *job)
{
    int64_t delay_ms = job->retry_delay_ms;

    job->retry_delay_ms = -1;
    if (job->state != JOB_WAITING && !job->abandoned)
        flow_finish(flow, job);
    else if (flow_is_unwanted(flow, job))
        flow_hand_back(flow, job);
    else
        flow_wait(flow, job, delay_ms, job->retry_where);
}

static void answer_confirmed(struct flow *flow, struct job *job)
{
    job_advance(job, JOB_CONFIRMED);
    flow_clear_up(flow, job);
}

/* `nodupe_fail open`: a file fetched twice is better than one that waits. */
static void go_on_without_store(struct flow *flow, struct job *job)
{
    dedupe_forget(flow->dedupe, &job->claim);
    if (job->state == JOB_ACCEPTED)
        flow_begin(flow, job);
    else if (job->state == JOB_PLACED)
        answer_confirmed(flow, job);
    else
        answer_released(flow, job);
}

static void answer_unknown(struct flow *flow, struct job *job)
{
    if (flow->config->nodupe_fail == CONFIG_FAIL_OPEN && !flow_is_unwanted(flow, job))
        go_on_without_store(flow, job);
    else if (job->state == JOB_ACCEPTED)
        answer_later(flow, job, STORE_AGAIN_MS, FLOW_WAIT_IN_HAND);
    else /* a confirm or a release, which is asked for again */
        deadline_set(flow->deadlines, &job->deadline, STORE_AGAIN_MS);
}

/* Somebody else may have taken over, because this process did not move for longer than the lease.
 * What is not placed yet is given up. What is placed may have got an older version on top since:
 * it is fetched again. What the writer has will be late, or placed and then not confirmed. */
static void answer_lost(struct flow *flow, struct job *job)
{
    if (job->state == JOB_PLACED) {
        report_unsure(flow->report, job);
        job->asking = false;
        deadline_clear(flow->deadlines, &job->deadline);
        flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
    } else if (flow_give_up(flow, job)) {
        answer_later(flow, job, STORE_AGAIN_MS, FLOW_WAIT_ANYWHERE);
    }
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
        flow_finish(flow, job);
        break;
    case DEDUPE_OLDER:
        answer_older(flow, job);
        break;
    case DEDUPE_BUSY:
        answer_busy(flow, job);
        break;
    case DEDUPE_CONFIRMED:
        answer_confirmed(flow, job);
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
    struct retry_hold *hold;

    while ((claim = dedupe_take_answer(flow->dedupe))) {
        struct job *job = claim->ticket;

        if (claim == &job->other)
            flow_take_other_answer(flow, job);
        else
            take_answer(flow, job);
    }
    while ((hold = retry_take_answer(flow->retry)))
        flow_take_retry_answer(flow, hold->ticket);
}

/* ---- send, tidy ---- */

void flow_send(struct flow *flow)
{
    dedupe_send(flow->dedupe);
    retry_send(flow->retry);
    broker_flush(flow->broker);
}

/* When nothing more is taken because of one slow server, what waits for it makes room. */
static void make_room(struct flow *flow)
{
    int moved = 0;

    if (job_board_open(&flow->board) >= flow->open_max || !retry_has_room(flow->retry))
        moved = download_disperse(flow->download);
    if (moved)
        log_info("sr3sub.download make_room",
                 "%d files wait too long for their server; they make room for those of others",
                 moved);
}

void flow_tidy(struct flow *flow)
{
    flow_keep_old(flow);
    make_room(flow);
}
