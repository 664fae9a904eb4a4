/* Curl's options, and what of them differs from transfer to transfer: URL, login, range. */
#include "stages/fetcher.h"

#include "stages/answer.h"
#include "stages/download_sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REDIRECTS_MAX 5L

void fetcher_set_times(CURL *easy, const struct download_settings *settings)
{
    long stall_s = (long)((settings->stall_timeout_ms + 999) / 1000);

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)settings->total_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, stall_s ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, stall_s);
    curl_easy_setopt(easy, CURLOPT_FILETIME, 1L);
}

void fetcher_set_tls(CURL *easy, const struct download_settings *settings)
{
    bool lax = settings->tls == DOWNLOAD_TLS_LAX;

    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, lax ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, lax ? 0L : 2L);
    if (settings->tls == DOWNLOAD_TLS_STRICT)
        curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (settings->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
}

/* ---- excluded hosts ---- */

static const char *current_url(struct fetcher *fetcher)
{
    const char *url = NULL;

    curl_easy_getinfo(fetcher->easy, CURLINFO_EFFECTIVE_URL, &url); /* moves on with redirects */
    return url ? url : "";
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct fetcher *fetcher = context;

    (void)purpose;
    if (!access_is_open(fetcher->settings->access)
        && !access_allows(fetcher->settings->access, current_url(fetcher), &address->addr)) {
        fetcher->denied = true;
        return CURL_SOCKET_BAD;
    }
    return download_sockets_open(fetcher->settings->sockets, address);
}

/* Before every request, also on a connection that was there already: where a redirect leads. */
static int on_request(void *context, char *primary_ip, char *local_ip, int primary_port,
                      int local_port)
{
    struct fetcher *fetcher = context;

    (void)primary_ip;
    (void)local_ip;
    (void)primary_port;
    (void)local_port;
    fetcher->denied = !access_allows_url(fetcher->settings->access, current_url(fetcher));
    return fetcher->denied ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* ---- a handle ---- */

static void set_callbacks(struct fetcher *fetcher)
{
    CURL *easy = fetcher->easy;

    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetcher->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetcher);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, answer_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetcher);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, answer_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetcher);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetcher);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, download_sockets_on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, fetcher->settings->sockets);
    if (!access_is_open(fetcher->settings->access)) {
        curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
        curl_easy_setopt(easy, CURLOPT_PREREQDATA, fetcher);
    }
}

static void set_options(struct fetcher *fetcher)
{
    const struct download_settings *settings = fetcher->settings->download;
    CURL *easy = fetcher->easy;

    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(settings->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, settings->http2 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sr3sub/" SR3SUB_VERSION);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)fetcher->settings->piece_bytes);
    fetcher_set_times(easy, settings);
    fetcher_set_tls(easy, settings);
    set_callbacks(fetcher);
}

struct fetcher *fetcher_new(const struct fetcher_settings *settings)
{
    struct fetcher *fetcher = memory_new(sizeof(*fetcher));

    fetcher->settings = settings;
    fetcher->easy = curl_easy_init();
    fetcher->url = curl_url();
    if (!fetcher->easy || !fetcher->url)
        abort(); /* only when memory is out */
    set_options(fetcher);
    return fetcher;
}

void fetcher_free(struct fetcher *fetcher)
{
    curl_easy_cleanup(fetcher->easy);
    curl_url_cleanup(fetcher->url);
    curl_slist_free_all(fetcher->headers);
    free(fetcher);
}

/* ---- one transfer ---- */

/* With more than one way allowed curl waits for the server's challenge before it says anything. */
static void dress_login(CURL *easy, const struct download_login *login)
{
    if (login->bearer_token) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, login->bearer_token);
    } else if (login->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)(CURLAUTH_BASIC | CURLAUTH_DIGEST));
        curl_easy_setopt(easy, CURLOPT_USERNAME, login->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, login->password ? login->password : "");
    }
}

/* The date of HTTP: RFC 9110, 5.6.7. */
static char *if_range(int64_t time_s)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t time = (time_t)time_s;
    struct tm tm = {0};

    gmtime_r(&time, &tm);
    return memory_format("If-Range: %s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                         tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                         tm.tm_sec);
}

static void dress_range(struct fetcher *fetcher, const struct download_request *request)
{
    char range[32], *header = if_range(request->validator_s);

    snprintf(range, sizeof(range), "%lld-", (long long)request->from_byte);
    fetcher->headers = curl_slist_append(NULL, header);
    free(header);
    curl_easy_setopt(fetcher->easy, CURLOPT_RANGE, range);
    curl_easy_setopt(fetcher->easy, CURLOPT_HTTPHEADER, fetcher->headers);
}

static void undress(struct fetcher *fetcher)
{
    curl_easy_setopt(fetcher->easy, CURLOPT_RANGE, NULL);
    curl_easy_setopt(fetcher->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(fetcher->easy, CURLOPT_XOAUTH2_BEARER, NULL);
    curl_easy_setopt(fetcher->easy, CURLOPT_USERNAME, NULL);
    curl_easy_setopt(fetcher->easy, CURLOPT_PASSWORD, NULL);
    curl_easy_setopt(fetcher->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_slist_free_all(fetcher->headers);
    fetcher->headers = NULL;
    fetcher->dressed = false;
}

/* Curl prints every URL again that it takes apart, which costs more than the rest of its setup, but
 * not one that comes in parts. The printed one is needed where hosts are excluded: what is compared
 * there is then what curl has understood. */
static void set_url(struct fetcher *fetcher, const char *url)
{
    bool in_parts =
        access_is_open(fetcher->settings->access)
        && curl_url_set(fetcher->url, CURLUPART_URL, url,
                        CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS)
               == CURLUE_OK;

    curl_easy_setopt(fetcher->easy, CURLOPT_URL, url);
    curl_easy_setopt(fetcher->easy, CURLOPT_CURLU, in_parts ? fetcher->url : NULL);
}

void fetcher_begin(struct fetcher *fetcher, struct transfer *transfer)
{
    const struct order *order = transfer->order;

    fetcher->transfer = transfer;
    fetcher->error[0] = '\0';
    fetcher->header_is_whole = fetcher->denied = fetcher->encoded = fetcher->start_over = false;
    fetcher->header_bytes = 0;
    fetcher->range_first = fetcher->range_last = fetcher->range_total = -1;
    fetcher->dressed = order->request.login || order_is_rest(order);
    if (order->request.login)
        dress_login(fetcher->easy, order->request.login);
    if (order_is_rest(order))
        dress_range(fetcher, &order->request);
    set_url(fetcher, order->request.url);
}

void fetcher_end(struct fetcher *fetcher)
{
    fetcher->transfer = NULL;
    if (fetcher->dressed)
        undress(fetcher);
}
