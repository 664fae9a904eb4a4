/* Connecting to RabbitMQ, up to a consumer that only has to be listened to. Everything here waits
 * for the network, so it runs in the pool and keeps to what struct broker_session gives it. */
#include "stages/broker_connect.h"

#include "base/log.h"
#include "stages/subscriptions.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define FRAME_MAX 131072

/* Why the certificate was refused in this thread; librabbitmq keeps it to itself. */
static _Thread_local int verify_error;

static struct timeval timeout_from_ms(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static int reply_code(amqp_rpc_reply_t reply)
{
    if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION)
        return 0;
    if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
        return ((amqp_connection_close_t *)reply.reply.decoded)->reply_code;
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        return ((amqp_channel_close_t *)reply.reply.decoded)->reply_code;
    return 0;
}

void broker_describe_reply(amqp_rpc_reply_t reply, char *text, size_t size)
{
    amqp_bytes_t words = amqp_empty_bytes;

    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
        snprintf(text, size, "%s", amqp_error_string2(reply.library_error));
        return;
    }
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
        if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
            words = ((amqp_connection_close_t *)reply.reply.decoded)->reply_text;
        else if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
            words = ((amqp_channel_close_t *)reply.reply.decoded)->reply_text;
    }
    if (words.len)
        snprintf(text, size, "%.*s", (int)words.len, (const char *)words.bytes);
    else
        snprintf(text, size, "an answer that makes no sense");
}

static bool reply_is_normal(amqp_rpc_reply_t reply)
{
    return reply.reply_type == AMQP_RESPONSE_NORMAL;
}

static int remember_verify_error(int preverified, X509_STORE_CTX *store)
{
    if (!preverified)
        verify_error = X509_STORE_CTX_get_error(store);
    return preverified;
}

/* OpenSSL itself checks name or address: librabbitmq 0.11 knows no addresses and no defaults. */
static bool tls_prepare(amqp_socket_t *socket, const struct broker_settings *settings)
{
    SSL_CTX *context = amqp_ssl_socket_get_context(socket);
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    bool verify = settings->tls == BROKER_TLS_VERIFY;
    unsigned char address[16];

    amqp_ssl_socket_set_verify_peer(socket, verify);
    amqp_ssl_socket_set_verify_hostname(socket, 0);
    if (!verify)
        return true;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, remember_verify_error);
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK)
        return false;
    if (SSL_CTX_set_default_verify_paths(context) != 1)
        return false;
    if (inet_pton(AF_INET, settings->host, address) == 1
        || inet_pton(AF_INET6, settings->host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, settings->host) == 1;
    return X509_VERIFY_PARAM_set1_host(param, settings->host, 0) == 1;
}

static bool open_failed(const struct broker_settings *settings, int status, struct error *err)
{
    if (settings->tls == BROKER_TLS_VERIFY && verify_error)
        return error_set(err, ERROR_OPERATOR,
                         "connect to broker '%s': certificate refused: %s; connect by a name that "
                         "is in the certificate, add its authority to this system's, or say "
                         "'tlsRigour lax'",
                         settings->url, X509_verify_cert_error_string(verify_error));
    return error_set(err, ERROR_TEMPORARY, "connect to broker '%s': %s", settings->url,
                     amqp_error_string2(status));
}

static bool session_open_socket(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;
    struct timeval timeout = timeout_from_ms(settings->connect_timeout_ms);
    amqp_socket_t *socket = settings->tls == BROKER_TLS_OFF
                                ? amqp_tcp_socket_new(session->connection)
                                : amqp_ssl_socket_new(session->connection);
    int status;

    if (!socket)
        return error_set(&session->err, ERROR_TEMPORARY, "connect to broker '%s': no socket",
                         settings->url);
    if (settings->tls != BROKER_TLS_OFF && !tls_prepare(socket, settings))
        return error_set(&session->err, ERROR_OPERATOR,
                         "connect to broker '%s': cannot set up TLS; are certificates of the "
                         "authorities installed (ca-certificates)?",
                         settings->url);
    verify_error = 0;
    status = amqp_socket_open_noblock(socket, settings->host, settings->port, &timeout);
    return status == AMQP_STATUS_OK || open_failed(settings, status, &session->err);
}

static bool login_failed(struct broker_session *session, amqp_rpc_reply_t reply)
{
    const struct broker_settings *settings = session->settings;
    char words[300];

    broker_describe_reply(reply, words, sizeof(words));
    switch (reply_code(reply)) {
    case AMQP_ACCESS_REFUSED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "log in to broker '%s': user or password refused (%s); correct the "
                         "'broker' line or credentials.conf",
                         settings->url, words);
    case AMQP_NOT_ALLOWED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "log in to broker '%s': vhost '%s' refused (%s); correct the path of the "
                         "'broker' URL or have the user '%s' admitted to the vhost",
                         settings->url, settings->vhost, words, settings->user);
    default:
        return error_set(&session->err, ERROR_TEMPORARY, "log in to broker '%s': %s", settings->url,
                         words);
    }
}

