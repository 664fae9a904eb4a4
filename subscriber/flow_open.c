/* Opening the stages: what each needs to know of the configuration. And closing them. */
#include "flow_end.h"

#include "base/log.h"
#include "broker_settings.h"
#include "logins.h"
#include "settings/config.h"
#include "stages/vip.h"
#include "store/sr3_retries.h"
#include "stores.h"

#include <stdlib.h>

#define HAND_PART           4 /* of what may be open may wait in hand */
#define HOST_PART           2 /* of it may be fetched from one server at once */
#define LEASE_MS            30000
#define LATEST_TTL_LEAST_MS 3600000

static bool open_broker(struct flow *flow, struct error *err)
{
    struct broker_settings_kept kept;
    struct broker_settings settings = broker_settings_for(flow->config, &kept);

    flow->broker = broker_open(flow->loop, &settings, err);
    flow->intake.count_max = flow->config->message_count_max;
    flow->intake.rate_max = flow->config->message_rate_max;
    broker_settings_kept_clear(&kept);
    flow->open_max = settings.prefetch;
    flow->hand_max = settings.prefetch / HAND_PART;
    return flow->broker != NULL;
}

static bool open_claims(struct flow *flow, struct error *err)
{
    const struct config *config = flow->config;
    int64_t ttl_ms = config->nodupe_ttl_ms;
    struct store_settings settings = {
        .lease_ms = LEASE_MS,
        .nodupe_ttl_ms = ttl_ms,
        .latest_ttl_ms = ttl_ms > LATEST_TTL_LEAST_MS ? ttl_ms : LATEST_TTL_LEAST_MS,
    };

    flow->store = store_open_for(config, flow->loop, &settings, err);
    if (!flow->store)
        return false;
    flow->dedupe = dedupe_open(
        flow->store,
        &(struct dedupe_settings){.key_base = store_key_base(config), .lease_ms = LEASE_MS}, err);
    return flow->dedupe != NULL;
}

static bool open_retries(struct flow *flow, struct error *err)
{
    flow->retry_store = retry_store_open_for(flow->config, flow->loop, err);
    if (!flow->retry_store)
        return false;
    flow->retry = retry_open(
        flow->retry_store,
        &(struct retry_settings){.lease_ms = LEASE_MS, .work_max = flow->config->transfers_max});
    if (flow->config->dry_run)
        return true;
    flow->sr3_retries = sr3_retries_open_for(flow->config, flow->loop, err);
    return flow->sr3_retries != NULL;
}

static struct download_names names_of(const struct option_list *list)
{
    return (struct download_names){(const char *const *)list->items, list->count};
}

/* Never so many that those of one server would be all that can be open. */
static int transfers_per_host(const struct config *config)
{
    int most = config->prefetch / HOST_PART;

    return most > 0 && most < config->transfers_max_per_host ? most
                                                             : config->transfers_max_per_host;
}

static struct download *open_download(struct flow *flow, struct error *err)
{
    const struct config *config = flow->config;
    char *known_hosts = logins_known_hosts(config->ssh_known_hosts);
    struct download_settings settings = {
        .transfers_max = config->transfers_max,
        .transfers_max_per_host = transfers_per_host(config),
        .connect_timeout_ms = config->connect_timeout_ms,
        .stall_timeout_ms = config->timeout_ms,
        .total_timeout_ms = config->transfer_time_max_ms,
        .byte_rate_max = config->byte_rate_max,
        .http2 = config->http2,
        .tls = (enum download_tls)config->tls_rigour,
        .ca_file = config->ca_file ? config->ca_file : getenv("SSL_CERT_FILE"),
        .known_hosts = known_hosts,
        .url_allow = names_of(&config->url_allow),
        .url_deny = names_of(&config->url_deny),
        .file_allow = names_of(&config->file_allow),
        .receive = flow_receive_bytes,
        .answered = flow_receive_answer,
    };
    struct download *download = download_open(flow->loop, &settings, err);

    free(known_hosts);
    return download;
}

static bool open_transfers(struct flow *flow, struct error *err)
{
    const struct config *config = flow->config;

    flow->logins = logins_open(config->credentials);
    flow->download = open_download(flow, err);
    if (!flow->download)
        return false;
    flow->writer = writer_open(
        flow->loop,
        &(struct writer_settings){.inflight = config->inflight,
                                  .directory_mode = (int)config->perm_dir_default,
                                  .durability = (enum writer_durability)config->durability,
                                  .mismatch = (enum writer_mismatch)config->identity_mismatch,
                                  .accept_wrong_size = config->accept_size_wrong,
                                  .without_attributes = config->xattr_disable},
        err);
    flow->events = events_open(
        flow->loop,
        &(struct events_settings){.durability = (enum events_durability)config->durability});
    return flow->writer != NULL;
}

static bool open_vip(struct flow *flow, struct error *err)
{
    const struct option_list *vip = &flow->config->vip;

    if (!vip->count)
        return true;
    flow->vip = vip_open(flow->loop, (const char *const *)vip->items, vip->count, err);
    return flow->vip || config_wrap_origin(flow->config, CONFIG_OPTION_vip, err);
}

bool flow_open(struct flow *flow, struct error *err)
{
    list_init(&flow->jobs);
    flow->deadlines = deadlines_open();
    if (flow->config->dry_run)
        log_warning(
            "sr3sub.flow dry_run",
            "dry_run: nothing is fetched, placed, removed, remembered or declared, but what "
            "is read from queue '%s' is gone from it",
            flow->config->queue);
    flow->judge = judge_open(flow->config, err);
    return flow->judge && open_vip(flow, err) && open_claims(flow, err) && open_retries(flow, err)
           && open_transfers(flow, err) && open_broker(flow, err);
}

static void free_jobs(struct flow *flow)
{
    struct list_link *link;

    while ((link = list_first(&flow->jobs))) {
        struct job *job = LIST_ITEM(link, struct job, link);

        deadline_clear(flow->deadlines, &job->deadline);
        job->asking = job->hold.busy = false;
        if (job->state != JOB_HANDED_BACK)
            job_advance(job, JOB_HANDED_BACK);
        job_free(job);
    }
}

static void let_go_of_transfers(struct flow *flow)
{
    for (struct list_link *link = list_first(&flow->jobs); link;
         link = list_next(&flow->jobs, link)) {
        struct job *job = LIST_ITEM(link, struct job, link);

        if (!flow_give_up(flow, job) && job->transfer) { /* that removes something */
            download_cancel(job->transfer);
            job->transfer = NULL;
        }
    }
}

void flow_close(struct flow *flow)
{
    broker_close(flow->broker);
    vip_close(flow->vip);
    let_go_of_transfers(flow);
    download_close(flow->download);
    logins_close(flow->logins);
    writer_close(flow->writer);
    events_close(flow->events);
    dedupe_close(flow->dedupe);
    store_close(flow->store);
    retry_store_close(flow->retry_store);
    sr3_retries_close(flow->sr3_retries);
    free_jobs(flow);
    retry_close(flow->retry);
    deadlines_close(flow->deadlines);
    judge_close(flow->judge);
}
