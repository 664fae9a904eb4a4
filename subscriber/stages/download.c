/*
 * Many transfers at once, on libcurl's multi-socket interface.
 *
 * A transfer waits at its host for its turn (hosts.c). Curl's handles are set up once and used
 * again and again, only the URL changes. The sockets of kept connections stay watched while they
 * rest, which spares telling the kernel twice for every file.
 */
#include "stages/download.h"

#include "base/clock.h"
#include "stages/hosts.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_BUFFER_SIZE 65536
#define REDIRECTS_MAX       5L
#define ERROR_BODY_MAX      65536 /* of an answer that is no file; longer ones are cut off */

/* A curl handle, for one transfer after the other. */
struct fetcher {
    struct list_link link; /* in `idle` */
    struct transfer *transfer;
    CURL *easy;
    bool header_is_whole; /* its empty line was seen */
    char error[CURL_ERROR_SIZE];
};

struct transfer {
    struct list_link link; /* waiting at its host, active, or finished */
    struct download *download;
    struct host *host;
    struct fetcher *fetcher; /* NULL while it waits */
    void *ticket;
    char *url;
    bool paused, stopped;
    int64_t received, started_ms;
    struct download_result result;
};

struct download_socket {
    struct list_link ready_link;
    struct download *download;
    struct loop_watch *watch;
    int fd, wanted, ready;
    bool connection; /* opened by us, not one of curl's inner ones */
};

struct download {
    struct loop *loop;
    struct download_settings settings;
    CURLM *multi;
    struct loop_timer *timer;
    bool timer_due;
    int active_count;
    struct list active, finished, idle, ready;
    struct hosts *hosts;
    struct download_socket **sockets; /* by descriptor */
    size_t socket_capacity;
};

/* ---- sockets and timer: only note what became ready ---- */

static void socket_ready(void *context, int fd, int events)
{
    struct download_socket *socket = context;

    (void)fd;
    if (!socket->wanted) { /* a resting connection: the server has closed it, curl will find out */
        loop_watch_set(socket->watch, 0);
        return;
    }
    socket->ready |= events;
    if (!list_is_linked(&socket->ready_link))
        list_append(&socket->download->ready, &socket->ready_link);
}

static struct download_socket *socket_add(struct download *download, int fd, bool connection)
{
    struct download_socket *socket = memory_new(sizeof(*socket));

    if ((size_t)fd >= download->socket_capacity) {
        size_t capacity = (size_t)fd + 64;

        download->sockets =
            memory_resize(download->sockets, capacity, sizeof(struct download_socket *));
        memset(download->sockets + download->socket_capacity, 0,
               (capacity - download->socket_capacity) * sizeof(struct download_socket *));
        download->socket_capacity = capacity;
    }
    socket->download = download;
    socket->fd = fd;
    socket->connection = connection;
    socket->watch = loop_watch_open(download->loop, fd, socket_ready, socket);
    download->sockets[fd] = socket;
    return socket;
}

static struct download_socket *socket_find(struct download *download, int fd)
{
    return (size_t)fd < download->socket_capacity ? download->sockets[fd] : NULL;
}

static void socket_remove(struct download_socket *socket)
{
    socket->download->sockets[socket->fd] = NULL;
    list_remove(&socket->ready_link);
    loop_watch_close(socket->watch);
    free(socket);
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct download *download = context;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);

    (void)purpose;
    if (fd < 0)
        return CURL_SOCKET_BAD;
    socket_add(download, fd, true);
    return fd;
}

static int on_close_socket(void *context, curl_socket_t fd)
{
    struct download *download = context;
    struct download_socket *socket = socket_find(download, fd);

    if (socket)
        socket_remove(socket);
    return close(fd);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused)
{
    struct download *download = context;
    struct download_socket *socket = socket_find(download, fd);

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (socket && socket->connection)
            socket->wanted = 0; /* stays watched: most likely curl wants it again at once */
        else if (socket)
            socket_remove(socket);
        return 0;
    }
    if (!socket)
        socket = socket_add(download, fd, false);
    socket->wanted =
        (what & CURL_POLL_IN ? LOOP_READABLE : 0) | (what & CURL_POLL_OUT ? LOOP_WRITABLE : 0);
    loop_watch_set(socket->watch, socket->wanted);
    return 0;
}

