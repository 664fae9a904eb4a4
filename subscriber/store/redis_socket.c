/* The bytes between us and Redis. */
#include "store/redis_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A look-up cannot be cancelled: when the socket is closed meanwhile, it goes on without it. */
struct lookup {
    struct redis_socket *redis; /* NULL: closed */
    char *host, *port;
    int code;
    struct addrinfo *found;
};

struct redis_socket {
    struct loop *loop;
    const struct redis_address *address;
    struct redis_tls *tls;
    int64_t timeout_ms;
    redis_socket_event *event;
    void *context;

    enum redis_socket_state state;
    struct error problem; /* of the last address tried */
    struct lookup *lookup;
    struct addrinfo *found, *next; /* what the name stands for; what to try next */
    int fd;                        /* -1: none */
    bool connected;                /* with TLS: the handshake is under way */
    char peer[160];                /* for messages */
    SSL *ssl;
    struct loop_watch *watch;
    struct loop_timer *timer;
};

/* ---- TLS ---- */

struct redis_tls *redis_tls_open(struct error *err)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION)
        && SSL_CTX_set_default_verify_paths(tls)) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return (struct redis_tls *)tls;
    }
    SSL_CTX_free(tls);
    error_set(err, ERROR_OPERATOR,
              "Redis: cannot set up TLS; are certificates of the authorities "
              "installed (ca-certificates)?");
    return NULL;
}

void redis_tls_close(struct redis_tls *tls)
{
    SSL_CTX_free((SSL_CTX *)tls);
}

static bool is_numeric(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool tls_start(struct redis_socket *redis)
{
    const char *host = redis->address->host;
    SSL *ssl = SSL_new((SSL_CTX *)redis->tls);
    bool named;

    redis->ssl = ssl;
    if (!ssl || !SSL_set_fd(ssl, redis->fd))
        return error_set(&redis->problem, ERROR_TEMPORARY, "no TLS: out of memory");
    SSL_set_connect_state(ssl);
    if (is_numeric(host))
        named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    else
        named = SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
    return named
           || error_set(&redis->problem, ERROR_OPERATOR, "no TLS: '%s' cannot be a name", host);
}

static bool tls_refused(struct redis_socket *redis)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    long verdict = SSL_get_verify_result(redis->ssl);

    if (verdict != X509_V_OK)
        return error_set(&redis->problem, ERROR_OPERATOR,
                         "its certificate is refused (%s); connect by a name that is in the "
                         "certificate, or add its authority to this system's",
                         X509_verify_cert_error_string(verdict));
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) /* Redis 8 answers at once */
        return error_set(&redis->problem, ERROR_TEMPORARY,
                         "no TLS from %s; is that its port for TLS?", redis->peer);
    return error_set(&redis->problem, ERROR_TEMPORARY, "TLS with %s: %s", redis->peer,
                     reason ? reason : "closed by the other side");
}

