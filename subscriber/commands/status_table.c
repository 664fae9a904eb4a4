/* The table of sr3 status, column by column, and the same for programs. */
#include "commands/status_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAR_WIDTH    10
#define CELL_SIZE    40
#define NAME_WIDTH   20
#define LAST_WIDTH   4
#define DURATION_MAX 1e15

#define COUNT_MAX 1e15

/* ---- cells ---- */

/* Names are those of files that anybody may have put there: not all are for terminals. Allocated.
 */
static char *print_name(const char *text)
{
    char *name = memory_copy(text);

    for (unsigned char *at = (unsigned char *)name; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            at[0] = at[1] = '?';
    return name;
}

/* Sums of what files say may be anything. */
static int64_t count_of(double number)
{
    return (int64_t)fmin(number, COUNT_MAX);
}

/* Binary units, one decimal, no blank: 12B, 1.5KiB, 10.2MiB; the unit of ones is `one`. */
static const char *print_size(double value, const char *one, const char *letter,
                              char cell[CELL_SIZE])
{
    static const char *const prefixes[] = {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    size_t step = 0;

    if (!(value >= 0))
        value = 0;
    if (value < 1024) {
        snprintf(cell, CELL_SIZE, "%d%s", (int)value, one);
        return cell;
    }
    for (value /= 1024; value >= 1024 && step + 1 < COUNT_OF(prefixes); step++)
        value /= 1024;
    snprintf(cell, CELL_SIZE, "%.1f%s%s", fmin(value, 1e9), prefixes[step], letter);
    return cell;
}

/* Below a minute in seconds, then in two units. */
static const char *print_duration(double seconds, char cell[CELL_SIZE])
{
    static const struct {
        int64_t seconds, next;
        char unit, next_unit;
    } scales[] = {{86400, 3600, 'd', 'h'}, {3600, 60, 'h', 'm'}, {60, 1, 'm', 's'}};
    int64_t whole = (int64_t)fmin(fmax(seconds, 0), DURATION_MAX);

    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        if (whole < scales[i].seconds)
            continue;
        snprintf(cell, CELL_SIZE, "%lld%c%lld%c", (long long)(whole / scales[i].seconds),
                 scales[i].unit, (long long)(whole % scales[i].seconds / scales[i].next),
                 scales[i].next_unit);
        return cell;
    }
    snprintf(cell, CELL_SIZE, "%7.2fs", fmax(seconds, 0));
    return cell;
}

static const char *print_last(const struct status_subscription *subscription, char cell[CELL_SIZE])
{
    return subscription->last_s > 0
               ? print_duration(subscription->now_s - subscription->last_s, cell)
               : "n/a";
}

static const char *print_state(const struct status_subscription *subscription, char cell[CELL_SIZE])
{
    switch (subscription->state) {
    case STATUS_LAGGING:
        return "lag";
    case STATUS_RETRY:
        return "rtry";
    case STATUS_RUNNING:
        return "run";
    case STATUS_STOPPED:
        return "stop";
    case STATUS_WAIT_VIP:
        return "wVip";
    default:
        snprintf(cell, CELL_SIZE, "%.4s", status_state_name(subscription->state));
        return cell;
    }
}

static void print_bar(const struct status_subscription *subscription, FILE *out)
{
    double limit_s = (double)subscription->config->threshold_lag_ms / 1000;
    double share = limit_s > 0 ? fmin(1, fmax(0, subscription->lag_mean_s / limit_s)) : 0;
    int length = (int)lround(share * BAR_WIDTH);

    fprintf(out, " [%.*s%.*s]", length, "##########", BAR_WIDTH - length, "..........");
}

/* ---- rows ---- */

/* What --full adds: sums of the period, and what the processes of this host use. */
static const char *const full_columns[] = {
    "Msg/scpu", "subBytes", "Accepted", "Rejected", "Malformed", "pubBytes",
    "pubMsgs",  "pubMal",   "rxData",   "rxFiles",  "txData",    "txFiles",
    "Since",    "uss",      "rss",      "vms",      "user",      "system",
};

static void print_full_header(bool underline, FILE *out)
{
    for (size_t i = 0; i < COUNT_OF(full_columns); i++)
        fprintf(out, " %10.*s", (int)strlen(full_columns[i]),
                underline ? "----------" : full_columns[i]);
}

static void print_full(const struct status_subscription *subscription, FILE *out)
{
    const struct status_sample *total = &subscription->total;
    const struct status_process *usage = &subscription->processes;
    char cells[COUNT_OF(full_columns)][CELL_SIZE];
    const char *const shown[] = {
        print_size(total->cpu_s > 0 ? (total->rx_good + total->rx_bad) / total->cpu_s : 0, "m", "m",
                   cells[0]),
        print_size(total->rx_bytes, "B", "B", cells[1]),
        print_size(total->rx_good, "m", "m", cells[2]),
        print_size(total->rejects, "m", "m", cells[3]),
        print_size(total->rx_bad, "m", "m", cells[4]),
        print_size(total->tx_bytes, "B", "B", cells[5]),
        print_size(total->tx_good, "m", "m", cells[6]),
        print_size(total->tx_bad, "m", "m", cells[7]),
        print_size(total->transfer_rx_bytes, "B", "B", cells[8]),
        print_size(total->transfer_rx_files, "f", "f", cells[9]),
        print_size(total->transfer_tx_bytes, "B", "B", cells[10]),
        print_size(total->transfer_tx_files, "f", "f", cells[11]),
        print_duration(subscription->period_s, cells[12]),
        print_size(usage->uss_bytes, "B", "B", cells[13]),
        print_size(usage->rss_bytes, "B", "B", cells[14]),
        print_size(usage->vms_bytes, "B", "B", cells[15]),
        print_duration(usage->user_s, cells[16]),
        print_duration(usage->system_s, cells[17]),
    };

    for (size_t i = 0; i < COUNT_OF(shown); i++)
        fprintf(out, " %10s", shown[i]);
}

static void print_header(int name, int last, unsigned more, FILE *out)
{
    bool bars = more & STATUS_BARS;

    fprintf(out, "status: \n%-*s %-11s %-17s %-*s %-45s\n", name, "Component/Config", "Processes",
            "Connection", last + 24, "Lag", "Rates");
    fprintf(out, "%-*s %-5s %5s %5s %4s %4s %5s %8s %8s %*s %5s %10s %10s %10s %10s %s", name, "",
            "State", "Run", "Retry", "msg", "data", "Que", "LagMax", "LagAvg", last, "Last", "%rej",
            "pubsub", "messages", "RxData", "TxData", bars ? "Lag          " : "");
    if (more & STATUS_FULL)
        print_full_header(false, out);
    fprintf(out, "\n%-*s %-5s %5s %5s %4s %4s %5s %8s %8s %*s %5s %10s %10s %10s %10s %s", name, "",
            "-----", "---", "-----", "---", "----", "---", "------", "------", last, "----", "----",
            "------", "--------", "------", "------", bars ? "---          " : "");
    if (more & STATUS_FULL)
        print_full_header(true, out);
    fputc('\n', out);
}

static void print_row(const struct status_subscription *subscription, int name, int last,
                      unsigned more, FILE *out)
{
    const struct status_rates *rates = &subscription->rates;
    char run[CELL_SIZE], cells[7][CELL_SIZE], lasting[CELL_SIZE];
    char *title = print_name(subscription->title);

    snprintf(run, sizeof(run), "%d/%d", subscription->running, subscription->expected);
    fprintf(out, "%-*s %-5s %5s %5.0f %3d%% %3d%% %5.0f %8s %8s %*s %4.1f%%", name, title,
            print_state(subscription, cells[0]), run, fmin(subscription->total.retries, COUNT_MAX),
            (int)subscription->connected, (int)subscription->transferring,
            fmin(subscription->total.queued, COUNT_MAX),
            print_duration(subscription->total.lag_max_s, cells[1]),
            print_duration(subscription->lag_mean_s, cells[2]), last,
            print_last(subscription, lasting), subscription->rejected);
    fprintf(out, " %8s/s %8s/s %8s/s %8s/s ", print_size(rates->message_bytes, "B", "B", cells[3]),
            print_size(rates->messages, "m", "m", cells[4]),
            print_size(rates->rx_bytes, "B", "B", cells[5]),
            print_size(rates->tx_bytes, "B", "B", cells[6]));
    if (more & STATUS_BARS)
        print_bar(subscription, out);
    if (more & STATUS_FULL)
        print_full(subscription, out);
    fputc('\n', out);
    free(title);
}

/* What is wrong with configurations. */
static void print_problems(const struct status_list *list, FILE *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *problem = list->items[i].problem;
        char *title = print_name(list->items[i].title),
             *text = problem ? print_name(problem) : NULL;

        if (text)
            fprintf(out, "%s: %s\n", title, text);
        free(title);
        free(text);
    }
}

