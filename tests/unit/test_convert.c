/*
 * `convert`: what it writes, what it says, and that the YAML means the same. For the latter every
 * file that is shipped or that other tests use is converted, read again and compared.
 */
#include "config_home.h"

#include "settings/conf_file.h"
#include "settings/convert.h"

#include <dirent.h>

#define SHIPPED   PROJECT_DIR "/config/subscribe"
#define TEST_SITE TEST_DATA "/config/sr3"

/* --- comparing ------------------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void check_same(const char *file, const char *what, size_t i, const char *a, const char *b)
{
    if (!is_same(a, b))
        fail_msg("%s: %s %zu: '%s' became '%s'", file, what, i, a ? a : "nothing",
                 b ? b : "nothing");
}

static void compare_options(const char *file, const struct config *a, const struct config *b)
{
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);
        const char *in_a = (const char *)a + option->offset;
        const char *in_b = (const char *)b + option->offset;
        char *x, *y;

        if (!option->kind->print) {
            if (*(const size_t *)in_a != *(const size_t *)in_b)
                fail_msg("%s: option '%s': there are %zu and %zu lines", file, option->name,
                         *(const size_t *)in_a, *(const size_t *)in_b);
            continue;
        }
        x = option->kind->print(option, in_a);
        y = option->kind->print(option, in_b);
        check_same(file, option->name, 0, x, y);
        free(x);
        free(y);
    }
}

static void compare_rules(const char *file, const struct config *a, const struct config *b)
{
    assert_int_equal(a->rule_count, b->rule_count);
    for (size_t i = 0; i < a->rule_count; i++) {
        const struct config_rule *x = &a->rules[i], *y = &b->rules[i];

        assert_int_equal(x->accept, y->accept);
        check_same(file, "pattern of rule", i, x->pattern, y->pattern);
        check_same(file, "directory of rule", i, x->directory, y->directory);
        check_same(file, "strip of rule", i, x->strip, y->strip);
        check_same(file, "flatten of rule", i, x->flatten, y->flatten);
        check_same(file, "filename of rule", i, x->filename, y->filename);
    }
}

static void compare_pairs(const char *file, const struct config_variable *a, size_t count,
                          const struct config_variable *b, size_t count_of_b)
{
    assert_int_equal(count, count_of_b);
    for (size_t i = 0; i < count; i++) {
        check_same(file, "name", i, a[i].name, b[i].name);
        check_same(file, "value", i, a[i].value, b[i].value);
    }
}

static void compare(const char *file, const struct config *a, const struct config *b)
{
    compare_options(file, a, b);
    compare_rules(file, a, b);
    assert_int_equal(a->binding_count, b->binding_count);
    for (size_t i = 0; i < a->binding_count; i++) {
        check_same(file, "exchange", i, a->bindings[i].exchange, b->bindings[i].exchange);
        check_same(file, "topic", i, a->bindings[i].topic, b->bindings[i].topic);
    }
    compare_pairs(file, a->environment, a->environment_count, b->environment, b->environment_count);
    compare_pairs(file, a->headers, a->header_count, b->headers, b->header_count);
    check_same(file, "process name", 0, a->process_name, b->process_name);
    check_same(file, "broker", 0, a->broker_url, b->broker_url);
    check_same(file, "vhost", 0, a->broker_vhost, b->broker_vhost);
    check_same(file, "queue", 0, a->queue, b->queue);
    check_same(file, "nodupe base", 0, a->nodupe_base, b->nodupe_base);
    check_same(file, "log path", 0, a->log_path, b->log_path);
    check_same(file, "metrics path", 0, a->metrics_path, b->metrics_path);
}

/* --- files ----------------------------------------------------------------------------------- */

/* What is written and noted, both allocated. */
static bool convert(const char *name, char **yaml, char **notes, struct error *err)
{
    const struct config_request request = {.name = name, .instance = 2};
    size_t yaml_size, notes_size;
    FILE *out = open_memstream(yaml, &yaml_size), *told = open_memstream(notes, &notes_size);
    bool done = convert_print(&request, out, told, err);

    fclose(out);
    fclose(told);
    return done;
}

static struct config *load_named(const char *name, struct error *err)
{
    const struct config_request request = {.name = name, .instance = 2};

    *err = (struct error){0};
    return config_load(&request, err);
}

/* Puts `yaml` in the place of subscribe/NAME.conf, loads it and compares. */
static void check_yaml(const char *name, const struct config *before, const char *yaml)
{
    char *conf = memory_format("subscribe/%s.conf", name);
    char *path = memory_format("subscribe/%s.yaml", name);
    struct error err;
    struct config *after;

    remove_config(conf);
    write_file(path, yaml);
    after = load_named(name, &err);
    if (!after)
        fail_msg("%s: %s\n%s", name, err.text, yaml);
    compare(name, before, after);
    config_free(after);
    remove_config(path);
    free(conf);
    free(path);
}

