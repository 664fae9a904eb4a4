/*
 * The decision about one announcement, as a chain of questions in sr3's order; the first that is
 * answered with no rejects it. How patterns are matched and paths are made is the filter's
 * business.
 */
#include "judge.h"

#include "base/clock.h"
#include "settings/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct judge {
    const struct config *config;
    struct filter *filter;
};

/* ---- opening ---- */

static struct destination_settings destination_settings(const struct config *config)
{
    bool announced = config->source_from_message || config->source_from_exchange;
    const char *source = config->source ? config->source : config->broker.parts.user;

    return (struct destination_settings){
        .variables = {.base_dir = config->base_dir,
                      .post_base_dir = config->post_base_dir,
                      .document_root = config->document_root,
                      .source = announced ? NULL : source,
                      .source_from_exchange = !config->source_from_message,
                      .var_time_offset_ms = config->var_time_offset_ms,
                      .first_group_is_zero = config->sundew_compat_regex_first_match_is_zero},
        .mirror = config->mirror,
        .base_url_rel_path = config->base_url_rel_path,
        .ignore_rename = !config->download,
    };
}

static struct filter *open_filter(const struct config *config, size_t first, size_t count,
                                  struct error *err)
{
    struct filter_rule *rules = memory_resize(NULL, count + 1, sizeof(*rules));
    struct filter_settings settings = {
        .rules = rules,
        .rule_count = count,
        .accept_unmatched = config->accept_unmatched,
        .unmatched = {config->directory, config->strip, config->flatten, config->filename},
        .destination = destination_settings(config),
    };
    struct filter *filter;

    for (size_t i = 0; i < count; i++) {
        const struct config_rule *rule = &config->rules[first + i];

        rules[i] = (struct filter_rule){
            .accept = rule->accept,
            .pattern = rule->pattern,
            .target = {rule->directory, rule->strip, rule->flatten, rule->filename},
            .file = rule->file,
            .line = rule->line};
    }
    filter = filter_open(&settings, err);
    free(rules);
    return filter;
}

bool judge_check_rule(const struct config *config, size_t index, struct error *err)
{
    struct filter *filter = open_filter(config, index, 1, err);

    filter_close(filter);
    return filter != NULL;
}

struct judge *judge_open(const struct config *config, struct error *err)
{
    struct judge *judge = memory_new(sizeof(*judge));

    judge->config = config;
    judge->filter = open_filter(config, 0, config->rule_count, err);
    if (judge->filter)
        return judge;
    judge_close(judge);
    return NULL;
}

void judge_close(struct judge *judge)
{
    if (!judge)
        return;
    filter_close(judge->filter);
    free(judge);
}

/* ---- deciding ---- */

/* What one question is about. */
struct hearing {
    struct judge *judge;
    struct announcement *announcement;
    struct judgement *judgement;
};

/* Returns false, so that a question can end in `return reject(...)`. */
static bool reject(struct hearing *at, int code, const char *reason)
{
    at->judgement->accepted = false;
    at->judgement->code = code;
    at->judgement->reason = reason;
    return false;
}

/* The same with the text of an error, which may begin with a code of its own: "422 place ...". */
static bool reject_error(struct hearing *at, int code, const struct error *err)
{
    const char *text = err->text;

    if (isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1])
        && isdigit((unsigned char)text[2]) && text[3] == ' ') {
        code = (int)strtol(text, NULL, 10);
        text += 4;
    }
    return reject(at, code, arena_copy(&at->announcement->arena, text, strlen(text)));
}

/* Negative for what is in the future. */
static int64_t age_ms(const struct hearing *at, int64_t wall_ns)
{
    return (at->announcement->received_ns - wall_ns) / NS_PER_MS;
}

static bool is_older(const struct hearing *at, int64_t wall_ns, int64_t age_max_ms)
{
    return age_max_ms > 0 && age_ms(at, wall_ns) > age_max_ms;
}

