/* Values of options: what is read, what is refused, and how they are printed. */
#include "config_home.h"

#define BAD INT64_MIN

static const struct {
    const struct option_kind *kind;
    const char *text;
    int64_t value; /* BAD: must be refused */
} numbers[] = {
    {&option_DURATION, "0", 0},
    {&option_DURATION, "90", 90000},
    {&option_DURATION, "1.5s", 1500},
    {&option_DURATION, ".1", 100},
    {&option_DURATION, "5m", 300000},
    {&option_DURATION, "5M", 300000},
    {&option_DURATION, "2h", 7200000},
    {&option_DURATION, "1d", 86400000},
    {&option_DURATION, "1000d", 86400000000},
    {&option_DURATION, "1w", 604800000},
    {&option_DURATION, "1h30m", 5400000},
    {&option_DURATION, "1m30s", 90000},
    {&option_DURATION, "1m1.5s", 61500},
    {&option_DURATION, "1d12h", 129600000},
    {&option_DURATION, "2w3d", 1468800000},
    {&option_DURATION, "none", 0},
    {&option_DURATION, "Off", 0},
    {&option_DURATION, "false", 0},
    {&option_DURATION, "on", 300000},
    {&option_DURATION, "True", 300000},
    {&option_DURATION, "", BAD},
    {&option_DURATION, "m", BAD},
    {&option_DURATION, ".", BAD},
    {&option_DURATION, "-3s", BAD},
    {&option_DURATION, "3y", BAD},
    {&option_DURATION, "1d30m", BAD},
    {&option_DURATION, "1h5", BAD},
    {&option_DURATION, "1.5h30m", BAD},
    {&option_DURATION, "1s1s", BAD},
    {&option_DURATION, "5 parsecs", BAD},
    {&option_DURATION, "nan", BAD},
    {&option_DURATION, "inf", BAD},
    {&option_DURATION, "0x10", BAD},
    {&option_DURATION, "1e3", BAD},
    {&option_DURATION, "99999999999999d", BAD},
    {&option_COUNT, "25", 25},
    {&option_COUNT, "+3", 3},
    {&option_COUNT, "1k", 1000},
    {&option_COUNT, "1kb", 1024},
    {&option_COUNT, "5ki", 5120},
    {&option_COUNT, "1.5m", 1500000},
    {&option_COUNT, "-1", BAD},
    {&option_COUNT, "2.5", BAD},
    {&option_COUNT, "", BAD},
    {&option_COUNT, "many", BAD},
    {&option_COUNT, "3000000000", BAD},
    {&option_COUNT, "1x", BAD},
    {&option_SIZE, "4096", 4096},
    {&option_SIZE, "1k", 1000},
    {&option_SIZE, "1kb", 1024},
    {&option_SIZE, "1KiB", 1024},
    {&option_SIZE, "1MB", 1048576},
    {&option_SIZE, "7b", 7},
    {&option_SIZE, "1.5m", 1500000},
    {&option_SIZE, "2t", 2000000000000},
    {&option_SIZE, "1kk", BAD},
    {&option_SIZE, "k", BAD},
    {&option_SIZE, "-1k", BAD},
    {&option_SIZE, "99999999t", BAD},
    {&option_PERM, "0644", 0644},
    {&option_PERM, "755", 0755},
    {&option_PERM, "0", 0},
    {&option_PERM, "8", BAD},
    {&option_PERM, "", BAD},
    {&option_PERM, "u+x", BAD},
    {&option_PERM, "10000", BAD},
    {&option_FLAG, "", 1},
    {&option_FLAG, "TRUE", 1},
    {&option_FLAG, "yes", 1},
    {&option_FLAG, "on", 1},
    {&option_FLAG, "1", 1},
    {&option_FLAG, "y", 0},
    {&option_FLAG, "enabled", 0},
    {&option_FLAG, "False", 0},
    {&option_FLAG, "2", 0},
    {&option_CHOICE, "a", 0},
    {&option_CHOICE, "B", 1},
    {&option_CHOICE, "bb", 1},
    {&option_CHOICE, "c", 2},
    {&option_CHOICE, "b|bb", BAD},
    {&option_CHOICE, "d", BAD},
    {&option_CHOICE, "", BAD},
    {&option_SET, "a", 1},
    {&option_SET, "a,c", 5},
    {&option_SET, "b|c", 6},
    {&option_SET, "none", 0},
    {&option_SET, "all", 7},
    {&option_SET, "a,d", BAD},
};

static void numbers_are_parsed(void **state)
{
    static const struct option option = {.name = "x", .choices = "a,b|bb,c", .on = "300s"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        const struct option_kind *kind = numbers[i].kind;
        union {
            int64_t wide;
            int narrow;
        } target = {.wide = 0};
        struct error err = {0};
        bool parsed = kind->parse(&option, numbers[i].text, &target, &err);
        bool is_wide = kind == &option_DURATION || kind == &option_SIZE;
        int64_t value = is_wide ? target.wide : target.narrow;

        if (parsed != (numbers[i].value != BAD) || (parsed && value != numbers[i].value))
            fail_msg("row %zu, '%s': got %" PRId64 " (%s)", i, numbers[i].text, value, err.text);
        if (!parsed && err.kind != ERROR_OPERATOR)
            fail_msg("row %zu, '%s': error kind %d", i, numbers[i].text, (int)err.kind);
    }
}

