/*
 * Names that sr3 knows and that have no meaning here.
 *
 * Most python code that files name only writes log lines or sums, so it is told by its value and
 * passed over: a warning at each start that nobody can heed would hide the ones that matter.
 */
#include "settings/config_ignored.h"

#include "settings/config_loader.h"
#include "settings/config_notes.h"

#include <stdlib.h>
#include <string.h>

#define LANDED                                                                                     \
    "python code is not run, files are placed without it; each leaves a log line 'downloaded "     \
    "ok: PATH' that another program can follow"
#define CHOOSES                                                                                    \
    "python code is not run, so what it rejects, renames or moves is not; accept, reject, "        \
    "directory, strip and filename lines can say much of it"
#define FETCHES "python code is not run; sr3sub fetches files by itself, over http and https"
#define NAMES                                                                                      \
    "python code is not run, files keep their announced names; filename lines can change them"

static const struct ignored {
    const char *name;
    const char *warning; /* NULL: none */
} ignored[] = {
    /* python code; before the patterns that would match as well */
    {"callback", LANDED},
    {"callback_prepend", LANDED},
    {"callbacks", LANDED},
    {"flowCallback", LANDED},
    {"flowCallbackPrepend", LANDED},
    {"flow_callback", LANDED},
    {"flow_callback_prepend", LANDED},
    {"flow_plugin", LANDED},
    {"plugin", LANDED},
    {"flowMain", LANDED},
    {"flow_main", LANDED},
    {"imports", NULL},
    {"import", NULL},
    {"on_file", LANDED},
    {"on_part", LANDED},
    {"on_data", LANDED},
    {"on_message", CHOOSES},
    {"on_post", NULL},
    {"on_heartbeat", NULL},
    {"on_housekeeping", NULL},
    {"on_start", NULL},
    {"on_stop", NULL},
    {"on_report", NULL},
    {"on_watch", NULL},
    {"on_line", NULL},
    {"on_html_page", NULL},
    {"on_*", LANDED},
    {"do_send", NULL},
    {"do_put", NULL},
    {"do_poll", NULL},
    {"do_*", FETCHES},
    {"destfn_script", NAMES},
    {"pathReplace", CHOOSES},
    {"msg_replace_new_dir", CHOOSES},

    /* options of python code */
    {"accel_*", NULL},
    {"block_manifest_delete", NULL},
    {"fdelay", NULL},
    {"msg_fdelay", NULL},
    {"rxpipe_name", NULL},
    {"rxq_name", NULL},
    {"set", NULL},

    /* older versions had them */
    {"cache_stat", NULL},
    {"cluster_aliases", NULL},
    {"file_total_interval", NULL},
    {"from_cluster", NULL},
    {"ls_file_index", NULL},
    {"msg_total_interval", NULL},
    {"parts", NULL},
    {"poll_without_vip", NULL},
    {"post_log_format", NULL},
    {"post_total_interval", NULL},
    {"pump", NULL},
    {"pump_flag", NULL},
    {"reconnect", NULL},
    {"report_daemons", NULL},
    {"restore", NULL},
    {"retry_mode", NULL},
    {"save", NULL},
    {"set_passwords", NULL},
    {"to_clusters", NULL},
    {"url", NULL},
    {"windows_run", NULL},

    /* of other components and protocols */
    {"a", NULL},
    {"action", NULL},
    {"admin", NULL},
    {"baseUrl", NULL},
    {"baseurl", NULL},
    {"blockSize", NULL},
    {"blocksize", NULL},
    {"clean_session", NULL},
    {"cluster", NULL},
    {"content", NULL},
    {"content_encoding", NULL},
    {"content_max", NULL},
    {"count", NULL},
    {"destination", NULL},
    {"destination_timezone", NULL},
    {"feeder", NULL},
    {"follow_symlinks", NULL},
    {"force_polling", NULL},
    {"fp", NULL},
    {"fs", NULL},
    {"hostname", NULL},
    {"httpsSafeQuote", NULL},
    {"imx", NULL},
    {"inl", NULL},
    {"inline", NULL},
    {"inlineByteMax", NULL},
    {"inlineEncoding", NULL},
    {"inlineOnly", NULL},
    {"inline_encoding", NULL},
    {"inline_max", NULL},
    {"inplace", NULL},
    {"logDir", NULL},
    {"manager", NULL},
    {"max_inflight_messages", NULL},
    {"max_queued_messages", NULL},
    {"nodupe_*", NULL},
    {"nofsetstat", NULL},
    {"outlet", NULL},
    {"p", NULL},
    {"path", NULL},
    {"pollUrl", NULL},
    {"post_on_start", NULL},
    {"qos", NULL},
    {"queueType", NULL},
    {"randomize", NULL},
    {"realpath", NULL},
    {"realpathAdjust", NULL},
    {"realpathFilter", NULL},
    {"realpathPost", NULL},
    {"realpath_filter", NULL},
    {"realpath_post", NULL},
    {"receiveMaximum", NULL},
    {"recursive", NULL},
    {"remoteUrl", NULL},
    {"remote_config_url", NULL},
    {"rename", NULL},
    {"report_exchange", NULL},
    {"retryEmptyBeforeExit", NULL},
    {"scheduled_*", NULL},
    {"sendTo", NULL},
    {"shim_*", NULL},
    {"timezone", NULL},
    {"topic", NULL},
    {"users", NULL},
    {"v2compatRenameDoublePost", NULL},
    {"vhost", NULL},
    {"wololo", NULL},
};

static bool is_called(const char *pattern, const char *name)
{
    size_t length = strcspn(pattern, "*");

    return !strncmp(pattern, name, length) && (pattern[length] == '*' || !name[length]);
}

static const struct ignored *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        if (is_called(ignored[i].name, name))
            return &ignored[i];
    return NULL;
}

/* Whether python code, by its name, only logs, counts or fetches faster. */
static bool is_harmless(const char *code)
{
    static const char *const names[] = {
        "accel_*",    "file_log",        "file_total",     "file_total_save",  "hb_*",
        "log",        "log.Log",         "msg_dump",       "msg_log",          "msg_print_lag",
        "msg_rawlog", "msg_speedo",      "msg_total",      "msg_total_save",   "post_log",
        "post_total", "post_total_save", "housekeeping.*", "accept.printlag*", "accept.speedo*"};
    static const char prefix[] = "sarracenia.flowcb.";
    size_t length = strcspn(code, " ");
    char *name;
    bool harmless = false;

    if (!strncmp(code, prefix, strlen(prefix))) {
        code += strlen(prefix);
        length -= strlen(prefix);
    }
    if (length > 3 && !strncmp(code + length - 3, ".py", 3))
        length -= 3;
    name = memory_copy_bytes(code, length);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        harmless = harmless || is_called(names[i], name);
    free(name);
    return harmless;
}

bool config_ignored_skip(struct config *config, const struct conf_setting *setting)
{
    const struct ignored *found = find(setting->name);

    if (found && found->warning && !is_harmless(setting->value))
        config_notes_warn_name_here(config, setting->name, found->warning);
    return found != NULL;
}

bool config_ignored_knows(const char *name)
{
    return find(name) != NULL;
}

const char *config_ignored_name(size_t index)
{
    return index < COUNT_OF(ignored) ? ignored[index].name : NULL;
}
