/*
 * The loop: waits in one place, takes the steps of an announcement's way in their order, and stops
 * when told to.
 */
#include "subscriber.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/recycle.h"
#include "flow.h"
#include "monitor.h"
#include "settings/config.h"

#include <signal.h>
#include <stdlib.h>

#define TICK_MS      1000 /* the loop turns at least this often */
#define LOG_TICK_MS  50   /* while a reader of the log is slow */
#define PATIENCE_MS  1000 /* with a store that fails, before it is said */
#define STOP_LAST_MS 1500 /* after the grace period, for handing back */
#define DISK_CALM_MS 5000 /* without trouble, then it is over */

/* A failure of the stores: since when, until when, and whether it was said. */
struct store_watch {
    int64_t began_ms, failed_ms;
    bool said;
};

struct subscriber {
    const struct config *config;
    struct loop *loop;
    struct loop_timer *timer;
    struct monitor *monitor;
    char *title;    /* of the subscription, in log lines */
    char *bindings; /* the same */
    struct report report;
    struct flow flow;
    int signals;                /* to stop, so far */
    const char *without_claims; /* what is done while their store fails */
    struct store_watch store_watch;
    bool disk_trouble_said;
    bool held; /* so it was said */
    int64_t disk_failed_ms;
    int64_t grace_ends_ms, keep_due_ms, housekeeping_due_ms;
};

/* ---- stopping ---- */

static void on_stop_signal(void *context, int signal)
{
    struct subscriber *subscriber = context;

    log_info("root stop_signal", "signal %d received", signal);
    subscriber->signals++;
}

static void on_hangup(void *context, int signal)
{
    struct error err = {0};

    (void)context;
    (void)signal;
    if (!log_reopen(&err))
        log_error("sr3sub.log reopen", "%s", err.text);
}

static void begin_stopping(struct subscriber *subscriber)
{
    subscriber->flow.stopping = true;
    subscriber->report.metrics.stop_requested = true;
    subscriber->grace_ends_ms = clock_now_ms() + subscriber->config->stop_grace_ms;
    broker_stop_consuming(subscriber->flow.broker);
    retry_pause(subscriber->flow.retry, true);
    flow_abandon(&subscriber->flow, false);
}

/* A second signal ends the grace period. */
static void stop_when_told(struct subscriber *subscriber)
{
    int64_t now_ms = clock_now_ms();

    if (!subscriber->signals && !flow_is_done(&subscriber->flow))
        return;
    if (!subscriber->flow.stopping)
        begin_stopping(subscriber);
    if (subscriber->signals > 1 && subscriber->grace_ends_ms > now_ms)
        subscriber->grace_ends_ms = now_ms;
    if (now_ms >= subscriber->grace_ends_ms)
        flow_abandon(&subscriber->flow, true);
}

static bool is_finished(const struct subscriber *subscriber)
{
    const struct flow *flow = &subscriber->flow;

    if (!flow->stopping)
        return false;
    return clock_now_ms() >= subscriber->grace_ends_ms + STOP_LAST_MS
           || (list_is_empty(&flow->jobs) && broker_is_flushed(flow->broker));
}

/* ---- tidy ---- */

static void watch_vip(struct subscriber *subscriber)
{
    bool held = flow_is_held(&subscriber->flow);

    if (held)
        report_dormant(&subscriber->report);
    if (held == subscriber->held)
        return;
    subscriber->held = held;
    log_info("sr3sub.vip watch", held ? "no address of vip belongs to this host: nothing is taken"
                                      : "an address of vip belongs to this host: work goes on");
}

/*
 * One line for both stores, which may be one and the same Redis. None for a moment's failure, such
 * as not to be connected yet; and one that answers some questions well between others is not well.
 */
static void watch_stores(struct subscriber *subscriber)
{
    struct store_watch *watch = &subscriber->store_watch;
    const char *claims = store_failure(subscriber->flow.store);
    const char *retries = retry_store_failure(subscriber->flow.retry_store);
    int64_t now_ms = clock_now_ms();

    if (claims || retries) {
        if (now_ms - watch->failed_ms > PATIENCE_MS)
            watch->began_ms = now_ms;
        watch->failed_ms = now_ms;
        if (!watch->said && now_ms - watch->began_ms >= PATIENCE_MS) {
            log_error("sr3sub.store watch", "%s: %s until it answers again",
                      claims ? claims : retries,
                      claims ? subscriber->without_claims : "what fails waits in hand");
            watch->said = true;
        }
    } else if (watch->said && now_ms - watch->failed_ms > PATIENCE_MS) {
        log_info("sr3sub.store watch", "the store answers again, work goes on");
        watch->said = false;
    }
}

/* A disk that takes nothing is said once, though a nearly full one takes a file now and then; what
 * waits for it stays with the broker. */
static void watch_disk(struct subscriber *subscriber)
{
    const char *trouble = writer_trouble(subscriber->flow.writer);
    int64_t now_ms = clock_now_ms();

    if (trouble) {
        subscriber->disk_failed_ms = now_ms;
        if (!subscriber->disk_trouble_said)
            log_error("sr3sub.writer watch", "%s: nothing new is taken for it until that is over",
                      trouble);
        subscriber->disk_trouble_said = true;
    } else if (subscriber->disk_trouble_said
               && now_ms - subscriber->disk_failed_ms >= DISK_CALM_MS) {
        log_info("sr3sub.writer watch", "the disk takes files again, work goes on");
        subscriber->disk_trouble_said = false;
    }
}

