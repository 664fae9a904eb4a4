/*
 * A connection to Redis that is kept up.
 *
 * Of hiredis only the reader of replies is used, on a socket of our own. Its asynchronous interface
 * ends the process when a server sends a reply that nobody asked for, resolves names while the
 * loop waits, and has no TLS in 0.14; the reader is the same in all versions.
 *
 * A new connection logs in, selects the database and loads the scripts; only then calls go out.
 * When it is lost, what is unanswered is answered with the reason, and a timer connects again.
 */
#include "store/redis_link.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "store/redis_error.h"
#include "store/redis_queue.h"
#include "store/redis_socket.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS  5000
#define REPEATS_MAX    3
#define READ_SIZE      16384
#define READS_MAX      64 /* in one turn of the loop */
#define SHA_SIZE       40

enum state { AWAY, CONNECTING, GREETING, READY, CLOSED };

struct script {
    const char *name, *text;
    char keys[12]; /* their count */
    char sha[SHA_SIZE + 1];
    bool loading;
};

struct refused {
    redis_answer *answer;
    void *ticket;
};

struct redis_link {
    struct loop *loop;
    struct redis_address address;
    struct redis_tls *tls;
    int64_t connect_timeout_ms, command_timeout_ms;
    struct script *scripts;
    size_t script_count;

    enum state state;
    struct redis_socket *socket;
    struct redisReader *reader;
    struct redis_queue queue;
    size_t greetings; /* answers to wait for until it is ready */
    int tries;        /* to connect, since a call succeeded */
    bool stale;       /* read-only: connect again, the name may lead to another server by now */
    char *failure;
    bool answered_failure; /* `failure` is Redis' answer to a call: only another answer ends it */

    struct refused *refused; /* calls made while it was not ready, answered in the next turn */
    size_t refused_count, refused_room;

    struct loop_timer *retry, *watchdog, *wake;
    int inside;  /* callbacks of the loop that are under way */
    bool ending; /* closed by one of them, which will free it */
};

/* ---- failures ---- */

static void set_failure(struct redis_link *link, const char *words, const char *detail)
{
    memory_replace(&link->failure, memory_format("redis '%s': %s%s%.200s%s", link->address.name,
                                                 words, *words && *detail ? " (" : "", detail,
                                                 *words && *detail ? ")" : ""));
}

static void set_reply_failure(struct redis_link *link, const char *text)
{
    set_failure(link, redis_error_meaning(text), text);
}

static void call_answer(const struct redis_call *call, const struct redisReply *reply,
                        const char *failure)
{
    if (call->answer)
        call->answer(call->ticket, reply, failure);
}

/* The connection is of no use any more; `failure` says why. */
static void give_up(struct redis_link *link)
{
    redis_socket_close(link->socket);
    link->socket = NULL;
    redisReaderFree(link->reader);
    link->reader = NULL;
    link->state = AWAY;
    link->stale = false;
    loop_timer_stop(link->watchdog);
    loop_timer_set(link->retry, backoff_ms(++link->tries, RETRY_FIRST_MS, RETRY_MOST_MS));
    redis_queue_forget_bytes(&link->queue);
    while (link->queue.count) {
        struct redis_call call = redis_queue_take_oldest(&link->queue);

        call_answer(&call, NULL, link->failure);
    }
}

static void lose(struct redis_link *link, const char *words, const char *detail)
{
    set_failure(link, words, detail);
    link->answered_failure = false;
    give_up(link);
}

/* ---- commands ---- */

static void add(struct redis_link *link, struct redis_call call, size_t argc,
                const char *const *argv)
{
    size_t length = 0;

    for (size_t i = 0; i < argc; i++)
        length += strlen(argv[i]);
    redis_queue_begin(&link->queue, argc, length);
    for (size_t i = 0; i < argc; i++)
        redis_queue_put(&link->queue, argv[i], strlen(argv[i]));
    call.asked_ms = clock_now_ms();
    redis_queue_add(&link->queue, call);
}

static void flush(struct redis_link *link)
{
    struct redis_queue *queue = &link->queue;

    while (queue->sent < queue->ready) {
        ssize_t count = redis_socket_write(link->socket, queue->bytes + queue->sent,
                                           queue->ready - queue->sent);

        if (count < 0)
            loop_timer_set(link->wake, 0); /* which answers; the caller may be the asker */
        if (count <= 0)
            return;
        queue->sent += (size_t)count;
    }
}

