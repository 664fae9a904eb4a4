/* Metrics and health of this instance, brought to those who want to know. */
#include "monitor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_file.h"
#include "flow.h"
#include "listener.h"
#include "settings/config.h"
#include "stages/dedupe.h"
#include "stages/retry.h"
#include "stages/writer.h"
#include "store/retry_store.h"

#include <stdlib.h>
#include <string.h>

#define STUCK_MS 120000 /* the disk has not taken the metrics file, the pool stands still */
#define STUCK_JOB_MS                                                                               \
    900000 /* what is fetched is not placed, or not confirmed, though all is well */

struct monitor {
    const struct config *config;
    struct flow *flow;
    struct metrics_file *file;
    struct listener *listener;
    struct dedupe_tally tally; /* as far as it is in the metrics */
    char *labels;
    int64_t due_ms;
};

/* ---- refresh ---- */

static void refresh_store(struct monitor *monitor, struct metrics *metrics)
{
    struct dedupe_tally now = dedupe_tally(monitor->flow->dedupe), *last = &monitor->tally;

    metrics->store_answers += now.answers - last->answers;
    metrics->store_failures += now.failures - last->failures;
    metrics->store_time_s += (double)(now.waited_ms - last->waited_ms) / 1000;
    *last = now;
}

static void refresh_broker(struct monitor *monitor, struct metrics *metrics)
{
    struct broker_queue queue = broker_queue(monitor->flow->broker);

    metrics->queue_messages = queue.messages;
    metrics->queue_consumers = queue.consumers;
    /* whoever adds up what all instances say must not count the queue several times */
    metrics->queued = monitor->config->instance <= 1 ? queue.messages : METRIC_ABSENT;
}

static const char *store_trouble(const struct flow *flow)
{
    const char *failure = store_failure(flow->store);

    return failure ? failure : retry_store_failure(flow->retry_store);
}

void monitor_refresh(struct monitor *monitor)
{
    struct flow *flow = monitor->flow;
    struct metrics *metrics = &flow->report->metrics;

    report_refresh(flow->report, &flow->board, retry_waiting(flow->retry));
    refresh_store(monitor, metrics);
    refresh_broker(monitor, metrics);
    metrics->paused_store = store_trouble(flow) != NULL;
    metrics->paused_disk = writer_trouble(flow->writer) != NULL;
    metrics->paused_vip = flow_is_held(flow);
    metrics->disk_free_bytes = writer_free_bytes(flow->writer);
    metrics->paused_broker = !broker_is_connected(flow->broker);
    metrics->write_interval_s = (double)monitor->config->metrics_write_interval_ms / 1000;
    metrics_file_process(monitor->file, &metrics->process_memory_bytes, &metrics->process_fds);
}

/* ---- pages ---- */

/* Its bytes are there, nothing is in the way, and yet it does not get on. */
static bool is_stuck(const struct flow *flow)
{
    const struct list_link *link = list_first(&flow->jobs);
    const struct job *oldest = link ? LIST_ITEM(link, struct job, link) : NULL;

    return oldest && (oldest->state == JOB_FETCHED || oldest->state == JOB_PLACED)
           && clock_now_ms() - oldest->entered_ms > STUCK_JOB_MS && !store_trouble(flow)
           && !writer_trouble(flow->writer);
}

/* Neither the broker nor a store or a disk that others mend, but what only a restart would help. */
static char *print_health(const struct monitor *monitor, bool *good)
{
    int64_t busy_ms = metrics_file_busy_ms(monitor->file);

    *good = busy_ms < STUCK_MS && !is_stuck(monitor->flow);
    if (*good)
        return memory_copy("ok\n");
    if (busy_ms < STUCK_MS)
        return memory_copy("work stands still, for no known reason\n");
    return memory_format("nothing was written to disk for %lld s, not even the metrics file\n",
                         (long long)busy_ms / 1000);
}

static char *print_readiness(const struct monitor *monitor, bool *good)
{
    const struct flow *flow = monitor->flow;
    const char *store = store_trouble(flow), *disk = writer_trouble(flow->writer);

    *good = false;
    if (flow->stopping)
        return memory_copy("stopping\n");
    if (!broker_is_connected(flow->broker))
        return memory_copy("not connected to the broker\n");
    if (flow_is_held(flow))
        return memory_copy("no address of vip belongs to this host\n");
    if (store)
        return memory_copy("the store cannot be used; the log says why\n");
    if (disk)
        return memory_copy("the disk takes no files; the log says why\n");
    *good = true;
    return memory_copy("ok\n");
}

static char *print_page(void *context, enum listener_page page, bool *good)
{
    struct monitor *monitor = context;
    const struct report *report = monitor->flow->report;

    switch (page) {
    case LISTENER_HEALTH:
        return print_health(monitor, good);
    case LISTENER_READY:
        return print_readiness(monitor, good);
    case LISTENER_METRICS:
        break;
    }
    monitor_refresh(monitor);
    return metrics_print_prometheus(&report->metrics, &report->before, monitor->labels);
}

/* ---- open, step, close ---- */

/* A value of a label may have everything but these. */
static char *escape(const char *text)
{
    char *escaped = memory_new(strlen(text) * 2 + 1), *to = escaped;

    for (; *text; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            *to++ = '\\';
        *to++ = *text == '\n' ? 'n' : *text;
    }
    return escaped;
}

struct monitor *monitor_open(struct loop *loop, const struct config *config, struct flow *flow)
{
    struct monitor *monitor = memory_new(sizeof(*monitor));
    char *name = escape(config->name);
    struct error err = {0};

    monitor->config = config;
    monitor->flow = flow;
    monitor->labels = memory_format("config=\"%s\",instance_number=\"%d\"", name, config->instance);
    monitor->file = metrics_file_open(
        loop, &(struct metrics_file_settings){.path = config->metrics_path,
                                              .keep = config->metrics_keep,
                                              .history = config->log_metrics,
                                              .history_interval_ms = config->log_rotate_interval_ms,
                                              .history_count = (int)config->log_rotate_count});
    if (config->metrics_listen && *config->metrics_listen)
        monitor->listener = listener_open(loop, config->metrics_listen, print_page, monitor, &err);
    if (err.kind)
        log_error("sr3sub.listener open", "%s; nothing is answered there", err.text);
    free(name);
    return monitor;
}

void monitor_step(struct monitor *monitor)
{
    int64_t now_ms = clock_now_ms();

    listener_step(monitor->listener);
    if (now_ms < monitor->due_ms)
        return;
    monitor->due_ms = now_ms + monitor->config->metrics_write_interval_ms;
    monitor_refresh(monitor);
    report_sample(monitor->flow->report);
    metrics_file_write(monitor->file, &monitor->flow->report->metrics);
}

void monitor_close(struct monitor *monitor)
{
    if (!monitor)
        return;
    listener_close(monitor->listener);
    report_sample(monitor->flow->report);
    metrics_file_close(monitor->file, &monitor->flow->report->metrics);
    free(monitor->labels);
    free(monitor);
}
