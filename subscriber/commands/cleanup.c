/*
 * cleanup: what a subscription leaves behind when nobody needs it any more is taken away.
 *
 * The queue goes first. When it cannot be deleted everything else stays, so that the command can be
 * given again. Exchanges belong to others and are never touched, nor are the keys in Redis that
 * remember what was placed: they may be shared, and go by themselves.
 */
#include "commands/commands.h"

#include "base/clock.h"
#include "base/log.h"
#include "broker_settings.h"
#include "running.h"
#include "stages/broker_connect.h"
#include "stores.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REDIS_WAIT_MS 10000 /* for being connected, and again for the answer */
#define TICK_MS       50

/* ---- the queue ---- */

static bool delete_queue(const struct config *config, struct error *err)
{
    struct broker_settings_kept kept;
    struct broker_settings settings = broker_settings_for(config, &kept);
    struct broker_session session = {.settings = &settings};
    bool existed;

    broker_delete_queue(&session, &existed);
    *err = session.err;
    if (!err->kind && existed)
        log_info("sarracenia.moth.amqp getCleanUp", "deleting queue %s (messages waiting: %u)",
                 config->queue, (unsigned)session.messages_waiting);
    else if (!err->kind)
        log_info("sarracenia.moth.amqp getCleanUp", "there is no queue %s", config->queue);
    broker_session_clear(&session);
    broker_settings_kept_clear(&kept);
    return !err->kind;
}

/* ---- records that wait for another try, in Redis ---- */

static const struct redis_script unlink_script = {
    .name = "unlink", .text = "return redis.call('UNLINK', unpack(KEYS))", .keys = 1};

struct removal {
    struct loop *loop;
    struct loop_timer *timer;
    struct redis_link *link;
    size_t unanswered;
    struct error err;
};

static void on_tick(void *context)
{
    (void)context; /* waking up is all that is needed */
}

static void on_removed(void *context, const struct redisReply *reply, const char *failure)
{
    struct removal *removal = context;

    removal->unanswered--;
    if (!reply || failure)
        error_set(&removal->err, ERROR_TEMPORARY, "remove retry records: %s", failure);
}

static void wait_a_moment(struct removal *removal)
{
    loop_timer_set(removal->timer, TICK_MS);
    loop_wait(removal->loop);
}

static bool wait_connected(struct removal *removal)
{
    int64_t deadline_ms = clock_now_ms() + REDIS_WAIT_MS;
    const char *failure;

    while ((failure = redis_link_failure(removal->link))) {
        if (clock_now_ms() >= deadline_ms)
            return error_set(&removal->err, ERROR_TEMPORARY, "remove retry records: %s", failure);
        wait_a_moment(removal);
    }
    return true;
}

/* The link answers every call, if need be with a timeout of its own. */
static void remove_key(struct removal *removal, char *key)
{
    const char *argv[] = {key};
    size_t length = strlen(key);

    removal->unanswered++;
    redis_link_call(removal->link, 0, 1, argv, &length, on_removed, removal);
    free(key);
}

static void remove_keys_of_sr3(struct removal *removal, const struct config *config,
                               const char *kind)
{
    char *list = memory_format("sr3.retry_queue.%s.%s.%s", kind, config->component, config->queue);

    remove_key(removal, memory_copy(list));
    remove_key(removal, memory_format("%s.new", list));
    remove_key(removal, memory_format("%s.hk", list));
    remove_key(removal, memory_format("lock:%s.hk", list));
    remove_key(removal, memory_format("lock-signal:%s.hk", list));
    free(list);
    list = memory_format("sr3.retry_queue.%s.%s", kind, config->component);
    remove_key(removal, memory_format("%s.%s.last_hk", list, config->name));
    remove_key(removal, memory_format("%s.%s/%s.last_hk", list, config->component, config->name));
    free(list); /* the second one is of instances that were started with --config */
}

