/*
 * Files as they are in use, in tests/data/config: the effective values of their options, and what
 * is said about them. And lines that older versions and python gave a meaning to.
 */
#include "config_home.h"

static struct config *must_load_file(const char *name)
{
    const struct config_request request = {.name = name, .instance = 2};
    struct error err = {0};
    struct config *config;

    setenv("XDG_CONFIG_HOME", TEST_DATA "/config", 1);
    setenv("FEED_USER", "feed", 1);
    config = config_load(&request, &err);
    unsetenv("FEED_USER");
    unsetenv("XDG_CONFIG_HOME");
    if (!config)
        fail_msg("%s: %s", name, err.text);
    return config;
}

struct wanted {
    enum config_option option;
    const char *value; /* NULL: none */
};

static void check_values(const struct config *config, const struct wanted *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct option *option = config_option(wanted[i].option);
        char *value = option->kind->print(option, (const char *)config + option->offset);
        char *text = shorten(value ? value : "nothing");

        if (strcmp(text, wanted[i].value ? wanted[i].value : "nothing") != 0)
            fail_msg("%s: %s is '%s', not '%s'", config->name, option->name, text, wanted[i].value);
        free(value);
        free(text);
    }
}

struct wanted_rule {
    bool accept;
    const char *pattern, *directory, *strip, *flatten, *filename;
    int line;
};

static bool is_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void check_rules(const struct config *config, const struct wanted_rule *wanted, size_t count)
{
    assert_int_equal(config->rule_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct config_rule *rule = &config->rules[i];
        char *directory = shorten(rule->directory);

        if (rule->accept != wanted[i].accept || !is_same(rule->pattern, wanted[i].pattern) ||
            !is_same(directory, wanted[i].directory) || !is_same(rule->strip, wanted[i].strip) ||
            !is_same(rule->flatten, wanted[i].flatten) ||
            !is_same(rule->filename, wanted[i].filename) || rule->line != wanted[i].line)
            fail_msg("%s: rule %zu, line %d: '%s' to '%s', strip '%s', flatten '%s', filename '%s'",
                     config->name, i, rule->line, rule->pattern, directory, rule->strip,
                     rule->flatten, rule->filename);
        free(directory);
    }
}

/* The warnings must be these, each beginning with a file and line below tests/data. */
static void check_warnings(const struct config *config, const char *const *wanted, size_t count)
{
    static const char folder[] = TEST_DATA "/config/sr3/";

    for (size_t i = 0; i < config->warning_count || i < count; i++) {
        const char *text = i < config->warning_count ? config->warnings[i] : "nothing";

        if (!strncmp(text, folder, strlen(folder)))
            text += strlen(folder);
        if (i >= count || strncmp(text, wanted[i], strlen(wanted[i])) != 0)
            fail_msg("%s: warning %zu:\n got %s\nwant %s", config->name, i, text,
                     i < count ? wanted[i] : "nothing");
    }
}

static void check_bindings(const struct config *config, const char *wanted)
{
    char *got = memory_copy("");

    for (size_t i = 0; i < config->binding_count; i++)
        memory_replace(&got, memory_format("%s%s %s;", got, config->bindings[i].exchange,
                                           config->bindings[i].topic));
    assert_string_equal(got, wanted);
    free(got);
}

/* --- second generation ----------------------------------------------------------------------- */

