/*
 * Loads one configuration.
 *
 * Settings are applied as they come: the option's row says how to read the value and where it goes.
 * A few take more: the broker is looked up in credentials.conf at once, because variables and the
 * default exchange in the lines below depend on its user; accept, reject and subtopic capture what
 * was set above them (config_kinds.c). What follows from the whole is worked out at the end
 * (config_resolve.c).
 *
 * The other parts, each with its private header: config_table.c finds options, config_variables.c
 * knows what ${NAME} stands for, config_legacy.c what older names mean, config_ignored.c which
 * names mean nothing here, config_pending.c what this version does not do yet, config_names.c which
 * file is meant, config_environment.c what variables set, config_notes.c the place of a warning.
 * config_loader.h is what they share while a file is read.
 */
#include "settings/config.h"

#include "settings/conf_file.h"
#include "settings/config_ignored.h"
#include "settings/config_kinds.h"
#include "settings/config_legacy.h"
#include "settings/config_loader.h"
#include "settings/config_names.h"
#include "settings/config_notes.h"
#include "settings/config_resolve.h"
#include "settings/config_scope.h"
#include "settings/config_table.h"
#include "settings/config_variables.h"
#include "settings/yaml_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_LINE "command line"

/* --- applying a setting ---------------------------------------------------------------------- */

/* Fills in user and password of a broker whose URL has none. */
static void log_in(struct config *config, struct option_url *broker, const struct option *option)
{
    struct url *url = &broker->parts;
    const struct credential *credential;
    const struct credential_detail *method;

    if (url->password || !broker->text)
        return;
    credential = credentials_find(config->credentials, url);
    method = credential_detail(credential, "login_method");
    if (method && (!method->value || !strstr(method->value, "PLAIN")))
        config_notes_warn_here(
            config, option, "its login_method in credentials.conf is not supported, PLAIN is used");
    if (credential) {
        memory_replace(&url->user, memory_copy(credential->url.user));
        memory_replace(&url->password, memory_copy(credential->url.password));
    }
    if (!url->user)
        url->user = memory_copy("anonymous");
    if (!url->password && !strcmp(url->user, "anonymous"))
        url->password = memory_copy("anonymous");
}

/* A variable that will never have a value loses its '$', as in sr3. */
static void warn_of_variable(struct config *config, const struct option *option)
{
    size_t length;
    const char *name = option_unknown_variable(config->loader->current->value, &length);
    char *what;

    if (!name)
        return;
    what =
        memory_format("there is no variable ${%.*s}; as in sr3 the path will have '{%.*s}' in it",
                      (int)length, name, (int)length, name);
    config_notes_warn_here(config, option, what);
    free(what);
}

/* What is not wrong but not likely to be meant either. */
static void warn_of_value(struct config *config, const struct option *option, const char *rest)
{
    const struct conf_setting *current = config->loader->current;
    bool is_rule = option->kind == &option_ACCEPT || option->kind == &option_REJECT;

    if (option->kind == &option_TEMPLATE)
        warn_of_variable(config, option);
    if (option->kind == &option_FLAG && *current->written) {
        char *word = memory_copy_bytes(current->value, strcspn(current->value, " "));

        if (!option_is_flag_word(word))
            config_notes_warn_here(config, option, "the value counts as off; write on or off");
        free(word);
    }
    if (!option->kind->whole_line && *rest && *rest != '#')
        config_notes_warn_here(config, option, "only the first word of its value counts");
    if (option->kind->whole_line && !is_rule && strstr(current->value, " #"))
        config_notes_warn_here(config, option,
                               "'#' begins a comment only at the start of a line; here it is "
                               "part of the value");
}

static void remember(struct config *config, const struct option *option, const char *value)
{
    struct config_origin *origin = &config->origins[config_table_index(option)];

    origin->file = config_notes_keep_file(config, config->loader->current->file);
    origin->line = config->loader->current->line;
    memory_replace(&origin->text, memory_copy(value));
}

