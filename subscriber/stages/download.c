/*
 * Many transfers at once: the stage itself, which says whose turn it is and who has to wait.
 *
 * A transfer waits at its host for its turn (hosts.c). One by http is moved on by a fetcher on
 * libcurl's multi-socket interface (fetcher.c, answer.c), which is used again and again; any other
 * by a courier (courier.c). The bytes of all of them come through transfer_take(), where they are
 * counted and, when byte_rate_max is used up, made to wait in line.
 */
#include "stages/download.h"

#include "base/clock.h"
#include "base/recycle.h"
#include "stages/answer.h"
#include "stages/download_sockets.h"
#include "stages/local_file.h"
#include "stages/rate.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES    61440 /* from 64 kB on, free() tidies up the whole heap each time */
#define WAIT_MOST_MS   10000 /* for a turn, when others are held up by it */
#define COURIERS_SPARE 32    /* for those that were recalled and are not back yet */

struct download {
    struct loop *loop;
    struct download_settings settings;
    CURLM *multi;
    struct access *access;
    struct download_sockets *sockets;
    struct couriers *couriers; /* NULL until one is needed */
    struct fetcher_settings fetchers;
    struct rate rate;
    struct loop_timer *rate_timer;
    int active_count;
    struct list active, finished, idle, throttled;
    struct hosts *hosts;
};

/* ---- the bytes of all transfers ---- */

void transfer_answer(struct transfer *transfer, int64_t from_byte, int64_t last_modified_s)
{
    transfer->answered = true;
    transfer->from_byte = from_byte;
    transfer->received = 0;
    if (transfer->download->settings.answered)
        transfer->download->settings.answered(transfer->ticket, from_byte, last_modified_s);
}

/* Those that waited for byte_rate_max come first, one piece each. */
static bool must_wait(struct transfer *transfer)
{
    struct download *download = transfer->download;
    bool has_turn = transfer->has_turn;

    if (download->rate.bytes_per_s <= 0)
        return false;
    transfer->has_turn = false;
    if (has_turn || (list_is_empty(&download->throttled) && rate_has(&download->rate)))
        return false;
    if (!list_is_linked(&transfer->throttled))
        list_append(&download->throttled, &transfer->throttled);
    return true;
}

enum download_flow transfer_take(struct transfer *transfer, const char *bytes, size_t length)
{
    struct download *download = transfer->download;
    enum download_flow flow;

    if (!order_allows_size(transfer->order,
                           transfer->from_byte + transfer->received + (int64_t)length,
                           &transfer->result.err)) {
        transfer->stopped = true;
        return DOWNLOAD_STOP;
    }
    if (must_wait(transfer))
        return DOWNLOAD_PAUSE;
    flow = download->settings.receive(transfer->ticket, bytes, length);
    transfer->paused = flow == DOWNLOAD_PAUSE;
    transfer->stopped = flow == DOWNLOAD_STOP;
    if (flow == DOWNLOAD_GO_ON) {
        transfer->received += (int64_t)length;
        rate_take(&download->rate, length);
    }
    return flow;
}

/* ---- one transfer: beginning and end ---- */

static struct fetcher *fetcher_get(struct download *download)
{
    struct list_link *idle = list_take_first(&download->idle);

    return idle ? LIST_ITEM(idle, struct fetcher, link) : fetcher_new(&download->fetchers);
}

static void notice_couriers(void *context)
{
    struct download *download = context;

    loop_again(download->loop);
}

static struct couriers *couriers_of(struct download *download)
{
    struct courier_settings settings = {.download = &download->settings,
                                        .access = download->access,
                                        .couriers_max =
                                            download->settings.transfers_max + COURIERS_SPARE,
                                        .notice = notice_couriers,
                                        .context = download};

    if (!download->couriers)
        download->couriers = couriers_open(download->loop, &settings);
    return download->couriers;
}

static void fetcher_start(struct transfer *transfer)
{
    transfer->fetcher = fetcher_get(transfer->download);
    fetcher_begin(transfer->fetcher, transfer);
    curl_multi_add_handle(transfer->download->multi, transfer->fetcher->easy);
}

static void fetcher_stop(struct transfer *transfer)
{
    struct download *download = transfer->download;

    curl_multi_remove_handle(download->multi, transfer->fetcher->easy);
    fetcher_end(transfer->fetcher);
    list_append(&download->idle, &transfer->fetcher->link);
    transfer->fetcher = NULL;
}