static bool is_recent(struct hearing *at)
{
    const struct config *config = at->judge->config;
    const struct announcement *announcement = at->announcement;

    if (is_older(at, announcement->pub_time_ns, config->message_age_max_ms))
        return reject(at, 504, "message too old");
    if (announcement->mtime && is_older(at, announcement->mtime_ns, config->file_age_max_ms))
        return reject(at, 410, "file too old: fileAgeMax");
    return true;
}

/* What has an accepted name here and goes by one that is not from now on is removed. */
static bool is_renamed_away(struct hearing *at)
{
    const char *former_path = at->announcement->file_op.rename;
    struct filter_verdict former;
    struct error err = {0};

    if (!former_path || at->judgement->op != JUDGE_RENAME
        || !filter_map_path(at->judge->filter, at->announcement, former_path, &former, &err)
        || !former.accepted)
        return false;
    at->judgement->destination = former;
    at->judgement->op = JUDGE_REMOVE;
    at->judgement->renamed_away = true;
    return true;
}

static bool is_wanted_by_rules(struct hearing *at)
{
    struct error err = {0};

    if (!filter_match(at->judge->filter, at->announcement, &at->judgement->destination, &err))
        return reject_error(at, 422, &err);
    if (!at->judgement->destination.accepted && !is_renamed_away(at))
        return reject(at, 404, "rejected by the accept and reject rules");
    return true;
}

/* What this version does not carry out is said and counted, not passed over. */
static bool is_supported(struct hearing *at)
{
    if (at->judgement->op == JUDGE_NOTHING)
        return true;
    if (at->announcement->has_blocks)
        return reject(at, 415, "partitioned files are not supported");
    if (at->announcement->new_name)
        return reject(at, 202, "first half of a rename");
    return true;
}

/* Removals, links and directories are carried out only if fileEvents asks for them. */
static const char *skipped(const struct config *config, enum judge_op op)
{
    static const struct {
        unsigned event; /* 0: never skipped */
        const char *skipped;
    } gates[JUDGE_OPS] = {
        [JUDGE_LINK] = {CONFIG_EVENT_LINK, "skipping link: fileEvents has no link"},
        [JUDGE_HLINK] = {CONFIG_EVENT_LINK, "skipping hlink: fileEvents has no link"},
        [JUDGE_REMOVE] = {CONFIG_EVENT_DELETE, "skipping remove: fileEvents has no delete"},
        [JUDGE_MKDIR] = {CONFIG_EVENT_MKDIR, "skipping mkdir: fileEvents has no mkdir"},
        [JUDGE_RMDIR] = {CONFIG_EVENT_RMDIR, "skipping rmdir: fileEvents has no rmdir"},
    };

    return gates[op].event && !(config->file_events & gates[op].event) ? gates[op].skipped : NULL;
}

static bool is_wanted_event(struct hearing *at)
{
    const char *why = skipped(at->judge->config, at->judgement->op);

    return !why || at->judgement->renamed_away || reject(at, 202, why);
}

static bool is_too_large(const struct hearing *at)
{
    int64_t most_bytes = at->judge->config->file_size_max_bytes;

    return most_bytes > 0 && at->announcement->size_bytes > most_bytes;
}

static bool is_small_enough(struct hearing *at)
{
    if (at->judgement->op == JUDGE_DOWNLOAD && is_too_large(at))
        return reject(at, 413, "file too large: fileSizeMax");
    return true;
}

/* Of what is fetched only if there is nothing to rename or to link to, the URL need not be good. */
static bool has_url(struct hearing *at)
{
    enum judge_op op = at->judgement->op;
    struct error err = {0};

    if (op != JUDGE_DOWNLOAD && op != JUDGE_RENAME && op != JUDGE_HLINK)
        return true;
    at->judgement->fetch_url = announcement_fetch_url(at->announcement, &err);
    return at->judgement->fetch_url || op != JUDGE_DOWNLOAD || reject_error(at, 422, &err);
}