/* Copies the files of `from`, a directory, to the directory `to` of the configurations. */
static void copy_files(const char *from, const char *to)
{
    DIR *list = opendir(from);

    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        char *path = memory_format("%s/%s", from, entry->d_name);
        char *name = memory_format("%s%s", to, entry->d_name), *text = NULL;
        struct error err = {0};
        size_t size;

        if (*entry->d_name != '.' && conf_file_read(path, &text, &size, &err))
            write_file(name, text);
        free(text);
        free(name);
        free(path);
    }
    closedir(list);
}

static bool ends_in_conf(const char *name)
{
    return strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".conf");
}

/* Converts each NAME.conf of `directory`; how many there were. */
static size_t convert_all(const char *directory)
{
    DIR *list = opendir(directory);
    size_t count = 0;

    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        char *name = memory_copy_bytes(entry->d_name, strcspn(entry->d_name, "."));
        char *yaml, *notes;
        struct error err = {0};
        struct config *before = NULL;

        if (ends_in_conf(entry->d_name))
            before = load_named(name, &err);
        if (before) {
            assert_true(convert(name, &yaml, &notes, &err));
            check_yaml(name, before, yaml);
            count++;
            free(yaml);
            free(notes);
        }
        config_free(before);
        free(name);
    }
    closedir(list);
    return count;
}

static void files_mean_the_same(void **state)
{
    (void)state;
    setenv("FEED_USER", "feed", 1);
    copy_files(TEST_SITE, "");
    copy_files(TEST_SITE "/subscribe", "subscribe/");
    assert_true(convert_all(TEST_SITE "/subscribe") >= 3);
    remove_config("default.conf");
    copy_files(SHIPPED, "subscribe/");
    assert_true(convert_all(SHIPPED) >= 2);
    unsetenv("FEED_USER");
}

/* The files in config/subscribe/yaml are the converted ones of config/subscribe. */
static void shipped_twins_mean_the_same(void **state)
{
    static const char *const names[] = {"dd_all", "dd_all_local"};

    (void)state;
    copy_files(SHIPPED, "subscribe/");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path = memory_format(SHIPPED "/yaml/%s.yaml", names[i]), *text;
        struct error err;
        struct config *before = load_named(names[i], &err);
        size_t size;

        assert_non_null(before);
        assert_true(conf_file_read(path, &text, &size, &err));
        check_yaml(names[i], before, text);
        config_free(before);
        free(text);
        free(path);
    }
}

/* --- what is written and said ---------------------------------------------------------------- */

#define T "~/.config/sr3/subscribe/t.conf:"
#define Y "broker: amqps://dd.weather.gc.ca/\n"