static bool session_login(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;
    struct timeval timeout = timeout_from_ms(settings->connect_timeout_ms);
    amqp_rpc_reply_t reply;

    amqp_set_handshake_timeout(session->connection, &timeout);
    amqp_set_rpc_timeout(session->connection, &timeout);
    reply = amqp_login(session->connection, settings->vhost, 0, FRAME_MAX, settings->heartbeat_s,
                       AMQP_SASL_METHOD_PLAIN, settings->user, settings->password);
    return reply_is_normal(reply) || login_failed(session, reply);
}

static bool session_open_channel(struct broker_session *session)
{
    amqp_channel_open(session->connection, BROKER_CHANNEL);

    amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->connection);
    char words[300];

    if (reply_is_normal(reply))
        return true;
    broker_describe_reply(reply, words, sizeof(words));
    return error_set(&session->err, ERROR_TEMPORARY, "open a channel to broker '%s': %s",
                     session->settings->url, words);
}

/* After a refusal the broker waits for our channel.close-ok before the number can be used again. */
static bool session_reopen_channel(struct broker_session *session)
{
    amqp_channel_close_ok_t ok = {0};

    amqp_send_method(session->connection, BROKER_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    amqp_maybe_release_buffers(session->connection);
    return session_open_channel(session);
}

static amqp_queue_declare_ok_t *queue_declare(struct broker_session *session, bool passive)
{
    const struct broker_settings *settings = session->settings;
    amqp_table_entry_t entries[2];
    amqp_table_t arguments = {.entries = entries};

    if (settings->expire_ms > 0)
        entries[arguments.num_entries++] = (amqp_table_entry_t){
            .key = amqp_cstring_bytes("x-expires"),
            .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = settings->expire_ms}};
    if (settings->message_ttl_ms > 0)
        entries[arguments.num_entries++] = (amqp_table_entry_t){
            .key = amqp_cstring_bytes("x-message-ttl"),
            .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = settings->message_ttl_ms}};
    return amqp_queue_declare(session->connection, BROKER_CHANNEL,
                              amqp_cstring_bytes(settings->queue), passive, settings->durable, 0,
                              settings->auto_delete, passive ? amqp_empty_table : arguments);
}

static bool declare_failed(struct broker_session *session, amqp_rpc_reply_t reply)
{
    const struct broker_settings *settings = session->settings;
    char words[300];

    broker_describe_reply(reply, words, sizeof(words));
    switch (reply_code(reply)) {
    case AMQP_ACCESS_REFUSED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "declare queue '%s': not permitted (%s); most brokers want names that "
                         "begin with 'q_%s': correct 'queueName' or the user's permissions",
                         settings->queue, words, settings->user);
    case AMQP_NOT_FOUND:
        return error_set(&session->err, ERROR_OPERATOR,
                         "use queue '%s': it does not exist (%s) and '%s", settings->queue, words,
                         settings->rehearse ? "dry_run' is on" : "queueDeclare' is off");
    default:
        return error_set(&session->err, ERROR_TEMPORARY, "declare queue '%s': %s", settings->queue,
                         words);
    }
}

/* A queue that somebody declared with other arguments is used as it is. */
static bool session_declare(struct broker_session *session)
{
    bool passive = !session->settings->declare || session->settings->rehearse;
    amqp_queue_declare_ok_t *ok = queue_declare(session, passive);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->connection);

    if (!ok && reply_code(reply) == AMQP_PRECONDITION_FAILED) {
        session->declared_differently = true;
        broker_describe_reply(reply, session->difference, sizeof(session->difference));
        if (!session_reopen_channel(session))
            return false;
        ok = queue_declare(session, true);
        reply = amqp_get_rpc_reply(session->connection);
    }
    if (!ok)
        return declare_failed(session, reply);
    session->messages_waiting = ok->message_count;
    return true;
}

