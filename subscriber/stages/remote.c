/*
 * ftp, ftps and sftp by curl, local files by read(). What these protocols say when they fail is
 * told in the words of the rest of the program.
 *
 * A file is removed in two steps: a look at its age, then the command, because neither ftp nor sftp
 * can be told to remove what was not changed only.
 *
 * The rest of a file is fetched only if the server says (MDTM, stat) that the file is as old as
 * what is here; these protocols have no question that is answered with "the rest, if it is the
 * same".
 */
#include "stages/remote.h"

#include "stages/fetcher.h"
#include "stages/local_file.h"
#include "stages/removal.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_PIECE  65536
#define REPLIES_MAX 131072 /* bytes that an ftp server says beside the file */

enum remote_step { REMOTE_FETCH, REMOTE_LOOK, REMOTE_REMOVE };

struct remote {
    const struct courier_settings *settings;
    struct courier *courier;
    CURL *easy; /* NULL until it is needed */

    /* of the transfer: */
    const struct order *order;
    const char *verb; /* of errors */
    enum remote_step step;
    char *url;
    struct curl_slist *commands;
    bool rest, answered, denied, start_over, too_large;
    bool host_unknown, host_changed; /* ssh */
    size_t reply_bytes;
    struct error size_error;
    char error[CURL_ERROR_SIZE];
};

struct remote *remote_new(const struct courier_settings *settings, struct courier *courier)
{
    struct remote *remote = memory_new(sizeof(*remote));

    remote->settings = settings;
    remote->courier = courier;
    return remote;
}

void remote_free(struct remote *remote)
{
    if (remote->easy)
        curl_easy_cleanup(remote->easy);
    OPENSSL_thread_stop(); /* what it keeps for each thread; the process may end before the thread
                            */
    free(remote);
}

/* ---- what curl calls ---- */

