/*
 * check: what it says about configurations. `~` stands for the temporary directory in texts that
 * are compared; in configurations the loader knows it as home.
 */
#include "config_home.h"

#include "commands/commands.h"

#define SUB "~/.config/sr3/subscribe/"

/* What is printed, with '~', allocated. */
static char *check(const char *const *names, size_t count, bool *good, struct error *err)
{
    char *printed, *text;
    size_t size;
    FILE *out = open_memstream(&printed, &size);

    *err = (struct error){0};
    *good = check_run(names, count, out, err);
    fclose(out);
    text = shorten(printed);
    free(printed);
    return text;
}

/* ---- one configuration ---- */

/* Behind "broker amqps://dd.weather.gc.ca/", which is line 1. */
static const struct {
    const char *text;
    bool good;
    const char *says; /* a part of it; NULL: that all is well */
} cases[] = {
    {"queueName q\nmirror on\ndirectory ~/data\nsubtopic *.WXO-DD.model.#\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic #\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic 20261121.WXO-DD.x.#\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic *.*.x.#\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic today.x.#\n", true,
     "warning: " SUB "t.conf:5: subtopic, bound as 'v03.today.x.#': topics of this server have the "
     "source behind the date; write '*.WXO-DD.' in the place of the first '*.', or nothing will "
     "come\n"},
    {"queueName q\nmirror on\ndirectory ~\nexchange xs_me\nsubtopic alerts.#\n", true, NULL},

    /* the queue */
    {"queueName q_${HOSTNAME}\nmirror on\ndirectory ~\n", true,
     "warning: " SUB "t.conf:2: option 'queueName': each host or container gets a queue of its own "
     "and fetches every file\n"},
    {"queueName q_${RAND8}\nmirror on\ndirectory ~\n", true, "gets another name at each start"},
    {"mirror on\ndirectory ~\n", true, "is shared with everybody else"},

    /* subtopics */
    {"queueName q\nmirror on\ndirectory ~\ntopicPrefix v02.post\nsubtopic alerts.#\n", true,
     "warning: " SUB
     "t.conf:6: subtopic, bound as 'v02.post.alerts.#': topics of this server begin "
     "with a date and the source; write '*.WXO-DD.' in front, or nothing will come\n"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic *.model_hrdps.#\n", true,
     "in the place of the first '*.'"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic v02.post.#\n", true,
     "the prefix is in it twice"},
    {"queueName q\nmirror on\ndirectory ~\ntopicPrefix v02.post\nsubtopic v02.post.*.WXO-DD.#\n",
     true, "the prefix is in it twice"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic *.WXO-DD..x.#\n", true, "an empty level"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic /*/WXO-DD/#\n", true, "an empty level"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic *.WXO-DD.radar*.#\n", true, "for whole levels"},
    {"queueName q\nmirror on\ndirectory ~\nsubtopic None\n", true, "is bound to nothing"},

    /* Redis */
    {"queueName q\nmirror on\ndirectory ~\nretry_driver redis\n"
     "redisqueue_serverurl redis://:secret@h/x\n",
     false,
     "error: " SUB "t.conf:6: option 'redisqueue_serverurl': Redis URL: the database has to be a "
     "number, as in redis://host:6379/0\n"},
    {"queueName q\nmirror on\ndirectory ~\nretry_driver redis\n"
     "redisqueue_serverurl redis://:secret@h/3\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\nvip 192.0.2.1\nvip 300.1.1.1\n", false,
     "error: " SUB "t.conf:6: option 'vip': '300.1.1.1' is no address; write one such as "
     "192.0.2.1\n"},
    {"queueName q\nmirror on\ndirectory ~\nvip 192.0.2.1\nvip 2001:db8::1\n", true, NULL},

    /* directories */
    {"queueName q\nmirror on\ndirectory ~/file/x/y\n", false,
     "error: " SUB "t.conf:4: directory '~/file/x/y': '~/file' is not a directory\n"},
    {"queueName q\nmirror on\ndirectory ~/file\naccept .*a\ndirectory ~/data\naccept .*\n", false,
     "error: " SUB "t.conf:5: directory '~/file': '~/file' is not a directory\n"},
    {"queueName q\nmirror on\ndirectory ~/no/such/yet\n", true, NULL},

    /* mirror */
    {"queueName q\ndirectory ~\n", true, "warning: " SUB "t.conf: mirror is off: files of equal"},
    {"queueName q\ndirectory ~\nmirror off\n", true, "warning: " SUB "t.conf:4: mirror is off"},
    {"queueName q\ndirectory ~\nsubtopic 20261121.WXO-DD.x\n", true, NULL},
    {"queueName q\ndirectory ~\nacceptUnmatched off\nreject .*\n", true, NULL},
    {"queueName q\nmirror on\ndirectory ~\naccept .*a\nmirror off\naccept .*\n", true,
     "t.conf:6: option 'mirror': it changes behind an accept"},

    /* errors, all of them */
    {"queueName q\nmirror on\ndirectory ~\naccept .*(\nreject [a\n", false,
     "t.conf:5: accept pattern '.*('"},
    {"queueName q\nmirror on\ndirectory ~\naccept .*(\nreject [a\n", false,
     "t.conf:6: reject pattern '[a'"},
    {"queueName q\nmirror on\ndirectory ~\nstrip (\n", false, "error: "},
    {"director /x\nhousekeeping 5parsecs\nmirror on\n", false, "did you mean 'directory'?"},
    {"director /x\nhousekeeping 5parsecs\nmirror on\n", false, "t.conf:3: option 'housekeeping'"},
    {"broker amqp://alice@h/\ndirector /x\n", false, "t.conf:3: option 'director'"},
    {"broker amqp://alice@h/\n", false, "there is no password for user 'alice'"},
};

static void every_problem_is_said(void **state)
{
    static const char *const names[] = {"subscribe/t"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *config = memory_format(BROKER "%s", cases[i].text), *said;
        struct error err;
        bool good;

        write_file("subscribe/t.conf", config);
        said = check(names, 1, &good, &err);
        if (good != cases[i].good ||
            (cases[i].says ? !strstr(said, cases[i].says) : strcmp(said, "subscribe/t: ok\n") != 0))
            fail_msg("'%s': %s\n%s", cases[i].text, err.text, said);
        free(said);
        free(config);
    }
    remove_config("subscribe/t.conf");
}

/* ---- several ---- */

static void a_bad_file_stops_no_other(void **state)
{
    struct error err;
    bool good;
    char *said;

    (void)state;
    write_file("subscribe/a.conf", "nonsense\n");
    write_file("subscribe/b.conf", BROKER "queueName b\nmirror on\ndirectory ~\n");
    write_file("subscribe/c.conf", BROKER "queueName c\nmirror on\ndirectory ~\n\naccept *\n");
    write_file("subscribe/d.inc", "nonsense\n");
    said = check(NULL, 0, &good, &err);
    assert_false(good);
    assert_string_equal(err.text, "2 of 3 configurations cannot be run");
    assert_non_null(strstr(said, "a.conf:1: option 'nonsense'"));
    assert_non_null(strstr(said, "subscribe/a.conf: 1 error, 0 warnings\n"));
    assert_non_null(strstr(said, "subscribe/b.conf: ok\n"));
    assert_non_null(strstr(said, "subscribe/c.conf: 1 error, 0 warnings\n"));
    assert_null(strstr(said, ".inc"));
    free(said);
    for (const char *name = "abc"; *name; name++) {
        char *file = memory_format("subscribe/%c.conf", *name);

        remove_config(file);
        free(file);
    }
}

static const struct {
    const char *first, *second;
    const char *differs; /* NULL: nothing is said */
} pairs[] = {
    {"queueName q\n", "queueName q\n", NULL},
    {"queueName q\nsubtopic *.*.a.#\n", "queueName p\nsubtopic *.*.b.#\n", NULL},
    {"queueName q\nsubtopic *.*.a.#\n", "queueName q\nsubtopic *.*.b.#\n", "bindings"},
    {"queueName q\nsubtopic *.*.a.#\nsubtopic *.*.b.#\n",
     "queueName q\nsubtopic *.*.b.#\nsubtopic *.*.a.#\n", NULL},
    {"queueName q\naccept .*a\n", "queueName q\naccept .*b\n", "accept and reject lines"},
    {"queueName q\nacceptUnmatched off\n", "queueName q\n", "accept and reject lines"},
    {"queueName q\ndirectory ~/other\n", "queueName q\n", "directories"},
};

static void subscriptions_on_one_queue_must_agree(void **state)
{
    static const char *const names[] = {"subscribe/a", "subscribe/b"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        char *first = memory_format(BROKER "mirror on\ndirectory ~\n%s", pairs[i].first);
        char *second = memory_format(BROKER "mirror on\ndirectory ~\n%s", pairs[i].second);
        char *want =
            memory_format("a.conf and " SUB "b.conf share the queue 'q' but have different "
                          "%s: ",
                          pairs[i].differs ? pairs[i].differs : "");
        struct error err;
        char *said;
        bool good;

        write_file("subscribe/a.conf", first);
        write_file("subscribe/b.conf", second);
        said = check(names, 2, &good, &err);
        if (!good || (pairs[i].differs ? !strstr(said, want) : strstr(said, " share ") != NULL))
            fail_msg("pair %zu: %s", i, said);
        free(said);
        free(want);
        free(first);
        free(second);
    }
    remove_config("subscribe/a.conf");
    remove_config("subscribe/b.conf");
}

static void a_name_must_be_known(void **state)
{
    static const char *const names[] = {"subscribe/nosuch"};
    struct error err;
    bool good;
    char *said = check(names, 1, &good, &err);

    (void)state;
    assert_false(good);
    assert_non_null(strstr(said, "error: "));
    free(said);
}

static int make_file(void **state)
{
    if (make_home(state))
        return -1;
    write_file("../../file", "");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_problem_is_said),
        cmocka_unit_test(a_bad_file_stops_no_other),
        cmocka_unit_test(subscriptions_on_one_queue_must_agree),
        cmocka_unit_test(a_name_must_be_known),
    };

    return cmocka_run_group_tests(tests, make_file, remove_home);
}
