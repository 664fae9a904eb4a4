/*
 * What is decided about an announcement as time goes by: ages, dates, and files that are to rest.
 * The rest of the judgement is seen in what `explain` says of it.
 */
#include "config_home.h"
#include "envelope.h"

#include "base/clock.h"
#include "judge.h"

#define NOW    "20250102T040312.75"
#define NEVER  "22610101T000000"
#define SECOND 1000

static int64_t time_of(const char *text)
{
    int64_t ns;

    assert_true(clock_parse(text, &ns));
    return ns;
}

/* Judges an announcement with `mtime` (NULL: none); what is allocated for it goes again. */
static struct judgement judge_at(const char *rows, const char *mtime, int64_t now_ns,
                                 char **destination)
{
    char *text = memory_format(BROKER "%s", rows);
    char *body = memory_format("{\"pubTime\":\"20250102T040000\",\"baseUrl\":\"http://h/\","
                               "\"relPath\":\"a/b\"%s%s%s}",
                               mtime ? ",\"mtime\":\"" : "", mtime ? mtime : "", mtime ? "\"" : "");
    struct config *config = must_load(text);
    struct error err = {0};
    struct judge *judge = judge_open(config, &err);
    struct announcement announcement;
    struct judgement judgement;

    assert_non_null(judge);
    assert_true(config_check_supported(config, &err));
    assert_true(parse_texts("application/json", body, NULL, &announcement, &err));
    judge_decide(judge, &announcement, now_ns, &judgement);
    assert_true(announcement.received_ns == now_ns);
    if (destination)
        *destination = memory_copy(judgement.destination.directory);
    announcement_clear(&announcement);
    judge_close(judge);
    config_free(config);
    free(body);
    free(text);
    return judgement;
}

/* The file's age counts from when the announcement was received. */
static const struct {
    const char *rows, *mtime;
    int code;
    int64_t wait_ms;
} ages[] = {
    {"", "20250102T040312", 0, 0},
    {"", NEVER, 0, 0},
    {"fileAgeMin 0\n", NEVER, 0, 0},
    {"fileAgeMin 30\n", NULL, 0, 0},
    {"fileAgeMin 30\n", "20250102T040242.75", 0, 0},
    {"fileAgeMin 30\n", "20250102T040242.751", 0, 1},
    {"fileAgeMin 30\n", "20250102T040302.75", 0, 20 * SECOND},
    {"fileAgeMin 30\n", "20250102T040312.75", 0, 30 * SECOND},
    {"fileAgeMin 30\n", "20250102T040313", 0, 30 * SECOND},
    {"fileAgeMin 30\n", NEVER, 0, 30 * SECOND},
    {"fileAgeMin 30\n", "no time", 0, 0},
    {"fileAgeMin 30\n", "19700101T000000", 0, 0},
    {"fileAgeMin 30\nfileAgeMax 10\n", "20250102T040312", 0, 29 * SECOND + 250},
    {"fileAgeMin 30\nfileAgeMax 10\n", "20250102T040302", 410, 0},
    {"fileAgeMin 30\nreject .*\n", "20250102T040312", 404, 0},
    {"messageAgeMax 192\n", NULL, 504, 0},
    {"messageAgeMax 193\n", NULL, 0, 0},
};

static void ages_count_from_receiving(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ages); i++) {
        struct judgement got = judge_at(ages[i].rows, ages[i].mtime, time_of(NOW), NULL);

        if (got.code != ages[i].code || got.accepted != !ages[i].code
            || got.wait_ms != ages[i].wait_ms)
            fail_msg("row %zu: code %d, to wait %lld ms", i, got.code, (long long)got.wait_ms);
    }
}

static void what_waited_goes_where_it_went_at_first(void **state)
{
    static const char rows[] = "directory /data/${%Y/%m/%d}\nfileAgeMax 1h\n";
    char *first, *second, *today;
    struct judgement got;

    (void)state;
    got = judge_at(rows, "20241231T235950", time_of("20241231T235959"), &first);
    assert_true(got.accepted);
    clock_hold(time_of("20250102T120000"), 0);
    got = judge_at(rows, "20241231T235950", time_of("20241231T235959"), &second);
    assert_true(got.accepted);
    got = judge_at(rows, NULL, clock_wall_ns(), &today);
    clock_hold(-1, -1);
    assert_string_equal(first, "/data/2024/12/31");
    assert_string_equal(second, first);
    assert_string_equal(today, "/data/2025/01/02");
    free(first);
    free(second);
    free(today);
}

/* ---- how events are carried out ---- */

static char *print_place(const char *directory, const char *path)
{
    return path ? memory_format("%s/%s", directory, path) : memory_copy("-");
}

static char *print_plan(const struct judgement *judgement)
{
    const struct events_plan *plan = &judgement->event;
    char *to = print_place(plan->directory, plan->path);
    char *from = print_place(plan->other_directory, plan->other_path);
    char *text = memory_format("%s %s from %s else %s %d %s, mode %o", events_op_name(plan->op), to,
                               from, events_op_name(plan->otherwise), plan->refuse_code,
                               plan->target ? plan->target : "-", (unsigned)plan->mode);

    free(to);
    free(from);
    return text;
}

