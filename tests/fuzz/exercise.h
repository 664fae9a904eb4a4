/*
 * What both announcement targets do with an input: read it, ask every question about it, and check
 * what must hold for whatever came in.
 */
#pragma once

#include "announcement.h"
#include "stages/filter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static inline void check_path(const char *path)
{
    assert(*path && *path != '/' && path[strlen(path) - 1] != '/');
    assert(!strstr(path, "//"));
    for (size_t length; *path; path += length + (path[length] == '/')) {
        length = strcspn(path, "/");
        assert(length > 0 && length <= 255);
        assert(!(length == 2 && memcmp(path, "..", 2) == 0));
        assert(!(length == 1 && *path == '.'));
    }
}

static inline struct filter *make_filter(bool mirror)
{
    static const struct filter_rule rules[] = {
        {.pattern = ".*[.]tmp$", .file = "seed.conf", .line = 1},
        {.accept = true,
         .pattern = "https?://[^/]+/(?P<a>\\w+)/(a+)+b.*",
         .target = {.directory = "/data/a"}},
        {.accept = true, .pattern = ".*", .target = {.directory = "/data"}},
    };
    struct filter_settings settings = {.rules = rules,
                                       .rule_count = COUNT_OF(rules),
                                       .accept_unmatched = true,
                                       .unmatched = {.directory = "/data"},
                                       .destination = {.mirror = mirror}};
    struct error err = {0};
    struct filter *filter = filter_open(&settings, &err);

    assert(filter);
    return filter;
}

static inline void check_filter(struct filter *filter, struct announcement *announcement)
{
    struct filter_verdict verdict;
    struct error err = {0};

    if (!filter_match(filter, announcement, &verdict, &err)) {
        assert(err.kind == ERROR_PERMANENT && strncmp(err.text, "422 ", 4) == 0);
        return;
    }
    if (verdict.accepted)
        check_path(verdict.path);
}

static inline void check_fetch_url(struct announcement *announcement)
{
    struct error err = {0};
    const char *url = announcement_fetch_url(announcement, &err);

    if (!url) {
        assert(err.kind == ERROR_PERMANENT);
        return;
    }
    assert(strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0);
    for (const char *at = url; *at; at++)
        assert((unsigned char)*at > ' ' && *at != 0x7F);
    assert(strcspn(url, "@") >= strlen(url) || strcspn(url + 8, "/?#") + 8 < strcspn(url, "@"));
}

static inline void exercise(const struct envelope *envelope)
{
    static struct filter *mirrored, *flat;
    struct announcement announcement;
    struct error err = {0};
    const char *key, *path;

    if (!mirrored) {
        mirrored = make_filter(true);
        flat = make_filter(false);
    }
    if (!announcement_parse(envelope, &announcement, &err)) {
        assert(err.kind == ERROR_PERMANENT && *err.text);
        return;
    }
    assert(*announcement_match_url(&announcement));
    check_fetch_url(&announcement);
    for (int basis = ANNOUNCEMENT_BY_PATH; basis <= ANNOUNCEMENT_BY_NAME; basis++) {
        announcement_duplicate_key(&announcement, (enum announcement_basis)basis, &key, &path);
        assert(*key && *path != '/' && !strchr(path, '\n'));
    }
    check_filter(mirrored, &announcement);
    check_filter(flat, &announcement);
    announcement_clear(&announcement);
}