/* What some options do beyond taking their value. */
static void follow_up(struct config *config, const struct option *option)
{
    struct config_loader *loader = config->loader;

    switch ((int)config_table_index(option)) {
    case CONFIG_OPTION_broker:
    case CONFIG_OPTION_post_broker:
        log_in(config, config_table_member(config, option), option);
        break;
    case CONFIG_OPTION_queue_name:
        memory_replace(&loader->queue_written, memory_copy(loader->current->written));
        break;
    case CONFIG_OPTION_queue_share:
        memory_replace(&loader->share_written, memory_copy(loader->current->written));
        break;
    case CONFIG_OPTION_exchange:
    case CONFIG_OPTION_exchange_suffix:
    case CONFIG_OPTION_topic_prefix:
        loader->late = config->subtopics ? (int)config_table_index(option) : CONFIG_NOT_LATE;
        break;
    }
}

/* A number in the place of a name: the age at which a file is thought to be complete. */
static bool is_age(const char *value)
{
    return *value >= '0' && *value <= '9' && value[strlen(value) - 1] != '/';
}

static bool set_value(struct config *config, const struct option *option, const char *value,
                      struct error *err)
{
    bool mirror = config->mirror;

    if (config_table_index(option) == CONFIG_OPTION_inflight && is_age(value))
        option = config_option(CONFIG_OPTION_file_age_min_ms);
    if (!*value && *config->loader->current->written && option->kind == &option_FLAG)
        value = "off"; /* of a variable that is empty */
    if (!*value && !option->kind->bare_allowed)
        return error_set(err, ERROR_OPERATOR, "the value is missing");
    if (!option->kind->parse(option, value, config_table_member(config, option), err))
        return false;
    remember(config, option, value);
    follow_up(config, option);
    if (config->mirror != mirror && config->rule_count)
        config_notes_warn_here(config, option,
                               "it changes behind an accept or reject line, but counts for all "
                               "of them");
    return true;
}

/* Applies a setting whose name is that of a row. */
static bool apply_option(struct config *config, const struct option *option,
                         const struct conf_setting *setting, struct error *err)
{
    size_t length =
        option->kind->whole_line ? strlen(setting->value) : strcspn(setting->value, " ");
    char *value = memory_copy_bytes(setting->value, length);
    const char *rest = setting->value + length;
    bool done;

    if (setting->for_next)
        config_scope_enter(config, option);
    done = set_value(config, option, value, err) || error_wrap(err, "option '%s'", option->name);

    if (done)
        warn_of_value(config, option, rest + strspn(rest, " "));
    free(value);
    return done;
}

static void observe(struct config *config, const struct conf_setting *written,
                    const struct conf_setting *meant, const struct option *option)
{
    const struct config_observer *observer = config->loader->observer;

    if (observer && config->loader->in_own_file)
        observer->setting(observer->context, config, written, meant, option);
}

static bool apply(struct config *config, const struct conf_setting *written, struct error *err)
{
    struct conf_setting setting = *written;
    const struct option *option;
    bool done = true, meant;
    char *text;

    config->loader->current = &setting;
    meant = config_legacy_translate(config, &setting, &text);
    option = meant ? config_table_find(setting.name) : NULL;
    observe(config, written, meant ? &setting : NULL, option);
    if (meant) {
        if (option && setting.use_default)
            config_scope_unset(config, option);
        else if (option)
            done = apply_option(config, option, &setting, err);
        else if (!config_ignored_skip(config, &setting))
            done = config_table_refuse_name(setting.name, err);
    }
    if (!done)
        config_notes_wrap_here(config, err);
    if (option && config_scope_ends(option))
        config_scope_leave(config);
    config->loader->current = NULL;
    free(text);
    return done;
}

static bool apply_arguments(struct config *config, bool only_broker, struct error *err)
{
    const struct config_request *request = config->loader->request;

    for (size_t i = 0; i < request->argument_count; i++) {
        const char *value = request->arguments[i].value ? request->arguments[i].value : "";
        struct conf_setting setting = {.name = request->arguments[i].name,
                                       .value = value,
                                       .written = value,
                                       .file = COMMAND_LINE};

        if (only_broker && !option_is_called(config_option(CONFIG_OPTION_broker), setting.name))
            continue;
        if (!apply(config, &setting, err))
            return false;
    }
    return true;
}

static bool is_broker(const struct option *option)
{
    return option == config_option(CONFIG_OPTION_broker);
}

static bool is_captured(const struct option *option)
{
    return option->captured;
}

/*
 * Applies variables, those that are `wanted` only; NULL: all. Not for observers, who are told about
 * files.
 */
