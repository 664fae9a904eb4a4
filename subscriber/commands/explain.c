/*
 * explain: what would be done with announcements, and which line of the configuration decides.
 *
 * An announcement goes through the reader and the judge of the subscriber, and the names it would
 * get come from the writer and from dedupe; nothing is worked out here a second time.
 */
#include "commands/commands.h"

#include "base/clock.h"
#include "judge.h"
#include "stages/dedupe.h"

#include <stdlib.h>
#include <string.h>

#define JSON_FLAGS   (JSON_DECODE_ANY | JSON_ALLOW_NUL)
#define MESSAGE_SIZE 400

struct explain {
    const struct config *config;
    struct judge *judge;
    FILE *out;
    bool as_text;
    size_t lines, bad_lines; /* bad: not JSON */
};

/* Everything that is said about one announcement; NULL: not known, or it does not apply. */
struct finding {
    const char *verdict;                        /* accept, reject, malformed */
    int code;                                   /* 0: none */
    char *reason, *path, *inflight, *redis_key; /* allocated */
    const char *rel_path;
    const struct filter_rule *rule;
    char *rule_text; /* allocated */
    const char *url, *op, *key, *key_path;
    char *from;         /* allocated: the former name, or what a hard link is made to */
    const char *target; /* of a symbolic link */
};

static void finding_clear(struct finding *finding)
{
    free(finding->reason);
    free(finding->path);
    free(finding->inflight);
    free(finding->redis_key);
    free(finding->rule_text);
    free(finding->from);
}

/* ---- printing ---- */

static json_t *json_rule(const struct finding *finding)
{
    if (!finding->rule)
        return json_null();
    return json_pack("{s:o, s:i, s:o}", "file", command_json_text(finding->rule->file), "line",
                     finding->rule->line, "text", command_json_text(finding->rule_text));
}

static json_t *json_nodupe(const struct finding *finding)
{
    if (!finding->key)
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "key", command_json_text(finding->key), "path",
                     command_json_text(finding->key_path), "redis_key",
                     command_json_text(finding->redis_key));
}

static void print_json(const struct finding *finding, FILE *out)
{
    json_t *line = json_object();

    json_object_set_new(line, "verdict", json_string(finding->verdict));
    json_object_set_new(line, "code", finding->code ? json_integer(finding->code) : json_null());
    json_object_set_new(line, "reason", command_json_text(finding->reason));
    json_object_set_new(line, "rule", json_rule(finding));
    json_object_set_new(line, "path", command_json_text(finding->path));
    json_object_set_new(line, "inflight", command_json_text(finding->inflight));
    json_object_set_new(line, "url", command_json_text(finding->url));
    json_object_set_new(line, "op", command_json_text(finding->op));
    json_object_set_new(line, "from", command_json_text(finding->from));
    json_object_set_new(line, "target", command_json_text(finding->target));
    json_object_set_new(line, "nodupe", json_nodupe(finding));
    command_print_json(line, 0, out);
}

/* What is done, as a sentence that goes on with the path. */
static const char *deed(const char *op)
{
    static const struct {
        const char *op, *deed;
    } deeds[] = {
        {"link", "A symbolic link is made at"}, {"hlink", "A hard link is made at"},
        {"remove", "What is removed is"},       {"rename", "What had the old name becomes"},
        {"mkdir", "The directory made is"},     {"rmdir", "The directory removed is"},
        {"nothing", "Nothing is done at"},
    };

    for (size_t i = 0; i < COUNT_OF(deeds); i++)
        if (strcmp(op, deeds[i].op) == 0)
            return deeds[i].deed;
    return "The file goes to";
}

static void write_deed(const struct finding *finding, FILE *out)
{
    bool link = strcmp(finding->op, "hlink") == 0;
    bool fetched = finding->url && strcmp(finding->op, "download") == 0;

    if (fetched)
        fprintf(out, "  It is fetched from %s.\n", finding->url);
    fprintf(out, "  %s %s.\n", deed(finding->op), finding->path);
    if (finding->target)
        fprintf(out, "  It leads to '%s'.\n", finding->target);
    if (finding->from)
        fprintf(out, "  %s %s.\n", link ? "It is made to" : "The old name is", finding->from);
    if (finding->url && !fetched)
        fprintf(out, "  If that is not there the file is fetched from %s.\n", finding->url);
}