static void timer_due(void *context)
{
    struct download *download = context;

    download->timer_due = true;
}

static int on_timer(CURLM *multi, long delay_ms, void *context)
{
    struct download *download = context;

    (void)multi;
    download->timer_due = delay_ms == 0;
    if (delay_ms > 0)
        loop_timer_set(download->timer, delay_ms);
    else
        loop_timer_stop(download->timer);
    return 0;
}

/* ---- one transfer ---- */

static bool answer_is_file(struct fetcher *fetcher)
{
    long status = 0;

    curl_easy_getinfo(fetcher->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200;
}

/* An answer that breaks off in its header would otherwise be an empty file. */
static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct fetcher *fetcher = context;

    if (size * count >= 5 && memcmp(line, "HTTP/", 5) == 0)
        fetcher->header_is_whole = false; /* another answer: of a redirect, behind a 100 */
    else if (size * count > 0 && (line[0] == '\r' || line[0] == '\n'))
        fetcher->header_is_whole = true;
    return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct fetcher *fetcher = context;
    struct transfer *transfer = fetcher->transfer;
    size_t length = size * count;

    if (!answer_is_file(fetcher)) { /* an error page: read on, so that the connection can be kept */
        transfer->received += (int64_t)length;
        return transfer->received <= ERROR_BODY_MAX ? length : CURL_WRITEFUNC_ERROR;
    }
    switch (transfer->download->settings.receive(transfer->ticket, bytes, length)) {
    case DOWNLOAD_GO_ON:
        transfer->received += (int64_t)length;
        return length;
    case DOWNLOAD_PAUSE:
        transfer->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    case DOWNLOAD_STOP:
    default:
        transfer->stopped = true;
        return CURL_WRITEFUNC_ERROR;
    }
}

static void fetcher_set_tls(CURL *easy, enum download_tls tls)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls == DOWNLOAD_TLS_LAX ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls == DOWNLOAD_TLS_LAX ? 0L : 2L);
    if (tls == DOWNLOAD_TLS_STRICT)
        curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void fetcher_set_options(struct fetcher *fetcher, struct download *download)
{
    const struct download_settings *settings = &download->settings;
    long stall_s = (long)((settings->stall_timeout_ms + 999) / 1000);
    CURL *easy = fetcher->easy;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sr3sub/" SR3SUB_VERSION);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_SIZE);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)settings->total_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, stall_s ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetcher->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetcher);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetcher);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetcher);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, download);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, download);
    fetcher_set_tls(easy, settings->tls);
}

static struct fetcher *fetcher_get(struct download *download)
{
    struct list_link *idle = list_take_first(&download->idle);
    struct fetcher *fetcher;

    if (idle)
        return LIST_ITEM(idle, struct fetcher, link);
    fetcher = memory_new(sizeof(*fetcher));
    fetcher->easy = curl_easy_init();
    if (!fetcher->easy)
        abort(); /* only when memory is out */
    fetcher_set_options(fetcher, download);
    return fetcher;
}

static void fetcher_put(struct download *download, struct fetcher *fetcher)
{
    fetcher->transfer = NULL;
    list_append(&download->idle, &fetcher->link);
}

static void transfer_begin(struct transfer *transfer)
{
    struct download *download = transfer->download;
    struct fetcher *fetcher = fetcher_get(download);

    transfer->fetcher = fetcher;
    transfer->started_ms = clock_now_ms();
    download->active_count++;
    list_append(&download->active, &transfer->link);
    fetcher->transfer = transfer;
    fetcher->error[0] = '\0';
    fetcher->header_is_whole = false;
    curl_easy_setopt(fetcher->easy, CURLOPT_URL, transfer->url);
    curl_multi_add_handle(download->multi, fetcher->easy);
}

/* Ends without having been asked for. */
static void transfer_turn_away(struct transfer *transfer)
{
    struct download_result *result = &transfer->result;

    transfer->host = NULL;
    result->ticket = transfer->ticket;
    result->untried = true;
    result->retry_after_ms = download_pause_ms(transfer->download, transfer->url);
    error_set(&result->err, ERROR_TEMPORARY, "get '%s': its server is in trouble and left alone",
              transfer->url);
    list_append(&transfer->download->finished, &transfer->link);
}