static void finish_untried(struct transfer *transfer, int64_t retry_after_ms, const char *reason)
{
    struct download_result *result = &transfer->result;

    result->ticket = transfer->ticket;
    result->untried = true;
    result->retry_after_ms = retry_after_ms;
    error_set(&result->err, ERROR_TEMPORARY, "get '%s': %s", transfer->order->request.url, reason);
    list_append(&transfer->download->finished, &transfer->link);
}

/* Ends without having been asked for. */
static void transfer_turn_away(struct transfer *transfer)
{
    transfer->host = NULL;
    finish_untried(transfer, download_pause_ms(transfer->download, transfer->order->request.url),
                   "its server is left alone for a while");
}

static int turn_away_all(struct list *transfers)
{
    struct list_link *link;
    int count = 0;

    for (; (link = list_take_first(transfers)); count++)
        transfer_turn_away(LIST_ITEM(link, struct transfer, link));
    return count;
}

/* Takes a transfer out of everything; what is left is its result. */
static void transfer_end(struct transfer *transfer, enum host_news news, int64_t rest_ms)
{
    struct download *download = transfer->download;
    struct host *host = transfer->host;
    struct list turned_away;

    transfer->host = NULL;
    list_remove(&transfer->throttled);
    if (!transfer->fetcher && !transfer->courier) {
        if (host)
            host_wait_no_more(host, &transfer->link);
        list_remove(&transfer->link);
        return;
    }
    list_remove(&transfer->link);
    if (transfer->fetcher)
        fetcher_stop(transfer);
    if (transfer->courier)
        courier_dismiss(transfer->courier);
    transfer->courier = NULL;
    download->active_count--;
    list_init(&turned_away);
    host_done(host, news, rest_ms, &turned_away);
    turn_away_all(&turned_away);
}

static void transfer_free(struct transfer *transfer)
{
    transfer_end(transfer, HOST_UNKNOWN, -1);
    order_free(transfer->order);
    free(transfer);
}

static void transfer_begin(struct transfer *transfer)
{
    struct download *download = transfer->download;
    struct list turned_away;

    transfer->started_ms = clock_now_ms();
    if (order_is_http(transfer->order))
        fetcher_start(transfer);
    else
        transfer->courier =
            couriers_send(couriers_of(download), &transfer->order->request, transfer);
    if (transfer->fetcher || transfer->courier) {
        download->active_count++;
        list_append(&download->active, &transfer->link);
        return;
    }
    list_init(&turned_away);
    host_done(transfer->host, HOST_UNKNOWN, -1, &turned_away);
    transfer->host = NULL;
    finish_untried(transfer, 1000, "too many threads wait for servers that do not answer");
    turn_away_all(&turned_away);
}

static void transfer_finish(struct transfer *transfer, enum host_news news)
{
    struct download_result *result = &transfer->result;

    result->ticket = transfer->ticket;
    result->size_bytes = transfer->received;
    result->duration_ms = clock_now_ms() - transfer->started_ms;
    transfer_end(transfer, news, news == HOST_TROUBLE ? result->retry_after_ms : -1);
    list_append(&transfer->download->finished, &transfer->link);
}

/* ---- http ---- */

static void fetcher_done(struct fetcher *fetcher, CURLcode code)
{
    struct transfer *transfer = fetcher->transfer;
    enum host_news news = HOST_UNKNOWN;

    if (answer_finish(fetcher, code, &news)) {
        transfer_finish(transfer, news);
        return;
    }
    transfer->order->request.from_byte = 0; /* the rest was not to be had */
    transfer->received = 0;
    fetcher_stop(transfer);
    fetcher_start(transfer);
}

static void read_messages(struct download *download)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(download->multi, &left))) {
        struct fetcher *fetcher = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetcher);
        fetcher_done(fetcher, code);
    }
}

/* ---- couriers ---- */

static void courier_done(struct transfer *transfer, const struct courier_outcome *outcome)
{
    struct download_result *result = &transfer->result;

    result->retry_after_ms = -1;
    result->fetched = outcome->fetched;
    result->err = outcome->err;
    result->gone = outcome->gone;
    result->broken = outcome->broken;
    result->timed_out = outcome->timed_out;
    result->unconnected = outcome->unconnected;
    transfer_finish(transfer, outcome->news);
}