static const struct wanted v2_values[] = {
    {CONFIG_OPTION_instances, "2"},
    {CONFIG_OPTION_expire_ms, "12h"},
    {CONFIG_OPTION_retry_ttl_ms, "12h"},
    {CONFIG_OPTION_housekeeping_ms, "20s"},
    {CONFIG_OPTION_message_age_max_ms, "0s"},
    {CONFIG_OPTION_post_message_age_max_ms, "12h"},
    {CONFIG_OPTION_report, "off"},
    {CONFIG_OPTION_identity, "cod,md5"},
    {CONFIG_OPTION_perm_copy, "off"},
    {CONFIG_OPTION_time_copy, "off"},
    {CONFIG_OPTION_perm_default, "0600"},
    {CONFIG_OPTION_perm_log, "0644"},
    {CONFIG_OPTION_perm_dir_default, "0755"},
    {CONFIG_OPTION_log_reject, "on"},
    {CONFIG_OPTION_log_level, "debug"},
    {CONFIG_OPTION_log_rotate_count, "7"},
    {CONFIG_OPTION_log_events, "after_accept,after_post,after_work,on_housekeeping,reject"},
    {CONFIG_OPTION_download, "on"},
    {CONFIG_OPTION_delete_destination, "off"},
    {CONFIG_OPTION_nodupe_ttl_ms, "1h"},
    {CONFIG_OPTION_nodupe_basis, "data"},
    {CONFIG_OPTION_file_events, "create,modify"},
    {CONFIG_OPTION_file_age_max_ms, "2h"},
    {CONFIG_OPTION_byte_rate_max, "102400"},
    {CONFIG_OPTION_accel_threshold_bytes, "512"},
    {CONFIG_OPTION_accel_wget_command, "/usr/bin/wget -q %s -O %d"},
    {CONFIG_OPTION_document_root, "/srv/www"},
    {CONFIG_OPTION_base_dir, "/srv/www"},
    {CONFIG_OPTION_message_rate_max, "5"},
    {CONFIG_OPTION_accept_unmatched, "off"},
    {CONFIG_OPTION_mirror, "on"},
    {CONFIG_OPTION_strip, ".*?continental/"},
    {CONFIG_OPTION_flatten, "-"},
    {CONFIG_OPTION_filename, NULL},
};

static const struct wanted_rule v2_rules[] = {
    {true, ".*GRIB2.*", "/srv/weather/hrdps", "3", NULL, NULL, 47},
    {false, ".*/000/.*", "/srv/weather/hrdps", "3", NULL, NULL, 48},
    {true, ".*XML.*", "/srv/weather/hrdps", ".*?continental/", "-", "DESTFN=latest.xml", 51},
};

static const char *const v2_warnings[] = {
    "subscribe/v2.conf:21: option 'discard': a value behind it has no effect, as in sr3: files "
    "stay",
    "subscribe/v2.conf:22: option 'notify_only': a value behind it has no effect, as in sr3: files "
    "are fetched; write 'download off'",
    "subscribe/v2.conf:42: option 'on_file': python code is not run, files are placed without it; ",
    "subscribe/v2.conf:29: option 'accelThreshold': this version fetches all files by itself",
};

static void second_generation_is_read(void **state)
{
    struct config *config = must_load_file("v2");

    (void)state;
    check_values(config, v2_values, COUNT_OF(v2_values));
    check_rules(config, v2_rules, COUNT_OF(v2_rules));
    check_warnings(config, v2_warnings, COUNT_OF(v2_warnings));
    check_bindings(config, "xpublic v02.post.*.WXO-DD.model_hrdps.continental.#;");
    assert_int_equal(strncmp(config->queue, "q_anonymous.subscribe.v2.", 25), 0);
    assert_null(strchr(config->queue, '$'));
    config_free(config);
}

/* --- third generation ------------------------------------------------------------------------ */

static const struct wanted v3_values[] = {
    {CONFIG_OPTION_batch, "100"},
    {CONFIG_OPTION_prefetch, "1"},
    {CONFIG_OPTION_expire_ms, "10m"},
    {CONFIG_OPTION_instances, "6"},
    {CONFIG_OPTION_timeout_ms, "10s"},
    {CONFIG_OPTION_buf_size_bytes, "8192"},
    {CONFIG_OPTION_perm_log, "0644"},
    {CONFIG_OPTION_mirror, "on"},
    {CONFIG_OPTION_base_url_rel_path, "on"},
    {CONFIG_OPTION_inflight, "tmp/"},
    {CONFIG_OPTION_file_events, "create,delete,link,modify"},
    {CONFIG_OPTION_file_age_max_ms, "36h"},
    {CONFIG_OPTION_file_size_max_bytes, "20000000"},
    {CONFIG_OPTION_nodupe_ttl_ms, "5m"},
    {CONFIG_OPTION_nodupe_basis, "name"},
    {CONFIG_OPTION_sundew_compat_regex_first_match_is_zero, "on"},
    {CONFIG_OPTION_var_time_offset_ms, "-90m"},
    {CONFIG_OPTION_accept_size_wrong, "on"},
    {CONFIG_OPTION_overwrite, "off"},
    {CONFIG_OPTION_message_rate_max, "2.5"},
    {CONFIG_OPTION_message_count_max, "10"},
    {CONFIG_OPTION_threshold_idle_ms, "30m"},
    {CONFIG_OPTION_threshold_lag_ms, "2m"},
    {CONFIG_OPTION_log_events, "after_accept,after_post,after_work,on_housekeeping,reject,nodupe,"
                               "on_start,on_stop,gather"},
    {CONFIG_OPTION_post_broker, "amqp://feed:secret@localhost/"},
    {CONFIG_OPTION_post_exchange, "xs_feed"},
    {CONFIG_OPTION_post_base_dir, "/srv/weather"},
    {CONFIG_OPTION_post_base_url, "http://localhost/${BUPL}"},
    {CONFIG_OPTION_post_format, "wis"},
    {CONFIG_OPTION_filename, NULL},
    {CONFIG_OPTION_strip, NULL},
};

