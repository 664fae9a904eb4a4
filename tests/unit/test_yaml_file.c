/* Configurations in YAML: the settings they make, their effect, and what is said of wrong ones. */
#include "config_home.h"

#include "settings/yaml_file.h"

static struct config *load_yaml(const char *text, struct error *err)
{
    const struct config_request request = {.name = "subscribe/t"};

    *err = (struct error){0};
    write_file("subscribe/t.yaml", text);
    return config_load(&request, err);
}

static struct config *must_load_yaml(const char *text)
{
    struct error err;
    struct config *config = load_yaml(text, &err);

    if (!config)
        fail_msg("'%s': %s", text, err.text);
    return config;
}

/* --- settings and their order ---------------------------------------------------------------- */

static char *no_variable(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "A") ? NULL : memory_copy("value of a");
}

static bool no_file(void *context, const char *name, char **path, char **text, size_t *size_bytes,
                    struct error *err)
{
    static const char common[] = "directory: /common\nsubtopic: c.#\nrules:\n  - reject: c\n"
                                 "env: {C: c}\n";

    (void)context;
    if (strcmp(name, "common.yaml") != 0)
        return error_set(err, ERROR_OPERATOR, "read '%s': there is no such file", name);
    *path = memory_copy(name);
    *text = memory_copy(common);
    *size_bytes = strlen(common);
    return true;
}

static void no_warning(void *context, const char *text)
{
    (void)context;
    fail_msg("%s", text);
}

static const struct {
    const char *yaml, *settings; /* ! for the next rule only, - back to the default */
} plans[] = {
    {"", ""},
    {"# nothing\n---\n# at all\n", ""},
    {"mirror: on\n", "mirror=on;"},
    {"\xef\xbb\xbfmirror: \"on\"\n", "mirror=on;"},
    {"subtopic: [a, 'b.#']\nbroker: amqp://h/\n", "broker=amqp://h/;subtopic=a;subtopic=b.#;"},
    {"rules:\n  - accept: x\n    directory: /y\n    strip: null\n  - {reject: '.*'}\n"
     "mirror: off\ndirectory: /d\n",
     "mirror=off;directory=/d;!directory=/y;!-strip=;accept=x;reject=.*;"},
    {"subtopic:\n  - topic: a\n    exchange: e\n    topicPrefix: v02\n  - b\nexchange: f\n",
     "exchange=f;!exchange=e;!topicPrefix=v02;subtopic=a;subtopic=b;"},
    {"post_broker: amqp://p/\nenv: {X: 1, Y: ''}\nheader: {a: b c}\n",
     "declare=env X=1;declare=env Y=;post_broker=amqp://p/;header=a=b c;"},
    {"fileEvents: [create, modify]\nlogEvents: []\nvip: [10.0.0.1, 10.0.0.2]\n",
     "fileEvents=create,modify;logEvents=none;vip=10.0.0.1;vip=10.0.0.2;"},
    {"directory: ${A}/${B}/$C\ntimeout: ~\n", "directory=value of a/${B}/$C;-timeout=;"},
    {"directory: /own\nenv: {C: own}\nsubtopic: o\nrules: [{accept: o}]\ninclude: common.yaml\n",
     "declare=env C=c;declare=env C=own;directory=/common;directory=/own;subtopic=c.#;subtopic=o;"
     "reject=c;accept=o;"},
};

static void settings_come_in_order(void **state)
{
    const struct conf_host host = {NULL, no_variable, no_file, no_warning};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(plans); i++) {
        struct error err = {0};
        struct yaml_file *file =
            yaml_file_open_memory("t.yaml", plans[i].yaml, strlen(plans[i].yaml), &host, &err);
        struct conf_setting setting;
        char *got = memory_copy("");

        if (!file)
            fail_msg("'%s': %s", plans[i].yaml, err.text);
        while (yaml_file_take(file, &setting, &err))
            memory_replace(&got, memory_format("%s%s%s%s=%s;", got, setting.for_next ? "!" : "",
                                               setting.use_default ? "-" : "", setting.name,
                                               setting.value));
        assert_int_equal(err.kind, ERROR_NONE);
        assert_string_equal(got, plans[i].settings);
        free(got);
        yaml_file_close(file);
    }
}

