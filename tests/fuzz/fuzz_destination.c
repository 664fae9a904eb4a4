/*
 * Destinations over options and announcement: a byte of flags, then lines, one text each. Whatever
 * they hold, the place is below a directory that is the same for every announcement.
 */
#include "base/clock.h"
#include "exercise.h"

#define PATTERN_MAX 60 /* long ones take long to compile */

enum {
    DIRECTORY,
    STRIP,
    FLATTEN,
    FILENAME,
    BASE_DIR,
    POST_BASE_DIR,
    PATTERN, /* operator */
    BASE_URL,
    REL_PATH,
    RENAME,
    SOURCE_NAME,
    EXTENSION,
    LINK,
    OLD_NAME,
    TEXTS
}; /* stranger */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts `data` into lines; absent and empty ones are NULL. */
static void cut(char *data, const char *texts[TEXTS])
{
    for (int i = 0; i < TEXTS && data; i++) {
        char *line = strsep(&data, "\n");

        texts[i] = *line ? line : NULL;
    }
}

static struct filter *open_filter(unsigned flags, const char *const texts[TEXTS])
{
    struct filter_rule rule = {
        .accept = true,
        .pattern = texts[PATTERN] && strlen(texts[PATTERN]) < PATTERN_MAX ? texts[PATTERN] : ".*",
        .target = {texts[DIRECTORY], texts[STRIP], texts[FLATTEN], texts[FILENAME]},
    };
    struct filter_settings settings = {
        .rules = &rule,
        .rule_count = 1,
        .accept_unmatched = true,
        .unmatched = rule.target,
        .destination = {.variables = {.base_dir = texts[BASE_DIR],
                                      .post_base_dir = texts[POST_BASE_DIR],
                                      .source = flags & 1 ? "own" : NULL,
                                      .first_group_is_zero = flags & 2},
                        .mirror = flags & 4,
                        .base_url_rel_path = flags & 8,
                        .ignore_rename = flags & 16},
    };
    struct error err = {0};
    struct filter *filter = filter_open(&settings, &err);

    assert(filter || (err.kind == ERROR_OPERATOR && *err.text));
    return filter;
}

static bool strangers_are_utf8(const char *const texts[TEXTS])
{
    for (int i = BASE_URL; i < TEXTS; i++)
        if (texts[i] && !announcement_text_is_valid((struct slice){texts[i], strlen(texts[i])}))
            return false;
    return true;
}

/* The directory of a harmless announcement with the same options. */
static void check_root(struct filter *filter, const char *directory)
{
    struct announcement announcement = {.base_url = "http://h", .rel_path = "A_B_C_D"};
    struct filter_verdict verdict;
    struct error err = {0};

    assert(*directory == '/' && !strstr(directory, "//"));
    if (filter_match(filter, &announcement, &verdict, &err))
        assert(strcmp(verdict.directory, directory) == 0);
    arena_clear(&announcement.arena);
}

static void check_verdict(struct filter *filter, struct announcement *announcement, bool judged,
                          const struct filter_verdict *verdict, const struct error *err)
{
    struct destination_place place = {verdict->directory, verdict->path};

    if (!judged) {
        assert(err->kind == ERROR_PERMANENT && strncmp(err->text, "422 ", 4) == 0);
        return;
    }
    assert(verdict->accepted);
    check_path(verdict->path);
    check_root(filter, verdict->directory);
    assert(filter_post_path(filter, announcement, verdict));
    if (announcement->file_op.link)
        destination_link_is_inside(&place, announcement->file_op.link);
}

static void exercise_places(struct filter *filter, const char *const texts[TEXTS])
{
    struct announcement announcement = {
        .base_url = texts[BASE_URL] ? texts[BASE_URL] : "http://h/p",
        .rel_path = texts[REL_PATH] ? texts[REL_PATH] : "",
        .raw_rel_path = "x",
        .rename = texts[RENAME],
        .source = texts[SOURCE_NAME],
        .sundew_extension = texts[EXTENSION],
        .pub_time = "20250102T030405",
        .file_op = {.present = texts[LINK] != NULL, .link = texts[LINK]},
    };
    struct filter_verdict verdict = {0};
    struct error err = {0};
    bool judged = filter_match(filter, &announcement, &verdict, &err);

    check_verdict(filter, &announcement, judged, &verdict, &err);
    if (texts[OLD_NAME]) {
        judged = filter_map_path(filter, &announcement, texts[OLD_NAME], &verdict, &err);
        check_verdict(filter, &announcement, judged, &verdict, &err);
    }
    arena_clear(&announcement.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *texts[TEXTS] = {NULL};
    char *lines = memory_copy_bytes(size ? data + 1 : data, size ? size - 1 : 0);
    struct filter *filter = NULL;

    clock_hold(1795226584LL * NS_PER_S, 0);
    cut(lines, texts);
    if (strangers_are_utf8(texts))
        filter = open_filter(size ? *data : 0, texts);
    if (filter)
        exercise_places(filter, texts);
    filter_close(filter);
    free(lines);
    return 0;
}
