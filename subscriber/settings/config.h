/*
 * One configuration: everything the program was told, from files and arguments, in one struct.
 *
 * Read in this order, later settings win: admin.conf, default.conf, subscribe/NAME.conf below
 * config_dir, the environment (config_environment.h), then the command line. One member for each
 * option of options.def; behind them what follows from the options: rules, bindings, names, paths.
 *
 * Loading opens no connection, writes nothing and changes nothing in the process. Passwords are in
 * `broker`, the redis URLs and `credentials` only; no error or warning holds one.
 */
#pragma once

#include "settings/credentials.h"
#include "settings/option_kinds.h"

/* Members of options whose order matters: how many lines of it there were. */
#define OPTION_TYPE_ACCEPT   size_t
#define OPTION_TYPE_REJECT   size_t
#define OPTION_TYPE_SUBTOPIC size_t
#define OPTION_TYPE_INCLUDE  size_t /* always 0: included files come in the place of the line */
#define OPTION_TYPE_DECLARE  size_t
#define OPTION_TYPE_HEADER   size_t

/* Index of each option, in the order of options.def: CONFIG_OPTION_broker, ... */
enum config_option {
#define OPTION(kind, field, ...) CONFIG_OPTION_##field,
#include "settings/options.def"
    CONFIG_OPTIONS
};

/* Values of choices: log_level is one of enum log_level (base/log.h). */
enum config_driver { CONFIG_DRIVER_DISK, CONFIG_DRIVER_REDIS };

enum config_tls { CONFIG_TLS_LAX, CONFIG_TLS_NORMAL, CONFIG_TLS_STRICT };

enum config_durability { CONFIG_DURABILITY_NONE, CONFIG_DURABILITY_GROUP, CONFIG_DURABILITY_EACH };

enum config_fail { CONFIG_FAIL_CLOSED, CONFIG_FAIL_OPEN };

enum config_nodupe_basis { CONFIG_BASIS_PATH, CONFIG_BASIS_DATA, CONFIG_BASIS_NAME };

enum config_format { CONFIG_FORMAT_V02, CONFIG_FORMAT_V03, CONFIG_FORMAT_WIS };

/* Bits of file_events. */
enum config_event {
    CONFIG_EVENT_CREATE = 1 << 0,
    CONFIG_EVENT_DELETE = 1 << 1,
    CONFIG_EVENT_LINK = 1 << 2,
    CONFIG_EVENT_MKDIR = 1 << 3,
    CONFIG_EVENT_MODIFY = 1 << 4,
    CONFIG_EVENT_RMDIR = 1 << 5
};

/* Bits of log_events. */
enum config_log_event {
    CONFIG_LOG_AFTER_ACCEPT = 1 << 0,
    CONFIG_LOG_AFTER_POST = 1 << 1,
    CONFIG_LOG_AFTER_WORK = 1 << 2,
    CONFIG_LOG_ON_HOUSEKEEPING = 1 << 3,
    CONFIG_LOG_REJECT = 1 << 4,
    CONFIG_LOG_NODUPE = 1 << 5,
    CONFIG_LOG_ON_START = 1 << 6,
    CONFIG_LOG_ON_STOP = 1 << 7,
    CONFIG_LOG_GATHER = 1 << 8
};

/*
 * An accept or reject line, with what was set above it. A directory may have variables that differ
 * from file to file; it is absolute unless it begins with one.
 */
struct config_rule {
    bool accept;
    char *pattern;
    char *directory;
    char *strip;      /* a number or a pattern; NULL: none */
    char *flatten;    /* NULL: no */
    char *filename;   /* rule for names, of this line or of those above; NULL: none */
    const char *file; /* where the line stands */
    int line;
};

/* A subtopic line. */
struct config_binding {
    char *exchange;
    char *topic;          /* with its prefix, levels separated by '.' */
    size_t prefix_length; /* how many letters of the topic are its prefix; 0: there is none */
    const char *file;     /* where the line stands; NULL: there is none */
    int line;
};

struct config_variable {
    char *name, *value;
};

/* Where an option was set last. */
struct config_origin {
    const char *file; /* "command line", "environment variable X"; NULL: it has its default */
    int line;         /* 0: it is in no file */
    char *text;       /* the value as given, with variables replaced; may hold a password */
};

