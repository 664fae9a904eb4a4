/*
 * Jobs on their way: the stages of one subscription, and the moves of jobs from each to the next.
 *
 * subscriber.c says when; here is what. Each flow_ call is one step of the loop and never waits.
 */
#pragma once

#include "job.h"
#include "judge.h"
#include "report.h"
#include "stages/download.h"
#include "stages/intake.h"

struct config;

struct flow {
    const struct config *config; /* the caller's */
    struct report *report;       /* the caller's */
    struct loop *loop;           /* the caller's */
    struct intake intake;
    struct vip *vip; /* NULL: whatever addresses the host has */
    struct broker *broker;
    struct judge *judge;
    struct store *store;
    struct dedupe *dedupe;
    struct logins *logins;
    struct download *download;
    struct writer *writer;
    struct events *events;
    struct retry_store *retry_store;
    struct retry *retry;
    struct sr3_retries *sr3_retries; /* NULL: there is nothing more to come */
    struct deadlines *deadlines;     /* of the jobs that wait in hand */
    int open_max;                    /* jobs that came from the broker */
    int hand_max;                    /* so many of them may wait in hand */
    struct job_board board;
    struct list jobs;    /* all that are open, the oldest first */
    unsigned connection; /* whose deliveries can still be acked; 0: none */
    bool stopping;       /* nothing new is begun, what comes in is handed back */
};

/*
 * Opens every stage; `flow` is zeroed but for config, report and loop. On failure flow_close() is
 * still due.
 */
bool flow_open(struct flow *flow, struct error *err) MUST_CHECK;

/* Says goodbye to the broker and frees everything, open jobs too: the broker has them back. */
void flow_close(struct flow *flow);

void flow_take(struct flow *flow);  /* deliveries, and what waited long enough, in hand or stored */
void flow_judge(struct flow *flow); /* answers of the store */
void flow_fetch(struct flow *flow); /* transfers, started, moved on and taken back */
void flow_place(struct flow *flow); /* files, handed to the disk and taken back */
void flow_send(struct flow *flow);  /* questions to the stores and acks to the broker */
void flow_tidy(struct flow *flow);  /* once in a while: what was in hand for too long */

/* No address of vip belongs to this host: nothing is taken. */
bool flow_is_held(const struct flow *flow);

/* messageCountMax were taken, and what became of them is settled, or waits for another try. */
bool flow_is_done(const struct flow *flow);

/* Hands back what is not being fetched now; with `all`, also what is. */
void flow_abandon(struct flow *flow, bool all);

/* For flow_open.c: the beginning and the bytes of a transfer on their way to the writer. */
void flow_receive_answer(void *ticket, int64_t from_byte, int64_t last_modified_s);
enum download_flow flow_receive_bytes(void *ticket, const char *bytes, size_t length);