/* Takes a transfer out of everything; what is left is its result. */
static void transfer_end(struct transfer *transfer, enum host_news news, int64_t rest_ms)
{
    struct download *download = transfer->download;
    struct list turned_away;
    struct list_link *link;

    if (!transfer->fetcher) {
        if (transfer->host)
            host_wait_no_more(transfer->host, &transfer->link);
        list_remove(&transfer->link);
        transfer->host = NULL;
        return;
    }
    list_remove(&transfer->link);
    curl_multi_remove_handle(download->multi, transfer->fetcher->easy);
    fetcher_put(download, transfer->fetcher);
    transfer->fetcher = NULL;
    download->active_count--;
    list_init(&turned_away);
    host_done(transfer->host, news, rest_ms, &turned_away);
    transfer->host = NULL;
    while ((link = list_take_first(&turned_away)))
        transfer_turn_away(LIST_ITEM(link, struct transfer, link));
}

static void transfer_free(struct transfer *transfer)
{
    transfer_end(transfer, HOST_UNKNOWN, -1);
    free(transfer->url);
    free(transfer);
}

static bool check_status(const char *url, long status, struct error *err)
{
    switch (status) {
    case 200:
        return true;
    case 401:
    case 403:
    case 407:
        return error_set(err, ERROR_OPERATOR, "get '%s': HTTP %ld: not permitted", url, status);
    case 408:
    case 425:
    case 429:
        return error_set(err, ERROR_TEMPORARY, "get '%s': HTTP %ld", url, status);
    default:
        return error_set(err, status >= 400 && status < 500 ? ERROR_PERMANENT : ERROR_TEMPORARY,
                         "get '%s': HTTP %ld", url, status);
    }
}

static bool is_http(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static bool check_answer(const struct transfer *transfer, CURLcode code, long status,
                         struct error *err)
{
    const char *words = transfer->fetcher->error;

    if (!*words)
        words = curl_easy_strerror(code);
    if (code == CURLE_OK && !transfer->fetcher->header_is_whole)
        return error_set(err, ERROR_TEMPORARY, "get '%s': the answer breaks off", transfer->url);
    if (code == CURLE_OK || (status >= 400 && code == CURLE_WRITE_ERROR))
        return check_status(transfer->url, status, err);
    switch (code) {
    case CURLE_URL_MALFORMAT:
        return error_set(err, ERROR_PERMANENT, "get '%s': %s", transfer->url, words);
    case CURLE_UNSUPPORTED_PROTOCOL: /* also when the server of an http URL does not speak it */
        return error_set(err, !status && is_http(transfer->url) ? ERROR_TEMPORARY : ERROR_PERMANENT,
                         "get '%s': %s", transfer->url, words);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, ERROR_OPERATOR,
                         "get '%s': certificate refused: %s; install the authority's "
                         "certificate or say 'tlsRigour lax'",
                         transfer->url, words);
    default:
        return error_set(err, ERROR_TEMPORARY, "get '%s': %s", transfer->url, words);
    }
}

/* Whether the host is to be blamed for how a transfer ended, and not the file. */
static enum host_news news_of(CURLcode code, long status)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
        return HOST_TROUBLE;
    default:
        return status == 429 || status == 502 || status == 503 || status == 504 ? HOST_TROUBLE
               : status                                                         ? HOST_WELL
                                                                                : HOST_UNKNOWN;
    }
}

static bool is_broken(CURLcode code, const struct error *err)
{
    return err->kind == ERROR_TEMPORARY
           && (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR);
}

static void transfer_finish(struct transfer *transfer, CURLcode code)
{
    struct download_result *result = &transfer->result;
    CURL *easy = transfer->fetcher->easy;
    curl_off_t retry_after_s = 0;
    enum host_news news;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &result->status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    result->ticket = transfer->ticket;
    result->size_bytes = transfer->received;
    result->duration_ms = clock_now_ms() - transfer->started_ms;
    result->retry_after_ms = retry_after_s > 0 ? retry_after_s * 1000 : -1;
    if (transfer->stopped)
        error_set(&result->err, ERROR_TEMPORARY, "get '%s': stopped", transfer->url);
    else
        result->fetched = check_answer(transfer, code, result->status, &result->err);
    result->broken = !result->fetched && !transfer->stopped && is_broken(code, &result->err);
    news = transfer->stopped ? HOST_UNKNOWN : news_of(code, result->status);
    transfer_end(transfer, news, news == HOST_TROUBLE ? result->retry_after_ms : -1);
    list_append(&transfer->download->finished, &transfer->link);
}