static void sets_are_changed(void **state)
{
    static const struct option option = {.name = "x", .choices = "a,b,c"};
    static const struct {
        const char *text;
        unsigned before, after;
    } sets[] = {{"+a", 2, 3},    {"+a,c", 2, 7}, {"-b", 7, 5},   {"-a,b", 7, 4},
                {"+a,-b", 2, 1}, {"c", 3, 4},    {"-all", 7, 0}, {"+all", 0, 7}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct error err = {0};
        unsigned set = sets[i].before;

        if (!option_SET.parse(&option, sets[i].text, &set, &err) || set != sets[i].after)
            fail_msg("'%s': got %u (%s)", sets[i].text, set, err.text);
    }
}

static const struct {
    const struct option_kind *kind;
    const char *text;
    const char *value; /* "~" in front stands for home; NULL: unset; "BAD": refused */
} texts[] = {
    {&option_STRING, "a b", "a b"},
    {&option_STRING, "None", NULL},
    {&option_STRING, "none", "none"},
    {&option_PATH, "/a", "/a"},
    {&option_PATH, "//d//e/", "/d/e"},
    {&option_PATH, "/./a/.", "/a"},
    {&option_PATH, "/", "/"},
    {&option_PATH, "~", "~"},
    {&option_PATH, "~/x y", "~/x y"},
    {&option_PATH, "rel/dir", "~/rel/dir"},
    {&option_PATH, ".", "~"},
    {&option_PATH, "None", NULL},
    {&option_PATH, "~nobody-is-called-so/x", "BAD"},
    {&option_PATH, "/a/${1}", "BAD"},
    {&option_INFLIGHT, ".tmp", ".tmp"},
    {&option_INFLIGHT, ".", "."},
    {&option_INFLIGHT, "tmp/", "tmp/"},
    {&option_INFLIGHT, "None", NULL},
    {&option_INFLIGHT, "off", NULL},
    {&option_INFLIGHT, "/abs/", "/abs/"},
    {&option_INFLIGHT, "/abs", "BAD"},
    {&option_INFLIGHT, "../", "BAD"},
    {&option_INFLIGHT, "30", "BAD"},
    {&option_INFLIGHT, "umask", "BAD"},
    {&option_INFLIGHT, ".a/b", "BAD"},
    {&option_INFLIGHT, "", "BAD"},
};

static void texts_are_parsed(void **state)
{
    static const struct option option = {.name = "x"};

    (void)state;
    assert_int_equal(chdir(home), 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *wanted = texts[i].value ? texts[i].value : "unset";
        struct error err = {0};
        char *value = NULL, *full = NULL;
        bool parsed = texts[i].kind->parse(&option, texts[i].text, &value, &err);

        full = memory_format("%s%s", *wanted == '~' ? home : "", wanted + (*wanted == '~'));
        if (strcmp(parsed ? value ? value : "unset" : "BAD", full) != 0)
            fail_msg("'%s': got '%s' (%s)", texts[i].text, value ? value : "unset", err.text);
        free(value);
        free(full);
    }
}

static const struct {
    const struct option_kind *kind;
    const char *text, *printed; /* NULL: nothing */
} prints[] = {
    {&option_FLAG, "yes", "on"},
    {&option_FLAG, "0", "off"},
    {&option_DURATION, "90", "90s"},
    {&option_DURATION, "1h30m", "90m"},
    {&option_DURATION, "1.5", "1.5s"},
    {&option_DURATION, "0", "0s"},
    {&option_COUNT, "1k", "1000"},
    {&option_SIZE, "1kb", "1024"},
    {&option_FLOAT, "0.5", "0.5"},
    {&option_FLOAT, "2k", "2000"},
    {&option_PERM, "0644", "0644"},
    {&option_PERM, "0", "0"},
    {&option_STRING, "a b", "a b"},
    {&option_STRING, "None", NULL},
    {&option_STRIP, "3", "3"},
    {&option_STRIP, "00", NULL},
    {&option_STRIP, ".*?GIF/", ".*?GIF/"},
    {&option_STRIP, "None", NULL},
    {&option_FLATTEN, "-", "-"},
    {&option_FLATTEN, "/", NULL},
    {&option_LIST, "10.1.2.3", "10.1.2.3"},
    {&option_LIST, "None", NULL},
    {&option_TEMPLATE, "/d//${1}/", "/d/${1}"},
    {&option_TEMPLATE, "${PBD}//x/", "${PBD}//x/"},
    {&option_CHOICE, "bb", "b"},
    {&option_SET, "c,a", "a,c"},
    {&option_SET, "none", "none"},
    {&option_URL, "redis://:x@h/", "redis://:x@h/"},
};

static void values_are_printed(void **state)
{
    static const struct option option = {.name = "x", .choices = "a,b|bb,c,redis"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(prints); i++) {
        const struct option_kind *kind = prints[i].kind;
        const char *wanted = prints[i].printed ? prints[i].printed : "nothing";
        union {
            struct option_url url;
            struct option_list list;
        } target = {.url = {.text = NULL}};
        struct error err = {0};
        char *printed = NULL;

        if (kind->parse(&option, prints[i].text, &target, &err))
            printed = kind->print(&option, &target);
        if (strcmp(printed ? printed : "nothing", wanted) != 0)
            fail_msg("'%s': got '%s' (%s)", prints[i].text, printed ? printed : "nothing",
                     err.text);
        free(printed);
        if (kind->clear)
            kind->clear(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_parsed),
        cmocka_unit_test(sets_are_changed),
        cmocka_unit_test(texts_are_parsed),
        cmocka_unit_test(values_are_printed),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