static const struct {
    const char *rows, *members, *plan;
} plans[] = {
    {"", "\"fileOp\":{\"link\":\"t\"}", "link /d/a/b from - else nothing 0 t, mode 775"},
    {"", "\"fileOp\":{\"hlink\":\"a/o\"}", "hlink /d/a/b from /d/a/o else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"hlink\":\"a/o\",\"link\":\"t\"}",
     "hlink /d/a/b from /d/a/o else nothing 0 t, mode 775"},
    {"reject .*/o\n", "\"fileOp\":{\"hlink\":\"a/o\"}",
     "hlink /d/a/b from - else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"remove\":\"\"}", "remove /d/a/b from - else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"rmdir\":\"\"}", "remove /d/a/b from - else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"directory\":\"\"}", "mkdir /d/a/b from - else nothing 0 -, mode 775"},
    {"", "\"mode\":\"750\",\"fileOp\":{\"directory\":\"\"}",
     "mkdir /d/a/b from - else nothing 0 -, mode 750"},
    {"permCopy off\npermDirDefault 700\n", "\"mode\":\"750\",\"fileOp\":{\"directory\":\"\"}",
     "mkdir /d/a/b from - else nothing 0 -, mode 700"},
    {"", "\"fileOp\":{\"rename\":\"a/o\"}", "rename /d/a/b from /d/a/o else nothing 0 -, mode 775"},
    {"strip 1\n", "\"fileOp\":{\"rename\":\"a/o\"}",
     "rename /d/b from /d/o else nothing 0 -, mode 775"},
    {"mirror off\n", "\"fileOp\":{\"rename\":\"c/o\"}",
     "rename /d/b from /d/o else nothing 0 -, mode 775"},
    {"reject .*/o\n", "\"fileOp\":{\"rename\":\"a/o\"}",
     "rename /d/a/b from - else nothing 0 -, mode 775"},
    {"fileEvents none\n", "\"fileOp\":{\"rename\":\"a/o\"}",
     "rename /d/a/b from /d/a/o else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"rename\":\"a/o\",\"directory\":\"\"}",
     "rename /d/a/b from /d/a/o else mkdir 0 -, mode 775"},
    {"fileEvents none\n", "\"fileOp\":{\"rename\":\"a/o\",\"directory\":\"\"}",
     "rename /d/a/b from /d/a/o else nothing 202 -, mode 775"},
    {"", "\"fileOp\":{\"rename\":\"a/o\",\"link\":\"t\"}",
     "rename /d/a/b from /d/a/o else link 0 t, mode 775"},
    {"", "\"fileOp\":{\"rename\":\"a/o\",\"link\":\"/t\"}",
     "rename /d/a/b from /d/a/o else nothing 422 /t, mode 775"},
    {"fileEvents none\n", "\"fileOp\":{\"rename\":\"a/o\",\"link\":\"t\"}",
     "rename /d/a/b from /d/a/o else nothing 202 t, mode 775"},
    {"", "\"fileOp\":{\"rename\":\"a/o\",\"hlink\":\"a/p\"}",
     "rename /d/a/b from /d/a/o else nothing 0 -, mode 775"},
    {"", "\"fileOp\":{\"rename\":\"a/o\",\"remove\":\"\"}",
     "rename /d/a/b from /d/a/o else remove 0 -, mode 775"},
    {"fileSizeMax 5\n", "\"size\":6,\"fileOp\":{\"rename\":\"a/o\"}",
     "rename /d/a/b from /d/a/o else nothing 413 -, mode 775"},
    {"fileSizeMax 5\n", "\"size\":6,\"fileOp\":{\"hlink\":\"a/o\"}",
     "hlink /d/a/b from /d/a/o else nothing 413 -, mode 775"},
    {"", "\"retrievePath\":\"a b\",\"fileOp\":{\"rename\":\"a/o\"}",
     "rename /d/a/b from /d/a/o else nothing 422 -, mode 775"},
    {"reject .*/b\n", "\"fileOp\":{\"rename\":\"a/o\"}",
     "remove /d/a/o from - else nothing 0 -, mode 775"},
};

static void events_are_planned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        char *text = memory_format(BROKER "directory /d\nmirror on\n%s", plans[i].rows);
        char *body = memory_format("{\"pubTime\":\"20250102T040000\",\"baseUrl\":\"http://h/\","
                                   "\"relPath\":\"a/b\",%s}",
                                   plans[i].members);
        struct config *config = must_load(text);
        struct error err = {0};
        struct judge *judge = judge_open(config, &err);
        struct announcement announcement;
        struct judgement judgement;
        char *plan;

        assert_non_null(judge);
        assert_true(parse_texts("application/json", body, NULL, &announcement, &err));
        judge_decide(judge, &announcement, time_of(NOW), &judgement);
        plan = print_plan(&judgement);
        if (!judgement.accepted || strcmp(plan, plans[i].plan) != 0)
            fail_msg("%s%s: %d '%s'", plans[i].rows, plans[i].members, judgement.code, plan);
        if (judgement.event.refuse_code && !judgement.event.refuse_reason)
            fail_msg("%s: refused without a reason", plans[i].members);
        free(plan);
        announcement_clear(&announcement);
        judge_close(judge);
        config_free(config);
        free(body);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_planned),
        cmocka_unit_test(ages_count_from_receiving),
        cmocka_unit_test(what_waited_goes_where_it_went_at_first),
    };

    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