/* ---- the stage ---- */

struct download *download_open(struct loop *loop, const struct download_settings *settings,
                               struct error *err)
{
    struct download *download = memory_new(sizeof(*download));

    download->loop = loop;
    download->settings = *settings;
    download->hosts = hosts_open(settings->transfers_max_per_host);
    list_init(&download->active);
    list_init(&download->finished);
    list_init(&download->idle);
    list_init(&download->ready);
    download->timer = loop_timer_open(loop, timer_due, download);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        download->multi = curl_multi_init();
    if (!download->multi) {
        error_set(err, ERROR_OPERATOR, "set up libcurl: it refuses to start");
        download_close(download);
        return NULL;
    }
    curl_multi_setopt(download->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(download->multi, CURLMOPT_SOCKETDATA, download);
    curl_multi_setopt(download->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(download->multi, CURLMOPT_TIMERDATA, download);
    curl_multi_setopt(download->multi, CURLMOPT_MAXCONNECTS, (long)settings->transfers_max);
    return download;
}

static void download_drop_all(struct list *transfers)
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
    download_drop_all(&download->active);
    download_drop_all(&download->finished);
    while ((link = hosts_take_any(download->hosts)))
        transfer_free(LIST_ITEM(link, struct transfer, link));
    while ((link = list_take_first(&download->idle))) {
        struct fetcher *fetcher = LIST_ITEM(link, struct fetcher, link);

        curl_easy_cleanup(fetcher->easy);
        free(fetcher);
    }
    curl_multi_cleanup(download->multi);
    hosts_close(download->hosts);
    for (size_t fd = 0; fd < download->socket_capacity; fd++)
        if (download->sockets[fd])
            socket_remove(download->sockets[fd]);
    free(download->sockets);
    loop_timer_close(download->timer);
    free(download);
}

struct transfer *download_start(struct download *download, const char *url, void *ticket)
{
    struct transfer *transfer = memory_new(sizeof(*transfer));

    transfer->download = download;
    transfer->ticket = ticket;
    transfer->url = memory_copy(url);
    transfer->host = hosts_get(download->hosts, url);
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
    if (!transfer->paused || !transfer->fetcher)
        return;
    transfer->paused = false;
    curl_easy_pause(transfer->fetcher->easy, CURLPAUSE_CONT); /* offers the bytes again at once */
    loop_again(transfer->download->loop);
}

int64_t download_pause_ms(const struct download *download, const char *url)
{
    return hosts_pause_ms(download->hosts, url);
}

bool download_is_active(const struct transfer *transfer)
{
    return transfer->fetcher != NULL;
}

static void download_start_turns(struct download *download)
{
    struct list_link *link;

    while (download->active_count < download->settings.transfers_max
           && (link = hosts_take_turn(download->hosts)))
        transfer_begin(LIST_ITEM(link, struct transfer, link));
}

static void download_read_messages(struct download *download)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(download->multi, &left))) {
        struct fetcher *fetcher = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetcher);
        transfer_finish(fetcher->transfer, message->data.result);
    }
}

static void download_move_on(struct download *download)
{
    struct list_link *link;
    int running;

    while ((link = list_take_first(&download->ready))) {
        struct download_socket *socket = LIST_ITEM(link, struct download_socket, ready_link);
        int events = (socket->ready & LOOP_READABLE ? CURL_CSELECT_IN : 0)
                     | (socket->ready & LOOP_WRITABLE ? CURL_CSELECT_OUT : 0);

        socket->ready = 0;
        curl_multi_socket_action(download->multi, socket->fd, events, &running);
    }
    while (download->timer_due) {
        download->timer_due = false;
        curl_multi_socket_action(download->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    download_read_messages(download);
}

void download_step(struct download *download)
{
    download_move_on(download);
    download_start_turns(download);
    download_move_on(download);
    if (download->timer_due || !list_is_empty(&download->ready)
        || (hosts_have_turn(download->hosts)
            && download->active_count < download->settings.transfers_max))
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