struct config {
#define OPTION(kind, field, ...) OPTION_TYPE_##kind field;
#include "settings/options.def"

    struct config_origin origins[CONFIG_OPTIONS];

    const char *component; /* "subscribe" */
    char *name;            /* "dd_all" */
    char *process_name;    /* as sr3 has it in logs and keys: "subscribe/dd_all" after --config */
    int instance;

    struct config_rule *rules; /* in file order */
    size_t rule_count;
    struct config_binding *bindings;
    size_t binding_count;
    struct config_variable *environment; /* of `declare env` lines */
    size_t environment_count;
    struct config_variable *headers; /* of `header` lines */
    size_t header_count;

    char *broker_url;      /* for messages: with user and port, without password */
    char *broker_vhost;    /* "/" unless the URL has one */
    char *queue;           /* the name to be used */
    char *queue_name_path; /* sr3's file that keeps the name when there is no queueName */
    char *nodupe_base;     /* prefix of keys shared with sr3, at most 64 bytes */
    struct credentials *credentials;

    char *path; /* of the configuration file */
    char *credentials_path;
    char *config_dir, *state_dir;  /* ~/.config/sr3, ~/.cache/sr3 */
    char *subscription_dir;        /* state of this subscription: state_dir/subscribe/NAME */
    char *log_path, *metrics_path; /* of this instance */

    char **warnings; /* for the log; each names file and line if it has one */
    size_t warning_count;

    char **errors; /* gathered with config_request.checking */
    size_t error_count;

    char **files; /* private: names that origins and rules refer to */
    size_t file_count;
    struct config_loader *loader; /* private: while it is loaded */
};

struct config_argument {
    const char *name;  /* without dashes; synonyms are fine */
    const char *value; /* NULL: none was given */
};

struct config_request {
    const char *name;        /* as typed: "subscribe/dd_all", "subscribe/dd_all.conf", "dd_all" */
    bool from_config_option; /* typed behind --config, which makes process_name longer */
    int instance;            /* 0: none was given */
    const struct config_argument *arguments;
    size_t argument_count;
    bool checking; /* gather errors, and warn of what may be meant for this host only */
};

/*
 * Loads a configuration. NULL and an error of kind ERROR_OPERATOR, with file and line, that says
 * what to do. `request` is not needed afterwards.
 *
 * With request->checking, what is wrong in its files is gathered in `errors`; a configuration that
 * has some is good for nothing but reading these and the warnings.
 */
struct config *config_load(const struct config_request *request, struct error *err) MUST_CHECK;
void config_free(struct config *config); /* NULL is fine */

/* The directory of configurations, ~/.config/sr3, allocated. */
char *config_directory(void) MUST_CHECK;

/* The directory of state, ~/.cache/sr3, without what `statehost` adds, allocated. */
char *config_state_directory(void) MUST_CHECK;

/* A configuration of no file: options have their defaults, and nothing follows from them. */
struct config *config_defaults(void) MUST_CHECK;

/* Gives the process the variables of `declare env` that its environment does not have yet. */
void config_export_environment(const struct config *config);

/*
 * Puts "file:line: option 'name'" in front of `err`; for an option that has its default, the file
 * is that of the configuration. Returns false.
 */
bool config_wrap_origin(const struct config *config, enum config_option index, struct error *err);

/* Whether this version does what the option asks for; if not, the error says where and what. */
bool config_check_option(const struct config *config, enum config_option index,
                         struct error *err) MUST_CHECK;

/*
 * Whether it does all that changes which files arrive, or what happens to them. It has to be asked
 * before the configuration is run.
 */
bool config_check_supported(const struct config *config, struct error *err) MUST_CHECK;

enum config_match { CONFIG_MATCH_NONE, CONFIG_MATCH_ONE, CONFIG_MATCH_SEVERAL };

/*
 * The name that begins with `typed`, or is it; when there are several, *name is the first of them.
 */
enum config_match config_option_complete(const char *typed, const char **name);

/*
 * Whether the option `name` (or synonym) must have a value. If it need not (a flag), *known is
 * true as well, and the next word is its value only if option_is_flag_word() says so.
 */
bool config_option_takes_value(const char *name, bool *known);

/* The row of an option; origins and rows have the same index. */
const struct option *config_option(enum config_option index);
