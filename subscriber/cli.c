/* The command line: which command, which subscription, which options, and what is said about it. */
#include "cli.h"

#include "base/log.h"
#include "base/metrics.h"
#include "commands/commands.h"
#include "running.h"
#include "settings/config.h"
#include "settings/convert.h"
#include "settings/manual.h"
#include "subscriber.h"

#include <ctype.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NAMES_MAX    64
#define INSTANCE_MAX 9999

/* What was typed. Texts point into argv, or into `words`. */
struct command_line {
    const char *action;
    const char *names[NAMES_MAX];
    size_t name_count;
    const char *config; /* of --config */
    int instance;
    bool help, version;
    bool bash;                         /* of the command `options` */
    bool json, defaults;               /* of `show` */
    bool text;                         /* of `explain` */
    long danger;                       /* of --dangerWillRobinson */
    struct config_argument *arguments; /* options of the configuration */
    size_t argument_count;
    char **words; /* copies of the parts of --name=value */
    size_t word_count;
};

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
    "Exit status: 0 stopped by SIGTERM or SIGINT, 1 it could not begin, 2 wrong usage;\n"
    "of check: 1 there are errors; of explain: 1 there were lines that are not JSON;\n"
    "of setup, cleanup, retry: 1 not all of it could be done.\n";

static bool usage_error(struct error *err, const char *what, const char *which)
{
    return error_set(err, ERROR_OPERATOR, "%s '%s'", what, which);
}

static void command_line_clear(struct command_line *line)
{
    for (size_t i = 0; i < line->word_count; i++)
        free(line->words[i]);
    free(line->words);
    free(line->arguments);
}

static char *keep_word(struct command_line *line, char *word)
{
    line->words = memory_resize(line->words, line->word_count + 1, sizeof(*line->words));
    line->words[line->word_count++] = word;
    return word;
}

static bool parse_instance(struct command_line *line, const char *text, struct error *err)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end || number > INSTANCE_MAX)
        return usage_error(err, "--no wants the number of the instance, not", text);
    line->instance = (int)number;
    return true;
}

static bool parse_danger(struct command_line *line, const char *text, struct error *err)
{
    char *end;

    line->danger = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end)
        return usage_error(err, "--dangerWillRobinson wants a number, not", text);
    return true;
}

static void add_argument(struct command_line *line, const char *name, const char *value)
{
    line->arguments =
        memory_resize(line->arguments, line->argument_count + 1, sizeof(*line->arguments));
    line->arguments[line->argument_count++] =
        (struct config_argument){.name = name, .value = value};
}

/* The word of the command line, not of configurations, that begins with `name`, or is it. */
static const char *own_word(const char *name, bool whole)
{
    static const char *const words[] = {"help", "version",  "config", "no",   "markdown",
                                        "bash", "defaults", "json",   "text", "dangerWillRobinson"};

    for (size_t i = 0; *name && i < COUNT_OF(words); i++)
        if (whole ? strcmp(words[i], name) == 0 : strncmp(words[i], name, strlen(name)) == 0)
            return words[i];
    return NULL;
}

/* The whole name of an option that may have been cut, as --logStd. NULL: none, or several. */
static const char *complete_name(const char *typed, const char *name, struct error *err)
{
    const char *found;

    if (strncmp(typed, "--", 2) != 0 || own_word(name, true))
        return name;
    switch (config_option_complete(name, &found)) {
    case CONFIG_MATCH_ONE:
        return found;
    case CONFIG_MATCH_SEVERAL:
        error_set(err, ERROR_OPERATOR, "'%s' could be several options, such as '--%s'", typed,
                  found);
        return NULL;
    default:
        found = own_word(name, false);
        if (!found)
            usage_error(err, "unknown option", typed);
        return found;
    }
}

