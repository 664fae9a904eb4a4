/*
 * The commands that look at a configuration and change nothing: show, check, explain.
 *
 * They stand between cli.c, which knows what was typed, and the rest of the program. Each writes to
 * the stream it is given; none connects to anything.
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

/* For the commands: a copy of `text`, which may be NULL, with *** for the passwords in its URLs. */
char *command_hide_secrets(const char *text) MUST_CHECK;

/* Whether the variable `name` is likely to hold a secret: BROKER_PASSWORD, API_TOKEN. */
bool command_name_is_secret(const char *name);

/* `text` as JSON, NULL as null; bytes that are no UTF-8 become '?'. */
json_t *command_json_text(const char *text) MUST_CHECK;

/* Prints `value`, which is given up, on a line of its own. */
void command_print_json(json_t *value, size_t flags, FILE *out);