static void places_count_letters(void **state)
{
    static const char text[] = "# \xc3\xa9\n'mirror':   on\ndirectory: \"/\xc3\xa9\"\n";
    const struct conf_host host = {NULL, no_variable, no_file, no_warning};
    struct error err = {0};
    struct yaml_file *file = yaml_file_open_memory("t.yaml", text, strlen(text), &host, &err);
    struct conf_setting setting;

    (void)state;
    assert_non_null(file);
    assert_true(yaml_file_take(file, &setting, &err));
    assert_string_equal(setting.file, "t.yaml");
    assert_int_equal(setting.line, 2);
    assert_int_equal(setting.column, 13);
    assert_true(yaml_file_take(file, &setting, &err));
    assert_int_equal(setting.column, 12);
    yaml_file_close(file);
}

/* --- effect ---------------------------------------------------------------------------------- */

#define Y_BROKER "broker: amqps://dd.weather.gc.ca/\n"

static void rules_have_their_own_values(void **state)
{
    struct config *config =
        must_load_yaml("directory: /data\nfilename: WHATFN\n" Y_BROKER "rules:\n"
                       "  - accept: a\n    directory: /a\n    strip: 3\n"
                       "  - accept: b\n    filename: null\n"
                       "  - reject: c\n");

    (void)state;
    assert_int_equal(config->rule_count, 3);
    assert_string_equal(config->rules[0].directory, "/a");
    assert_string_equal(config->rules[0].strip, "3");
    assert_string_equal(config->rules[0].filename, "WHATFN");
    assert_string_equal(config->rules[1].directory, "/data");
    assert_null(config->rules[1].strip);
    assert_null(config->rules[1].filename);
    assert_false(config->rules[2].accept);
    assert_string_equal(config->rules[2].filename, "WHATFN");
    assert_int_equal(config->rules[2].line, 10);
    assert_string_equal(config->directory, "/data");
    assert_int_equal(config->origins[CONFIG_OPTION_directory].line, 1);
    assert_null(config->strip);
    assert_null(config->origins[CONFIG_OPTION_strip].file);
    config_free(config);
}

static void bindings_have_their_own_values(void **state)
{
    struct config *config = must_load_yaml(Y_BROKER "subtopic:\n"
                                                    "  - topic: a\n    exchange: xa\n"
                                                    "  - topic: b\n    topicPrefix: v02.post\n"
                                                    "  - c/#\n"
                                                    "topicPrefix: v03\n");
    static const char *const wanted[][2] = {
        {"xa", "v03.a"}, {"xpublic", "v02.post.b"}, {"xpublic", "v03.c.#"}};

    (void)state;
    assert_int_equal(config->binding_count, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_string_equal(config->bindings[i].exchange, wanted[i][0]);
        assert_string_equal(config->bindings[i].topic, wanted[i][1]);
    }
    assert_string_equal(config->topic_prefix, "v03");
    config_free(config);
}

/* The example of config/README.md. */
static void the_manual_is_right(void **state)
{
    char *text, *start, *end;
    struct error err = {0};
    struct config *config;
    size_t size;

    (void)state;
    assert_true(conf_file_read(PROJECT_DIR "/config/README.md", &text, &size, &err));
    start = strstr(text, "```yaml\n");
    assert_non_null(start);
    start += strlen("```yaml\n");
    end = strstr(start, "```");
    assert_non_null(end);
    *end = '\0';
    write_file("subscribe/common.yaml", "batch: 3\n");
    config = must_load_yaml(start);
    assert_int_equal(config->rule_count, 2);
    assert_int_equal(config->binding_count, 2);
    assert_string_equal(config->rules[0].directory, "/data/auto");
    assert_string_equal(config->rules[1].directory, "/data/swob");
    assert_string_equal(config->headers[0].value, "north");
    remove_config("subscribe/common.yaml");
    config_free(config);
    free(text);
}

static void null_is_the_default(void **state)
{
    struct config *config;

    (void)state;
    write_file("default.conf", "directory /default\nretry_ttl 5\nqueueName q\nbatch 3\n");
    config = must_load_yaml(Y_BROKER "directory: null\nretry_ttl: ~\nqueueName: null\n"
                                     "batch: null\nexpire: 10m\n");
    remove_config("default.conf");
    assert_string_equal(config->directory, home);
    assert_int_equal(config->retry_ttl_ms, 600000);
    assert_null(config->queue_name);
    assert_int_equal(config->batch, 25);
    config_free(config);
}