/* ---- the foot ---- */

struct sums {
    int configs, processes, missing;
    double queued, retries, lag_s, lag_messages;
    struct status_process usage;
    struct status_rates rates;
};

static bool is_active(enum status_state state)
{
    return state != STATUS_DISABLED && state != STATUS_STOPPED && state != STATUS_MISSING;
}

static void add_sums(struct sums *sums, const struct status_subscription *subscription)
{
    const struct status_rates *rates = &subscription->rates;
    const struct status_process *usage = &subscription->processes;

    sums->configs += is_active(subscription->state);
    sums->processes += subscription->running;
    sums->missing += subscription->expected - subscription->running;
    sums->queued += subscription->total.queued;
    sums->retries += subscription->total.retries;
    sums->lag_s += subscription->total.lag_total_s;
    sums->lag_messages += subscription->total.lag_messages;
    sums->usage.uss_bytes += usage->uss_bytes;
    sums->usage.rss_bytes += usage->rss_bytes;
    sums->usage.vms_bytes += usage->vms_bytes;
    sums->usage.user_s += usage->user_s;
    sums->usage.system_s += usage->system_s;
    sums->rates.messages += rates->messages - rates->sent_messages;
    sums->rates.message_bytes += rates->message_bytes - rates->sent_bytes;
    sums->rates.sent_messages += rates->sent_messages;
    sums->rates.sent_bytes += rates->sent_bytes;
    sums->rates.rx_bytes += rates->rx_bytes;
    sums->rates.tx_bytes += rates->tx_bytes;
    sums->rates.rx_files += rates->rx_files;
    sums->rates.tx_files += rates->tx_files;
}