static const struct wanted_rule v3_rules[] = {
    {true, ".*/radar/([A-Z]*)/.*/(...)/.*", "/srv/weather/radar/${%Y%m%d}", NULL, NULL, "WHATFN",
     10},
    {true, ".*gif", "/srv/weather/radar/${1}/${2}", NULL, NULL, "NONE", 13},
    {true, ".*", "/srv/weather/radar/${1}/${2}", NULL, NULL, NULL, 14},
};

static const char *const v3_warnings[] = {
    "subscribe/common.inc:7: option 'include': read ",
    "subscribe/v3.conf:15: option 'mirror': it changes behind an accept or reject line",
    "subscribe/v3.conf:33: option 'flowCallback': python code is not run, files are placed",
};

static void third_generation_is_read(void **state)
{
    struct config *config = must_load_file("v3");

    (void)state;
    check_values(config, v3_values, COUNT_OF(v3_values));
    check_rules(config, v3_rules, COUNT_OF(v3_rules));
    check_warnings(config, v3_warnings, COUNT_OF(v3_warnings));
    check_bindings(config, "xpublic v03.post.#.radar.#;");
    assert_string_equal(config->queue, "q_anonymous.subscribe.v3.10597298");
    assert_string_equal(strstr(config->metrics_path, "/metrics/"), "/metrics/radar_2.json");
    assert_int_equal(config->header_count, 2);
    assert_string_equal(config->headers[0].name, "origin");
    assert_string_equal(config->headers[0].value, "subscribe");
    assert_string_equal(config->headers[1].value, "a b");
    config_free(config);
}

/* --- both ------------------------------------------------------------------------------------ */

static const struct wanted mixed_values[] = {
    {CONFIG_OPTION_nodupe_ttl_ms, "2h"},
    {CONFIG_OPTION_strip, NULL},
    {CONFIG_OPTION_directory, "~/obs"},
    {CONFIG_OPTION_perm_default, "0640"},
    {CONFIG_OPTION_download, "on"},
    {CONFIG_OPTION_identity, "none"},
    {CONFIG_OPTION_overwrite, "off"},
    {CONFIG_OPTION_mirror, "on"},
    {CONFIG_OPTION_delete_destination, "on"},
    {CONFIG_OPTION_time_copy, "on"},
    {CONFIG_OPTION_message_age_max_ms, "12h"},
    {CONFIG_OPTION_log_level, "info"},
    {CONFIG_OPTION_instances, "5"},
};

static const struct wanted_rule mixed_rules[] = {{true, ".*", "~/obs", NULL, NULL, NULL, 24}};

static const char *const mixed_warnings[] = {
    "subscribe/mixed.conf:15: option 'no_download': a value behind it has no effect, as in sr3",
    "subscribe/mixed.conf:19: option 'destfn_script': python code is not run, files keep their ",
    "subscribe/mixed.conf:20: option 'do_download': python code is not run; sr3sub fetches files ",
    "subscribe/mixed.conf:21: option 'callback': python code is not run, files are placed without",
    "subscribe/mixed.conf:22: option 'plugin': python code is not run, files are placed without ",
    "subscribe/mixed.conf:25: option 'mirror': it changes behind an accept or reject line",
};

static void generations_can_be_mixed(void **state)
{
    struct config *config = must_load_file("mixed");

    (void)state;
    check_values(config, mixed_values, COUNT_OF(mixed_values));
    check_rules(config, mixed_rules, COUNT_OF(mixed_rules));
    check_warnings(config, mixed_warnings, COUNT_OF(mixed_warnings));
    check_bindings(config, "xs_feed v02.post.observations.#;xother v03.bulletins.#;");
    assert_string_equal(config->broker_url, "amqp://feed@localhost:5672/feed");
    assert_string_equal(config->queue, "q_feed_${RANDID_NOT}");
    config_free(config);
}

