#include "broker_settings.h"

#include "stages/intake.h"

#include <stdlib.h>
#include <string.h>

#define PREFETCH_DEFAULT 256

static struct broker_binding *copy_bindings(const struct config *config)
{
    struct broker_binding *bindings =
        memory_resize(NULL, config->binding_count + 1, sizeof(*bindings));

    for (size_t i = 0; i < config->binding_count; i++)
        bindings[i] = (struct broker_binding){.exchange = config->bindings[i].exchange,
                                              .topic = config->bindings[i].topic,
                                              .prefix_length = config->bindings[i].prefix_length};
    return bindings;
}

static enum broker_tls choose_tls(const struct config *config)
{
    if (strcmp(config->broker.parts.scheme, "amqps") != 0)
        return BROKER_TLS_OFF;
    return config->tls_rigour == CONFIG_TLS_LAX ? BROKER_TLS_LAX : BROKER_TLS_VERIFY;
}

struct broker_settings broker_settings_for(const struct config *config,
                                           struct broker_settings_kept *kept)
{
    const struct url *url = &config->broker.parts;

    kept->bindings = copy_bindings(config);
    kept->record = memory_format("%s/subscriptions.json", config->subscription_dir);
    return (struct broker_settings){
        .host = url->host,
        .port = url->port,
        .tls = choose_tls(config),
        .vhost = config->broker_vhost,
        .user = url->user,
        .password = url->password,
        .url = config->broker_url,
        .queue = config->queue,
        .declare = config->queue_declare,
        .bind = config->queue_bind,
        .rehearse = config->dry_run,
        .durable = config->durable,
        .auto_delete = config->auto_delete,
        .expire_ms = config->expire_ms,
        .message_ttl_ms = config->message_age_max_ms,
        .bindings = kept->bindings,
        .binding_count = config->binding_count,
        .prefetch = intake_limit_prefetch(
            config->message_rate_max, config->prefetch > 0 ? config->prefetch : PREFETCH_DEFAULT),
        .heartbeat_s = (int)(config->amqp_heartbeat_ms / 1000),
        .connect_timeout_ms = config->connect_timeout_ms,
        .record = kept->record,
    };
}

void broker_settings_kept_clear(struct broker_settings_kept *kept)
{
    free(kept->bindings);
    free(kept->record);
}