static bool apply_environment(struct config *config, bool (*wanted)(const struct option *option),
                              struct error *err)
{
    struct config_loader *loader = config->loader;
    bool in_own_file = loader->in_own_file, done = true;
    struct conf_setting setting;

    loader->in_own_file = false;
    config_environment_rewind(loader->environment);
    while (done && config_environment_take(loader->environment, &setting))
        if (!wanted || wanted(config_table_find(setting.name)))
            done = apply(config, &setting, err) || config_notes_gather(config, err);
    loader->in_own_file = in_own_file;
    return done;
}

/* --- files ----------------------------------------------------------------------------------- */

static char *host_variable(void *context, const char *name)
{
    return config_variables_value(context, name);
}

static void host_warn(void *context, const char *text)
{
    config_notes_warn(context, text);
}

static bool host_include(void *context, const char *name, char **path, char **text,
                         size_t *size_bytes, struct error *err)
{
    const struct config *config = context;
    const char *places[] = {"/" CONFIG_COMPONENT "/", "/"};

    *path = NULL;
    if (*name == '/' || *name == '~') {
        if (option_PATH.parse(config_option(CONFIG_OPTION_includes), name, path, err)
            && conf_file_read(*path, text, size_bytes, err))
            return true;
        memory_replace(path, NULL);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        memory_replace(path, memory_format("%s%s%s", config->config_dir, places[i], name));
        if (conf_file_read(*path, text, size_bytes, err))
            return true;
        if (errno != ENOENT)
            break;
    }
    memory_replace(path, NULL);
    return false;
}

static bool apply_yaml(struct config *config, const char *path, const struct conf_host *host,
                       struct error *err)
{
    struct yaml_file *file = yaml_file_open(path, host, err);
    struct conf_setting setting;
    bool done = file != NULL;

    while (done && yaml_file_take(file, &setting, err))
        done = apply(config, &setting, err) || config_notes_gather(config, err);
    yaml_file_close(file);
    return done && err->kind == ERROR_NONE;
}

static bool apply_conf(struct config *config, const char *path, const struct conf_host *host,
                       struct error *err)
{
    struct conf_file *file = conf_file_open(path, host, err);
    struct conf_setting setting;
    bool done = file != NULL;

    while (done && conf_file_take(file, &setting, err))
        done = apply(config, &setting, err) || config_notes_gather(config, err);
    conf_file_close(file);
    return done && err->kind == ERROR_NONE;
}

static bool apply_file(struct config *config, const char *path, struct error *err)
{
    const struct conf_host host = {
        .context = config, .variable = host_variable, .include = host_include, .warn = host_warn};

    config->loader->in_own_file = path == config->path;
    return (yaml_file_is_called(path) ? apply_yaml : apply_conf)(config, path, &host, err);
}

/* admin.conf or default.conf, which need not exist. */
static bool apply_general_file(struct config *config, const char *name, struct error *err)
{
    char *path = memory_format("%s/%s", config->config_dir, name);
    bool there = !access(path, F_OK) || errno != ENOENT;
    bool done = !there || apply_file(config, path, err);

    free(path);
    return done;
}

/* What the component sets behind admin.conf and default.conf, so that it has no effect there. */
static void reset_component_options(struct config *config)
{
    static const enum config_option reset[] = {CONFIG_OPTION_mirror, CONFIG_OPTION_accept_unmatched,
                                               CONFIG_OPTION_download};

    for (size_t i = 0; i < COUNT_OF(reset); i++) {
        struct config_origin *origin = &config->origins[reset[i]];

        config_notes_warn_origin(config, reset[i],
                                 "has no effect in this file, set it in each configuration");
        config_table_set_fallback(config, config_option(reset[i]));
        memory_replace(&origin->text, NULL);
        origin->file = NULL;
    }
}

/* --- loading --------------------------------------------------------------------------------- */

static bool load_credentials(struct config *config, struct error *err)
{
    const char *elsewhere = getenv("SR3_CREDENTIALS_FILE"), *warning;
    bool is_elsewhere = elsewhere && *elsewhere;

    config->credentials_path = is_elsewhere
                                   ? memory_copy(elsewhere)
                                   : memory_format("%s/credentials.conf", config->config_dir);
    if (is_elsewhere && access(elsewhere, R_OK))
        return error_set(err, ERROR_OPERATOR,
                         "environment variable SR3_CREDENTIALS_FILE: read '%s': %s", elsewhere,
                         strerror(errno));
    config->credentials = credentials_load(config->credentials_path, err);
    for (size_t i = 0;
         config->credentials && (warning = credentials_warning(config->credentials, i)); i++)
        config_notes_warn(config, warning);
    return config->credentials != NULL;
}