static void send_all(struct redis_link *link)
{
    struct redis_queue *queue = &link->queue;

    if (queue->ready == queue->end)
        return;
    if (!redis_queue_is_oldest_ready(queue))
        loop_timer_set(link->watchdog, link->command_timeout_ms);
    queue->ready = queue->end;
    flush(link);
}

static void add_load(struct redis_link *link, size_t script)
{
    link->scripts[script].loading = true;
    add(link, (struct redis_call){.kind = REDIS_CALL_LOAD, .script = script}, 3,
        (const char *const[]){"SCRIPT", "LOAD", link->scripts[script].text});
}

static void add_login(struct redis_link *link)
{
    const char *user = link->address.user, *password = link->address.password;
    const char *argv[3] = {"AUTH", user, password ? password : ""};

    if (!user)
        argv[1] = argv[2];
    add(link, (struct redis_call){.kind = REDIS_CALL_LOGIN}, user ? 3 : 2, argv);
}

static void greet(struct redis_link *link)
{
    char database[12];

    link->state = GREETING;
    link->reader = redisReaderCreate();
    if (!link->reader)
        abort();
    if (link->address.user || link->address.password)
        add_login(link);
    snprintf(database, sizeof(database), "%d", link->address.database);
    if (link->address.database)
        add(link, (struct redis_call){.kind = REDIS_CALL_SELECT}, 2,
            (const char *const[]){"SELECT", database});
    for (size_t i = 0; i < link->script_count; i++)
        add_load(link, i);
    link->greetings = link->queue.count;
    send_all(link);
}

/* ---- answers ---- */

/* Any answer but an error shows that all is well. */
static void succeeded(struct redis_link *link)
{
    link->tries = 0;
    link->answered_failure = false;
    if (link->failure)
        memory_replace(&link->failure, NULL);
}

static void greeted(struct redis_link *link)
{
    if (--link->greetings)
        return;
    link->state = READY;
    if (!link->answered_failure)
        memory_replace(&link->failure, NULL);
}

static bool take_sha(struct script *script, const redisReply *reply)
{
    script->loading = false;
    if (reply->type != REDIS_REPLY_STRING || reply->len != SHA_SIZE)
        return false;
    memcpy(script->sha, reply->str, SHA_SIZE);
    return true;
}

/* False: the connection cannot be used, `failure` says why. */
static bool answer_own(struct redis_link *link, const struct redis_call *call,
                       const redisReply *reply)
{
    bool good = reply->type != REDIS_REPLY_ERROR;

    if (good && call->kind == REDIS_CALL_LOAD)
        good = take_sha(&link->scripts[call->script], reply);
    if (good && link->greetings)
        greeted(link);
    if (good)
        return true;
    if (reply->type == REDIS_REPLY_ERROR)
        set_reply_failure(link, reply->str);
    else
        set_failure(link, "not an answer of Redis", "");
    link->answered_failure = false;
    return false;
}

static void answer_error(struct redis_link *link, const struct redis_call *call,
                         const redisReply *reply)
{
    char *failure;

    if (redis_error_says(reply->str, "WRONGTYPE")) { /* one key is wrong, not the server */
        failure = memory_format("redis '%s': %.300s", link->address.name, reply->str);
        call_answer(call, reply, failure);
        free(failure);
        return;
    }
    set_reply_failure(link, reply->str);
    link->answered_failure = true;
    link->stale = link->stale || redis_error_says(reply->str, "READONLY");
    failure = memory_copy(link->failure); /* the asker may call again, or close */
    call_answer(call, reply, failure);
    free(failure);
}

/* After SCRIPT FLUSH, or on a Redis that took over: the script is loaded and the call repeated. */
static bool repeat(struct redis_link *link, const redisReply *reply)
{
    const struct redis_call *call = redis_queue_oldest(&link->queue);
    size_t script = call->script;

    if (call->kind != REDIS_CALL_SCRIPT || reply->type != REDIS_REPLY_ERROR
        || strncmp(reply->str, "NOSCRIPT", 8) != 0 || call->repeats >= REPEATS_MAX)
        return false;
    if (!link->scripts[script].loading)
        add_load(link, script);
    redis_queue_repeat_oldest(&link->queue, clock_now_ms());
    redis_queue_take_oldest(&link->queue);
    link->queue.ready = link->queue.end;
    return true;
}