static void courier_stop(struct transfer *transfer)
{
    struct error *err = &transfer->result.err;

    if (!err->kind)
        error_set(err, ERROR_TEMPORARY, "get '%s': stopped", transfer->order->request.url);
    transfer->result.retry_after_ms = -1;
    transfer_finish(transfer, HOST_UNKNOWN);
}

/* With a limit, as much as curl hands over at once: no transfer gets more than another. */
static size_t courier_piece(const struct download *download)
{
    int64_t piece = download->fetchers.piece_bytes;

    return (size_t)(download->rate.bytes_per_s && piece > CURL_MAX_WRITE_SIZE ? CURL_MAX_WRITE_SIZE
                                                                              : piece);
}

/* Takes what the courier of a transfer has brought, as far as there is room. */
static void transfer_unload(struct transfer *transfer)
{
    size_t most = courier_piece(transfer->download), length;
    int64_t from_byte, last_modified_s;
    struct courier_outcome outcome;
    const char *bytes;

    if (courier_take_answer(transfer->courier, &from_byte, &last_modified_s))
        transfer_answer(transfer, from_byte, last_modified_s);
    if (transfer->paused || (list_is_linked(&transfer->throttled) && !transfer->has_turn))
        return;
    for (;;) {
        bytes = courier_look(transfer->courier, &length);
        if (!length)
            break;
        length = length < most ? length : most;
        switch (transfer_take(transfer, bytes, length)) {
        case DOWNLOAD_GO_ON:
            courier_took(transfer->courier, length);
            break;
        case DOWNLOAD_PAUSE:
            return;
        case DOWNLOAD_STOP:
            courier_stop(transfer);
            return;
        }
    }
    if (courier_is_done(transfer->courier, &outcome))
        courier_done(transfer, &outcome);
}

static void unload_couriers(struct download *download)
{
    void *ticket;

    while (download->couriers && couriers_take_news(download->couriers, &ticket))
        transfer_unload(ticket);
}

/* ---- bytes that waited ---- */

static void offer_again(struct transfer *transfer)
{
    if (transfer->fetcher)
        curl_easy_pause(transfer->fetcher->easy, CURLPAUSE_CONT); /* offers them at once */
    else if (transfer->courier)
        transfer_unload(transfer);
}

static void rate_due(void *context)
{
    struct download *download = context;

    loop_again(download->loop);
}

static void let_throttled_go_on(struct download *download)
{
    struct list_link *link;

    while (!list_is_empty(&download->throttled) && rate_has(&download->rate)) {
        struct transfer *transfer;

        link = list_take_first(&download->throttled);
        transfer = LIST_ITEM(link, struct transfer, throttled);
        transfer->has_turn = true;
        offer_again(transfer);
    }
}

/* ---- the stage ---- */

static struct download_names names_copy(struct download_names names)
{
    char **items = memory_resize(NULL, names.count + 1, sizeof(*items));

    for (size_t i = 0; i < names.count; i++)
        items[i] = memory_copy(names.items[i]);
    return (struct download_names){(const char *const *)items, names.count};
}

static void names_free(struct download_names names)
{
    for (size_t i = 0; i < names.count; i++)
        free((char *)names.items[i]);
    free((char **)names.items);
}

static void settings_copy(struct download_settings *to, const struct download_settings *from)
{
    *to = *from;
    to->ca_file = memory_copy(from->ca_file);
    to->known_hosts = memory_copy(from->known_hosts);
    to->url_allow = to->url_deny = (struct download_names){0}; /* access.c has them */
    to->file_allow = names_copy(from->file_allow);
}

static void settings_free(struct download_settings *settings)
{
    free((char *)settings->ca_file);
    free((char *)settings->known_hosts);
    names_free(settings->file_allow);
}

static bool open_curl(struct download *download, struct error *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, recycle_take, recycle_free, recycle_resize,
                             recycle_copy, recycle_zeroed)
        == CURLE_OK)
        download->multi = curl_multi_init();
    if (!download->multi)
        return error_set(err, ERROR_OPERATOR, "set up libcurl: it refuses to start");
    curl_multi_setopt(download->multi, CURLMOPT_MAXCONNECTS,
                      (long)download->settings.transfers_max);
    download->sockets = download_sockets_new(download->loop, download->multi);
    download->fetchers = (struct fetcher_settings){
        .download = &download->settings,
        .access = download->access,
        .sockets = download->sockets,
        .piece_bytes = rate_piece(&download->rate, PIECE_BYTES),
    };
    return true;
}

