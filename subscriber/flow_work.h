/*
 * What is done with a job whose claim is held: its file is looked for, fetched and placed, or what
 * it asks for apart from a file is carried out.
 */
#pragma once

#include "flow_end.h"

/* Begins with a job that was just claimed. */
void flow_begin(struct flow *flow, struct job *job);

/* Goes on with one whose bytes, or whose event, had to wait until the claim was sure. */
void flow_go_on_surely(struct flow *flow, struct job *job);

/* Nothing is to be done, or everything is: it is confirmed next. */
void flow_done(struct flow *flow, struct job *job);

/* For how long a job is not to be begun, because its server, or its disk, is in trouble. */
int64_t flow_pause_ms(const struct flow *flow, const struct job *job, enum flow_wait *where);

/* What an earlier attempt may have left of it is removed. */
void flow_discard(struct flow *flow, struct job *job);

/* ---- flow_rehearse.c ---- */

/* Says what would be done with one that was accepted, and finishes it. */
void flow_rehearse(struct flow *flow, struct job *job);

/* ---- flow_clear.c ---- */

/* Removes what is to go after it was placed and confirmed, then finishes the job. */
void flow_clear_up(struct flow *flow, struct job *job);

/* What came of removing it where it came from. */
void flow_take_cleared(struct flow *flow, struct job *job, const struct download_result *result);

/* There is no time left to remove it where it came from. */
void flow_leave_source(struct flow *flow, struct job *job);

/* ---- flow_event.c ---- */

/* Begins to carry out an event: when its former place is claimed, too, if it has one. */
void flow_begin_event(struct flow *flow, struct job *job);

/* Removes what was placed: delete_destination. Its result ends the job. */
void flow_begin_removal(struct flow *flow, struct job *job);

void flow_take_events(struct flow *flow);

/* The answer about the claim on the former place. */
void flow_take_other_answer(struct flow *flow, struct job *job);

/* False when the job can end: the claim on its former place is neither held nor asked for. True:
 * it was settled, and `flow_take_other_answer()` goes on. */
bool flow_settle_other(struct flow *flow, struct job *job, bool confirm);

/* Fetches the file instead: there is nothing to make it of. */
void flow_begin_file(struct flow *flow, struct job *job);
