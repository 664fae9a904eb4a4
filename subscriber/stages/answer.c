/*
 * Whatever a server sends may be meant to harm: header lines without end, bodies of errors without
 * end, ranges that were not asked for, encodings that make much out of little. Only what is
 * understood counts as a file.
 */
#include "stages/answer.h"

#include "base/clock.h"

#include <string.h>
#include <strings.h>

#define ERROR_BODY_MAX 65536 /* of an answer that is no file; longer ones are cut off */
#define HEADERS_MAX    131072
#define RETRY_AFTER_S  3600 /* what a server may ask for; more is cut down to it */

static long status_of(const struct fetcher *fetcher)
{
    long status = 0;

    curl_easy_getinfo(fetcher->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int64_t modified_s(const struct fetcher *fetcher)
{
    curl_off_t time_s = -1;

    curl_easy_getinfo(fetcher->easy, CURLINFO_FILETIME_T, &time_s);
    return time_s;
}

/* ---- headers ---- */

static bool read_number(const char **text, const char *end, int64_t *number)
{
    const char *start = *text;

    *number = 0;
    for (; *text < end && **text >= '0' && **text <= '9'; (*text)++) {
        if (*number > INT64_MAX / 10 - 1)
            return false;
        *number = *number * 10 + (**text - '0');
    }
    return *text > start;
}

/* "bytes 100-199/200" or, when the server does not know how many there are, "bytes 100-199/ *". */
static void read_range(struct fetcher *fetcher, const char *text, const char *end)
{
    int64_t first, last, total = -1;

    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    if (end - text < 6 || strncasecmp(text, "bytes ", 6) != 0)
        return;
    text += 6;
    if (!read_number(&text, end, &first) || text == end || *text++ != '-'
        || !read_number(&text, end, &last) || text == end || *text++ != '/')
        return;
    if (text < end && *text != '*' && !read_number(&text, end, &total))
        return;
    fetcher->range_first = first;
    fetcher->range_last = last;
    fetcher->range_total = total;
}

static bool is_header(const char *line, size_t length, const char *name)
{
    size_t name_length = strlen(name);

    return length > name_length && strncasecmp(line, name, name_length) == 0;
}

/* "chunked" is how a body is marked off; everything else would make other bytes of it. */
static bool is_encoded(const char *value, const char *end)
{
    while (value < end) {
        size_t length;

        value += strspn(value, ", \t\r\n");
        length = strcspn(value, ", \t\r\n");
        if (length && value < end && !(length == 7 && strncasecmp(value, "chunked", 7) == 0)
            && !(length == 8 && strncasecmp(value, "identity", 8) == 0))
            return true;
        value += length;
    }
    return false;
}

/* Curl's lines end with a NUL. */
static void read_header(struct fetcher *fetcher, const char *line, size_t length)
{
    switch (line[0]) {
    case 'H':
        if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* of a redirect, behind a 100 ... */
            fetcher->header_is_whole = false;
            fetcher->range_first = -1;
        }
        break;
    case '\r':
    case '\n':
        fetcher->header_is_whole = true;
        break;
    case 'C':
    case 'c':
        if (is_header(line, length, "Content-Range:"))
            read_range(fetcher, line + 14, line + length);
        break;
    case 'T':
    case 't':
        if (is_header(line, length, "Transfer-Encoding:"))
            fetcher->encoded |= is_encoded(line + 18, line + length);
        break;
    default:
        break;
    }
}

/* An answer that breaks off in its header would otherwise be an empty file. */
size_t answer_on_header(char *line, size_t size, size_t count, void *context)
{
    struct fetcher *fetcher = context;
    size_t length = size * count;

    fetcher->header_bytes += length;
    if (length)
        read_header(fetcher, line, length);
    return fetcher->header_bytes <= HEADERS_MAX && !fetcher->encoded ? length : 0;
}

/* ---- bodies ---- */

static bool is_file(const struct fetcher *fetcher, long status)
{
    return status == 200 || (status == 206 && order_is_rest(fetcher->transfer->order));
}

/* A part that begins where it should, goes to the end, and is of the file that is here. */
static bool is_wanted_part(const struct fetcher *fetcher)
{
    const struct download_request *request = &fetcher->transfer->order->request;
    int64_t time_s = modified_s(fetcher);

    return fetcher->range_first == request->from_byte
           && (fetcher->range_total < 0 || fetcher->range_last == fetcher->range_total - 1)
           && (time_s < 0 || time_s == request->validator_s);
}

/* Whether the bytes that come now, if any, are the file's, or its rest. */
static bool begin_file(struct fetcher *fetcher, long status)
{
    struct transfer *transfer = fetcher->transfer;
    curl_off_t announced = -1;
    int64_t from_byte = status == 206 ? transfer->order->request.from_byte : 0;

    if (transfer->answered)
        return true;
    if (status == 206 && !is_wanted_part(fetcher)) {
        fetcher->start_over = true;
        return false;
    }
    curl_easy_getinfo(fetcher->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (!order_allows_size(transfer->order, announced > 0 ? from_byte + announced : 0,
                           &transfer->result.err)) {
        transfer->stopped = true;
        return false;
    }
    transfer_answer(transfer, from_byte, modified_s(fetcher));
    return true;
}

size_t answer_on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct fetcher *fetcher = context;
    struct transfer *transfer = fetcher->transfer;
    size_t length = size * count;
    long status = status_of(fetcher);

    if (!is_file(fetcher, status)) { /* an error page: read on, so that the connection is kept */
        transfer->received += (int64_t)length;
        return transfer->received <= ERROR_BODY_MAX ? length : CURL_WRITEFUNC_ERROR;
    }
    if (!begin_file(fetcher, status))
        return CURL_WRITEFUNC_ERROR;
    switch (transfer_take(transfer, bytes, length)) {
    case DOWNLOAD_GO_ON:
        return length;
    case DOWNLOAD_PAUSE:
        return CURL_WRITEFUNC_PAUSE;
    case DOWNLOAD_STOP:
    default:
        return CURL_WRITEFUNC_ERROR;
    }
}

/* ---- ends ---- */

static bool check_status(const struct fetcher *fetcher, long status, struct error *err)
{
    const char *url = fetcher->transfer->order->request.url;

    if (is_file(fetcher, status))
        return true;
    switch (status) {
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

static bool check_code(const struct fetcher *fetcher, CURLcode code, long status, struct error *err)
{
    const char *url = fetcher->transfer->order->request.url;
    const char *words = *fetcher->error ? fetcher->error : curl_easy_strerror(code);

    switch (code) {
    case CURLE_URL_MALFORMAT:
        return error_set(err, ERROR_PERMANENT, "get '%s': %s", url, words);
    case CURLE_UNSUPPORTED_PROTOCOL: /* also when the server of an http URL does not speak it */
        return error_set(err,
                         !status && order_is_http(fetcher->transfer->order) ? ERROR_TEMPORARY
                                                                            : ERROR_PERMANENT,
                         "get '%s': %s", url, words);
    case CURLE_PEER_FAILED_VERIFICATION:
        return error_set(err, ERROR_OPERATOR,
                         "get '%s': certificate refused: %s; name the authority's certificate "
                         "with 'caFile', or say 'tlsRigour lax'",
                         url, words);
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, ERROR_OPERATOR, "get '%s': caFile cannot be read: %s", url, words);
    default:
        return error_set(err, ERROR_TEMPORARY, "get '%s': %s", url, words);
    }
}

static bool check(const struct fetcher *fetcher, CURLcode code, long status, struct error *err)
{
    const struct transfer *transfer = fetcher->transfer;
    const char *url = transfer->order->request.url;

    if (transfer->stopped)
        return err->kind ? false : error_set(err, ERROR_TEMPORARY, "get '%s': stopped", url);
    if (fetcher->denied && code != CURLE_OK)
        return error_set(err, ERROR_PERMANENT,
                         "get '%s': its host, or one it leads to, is excluded by urlAllow or "
                         "urlDeny",
                         url);
    if (fetcher->header_bytes > HEADERS_MAX)
        return error_set(err, ERROR_TEMPORARY, "get '%s': more than %d bytes of headers", url,
                         HEADERS_MAX);
    if (fetcher->encoded)
        return error_set(err, ERROR_TEMPORARY,
                         "get '%s': a transfer encoding that was not asked for", url);
    if (code == CURLE_OK && !fetcher->header_is_whole)
        return error_set(err, ERROR_TEMPORARY, "get '%s': the answer breaks off", url);
    if (code == CURLE_OK || (status >= 400 && code == CURLE_WRITE_ERROR))
        return check_status(fetcher, status, err);
    return check_code(fetcher, code, status, err);
}

/* Whether the host is to be blamed for how a transfer ended, and not the file. */
static enum host_news news_of(const struct fetcher *fetcher, CURLcode code, long status)
{
    if (fetcher->transfer->stopped || fetcher->denied)
        return HOST_UNKNOWN;
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
           && (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR
               || code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2);
}

/* Also asks for an answer without bytes. */
static bool must_start_over(struct fetcher *fetcher, CURLcode code, long status)
{
    if (!order_is_rest(fetcher->transfer->order))
        return false;
    if (code == CURLE_OK && fetcher->header_is_whole && status == 206)
        (void)begin_file(fetcher, status);
    return fetcher->start_over || (status == 416 && fetcher->header_is_whole);
}

bool answer_finish(struct fetcher *fetcher, CURLcode code, enum host_news *news)
{
    struct transfer *transfer = fetcher->transfer;
    struct download_result *result = &transfer->result;
    curl_off_t retry_after_s = 0;

    curl_easy_getinfo(fetcher->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    result->status = status_of(fetcher);
    if (must_start_over(fetcher, code, result->status))
        return false;
    if (retry_after_s > RETRY_AFTER_S)
        retry_after_s = RETRY_AFTER_S;
    result->retry_after_ms = retry_after_s > 0 ? retry_after_s * 1000 : -1;
    result->fetched =
        check(fetcher, code, result->status, &result->err) && begin_file(fetcher, result->status);
    result->gone = result->status == 404 || result->status == 410;
    result->broken = !transfer->stopped && is_broken(code, &result->err);
    result->timed_out = code == CURLE_OPERATION_TIMEDOUT;
    result->unconnected = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    curl_easy_getinfo(fetcher->easy, CURLINFO_NUM_CONNECTS, &result->connections);
    *news = news_of(fetcher, code, result->status);
    return true;
}
