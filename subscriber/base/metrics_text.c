/* The metric table as the text that Prometheus scrapes, and as a chapter of the manual. */
#include "base/metrics_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "sr3sub_"

static bool is_counter(const struct metric *metric)
{
    size_t length = strlen(metric->family);

    return length > 6 && strcmp(metric->family + length - 6, "_total") == 0;
}

static void print_head(FILE *out, const char *family, const char *type, const char *help)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", family, help, family, type);
}

static void print_sample(FILE *out, const struct metric *metric, double value)
{
    fprintf(out, PREFIX "%s", metric->family);
    if (*metric->label)
        fprintf(out, "{%s}", metric->label);
    fprintf(out, " %.17g\n", value);
}

/* A family's rows follow one another; its head stands before the first. */
static void print_metrics(FILE *out, const struct metrics *metrics, const struct metrics *before)
{
    const char *family = "";
    double value, earlier;

    for (size_t i = 0; i < metric_count; i++) {
        const struct metric *metric = &metric_table[i];

        if (!metric->family || !metric_number(metric, metrics, &value))
            continue;
        if (metric->reset && metric_number(metric, before, &earlier))
            value += earlier;
        if (strcmp(metric->family, family) != 0)
            print_head(out, metric->family, is_counter(metric) ? "counter" : "gauge", metric->help);
        family = metric->family;
        print_sample(out, metric, value);
    }
}

static void print_histogram(FILE *out, const struct metric_histogram *row,
                            const struct histogram *histogram)
{
    int64_t below = 0;

    print_head(out, row->family, "histogram", row->help);
    for (int i = 0; i < row->bounds->count; i++) {
        below += histogram->buckets[i];
        fprintf(out, PREFIX "%s_bucket{le=\"%.15g\"} %" PRId64 "\n", row->family,
                row->bounds->upper[i], below);
    }
    fprintf(out, PREFIX "%s_bucket{le=\"+Inf\"} %" PRId64 "\n", row->family, histogram->count);
    fprintf(out, PREFIX "%s_sum %.17g\n" PREFIX "%s_count %" PRId64 "\n", row->family,
            histogram->sum, row->family, histogram->count);
}

char *metrics_print_prometheus(const struct metrics *metrics, const struct metrics *before,
                               const char *labels)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return memory_copy("");
    print_head(out, "build_info", "gauge", "what runs here");
    fprintf(out, PREFIX "build_info{version=\"" SR3SUB_VERSION "\",%s} 1\n", labels);
    print_metrics(out, metrics, before);
    for (size_t i = 0; i < metric_histogram_count; i++)
        print_histogram(out, &metric_histograms[i],
                        (const void *)((const char *)metrics + metric_histograms[i].offset));
    fclose(out);
    return text;
}

/* ---- markdown ---- */

static const char introduction[] =
    "# Metrics\n"
    "\n"
    "Made by `sr3sub metrics --markdown` from the table in `subscriber/base/metrics.def`; do not\n"
    "edit.\n"
    "\n"
    "Each instance rewrites a JSON file, `metrics/subscribe_NAME_NN.json` below `~/.cache/sr3`,\n"
    "every `metrics_writeInterval`. It is replaced as a whole, and removed when the instance ends\n"
    "well, unless `metricsKeep` is on. What stays behind an instance that was killed is known by\n"
    "its `written`, which is then older than a few times its `writeInterval`. The members `flow`,\n"
    "`gather.message`, `retry`, `log` and `sarracenia.transfer` are those of sr3, `sr3sub` is\n"
    "ours. What is marked with a * restarts at every housekeeping.\n"
    "\n"
    "With `logMetrics` each sample is also appended to a history beside the file,\n"
    "`FILE.json.YYYYMMDD` or, with a `logRotateInterval` below a day, with the time of day behind\n"
    "it; one line each, as in sr3. Finished ones are compressed; `logRotateCount` are kept.\n"
    "\n"
    "With `metricsListen HOST:PORT` the instance answers http requests: `/metrics` for "
    "Prometheus,\n"
    "`/healthz` with 200 while work goes on, `/readyz` with 200 while it is connected, bound and\n"
    "its stores and its disk can be used, and both with 503 and the reason otherwise. Counters\n"
    "there, whose names end in `_total`, and histograms never restart. Nobody has to log in: have\n"
    "it listen where only those can reach it who may read.\n"
    "\n"
    "At any moment, what came in is what became of it and what is in flight: `received` + "
    "`revived`\n"
    "+ `takenOver` = `placed` + `events` + `duplicates` + `older` + `rejected` + `malformed` +\n"
    "`givenUp` + `kept` + `handedBack` + `inFlight`, as long as no housekeeping was in between.\n"
    "`lag` is from the publication until an announcement is accepted, `latency` until its file is\n"
    "placed.\n";

static void print_row(FILE *out, const struct metric *metric)
{
    fprintf(out, "| `%s`%s | ", metric->name, metric->reset ? "*" : "");
    if (metric->family)
        fprintf(out, "`" PREFIX "%s%s%s%s`", metric->family, *metric->label ? "{" : "",
                metric->label, *metric->label ? "}" : "");
    fprintf(out, " | %s | %s |\n", metric->unit, metric->help);
}

void metrics_print_markdown(FILE *out)
{
    const char *member = "";

    fputs(introduction, out);
    for (size_t i = 0; i < metric_count; i++) {
        if (strcmp(metric_table[i].member, member) != 0)
            fprintf(out,
                    "\n## %s\n\n| In the file | On the endpoint | Unit | |\n"
                    "| --- | --- | --- | --- |\n",
                    metric_table[i].member);
        member = metric_table[i].member;
        print_row(out, &metric_table[i]);
    }
    fprintf(out, "\n## On the endpoint only\n\n| Histogram | Unit | |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < metric_histogram_count; i++)
        fprintf(out, "| `" PREFIX "%s` | %s | %s |\n", metric_histograms[i].family,
                metric_histograms[i].unit, metric_histograms[i].help);
    fprintf(out, "\n`" PREFIX "build_info` is always 1; its labels are `version`, `config` and\n"
                 "`instance_number`.\n");
}
