/*
 * dry_run: what is wanted is said to be, and nothing is done with it.
 *
 * As with sr3, the announcement is acked: a subscription that is tried out reads a queue of its own
 * to the end, as it will when it is put to work. No store is asked, for a claim would keep others
 * from the file, and what is remembered as placed would be a duplicate to them.
 */
#include "flow_work.h"

void flow_rehearse(struct flow *flow, struct job *job)
{
    report_accepted(flow->report, job);
    report_rehearsed(flow->report, job);
    job_advance(job, JOB_REJECTED); /* as far as its outcome goes */
    flow_finish(flow, job);
}