/* False: the connection cannot be used, `failure` says why. */
static bool take_reply(struct redis_link *link, const redisReply *reply)
{
    struct redis_call call;

    if (!redis_queue_is_oldest_sent(&link->queue)) {
        if (reply->type == REDIS_REPLY_ERROR)
            set_reply_failure(link, reply->str);
        else
            set_failure(link, "it answered what it was not asked", "");
        link->answered_failure = false;
        return false;
    }
    if (repeat(link, reply))
        return true;
    call = redis_queue_take_oldest(&link->queue);
    if (call.kind != REDIS_CALL_SCRIPT)
        return answer_own(link, &call, reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        answer_error(link, &call, reply);
        return true;
    }
    succeeded(link);
    call_answer(&call, reply, NULL);
    return true;
}

static void take_replies(struct redis_link *link)
{
    void *reply = NULL;

    while (link->socket) { /* an answer may lead to closing */
        bool good;

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            lose(link, "not an answer of Redis", link->reader->errstr);
            return;
        }
        if (!reply)
            return;
        good = take_reply(link, reply);
        freeReplyObject(reply);
        if (!good && link->socket)
            give_up(link);
    }
}

static void read_answers(struct redis_link *link)
{
    char bytes[READ_SIZE];

    for (int reads = 0; link->socket; reads++) {
        ssize_t count;

        if (reads == READS_MAX) {
            loop_timer_set(link->wake, 0);
            return;
        }
        count = redis_socket_read(link->socket, bytes, sizeof(bytes));
        if (count < 0)
            lose(link, "", redis_socket_failure(link->socket));
        if (count <= 0)
            return;
        if (redisReaderFeed(link->reader, bytes, (size_t)count) != REDIS_OK) {
            lose(link, "not an answer of Redis", link->reader->errstr);
            return;
        }
        take_replies(link);
    }
}

/* ---- the loop ---- */

static void free_link(struct redis_link *link)
{
    loop_timer_close(link->retry);
    loop_timer_close(link->watchdog);
    loop_timer_close(link->wake);
    redis_tls_close(link->tls);
    redis_queue_clear(&link->queue);
    redis_address_clear(&link->address);
    free(link->scripts);
    free(link->refused);
    free(link->failure);
    free(link);
}

static void leave(struct redis_link *link)
{
    if (--link->inside == 0 && link->ending)
        free_link(link);
}

static bool is_open(const struct redis_link *link)
{
    return link->socket && redis_socket_state(link->socket) == REDIS_SOCKET_OPEN;
}

/* Does what can be done now. Afterwards the connection may be another one, or none. */
static void serve(struct redis_link *link)
{
    if (is_open(link) && link->state == CONNECTING)
        greet(link);
    if (is_open(link))
        read_answers(link);
    if (is_open(link))
        flush(link);
    if (link->socket && link->stale)
        give_up(link);
    if (link->socket && redis_socket_state(link->socket) == REDIS_SOCKET_FAILED)
        lose(link, "", redis_socket_failure(link->socket));
}

static void socket_event(void *context)
{
    struct redis_link *link = context;

    link->inside++;
    serve(link);
    leave(link);
}

static void connect_now(void *context)
{
    struct redis_link *link = context;

    link->state = CONNECTING;
    link->socket = redis_socket_open(link->loop, &link->address, link->tls,
                                     link->connect_timeout_ms, socket_event, link);
}

/* What was answered while this process did not run counts: it is read first. */
static void watch_silence(void *context)
{
    struct redis_link *link = context;
    char words[60];

    link->inside++;
    serve(link);
    if (link->socket && link->queue.count) {
        int64_t age_ms = redis_queue_is_oldest_ready(&link->queue)
                             ? clock_now_ms() - redis_queue_oldest(&link->queue)->asked_ms
                             : 0;

        snprintf(words, sizeof(words), "no answer in %g s",
                 (double)link->command_timeout_ms / 1000);
        if (age_ms >= link->command_timeout_ms)
            lose(link, words, "");
        else
            loop_timer_set(link->watchdog, link->command_timeout_ms - age_ms);
    }
    leave(link);
}

/* Those that are refused meanwhile wait for the next turn. */
static void answer_refused(struct redis_link *link)
{
    struct refused *refused = link->refused;
    size_t count = link->refused_count;
    char *failure = memory_copy(link->failure ? link->failure : "Redis was not connected");

    link->refused = NULL;
    link->refused_count = link->refused_room = 0;
    for (size_t i = 0; i < count; i++)
        refused[i].answer(refused[i].ticket, NULL, failure);
    free(failure);
    free(refused);
}