/* What SSL_read() and the like returned when it was no success: waits for the socket or fails. */
static bool tls_wait(struct redis_socket *redis, int result)
{
    switch (SSL_get_error(redis->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_WANT_WRITE:
        loop_watch_set(redis->watch, LOOP_READABLE | LOOP_WRITABLE);
        return true;
    case SSL_ERROR_ZERO_RETURN:
        return error_set(&redis->problem, ERROR_TEMPORARY, "closed by the server");
    default:
        return tls_refused(redis);
    }
}

/* ---- connecting ---- */

static void attempt_end(struct redis_socket *redis)
{
    SSL_free(redis->ssl);
    redis->ssl = NULL;
    loop_watch_close(redis->watch);
    redis->watch = NULL;
    loop_timer_stop(redis->timer);
    redis->connected = false;
    if (redis->fd >= 0)
        close(redis->fd);
    redis->fd = -1;
}

/* The last thing that a callback does: the socket may be gone afterwards. */
static void settle(struct redis_socket *redis, enum redis_socket_state state)
{
    if (state == REDIS_SOCKET_FAILED)
        attempt_end(redis);
    else
        loop_timer_stop(redis->timer);
    redis->state = state;
    redis->event(redis->context);
}

static void socket_ready(void *context, int fd, int events);

static bool attempt(struct redis_socket *redis, int family, const struct sockaddr *to,
                    socklen_t size)
{
    int on = 1;

    redis->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (redis->fd < 0)
        return error_set(&redis->problem, ERROR_TEMPORARY, "no socket: %s", strerror(errno));
    if (family != AF_UNIX) {
        setsockopt(redis->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(redis->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    if (connect(redis->fd, to, size) != 0 && errno != EINPROGRESS) {
        error_set(&redis->problem, ERROR_TEMPORARY, "connect to %s: %s", redis->peer,
                  strerror(errno));
        attempt_end(redis);
        return false;
    }
    redis->watch = loop_watch_open(redis->loop, redis->fd, socket_ready, redis);
    loop_watch_set(redis->watch, LOOP_WRITABLE);
    loop_timer_set(redis->timer, redis->timeout_ms);
    return true;
}

static bool attempt_path(struct redis_socket *redis)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = redis->address->path;

    snprintf(redis->peer, sizeof(redis->peer), "'%s'", path);
    if (strlen(path) >= sizeof(to.sun_path))
        return error_set(&redis->problem, ERROR_OPERATOR, "connect to %s: its path is too long",
                         redis->peer);
    memcpy(to.sun_path, path, strlen(path) + 1);
    return attempt(redis, AF_UNIX, (struct sockaddr *)&to, sizeof(to));
}

static void attempt_next(struct redis_socket *redis)
{
    while (redis->next) {
        struct addrinfo *to = redis->next;
        char host[100] = "?";

        redis->next = to->ai_next;
        getnameinfo(to->ai_addr, to->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
        snprintf(redis->peer, sizeof(redis->peer), "%s port %s", host, redis->address->port);
        if (attempt(redis, to->ai_family, to->ai_addr, to->ai_addrlen))
            return;
    }
    settle(redis, REDIS_SOCKET_FAILED);
}

static void attempt_failed(struct redis_socket *redis)
{
    attempt_end(redis);
    attempt_next(redis);
}

static void shake_hands(struct redis_socket *redis)
{
    int result;

    ERR_clear_error();
    loop_watch_set(redis->watch, LOOP_READABLE);
    result = SSL_connect(redis->ssl);
    if (result == 1)
        settle(redis, REDIS_SOCKET_OPEN);
    else if (!tls_wait(redis, result))
        attempt_failed(redis);
}

static void connect_ready(struct redis_socket *redis)
{
    int code = 0;
    socklen_t size = sizeof(code);

    if (redis->connected) {
        shake_hands(redis);
        return;
    }
    if (getsockopt(redis->fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0)
        code = errno;
    if (code) {
        error_set(&redis->problem, ERROR_TEMPORARY, "connect to %s: %s", redis->peer,
                  strerror(code));
        attempt_failed(redis);
        return;
    }
    redis->connected = true;
    loop_watch_set(redis->watch, LOOP_READABLE);
    if (!redis->tls)
        settle(redis, REDIS_SOCKET_OPEN);
    else if (tls_start(redis))
        shake_hands(redis);
    else
        attempt_failed(redis);
}

static void socket_ready(void *context, int fd, int events)
{
    struct redis_socket *redis = context;

    (void)fd;
    if (redis->state == REDIS_SOCKET_CONNECTING) {
        connect_ready(redis);
        return;
    }
    if (events & LOOP_WRITABLE)
        loop_watch_set(redis->watch, LOOP_READABLE);
    redis->event(redis->context);
}

static void lookup_free(struct lookup *lookup)
{
    if (lookup->found)
        freeaddrinfo(lookup->found);
    free(lookup->host);
    free(lookup->port);
    free(lookup);
}

static void lookup_work(void *context)
{
    struct lookup *lookup = context;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    lookup->code = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
}

static void lookup_done(void *context)
{
    struct lookup *lookup = context;
    struct redis_socket *redis = lookup->redis;
    int code = lookup->code;

    if (redis) {
        redis->lookup = NULL;
        redis->found = redis->next = lookup->found;
        lookup->found = NULL;
    }
    lookup_free(lookup);
    if (!redis)
        return;
    if (code)
        error_set(&redis->problem, ERROR_TEMPORARY, "look up '%s': %s", redis->address->host,
                  gai_strerror(code));
    attempt_next(redis);
}

static void lookup_start(struct redis_socket *redis)
{
    struct lookup *lookup = memory_new(sizeof(*lookup));

    lookup->redis = redis;
    lookup->host = memory_copy(redis->address->host);
    lookup->port = memory_copy(redis->address->port);
    redis->lookup = lookup;
    loop_work(redis->loop, lookup_work, lookup_done, lookup);
}

/* The first time it begins, later an attempt has taken too long. */
static void timer_due(void *context)
{
    struct redis_socket *redis = context;

    if (redis->fd >= 0) {
        error_set(&redis->problem, ERROR_TEMPORARY,
                  redis->connected ? "no TLS from %s in %g s; is that its port for TLS?"
                                   : "connect to %s: no answer in %g s",
                  redis->peer, (double)redis->timeout_ms / 1000);
        attempt_failed(redis);
    } else if (!attempt_path(redis)) {
        settle(redis, REDIS_SOCKET_FAILED);
    }
}

struct redis_socket *redis_socket_open(struct loop *loop, const struct redis_address *address,
                                       struct redis_tls *tls, int64_t connect_timeout_ms,
                                       redis_socket_event *event, void *context)
{
    struct redis_socket *redis = memory_new(sizeof(*redis));

    redis->loop = loop;
    redis->address = address;
    redis->tls = tls;
    redis->timeout_ms = connect_timeout_ms;
    redis->event = event;
    redis->context = context;
    redis->fd = -1;
    redis->timer = loop_timer_open(loop, timer_due, redis);
    if (address->path)
        loop_timer_set(redis->timer, 0);
    else
        lookup_start(redis);
    return redis;
}

void redis_socket_close(struct redis_socket *redis)
{
    if (!redis)
        return;
    attempt_end(redis);
    loop_timer_close(redis->timer);
    if (redis->lookup)
        redis->lookup->redis = NULL;
    if (redis->found)
        freeaddrinfo(redis->found);
    free(redis);
}

/* ---- reading and writing ---- */

enum redis_socket_state redis_socket_state(const struct redis_socket *redis)
{
    return redis->state;
}

const char *redis_socket_failure(const struct redis_socket *redis)
{
    return redis->state == REDIS_SOCKET_FAILED ? redis->problem.text : "";
}

static ssize_t fail(struct redis_socket *redis)
{
    attempt_end(redis);
    redis->state = REDIS_SOCKET_FAILED;
    return -1;
}

static ssize_t moved(struct redis_socket *redis, ssize_t count)
{
    if (count > 0)
        return count;
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    error_set(&redis->problem, ERROR_TEMPORARY, "connection lost: %s",
              count < 0 ? strerror(errno) : "closed by the server");
    return fail(redis);
}

static ssize_t tls_moved(struct redis_socket *redis, int result, size_t count)
{
    if (result == 1)
        return (ssize_t)count;
    return tls_wait(redis, result) ? 0 : fail(redis);
}

ssize_t redis_socket_read(struct redis_socket *redis, char *bytes, size_t size)
{
    size_t count = 0;
    int result;

    if (redis->state != REDIS_SOCKET_OPEN)
        return -1;
    if (!redis->ssl)
        return moved(redis, recv(redis->fd, bytes, size, 0));
    ERR_clear_error();
    result = SSL_read_ex(redis->ssl, bytes, size, &count);
    return tls_moved(redis, result, count);
}

ssize_t redis_socket_write(struct redis_socket *redis, const char *bytes, size_t size)
{
    size_t count = 0;
    ssize_t written;
    int result;

    if (redis->state != REDIS_SOCKET_OPEN)
        return -1;
    if (redis->ssl) {
        ERR_clear_error();
        result = SSL_write_ex(redis->ssl, bytes, size, &count);
        return tls_moved(redis, result, count);
    }
    written = moved(redis, send(redis->fd, bytes, size, MSG_NOSIGNAL));
    if (written >= 0 && (size_t)written < size)
        loop_watch_set(redis->watch, LOOP_READABLE | LOOP_WRITABLE);
    return written;
}