/* ---- events ---- */

static enum judge_op op_but_rename(const struct file_op *op)
{
    if (op->remove)
        return op->directory ? JUDGE_RMDIR : JUDGE_REMOVE;
    if (op->directory)
        return JUDGE_MKDIR;
    if (op->hlink)
        return JUDGE_HLINK;
    return op->link ? JUDGE_LINK : JUDGE_DOWNLOAD;
}

static enum judge_op op_of(const struct config *config, const struct announcement *announcement)
{
    if (!config->download)
        return JUDGE_NOTHING;
    if (announcement->file_op.rename || announcement->new_name)
        return JUDGE_RENAME;
    return op_but_rename(&announcement->file_op);
}

static enum events_op event_of(enum judge_op op)
{
    static const enum events_op events[JUDGE_OPS] = {
        [JUDGE_LINK] = EVENTS_LINK,     [JUDGE_HLINK] = EVENTS_HLINK,
        [JUDGE_REMOVE] = EVENTS_REMOVE, [JUDGE_RENAME] = EVENTS_RENAME,
        [JUDGE_MKDIR] = EVENTS_MKDIR,   [JUDGE_RMDIR] = EVENTS_REMOVE,
    };

    return events[op];
}

/* Why a link must not be made; NULL: it may. */
static const char *link_problem(const struct hearing *at)
{
    const struct filter_verdict *destination = &at->judgement->destination;
    struct destination_place place = {destination->directory, destination->path};
    const char *target = at->announcement->file_op.link;

    if (!*target)
        return "a link without a target";
    if (at->judge->config->link_outside || destination_link_is_inside(&place, target))
        return NULL;
    return "the target of the link is outside of the directory: linkOutside";
}

/* Fills in the path of a former name or of what is linked to, if it has one here. */
static bool map_other(struct hearing *at, const char *path)
{
    struct events_plan *plan = &at->judgement->event;
    struct filter_verdict other;
    struct error err = {0};

    if (!filter_map_path(at->judge->filter, at->announcement, path, &other, &err))
        return reject_error(at, 422, &err);
    if (other.accepted) {
        plan->other_directory = other.directory;
        plan->other_path = other.path;
    }
    return true;
}

static void refuse_otherwise(struct events_plan *plan, int code, const char *reason)
{
    plan->otherwise = EVENTS_NOTHING;
    plan->refuse_code = code;
    plan->refuse_reason = reason;
}

/* What is done when there is nothing to rename or to link to: as if that had not been asked for. */
static void plan_otherwise(struct hearing *at, enum judge_op op)
{
    struct events_plan *plan = &at->judgement->event;
    const char *why = skipped(at->judge->config, op);

    plan->otherwise = op == JUDGE_HLINK ? EVENTS_NOTHING : event_of(op);
    if (!why && op == JUDGE_LINK && (why = link_problem(at)))
        refuse_otherwise(plan, 422, why);
    else if (why)
        refuse_otherwise(plan, 202, why);
    else if (plan->otherwise == EVENTS_NOTHING && is_too_large(at))
        refuse_otherwise(plan, 413, "file too large: fileSizeMax");
    else if (plan->otherwise == EVENTS_NOTHING && !at->judgement->fetch_url)
        refuse_otherwise(plan, 422, "its former file is not here, and it cannot be fetched");
}

static bool plan_event(struct hearing *at)
{
    const struct config *config = at->judge->config;
    const struct announcement *announcement = at->announcement;
    const struct file_op *op = &announcement->file_op;
    struct judgement *judgement = at->judgement;
    bool keep_mode = config->perm_copy && announcement->mode > 0;
    const char *why;

    judgement->event = (struct events_plan){
        .op = event_of(judgement->op),
        .directory = judgement->destination.directory,
        .path = judgement->destination.path,
        .size_bytes = announcement->size_bytes,
        .target = op->link,
        .link_outside = config->link_outside,
        .mode = keep_mode ? announcement->mode : (int)config->perm_dir_default,
    };
    switch (judgement->op) {
    case JUDGE_LINK:
        why = link_problem(at);
        return !why || reject(at, 422, why);
    case JUDGE_HLINK:
        plan_otherwise(at, JUDGE_DOWNLOAD);
        return map_other(at, op->hlink);
    case JUDGE_RENAME:
        plan_otherwise(at, op_but_rename(op));
        return map_other(at, op->rename);
    default:
        return true;
    }
}

