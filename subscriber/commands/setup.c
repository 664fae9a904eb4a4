/* setup, which is also called declare: queues and bindings, made by the code that the subscriber
 * runs, and said in its words. */
#include "commands/commands.h"

#include "base/log.h"
#include "base/path.h"
#include "broker_settings.h"
#include "stages/broker_connect.h"

/* Without asking the broker, which has no way to say whether it would do it. */
static bool rehearse_one(const struct config *config)
{
    if (config->queue_declare)
        log_info("root declare", "dry run: would declare queue %s", config->queue);
    for (size_t i = 0; config->queue_bind && i < config->binding_count; i++)
        log_info("root declare", "dry run: would bind %s with %s to %s", config->queue,
                 config->bindings[i].topic, config->bindings[i].exchange);
    return true;
}

static bool declare_one(const struct config *config, struct error *err)
{
    struct broker_settings_kept kept;
    struct broker_settings settings = broker_settings_for(config, &kept);
    struct broker_session session = {.settings = &settings};
    bool declared = path_make_directory(config->subscription_dir, 0775, err);

    if (declared) {
        broker_declare(&session);
        *err = session.err;
        declared = !err->kind;
    }
    if (declared)
        broker_log_session(&session);
    broker_session_clear(&session);
    broker_settings_kept_clear(&kept);
    return declared;
}

static bool set_up(const struct command_request *request, const char *name)
{
    struct error err = {0};
    struct config *config = command_load(request, name, &err);
    bool done = false;

    if (config) {
        log_info("root declare", "looking at %s/%s", config->component, config->name);
        done = config->dry_run ? rehearse_one(config) : declare_one(config, &err);
    }
    if (!done)
        log_error("root declare", "%s", err.text);
    config_free(config);
    return done;
}

bool setup_run(const struct command_request *request, struct error *err)
{
    size_t count, failed = 0;
    char **names = command_find_names(request->names, request->name_count, &count, err);

    if (!names)
        return false;
    for (size_t i = 0; i < count; i++)
        failed += !set_up(request, names[i]);
    command_free_names(names, count);
    if (!count)
        return error_set(err, ERROR_OPERATOR, "there are no configurations");
    return !failed
           || error_set(err, ERROR_OPERATOR, "%zu of %zu configurations could not be declared",
                        failed, count);
}