static const struct {
    const char *conf, *yaml, *notes;
} cases[] = {
    {BROKER "mirror\ntimeout 5m\n", Y "mirror: on\ntimeout: 5m\n", ""},
    {"# who\n\n  # what\n" BROKER "# end\n", "# who\n\n# what\n" Y "# end\n", ""},
    {BROKER "mirror Maybe\n", Y "mirror: off\n", ""},
    {BROKER "batch 3\nbatch 4\n", Y "batch: 4\n", ""},
    {BROKER "batch 3 4\nsubtopic *.a.#\n", Y "batch: 3\nsubtopic:\n  - \"*.a.#\"\n", ""},
    {BROKER "directory /a\n# one\naccept x\ndirectory /b\nreject .*\\d: TIME # c\nfilename None\n",
     Y "directory: /b\nfilename: None\n# one\nrules:\n  - accept: x\n    directory: /a\n"
       "  - reject: '.*\\d:'\n    filename: TIME\n",
     ""},
    {BROKER "accept x\nstrip 3\nflatten -\naccept y\ndirectory /d\n",
     Y "strip: 3\nflatten: \"-\"\ndirectory: /d\nrules:\n  - accept: x\n    directory: null\n"
       "    strip: null\n    flatten: null\n  - accept: y\n    directory: null\n",
     ""},
    {BROKER "exchangeSuffix a\nsubtopic a\nexchangeSuffix b\nsubtopic None\n",
     "exchange: xpublic_a\n" Y "subtopic:\n  - a\n  - None\nexchangeSuffix: b\n", ""},
    {BROKER "subtopic a\ntopicPrefix v02\nexchange x\nsubtopic b\n",
     Y "subtopic:\n  - topic: a\n    exchange: xpublic\n    topicPrefix: v03\n  - b\n"
       "topicPrefix: v02\nexchange: x\n",
     ""},
    {BROKER "declare env A=a\ndeclare env B=x y\ndirectory /${A}/${NOSUCH}\n",
     Y "env:\n  A: a\n  B: x y\ndirectory: /${A}/${NOSUCH}\n", ""},
    {BROKER "directory /a\nlogFile ${DIRECTORY}/log\ndirectory /b\n",
     Y "logFile: /a/log\ndirectory: /b\n",
     T "3: option 'logFile': a variable in it depends on what stands above; its value is written "
       "instead\n"},
    {"queueName q_${BROKER_USER}\n" BROKER, "queueName: q_${BROKER_USER}\n" Y,
     T "1: option 'queueName': a variable in it has no value here, above the line it depends on; "
       "in YAML it has\n"},
    {BROKER "declare env A=a\ndirectory /${A}\ndeclare env A=b\n",
     Y "env:\n  A: b\ndirectory: /${A}\n",
     T "2: option 'declare': it is set again below; only the last value is written, and counts "
       "everywhere\n" T "4: option 'declare': the variable is used above, where it is not "
       "declared yet; in YAML it has this value there too\n"},
    {BROKER "fileEvents create\nfileEvents +link,-create\nvip 1\nvip None\nvip 2\n",
     Y "fileEvents: create,+link,-create\nvip:\n  - None\n  - 2\n", ""},
    {BROKER "header a=b: c\nheader n= x\n", Y "header:\n  a: \"b: c\"\n  n: \" x\"\n", ""},
    {BROKER "sum z,d\nkbytes_ps 3\nno_download\nlog_reject\n",
     Y "identity: cod,md5\nbyteRateMax: 3ki\ndownload: off\nlogReject: on\n", ""},
    {BROKER "queueName \xe9\n", Y "queueName: \xe9\n",
     T
     "2: option 'queueName': it has bytes that are not UTF-8, which YAML cannot; write it anew\n"},
    {BROKER "callback log\nqueue_name q\n", Y "queueName: q\n",
     T "2: option 'callback': has no effect here; left out\n"},
    {BROKER "do_download x\n", Y,
     T "2: option 'do_download': python code is not run; sr3sub fetches files by itself, over "
       "http and https; left out\n"},
    {BROKER "director /a\ntimeout 3y\nmirror on\n", Y "mirror: on\n",
     T "2: option 'director' is unknown; did you mean 'directory'?; left out\n" T
       "3: option 'timeout': '3y' is no duration; write a duration such as 90, 1.5s, 5m, 2h, 1d, "
       "3w or 1h30m; left out\n"},
    {BROKER "include t.inc\nbatch 4\ninclude no.inc\n", Y "# of t\nprefetch: 3\nbatch: 4\n",
     T "4: option 'include': read '~/.config/sr3/no.inc': No such file or directory; left out\n"
       "~/.config/sr3/subscribe/t.inc:1: what this included file sets is written out; later "
       "changes to it will not be seen\n"},
    {BROKER "logFormat a: b #c\nmetricsFilename it's: \\x\nfilename ~\nqueueName 'q\n",
     Y "logFormat: \"a: b #c\"\nmetricsFilename: 'it''s: \\x'\nfilename: \"~\"\n"
       "queueName: \"'q\"\n",
     ""},
};

static void lines_are_converted(void **state)
{
    (void)state;
    write_file("subscribe/t.inc", "# of t\nprefetch 3\n");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct error err;
        struct config *before;
        char *yaml, *notes, *text;

        write_file("subscribe/t.conf", cases[i].conf);
        before = load_named("t", &err);
        assert_true(convert("t", &yaml, &notes, &err));
        text = shorten(notes);
        if (strcmp(yaml, cases[i].yaml) != 0 || strcmp(text, cases[i].notes) != 0)
            fail_msg("'%s':\n got %s%swant %s%s", cases[i].conf, yaml, text, cases[i].yaml,
                     cases[i].notes);
        if (before && !strstr(text, "in YAML it has") && !strstr(text, "UTF-8"))
            check_yaml("t", before, yaml);
        config_free(before);
        remove_config("subscribe/t.conf");
        free(yaml);
        free(notes);
        free(text);
    }
}

static void what_cannot_be_converted_is_refused(void **state)
{
    struct error err = {0};
    char *yaml, *notes, *text;

    (void)state;
    assert_false(convert("nosuch", &yaml, &notes, &err));
    assert_string_equal(yaml, "");
    free(yaml);
    free(notes);
    write_file("subscribe/t.yaml", Y);
    assert_false(convert("t", &yaml, &notes, &err));
    text = shorten(err.text);
    assert_string_equal(text, "'~/.config/sr3/subscribe/t.yaml' is in YAML already");
    free(text);
    free(yaml);
    free(notes);
    remove_config("subscribe/t.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_mean_the_same),
        cmocka_unit_test(shipped_twins_mean_the_same),
        cmocka_unit_test(lines_are_converted),
        cmocka_unit_test(what_cannot_be_converted_is_refused),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