/* --- single lines ---------------------------------------------------------------------------- */

static const struct {
    const char *lines;
    enum config_option option;
    const char *value;
    size_t warnings;
} lines[] = {
    {"no_download\n", CONFIG_OPTION_download, "off", 0},
    {"n\n", CONFIG_OPTION_download, "off", 0},
    {"notify_only\n", CONFIG_OPTION_download, "off", 0},
    {"notify_only True\n", CONFIG_OPTION_download, "on", 1},
    {"notify_only False\n", CONFIG_OPTION_download, "on", 1},
    {"notify_only ${EMPTY}\n", CONFIG_OPTION_download, "on", 1},
    {"no_download False\n", CONFIG_OPTION_download, "on", 1},
    {"discard\n", CONFIG_OPTION_delete_destination, "on", 0},
    {"discard on\n", CONFIG_OPTION_delete_destination, "on", 0},
    {"discard On\n", CONFIG_OPTION_delete_destination, "on", 0},
    {"discard true\n", CONFIG_OPTION_delete_destination, "off", 1},
    {"discard off\n", CONFIG_OPTION_delete_destination, "off", 1},
    {"download-and-discard\n", CONFIG_OPTION_delete_destination, "on", 0},
    {"logEvents none\non_message msg_log\n", CONFIG_OPTION_log_events, "after_accept", 0},
    {"logEvents none\non_message msg_rawlog\n", CONFIG_OPTION_log_events, "after_accept", 0},
    {"logEvents none\non_post post_log\n", CONFIG_OPTION_log_events, "after_work", 0},
    {"sum n\n", CONFIG_OPTION_identity, "none", 0},
    {"sum s\n", CONFIG_OPTION_identity, "sha512", 0},
    {"sum d\n", CONFIG_OPTION_identity, "md5", 0},
    {"identity a\n", CONFIG_OPTION_identity, "arbitrary", 0},
    {"integrity r\n", CONFIG_OPTION_identity, "random", 0},
    {"sum z,d\n", CONFIG_OPTION_identity, "cod,md5", 0},
    {"sum z,s\n", CONFIG_OPTION_identity, "cod,sha512", 0},
    {"sum z,n\n", CONFIG_OPTION_identity, "none", 0},
    {"sum cod,sha256\n", CONFIG_OPTION_identity, "cod,sha256", 0},
    {"kbytes_ps 3\n", CONFIG_OPTION_byte_rate_max, "3072", 0},
    {"mirror ${EMPTY}\n", CONFIG_OPTION_mirror, "off", 1},
    {"exchangeSplit on\nexchange_split 3\n", CONFIG_OPTION_exchange_split, "3", 0},
    {"fileEvents None\n", CONFIG_OPTION_file_events, "none", 0},
    {"vip 10.1.2.3\nvip 10.1.2.4\n", CONFIG_OPTION_vip, "10.1.2.3 10.1.2.4", 0},
    {"vip 10.1.2.3\nsource ${VIP}\n", CONFIG_OPTION_source, "10.1.2.3", 0},
    {"directory /d\nsource ${DIRECTORY}\n", CONFIG_OPTION_source, "/d", 0},
    {"strip 2\nsource ${STRIP}\n", CONFIG_OPTION_source, "2", 0},
    {"source ${COMPONENT}_${PROGRAM}\n", CONFIG_OPTION_source, "subscribe_subscribe", 0},
    {"source ${POST_BROKER_USER}\n", CONFIG_OPTION_source, "${POST_BROKER_USER}", 0},
    {"post_broker amqp://h/\nsource ${POST_BROKER_USER}\n", CONFIG_OPTION_source, "anonymous", 0},
    {"directory /d/${NOSUCH}/${1}\n", CONFIG_OPTION_directory, "/d/${NOSUCH}/${1}", 1},
    {"directory /d/${YYYYMMDD-2d}/${%o-1h%H}/${JJJ}/${0}/${T1}/${BUPL}\n", CONFIG_OPTION_directory,
     "/d/${YYYYMMDD-2d}/${%o-1h%H}/${JJJ}/${0}/${T1}/${BUPL}", 0},
    {"directory ${BD}/x/\n", CONFIG_OPTION_directory, "${BD}/x/", 0},
    {"directory rel//dir/${1}\n", CONFIG_OPTION_directory, "~/rel/dir/${1}", 0},

    /* names that mean nothing here: what logs or counts is not worth a word */
    {"plugin msg_total_save\nplugin file_total_save\nplugin post_total_save\nplugin accel_wget\n",
     CONFIG_OPTION_batch, "25", 0},
    {"callback log\nflow_callback sarracenia.flowcb.log.Log\ncallback housekeeping.resources\n",
     CONFIG_OPTION_batch, "25", 0},
    {"on_message msg_total\nplugin msg_log.py\non_heartbeat hb_memory\n", CONFIG_OPTION_batch, "25",
     0},
    {"cache_stat on\nfrom_cluster x\nparts 0\npump x\nrestore\nsave\nwindows_run\nls_file_index 1\n"
     "retry_mode on\nset a.b c\nxattr_disable\nset_passwords\n",
     CONFIG_OPTION_batch, "25", 0},
    {"scheduled_interval 3\nshim_x y\nnodupe_other 1\npollUrl x\nsendTo y\naction x\nrename /x\n"
     "rxpipe_name /tmp/p\nfdelay 30\nmax_inflight_messages 300\n",
     CONFIG_OPTION_batch, "25", 0},
    {"plugin site.py\n", CONFIG_OPTION_batch, "25", 1},
    {"callback ${SITE}\n", CONFIG_OPTION_batch, "25", 1},
    {"flow_callback azurePublisher.Publisher\n", CONFIG_OPTION_batch, "25", 1},
    {"flowMain site.Main\n", CONFIG_OPTION_batch, "25", 1},
    {"on_message msg_delete\n", CONFIG_OPTION_batch, "25", 1},
    {"on_anything site\n", CONFIG_OPTION_batch, "25", 1},
    {"do_get site\n", CONFIG_OPTION_batch, "25", 1},
    {"destfn_script site\n", CONFIG_OPTION_batch, "25", 1},
};

