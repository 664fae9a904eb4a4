/* The commands: what each of them is given, and what is said when it could not be done. */
#include "cli.h"

#include "base/log_format.h"
#include "base/metrics.h"
#include "command_line.h"
#include "commands/commands.h"
#include "running.h"
#include "settings/config.h"
#include "settings/convert.h"
#include "settings/manual.h"
#include "subscriber.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: sr3sub [options] foreground subscribe/NAME\n"
    "       sr3sub foreground --config subscribe/NAME.conf [--logStdout] [--no K]\n"
    "       sr3sub show subscribe/NAME [--json] [--defaults]\n"
    "       sr3sub check [subscribe/NAME ...]\n"
    "       sr3sub explain subscribe/NAME [--text] < announcements\n"
    "       sr3sub convert subscribe/NAME > NAME.yaml\n"
    "       sr3sub setup [subscribe/NAME ...]\n"
    "       sr3sub cleanup subscribe/NAME ... [--dangerWillRobinson=N]\n"
    "       sr3sub retry list|drop|now subscribe/NAME [PATTERN] [--json]\n"
    "       sr3sub status [subscribe/NAME ...] [--full] [--watch] [--json]\n"
    "       sr3sub health subscribe/NAME [--no K]\n"
    "       sr3sub options [--markdown | --bash]\n"
    "       sr3sub metrics [--markdown]\n"
    "\n"
    "Subscribes to announcements of files and downloads them. The configuration is\n"
    "read from subscribe/NAME.conf below ~/.config/sr3 ($XDG_CONFIG_HOME/sr3).\n"
    "\n"
    "  --config X, -c X   the configuration, instead of a name\n"
    "  --no K             number of this instance: its metrics file, its log lines\n"
    "  --logStdout        log to standard output (otherwise to standard error)\n"
    "  --logFile PATH     append the log to this file; SIGHUP opens it again\n"
    "  --debug            log everything\n"
    "  --OPTION VALUE     any option of the configuration; it overrides the file;\n"
    "                     `options` prints them, or a script for completion in bash\n"
    "  --version, -v      print the version\n"
    "  --help, -h         print this\n"
    "\n"
    "SR3_CONFIG and SR3_INSTANCE in the environment stand for --config and --no, and any\n"
    "other SR3_OPTION for --OPTION, such as SR3_LOG_LEVEL=debug; SR3_OPTION_FILE names a\n"
    "file that holds the value. Without any word, sr3sub runs what SR3_CONFIG names.\n"
    "\n"
    "show prints every setting with the line it comes from; check lists all problems of\n"
    "all configurations; explain reads announcements as lines of JSON and says what would\n"
    "be done with each, and why.\n"
    "\n"
    "setup (or declare) makes queues and bindings; cleanup deletes queues, what waits for\n"
    "another try, and state files, N being how many configurations when they are several;\n"
    "retry lists what waits for another try, drops it, or has it tried now: all, or those\n"
    "whose path matches the shell pattern. setup, cleanup and check take shell patterns\n"
    "as names; setup and check without a name take all there are.\n"
    "\n"
    "status prints what instances do, those in containers that share the metrics directory\n"
    "too, all of them or those that match; with --full also what was counted since the last\n"
    "housekeeping, with --watch again and again until Ctrl-C. health asks one instance\n"
    "whether it is alive, connected and getting on, for health checks.\n"
    "\n"
    "Exit status: 0 stopped by SIGTERM or SIGINT, 1 it could not begin, 2 wrong usage;\n"
    "of check: 1 there are errors; of explain: 1 there were lines that are not JSON;\n"
    "of setup, cleanup, retry: 1 not all of it could be done; of status: 1 there is nothing\n"
    "of that name; of health: 1 the instance is not well, and why.\n";

/* ---- foreground ---- */

/* Transfers, files being written and connections each need a descriptor or two. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void prepare_process(const struct config *config)
{
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    mallopt(M_ARENA_MAX, 2); /* memory handed between threads stays in one pool */
    mallopt(M_TRIM_THRESHOLD, 4 << 20);
    config_export_environment(config);
}

/* A layout of the user's own; NULL: there is none, or (err) it is none. */
static const char *own_layout(const struct config *config, struct error *err)
{
    struct log_format *format;

    if (!config->origins[CONFIG_OPTION_log_format].file)
        return NULL;
    format = log_format_parse(config->log_format, err);
    log_format_free(format);
    return format ? config->log_format : NULL;
}