/* The value of an option: behind its '=', or the next word unless a flag can do without it. */
static bool take_value(char **argv, int *at, const char *name, const char *inner,
                       const char **value, struct error *err)
{
    bool known = true;
    bool wanted = strcmp(name, "config") == 0 || strcmp(name, "no") == 0
                  || strcmp(name, "dangerWillRobinson") == 0
                  || config_option_takes_value(name, &known);
    const char *next = argv[*at + 1];

    *value = inner;
    if (!known)
        return usage_error(err, "unknown option", argv[*at]);
    if (inner)
        return true;
    if (wanted && !next)
        return usage_error(err, "a value is missing behind", argv[*at]);
    if (wanted || (next && option_is_flag_word(next)))
        *value = argv[++*at];
    return true;
}

/* Words that only some commands know, and that take no value. */
static bool set_flag(struct command_line *line, const char *name)
{
    if (strcmp(name, "markdown") == 0)
        line->bash = false;
    else if (strcmp(name, "bash") == 0)
        line->bash = true;
    else if (strcmp(name, "json") == 0)
        line->json = true;
    else if (strcmp(name, "defaults") == 0)
        line->defaults = true;
    else if (strcmp(name, "text") == 0)
        line->text = true;
    else
        return false;
    return true;
}

static bool parse_option(struct command_line *line, char **argv, int *at, struct error *err)
{
    const char *text = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *equals = strchr(text, '=');
    const char *name =
        equals ? keep_word(line, memory_copy_bytes(text, (size_t)(equals - text))) : text;
    const char *value;

    name = complete_name(argv[*at], name, err);
    if (!name)
        return false;
    if (strcmp(argv[*at], "-h") == 0 || strcmp(name, "help") == 0)
        return line->help = true;
    if (strcmp(argv[*at], "-v") == 0 || strcmp(name, "version") == 0)
        return line->version = true;
    if (set_flag(line, name))
        return true;
    if (strcmp(name, "c") == 0)
        name = "config";
    if (!take_value(argv, at, name, equals ? equals + 1 : NULL, &value, err))
        return false;
    if (strcmp(name, "config") == 0)
        line->config = value;
    else if (strcmp(name, "no") == 0)
        return parse_instance(line, value, err);
    else if (strcmp(name, "dangerWillRobinson") == 0)
        return parse_danger(line, value, err);
    else
        add_argument(line, name, value);
    return true;
}

static bool command_line_parse(struct command_line *line, int argc, char **argv, struct error *err)
{
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-' && argv[at][1]) {
            if (!parse_option(line, argv, &at, err))
                return false;
        } else if (!line->action) {
            line->action = argv[at];
        } else if (line->name_count < NAMES_MAX) {
            line->names[line->name_count++] = argv[at];
        }
    }
    return true;
}

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

/* A file has the layout of sr3's log files, which is without the process id. */
static bool open_log(const struct config *config, struct error *err)
{
    struct log_settings settings = {.level = (enum log_level)config->log_level,
                                    .path = config->log_file,
                                    .to_stdout = config->log_stdout,
                                    .mode = config->perm_log,
                                    .with_pid = !config->log_file};

    return log_open(&settings, err);
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
        usage_error(err, "check reads what is in files and takes no options such as",
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
    return usage_error(err, "retry wants 'list', 'drop' or 'now', not", word ? word : "");
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
} commands[] = {
    {"foreground", foreground}, {"options", print_options},
    {"metrics", print_metrics}, {"show", show},
    {"check", check},           {"explain", explain},
    {"convert", convert},       {"setup", setup},
    {"declare", setup},         {"cleanup", cleanup},
    {"retry", retry},
};

static enum cli_status run_command(const struct command_line *line, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(line->action, commands[i].name) == 0)
            return commands[i].run(line, err);
    usage_error(err, "unknown action", line->action);
    return CLI_USAGE;
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
    else if (line.help || !line.action)
        fputs(usage_text, stdout);
    else
        status = run_command(&line, &err);
    fflush(stdout);
    if (status != CLI_OK)
        fprintf(stderr, "sr3sub: %s\n%s", err.text, status == CLI_USAGE ? usage_text : "");
    command_line_clear(&line);
    return status;
}
