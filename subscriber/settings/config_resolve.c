/*
 * What follows from the whole configuration, once its last line is known: the login, bindings when
 * no line asked for any, the name of the queue, the keys of stores, and which settings do not go
 * together.
 */
#include "settings/config_resolve.h"

#include "base/log.h"
#include "settings/config_kinds.h"
#include "settings/config_loader.h"
#include "settings/config_names.h"
#include "settings/config_notes.h"
#include "settings/config_pending.h"
#include "settings/config_table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODUPE_BASE_MAX 64 /* key of BLAKE2b */

static bool refuse_missing_password(const struct config *config, struct error *err)
{
    const struct url *url = &config->broker.parts;
    char *port = url->port ? memory_format(":%d", url->port) : memory_copy("");

    error_set(err, ERROR_OPERATOR,
              "there is no password for user '%s'; add the line '%s://%s:PASSWORD@%s%s%s' to "
              "%s",
              url->user, url->scheme, url->user, url->host, port, url->path,
              config->credentials_path);
    free(port);
    return config_wrap_origin(config, CONFIG_OPTION_broker, err);
}

static bool resolve_broker(struct config *config, struct error *err)
{
    struct url *url = &config->broker.parts;
    const char *vhost;
    size_t length;

    if (!config->broker.text)
        return error_set(err, ERROR_OPERATOR,
                         "%s: there is no broker; add a line such as "
                         "'broker amqps://dd.weather.gc.ca/'",
                         config->path);
    if (!url->password)
        return refuse_missing_password(config, err);
    if (!url->port)
        url->port = strcmp(url->scheme, "amqps") ? 5672 : 5671;
    vhost = url->path + strspn(url->path, "/");
    for (length = strlen(vhost); length && vhost[length - 1] == '/';)
        length--;
    config->broker_vhost = length ? memory_copy_bytes(vhost, length) : memory_copy("/");
    config->broker_url = url_print(url);
    return true;
}

static bool resolve_bindings(struct config *config, struct error *err)
{
    config_kinds_choose_exchange(config);
    if (!config->subtopics && !config_kinds_add_binding(config, "#", err))
        return config_wrap_origin(config, CONFIG_OPTION_topic_prefix, err);
    if (config->subtopics && config->loader->late != CONFIG_NOT_LATE)
        config_notes_warn_origin(config, (enum config_option)config->loader->late,
                                 "has no effect behind the subtopic lines");
    return true;
}

static bool mentions(const char *written, const char *const *variables, size_t count)
{
    for (size_t i = 0; written && i < count; i++)
        if (strstr(written, variables[i]))
            return true;
    return false;
}

static bool differs_by_start(const char *written)
{
    static const char *const by_start[] = {"${RAND8}", "${RANDID}"};

    return mentions(written, by_start, COUNT_OF(by_start));
}

static void warn_of_shared_name(struct config *config)
{
    char *text = memory_format("%s: the queue '%s' is shared with everybody else who uses "
                               "this name as anonymous; set queueName or queueShare",
                               config->path, config->queue);

    config_notes_warn(config, text);
    free(text);
}

static void warn_of_remembered_name(struct config *config)
{
    char *text = memory_format("%s: the name of the queue, '%s', is remembered in '%s'; instances "
                               "that do not have this file use another one: set queueName to it",
                               config->path, config->queue, config->queue_name_path);

    config_notes_warn(config, text);
    free(text);
}

/* Instances that do not agree on the queue's name fetch every file once each. */
static void warn_of_queue(struct config *config)
{
    static const char *const by_instance[] = {"${INSTANCE}", "${SR_INSTANCE}", "${SR3_INSTANCE}"};
    static const char *const by_host[] = {"${HOSTNAME}", "${HOSTDIR}"};
    enum config_option option =
        config->queue_name ? CONFIG_OPTION_queue_name : CONFIG_OPTION_queue_share;
    const char *written =
        config->queue_name ? config->loader->queue_written : config->loader->share_written;
    const struct config_request *request = config->loader->request;
    bool checking = request->checking;
    /* more instances than this host was to have, or the command line of containers */
    bool scaled = config->instance > config->instances || request->from_config_option;

    if (!config->queue_name && !config->queue_share) {
        if (!strcmp(config->broker.parts.user, "anonymous"))
            warn_of_shared_name(config);
    } else if (differs_by_start(written))
        config_notes_warn_origin(config, option,
                                 "the queue gets another name at each start, so announcements "
                                 "between two starts are lost");
    else if ((config->instance || checking)
             && mentions(written, by_instance, COUNT_OF(by_instance)))
        config_notes_warn_origin(config, option,
                                 "each instance gets a queue of its own and fetches every file");
    else if ((scaled || checking) && mentions(written, by_host, COUNT_OF(by_host)))
        config_notes_warn_origin(config, option,
                                 "each host or container gets a queue of its own and fetches "
                                 "every file");
}

