/*
 * What a large set of rules costs: opening it, and filtering announcements against it.
 *
 *     filter [RULES [ANNOUNCEMENTS]]
 *
 * Every fourth rule rejects. The announcements match the first rule, one in the middle, the last,
 * or none.
 */
#include "announcement.h"
#include "stages/filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct filter *open_filter(int rules)
{
    struct filter_rule *list = memory_resize(NULL, (size_t)rules, sizeof(*list));
    struct filter_settings settings = {
        .rules = list, .rule_count = (size_t)rules, .destination = {.mirror = true}};
    struct error err = {0};
    struct filter *filter;

    for (int i = 0; i < rules; i++)
        list[i] = (struct filter_rule){
            .accept = i % 4 != 3,
            .pattern = memory_format(".*/radar/PRECIP/GIF/S%05d/([0-9]+)_.*[.]gif$", i),
            .target = {.directory = memory_format("/data/%d/${1}", i / 10), .strip = "2"},
            .file = "bench.conf",
            .line = i + 1};
    filter = filter_open(&settings, &err);
    for (int i = 0; i < rules; i++) {
        free((char *)(uintptr_t)list[i].pattern);
        free((char *)(uintptr_t)list[i].target.directory);
    }
    free(list);
    if (!filter) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return filter;
}

static void measure(struct filter *filter, const char *what, int station, int announcements)
{
    char *body = memory_format("20250102040312.75 https://dd.example.org/ "
                               "radar/PRECIP/GIF/S%05d/201312141900_WGJ_SNOW.gif",
                               station);
    struct envelope envelope = {.content_type = {"text/plain", 10},
                                .exchange = {"xpublic", 7},
                                .routing_key = {"v02.post.radar", 14},
                                .body = {body, strlen(body)}};
    double start_us = now_us();

    for (int i = 0; i < announcements; i++) {
        struct announcement announcement;
        struct filter_verdict verdict;
        struct error err = {0};

        if (!announcement_parse(&envelope, &announcement, &err)
            || !filter_match(filter, &announcement, &verdict, &err)) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        announcement_clear(&announcement);
    }
    printf("%-24s %10.2f us\n", what, (now_us() - start_us) / announcements);
    free(body);
}

int main(int argc, char **argv)
{
    int rules = argc > 1 ? atoi(argv[1]) : 10000, announcements = argc > 2 ? atoi(argv[2]) : 1000;
    double start_us = now_us();
    struct filter *filter = open_filter(rules);

    printf("%-24s %10.2f us a rule, %d rules\n", "open", (now_us() - start_us) / rules, rules);
    measure(filter, "first rule matches", 0, announcements);
    measure(filter, "a middle one", rules / 2, announcements);
    measure(filter, "the last", rules - 1, announcements);
    measure(filter, "none", 99999, announcements);
    filter_close(filter);
    return 0;
}