static void remove_keys(struct removal *removal, const struct config *config)
{
    char *name = retry_store_name(config);

    remove_key(removal, memory_format("%s.due", name));
    remove_key(removal, memory_format("%s.body", name));
    free(name);
    remove_keys_of_sr3(removal, config, "work_retry");
    remove_keys_of_sr3(removal, config, "post_retry");
    redis_link_send(removal->link);
}

/* Those of a retry_driver disk are in a state file. */
static bool remove_retry_records(const struct config *config, struct error *err)
{
    struct redis_settings redis = retry_store_redis(config);
    struct removal removal = {0};

    if (config->retry_driver != CONFIG_DRIVER_REDIS)
        return true;
    removal.loop = loop_open();
    removal.timer = loop_timer_open(removal.loop, on_tick, &removal);
    removal.link = redis_link_open(removal.loop, &redis, &unlink_script, 1, &removal.err);
    if (removal.link && wait_connected(&removal)) {
        remove_keys(&removal, config);
        while (removal.unanswered)
            wait_a_moment(&removal);
        if (!removal.err.kind)
            log_info("sarracenia.redisqueue cleanup", "removed the retry records of queue %s",
                     config->queue);
    }
    redis_link_close(removal.link, 0);
    loop_timer_close(removal.timer);
    loop_close(removal.loop);
    *err = removal.err;
    return !err->kind;
}

/* ---- state files ---- */

static bool is_kept(const struct dirent *entry)
{
    return entry->d_type == DT_DIR || strcmp(entry->d_name, "disabled") == 0
           || strstr(entry->d_name, ".log") != NULL;
}

static bool remove_state_files(const struct config *config, FILE *out, struct error *err)
{
    DIR *list = opendir(config->subscription_dir);

    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *path;

        if (is_kept(entry))
            continue;
        path = memory_format("%s/%s", config->subscription_dir, entry->d_name);
        if (!unlink(path))
            fprintf(out, "removing state file: %s\n", path);
        else
            error_set(err, ERROR_OPERATOR, "remove '%s': %m", path);
        free(path);
    }
    if (list)
        closedir(list);
    return !err->kind;
}

/* ---- the whole ---- */

static bool clean_one(const struct config *config, FILE *out, struct error *err)
{
    int lock = running_exclude(config, err);
    bool cleaned = !err->kind && delete_queue(config, err) && remove_retry_records(config, err)
                   && remove_state_files(config, out, err);

    if (lock >= 0)
        close(lock);
    return cleaned;
}

static bool rehearse_one(const struct config *config)
{
    log_info("root cleanup",
             "dry run: would delete queue %s, its retry records and the state files in '%s'",
             config->queue, config->subscription_dir);
    return true;
}

static bool clean_up(const struct command_request *request, const char *name, FILE *out)
{
    struct error err = {0};
    struct config *config = command_load(request, name, &err);
    bool done = config && (config->dry_run ? rehearse_one(config) : clean_one(config, out, &err));

    if (!done)
        log_error("root cleanup", "%s", err.text);
    config_free(config);
    return done;
}

static bool clean_all(const struct command_request *request, char **names, size_t count, FILE *out,
                      struct error *err)
{
    size_t failed = 0;

    fputs("cleanup: ", out);
    for (size_t i = 0; i < count; i++)
        failed += !clean_up(request, names[i], out);
    fputs("\n", out);
    return !failed
           || error_set(err, ERROR_OPERATOR, "%zu of %zu configurations could not be cleaned up",
                        failed, count);
}

bool cleanup_run(const struct command_request *request, long danger, FILE *out, struct error *err)
{
    size_t count;
    char **names = command_find_names(request->names, request->name_count, &count, err);
    bool cleaned;

    if (!names)
        return false;
    if (count > 1 && danger != (long)count)
        cleaned = error_set(err, ERROR_OPERATOR,
                            "this would clean up %zu configurations; if that is what you want, say "
                            "--dangerWillRobinson=%zu",
                            count, count);
    else
        cleaned = clean_all(request, names, count, out, err);
    command_free_names(names, count);
    return cleaned;
}