static void single_lines_are_read(void **state)
{
    (void)state;
    setenv("EMPTY", "", 1);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        char *text = memory_format(BROKER "queueName q\n%s", lines[i].lines);
        struct config *config = must_load(text);

        check_values(config, &(struct wanted){lines[i].option, lines[i].value}, 1);
        if (config->warning_count != lines[i].warnings)
            fail_msg("'%s': %zu warnings: %s", lines[i].lines, config->warning_count,
                     config->warning_count ? config->warnings[0] : "");
        config_free(config);
        free(text);
    }
    unsetenv("EMPTY");
}

/* Every synonym leads to the row that has it, and no name to two. */
static void names_are_unique(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);

        for (int j = 0; j < CONFIG_OPTIONS; j++) {
            const struct option *other = config_option((enum config_option)j);
            const char *rest = other->synonyms, *item;
            size_t length;

            if (i != j && option_is_called(option, other->name))
                fail_msg("'%s' is also '%s'", other->name, option->name);
            while (option_list_take(&rest, ",", &item, &length)) {
                char *name = memory_copy_bytes(item, length);

                if (i != j && option_is_called(option, name))
                    fail_msg("'%s' is of '%s' and of '%s'", name, other->name, option->name);
                free(name);
            }
        }
    }
}

static void names_can_be_cut(void **state)
{
    static const struct {
        const char *typed, *name;
        enum config_match match;
    } cuts[] = {
        {"logReject", "logReject", CONFIG_MATCH_ONE},
        {"logRej", "logReject", CONFIG_MATCH_ONE},
        {"queue_n", "queueName", CONFIG_MATCH_ONE},
        {"loglev", "logLevel", CONFIG_MATCH_ONE},
        {"delete", "delete", CONFIG_MATCH_ONE},
        {"logR", "logReject", CONFIG_MATCH_SEVERAL},
        {"", "", CONFIG_MATCH_NONE},
        {"nosuch", "nosuch", CONFIG_MATCH_NONE},
        {"notify_only", "notify_only", CONFIG_MATCH_ONE},
        {"incl", "incl", CONFIG_MATCH_NONE},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        const char *name;
        enum config_match match = config_option_complete(cuts[i].typed, &name);

        if (match != cuts[i].match || strcmp(name, cuts[i].name) != 0)
            fail_msg("'%s': got '%s', %d", cuts[i].typed, name, (int)match);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_generation_is_read), cmocka_unit_test(third_generation_is_read),
        cmocka_unit_test(generations_can_be_mixed),  cmocka_unit_test(single_lines_are_read),
        cmocka_unit_test(names_are_unique),          cmocka_unit_test(names_can_be_cut),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
