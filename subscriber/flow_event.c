/*
 * What announcements ask for apart from a file: links, removals, renames, directories.
 *
 * A rename takes its file from another place, which is claimed too, so that nobody fetches a
 * version into it meanwhile. The second claim is never waited for while the first is held: two
 * renames that cross each other would wait for ever.
 */
#include "flow_work.h"

#include "base/backoff.h"

#include <stdlib.h>
#include <string.h>

#define OTHER_FIRST_MS 50 /* the former place is claimed by somebody else */
#define OTHER_MOST_MS  2000
#define BLOCKED_TRIES  6 /* what is in the way may be on its way out */
#define SURE_AGAIN_MS  50

/* ---- the claim on the former place ---- */

static void identify_other(struct flow *flow, struct job *job)
{
    char *key = arena_format(&job->announcement.arena, "%s,from", job->key);
    char *place = job_print_place(job, job->event.other_directory, job->event.other_path);

    dedupe_identify(flow->dedupe, &job->other, key, job->path, place,
                    announcement_version_ns(&job->announcement));
}

/* What is renamed onto itself is claimed already, and nobody waits for himself. */
static bool is_one_place(const struct events_plan *event)
{
    return strcmp(event->other_path, event->path) == 0
           && strcmp(event->other_directory, event->directory) == 0;
}

static bool wants_other(const struct job *job)
{
    return job->event.op == EVENTS_RENAME && job->event.other_path && job->other_state == OTHER_NONE
           && !is_one_place(&job->event);
}

static void try_other_later(struct flow *flow, struct job *job)
{
    flow_try_later(flow, job, backoff_ms(++job->busy_tries, OTHER_FIRST_MS, OTHER_MOST_MS),
                   FLOW_WAIT_BUSY);
}

static void ask_other(struct flow *flow, struct job *job)
{
    identify_other(flow, job);
    job->other_state = OTHER_ASKED;
    dedupe_claim(flow->dedupe, &job->other);
    if (dedupe_withdraw(flow->dedupe, &job->other)) {
        job->other_state = OTHER_NONE;
        try_other_later(flow, job);
    }
}

bool flow_settle_other(struct flow *flow, struct job *job, bool confirm)
{
    if (job->other_state != OTHER_HELD)
        return false;
    job->other_state = OTHER_SETTLING;
    job->asking = true;
    if (confirm)
        dedupe_confirm(flow->dedupe, &job->other);
    else
        dedupe_release(flow->dedupe, &job->other);
    return true;
}

/* It was confirmed or released, or cannot be: then it ends with its lease, and the claim itself is
 * next. */
static void other_settled(struct flow *flow, struct job *job)
{
    if (job->other.verdict == DEDUPE_UNKNOWN)
        dedupe_forget(flow->dedupe, &job->other);
    job->other_state = OTHER_NONE;
    if (job->state == JOB_PLACED)
        flow_confirm(flow, job);
    else
        flow_release(flow, job);
}

static void other_claimed(struct flow *flow, struct job *job)
{
    job->other_state = OTHER_NONE;
    switch (job->other.verdict) {
    case DEDUPE_CLAIMED:
        job->other_state = OTHER_HELD;
        flow_go_on_surely(flow, job);
        break;
    case DEDUPE_OLDER:
    case DEDUPE_DUPLICATE: /* what is under the former name is not what is meant */
        job->event.other_path = NULL;
        flow_go_on_surely(flow, job);
        break;
    default:
        try_other_later(flow, job);
        break;
    }
}

void flow_take_other_answer(struct flow *flow, struct job *job)
{
    if (job->other_state == OTHER_ASKED)
        other_claimed(flow, job);
    else if (job->other_state == OTHER_SETTLING)
        other_settled(flow, job);
    /* otherwise it was lost, as its confirm will tell */
}

/* ---- carrying out ---- */

void flow_begin_event(struct flow *flow, struct job *job)
{
    if (wants_other(job)) {
        ask_other(flow, job);
    } else if (!dedupe_is_sure(&job->claim)) {
        deadline_set(flow->deadlines, &job->deadline, SURE_AGAIN_MS);
    } else {
        dedupe_pin(&job->claim);
        job->acting = true;
        events_start(flow->events, &job->event, &job->claim.sure_until_ms, job);
    }
}

void flow_begin_removal(struct flow *flow, struct job *job)
{
    struct events_plan plan = judge_removal(&job->destination);

    job->acting = true;
    events_start(flow->events, &plan, NULL, job);
}

static void take_blocked(struct flow *flow, struct job *job, const struct events_result *result)
{
    if (job->tries + 1 < BLOCKED_TRIES) {
        flow_settle_failure(flow, job, &result->err, false, -1);
        return;
    }
    report_rejected(flow->report, job, result->code, result->err.text);
    flow_reject_claimed(flow, job);
}

static void take_result(struct flow *flow, struct job *job, const struct events_result *result)
{
    switch (result->outcome) {
    case EVENTS_DONE:
        report_done(flow->report, job, result->deed);
        flow_done(flow, job);
        break;
    case EVENTS_FETCH:
        flow_begin_file(flow, job);
        break;
    case EVENTS_BLOCKED:
        take_blocked(flow, job, result);
        break;
    case EVENTS_REJECTED:
        report_rejected(flow->report, job, result->code, result->err.text);
        flow_reject_claimed(flow, job);
        break;
    case EVENTS_LATE:
        report_late(flow->report, &result->err);
        flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
        break;
    case EVENTS_FAILED:
        flow_settle_failure(flow, job, &result->err, false, -1);
        break;
    }
}

/* Of what delete_destination asks for: whatever came of it, the file was placed. */
static void take_removed(struct flow *flow, struct job *job, const struct events_result *result)
{
    report_removed(flow->report, job, result->outcome == EVENTS_DONE ? NULL : &result->err);
    flow_finish(flow, job);
}

void flow_take_events(struct flow *flow)
{
    struct events_result result;

    events_step(flow->events);
    while (events_take_result(flow->events, &result)) {
        struct job *job = result.ticket;

        job->acting = false;
        if (job->state == JOB_CONFIRMED)
            take_removed(flow, job, &result);
        else
            take_result(flow, job, &result);
    }
}