static void woken(void *context)
{
    struct redis_link *link = context;

    link->inside++;
    answer_refused(link);
    serve(link);
    leave(link);
}

/* ---- what callers do ---- */

static void copy_scripts(struct redis_link *link, const struct redis_script *scripts, size_t count)
{
    link->scripts = memory_new(count * sizeof(*link->scripts));
    link->script_count = count;
    for (size_t i = 0; i < count; i++) {
        link->scripts[i].name = scripts[i].name;
        link->scripts[i].text = scripts[i].text;
        snprintf(link->scripts[i].keys, sizeof(link->scripts[i].keys), "%d", scripts[i].keys);
    }
}

struct redis_link *redis_link_open(struct loop *loop, const struct redis_settings *settings,
                                   const struct redis_script *scripts, size_t script_count,
                                   struct error *err)
{
    struct redis_link *link = memory_new(sizeof(*link));

    link->loop = loop;
    link->connect_timeout_ms = settings->connect_timeout_ms;
    link->command_timeout_ms = settings->command_timeout_ms;
    copy_scripts(link, scripts, script_count);
    if (!redis_address_parse(settings->url, &link->address, err)
        || (link->address.tls && !(link->tls = redis_tls_open(err)))) {
        free_link(link);
        return NULL;
    }
    set_failure(link, "not connected yet", "");
    link->retry = loop_timer_open(loop, connect_now, link);
    link->watchdog = loop_timer_open(loop, watch_silence, link);
    link->wake = loop_timer_open(loop, woken, link);
    connect_now(link);
    return link;
}

static void mark(void *context)
{
    *(bool *)context = true;
}

static void wait_for_answers(struct redis_link *link, int64_t timeout_ms)
{
    bool late = false;
    struct loop_timer *deadline = loop_timer_open(link->loop, mark, &late);

    loop_timer_set(deadline, timeout_ms);
    send_all(link);
    while (link->state == READY && link->queue.count && !late)
        loop_wait(link->loop);
    loop_timer_close(deadline);
}

void redis_link_close(struct redis_link *link, int64_t timeout_ms)
{
    if (!link)
        return;
    if (link->state == READY && !link->inside)
        wait_for_answers(link, timeout_ms);
    link->inside++;
    lose(link, "closed", "");
    link->state = CLOSED;
    loop_timer_stop(link->retry);
    while (link->refused_count)
        answer_refused(link);
    link->ending = true;
    leave(link);
}

static void refuse(struct redis_link *link, redis_answer *answer, void *ticket)
{
    if (link->refused_count == link->refused_room) {
        link->refused_room = link->refused_room ? 2 * link->refused_room : 16;
        link->refused = memory_resize(link->refused, link->refused_room, sizeof(*link->refused));
    }
    link->refused[link->refused_count++] = (struct refused){answer, ticket};
    if (link->refused_count == 1)
        loop_timer_set(link->wake, 0);
}

void redis_link_call(struct redis_link *link, size_t script, size_t argc, const char *const *argv,
                     const size_t *lengths, redis_answer *answer, void *ticket)
{
    const struct script *called = &link->scripts[script];
    struct redis_queue *queue = &link->queue;
    size_t length = sizeof("EVALSHA") + SHA_SIZE + sizeof(called->keys);

    if (link->state != READY) {
        refuse(link, answer, ticket);
        return;
    }
    for (size_t i = 0; i < argc; i++)
        length += lengths[i];
    redis_queue_begin(queue, argc + 3, length);
    redis_queue_put(queue, "EVALSHA", strlen("EVALSHA"));
    redis_queue_put(queue, called->sha, SHA_SIZE);
    redis_queue_put(queue, called->keys, strlen(called->keys));
    for (size_t i = 0; i < argc; i++)
        redis_queue_put(queue, argv[i], lengths[i]);
    redis_queue_add(queue, (struct redis_call){.kind = REDIS_CALL_SCRIPT,
                                               .script = script,
                                               .asked_ms = clock_now_ms(),
                                               .answer = answer,
                                               .ticket = ticket});
}

void redis_link_send(struct redis_link *link)
{
    if (link->state == READY)
        send_all(link);
}

const char *redis_link_failure(const struct redis_link *link)
{
    return link->failure;
}
