/*
 * Writes a configuration in sr3's syntax as YAML.
 *
 * The configuration is loaded as ever, with all that follows for names, variables and included
 * files, and its lines are recorded on the way (convert_record.c). Here they are put in the form of
 * YAML: options in the order of the file, then the rules.
 */
#include "settings/convert.h"

#include "settings/config_kinds.h"
#include "settings/config_table.h"
#include "settings/convert_record.h"
#include "settings/yaml_file.h"
#include "settings/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct converter {
    struct config *config;
    struct convert_record record;
    FILE *out;
    bool *done; /* lines already written */
};

/* --- scalars --------------------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
    static const char *const special[] = {"~", "null", "Null", "NULL", "---", "..."};
    size_t length = strlen(text);

    for (size_t i = 0; i < COUNT_OF(special); i++)
        if (!strcmp(text, special[i]))
            return false;
    if (!length || strchr("?:,[]{}#&*!|>'\"%@` ", *text) || strchr(": ", text[length - 1]))
        return false;
    if (*text == '-' && (length == 1 || text[1] == ' '))
        return false;
    return !strstr(text, ": ") && !strstr(text, " #");
}

/* In quotes only where it has to be, in single ones where double ones would hide a backslash. */
static void write_scalar(FILE *out, const char *text)
{
    if (is_plain(text)) {
        fputs(text, out);
    } else if (!strpbrk(text, "\\\"")) {
        fprintf(out, "\"%s\"", text);
    } else {
        putc('\'', out);
        for (; *text; text++)
            fputs((char[]){*text, *text == '\'' ? '\'' : '\0', '\0'}, out);
        putc('\'', out);
    }
}

static void write_value(struct converter *converter, const char *text)
{
    putc(' ', converter->out);
    if (text)
        write_scalar(converter->out, text);
    else
        fputs("null", converter->out);
    putc('\n', converter->out);
}

static void write_comments(struct converter *converter, const char *comments, const char *indent)
{
    while (*comments) {
        size_t length = strcspn(comments, "\n");

        fprintf(converter->out, "%s%.*s\n", length ? indent : "", (int)length, comments);
        comments += length + 1;
    }
}

/* --- rules and bindings ---------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* The value of a line; NULL for None. */
static const char *text_of(const struct converter *converter, int line)
{
    const char *text = converter->record.lines[line].text;

    return strcmp(text, "None") ? text : NULL;
}

/* Comments of a line that is written only as part of others. */
static void write_comments_above(struct converter *converter, const struct convert_line *line,
                                 const enum config_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int above = line->above[i];

        if (above < 0 || above == converter->record.last[options[i]] || converter->done[above])
            continue;
        converter->done[above] = true;
        write_comments(converter, converter->record.lines[above].comments, "  ");
    }
}

/* The value that `line` has above it, if the file's is another. */
static bool take_own_value(const struct converter *converter, const struct convert_line *line,
                           size_t i, enum config_option option, const char **text)
{
    int above = line->above[i], last = converter->record.last[option];

    if (above == last)
        return false;
    *text = above < 0 ? line->before[i] : text_of(converter, above);
    return last < 0 || !is_same(*text, text_of(converter, last));
}

static void write_rule(struct converter *converter, const struct convert_line *line)
{
    const char *text;

    write_comments_above(converter, line, convert_captured, CONVERT_CAPTURED);
    write_comments(converter, line->comments, "  ");
    fprintf(converter->out, "  - %s:", line->option->name);
    write_value(converter, line->text);
    for (size_t i = 0; i < CONVERT_CAPTURED; i++) {
        bool own = take_own_value(converter, line, i, convert_captured[i], &text);

        if (i == CONVERT_FILENAME && line->filename) {
            text = line->filename;
            own = true;
        }
        if (!own)
            continue;
        fprintf(converter->out, "    %s:", config_option(convert_captured[i])->name);
        write_value(converter, text);
    }
}

static bool names_binding(const struct converter *converter, const struct convert_line *line)
{
    static const char *const none[] = {"None", "off", "False"};

    for (size_t i = 0; i < COUNT_OF(none); i++)
        if (!strcasecmp(line->text, none[i]))
            return false;
    return line->at < converter->config->binding_count;
}