static bool begin_file(struct remote *remote)
{
    const struct download_request *request = &remote->order->request;
    curl_off_t modified_s = -1, announced = -1;
    int64_t from_byte = remote->rest ? request->from_byte : 0;

    if (remote->answered)
        return true;
    curl_easy_getinfo(remote->easy, CURLINFO_FILETIME_T, &modified_s);
    curl_easy_getinfo(remote->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (remote->rest && modified_s != request->validator_s) {
        remote->start_over = true;
        return false;
    }
    remote->too_large = !order_allows_size(remote->order, announced > 0 ? from_byte + announced : 0,
                                           &remote->size_error);
    if (remote->too_large)
        return false;
    remote->answered = true;
    courier_put_answer(remote->courier, from_byte, modified_s);
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    struct remote *remote = context;
    size_t length = size * count;

    if (remote->step != REMOTE_FETCH) /* curl makes headers of what a look at a file tells */
        return length;
    return begin_file(remote) && courier_put(remote->courier, bytes, length) ? length : 0;
}

static size_t on_reply(char *line, size_t size, size_t count, void *context)
{
    struct remote *remote = context;

    (void)line;
    remote->reply_bytes += size * count;
    return remote->reply_bytes <= REPLIES_MAX ? size * count : 0;
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct remote *remote = context;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return courier_is_recalled(remote->courier);
}

/* Port 0: it is to be listened at, for an active ftp transfer. */
static bool is_for_listening(const struct sockaddr *address)
{
    static const unsigned char none[2] = {0};

    /* where IPv4 and IPv6 both have the port */
    return memcmp(address->sa_data, none, sizeof(none)) == 0;
}

static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct remote *remote = context;
    int fd;

    (void)purpose;
    if (!access_is_open(remote->settings->access) && !is_for_listening(&address->addr)
        && !access_allows(remote->settings->access, remote->url, &address->addr)) {
        remote->denied = true;
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    courier_note_socket(remote->courier, fd);
    return fd;
}

static int on_close_socket(void *context, curl_socket_t fd)
{
    struct remote *remote = context;

    courier_forget_socket(remote->courier, fd);
    return close(fd);
}

static int on_host_key(CURL *easy, const struct curl_khkey *known, const struct curl_khkey *found,
                       enum curl_khmatch match, void *context)
{
    struct remote *remote = context;

    (void)easy;
    (void)known;
    (void)found;
    remote->host_unknown = match == CURLKHMATCH_MISSING;
    remote->host_changed = match == CURLKHMATCH_MISMATCH;
    return match == CURLKHMATCH_OK ? CURLKHSTAT_FINE : CURLKHSTAT_REJECT;
}

/* ---- options ---- */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ftp is encrypted from the first byte when its scheme says so, which a login may change. */
static char *url_of(const struct order *order)
{
    const char *url = order->request.url;
    const struct download_login *login = &order->login;

    if (begins(url, "ftp://") && login->implicit)
        return memory_format("ftps://%s", url + strlen("ftp://"));
    if (begins(url, "ftps://") && login->tls && !login->implicit)
        return memory_format("ftp://%s", url + strlen("ftps://"));
    return memory_copy(url);
}

static void set_ftp(CURL *easy, const struct order *order)
{
    const struct download_login *login = &order->login;
    bool encrypted = begins(order->request.url, "ftps://") || login->implicit || login->prot_p;

    curl_easy_setopt(easy, CURLOPT_FTP_FILEMETHOD, (long)CURLFTPMETHOD_SINGLECWD);
    curl_easy_setopt(easy, CURLOPT_FTP_SKIP_PASV_IP, 1L);
    curl_easy_setopt(easy, CURLOPT_TRANSFERTEXT, login->ascii ? 1L : 0L);
    if (login->active)
        curl_easy_setopt(easy, CURLOPT_FTPPORT, "-");
    if (encrypted || login->tls)
        curl_easy_setopt(easy, CURLOPT_USE_SSL,
                         (long)(encrypted ? CURLUSESSL_ALL : CURLUSESSL_CONTROL));
}

static void set_ssh(struct remote *remote)
{
    const struct download_settings *settings = remote->settings->download;
    const struct download_login *login = &remote->order->login;
    long ways = CURLSSH_AUTH_PASSWORD | CURLSSH_AUTH_KEYBOARD;
    CURL *easy = remote->easy;

    if (login->ssh_key_file) {
        curl_easy_setopt(easy, CURLOPT_SSH_PRIVATE_KEYFILE, login->ssh_key_file);
        ways = CURLSSH_AUTH_PUBLICKEY;
    }
    curl_easy_setopt(easy, CURLOPT_SSH_AUTH_TYPES, ways);
    if (settings->tls == DOWNLOAD_TLS_LAX)
        return;
    curl_easy_setopt(easy, CURLOPT_SSH_KNOWNHOSTS,
                     settings->known_hosts ? settings->known_hosts : "/dev/null");
    curl_easy_setopt(easy, CURLOPT_SSH_KEYFUNCTION, on_host_key);
    curl_easy_setopt(easy, CURLOPT_SSH_KEYDATA, remote);
}

/* An ftp server is in the directory of the file when it hears the command. Behind it curl looks for
 * what the URL names, which over ssh must not be the file. */
static bool set_removal(struct remote *remote)
{
    bool ssh = begins(remote->url, "sftp://");
    char *command = removal_print(remote->url);

    if (!command)
        return false;
    remote->commands = curl_slist_append(NULL, command);
    free(command);
    curl_easy_setopt(remote->easy, ssh ? CURLOPT_QUOTE : CURLOPT_PREQUOTE, remote->commands);
    if (ssh) {
        memory_replace(&remote->url, removal_print_server(remote->url));
        curl_easy_setopt(remote->easy, CURLOPT_URL, remote->url);
    }
    return true;
}

static void set_callbacks(struct remote *remote)
{
    CURL *easy = remote->easy;

    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, remote->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, remote);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_reply);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, remote);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, remote);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, remote);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, remote);
}

