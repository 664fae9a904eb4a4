/*
 * What the file of a configuration says.
 *
 * Lines are kept as they are written, variables included. Only where the place of a line decided
 * what a variable stands for, the value is kept and a note says so.
 */
#include "settings/convert_record.h"

#include "settings/config_kinds.h"
#include "settings/config_table.h"
#include "settings/option_words.h"
#include "settings/yaml_tree.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

const enum config_option convert_captured[CONVERT_CAPTURED] = {
    CONFIG_OPTION_directory, CONFIG_OPTION_strip, CONFIG_OPTION_flatten, CONFIG_OPTION_filename};
const enum config_option convert_bound[CONVERT_BOUND] = {CONFIG_OPTION_exchange,
                                                         CONFIG_OPTION_topic_prefix};

void convert_record_init(struct convert_record *record)
{
    *record = (struct convert_record){.with_variables = memory_copy("")};
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        record->last[i] = -1;
}

static void clear_line(struct convert_line *line)
{
    free(line->text);
    free(line->name);
    free(line->comments);
    free(line->file);
    free(line->filename);
    for (int i = 0; i < CONVERT_CAPTURED; i++)
        free(line->before[i]);
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

void convert_record_clear(struct convert_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        clear_line(&record->lines[i]);
    for (size_t i = 0; i < record->source_count; i++) {
        free(record->sources[i].path);
        free(record->sources[i].text);
    }
    free_texts(record->notes, record->note_count);
    free_texts(record->left_out, record->left_out_count);
    free(record->lines);
    free(record->sources);
    free(record->with_variables);
}

static void add_note(char ***list, size_t *count, char *text)
{
    *list = memory_resize(*list, *count + 1, sizeof(**list));
    (*list)[(*count)++] = text;
}

static void note(struct convert_record *record, const struct conf_setting *at, const char *what)
{
    add_note(&record->notes, &record->note_count,
             memory_format("%s:%d: option '%s': %s", at->file, at->line, at->name, what));
}

void convert_record_note(struct convert_record *record, const struct convert_line *line,
                         const char *what)
{
    const struct conf_setting at = {
        .name = line->option->name, .file = line->file, .line = line->line};

    note(record, &at, what);
}

/* --- comments -------------------------------------------------------------------------------- */

/* `path`, read when it is met first. */
static struct convert_source *source_of(struct convert_record *record, const struct config *config,
                                        const char *path)
{
    struct convert_source *source;
    struct error err = {0};
    size_t size;

    for (size_t i = 0; i < record->source_count; i++)
        if (!strcmp(record->sources[i].path, path))
            return &record->sources[i];
    record->sources =
        memory_resize(record->sources, record->source_count + 1, sizeof(*record->sources));
    source = &record->sources[record->source_count++];
    *source = (struct convert_source){.path = memory_copy(path)};
    if (!conf_file_read(path, &source->text, &size, &err))
        source->text = memory_copy("");
    source->rest = source->text;
    if (strcmp(path, config->path) != 0)
        add_note(&record->notes, &record->note_count,
                 memory_format("%s:1: what this included file sets is written out; later changes "
                               "to it will not be seen",
                               path));
    return source;
}

/* Adds a line of the file if it is empty or a comment that YAML can have. */
static void add_comment(char **comments, const char *text, size_t length)
{
    struct error err = {0};

    while (length && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    if (length && (*text != '#' || !yaml_tree_check_bytes("", text, length, &err)))
        return;
    memory_replace(comments, memory_format("%s%.*s\n", *comments, (int)length, text));
}

/* What stands between the setting before and the one at `line`, allocated. */
static char *take_comments(struct convert_source *source, int line)
{
    char *comments = memory_copy("");

    if (line < source->line) { /* included once more */
        source->line = 0;
        source->rest = source->text;
    }
    for (; source->line < line && *source->rest; source->line++) {
        size_t length = strcspn(source->rest, "\n");

        add_comment(&comments, source->rest, length);
        source->rest += length + (source->rest[length] != '\0');
    }
    return comments;
}

char *convert_record_rest(struct convert_source *source)
{
    return take_comments(source, INT_MAX);
}

/* --- values ---------------------------------------------------------------------------------- */

/* Whether the variable stands for an option that was set above. */
static bool is_option_variable(const char *name, size_t length)
{
    char *lower = memory_copy_bytes(name, length);
    const struct option *option;

    for (char *c = lower; *c; c++)
        *c = islower((unsigned char)*c) ? '\0' : (char)tolower((unsigned char)*c);
    option = *lower ? config_table_find(lower) : NULL;
    free(lower);
    return option && strlen(option->name) == length;
}

static bool depends_on_place(const struct config *config, const char *text)
{
    for (const char *at = text, *end; (at = strstr(at, "${")) && (end = strchr(at, '}'));
         at = end) {
        size_t length = (size_t)(end - at - 2);

        if (is_option_variable(at + 2, length))
            return true;
        if (!strncmp(at, "${BROKER_USER}", 14) && !config->broker.parts.user)
            return true;
        if (!strncmp(at, "${POST_BROKER_USER}", 19) && !config->post_broker.parts.user)
            return true;
    }
    return false;
}

/* The text to keep: as written where that means the same in YAML. */
static char *choose_text(struct convert_record *record, const struct config *config,
                         const struct conf_setting *written, const struct conf_setting *meant,
                         const struct option *option)
{
    bool translated = meant->value != written->value;
    const char *text = translated ? meant->value : written->written;

    if (!translated && depends_on_place(config, text) && depends_on_place(config, meant->value)) {
        note(record, written,
             "a variable in it has no value here, above the line it depends on; in YAML it has");
    } else if (strstr(written->written, "${") && (translated || depends_on_place(config, text))) {
        text = meant->value;
        note(record, written,
             "a variable in it depends on what stands above; its value is written instead");
    }
    if (strstr(text, "${"))
        memory_replace(&record->with_variables,
                       memory_format("%s\n%s", record->with_variables, text));
    if (option->kind == &option_FLAG && !strstr(text, "${")) {
        char *word = memory_copy_bytes(text, strcspn(text, " "));
        bool on = !*word || option_is_true_word(word);

        free(word);
        return memory_copy(on ? "on" : "off");
    }
    if (option->kind->whole_line)
        return memory_copy(text);
    return memory_copy_bytes(text, strcspn(text, " "));
}

/* --- lines ----------------------------------------------------------------------------------- */

static void capture(struct convert_record *record, struct config *config, struct convert_line *line,
                    const enum config_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        line->above[i] = record->last[options[i]];
        line->before[i] =
            memory_copy(*(char **)config_table_member(config, config_option(options[i])));
    }
}

/* Takes the rule for names from behind the pattern. */
static void split_rule(struct convert_line *line)
{
    size_t end = strcspn(line->text, " ");
    const char *rest = line->text + end + (line->text[end] != '\0');

    if (*rest && *rest != '#')
        line->filename = memory_copy_bytes(rest, strcspn(rest, " "));
    line->text[end] = '\0';
}

/* NAME=VALUE; a line above that sets the same gives way. */
static void split_pair(struct convert_record *record, struct convert_line *line)
{
    const char *equals = strchr(line->text, '=');
    char *text;

    if (!equals)
        return;
    line->name = memory_copy_bytes(line->text, (size_t)(equals - line->text));
    text = memory_copy(equals + 1);
    memory_replace(&line->text, text);
    for (size_t i = 0; i < record->count; i++) {
        struct convert_line *other = &record->lines[i];

        if (other->option != line->option || !other->name || strcmp(other->name, line->name) != 0)
            continue;
        if (strcmp(other->text, line->text) != 0)
            convert_record_note(record, other,
                                "it is set again below; only the last value is written, and "
                                "counts everywhere");
        memory_replace(&other->name, NULL);
    }
}

/* A variable that is declared below its use has no value there in sr3. */
static void check_use(struct convert_record *record, const struct convert_line *line)
{
    char *variable = line->name ? memory_format("${%s}", line->name) : memory_copy("${}");

    if (strstr(record->with_variables, variable))
        convert_record_note(record, line,
                            "the variable is used above, where it is not declared yet; in YAML it "
                            "has this value there too");
    free(variable);
}

static bool is_declared_env(const char *text)
{
    return !strncmp(text, "env ", 4);
}

/* a,b and then +c,-d make a,b,+c,-d. */
static void join_set(const struct convert_record *record, struct convert_line *line,
                     enum config_option index)
{
    if (record->last[index] >= 0 && *line->text && strchr("+-", *line->text))
        memory_replace(&line->text,
                       memory_format("%s,%s", record->lines[record->last[index]].text, line->text));
}

/* What kinds of options need beyond their text. False: nothing of the line is kept. */
static bool refine(struct convert_record *record, struct config *config, struct convert_line *line)
{
    const struct option_kind *kind = line->option->kind;
    enum config_option index = config_table_index(line->option);

    if (kind == &option_ACCEPT || kind == &option_REJECT) {
        capture(record, config, line, convert_captured, CONVERT_CAPTURED);
        line->at = config->rule_count;
        split_rule(line);
    } else if (kind == &option_SUBTOPIC) {
        capture(record, config, line, convert_bound, CONVERT_BOUND);
        line->at = config->binding_count;
    } else if (kind == &option_DECLARE) {
        if (!is_declared_env(line->text))
            return false;
        memmove(line->text, line->text + 4, strlen(line->text + 4) + 1);
        split_pair(record, line);
        check_use(record, line);
    } else if (kind == &option_HEADER) {
        split_pair(record, line);
    } else {
        if (kind == &option_SET)
            join_set(record, line, index);
        if (index == CONFIG_OPTION_broker && record->last[index] >= 0)
            convert_record_note(record, &record->lines[record->last[index]],
                                "it is set again below; only the last value is written, and "
                                "counts everywhere");
        if (index == CONFIG_OPTION_exchange_suffix && config->binding_count)
            record->suffix_is_late = true;
        record->last[index] = (int)record->count;
    }
    return true;
}

static void leave_out(struct convert_record *record, const struct conf_setting *written)
{
    add_note(&record->left_out, &record->left_out_count,
             memory_format("%s:%d: option '%s'", written->file, written->line, written->name));
}

void convert_record_setting(void *context, struct config *config,
                            const struct conf_setting *written, const struct conf_setting *meant,
                            const struct option *option)
{
    struct convert_record *record = context;
    struct convert_source *source = source_of(record, config, written->file);
    struct convert_line line = {.option = option};
    struct error err = {0};

    if (!meant || !option) {
        leave_out(record, written);
        return;
    }
    line.comments = take_comments(source, written->line);
    line.file = memory_copy(written->file);
    line.line = written->line;
    line.text = choose_text(record, config, written, meant, option);
    if (!yaml_tree_check_bytes("", line.text, strlen(line.text), &err))
        note(record, written, "it has bytes that are not UTF-8, which YAML cannot; write it anew");
    if (!refine(record, config, &line)) {
        leave_out(record, written);
        clear_line(&line);
        return;
    }
    record->lines = memory_resize(record->lines, record->count + 1, sizeof(*record->lines));
    record->lines[record->count++] = line;
}