static void write_sentences(const struct finding *finding, size_t line, FILE *out)
{
    bool accepted = strcmp(finding->verdict, "accept") == 0;

    if (finding->rel_path)
        fprintf(out, "'%s' is %sed", finding->rel_path, finding->verdict);
    else
        fprintf(out, "Line %zu is malformed", line);
    if (finding->code)
        fprintf(out, " with code %d", finding->code);
    fprintf(out, ": %s.\n", finding->reason);
    if (finding->rule)
        fprintf(out, "  The rule that matches is '%s' (%s:%d).\n", finding->rule_text,
                finding->rule->file, finding->rule->line);
    if (accepted)
        write_deed(finding, out);
    if (accepted && finding->inflight)
        fprintf(out, "  Until it is whole its name is %s.\n", finding->inflight);
    if (accepted)
        fprintf(out, "  It is a duplicate of what has the key '%s' and the path '%s'.\n",
                finding->key, finding->key_path);
}

/* Strangers' texts must not drive the terminal. */
static void print_text(const struct finding *finding, size_t line, FILE *out)
{
    char *text;
    size_t size;
    FILE *sentences = open_memstream(&text, &size);

    if (!sentences)
        return;
    write_sentences(finding, line, sentences);
    fclose(sentences);
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' && *at != '\n')
            fprintf(out, "\\x%02X", (unsigned char)*at);
        else
            fputc(*at, out);
    free(text);
}

static void print_finding(const struct explain *explain, struct finding *finding)
{
    if (explain->as_text)
        print_text(finding, explain->lines, explain->out);
    else
        print_json(finding, explain->out);
    finding_clear(finding);
}

static void print_malformed(const struct explain *explain, const char *reason)
{
    struct finding finding = {.verdict = "malformed", .reason = memory_copy(reason)};

    print_finding(explain, &finding);
}

/* ---- finding ---- */

static char *accept_reason(const struct judgement *judgement)
{
    const char *reason = judgement->destination.rule ? "the rule accepts it"
                                                     : "no rule matches and acceptUnmatched is on";

    if (judgement->renamed_away)
        return memory_copy("its new name is rejected, and what has the old one is removed");
    if (!judgement->wait_ms)
        return memory_copy(reason);
    return memory_format("%s; the file is to rest for %.9g s first: fileAgeMin", reason,
                         (double)judgement->wait_ms / 1000);
}

static char *reject_reason(const struct judgement *judgement)
{
    bool by_rules = judgement->code == 404;

    if (by_rules && judgement->destination.rule)
        return memory_copy("the rule rejects it");
    return memory_copy(by_rules ? "no rule matches and acceptUnmatched is off" : judgement->reason);
}

static char *join(const char *directory, const char *path)
{
    return memory_format("%s/%s", strcmp(directory, "/") == 0 ? "" : directory, path);
}

static void find_names(const struct explain *explain, const struct announcement *announcement,
                       const struct judgement *judgement, struct finding *finding)
{
    const struct filter_verdict *destination = &judgement->destination;
    const struct events_plan *event = &judgement->event;
    struct writer_plan plan = judge_plan(explain->config, announcement, destination);

    if (!destination->path)
        return;
    finding->path = join(destination->directory, destination->path);
    if (judgement->accepted && event->other_path)
        finding->from = join(event->other_directory, event->other_path);
    if (judgement->accepted && (judgement->op == JUDGE_LINK || event->otherwise == EVENTS_LINK))
        finding->target = event->target;
    if (judgement->op == JUDGE_DOWNLOAD)
        finding->inflight = writer_print_inflight(explain->config->inflight, &plan);
}

static void explain_announcement(const struct explain *explain, struct announcement *announcement)
{
    struct judgement judgement;
    struct finding finding = {0};

    judge_decide(explain->judge, announcement, clock_wall_ns(), &judgement);
    finding.verdict = judgement.accepted ? "accept" : "reject";
    finding.code = judgement.code;
    finding.rel_path = announcement->rel_path;
    finding.rule = judgement.destination.rule;
    finding.reason = judgement.accepted ? accept_reason(&judgement) : reject_reason(&judgement);
    if (finding.rule)
        finding.rule_text = memory_format("%s %s", finding.rule->accept ? "accept" : "reject",
                                          finding.rule->pattern);
    finding.url = judgement.accepted && judgement.event.otherwise ? NULL : judgement.fetch_url;
    finding.op = judge_op_name(judgement.op);
    finding.key = judgement.key;
    finding.key_path = judgement.path;
    finding.redis_key =
        dedupe_print_redis_key(explain->config->nodupe_base, judgement.key, judgement.path);
    find_names(explain, announcement, &judgement, &finding);
    print_finding(explain, &finding);
}

static void explain_envelope(const struct explain *explain, const struct envelope *envelope)
{
    struct announcement announcement;
    struct error err = {0};

    if (!announcement_parse(envelope, &announcement, &err)) {
        print_malformed(explain, err.text);
        return;
    }
    explain_announcement(explain, &announcement);
    announcement_clear(&announcement);
}

