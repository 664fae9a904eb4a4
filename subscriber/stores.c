#include "stores.h"

#include "store/redis_address.h"
#include "store/sr3_retries.h"

#include <stdlib.h>
#include <unistd.h>

static char *embedded_path(const struct config *config)
{
    return memory_format("%s/store.sqlite", config->subscription_dir);
}

static struct redis_settings redis_at(const struct url *url)
{
    return (struct redis_settings){.url = url,
                                   .connect_timeout_ms = STORES_CONNECT_TIMEOUT_MS,
                                   .command_timeout_ms = STORES_COMMAND_TIMEOUT_MS};
}

static bool check_url(const struct config *config, int driver, const struct option_url *url,
                      enum config_option option, struct error *err)
{
    struct redis_address address;

    if (driver != CONFIG_DRIVER_REDIS)
        return true;
    if (!redis_address_parse(&url->parts, &address, err))
        return config_wrap_origin(config, option, err);
    redis_address_clear(&address);
    return true;
}

static bool check_claims(const struct config *config, struct error *err)
{
    return check_url(config, config->nodupe_driver, &config->nodupe_redis_serverurl,
                     CONFIG_OPTION_nodupe_redis_serverurl, err);
}

static bool check_retries(const struct config *config, struct error *err)
{
    return check_url(config, config->retry_driver, &config->redisqueue_serverurl,
                     CONFIG_OPTION_redisqueue_serverurl, err);
}

bool stores_check(const struct config *config, struct error *err)
{
    return check_claims(config, err) && check_retries(config, err);
}

struct redis_settings retry_store_redis(const struct config *config)
{
    return redis_at(&config->redisqueue_serverurl.parts);
}

const char *store_key_base(const struct config *config)
{
    return config->nodupe_driver == CONFIG_DRIVER_REDIS ? config->nodupe_base : "sr3sub";
}

struct store *store_open_for(const struct config *config, struct loop *loop,
                             const struct store_settings *settings, struct error *err)
{
    struct redis_settings redis = redis_at(&config->nodupe_redis_serverurl.parts);
    struct store *store;
    char *path;

    if (!check_claims(config, err))
        return NULL;
    if (config->nodupe_driver == CONFIG_DRIVER_REDIS)
        return store_open_redis(loop, &redis, store_key_base(config), settings, err);
    path = embedded_path(config);
    store = store_open_sqlite(loop, path, settings, err);
    free(path);
    return store;
}

char *retry_store_name(const struct config *config)
{
    return memory_format("sr3sub.retry.%s.%s", config->component, config->queue);
}

bool retry_store_exists_for(const struct config *config)
{
    char *path = embedded_path(config);
    bool exists = config->retry_driver == CONFIG_DRIVER_REDIS || !access(path, F_OK);

    free(path);
    return exists;
}

struct retry_store *retry_store_open_for(const struct config *config, struct loop *loop,
                                         struct error *err)
{
    bool shared = config->retry_driver == CONFIG_DRIVER_REDIS;
    struct redis_settings redis = retry_store_redis(config);
    struct retry_store *store;
    char *where;

    if (!check_retries(config, err))
        return NULL;
    where = shared ? retry_store_name(config) : embedded_path(config);
    store = shared ? retry_store_open_redis(loop, &redis, where, err)
                   : retry_store_open_sqlite(loop, where, err);
    free(where);
    return store;
}

struct sr3_retries *sr3_retries_open_for(const struct config *config, struct loop *loop,
                                         struct error *err)
{
    bool shared = config->retry_driver == CONFIG_DRIVER_REDIS;
    struct redis_settings redis = retry_store_redis(config);
    char *queue = memory_format("%s.%s", config->component, config->queue);
    struct sr3_retries_settings settings = {
        .directory = config->subscription_dir, .redis = shared ? &redis : NULL, .queue = queue};
    struct sr3_retries *retries = sr3_retries_open(loop, &settings, err);

    free(queue);
    return retries;
}