static void set_waits(CURL *easy, const struct download_settings *settings)
{
    long stall_s = (long)((settings->stall_timeout_ms + 999) / 1000);

    fetcher_set_times(easy, settings);
    if (stall_s)
        curl_easy_setopt(easy, CURLOPT_FTP_RESPONSE_TIMEOUT, stall_s);
    if (settings->connect_timeout_ms)
        curl_easy_setopt(easy, CURLOPT_ACCEPTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for the resolver */
}

static bool set_options(struct remote *remote)
{
    const struct download_settings *settings = remote->settings->download;
    const struct download_login *login = &remote->order->login;
    char range[32];
    CURL *easy = remote->easy;

    curl_easy_reset(easy); /* keeps the connection */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "ftp,ftps,sftp");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_URL, remote->url);
    set_waits(easy, settings);
    fetcher_set_tls(easy, settings);
    set_callbacks(remote);
    if (login->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, login->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, login->password ? login->password : "");
    }
    if (begins(remote->url, "sftp://"))
        set_ssh(remote);
    else
        set_ftp(easy, remote->order);
    if (remote->rest) {
        snprintf(range, sizeof(range), "%lld-", (long long)remote->order->request.from_byte);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
    curl_easy_setopt(easy, CURLOPT_NOBODY, remote->step == REMOTE_FETCH ? 0L : 1L);
    return remote->step != REMOTE_REMOVE || set_removal(remote);
}

/* ---- what an end means ---- */