static bool bind_failed(struct broker_session *session, const struct broker_binding *binding,
                        amqp_rpc_reply_t reply)
{
    char words[300];

    broker_describe_reply(reply, words, sizeof(words));
    switch (reply_code(reply)) {
    case AMQP_NOT_FOUND:
        return error_set(&session->err, ERROR_OPERATOR,
                         "bind queue '%s' to exchange '%s': it does not exist (%s); correct "
                         "'exchange' or have it declared",
                         session->settings->queue, binding->exchange, words);
    case AMQP_ACCESS_REFUSED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "bind queue '%s' to exchange '%s': not permitted (%s); the user needs "
                         "permission to read the exchange and to write the queue",
                         session->settings->queue, binding->exchange, words);
    default:
        return error_set(&session->err, ERROR_TEMPORARY, "bind queue '%s' to exchange '%s': %s",
                         session->settings->queue, binding->exchange, words);
    }
}

static bool session_bind(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;

    for (size_t i = 0; settings->bind && !settings->rehearse && i < settings->binding_count; i++) {
        const struct broker_binding *binding = &settings->bindings[i];

        amqp_queue_bind(session->connection, BROKER_CHANNEL, amqp_cstring_bytes(settings->queue),
                        amqp_cstring_bytes(binding->exchange), amqp_cstring_bytes(binding->topic),
                        amqp_empty_table);

        amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->connection);

        if (!reply_is_normal(reply))
            return bind_failed(session, binding, reply);
    }
    return true;
}

static bool session_consume(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;
    char words[300];

    amqp_basic_qos(session->connection, BROKER_CHANNEL, 0, (uint16_t)settings->prefetch, 0);

    amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->connection);

    if (reply_is_normal(reply) && !session->held) {
        amqp_basic_consume(session->connection, BROKER_CHANNEL, amqp_cstring_bytes(settings->queue),
                           amqp_cstring_bytes(BROKER_CONSUMER_TAG), 0, 0, 0, amqp_empty_table);
        reply = amqp_get_rpc_reply(session->connection);
    }
    if (reply_is_normal(reply))
        return true;
    broker_describe_reply(reply, words, sizeof(words));
    return error_set(&session->err,
                     reply_code(reply) == AMQP_ACCESS_REFUSED ? ERROR_OPERATOR : ERROR_TEMPORARY,
                     "consume from queue '%s': %s", settings->queue, words);
}

/* ---- bindings that are not wanted any more ---- */

/* False only when the connection is of no use any more; what is refused stays in the record. */
static bool session_unbind_one(struct broker_session *session, const struct broker_binding *binding,
                               bool *unbound)
{
    const char *queue = session->settings->queue;
    amqp_rpc_reply_t reply;
    char words[300];

    amqp_queue_unbind(session->connection, BROKER_CHANNEL, amqp_cstring_bytes(queue),
                      amqp_cstring_bytes(binding->exchange), amqp_cstring_bytes(binding->topic),
                      amqp_empty_table);
    reply = amqp_get_rpc_reply(session->connection);
    *unbound = reply_is_normal(reply) || reply_code(reply) == AMQP_NOT_FOUND;
    if (reply_is_normal(reply))
        return true;
    broker_describe_reply(reply, words, sizeof(words));
    if (!*unbound)
        error_set(&session->warning, ERROR_OPERATOR,
                  "unbind queue '%s' from topic '%s' of exchange '%s', which the configuration no "
                  "longer has: %s",
                  queue, binding->topic, binding->exchange, words);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION
        && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        return session_reopen_channel(session);
    return error_set(&session->err, ERROR_TEMPORARY, "unbind queue '%s': %s", queue, words);
}

/* Takes the bindings off the queue; those that stay are left in front of `stale`, counted. */
static bool session_unbind(struct broker_session *session, struct broker_binding *stale,
                           size_t *count)
{
    size_t all = *count;

    session->unbound = memory_resize(NULL, all + 1, sizeof(*session->unbound));
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        bool unbound;

        if (!session_unbind_one(session, &stale[i], &unbound))
            return false;
        if (unbound)
            session->unbound[session->unbound_count++] = stale[i];
        else
            stale[(*count)++] = stale[i];
    }
    return true;
}

/* Without a record nothing is known about what was bound before, and nothing is touched. */
static bool session_settle_bindings(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;
    struct subscriptions *record;
    struct broker_binding *stale;
    size_t stale_count;
    bool good;

    if (!settings->record || settings->rehearse || !settings->bind)
        return true;
    record = subscriptions_read(settings->record, &session->warning);
    if (!record) {
        error_wrap(&session->warning, "bindings that the configuration no longer has stay on the "
                                      "queue until this file is mended or removed");
        return true;
    }
    stale = subscriptions_find_stale(record, settings, &session->texts, &stale_count);
    good = session_unbind(session, stale, &stale_count);
    if (good) {
        struct error err = {0};

        if (!subscriptions_record(record, settings, stale, stale_count, &err)
            && !session->warning.kind)
            session->warning = err;
    }
    free(stale);
    subscriptions_free(record);
    return good;
}