/* What sr3, or we, called the queue when nobody chose a name; allocated, or NULL. */
static char *read_queue_name(const char *path)
{
    char name[CONFIG_AMQP_NAME_MAX + 2];
    FILE *file = fopen(path, "re");
    size_t length;

    if (!file)
        return NULL;
    length = fread(name, 1, sizeof(name), file);
    fclose(file);
    while (length && isspace((unsigned char)name[length - 1]))
        length--;
    for (size_t i = 0; i < length; i++)
        if (iscntrl((unsigned char)name[i]))
            return NULL;
    return length && length <= CONFIG_AMQP_NAME_MAX ? memory_copy_bytes(name, length) : NULL;
}

static char *make_queue_name(const struct config *config)
{
    return memory_format("q_%s." CONFIG_COMPONENT ".%s.%s", config->broker.parts.user, config->name,
                         config->queue_share ? config->queue_share : config->name);
}

/* Announcements wait in the queue that was used before, unless another one was chosen since. */
static void choose_queue(struct config *config)
{
    bool chosen = config->queue_share && !differs_by_start(config->loader->share_written);
    char *remembered = chosen ? NULL : read_queue_name(config->queue_name_path);

    config->queue = make_queue_name(config);
    if (remembered && strcmp(remembered, config->queue) != 0) {
        memory_replace(&config->queue, remembered);
        warn_of_remembered_name(config);
        return;
    }
    free(remembered);
    warn_of_queue(config);
}

static bool resolve_queue(struct config *config, struct error *err)
{
    config->queue_name_path =
        memory_format("%s/" CONFIG_COMPONENT ".%s.%s.qname", config->subscription_dir, config->name,
                      config->broker.parts.user);
    if (config->queue_name) {
        config->queue = memory_copy(config->queue_name);
        warn_of_queue(config);
    } else {
        choose_queue(config);
    }
    if (strlen(config->queue) <= CONFIG_AMQP_NAME_MAX)
        return true;
    error_set(err, ERROR_OPERATOR,
              "the name of the queue is longer than the 255 bytes that AMQP allows");
    return config_wrap_origin(config, CONFIG_OPTION_queue_name, err);
}

static bool check_redis(const struct config *config, enum config_option driver_option, int driver,
                        const char *text, const char *url_option, struct error *err)
{
    if (driver != CONFIG_DRIVER_REDIS || text)
        return true;
    error_set(err, ERROR_OPERATOR, "redis needs a line such as '%s redis://host:6379/0'",
              url_option);
    return config_wrap_origin(config, driver_option, err);
}

static bool resolve_stores(struct config *config, struct error *err)
{
    char *base = memory_format("sr3.nodupe." CONFIG_COMPONENT ".%s", config->process_name);
    size_t prefix = strlen("sr3.nodupe." CONFIG_COMPONENT ".");
    bool redis = config->nodupe_driver == CONFIG_DRIVER_REDIS;

    for (char *c = base + prefix; *c; c++)
        if (*c == '.')
            *c = '_';
    if (config->nodupe_redis_keybase)
        memory_replace(&base, memory_copy(config->nodupe_redis_keybase));
    config->nodupe_base = base;
    if (strlen(base) > NODUPE_BASE_MAX && redis) {
        error_set(err, ERROR_OPERATOR, "'%s' is longer than 64 bytes, set a shorter one", base);
        return config_wrap_origin(config, CONFIG_OPTION_nodupe_redis_keybase, err);
    }
    if (strlen(base) > NODUPE_BASE_MAX)
        base[NODUPE_BASE_MAX] = '\0';
    if (!config->origins[CONFIG_OPTION_retry_ttl_ms].file)
        config->retry_ttl_ms = config->expire_ms;
    return check_redis(config, CONFIG_OPTION_nodupe_driver, config->nodupe_driver,
                       config->nodupe_redis_serverurl.text, "nodupe_redis_serverurl", err)
           && check_redis(config, CONFIG_OPTION_retry_driver, config->retry_driver,
                          config->redisqueue_serverurl.text, "redisqueue_serverurl", err);
}

/* Where none is set files go to post_baseDir, else to where the process was started. */
static void resolve_directories(struct config *config)
{
    const char *fallback =
        config->post_base_dir ? config->post_base_dir : config->loader->start_dir;

    for (size_t i = 0; i < config->rule_count; i++)
        if (!config->rules[i].directory)
            config->rules[i].directory = memory_copy(fallback);
    if (!config->directory)
        config->directory = memory_copy(fallback);
}

bool config_resolve(struct config *config, struct error *err)
{
    config_names_set_state(config);
    if (!resolve_broker(config, err) || !resolve_bindings(config, err)
        || !resolve_queue(config, err) || !resolve_stores(config, err))
        return false;
    config_pending_warn(config);
    resolve_directories(config);
    if (!config->prefetch)
        config_table_set_fallback(config, config_option(CONFIG_OPTION_prefetch));
    if (config->debug)
        config->log_level = LOG_DEBUG;
    if (config->log_reject)
        config->log_events |= CONFIG_LOG_REJECT;
    return true;
}
