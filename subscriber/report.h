/*
 * What becomes of announcements, told twice: as log lines in sr3's words, and counted in the
 * metrics. Whatever happens to an announcement is one call here.
 */
#pragma once

#include "base/metrics.h"
#include "job.h"
#include "stages/download.h"

struct report_settings {
    const char *title;        /* component/config, as the lines about the instance say it */
    const char *topic_prefix; /* cut off where a line shows the subtopic */
    int instance;
    bool accepted, placed, rejected, duplicates, housekeeping; /* which events are logged */
    bool start, stop, gathered;
};

struct report {
    struct report_settings settings; /* texts stay the caller's */
    struct metrics metrics;
    struct metrics before;         /* what was counted up to the last housekeeping */
    struct quantiles lag, latency; /* since they were sampled last */
    int64_t started_ms, period_started_ms, messages, messages_told;
    double disconnected_since_s; /* seconds since 1970; 0: connected, or never was */
    int64_t silent_since_ms;     /* steady clock; meaningless while not connected */
    bool silence_said;
    int64_t steps, steps_seen; /* announcements settled and tries that failed, for progressLast */
};

void report_init(struct report *report, const struct report_settings *settings);

/* The line that people grep for; once, before anything is connected. */
void report_started(const struct report *report);

void report_received(struct report *report, const struct envelope *envelope);
void report_gathered(struct report *report);   /* all that came in this turn */
void report_revived(struct report *report);    /* out of the retry store */
void report_taken_over(struct report *report); /* out of a queue that sr3 left */
void report_read(struct report *report);       /* a delivery; not what came from elsewhere */
void report_malformed(struct report *report, struct job *job, const struct envelope *envelope,
                      const struct error *err);
void report_rejected(struct report *report, struct job *job, int code, const char *reason);
void report_duplicate(struct report *report, struct job *job);
void report_older(struct report *report, struct job *job);
void report_accepted(struct report *report, const struct job *job);
void report_rehearsed(struct report *report, struct job *job); /* dry_run */
void report_placed(struct report *report, struct job *job, const struct writer_result *result);
void report_done(struct report *report, struct job *job, enum events_op deed); /* what is no file */
void report_removed(struct report *report, const struct job *job, const struct error *err);
/* Of the file where it came from; `err`: it stays there. */
void report_cleared(struct report *report, const struct job *job, const struct error *err);
void report_mismatch(struct report *report, const struct job *job, const struct error *err);
void report_late(struct report *report, const struct error *err);
void report_unsure(struct report *report, const struct job *job);
void report_failed(struct report *report, const struct job *job, const struct error *err,
                   int64_t retry_ms);
void report_given_up(struct report *report, struct job *job, const struct error *err);

/* A transfer has ended, well or not. */
void report_transfer(struct report *report, const struct download_result *result);
void report_disk_failure(struct report *report);

/*
 * The end of a job, which goes to ACKED or HANDED_BACK next. Here, and only here, its fate is
 * counted: what came in is, at any moment, the sum of all fates and what is in flight.
 */
void report_settled(struct report *report, const struct job *job, enum job_state next);

/* A delivery was acked because the retry store has it too; it goes on as a record. */
void report_kept_on(struct report *report);

/* Connected to the broker or not: counts losses and the time without. */
void report_connection(struct report *report, bool connected);

/*
 * Says once that nothing came although the queue is bound: nothing at all since the connection was
 * made `silence_ms` ago, or more; 0: it is not said. `bindings` is what it is bound to.
 */
void report_silence(struct report *report, const char *bindings, int64_t silence_ms);

/* Nothing is meant to come for now. */
void report_dormant(struct report *report);

/* Brings the gauges up to date, before the metrics are used; `stored` records wait for a try. */
void report_refresh(struct report *report, const struct job_board *board, int64_t stored);

/* Takes the quantiles of what came since the last time. */
void report_sample(struct report *report);

/* The periodic lines; then the counters restart. */
void report_housekeeping(struct report *report, int64_t housekeeping_ms);

/* The last lines. The gauges are to be up to date. */
void report_stopped(const struct report *report);
