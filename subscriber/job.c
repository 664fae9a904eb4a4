/* One announcement on its way: which state may follow which. */
#include "job.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TO(state) (1u << (state))

/* Whatever is not settled yet can be handed back to the broker. */
static const unsigned may_become[JOB_STATES] = {
    [JOB_RECEIVED] = TO(JOB_ACCEPTED) | TO(JOB_REJECTED) | TO(JOB_FAILED) | TO(JOB_HANDED_BACK),
    [JOB_ACCEPTED] = TO(JOB_CLAIMED) | TO(JOB_DUPLICATE) | TO(JOB_REJECTED) | TO(JOB_WAITING)
                     | TO(JOB_HANDED_BACK),
    [JOB_CLAIMED] =
        TO(JOB_FETCHED) | TO(JOB_REJECTED) | TO(JOB_WAITING) | TO(JOB_FAILED) | TO(JOB_HANDED_BACK),
    [JOB_FETCHED] = TO(JOB_PLACED) | TO(JOB_WAITING) | TO(JOB_FAILED) | TO(JOB_HANDED_BACK),
    [JOB_PLACED] = TO(JOB_CONFIRMED) | TO(JOB_WAITING) | TO(JOB_HANDED_BACK),
    [JOB_CONFIRMED] = TO(JOB_ACKED) | TO(JOB_HANDED_BACK),
    [JOB_WAITING] = TO(JOB_ACCEPTED) | TO(JOB_KEPT) | TO(JOB_HANDED_BACK),
    [JOB_KEPT] = TO(JOB_ACKED),
    [JOB_REJECTED] = TO(JOB_ACKED) | TO(JOB_HANDED_BACK),
    [JOB_DUPLICATE] = TO(JOB_ACKED) | TO(JOB_HANDED_BACK),
    [JOB_FAILED] = TO(JOB_ACKED) | TO(JOB_HANDED_BACK),
};

const char *job_state_name(enum job_state state)
{
    static const char *const names[JOB_STATES] = {
        [JOB_RECEIVED] = "received",       [JOB_ACCEPTED] = "accepted",
        [JOB_CLAIMED] = "claimed",         [JOB_FETCHED] = "fetched",
        [JOB_PLACED] = "placed",           [JOB_CONFIRMED] = "confirmed",
        [JOB_WAITING] = "waiting",         [JOB_KEPT] = "kept",
        [JOB_REJECTED] = "rejected",       [JOB_DUPLICATE] = "duplicate",
        [JOB_FAILED] = "failed",           [JOB_ACKED] = "acked",
        [JOB_HANDED_BACK] = "handed back",
    };
    return names[state];
}

char *job_print_place(struct job *job, const char *directory, const char *path)
{
    return arena_format(&job->announcement.arena, "%s/%s",
                        strcmp(directory, "/") == 0 ? "" : directory, path);
}

struct job *job_new(struct job_board *board)
{
    struct job *job = memory_new(sizeof(*job));

    job->board = board;
    job->entered_ms = clock_now_ms();
    job->claim.ticket = job;
    job->other.ticket = job;
    job->deadline.ticket = job;
    job->hold.ticket = job;
    job->taken_ms = clock_now_ms();
    job->retry_delay_ms = -1;
    board->count[JOB_RECEIVED]++;
    return job;
}

void job_free(struct job *job)
{
    assert(job->state == JOB_ACKED || job->state == JOB_HANDED_BACK);
    assert(!job->asking && !job->transfer && !job->file && !job->deadline.waiting
           && !job->hold.busy);
    job->board->count[job->state]--;
    list_remove(&job->link);
    announcement_clear(&job->announcement);
    arena_clear(&job->parked_arena);
    free(job->fingerprint);
    free(job->reason);
    free(job->hold.body);
    free(job);
}

void job_advance(struct job *job, enum job_state next)
{
    assert(may_become[job->state] & TO(next)); /* a bug of ours, never of the network's */

    log_debug("sr3sub.job advance", "%s: %s -> %s",
              job->announcement.rel_path ? job->announcement.rel_path : "?",
              job_state_name(job->state), job_state_name(next));
    job->board->count[job->state]--;
    job->board->count[next]++;
    job->state = next;
    job->entered_ms = clock_now_ms();
}

int job_board_open(const struct job_board *board)
{
    int open = 0;

    for (int state = 0; state < JOB_STATES; state++)
        if (state != JOB_ACKED && state != JOB_HANDED_BACK)
            open += board->count[state];
    return open;
}
