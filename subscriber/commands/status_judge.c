/*
 * Adds the instances of a subscription up and names its state, as sr3 does: the first of the states
 * that fits, by the runStateThreshold options.
 *
 * The foot of sr3's table says more than its rows add up to; here the foot is their sum.
 */
#include "commands/status_parts.h"

#include <math.h>
#include <string.h>

const char *status_state_name(enum status_state state)
{
    static const char *const names[] = {
        [STATUS_DISABLED] = "disabled", [STATUS_HUNG] = "hung",
        [STATUS_PARTIAL] = "partial",   [STATUS_STOPPED] = "stopped",
        [STATUS_MISSING] = "missing",   [STATUS_WAIT_VIP] = "waitVip",
        [STATUS_SLOW] = "slow",         [STATUS_RETRY] = "retry",
        [STATUS_LAGGING] = "lagging",   [STATUS_REJECT] = "reject",
        [STATUS_IDLE] = "idle",         [STATUS_CPU_SLOW] = "cpuSlow",
        [STATUS_RUNNING] = "running",   [STATUS_FOREGROUND] = "foreground",
    };

    return names[state];
}

/* ---- sums ---- */

/* Retries in Redis are those of all instances, whoever reports them. */
static void add_sample(struct status_sample *total, const struct status_sample *sample,
                       bool shared_retries)
{
    total->rx_bytes += sample->rx_bytes;
    total->rx_good += sample->rx_good;
    total->rx_bad += sample->rx_bad;
    total->tx_bytes += sample->tx_bytes;
    total->tx_good += sample->tx_good;
    total->tx_bad += sample->tx_bad;
    total->transfer_rx_bytes += sample->transfer_rx_bytes;
    total->transfer_tx_bytes += sample->transfer_tx_bytes;
    total->transfer_rx_files += sample->transfer_rx_files;
    total->transfer_tx_files += sample->transfer_tx_files;
    total->queued += sample->queued;
    total->retries =
        shared_retries ? fmax(total->retries, sample->retries) : total->retries + sample->retries;
    total->rejects += sample->rejects;
    total->lag_messages += sample->lag_messages;
    total->lag_total_s += sample->lag_total_s;
    total->open += sample->open;
    total->cpu_s += sample->cpu_s;
    total->lag_max_s = fmax(total->lag_max_s, sample->lag_max_s);
    total->transfer_last_s = fmax(total->transfer_last_s, sample->transfer_last_s);
    total->message_last_s = fmax(total->message_last_s, sample->message_last_s);
    if (sample->period_began_s > 0
        && (total->period_began_s <= 0 || sample->period_began_s < total->period_began_s))
        total->period_began_s = sample->period_began_s;
}

static double percent_of(double part, double whole)
{
    return whole > 0 ? fmin(100, fmax(0, 100 * part / whole)) : 0;
}

/* One that never was connected does not count the time that it is not. */
static double disconnected_s(const struct status_sample *sample, double period_s)
{
    return sample->ours && !sample->connected && sample->disconnect_s <= 0 ? period_s
                                                                           : sample->disconnect_s;
}

static void add_shares(struct status_subscription *subscription, int sampled)
{
    subscription->connected = subscription->transferring = 0;
    for (size_t i = 0; i < subscription->instance_count; i++) {
        const struct status_sample *sample = &subscription->instances[i].sample;
        double period_s = subscription->now_s - sample->period_began_s;

        if (!subscription->instances[i].sampled || sample->period_began_s <= 0)
            continue;
        subscription->connected +=
            percent_of(period_s - disconnected_s(sample, period_s), period_s) / sampled;
        subscription->transferring += percent_of(sample->transfer_connect_s, period_s) / sampled;
    }
}

static void add_process(struct status_process *total, const struct status_process *process)
{
    total->uss_bytes += process->uss_bytes;
    total->rss_bytes += process->rss_bytes;
    total->vms_bytes += process->vms_bytes;
    total->user_s += process->user_s;
    total->system_s += process->system_s;
}

static void add_up(struct status_subscription *subscription)
{
    bool shared = subscription->config->retry_driver == CONFIG_DRIVER_REDIS;
    struct status_sample *total = &subscription->total;
    int sampled = 0;

    *total = (struct status_sample){0};
    subscription->processes = (struct status_process){0};
    for (size_t i = 0; i < subscription->instance_count; i++) {
        const struct status_instance *instance = &subscription->instances[i];

        if (instance->sampled)
            add_sample(total, &instance->sample, shared);
        sampled += instance->sampled && instance->sample.period_began_s > 0;
        add_process(&subscription->processes, &instance->process);
    }
    if (total->period_began_s > 0)
        subscription->period_s = fmax(0.001, subscription->now_s - total->period_began_s);
    add_shares(subscription, sampled);
    subscription->last_s =
        total->transfer_last_s > 0 ? total->transfer_last_s : total->message_last_s;
    subscription->rejected =
        percent_of(total->rejects + total->rx_bad, total->rx_good + total->rx_bad);
    if (total->lag_messages > 0)
        subscription->lag_mean_s = total->lag_total_s / total->lag_messages;
}

/* ---- rates ---- */