/* A time in the future says that a clock is wrong; it makes nobody wait for longer. */
static int64_t rest_ms(const struct hearing *at)
{
    int64_t age_min_ms = at->judge->config->file_age_min_ms, age;

    if (age_min_ms <= 0 || !at->announcement->mtime)
        return 0;
    age = age_ms(at, at->announcement->mtime_ns);
    return age < 0 ? age_min_ms : age < age_min_ms ? age_min_ms - age : 0;
}

static enum announcement_basis basis_of(const struct config *config)
{
    static const enum announcement_basis bases[] = {
        [CONFIG_BASIS_PATH] = ANNOUNCEMENT_BY_PATH,
        [CONFIG_BASIS_DATA] = ANNOUNCEMENT_BY_DATA,
        [CONFIG_BASIS_NAME] = ANNOUNCEMENT_BY_NAME,
    };

    return bases[config->nodupe_basis];
}

void judge_decide(struct judge *judge, struct announcement *announcement, int64_t now_ns,
                  struct judgement *judgement)
{
    static bool (*const questions[])(struct hearing * at) = {
        is_recent,       is_wanted_by_rules, has_url,   is_supported,
        is_wanted_event, is_small_enough,    plan_event};
    struct hearing at = {judge, announcement, judgement};

    announcement->received_ns = now_ns;
    *judgement = (struct judgement){.accepted = true, .op = op_of(judge->config, announcement)};
    for (size_t i = 0; judgement->accepted && i < COUNT_OF(questions); i++)
        if (!questions[i](&at))
            break;
    if (judgement->accepted)
        judgement->wait_ms = rest_ms(&at);
    announcement_duplicate_key(announcement, basis_of(judge->config), &judgement->key,
                               &judgement->path);
}

struct writer_plan judge_plan(const struct config *config, const struct announcement *announcement,
                              const struct filter_verdict *destination)
{
    int default_mode = config->perm_default > 0 ? (int)config->perm_default : -1;
    bool keep_mode = config->perm_copy && announcement->mode > 0;

    return (struct writer_plan){
        .directory = destination->directory,
        .path = destination->path,
        .size_bytes = announcement->size_bytes,
        .has_size = announcement->has_size,
        .identity_method = announcement->identity_method,
        .identity_value = announcement->identity_value,
        .mode = keep_mode ? announcement->mode : default_mode,
        .mtime_ns = config->time_copy ? announcement->mtime_ns : -1,
        .atime_ns = config->time_copy ? announcement->atime_ns : -1,
        .announced_mtime_ns = announcement->mtime ? announcement->mtime_ns : -1,
        .keep_existing = !config->overwrite,
    };
}

struct events_plan judge_removal(const struct filter_verdict *destination)
{
    return (struct events_plan){
        .op = EVENTS_REMOVE, .directory = destination->directory, .path = destination->path};
}

const char *judge_op_name(enum judge_op op)
{
    static const char *const names[JUDGE_OPS] = {
        [JUDGE_DOWNLOAD] = "download", [JUDGE_LINK] = "link",       [JUDGE_HLINK] = "hlink",
        [JUDGE_REMOVE] = "remove",     [JUDGE_RENAME] = "rename",   [JUDGE_MKDIR] = "mkdir",
        [JUDGE_RMDIR] = "rmdir",       [JUDGE_NOTHING] = "nothing",
    };

    return names[op];
}