static void write_binding(struct converter *converter, const struct convert_line *line)
{
    const char *exchange = NULL, *prefix = NULL;
    bool own_exchange = false, own_prefix = false;

    if (names_binding(converter, line)) {
        own_exchange =
            take_own_value(converter, line, CONVERT_EXCHANGE, CONFIG_OPTION_exchange, &exchange);
        own_prefix =
            take_own_value(converter, line, CONVERT_PREFIX, CONFIG_OPTION_topic_prefix, &prefix);
    }
    if (own_exchange && !exchange)
        exchange = converter->config->bindings[line->at].exchange;
    write_comments_above(converter, line, convert_bound, CONVERT_BOUND);
    write_comments(converter, line->comments, "  ");
    fputs(own_exchange || own_prefix ? "  - topic:" : "  -", converter->out);
    write_value(converter, line->text);
    if (own_exchange) {
        fputs("    exchange:", converter->out);
        write_value(converter, exchange);
    }
    if (own_prefix) {
        fputs("    topicPrefix:", converter->out);
        write_value(converter, prefix);
    }
}

/* --- the file -------------------------------------------------------------------------------- */

/* Whether the configuration refused the line when it was loaded. */
static bool was_refused(const struct converter *converter, const struct convert_line *line)
{
    char *place = memory_format("%s:%d: ", line->file, line->line);
    bool refused = false;

    for (size_t i = 0; i < converter->config->error_count; i++)
        refused = refused || !strncmp(converter->config->errors[i], place, strlen(place));
    free(place);
    return refused;
}

static void write_map_item(struct converter *converter, const struct convert_line *line)
{
    if (!line->name)
        return;
    write_comments(converter, line->comments, "  ");
    fputs("  ", converter->out);
    write_scalar(converter->out, line->name);
    fputs(":", converter->out);
    write_value(converter, line->text);
}

static void write_list_item(struct converter *converter, const struct convert_line *line)
{
    write_comments(converter, line->comments, "  ");
    fputs("  -", converter->out);
    write_value(converter, line->text);
}

/* How the lines of options that may have several are written. */
static const struct group {
    const struct option_kind *kind;
    const char *name; /* NULL: that of the option */
    void (*write)(struct converter *converter, const struct convert_line *line);
    bool at_end;
} groups[] = {
    {&option_DECLARE, "env", write_map_item, false}, {&option_HEADER, NULL, write_map_item, false},
    {&option_LIST, NULL, write_list_item, false},    {&option_SUBTOPIC, NULL, write_binding, false},
    {&option_ACCEPT, "rules", write_rule, true},     {&option_REJECT, "rules", write_rule, true},
};

static const struct group *group_of(const struct option *option)
{
    for (size_t i = 0; i < COUNT_OF(groups); i++)
        if (groups[i].kind == option->kind)
            return &groups[i];
    return NULL;
}

static bool belongs_to(const struct group *group, const struct option *of,
                       const struct convert_line *line)
{
    const struct group *other = group_of(line->option);

    return other && (group->at_end ? other->at_end : line->option == of);
}

/* All lines of the group that the one at `first` belongs to. */
static void write_group(struct converter *converter, const struct group *group, size_t first)
{
    struct convert_line *lines = converter->record.lines;
    const struct option *of = lines[first].option;

    write_comments(converter, lines[first].comments, "");
    *lines[first].comments = '\0';
    fprintf(converter->out, "%s:\n", group->name ? group->name : of->name);
    for (size_t i = first; i < converter->record.count; i++) {
        if (!belongs_to(group, of, &lines[i]) || converter->done[i])
            continue;
        converter->done[i] = true;
        group->write(converter, &lines[i]);
    }
}

static void write_line(struct converter *converter, size_t at)
{
    struct convert_line *line = &converter->record.lines[at];
    int last = converter->record.last[config_table_index(line->option)];

    if (last != (int)at)
        return;
    write_comments(converter, line->comments, "");
    fprintf(converter->out, "%s:", line->option->name);
    write_value(converter, line->text);
}

static void write_lines(struct converter *converter, bool at_end)
{
    for (size_t i = 0; i < converter->record.count; i++) {
        const struct group *group = group_of(converter->record.lines[i].option);

        if (converter->done[i] || at_end != (group && group->at_end))
            continue;
        if (group)
            write_group(converter, group, i);
        else
            write_line(converter, i);
    }
}

