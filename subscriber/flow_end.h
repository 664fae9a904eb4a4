/*
 * The ends of a job, and what a failure means: the part of the flow where it is decided whether an
 * announcement is acked, handed back, tried again from the hand, or kept in the retry store.
 *
 * A delivery that waits in hand is with the broker still, the safest store there is. So the hand is
 * filled first, up to a quarter of the prefetch; the rest is left to those that can go on. What
 * does not fit, or was in hand for ten minutes, moves into the retry store and is acked (a broker
 * does not let a delivery stay open for long). A job that came from there goes back there.
 */
#pragma once

#include "flow.h"

/* The outcome is safe: the record is dropped, the delivery acked, the job freed. */
void flow_finish(struct flow *flow, struct job *job);

/* Somebody else is to do it. The job is freed, now or when the retry store has answered. */
void flow_hand_back(struct flow *flow, struct job *job);

/* The broker has taken it back already, or is about to get it back. */
bool flow_is_unwanted(const struct flow *flow, const struct job *job);

/* Questions about the claim; a claim on a former place is settled first. */
void flow_confirm(struct flow *flow, struct job *job);
void flow_release(struct flow *flow, struct job *job);

/* Frees the claim; when that is answered the job waits `delay_ms`, or is handed back. */
void flow_try_later(struct flow *flow, struct job *job, int64_t delay_ms, enum flow_wait where);

/* It is tried again in `delay_ms`, here or by whoever finds it in the retry store. */
void flow_wait(struct flow *flow, struct job *job, int64_t delay_ms, enum flow_wait where);

/* It is given up for good: the claim is freed, then it is acked. */
void flow_give_up_for_good(struct flow *flow, struct job *job, const struct error *err);

/* The same for what is not to be done at all, which was said already. */
void flow_reject_claimed(struct flow *flow, struct job *job);

/* Whether a try that ended this way is worth another one at once. */
bool flow_may_repeat(const struct flow *flow, struct job *job,
                     const struct download_result *result);

/* What a failed try means. `gone`: HTTP 404 and 410, which pass. */
void flow_settle_failure(struct flow *flow, struct job *job, const struct error *err, bool gone,
                         int64_t least_delay_ms);

/* Other bytes came than were announced, and not the same twice. */
void flow_settle_mismatch(struct flow *flow, struct job *job, const struct error *err);

/* The answer of the retry store. */
void flow_take_retry_answer(struct flow *flow, struct job *job);

/* Ends a transfer whose file is not with the writer yet; false if there is none. */
bool flow_give_up(struct flow *flow, struct job *job);

/* Ends a job that nobody needs done here any more; what is under way ends it when it returns. */
void flow_abandon_job(struct flow *flow, struct job *job);

/* Deliveries that were open for too long go on as records. */
void flow_keep_old(struct flow *flow);