static void variables_are_those_of_conf_files(void **state)
{
    struct config *config = must_load_yaml("directory: ${SITE}/${CONFIG}/${1}\nenv:\n  SITE: /n\n"
                                           "queueName: q_${BROKER_USER}_${NOSUCH}\n" Y_BROKER);

    (void)state;
    assert_string_equal(config->directory, "/n/t/${1}");
    assert_string_equal(config->queue, "q_anonymous_${NOSUCH}");
    config_free(config);
}

static void files_are_included(void **state)
{
    struct config *config;

    (void)state;
    write_file("subscribe/a.yaml", Y_BROKER "directory: /a\nbatch: 3\ninclude: ../b.yaml\n");
    write_file("b.yaml", "batch: 4\nprefetch: 5\n");
    config = must_load_yaml("include: [a.yaml]\ndirectory: /own\n");
    assert_string_equal(config->directory, "/own");
    assert_int_equal(config->batch, 3);
    assert_int_equal(config->prefetch, 5);
    remove_config("subscribe/a.yaml");
    remove_config("b.yaml");
    config_free(config);
}

static void names_are_looked_for(void **state)
{
    const struct config_request request = {.name = "subscribe/t.yaml"};
    struct error err = {0};
    struct config *config;

    (void)state;
    write_file("subscribe/t.yaml", Y_BROKER);
    config = config_load(&request, &err);
    assert_non_null(config);
    assert_string_equal(config->name, "t");
    config_free(config);
    write_file("subscribe/t.conf", BROKER);
    config = config_load(&request, &err);
    assert_null(config);
    char *text = shorten(err.text);
    assert_string_equal(text, "there are both '~/.config/sr3/subscribe/t.conf' and "
                              "'~/.config/sr3/subscribe/t.yaml'; give one of them another name");
    free(text);
    remove_config("subscribe/t.conf");
}

/* --- wrong files ----------------------------------------------------------------------------- */

#define T "~/.config/sr3/subscribe/t.yaml:"
#define QUOTE                                                                                      \
    "a text that begins with one of * & ! % @ ` [ ] { } | > # has to be in quotes: \"...\""

