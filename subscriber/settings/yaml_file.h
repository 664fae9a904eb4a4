/*
 * Reader of YAML configuration files: the same settings as those of conf_file.h, one by one.
 *
 *     broker: amqps://dd.weather.gc.ca/
 *     topicPrefix: v02.post
 *     subtopic:                       # a text, or a list
 *       - "*.WXO-DD.radar.#"
 *       - topic: bulletins.#          # with an exchange or prefix of its own
 *         exchange: xother
 *     directory: /data
 *     rules:                          # tried from top to bottom
 *       - reject: .*\.tmp
 *       - accept: .*-RADAR-.*
 *         directory: /data/radar      # for this rule; without it, that of the file
 *     env: {SITE: north}              # for ${SITE}, and for the process
 *     header: {origin: north}
 *     include: common.yaml            # a text, or a list
 *
 * The order of keys does not matter. Settings are handed out in the order that makes what is
 * written true: env, brokers, other options, bindings, rules; and within each of these, what is
 * included comes first, so a file overrides what it includes, its subtopics and rules follow the
 * included ones, and rules have the directory of the including file if it names one. In `rules`,
 * directory, strip, flatten and filename count for one rule; files that match no rule have those of
 * the file. A variable that stands for an option, as ${DIRECTORY}, has what was written above it.
 *
 * null brings back an option's default. Whatever else is not understood is an error that says
 * where it stands and what would be right: unknown and older names, values of the wrong form, names
 * without effect here, and all that yaml_tree.h refuses.
 */
#pragma once

#include "settings/conf_file.h"

struct yaml_file;

/* Whether `path` ends in .yaml or .yml. */
bool yaml_file_is_called(const char *path);

/*
 * Reads the file and what it includes. `host` is copied. NULL and an error that begins with
 * "file:line:column: ", or names `path` when it cannot be read.
 */
struct yaml_file *yaml_file_open(const char *path, const struct conf_host *host,
                                 struct error *err) MUST_CHECK;

/* The same for `size_bytes` at `text`; `path` is only a name for messages. */
struct yaml_file *yaml_file_open_memory(const char *path, const char *text, size_t size_bytes,
                                        const struct conf_host *host, struct error *err) MUST_CHECK;

void yaml_file_close(struct yaml_file *file); /* NULL is fine */

/*
 * Takes the next setting, whose texts are good until the next call. False at the end, with
 * err->kind ERROR_NONE, and for an error; close it then.
 */
bool yaml_file_take(struct yaml_file *file, struct conf_setting *setting,
                    struct error *err) MUST_CHECK;