/* `None` empties a list: what stands above it is gone. */
static void empty_lists(struct converter *converter)
{
    struct convert_line *lines = converter->record.lines;

    for (size_t i = 0; i < converter->record.count; i++) {
        if (lines[i].option->kind != &option_LIST || strcmp(lines[i].text, "None") != 0)
            continue;
        for (size_t j = 0; j < i; j++)
            converter->done[j] = converter->done[j] || lines[j].option == lines[i].option;
    }
}

/*
 * exchangeSuffix has no effect on a default exchange that was chosen above it; in YAML it has, so
 * the exchange is named.
 */
static void name_exchange(struct converter *converter)
{
    if (!converter->record.suffix_is_late || converter->record.last[CONFIG_OPTION_exchange] >= 0
        || !converter->config->exchange)
        return;
    fputs("exchange:", converter->out);
    write_value(converter, converter->config->exchange);
}

/* What follows the last setting of the file. */
static void write_last_comments(struct converter *converter)
{
    struct convert_record *record = &converter->record;

    for (size_t i = 0; i < record->source_count; i++) {
        char *comments;

        if (strcmp(record->sources[i].path, converter->config->path) != 0)
            continue;
        comments = convert_record_rest(&record->sources[i]);
        write_comments(converter, comments, "");
        free(comments);
    }
}

/* --- notes ----------------------------------------------------------------------------------- */

static void write_left_out(const struct converter *converter, FILE *notes, const char *left_out)
{
    const struct config *config = converter->config;
    bool told = false;

    for (size_t i = 0; i < config->warning_count; i++)
        if (!strncmp(config->warnings[i], left_out, strlen(left_out))) {
            fprintf(notes, "%s; left out\n", config->warnings[i]);
            told = true;
        }
    for (size_t i = 0; i < config->error_count; i++) {
        size_t place = strcspn(left_out, " "); /* behind "file:line:" */

        told = told || !strncmp(config->errors[i], left_out, place);
    }
    if (!told)
        fprintf(notes, "%s: has no effect here; left out\n", left_out);
}

static void write_notes(const struct converter *converter, FILE *notes)
{
    const struct convert_record *record = &converter->record;
    const struct config *config = converter->config;

    for (size_t i = 0; i < config->error_count; i++)
        fprintf(notes, "%s; left out\n", config->errors[i]);
    for (size_t i = 0; i < config->warning_count; i++)
        if (strstr(config->warnings[i], ": option 'include': "))
            fprintf(notes, "%s; left out\n", config->warnings[i]);
    for (size_t i = 0; i < record->left_out_count; i++)
        write_left_out(converter, notes, record->left_out[i]);
    for (size_t i = 0; i < record->note_count; i++)
        fprintf(notes, "%s\n", record->notes[i]);
}

/* --- converting ------------------------------------------------------------------------------ */

/* Takes back lines that were refused, so that an earlier one of the same option counts again. */
static void drop_refused(struct converter *converter)
{
    struct convert_record *record = &converter->record;

    for (size_t i = 0; i < record->count && converter->config->error_count; i++) {
        enum config_option index = config_table_index(record->lines[i].option);

        if (!was_refused(converter, &record->lines[i]))
            continue;
        converter->done[i] = true;
        if (record->last[index] != (int)i)
            continue;
        record->last[index] = -1;
        for (size_t j = 0; j < i; j++)
            if (record->lines[j].option == record->lines[i].option && !converter->done[j])
                record->last[index] = (int)j;
    }
}

static void write_config(struct converter *converter, FILE *notes)
{
    converter->done = memory_new(converter->record.count + 1);
    drop_refused(converter);
    empty_lists(converter);
    name_exchange(converter);
    write_lines(converter, false);
    write_lines(converter, true);
    write_last_comments(converter);
    write_notes(converter, notes);
    free(converter->done);
}

bool convert_print(const struct config_request *request, FILE *out, FILE *notes, struct error *err)
{
    struct converter converter = {.out = out};
    const struct config_observer observer = {.context = &converter.record,
                                             .setting = convert_record_setting};
    struct config_request gathering = *request;
    bool done;

    gathering.checking = true;
    convert_record_init(&converter.record);
    converter.config = config_load_observed(&gathering, &observer, err);
    done = converter.config != NULL;
    if (done && yaml_file_is_called(converter.config->path))
        done = error_set(err, ERROR_OPERATOR, "'%s' is in YAML already", converter.config->path);
    if (done)
        write_config(&converter, notes);
    convert_record_clear(&converter.record);
    config_free(converter.config);
    return done;
}