static const struct {
    const char *yaml, *text;
} wrong[] = {
    {"", T " there is no broker; add a line such as 'broker amqps://dd.weather.gc.ca/'"},
    {Y_BROKER "director: /data\n", T "2:1: 'director' is unknown; did you mean 'directory'?"},
    {Y_BROKER "rulez:\n  - accept: x\n", T "2:1: 'rulez' is unknown; did you mean 'rules'?"},
    {Y_BROKER "xyzzy: 1\n", T "2:1: 'xyzzy' is unknown; remove it, or put '#' in front of it"},
    {Y_BROKER "queue_name: q\n", T "2:1: 'queue_name' is an older name; write 'queueName'"},
    {Y_BROKER "discard: on\n",
     T "2:1: 'discard' is a name of older files; `sr3sub convert` writes what it means"
       " today"},
    {Y_BROKER "callback: log\n", T "2:1: 'callback' has no effect in sr3sub; remove it"},
    {Y_BROKER "accept: .*\n",
     T "2:1: 'accept' belongs into the list of rules; write 'rules:' and below it '  -"
       " accept: PATTERN'"},
    {Y_BROKER "declare: env A=b\n",
     T "2:1: 'declare' is not written like this in YAML; write 'env: {NAME: value}'"},
    {Y_BROKER "mirror: maybe\n",
     T "2:9: option 'mirror': 'maybe' is neither on nor off; write on or off"},
    {Y_BROKER "mirror:\n",
     T "2:8: option 'mirror': the value is missing; write on or off ('#' begins a "
       "comment, so a text with it goes in quotes: \"#\")"},
    {Y_BROKER "subtopic: #\n",
     T "2:10: option 'subtopic': the value is missing; write a topic, such as \"#\" "
       "('#' begins a comment, so a text with it goes in quotes: \"#\")"},
    {Y_BROKER "subtopic: *.WXO-DD.#\n",
     T "2:12: did not find expected alphabetic or numeric character; " QUOTE},
    {Y_BROKER "subtopic: *abc\n",
     T "2:11: an alias, which has no place here; a text that begins with '*' has to be"
       " in quotes: \"*...\""},
    {Y_BROKER "subtopic: &x a\n",
     T "2:11: an anchor or tag, which has no place here; a text that begins with '&' "
       "or '!' has to be in quotes: \"...\""},
    {Y_BROKER "batch: !!int 3\n",
     T "2:8: an anchor or tag, which has no place here; a text that begins with '&' or"
       " '!' has to be in quotes: \"...\""},
    {Y_BROKER "housekeeping: 0\n",
     T "2:15: option 'housekeeping': '0' is out of range; write a duration from 1s to "
       "1d"},
    {Y_BROKER "timeout: 3y\n",
     T "2:10: option 'timeout': '3y' is no duration; write a duration such as 90, "
       "1.5s, 5m, 2h, 1d, 3w or 1h30m"},
    {Y_BROKER "tlsRigour:   tight\n",
     T "2:14: option 'tlsRigour': 'tight' is unknown; write one of: lax,normal,strict"},
    {Y_BROKER "batch: [3]\n", T "2:8: option 'batch': here is a list; write a text"},
    {Y_BROKER "directory: {a: b}\n", T "2:12: option 'directory': here is a map; write a text"},
    {Y_BROKER "directory: /a\nmirror: on\ndirectory: /b\n",
     T "4:1: 'directory' stands in line 2 already; keep one of them"},
    {Y_BROKER "---\nmirror: on\n", T "2:1: a second document; one file holds one configuration"},
    {Y_BROKER "rules:\n\t- accept: x\n",
     T "3:1: a tab in front of the text; indent with blanks, two for each level"},
    {Y_BROKER "directory: /\xe9t\xe9\n",
     T "2:13: a byte that is not UTF-8; save the file as UTF-8"},
    {Y_BROKER "# \xc3\xa9\ndirectory: \x01\n", T "3:12: a control character; remove it"},
    {Y_BROKER "env: {A: [[[[[[[[1]]]]]]]]}\n",
     T "2:16: lists and maps within each other, more than 8 deep"},
    {Y_BROKER "env: {1A: x}\n", T "2:7: '1A' cannot name a variable; write letters, digits and _"},
    {Y_BROKER "header: {a=b: x}\n", T "2:10: 'a=b' cannot name a header; write a name without '='"},
    {Y_BROKER "rules: .*\n",
     T "2:8: option 'rules': here is a text; write a list of '- accept: PATTERN'"},
    {Y_BROKER "rules:\n  - .*\n",
     T "3:5: option 'rules': here is a text; write '- accept: PATTERN' or '- reject: "
       "PATTERN'"},
    {Y_BROKER "rules:\n  - directory: /d\n",
     T "3:5: a rule without accept or reject; write '- accept: PATTERN'"},
    {Y_BROKER "rules:\n  - accept: a\n    reject: b\n",
     T "4:5: one rule with both accept and reject; write two, in the order they are "
       "tried"},
    {Y_BROKER "rules:\n  - accept: a\n    mirror: on\n",
     T "4:5: 'mirror' does not belong to a rule; write it at the start of a line, for "
       "the whole file"},
    {Y_BROKER "rules:\n  - acept: a\n", T "3:5: 'acept' is unknown; did you mean 'accept'?"},
    {Y_BROKER "rules:\n  - accept: a DESTFN=b\n",
     T "3:13: option 'accept': a blank in a pattern; write \\s for it, and a rule for "
       "file names under the key filename"},
    {Y_BROKER "rules:\n  - accept: [a-z].*\n",
     T "3:18: did not find expected key; the keys of a map begin in the same column; a"
       " text that begins with a quote or bracket and goes on behind it has to be in "
       "quotes as a whole"},
    {Y_BROKER "subtopic:\n  - exchange: x\n",
     T "3:5: a subtopic without topic; write '- topic: \"#\"'"},
    {Y_BROKER "queueName: q:\n  x: y\n",
     T "2:13: mapping values are not allowed in this context; a text with ': ' in it "
       "has to be in quotes, and the keys of a map begin in the same column"},
    {Y_BROKER " mirror: on\n",
     T "2:8: mapping values are not allowed in this context; a text with ': ' in it "
       "has to be in quotes, and the keys of a map begin in the same column"},
    {Y_BROKER "directory: a: b\n",
     T "2:13: mapping values are not allowed in this context; a text with ': ' in it "
       "has to be in quotes, and the keys of a map begin in the same column"},
    {Y_BROKER "directory: %a\n", T "2:12: found character that cannot start any token; " QUOTE},
    {Y_BROKER "directory: \"/a\n", T "2:12: found unexpected end of stream; close the quotes"},
    {Y_BROKER "directory: \"\\d\"\n",
     T "2:13: found unknown escape character; in double quotes a backslash is special,"
       " in single quotes it is not: '...'"},
    {Y_BROKER "vip: [a, b\n",
     T "2:6: did not find expected ',' or ']'; close the bracket; texts with , [ ] { }"
       " in them have to be in quotes there"},
    {Y_BROKER "directory: |\n  /a\n",
     T "2:12: a line break or control character in a text; write it in one line, "
       "without | or >"},
    {Y_BROKER "directory:/a\n",
     T "2:1: could not find expected ':'; write 'key: value', with a colon and a blank"},
    {Y_BROKER "? [a]\n: b\n", T "2:3: a key has to be a text: 'key: value'"},
    {Y_BROKER "include: nosuch.yaml\n",
     T "2:10: include: read '~/.config/sr3/nosuch.yaml': No such file or directory"},
    {Y_BROKER "include: common.inc\n",
     T "2:10: 'common.inc' is no YAML file; write a name that ends in .yaml"},
    {Y_BROKER "include: t.yaml\n",
     T "2:10: files include each other more than 16 deep; perhaps in a circle"},
    {"broker amqps://dd.weather.gc.ca/\n",
     T "1:1: a text; write lines such as 'broker: amqps://dd.weather.gc.ca/' (a file "
       "whose lines have no colon is called NAME.conf)"},
    {"broker amqps://dd.weather.gc.ca/\nmirror: on\n",
     T "2:7: mapping values are not allowed in this context; a text with ': ' in it "
       "has to be in quotes, and the keys of a map begin in the same column"},
    {"- mirror: on\n",
     T "1:1: a list; write lines such as 'broker: amqps://dd.weather.gc.ca/' (a file "
       "whose lines have no colon is called NAME.conf)"},
    {"subtopic: '#'\n", T "1:11: option 'subtopic': the broker line has to stand above it"},
    {"broker: amqps://bob:secret@h/ x\n",
     T "1:9: option 'broker': a blank in the value; write one word"},
    {"amqps://bob:secret@h/: x\n",
     T "1:1: 'amqps://...@h/' is unknown; remove it, or put '#' in front of it"},
};

