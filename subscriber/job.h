/*
 * One announcement on its way: its states, the moves between them, and what each stage keeps of it.
 *
 *     RECEIVED > ACCEPTED > CLAIMED > FETCHED > PLACED > CONFIRMED > ACKED
 *
 * and, on the way, WAITING (tried again later) and the exits REJECTED, DUPLICATE, FAILED and KEPT
 * (in the retry store), which end in ACKED too. A job that ends in HANDED_BACK was not acked: the
 * broker delivers it again, or the retry store gives it out again.
 */
#pragma once

#include "announcement.h"
#include "base/deadline.h"
#include "judge.h"
#include "stages/broker.h"
#include "stages/dedupe.h"
#include "stages/filter.h"
#include "stages/retry.h"
#include "stages/writer.h"

struct sr3_entry;

/* Where a job may wait for another try. */
enum flow_wait {
    FLOW_WAIT_ANYWHERE, /* in the retry store if there is no room in hand */
    FLOW_WAIT_BUSY,     /* in hand for a minute at least: most claims end sooner */
    FLOW_WAIT_IN_HAND   /* for a store or a disk that fails: moving it on would not help */
};

enum job_state {
    JOB_RECEIVED,
    JOB_ACCEPTED,  /* by the rules; the claim is asked for */
    JOB_CLAIMED,   /* ours; the transfer waits or is under way */
    JOB_FETCHED,   /* all bytes are there, the writer has them */
    JOB_PLACED,    /* under its final name; the store is being told */
    JOB_CONFIRMED, /* the store knows. A later stage that hands the file on belongs here */
    JOB_WAITING,   /* for another try, in hand */
    JOB_KEPT,      /* for another try, in the retry store */
    JOB_REJECTED,
    JOB_DUPLICATE,
    JOB_FAILED,
    JOB_ACKED,
    JOB_HANDED_BACK,
    JOB_STATES
};

/* What the metrics count a job as once it has come to its end. */
enum job_fate {
    FATE_NONE,
    FATE_PLACED,
    FATE_EVENT, /* or nothing was to be done */
    FATE_DUPLICATE,
    FATE_OLDER,
    FATE_REJECTED, /* also in favour of what is in place */
    FATE_MALFORMED,
    FATE_GIVEN_UP
};

/* How many jobs are in each state. */
struct job_board {
    int count[JOB_STATES];
};

/* Of the claim on the place that a rename takes its file from. */
enum job_other { OTHER_NONE, OTHER_ASKED, OTHER_HELD, OTHER_SETTLING };

struct job {
    struct list_link link; /* in the list of open jobs */
    struct job_board *board;
    enum job_state state;
    enum job_fate fate;
    int64_t entered_ms; /* when it came into this state, steady clock */

    struct announcement announcement;
    struct envelope envelope;    /* the message, in the announcement's arena */
    struct broker_ticket ticket; /* of no connection: it came from elsewhere */
    struct sr3_entry *sr3_entry; /* left by sr3 in a retry queue; NULL: it was not */
    int64_t received_ns;         /* wall clock: when the message was delivered first */
    int64_t taken_ms;            /* steady clock: when it was taken in hand this time */
    bool redelivered;
    bool parked;               /* not read yet: it waits for its turn */
    struct arena parked_arena; /* where its message lies meanwhile */
    bool abandoned;            /* to be handed back as soon as its stages have let go of it */
    bool asking;               /* a question to dedupe is open */

    struct filter_verdict destination;
    const char *fetch_url; /* in the announcement's arena */
    enum judge_op op;
    const char *key, *path;   /* what it is known by, in the arena */
    struct events_plan event; /* texts live in the arena and the judge */
    struct dedupe_claim claim;
    struct dedupe_claim other; /* on the place that a rename takes its file from */
    enum job_other other_state;
    struct transfer *transfer;
    struct writer_file *file; /* NULL: none, or with the writer for good */
    int64_t fetch_ms;         /* how long the last transfer took; 0: there was none */
    int64_t from_byte;        /* where the bytes begin that are fetched this time */
    int64_t modified_s;       /* of the file at its server when it was fetched; <= 0: unknown */
    bool begun;               /* once at least, and reported as accepted */
    bool acting;              /* an event is with its stage */
    bool kept;                /* what was there stays */
    bool clearing;            /* it is to be removed where it came from */
    int clearing_tries;       /* that failed */
    bool from_content;        /* the bytes came with the announcement */
    bool content_failed;      /* they are of no use */

    struct retry_hold hold;   /* on its record in the retry store */
    struct deadline deadline; /* in hand: until it is tried again */
    enum flow_wait retry_where;
    int64_t retry_delay_ms; /* once the claim is released; -1: it is, and the deadline is set */
    int tries;              /* that failed */
    int tries_in_row;       /* since it was claimed */
    int busy_tries;
    int64_t first_failure_ns; /* wall clock; 0: none yet */
    char *reason;             /* of the last failure */
    char *fingerprint;        /* of bytes that were not the announced ones */
    bool mismatch_accepted;
};

/* A zeroed job in state RECEIVED, counted on `board`. */
struct job *job_new(struct job_board *board) MUST_CHECK;

/* The job must be ACKED or HANDED_BACK, and no stage may know it any more. */
void job_free(struct job *job);

/* The only way a state changes; a move that must not be is a bug and ends the process. */
void job_advance(struct job *job, enum job_state next);

/* It is in the retry store, or on its way there. */
static inline bool job_has_record(const struct job *job)
{
    return job->hold.held || job->hold.busy;
}

/* It depends on the connection that brought it. */
static inline bool job_is_delivery(const struct job *job)
{
    return !job_has_record(job) && !job->sr3_entry;
}

/* The name of a place on disk, among the job's texts: what claims on it are made with. */
char *job_print_place(struct job *job, const char *directory, const char *path) MUST_CHECK;

const char *job_state_name(enum job_state state);

/* Jobs on `board` that have not come to an end. */
int job_board_open(const struct job_board *board);