static const struct {
    CURLcode code;
    long reply; /* of an ftp server; 0: any */
    enum error_kind kind;
    bool gone;
    enum host_news news;
    const char *advice;
} meanings[] = {
    {CURLE_REMOTE_FILE_NOT_FOUND, 0, ERROR_PERMANENT, true, HOST_WELL, ""},
    {CURLE_REMOTE_ACCESS_DENIED, 550, ERROR_PERMANENT, true, HOST_WELL, ""},
    {CURLE_FTP_COULDNT_RETR_FILE, 550, ERROR_PERMANENT, true, HOST_WELL, ""},
    {CURLE_FTP_COULDNT_RETR_FILE, 553, ERROR_PERMANENT, false, HOST_WELL, ""},
    {CURLE_REMOTE_ACCESS_DENIED, 0, ERROR_OPERATOR, false, HOST_WELL, ""},
    {CURLE_QUOTE_ERROR, 450, ERROR_TEMPORARY, false, HOST_WELL, ""},
    {CURLE_QUOTE_ERROR, 0, ERROR_OPERATOR, false, HOST_WELL, ""},
    {CURLE_LOGIN_DENIED, 421, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
    {CURLE_LOGIN_DENIED, 0, ERROR_OPERATOR, false, HOST_WELL,
     "; see the entry of this server in credentials.conf"},
    {CURLE_USE_SSL_FAILED, 0, ERROR_OPERATOR, false, HOST_WELL,
     "; its entry in credentials.conf asks for TLS"},
    {CURLE_SSL_CACERT_BADFILE, 0, ERROR_OPERATOR, false, HOST_UNKNOWN, "; caFile cannot be read"},
    {CURLE_URL_MALFORMAT, 0, ERROR_PERMANENT, false, HOST_UNKNOWN, ""},
    {CURLE_UNSUPPORTED_PROTOCOL, 0, ERROR_PERMANENT, false, HOST_UNKNOWN, ""},
    {CURLE_COULDNT_RESOLVE_HOST, 0, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
    {CURLE_COULDNT_CONNECT, 0, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
    {CURLE_OPERATION_TIMEDOUT, 0, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
    {CURLE_SSL_CONNECT_ERROR, 0, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
    {CURLE_FTP_WEIRD_SERVER_REPLY, 421, ERROR_TEMPORARY, false, HOST_TROUBLE, ""},
};

static void fail(const struct remote *remote, CURLcode code, struct courier_outcome *outcome)
{
    const char *words = *remote->error ? remote->error : curl_easy_strerror(code);
    const char *url = remote->order->request.url;
    long reply = 0;

    curl_easy_getinfo(remote->easy, CURLINFO_RESPONSE_CODE, &reply);
    outcome->timed_out = code == CURLE_OPERATION_TIMEDOUT;
    outcome->unconnected = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        if (meanings[i].code != code || (meanings[i].reply && meanings[i].reply != reply))
            continue;
        outcome->gone = meanings[i].gone;
        outcome->news = meanings[i].news;
        error_set(&outcome->err, meanings[i].kind, "%s '%s': %s%s", remote->verb, url, words,
                  meanings[i].advice);
        return;
    }
    outcome->news = HOST_UNKNOWN;
    outcome->broken = code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR;
    error_set(&outcome->err, ERROR_TEMPORARY, "%s '%s': %s", remote->verb, url, words);
}

static void refuse_server(const struct remote *remote, struct courier_outcome *outcome)
{
    const char *url = remote->order->request.url;
    const char *words = *remote->error ? remote->error : "certificate refused";
    const char *file = remote->settings->download->known_hosts;

    file = file ? file : "sshKnownHosts, which is not set";
    if (remote->host_changed)
        error_set(&outcome->err, ERROR_OPERATOR,
                  "%s '%s': the server's key is not the one in %s: somebody may be in its "
                  "place; if it was changed on purpose, remove the old one",
                  remote->verb, url, file);
    else if (remote->host_unknown || begins(remote->url, "sftp:"))
        error_set(&outcome->err, ERROR_OPERATOR,
                  "%s '%s': the server's key is not in %s; add it with ssh-keyscan, or say "
                  "'tlsRigour lax'",
                  remote->verb, url, file);
    else
        error_set(&outcome->err, ERROR_OPERATOR,
                  "%s '%s': certificate refused: %s; name the authority's certificate with "
                  "'caFile', or say 'tlsRigour lax'",
                  remote->verb, url, words);
    outcome->news = HOST_WELL;
}

static void judge(struct remote *remote, CURLcode code, struct courier_outcome *outcome)
{
    const char *url = remote->order->request.url;

    outcome->news = HOST_WELL;
    if (outcome->err.kind) {
        return;
    } else if (remote->too_large) {
        outcome->err = remote->size_error;
    } else if (code == CURLE_OK) {
        outcome->fetched = true;
    } else if (remote->denied) {
        outcome->news = HOST_UNKNOWN;
        error_set(&outcome->err, ERROR_PERMANENT,
                  "%s '%s': its host is excluded by urlAllow or urlDeny", remote->verb, url);
    } else if (remote->reply_bytes > REPLIES_MAX) {
        error_set(&outcome->err, ERROR_TEMPORARY, "%s '%s': more than %d bytes of replies",
                  remote->verb, url, REPLIES_MAX);
    } else if (code == CURLE_PEER_FAILED_VERIFICATION) {
        refuse_server(remote, outcome);
    } else {
        fail(remote, code, outcome);
    }
}

/* ---- one file ---- */

static CURLcode perform(struct remote *remote, enum remote_step step, bool rest)
{
    CURLcode code;

    remote->step = step;
    remote->rest = rest;
    remote->answered = remote->denied = remote->start_over = remote->too_large = false;
    remote->host_unknown = remote->host_changed = false;
    remote->reply_bytes = 0;
    remote->error[0] = '\0';
    code = set_options(remote) ? curl_easy_perform(remote->easy) : CURLE_URL_MALFORMAT;
    curl_slist_free_all(remote->commands);
    remote->commands = NULL;
    if (code == CURLE_OK && step == REMOTE_FETCH && !begin_file(remote)) /* without any bytes */
        return CURLE_WRITE_ERROR;
    return code;
}

static bool is_rest_refused(const struct remote *remote, CURLcode code)
{
    return remote->rest
           && (remote->start_over || code == CURLE_BAD_DOWNLOAD_RESUME
               || code == CURLE_FTP_COULDNT_USE_REST || code == CURLE_RANGE_ERROR);
}

static CURLcode fetch_by_curl(struct remote *remote)
{
    CURLcode code = perform(remote, REMOTE_FETCH, order_is_rest(remote->order));

    if (is_rest_refused(remote, code) && !courier_is_recalled(remote->courier))
        code = perform(remote, REMOTE_FETCH, false);
    return code;
}

static bool has_changed(const struct remote *remote)
{
    int64_t expected_s = remote->order->request.validator_s;
    curl_off_t modified_s = -1;

    curl_easy_getinfo(remote->easy, CURLINFO_FILETIME_T, &modified_s);
    return expected_s > 0 && modified_s != expected_s;
}

static CURLcode remove_by_curl(struct remote *remote, struct error *err)
{
    CURLcode code = perform(remote, REMOTE_LOOK, false);

    if (code == CURLE_OK && has_changed(remote))
        error_set(err, ERROR_PERMANENT, "remove '%s': it was changed after it was fetched",
                  remote->order->request.url);
    else if (code == CURLE_OK)
        code = perform(remote, REMOTE_REMOVE, false);
    return code;
}

static void carry_out_by_curl(struct remote *remote, struct courier_outcome *outcome)
{
    CURLcode code;

    if (!remote->easy)
        remote->easy = curl_easy_init();
    if (!remote->easy)
        abort(); /* only when memory is out */
    remote->url = url_of(remote->order);
    code = remote->order->request.remove ? remove_by_curl(remote, &outcome->err)
                                         : fetch_by_curl(remote);
    judge(remote, code, outcome);
    free(remote->url);
    remote->url = NULL;
}

/* ---- a local file ---- */

static bool copy_file(struct remote *remote, int fd, struct error *err)
{
    char bytes[FILE_PIECE];
    ssize_t length;

    while ((length = read(fd, bytes, sizeof(bytes))) > 0)
        if (!courier_put(remote->courier, bytes, (size_t)length))
            return error_set(err, ERROR_TEMPORARY, "recalled");
    if (length < 0)
        return error_set(err, ERROR_TEMPORARY, "get '%s': %s", remote->order->request.url,
                         strerror(errno));
    return true;
}

static void fetch_file(struct remote *remote, struct courier_outcome *outcome)
{
    const struct download_request *request = &remote->order->request;
    int64_t size_bytes = 0, modified_s = -1, from_byte = 0;
    int fd = local_file_open(remote->settings->download->file_allow, request->url, &size_bytes,
                             &modified_s, &outcome->gone, &outcome->err);

    outcome->news = HOST_UNKNOWN;
    if (fd < 0)
        return;
    if (order_is_rest(remote->order) && modified_s == request->validator_s
        && request->from_byte <= size_bytes
        && lseek(fd, request->from_byte, SEEK_SET) == request->from_byte)
        from_byte = request->from_byte;
    if (order_allows_size(remote->order, size_bytes, &outcome->err)) {
        courier_put_answer(remote->courier, from_byte, modified_s);
        outcome->fetched = copy_file(remote, fd, &outcome->err);
    }
    close(fd);
}

static void remove_file(const struct remote *remote, struct courier_outcome *outcome)
{
    const struct download_request *request = &remote->order->request;

    outcome->news = HOST_UNKNOWN;
    outcome->fetched = local_file_remove(remote->settings->download->file_allow, request->url,
                                         request->validator_s, &outcome->gone, &outcome->err);
}

void remote_carry_out(struct remote *remote, const struct order *order,
                      struct courier_outcome *outcome)
{
    remote->order = order;
    remote->verb = order->request.remove ? "remove" : "get";
    if (!order_is_file(order))
        carry_out_by_curl(remote, outcome);
    else if (order->request.remove)
        remove_file(remote, outcome);
    else
        fetch_file(remote, outcome);
    remote->order = NULL;
}