static void wrong_files_are_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct error err;
        struct config *config = load_yaml(wrong[i].yaml, &err);
        char *text = shorten(err.text);

        if (config || err.kind != ERROR_OPERATOR || strcmp(text, wrong[i].text) != 0)
            fail_msg("'%s':\n got %s\nwant %s", wrong[i].yaml, config ? "a config" : text,
                     wrong[i].text);
        free(text);
    }
}

/* A file with `count` times `item` between `start` and `end`. */
static void check_bound(const char *start, const char *item, size_t count, const char *end,
                        const char *wanted)
{
    size_t length = strlen(item);
    char *middle = memory_resize(NULL, count * length + 1, 1), *text, *got;
    struct error err;
    struct config *config;

    for (size_t i = 0; i < count; i++)
        memcpy(middle + i * length, item, length);
    middle[count * length] = '\0';
    text = memory_format("%s%s%s", start, middle, end);
    config = load_yaml(text, &err);
    got = shorten(err.text);
    assert_null(config);
    assert_string_equal(got, wanted);
    free(got);
    free(text);
    free(middle);
}

static void everything_is_bounded(void **state)
{
    (void)state;
    check_bound("vip:\n", "- a\n", 100001, "",
                T "100000:3: more than 100000 texts, lists and maps");
    check_bound("# ", "x", 1 << 20, "\n", T " the file is larger than 1 MiB");
    check_bound("vip: ", "[", 100000, "",
                T "1:13: lists and maps within each other, more than 8 deep");
    check_bound("include: [", "t.yaml, ", 2, "]\n",
                T "1:11: files include each other more than 16 deep; perhaps in a circle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_come_in_order),
        cmocka_unit_test(places_count_letters),
        cmocka_unit_test(rules_have_their_own_values),
        cmocka_unit_test(bindings_have_their_own_values),
        cmocka_unit_test(the_manual_is_right),
        cmocka_unit_test(null_is_the_default),
        cmocka_unit_test(variables_are_those_of_conf_files),
        cmocka_unit_test(files_are_included),
        cmocka_unit_test(names_are_looked_for),
        cmocka_unit_test(wrong_files_are_explained),
        cmocka_unit_test(everything_is_bounded),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