/* "xpublic v02.post.#, xpublic v03.#", allocated. */
static char *print_bindings(const struct config *config)
{
    char *text = NULL;

    for (size_t i = 0; i < config->binding_count; i++)
        memory_replace(&text,
                       memory_format("%s%s%s %s", text ? text : "", text ? ", " : "",
                                     config->bindings[i].exchange, config->bindings[i].topic));
    return text ? text : memory_copy("no bindings of its own");
}

static void set_timer(struct subscriber *subscriber)
{
    int64_t retry_ms = deadlines_next_ms(subscriber->flow.deadlines);
    int64_t tick_ms = log_is_behind() ? LOG_TICK_MS : TICK_MS;

    loop_timer_set(subscriber->timer, retry_ms >= 0 && retry_ms < tick_ms ? retry_ms : tick_ms);
}

/* Logs that were put aside are removed and compressed in the pool. */
static void tidy_logs(struct subscriber *subscriber)
{
    struct log_chore *chore;

    log_flush();
    chore = log_take_chore();
    if (chore)
        loop_work(subscriber->loop, log_chore_run, log_chore_end, chore);
}

static void tidy(struct subscriber *subscriber)
{
    const struct config *config = subscriber->config;
    struct report *report = &subscriber->report;
    int64_t now_ms = clock_now_ms();

    watch_stores(subscriber);
    watch_disk(subscriber);
    watch_vip(subscriber);
    report_silence(report, subscriber->bindings, config->no_messages_warning_ms);
    monitor_step(subscriber->monitor);
    if (now_ms >= subscriber->keep_due_ms) {
        flow_tidy(&subscriber->flow);
        subscriber->keep_due_ms = now_ms + TICK_MS;
    }
    if (now_ms >= subscriber->housekeeping_due_ms) {
        monitor_refresh(subscriber->monitor);
        report_housekeeping(report, config->housekeeping_ms);
        subscriber->housekeeping_due_ms = now_ms + config->housekeeping_ms;
    }
    tidy_logs(subscriber);
    set_timer(subscriber);
}

/* ---- open, run, close ---- */

static void on_tick(void *context)
{
    (void)context; /* waking up is all that is needed */
}

static void open_report(struct subscriber *subscriber)
{
    const struct config *config = subscriber->config;
    unsigned events = config->log_events;

    subscriber->title = memory_format("%s/%s", config->component, config->process_name);
    subscriber->bindings = print_bindings(config);
    report_init(
        &subscriber->report,
        &(struct report_settings){
            .title = subscriber->title,
            .topic_prefix = config->topic_prefix ? config->topic_prefix : "",
            .instance = config->instance,
            .accepted = events & CONFIG_LOG_AFTER_ACCEPT,
            .placed = events & CONFIG_LOG_AFTER_WORK,
            .rejected = config->log_reject || (events & CONFIG_LOG_REJECT),
            .duplicates = config->log_reject || (events & (CONFIG_LOG_REJECT | CONFIG_LOG_NODUPE)),
            .housekeeping = events & CONFIG_LOG_ON_HOUSEKEEPING,
            .start = events & CONFIG_LOG_ON_START,
            .stop = events & CONFIG_LOG_ON_STOP,
            .gathered = events & CONFIG_LOG_GATHER,
        });
    report_started(&subscriber->report);
}

static bool subscriber_open(struct subscriber *subscriber, struct error *err)
{
    const struct config *config = subscriber->config;
    struct loop *loop = loop_open();

    subscriber->loop = loop;
    loop_on_signal(loop, SIGTERM, on_stop_signal, subscriber);
    loop_on_signal(loop, SIGINT, on_stop_signal, subscriber);
    loop_on_signal(loop, SIGHUP, on_hangup, subscriber);
    subscriber->timer = loop_timer_open(loop, on_tick, subscriber);
    subscriber->without_claims = config->nodupe_fail == CONFIG_FAIL_OPEN
                                     ? "files may be fetched twice"
                                     : "no new work is taken";
    subscriber->housekeeping_due_ms = clock_now_ms() + config->housekeeping_ms;
    subscriber->flow.config = config;
    subscriber->flow.report = &subscriber->report;
    subscriber->flow.loop = loop;
    if (!flow_open(&subscriber->flow, err))
        return false;
    subscriber->monitor = monitor_open(loop, config, &subscriber->flow);
    return true;
}

static void subscriber_close(struct subscriber *subscriber)
{
    flow_close(&subscriber->flow);
    monitor_close(subscriber->monitor);
    loop_timer_close(subscriber->timer);
    loop_close(subscriber->loop);
    free(subscriber->title);
    free(subscriber->bindings);
}

static void subscriber_loop(struct subscriber *subscriber)
{
    struct flow *flow = &subscriber->flow;

    loop_again(subscriber->loop); /* the first turn has something to do */
    while (!is_finished(subscriber)) {
        loop_wait(subscriber->loop);
        stop_when_told(subscriber);
        flow_take(flow);
        flow_judge(flow);
        flow_fetch(flow);
        flow_place(flow);
        flow_send(flow);
        tidy(subscriber);
    }
}

bool subscriber_run(const struct config *config, struct error *err)
{
    struct subscriber subscriber = {.config = config};
    bool opened;

    recycle_begin();
    open_report(&subscriber);
    opened = subscriber_open(&subscriber, err);
    if (opened) {
        subscriber_loop(&subscriber);
        monitor_refresh(subscriber.monitor);
        report_stopped(&subscriber.report);
    }
    subscriber_close(&subscriber);
    recycle_end();
    return opened;
}