/* ---- reading ---- */

/* As the broker would have delivered it: numbers and booleans as text, nothing nested. */
static bool header_value(struct arena *arena, const json_t *value, struct slice *text)
{
    if (json_is_string(value)) {
        *text = (struct slice){json_string_value(value), json_string_length(value)};
        return true;
    }
    if (!json_is_integer(value) && !json_is_boolean(value))
        return false;
    text->bytes = arena_format(arena, "%" JSON_INTEGER_FORMAT,
                               json_is_integer(value) ? json_integer_value(value)
                                                      : (json_int_t)json_is_true(value));
    text->length = strlen(text->bytes);
    return true;
}

static size_t read_headers(struct arena *arena, json_t *object, struct envelope_header *headers)
{
    const char *name;
    json_t *value;
    size_t count = 0;

    json_object_foreach(object, name, value)
    {
        if (header_value(arena, value, &headers[count].value))
            headers[count++].name = (struct slice){name, strlen(name)};
    }
    return count;
}

static struct slice text_of(const json_t *object, const char *name, const char *otherwise)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value))
        return (struct slice){json_string_value(value), json_string_length(value)};
    return (struct slice){otherwise, strlen(otherwise)};
}

/* The body, which may also be written as an object instead of its text. */
static struct slice body_of(struct arena *arena, const json_t *message)
{
    const json_t *body = json_object_get(message, "body");
    struct slice text = text_of(message, "body", "");
    char *dump;

    if (!body || json_is_string(body))
        return text;
    dump = json_dumps(body, JSON_ENCODE_ANY | JSON_COMPACT);
    text.length = strlen(dump);
    text.bytes = arena_copy(arena, dump, text.length);
    free(dump);
    return text;
}

static const char *usual_exchange(const struct config *config)
{
    return config->binding_count ? config->bindings[0].exchange : config->exchange;
}

static void explain_message(const struct explain *explain, json_t *message)
{
    struct arena arena = {0};
    json_t *object = json_object_get(message, "headers");
    struct envelope_header *headers =
        arena_take(&arena, (json_object_size(object) + 1) * sizeof(*headers));
    struct envelope envelope = {
        .content_type = text_of(message, "content_type", ""),
        .exchange = text_of(message, "exchange", usual_exchange(explain->config)),
        .routing_key = text_of(message, "routing_key", ""),
        .headers = headers,
        .header_count = json_is_object(object) ? read_headers(&arena, object, headers) : 0,
        .body = body_of(&arena, message),
    };

    explain_envelope(explain, &envelope);
    arena_clear(&arena);
}

static void explain_body(const struct explain *explain, struct slice body)
{
    static const char type[] = "application/json";
    const char *exchange = usual_exchange(explain->config);
    struct envelope envelope = {.content_type = {type, strlen(type)},
                                .exchange = {exchange, strlen(exchange)},
                                .routing_key = {"", 0},
                                .body = body};

    explain_envelope(explain, &envelope);
}

/* A v03 body has no member of these names. */
static bool is_message(const json_t *value)
{
    return json_object_get(value, "body") || json_object_get(value, "headers")
           || json_object_get(value, "routing_key");
}

static void explain_line(struct explain *explain, struct slice line)
{
    json_error_t where;
    json_t *value = json_loadb(line.bytes, line.length, JSON_FLAGS, &where);

    if (!value) {
        char *reason = memory_format("the line is not JSON, column %d: %.*s", where.column,
                                     MESSAGE_SIZE, where.text);

        explain->bad_lines++;
        print_malformed(explain, reason);
        free(reason);
    } else if (is_message(value)) {
        explain_message(explain, value);
    } else {
        explain_body(explain, line);
    }
    json_decref(value);
    fflush(explain->out); /* somebody may be typing */
}

static void explain_lines(struct explain *explain, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t length;

    while ((length = getline(&text, &room, in)) >= 0) {
        explain->lines++;
        while (length && strchr("\r\n \t", text[length - 1]))
            text[--length] = '\0';
        if (length)
            explain_line(explain, (struct slice){text, (size_t)length});
    }
    free(text);
}

bool explain_run(const struct config *config, bool as_text, FILE *in, FILE *out, struct error *err)
{
    struct explain explain = {.config = config, .out = out, .as_text = as_text};

    explain.judge = judge_open(config, err);
    if (!explain.judge)
        return false;
    explain_lines(&explain, in);
    judge_close(explain.judge);
    return !explain.bad_lines
           || error_set(err, ERROR_OPERATOR, "%zu of %zu lines are not JSON", explain.bad_lines,
                        explain.lines);
}
