/*
 * A redis-server of a test's own: on a free loopback port and on a socket in a temporary directory,
 * with what it is told to, stopped by its pid. Questions of the test to it go through its socket,
 * as `redis-cli` would ask them, with their own connection for each.
 */
#pragma once

#include "base/memory.h"
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REDIS_DEADLINE_S 20

struct redis_server {
    char directory[40], socket[64];
    int port; /* stays the same when it is started again */
    pid_t pid;
    const char *const *options; /* NAME, VALUE, ..., NULL; NULL: none */
    const char *password;       /* of the test's own questions */
};

static inline int redis_server_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static inline void redis_server_exec(const struct redis_server *server)
{
    const char *argv[40];
    size_t count = 0;
    char port[8];

    snprintf(port, sizeof(port), "%d", server->port);
    argv[count++] = "redis-server";
    for (const char *const *option =
             (const char *const[]){"--port", port, "--bind", "127.0.0.1", "--dir",
                                   server->directory, "--unixsocket", server->socket, "--save", "",
                                   "--logfile", "redis.log", NULL};
         *option; option++)
        argv[count++] = *option;
    for (const char *const *option = server->options; option && *option; option++)
        argv[count++] = *option;
    argv[count] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

/* NULL while it cannot be reached. */
static inline redisContext *redis_server_reach(const struct redis_server *server)
{
    redisContext *context = redisConnectUnix(server->socket);
    redisReply *reply = NULL;

    if (context && !context->err && server->password)
        freeReplyObject(redisCommand(context, "AUTH %s", server->password));
    if (context && !context->err)
        reply = redisCommand(context, "PING");
    if (reply && reply->type == REDIS_REPLY_STATUS) {
        freeReplyObject(reply);
        return context;
    }
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return NULL;
}

static inline void redis_server_start(struct redis_server *server)
{
    redisContext *context;
    time_t end = time(NULL) + REDIS_DEADLINE_S;

    if (!server->port) {
        snprintf(server->directory, sizeof(server->directory), "/tmp/test_redis.XXXXXX");
        assert_non_null(mkdtemp(server->directory));
        snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->directory);
        server->port = redis_server_free_port();
    }
    server->pid = fork();
    if (server->pid == 0)
        redis_server_exec(server);
    while (!(context = redis_server_reach(server))) {
        if (time(NULL) > end || waitpid(server->pid, NULL, WNOHANG) != 0)
            fail_msg("redis-server does not answer; see %s/redis.log", server->directory);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    redisFree(context);
}

static inline void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static inline int redis_server_remove_one(const char *path, const struct stat *status, int flag,
                                          struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

/* Stops it for good; what was never started is fine. */
static inline void redis_server_end(struct redis_server *server)
{
    redis_server_kill(server);
    if (*server->directory)
        nftw(server->directory, redis_server_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    memset(server, 0, sizeof(*server));
}

/* It stays connected, but does nothing. */
static inline void redis_server_pause(const struct redis_server *server)
{
    kill(server->pid, SIGSTOP);
}

static inline void redis_server_continue(const struct redis_server *server)
{
    kill(server->pid, SIGCONT);
}

/* The answer to a command, in database 0: allocated text; integers and elements are printed. */
static inline char *redis_server_ask(const struct redis_server *server, const char *format, ...)
{
    redisContext *context = redis_server_reach(server);
    redisReply *reply;
    char *text;
    va_list args;

    assert_non_null(context);
    va_start(args, format);
    reply = redisvCommand(context, format, args);
    va_end(args);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_INTEGER)
        text = memory_format("%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        text = memory_format("%zu elements", reply->elements);
    else
        text = memory_copy(reply->str ? reply->str : "(nil)");
    freeReplyObject(reply);
    redisFree(context);
    return text;
}

static inline void redis_server_expect_text(const char *command, char *text, const char *expected)
{
    if (strcmp(text, expected) != 0)
        fail_msg("%s: got '%s', not '%s'", command, text, expected);
    free(text);
}

#define redis_server_expect(server, expected, ...)                                                 \
    redis_server_expect_text(#__VA_ARGS__, redis_server_ask((server), __VA_ARGS__), (expected))

static inline long long redis_server_number(const struct redis_server *server, const char *command,
                                            const char *key)
{
    char *text = redis_server_ask(server, "%s %s", command, key);
    long long number = atoll(text);

    free(text);
    return number;
}

/* Time passes for all keys of the database: what would have ended meanwhile is gone. */
static inline void redis_server_pass(const struct redis_server *server, int64_t ms)
{
    char *text = redis_server_ask(
        server, "EVAL %s 0 %lld",
        "for _, key in ipairs(redis.call('KEYS', '*')) do"
        " local left = redis.call('PTTL', key)"
        " if left >= 0 then redis.call('PEXPIRE', key, left - tonumber(ARGV[1])) end"
        " end return 0",
        (long long)ms);

    redis_server_expect_text("EVAL", text, "0");
}

static inline struct url redis_url_of(const char *text)
{
    struct error err = {0};
    struct url url;

    if (!url_parse(text, &url, &err))
        fail_msg("'%s': %s", text, err.text);
    return url;
}