struct download *download_open(struct loop *loop, const struct download_settings *settings,
                               struct error *err)
{
    struct download *download = memory_new(sizeof(*download));

    download->loop = loop;
    settings_copy(&download->settings, settings);
    download->hosts = hosts_open(settings->transfers_max_per_host);
    list_init(&download->active);
    list_init(&download->finished);
    list_init(&download->idle);
    list_init(&download->throttled);
    rate_init(&download->rate, settings->byte_rate_max);
    download->rate_timer = loop_timer_open(loop, rate_due, download);
    download->access = access_open(settings->url_allow, settings->url_deny, err);
    if (download->access && local_file_check(settings->file_allow, err) && open_curl(download, err))
        return download;
    download_close(download);
    return NULL;
}

static void drop_all(struct list *transfers)
{
    struct list_link *link;

    while ((link = list_first(transfers)))
        transfer_free(LIST_ITEM(link, struct transfer, link));
}

void download_close(struct download *download)
{
    struct list_link *link;

    if (!download)
        return;
    drop_all(&download->active);
    drop_all(&download->finished);
    while ((link = hosts_take_any(download->hosts)))
        transfer_free(LIST_ITEM(link, struct transfer, link));
    while ((link = list_take_first(&download->idle)))
        fetcher_free(LIST_ITEM(link, struct fetcher, link));
    curl_multi_cleanup(download->multi);
    hosts_close(download->hosts);
    download_sockets_free(download->sockets);
    loop_timer_close(download->rate_timer);
    if (!couriers_close(download->couriers))
        return; /* a thread may still look at the settings */
    access_close(download->access);
    settings_free(&download->settings);
    free(download);
}

struct transfer *download_start(struct download *download, const struct download_request *request,
                                void *ticket)
{
    struct transfer *transfer = memory_new(sizeof(*transfer));

    transfer->download = download;
    transfer->ticket = ticket;
    transfer->order = order_new(request);
    transfer->asked_ms = clock_now_ms();
    transfer->host = hosts_get(download->hosts, request->url);
    if (!host_wait(transfer->host, &transfer->link)) {
        transfer_turn_away(transfer);
        loop_again(download->loop);
    }
    return transfer;
}

void download_cancel(struct transfer *transfer)
{
    loop_again(transfer->download->loop); /* another one may have its turn now */
    transfer_free(transfer);
}

void download_resume(struct transfer *transfer)
{
    if (!transfer->paused || !download_is_active(transfer))
        return;
    transfer->paused = false;
    offer_again(transfer);
    loop_again(transfer->download->loop);
}

int64_t download_pause_ms(const struct download *download, const char *url)
{
    return hosts_pause_ms(download->hosts, url);
}

static bool waits_too_long(const struct list_link *waiting)
{
    return clock_now_ms() - LIST_ITEM(waiting, struct transfer, link)->asked_ms >= WAIT_MOST_MS;
}

int download_disperse(struct download *download)
{
    struct list turned_away;

    if (download->active_count >= download->settings.transfers_max)
        return 0;
    list_init(&turned_away);
    hosts_disperse(download->hosts, waits_too_long, &turned_away);
    if (!list_is_empty(&turned_away))
        loop_again(download->loop);
    return turn_away_all(&turned_away);
}

bool download_is_active(const struct transfer *transfer)
{
    return transfer->fetcher || transfer->courier;
}

static bool has_turn(const struct download *download)
{
    return download->active_count < download->settings.transfers_max
           && hosts_have_turn(download->hosts);
}

static void move_on(struct download *download)
{
    download_sockets_step(download->sockets);
    read_messages(download);
    unload_couriers(download);
}

void download_step(struct download *download)
{
    let_throttled_go_on(download);
    move_on(download);
    while (has_turn(download))
        transfer_begin(LIST_ITEM(hosts_take_turn(download->hosts), struct transfer, link));
    move_on(download);
    if (!list_is_empty(&download->throttled))
        loop_timer_set(download->rate_timer, rate_wait_ms(&download->rate));
    if (download_sockets_are_ready(download->sockets) || has_turn(download))
        loop_again(download->loop);
}

bool download_take_finished(struct download *download, struct download_result *result)
{
    struct list_link *link = list_take_first(&download->finished);
    struct transfer *transfer;

    if (!link)
        return false;
    transfer = LIST_ITEM(link, struct transfer, link);
    *result = transfer->result;
    transfer_free(transfer);
    return true;
}
