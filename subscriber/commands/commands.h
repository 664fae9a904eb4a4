/*
 * The commands. show, check and explain look at a configuration and change nothing; setup, cleanup
 * and retry settle something with the broker and the stores and leave; status and health look at
 * what running instances wrote.
 *
 * They stand between cli.c, which knows what was typed, and the rest of the program. Each writes to
 * the stream it is given. Those that connect wait for a bounded time, and log as the subscriber.
 */
#pragma once

#include "settings/config.h"

#include <jansson.h>
#include <stdio.h>

struct show_settings {
    bool json;
    bool defaults; /* what was not set as well */
};

/*
 * Prints every effective value with the file and line it comes from; then rules, bindings, and the
 * names that follow from them. Passwords are replaced by ***.
 */
void show_print(const struct config *config, const struct show_settings *settings, FILE *out);

/*
 * Checks configurations by name, or all there are if there are no names, and prints all problems.
 * False if one of them has an error: `err` counts them.
 */
bool check_run(const char *const *names, size_t name_count, FILE *out,
               struct error *err) MUST_CHECK;

/*
 * Reads announcements from `in`, one JSON object for each line, and prints for each what would be
 * done: a line of JSON, or with `as_text` sentences. Blank lines are skipped. False if there were
 * lines that are not JSON, which are malformed announcements, or if no judgement is possible.
 *
 *     {"routing_key": "v02.post.a", "content_type": "text/plain", "headers": {...}, "body": "..."}
 *     {"pubTime": "...", "baseUrl": "...", "relPath": "..."}      a bare v03 body
 */
bool explain_run(const struct config *config, bool as_text, FILE *in, FILE *out,
                 struct error *err) MUST_CHECK;

/* What was typed behind the command's name. */
struct command_request {
    const char *const *names; /* of configurations; shell patterns are fine */
    size_t name_count;        /* 0: all there are */
    bool from_config_option;
    const struct config_argument *arguments;
    size_t argument_count;
};

/* Declares queues and bindings and logs what was done. False when one could not be declared. */
bool setup_run(const struct command_request *request, struct error *err) MUST_CHECK;

/*
 * Deletes queues, records that wait for another try, and state files, but no exchange and not what
 * has been placed. Refused for what is running, and for more than one unless `danger` is how many
 * there are. False when one could not be cleaned up.
 */
bool cleanup_run(const struct command_request *request, long danger, FILE *out,
                 struct error *err) MUST_CHECK;

enum retry_command { RETRY_COMMAND_LIST, RETRY_COMMAND_DROP, RETRY_COMMAND_NOW };

struct retry_request {
    enum retry_command command;
    const char *pattern; /* shell pattern on the relative path; NULL: all */
    bool json;           /* of list */
};

/* What waits for another try: printed in the order of its due times, forgotten, or made due. */
bool retry_run(const struct config *config, const struct retry_request *request, FILE *out,
               struct error *err) MUST_CHECK;

struct status_request {
    const char *const *names; /* shell patterns on component/name */
    size_t name_count;        /* 0: all there are */
    bool json;                /* an array with an object for each subscription */
    bool full;                /* more columns in the table */
    bool watch;               /* look again and again, until a signal comes */
};

/*
 * Prints what instances do that have a configuration, or metrics in the metrics directory. False
 * when names were given and there is nothing of that name.
 */
bool status_run(const struct status_request *request, FILE *out, struct error *err) MUST_CHECK;

/*
 * Whether the instance works: its metrics are fresh, it is connected, and settles what it was
 * given. False and why not.
 */
bool health_run(const struct config *config, struct error *err) MUST_CHECK;

/*
 * For the commands: the names that patterns stand for, each once, as config_load() takes them; all
 * there are without patterns. What is no pattern stays as it is. NULL when a pattern matches
 * nothing.
 */
char **command_find_names(const char *const *patterns, size_t pattern_count, size_t *count,
                          struct error *err) MUST_CHECK;
void command_free_names(char **names, size_t count);

/* The configuration `name`, with the options that were typed. */
struct config *command_load(const struct command_request *request, const char *name,
                            struct error *err) MUST_CHECK;

/* For the commands: a copy of `text`, which may be NULL, with *** for the passwords in its URLs. */
char *command_hide_secrets(const char *text) MUST_CHECK;

/* Whether the variable `name` is likely to hold a secret: BROKER_PASSWORD, API_TOKEN. */
bool command_name_is_secret(const char *name);

/* `text` as JSON, NULL as null; bytes that are no UTF-8 become '?'. */
json_t *command_json_text(const char *text) MUST_CHECK;

/* Prints `value`, which is given up, on a line of its own. */
void command_print_json(json_t *value, size_t flags, FILE *out);