/* What was counted in `seconds`, and before that in the same period. */
static void set_rates(struct status_rates *rates, const struct status_sample *now,
                      const struct status_sample *before, double seconds)
{
    /* a counter that went back began anew */
#define RATE(field)                                                                                \
    (seconds > 0 ? (now->field - (now->field < before->field ? 0 : before->field)) / seconds : 0)
    *rates = (struct status_rates){
        .messages = RATE(rx_good) + RATE(rx_bad) + RATE(tx_good) + RATE(tx_bad),
        .message_bytes = RATE(rx_bytes) + RATE(tx_bytes),
        .sent_messages = RATE(tx_good) + RATE(tx_bad),
        .sent_bytes = RATE(tx_bytes),
        .rx_bytes = RATE(transfer_rx_bytes),
        .tx_bytes = RATE(transfer_tx_bytes),
        .rx_files = RATE(transfer_rx_files),
        .tx_files = RATE(transfer_tx_files),
    };
#undef RATE
}

void status_rates_since(struct status_subscription *subscription,
                        const struct status_subscription *before)
{
    set_rates(&subscription->rates, &subscription->total, &before->total,
              subscription->now_s - before->now_s);
}

/* ---- the state ---- */

/* Of a container that has gone only metrics are left, which do not say that it was stopped. */
static bool is_gone(const struct status_instance *instance)
{
    return !instance->alive
           && (instance->pid
               || (instance->sampled && instance->sample.ours && !instance->sample.stop_requested));
}

static void count_instances(struct status_subscription *subscription)
{
    bool only_zero = true;
    int expected = 0, gone = 0;

    subscription->running = 0;
    for (size_t i = 0; i < subscription->instance_count; i++) {
        const struct status_instance *instance = &subscription->instances[i];

        subscription->running += instance->alive;
        gone += is_gone(instance);
        if (instance->alive && instance->number)
            only_zero = false;
    }
    expected = subscription->running + gone;
    if (expected && !(only_zero && subscription->running)
        && expected < subscription->config->instances)
        expected = (int)subscription->config->instances;
    subscription->expected = expected;
}

/* An instance whose process is here but neither logs nor writes its metrics. */
static bool has_hung(const struct status_subscription *subscription)
{
    double limit_s = (double)subscription->config->threshold_hung_ms / 1000;

    for (size_t i = 0; limit_s > 0 && i < subscription->instance_count; i++) {
        const struct status_instance *instance = &subscription->instances[i];
        double last_s = instance->sampled ? fmax(instance->logged_s, instance->sample.written_s)
                                          : instance->logged_s;

        if (instance->running && last_s > 0 && subscription->now_s - last_s > limit_s)
            return true;
    }
    return false;
}

static bool is_idle(const struct status_subscription *subscription)
{
    double limit_s = (double)subscription->config->threshold_idle_ms / 1000;

    return limit_s > 0 && subscription->last_s > 0
           && subscription->now_s - subscription->last_s > limit_s;
}

static bool is_cpu_slow(const struct status_subscription *subscription)
{
    const struct status_sample *total = &subscription->total;
    double received = total->rx_good + total->rx_bad;

    return received > 0 && total->cpu_s > 0
           && received / total->cpu_s < (double)subscription->config->threshold_cpu_slow;
}

/* One that has the address does the work of all. */
static bool waits_for_vip(const struct status_subscription *subscription)
{
    bool waits = false;

    for (size_t i = 0; i < subscription->instance_count; i++) {
        const struct status_instance *instance = &subscription->instances[i];

        if (instance->alive && instance->sampled && !instance->sample.waits_vip)
            return false;
        waits |= instance->alive && instance->sampled;
    }
    return waits;
}

/* All instances are there. */
static enum status_state active_state(const struct status_subscription *subscription)
{
    const struct config *config = subscription->config;
    const struct status_sample *total = &subscription->total;

    if (waits_for_vip(subscription))
        return STATUS_WAIT_VIP;
    if (subscription->rates.message_bytes < (double)config->threshold_slow)
        return STATUS_SLOW;
    if (total->retries > (double)config->threshold_retry)
        return STATUS_RETRY;
    if (subscription->lag_mean_s > (double)config->threshold_lag_ms / 1000)
        return STATUS_LAGGING;
    if (subscription->rejected > (double)config->threshold_reject)
        return STATUS_REJECT;
    if (is_idle(subscription))
        return STATUS_IDLE;
    if (is_cpu_slow(subscription))
        return STATUS_CPU_SLOW;
    if (subscription->expected == 1 && subscription->instances[0].number == 0)
        return STATUS_FOREGROUND;
    return STATUS_RUNNING;
}

void status_judge(struct status_subscription *subscription, double now_s)
{
    static const struct status_sample nothing;

    subscription->now_s = now_s;
    add_up(subscription);
    set_rates(&subscription->rates, &subscription->total, &nothing, subscription->period_s);
    count_instances(subscription);
    if (subscription->disabled && !subscription->running)
        subscription->state = STATUS_DISABLED;
    else if (has_hung(subscription))
        subscription->state = STATUS_HUNG;
    else if (subscription->running && subscription->running < subscription->expected)
        subscription->state = STATUS_PARTIAL;
    else if (!subscription->expected)
        subscription->state = STATUS_STOPPED;
    else if (!subscription->running)
        subscription->state = STATUS_MISSING;
    else
        subscription->state = active_state(subscription);
}