static void print_foot(const struct sums *sums, FILE *out)
{
    const struct status_rates *rates = &sums->rates;
    char cells[4][CELL_SIZE];

    fprintf(out, "      Total Running Configs: %3d ( Processes: %d missing: %d stray: 0 )\n",
            sums->configs, sums->processes, sums->missing);
    fprintf(out, "                     Memory: uss:%s rss:%s vms:%s \n",
            print_size(sums->usage.uss_bytes, "Bytes", "B", cells[0]),
            print_size(sums->usage.rss_bytes, "Bytes", "B", cells[1]),
            print_size(sums->usage.vms_bytes, "Bytes", "B", cells[2]));
    fprintf(out, "                   CPU Time: User:%.2fs System:%.2fs \n", sums->usage.user_s,
            sums->usage.system_s);
    fprintf(out,
            "\t   Pub/Sub Received: %s/s (%s/s), Sent:  %s/s (%s/s) Queued: %.0f Retry: %.0f, Mean "
            "lag: %.2fs\n",
            print_size(rates->messages, "m", "m", cells[0]),
            print_size(rates->message_bytes, "B", "B", cells[1]),
            print_size(rates->sent_messages, "m", "m", cells[2]),
            print_size(rates->sent_bytes, "B", "B", cells[3]), sums->queued, sums->retries,
            sums->lag_messages > 0 ? sums->lag_s / sums->lag_messages : 0.0);
    fprintf(out, "\t      Data Received: %s/s (%s/s), Sent: %s/s (%s/s) \n",
            print_size(rates->rx_files, "f", "f", cells[0]),
            print_size(rates->rx_bytes, "B", "B", cells[1]),
            print_size(rates->tx_files, "f", "f", cells[2]),
            print_size(rates->tx_bytes, "B", "B", cells[3]));
}

void status_print_table(const struct status_list *list, unsigned more, FILE *out)
{
    int name = NAME_WIDTH, last = LAST_WIDTH;
    char cell[CELL_SIZE];
    struct sums sums = {0};

    for (size_t i = 0; i < list->count; i++) {
        int title = (int)strlen(list->items[i].title);
        int lasting = (int)strlen(print_last(&list->items[i], cell));

        name = title > name ? title : name;
        last = lasting > last ? lasting : last;
    }
    print_header(name, last, more, out);
    for (size_t i = 0; i < list->count; i++) {
        print_row(&list->items[i], name, last, more, out);
        add_sums(&sums, &list->items[i]);
    }
    print_problems(list, out);
    print_foot(&sums, out);
}

/* ---- JSON ---- */

static json_t *print_instance(const struct status_subscription *subscription,
                              const struct status_instance *instance)
{
    json_t *object = json_pack("{si sb sb}", "instance", instance->number, "alive", instance->alive,
                               "here", instance->running);

    if (instance->pid > 0)
        json_object_set_new(object, "pid", json_integer(instance->pid));
    if (instance->sampled) {
        json_object_set_new(object, "connected", json_boolean(instance->sample.connected));
        json_object_set_new(object, "age",
                            json_real(subscription->now_s - instance->sample.written_s));
        json_object_set_new(object, "open", json_integer(count_of(instance->sample.open)));
        json_object_set_new(object, "retry", json_integer(count_of(instance->sample.retries)));
    }
    return object;
}

static json_t *print_rates(const struct status_rates *rates)
{
    return json_pack("{sf sf sf sf sf}", "messages", rates->messages, "pubsub",
                     rates->message_bytes, "rxFiles", rates->rx_files, "rxData", rates->rx_bytes,
                     "txData", rates->tx_bytes);
}

static json_t *print_subscription(const struct status_subscription *subscription)
{
    json_t *instances = json_array(), *object;

    for (size_t i = 0; i < subscription->instance_count; i++)
        json_array_append_new(instances, print_instance(subscription, &subscription->instances[i]));
    object = json_pack(
        "{so ss si si sI sI sf sf sf sf sf so so}", "name", command_json_text(subscription->title),
        "state", status_state_name(subscription->state), "running", subscription->running,
        "expected", subscription->expected, "retry",
        (json_int_t)count_of(subscription->total.retries), "queued",
        (json_int_t)count_of(subscription->total.queued), "connected", subscription->connected,
        "transferring", subscription->transferring, "rejected", subscription->rejected, "lagMax",
        subscription->total.lag_max_s, "lagMean", subscription->lag_mean_s, "rates",
        print_rates(&subscription->rates), "instances", instances);
    if (subscription->last_s > 0)
        json_object_set_new(object, "last", json_real(subscription->now_s - subscription->last_s));
    if (subscription->problem)
        json_object_set_new(object, "problem", command_json_text(subscription->problem));
    return object;
}

json_t *status_print_json(const struct status_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, print_subscription(&list->items[i]));
    return array;
}