/* A file has the layout of sr3's log files, which is without the process id. */
static bool open_log(const struct config *config, struct error *err)
{
    struct error refusal = {0};
    struct log_settings settings = {.level = (enum log_level)config->log_level,
                                    .path = config->log_file,
                                    .to_stdout = config->log_stdout,
                                    .mode = config->perm_log,
                                    .with_pid = !config->log_file,
                                    .format = own_layout(config, &refusal),
                                    .json = config->log_json,
                                    .rotate_interval_ms = config->log_rotate_interval_ms,
                                    .rotate_count = config->log_rotate_count,
                                    .rotate_compress = config->log_rotate_compress,
                                    .repeat_limit = config->log_repeat_max};
    bool opened = log_open(&settings, err);

    if (opened && refusal.kind)
        log_warning("sr3sub.log open", "%s; lines have the usual layout", refusal.text);
    return opened;
}

static bool run_foreground(const struct config *config, struct error *err)
{
    struct running *running;
    bool ran;

    for (size_t i = 0; i < config->warning_count; i++)
        log_warning("sarracenia.config parse", "%s", config->warnings[i]);
    running = running_begin(config, err);
    ran = running && subscriber_run(config, err);
    running_end(running);
    return ran;
}

/* What was asked for; false if it was not said which configuration. */
static bool make_request(const struct command_line *line, struct config_request *request,
                         struct error *err)
{
    *request = (struct config_request){.name = line->config ? line->config : line->names[0],
                                       .from_config_option = line->config != NULL,
                                       .instance = line->instance,
                                       .arguments = line->arguments,
                                       .argument_count = line->argument_count};
    if (request->name && line->name_count <= 1)
        return true;
    return error_set(err, ERROR_OPERATOR, "%s %s one configuration; name it: 'subscribe/NAME'",
                     line->action, strcmp(line->action, "foreground") ? "reads" : "runs");
}

/* NULL: it cannot be loaded, or (*status is CLI_USAGE then) it was not said which. */
static struct config *load(const struct command_line *line, enum cli_status *status,
                           struct error *err)
{
    struct config_request request;

    *status = CLI_USAGE;
    if (!make_request(line, &request, err))
        return NULL;
    *status = CLI_FAILED;
    return config_load(&request, err);
}

static enum cli_status foreground(const struct command_line *line, struct error *err)
{
    enum cli_status status;
    struct config *config = load(line, &status, err);
    bool ran;

    if (!config)
        return status;
    prepare_process(config);
    ran =
        config_check_supported(config, err) && open_log(config, err) && run_foreground(config, err);
    log_close();
    config_free(config);
    return ran ? CLI_OK : CLI_FAILED;
}

/* ---- looking at configurations ---- */

static enum cli_status show(const struct command_line *line, struct error *err)
{
    struct show_settings settings = {.json = line->json, .defaults = line->defaults};
    enum cli_status status;
    struct config *config = load(line, &status, err);

    if (!config)
        return status;
    show_print(config, &settings, stdout);
    config_free(config);
    return CLI_OK;
}

static enum cli_status check(const struct command_line *line, struct error *err)
{
    if (line->argument_count || line->config) {
        command_line_refuse(err, "check reads what is in files and takes no options such as",
                            line->config ? "config" : line->arguments[0].name);
        return CLI_USAGE;
    }
    return check_run(line->names, line->name_count, stdout, err) ? CLI_OK : CLI_FAILED;
}

static enum cli_status explain(const struct command_line *line, struct error *err)
{
    enum cli_status status;
    struct config *config = load(line, &status, err);
    struct error refusal = {0};
    bool explained;

    if (!config)
        return status;
    if (!config_check_supported(config, &refusal))
        fprintf(stderr, "sr3sub: the subscription would not start: %s\n", refusal.text);
    explained = explain_run(config, line->text, stdin, stdout, err);
    config_free(config);
    return explained ? CLI_OK : CLI_FAILED;
}

/* ---- settling with the broker and the stores ---- */

/* --config stands in the place of names, as with sr3. */
static struct command_request settling_request(const struct command_line *line)
{
    return (struct command_request){.names = line->config ? &line->config : line->names,
                                    .name_count = line->config ? 1 : line->name_count,
                                    .from_config_option = line->config != NULL,
                                    .arguments = line->arguments,
                                    .argument_count = line->argument_count};
}

static enum cli_status setup(const struct command_line *line, struct error *err)
{
    struct command_request request = settling_request(line);

    signal(SIGPIPE, SIG_IGN);
    return setup_run(&request, err) ? CLI_OK : CLI_FAILED;
}

static enum cli_status cleanup(const struct command_line *line, struct error *err)
{
    struct command_request request = settling_request(line);

