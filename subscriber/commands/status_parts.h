/*
 * Private to status and health: what is seen of instances, and what is made of it.
 *
 *     status_sample.c    reads the metrics file of one instance, of sr3sub or of sr3
 *     status_process.c   looks for the process behind a file with its number
 *     status_gather.c    finds subscriptions and their instances on the disk
 *     status_judge.c     adds the instances up and names the state
 *     status_table.c     prints the table of sr3 status, and the same as JSON
 *
 * An instance in a container leaves nothing here but its metrics file, so the age of that file
 * decides whether it is alive.
 */
#pragma once

#include "commands/commands.h"

#define STATUS_IGNORED_AFTER_S 300 /* metrics files that are older say nothing */

/* What a metrics file says of one counting period. What it does not say is 0. */
struct status_sample {
    double written_s; /* seconds since 1970, as all times here */
    bool ours;        /* not sr3's */
    bool stop_requested, connected;
    bool waits_vip;
    double period_began_s, transfer_connect_s, disconnect_s, cpu_s;
    double lag_max_s, lag_total_s;
    double progress_last_s; /* when something was settled last, or nothing was open */
    double transfer_last_s, message_last_s;
    double rx_bytes, rx_good, rx_bad, tx_bytes, tx_good, tx_bad;
    double transfer_rx_bytes, transfer_tx_bytes, transfer_rx_files, transfer_tx_files;
    double queued, retries, rejects, lag_messages, open;
};

/* The file may be anything; it must be an object with at least one member that is sr3's. */
bool status_sample_read(const char *path, struct status_sample *sample,
                        struct error *err) MUST_CHECK;

struct status_process {
    double uss_bytes, rss_bytes, vms_bytes, user_s, system_s;
};

/* False: there is no such process, or it runs another configuration, or another program. */
bool status_process_read(int pid, const char *name, struct status_process *process) MUST_CHECK;

struct status_instance {
    int number;
    int pid;      /* of its file; 0: there is none here */
    bool running; /* the process is here */
    bool alive;   /* it is, or its metrics are fresh */
    bool sampled;
    double logged_s; /* when its log was written last; 0: there is none */
    struct status_process process;
    struct status_sample sample;
};

enum status_state {
    STATUS_DISABLED,
    STATUS_HUNG,
    STATUS_PARTIAL,
    STATUS_STOPPED,
    STATUS_MISSING,
    STATUS_WAIT_VIP,
    STATUS_SLOW,
    STATUS_RETRY,
    STATUS_LAGGING,
    STATUS_REJECT,
    STATUS_IDLE,
    STATUS_CPU_SLOW,
    STATUS_RUNNING,
    STATUS_FOREGROUND
};

/* Per second. */
struct status_rates {
    double messages, message_bytes, sent_messages, sent_bytes;
    double rx_bytes, tx_bytes, rx_files, tx_files;
};

struct status_subscription {
    char *title; /* component/name */
    const char *name;
    struct config *config; /* all defaults when its file is not here, or broken */
    char *problem;         /* what is wrong with the file; NULL: nothing */
    char *directory;       /* of its state */
    bool disabled;
    struct status_instance *instances; /* in the order of their numbers */
    size_t instance_count;

    /* of status_judge() */
    enum status_state state;
    int running, expected;
    double now_s, period_s;         /* how long what is counted was counted */
    double connected, transferring; /* of the period, percent */
    double rejected;                /* of what came, percent */
    double last_s;                  /* when something happened last; 0: not known */
    double lag_mean_s;
    struct status_sample total;
    struct status_process processes;
    struct status_rates rates;
};

struct status_list {
    struct status_subscription *items; /* in the order of their titles */
    size_t count;
};

/* NULL-terminated or not, names are `count` shell patterns; none: all there are. */
void status_gather(const char *const *names, size_t count, struct status_list *list);
void status_list_clear(struct status_list *list);

/* Whether the sample is younger than three of the intervals in which it is written, or 5 s. */
bool status_is_fresh(const struct config *config, const struct status_sample *sample, double now_s);

void status_judge(struct status_subscription *subscription, double now_s);

/* The rates since `before` was judged, instead of those of the period. */
void status_rates_since(struct status_subscription *subscription,
                        const struct status_subscription *before);

const char *status_state_name(enum status_state state);

enum {
    STATUS_BARS = 1, /* how far the mean lag is on the way to its threshold */
    STATUS_FULL = 2  /* sums of the period as well */
};

void status_print_table(const struct status_list *list, unsigned more, FILE *out);
json_t *status_print_json(const struct status_list *list) MUST_CHECK;