static bool load_settings(struct config *config, struct error *err)
{
    config->loader->environment = config_environment_read(config, err);
    if (!config->loader->environment || !load_credentials(config, err)
        || !apply_environment(config, is_broker, err) || !apply_arguments(config, true, err)
        || !apply_general_file(config, "admin.conf", err)
        || !apply_general_file(config, "default.conf", err))
        return false;
    reset_component_options(config);
    return apply_environment(config, is_captured, err) && apply_file(config, config->path, err)
           && apply_environment(config, NULL, err) && apply_arguments(config, false, err)
           && (config->error_count || config_resolve(config, err));
}

static bool load(struct config *config, struct error *err)
{
    config->loader->start_dir = getcwd(NULL, 0);
    if (!config->loader->start_dir)
        return error_set(err, ERROR_OPERATOR, "find the current directory: %s", strerror(errno));
    return config_names_find(config, err)
           && (load_settings(config, err) || config_notes_gather(config, err));
}

struct config *config_load(const struct config_request *request, struct error *err)
{
    return config_load_observed(request, NULL, err);
}

struct config *config_load_observed(const struct config_request *request,
                                    const struct config_observer *observer, struct error *err)
{
    struct config *config = memory_new(sizeof(*config));
    struct config_loader loader = {.request = request,
                                   .observer = observer,
                                   .late = CONFIG_NOT_LATE,
                                   .process_id = (unsigned short)getpid()};
    bool loaded;

    config->loader = &loader;
    config->component = CONFIG_COMPONENT;
    config->instance = request->instance;
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        config_table_set_fallback(config, config_option((enum config_option)i));
    loaded = load(config, err);
    config_scope_leave(config);
    config->loader = NULL;
    config_environment_close(loader.environment);
    free(loader.start_dir);
    free(loader.queue_written);
    free(loader.share_written);
    if (loaded)
        return config;
    config_free(config);
    return NULL;
}

struct config *config_defaults(void)
{
    struct config *config = memory_new(sizeof(*config));

    for (int i = 0; i < CONFIG_OPTIONS; i++)
        config_table_set_fallback(config, config_option((enum config_option)i));
    return config;
}

static void free_variables(struct config_variable *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].value);
    }
    free(list);
}

static void free_lists(struct config *config)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        free(config->rules[i].pattern);
        free(config->rules[i].directory);
        free(config->rules[i].strip);
        free(config->rules[i].flatten);
        free(config->rules[i].filename);
    }
    for (size_t i = 0; i < config->binding_count; i++) {
        free(config->bindings[i].exchange);
        free(config->bindings[i].topic);
    }
    free_variables(config->environment, config->environment_count);
    free_variables(config->headers, config->header_count);
    for (size_t i = 0; i < config->warning_count; i++)
        free(config->warnings[i]);
    for (size_t i = 0; i < config->error_count; i++)
        free(config->errors[i]);
    for (size_t i = 0; i < config->file_count; i++)
        free(config->files[i]);
    free(config->rules);
    free(config->bindings);
    free(config->warnings);
    free(config->errors);
    free(config->files);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);

        if (option->kind->clear)
            option->kind->clear(config_table_member(config, option));
        free(config->origins[i].text);
    }
    free_lists(config);
    credentials_free(config->credentials);
    free(config->name);
    free(config->process_name);
    free(config->broker_url);
    free(config->broker_vhost);
    free(config->queue);
    free(config->queue_name_path);
    free(config->nodupe_base);
    free(config->path);
    free(config->credentials_path);
    free(config->config_dir);
    free(config->state_dir);
    free(config->subscription_dir);
    free(config->log_path);
    free(config->metrics_path);
    free(config);
}

void config_export_environment(const struct config *config)
{
    for (size_t i = config->environment_count; i > 0; i--)
        setenv(config->environment[i - 1].name, config->environment[i - 1].value, 0);
}