/* ---- the whole ---- */

/* Without a connection when it failed. */
static bool session_open(struct broker_session *session)
{
    session->connection = amqp_new_connection();
    if (!session->connection)
        return error_set(&session->err, ERROR_TEMPORARY, "connect to broker: out of memory");
    if (session_open_socket(session) && session_login(session))
        return true;
    amqp_destroy_connection(session->connection); /* there is nobody to say goodbye to */
    session->connection = NULL;
    return false;
}

static void session_leave(struct broker_session *session)
{
    broker_disconnect(session->connection, 1000);
    session->connection = NULL;
}

static bool session_set_up(struct broker_session *session)
{
    return session_open_channel(session) && session_declare(session) && session_bind(session)
           && session_settle_bindings(session);
}

void broker_connect(struct broker_session *session)
{
    if (session_open(session) && !(session_set_up(session) && session_consume(session)))
        session_leave(session);
}

void broker_declare(struct broker_session *session)
{
    if (!session_open(session))
        return;
    session_set_up(session);
    session_leave(session);
}

static bool delete_failed(struct broker_session *session, amqp_rpc_reply_t reply)
{
    const char *queue = session->settings->queue;
    char words[300];

    broker_describe_reply(reply, words, sizeof(words));
    switch (reply_code(reply)) {
    case AMQP_PRECONDITION_FAILED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "delete queue '%s': somebody consumes from it (%s); stop the instances "
                         "of this subscription on all hosts first",
                         queue, words);
    case AMQP_ACCESS_REFUSED:
        return error_set(&session->err, ERROR_OPERATOR,
                         "delete queue '%s': not permitted (%s); the user needs permission to "
                         "configure it",
                         queue, words);
    default:
        return error_set(&session->err, ERROR_TEMPORARY, "delete queue '%s': %s", queue, words);
    }
}

/* RabbitMQ says yes to deleting what there is not, so it is asked whether it is there first. */
static bool session_delete(struct broker_session *session, bool *existed)
{
    amqp_bytes_t queue = amqp_cstring_bytes(session->settings->queue);
    amqp_queue_declare_ok_t *ok = queue_declare(session, true);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(session->connection);

    *existed = ok;
    if (!ok)
        return reply_code(reply) == AMQP_NOT_FOUND || delete_failed(session, reply);
    session->messages_waiting = ok->message_count;
    amqp_queue_delete(session->connection, BROKER_CHANNEL, queue, 1, 0);
    reply = amqp_get_rpc_reply(session->connection);
    return reply_is_normal(reply) || delete_failed(session, reply);
}

void broker_delete_queue(struct broker_session *session, bool *existed)
{
    *existed = false;
    if (!session_open(session))
        return;
    if (session_open_channel(session))
        session_delete(session, existed);
    session_leave(session);
}

void broker_log_session(const struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;

    if (session->declared_differently)
        log_warning("sarracenia.moth.amqp _queueDeclare",
                    "queue '%s' was declared before with other arguments and is used as it is "
                    "(%s); make 'expire', 'messageAgeMax', 'durable' agree, or delete the queue",
                    settings->queue, session->difference);
    log_info("sarracenia.moth.amqp _queueDeclare",
             "queue %s %s (as: %s), (messages waiting: %" PRIu32 ")",
             settings->rehearse ? "used" : "declared", settings->queue, settings->url,
             session->messages_waiting);
    for (size_t i = 0; settings->bind && i < settings->binding_count; i++)
        log_info("sarracenia.moth.amqp getSetup", "%s %s with %s to %s (as: %s)",
                 settings->rehearse ? "would be binding" : "binding", settings->queue,
                 settings->bindings[i].topic, settings->bindings[i].exchange, settings->url);
    for (size_t i = 0; i < session->unbound_count; i++)
        log_info("sarracenia.moth.amqp getSetup",
                 "unbinding %s with %s from %s (as: %s): the configuration no longer has it",
                 settings->queue, session->unbound[i].topic, session->unbound[i].exchange,
                 settings->url);
    if (session->warning.kind)
        log_warning("sarracenia.config.subscription", "%s", session->warning.text);
}

void broker_session_clear(struct broker_session *session)
{
    const struct broker_settings *settings = session->settings;

    free(session->unbound);
    arena_clear(&session->texts);
    memset(session, 0, sizeof(*session));
    session->settings = settings;
}

void broker_disconnect(amqp_connection_state_t connection, int64_t timeout_ms)
{
    struct timeval timeout = timeout_from_ms(timeout_ms);

    if (!connection)
        return;
    amqp_set_rpc_timeout(connection, &timeout);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
}