    if (!request.name_count) {
        error_set(err, ERROR_OPERATOR, "cleanup wants to know what; name it: 'subscribe/NAME'");
        return CLI_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    return cleanup_run(&request, line->danger, stdout, err) ? CLI_OK : CLI_FAILED;
}

static bool parse_retry(const char *word, struct retry_request *request, struct error *err)
{
    static const char *const words[] = {
        [RETRY_COMMAND_LIST] = "list", [RETRY_COMMAND_DROP] = "drop", [RETRY_COMMAND_NOW] = "now"};

    for (size_t i = 0; word && i < COUNT_OF(words); i++)
        if (strcmp(word, words[i]) == 0) {
            request->command = (enum retry_command)i;
            return true;
        }
    return command_line_refuse(err, "retry wants 'list', 'drop' or 'now', not", word ? word : "");
}

/* The words are: what, which configuration (unless --config said so), and the pattern. */
static enum cli_status retry(const struct command_line *line, struct error *err)
{
    size_t pattern_at = line->config ? 1 : 2;
    struct config_request which = {.name = line->config ? line->config : line->names[1],
                                   .from_config_option = line->config != NULL,
                                   .arguments = line->arguments,
                                   .argument_count = line->argument_count};
    struct retry_request request = {.pattern = line->names[pattern_at], .json = line->json};
    struct config *config;
    bool done;

    if (!parse_retry(line->names[0], &request, err))
        return CLI_USAGE;
    if (!which.name || line->name_count > pattern_at + 1) {
        error_set(err, ERROR_OPERATOR, "retry %s works on one configuration and one pattern",
                  line->names[0]);
        return CLI_USAGE;
    }
    config = config_load(&which, err);
    if (!config)
        return CLI_FAILED;
    signal(SIGPIPE, SIG_IGN);
    done = retry_run(config, &request, stdout, err);
    config_free(config);
    return done ? CLI_OK : CLI_FAILED;
}

/* ---- looking at running instances ---- */

static enum cli_status status(const struct command_line *line, struct error *err)
{
    struct command_request names = settling_request(line);
    struct status_request request = {.names = names.names,
                                     .name_count = names.name_count,
                                     .json = line->json,
                                     .full = line->full,
                                     .watch = line->watch};

    if (line->argument_count) {
        command_line_refuse(err, "status looks at what runs and takes no options such as",
                            line->arguments[0].name);
        return CLI_USAGE;
    }
    return status_run(&request, stdout, err) ? CLI_OK : CLI_FAILED;
}

static enum cli_status health(const struct command_line *line, struct error *err)
{
    enum cli_status status;
    struct config *config = load(line, &status, err);
    bool healthy;

    if (!config)
        return status;
    healthy = health_run(config, err);
    config_free(config);
    return healthy ? CLI_OK : CLI_FAILED;
}

/* ---- options ---- */

static enum cli_status print_options(const struct command_line *line, struct error *err)
{
    (void)err;
    (line->bash ? manual_print_bash : manual_print_markdown)(stdout);
    return CLI_OK;
}

static enum cli_status print_metrics(const struct command_line *line, struct error *err)
{
    (void)line;
    (void)err;
    metrics_print_markdown(stdout);
    return CLI_OK;
}

/* ---- convert ---- */

static enum cli_status convert(const struct command_line *line, struct error *err)
{
    struct config_request request;

    if (!make_request(line, &request, err))
        return CLI_USAGE;
    return convert_print(&request, stdout, stderr, err) ? CLI_OK : CLI_FAILED;
}

/* ---- the commands ---- */

static const struct command {
    const char *name;
    enum cli_status (*run)(const struct command_line *line, struct error *err);
    bool of_one; /* works on one configuration, which the environment may name */
} commands[] = {
    {"foreground", foreground, true},  {"options", print_options, false},
    {"metrics", print_metrics, false}, {"show", show, true},
    {"check", check, false},           {"explain", explain, true},
    {"convert", convert, true},        {"setup", setup, false},
    {"declare", setup, false},         {"cleanup", cleanup, false},
    {"retry", retry, false},           {"status", status, false},
    {"health", health, true},
};

static enum cli_status run_command(struct command_line *line, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(line->action, commands[i].name) != 0)
            continue;
        if (commands[i].of_one && !command_line_add_environment(line, err))
            return CLI_USAGE;
        return commands[i].run(line, err);
    }
    command_line_refuse(err, "unknown action", line->action);
    return CLI_USAGE;
}

/* Without any word, what the environment names is run; false: it names nothing. */
static bool choose_command(struct command_line *line)
{
    const char *config = getenv(COMMAND_LINE_CONFIG);

    if (!line->action && config && *config)
        line->action = "foreground";
    return line->action;
}

enum cli_status cli_run(int argc, char **argv)
{
    struct command_line line = {0};
    struct error err = {0};
    enum cli_status status = CLI_OK;

    if (!command_line_parse(&line, argc, argv, &err))
        status = CLI_USAGE;
    else if (line.version)
        printf("%s\n", SR3SUB_VERSION);
    else if (line.help || !choose_command(&line))
        fputs(usage_text, stdout);
    else
        status = run_command(&line, &err);
    fflush(stdout);
    if (status != CLI_OK)
        fprintf(stderr, "sr3sub: %s\n%s", err.text, status == CLI_USAGE ? usage_text : "");
    command_line_clear(&line);
    return status;
}
