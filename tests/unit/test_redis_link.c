/*
 * The connection to Redis, against real servers: what it says when it cannot be used, that every
 * call is answered once whatever breaks, and that it comes back by itself.
 */
#include "store/redis_link.h"

#include "store/redis_address.h"
#include "store/redis_error.h"

#include "redis_server.h"

#define DEADLINE_MS 20000
#define MANY        10000

enum { ECHO, SET, GET, SCRIPTS };

static const struct redis_script scripts[SCRIPTS] = {
    [ECHO] = {"echo", "return ARGV[1]", 0},
    [SET] = {"set", "return redis.call('SET', KEYS[1], ARGV[1])", 1},
    [GET] = {"get", "return redis.call('GET', KEYS[1])", 1},
};

struct scene {
    struct redis_server server;
    struct loop *loop;
    struct redis_link *link;
};

struct outcome {
    int times;
    char text[64];     /* of the reply */
    char failure[300]; /* "": none */
    struct redis_link *closes;
    int *order;
    int place;
};

static void note(void *ticket, const struct redisReply *reply, const char *failure)
{
    struct outcome *outcome = ticket;

    outcome->times++;
    snprintf(outcome->text, sizeof(outcome->text), "%s", reply && reply->str ? reply->str : "");
    snprintf(outcome->failure, sizeof(outcome->failure), "%s", failure ? failure : "");
    if (outcome->order)
        outcome->place = (*outcome->order)++;
    if (outcome->closes)
        redis_link_close(outcome->closes, 1000);
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    signal(SIGPIPE, SIG_IGN);
    scene->loop = loop_open();
    *state = scene;
    return 0;
}

static int server_open(void **state)
{
    scene_open(state);
    redis_server_start(&((struct scene *)*state)->server);
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    redis_link_close(scene->link, 0);
    loop_close(scene->loop);
    redis_server_end(&scene->server);
    free(scene);
    return 0;
}

static struct redis_link *open_link(struct scene *scene, const char *text, int64_t timeout_ms,
                                    struct error *err)
{
    struct url url = redis_url_of(text);
    struct redis_settings settings = {
        .url = &url, .connect_timeout_ms = timeout_ms, .command_timeout_ms = timeout_ms};
    struct redis_link *link = redis_link_open(scene->loop, &settings, scripts, SCRIPTS, err);

    url_clear(&url);
    return link;
}

static void must_open(struct scene *scene, const char *text, int64_t timeout_ms)
{
    struct error err = {0};

    scene->link = open_link(scene, text, timeout_ms, &err);
    if (!scene->link)
        fail_msg("%s", err.text);
}

static void open_socket(struct scene *scene, int64_t timeout_ms)
{
    char text[100];

    snprintf(text, sizeof(text), "unix://%s", scene->server.socket);
    must_open(scene, text, timeout_ms);
}

static void set_mark(void *context)
{
    *(bool *)context = true;
}

/* Turns the loop until *count is `wanted`, or the failure has `words` (NULL: there is none). */
static void turn_until(struct scene *scene, const int *count, int wanted, const char *words)
{
    bool late = false;
    struct loop_timer *deadline = loop_timer_open(scene->loop, set_mark, &late);

    loop_timer_set(deadline, DEADLINE_MS);
    while (!late) {
        const char *failure = scene->link ? redis_link_failure(scene->link) : NULL;

        if (count ? *count >= wanted : words ? failure && strstr(failure, words) : !failure)
            break;
        loop_wait(scene->loop);
    }
    loop_timer_close(deadline);
    if (late)
        fail_msg("waited for %d or '%s'; failure '%s'", wanted, words ? words : "none",
                 redis_link_failure(scene->link) ? redis_link_failure(scene->link) : "none");
}

static void until_well(struct scene *scene)
{
    turn_until(scene, NULL, 0, NULL);
}

static void until_failure(struct scene *scene, const char *words)
{
    turn_until(scene, NULL, 0, words);
}

static void add(struct scene *scene, size_t script, const char *first, const char *second,
                struct outcome *outcome)
{
    const char *argv[] = {first, second};
    size_t lengths[] = {strlen(first), second ? strlen(second) : 0};

    redis_link_call(scene->link, script, second ? 2 : 1, argv, lengths, note, outcome);
    assert_int_equal(outcome->times, 0);
}

static struct outcome call(struct scene *scene, size_t script, const char *first,
                           const char *second)
{
    struct outcome outcome = {0};

    add(scene, script, first, second, &outcome);
    redis_link_send(scene->link);
    turn_until(scene, &outcome.times, 1, NULL);
    return outcome;
}

static void expect(struct outcome outcome, const char *text)
{
    if (strcmp(outcome.text, text) != 0 || *outcome.failure)
        fail_msg("got '%s' (%s), not '%s'", outcome.text, outcome.failure, text);
}

static void expect_failure(struct outcome outcome, const char *words)
{
    if (outcome.times != 1 || !strstr(outcome.failure, words))
        fail_msg("answered %d times, '%s' has no '%s'", outcome.times, outcome.failure, words);
}

/* ---- where it is ---- */

static const struct {
    const char *text;
    const char *name; /* NULL: must be refused */
    int database;
} addresses[] = {
    {"redis://h", "redis://h:6379/0", 0},
    {"redis://h/", "redis://h:6379/0", 0},
    {"redis://h:7000/3", "redis://h:7000/3", 3},
    {"redis://:secret@h/3?db=4", "redis://h:6379/4", 4},
    {"redis://bob:secret@h?db=4&protocol=3", "redis://bob@h:6379/4", 4},
    {"redis://h/1?password=secret", "redis://h:6379/1", 1},
    {"redis://[::1]:7000/1", "redis://[::1]:7000/1", 1},
    {"rediss://u:secret@h", "rediss://u@h:6379/0", 0},
    {"unix:///run/redis.sock", "unix:///run/redis.sock?db=0", 0},
    {"unix://u:secret@/run/redis.sock?x=1&db=7", "unix://u@/run/redis.sock?db=7", 7},
    {"redis://h/secret", NULL, 0},
    {"redis://h/-1", NULL, 0},
    {"redis://h/99999999", NULL, 0},
    {"redis://h?db=", NULL, 0},
    {"unix:///", NULL, 0},
    {"unix://host/sock", NULL, 0},
    {"http://h/", NULL, 0},
};

static void addresses_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct url url = redis_url_of(addresses[i].text);
        struct redis_address address;
        struct error err = {0};
        bool good = redis_address_parse(&url, &address, &err);

        if (good != (addresses[i].name != NULL) || strstr(err.text, "secret"))
            fail_msg("'%s': %s", addresses[i].text, good ? "was taken" : err.text);
        if (good
            && (strcmp(address.name, addresses[i].name) != 0
                || address.database != addresses[i].database))
            fail_msg("'%s': '%s', %d", addresses[i].text, address.name, address.database);
        if (good)
            redis_address_clear(&address);
        url_clear(&url);
    }
}

static void errors_have_a_meaning(void **state)
{
    static const char old[] = "ERR Error running script (call to f_1): @user_script:1: "
                              "@user_script: 1: -OOM command not allowed";

    (void)state;
    assert_true(redis_error_says(old, "OOM"));
    assert_false(redis_error_says(old, "ERR Error running script (x"));
    assert_false(redis_error_says("ERR about OOM", "OOM"));
    assert_string_equal(redis_error_meaning("ERR unknown"), "");
    assert_non_null(strstr(redis_error_meaning("LOADING Redis is"), "loading"));
}

/* ---- logging in ---- */

static void database_and_socket_are_used(void **state)
{
    struct scene *scene = *state;
    char text[100];

    snprintf(text, sizeof(text), "redis://localhost:%d/3", scene->server.port);
    must_open(scene, text, 5000);
    assert_non_null(strstr(redis_link_failure(scene->link), "not connected yet"));
    until_well(scene);
    expect(call(scene, SET, "in", "three"), "OK");
    redis_link_close(scene->link, 0);
    snprintf(text, sizeof(text), "unix://%s?db=2", scene->server.socket);
    must_open(scene, text, 5000);
    until_well(scene);
    expect(call(scene, SET, "in", "two"), "OK");
    redis_server_expect(&scene->server, "three", "EVAL %s 0",
                        "redis.call('SELECT', 3) return redis.call('GET', 'in')");
    redis_server_expect(&scene->server, "two", "EVAL %s 0",
                        "redis.call('SELECT', 2) return redis.call('GET', 'in')");
}

static const char *const with_password[] = {
    "--requirepass", "p@ss/w", "--user", "bob", "on", ">b:b",  "~*", "+@all",
    "--user",        "eve",    "on",     ">e",  "~*", "+ping", NULL};

static const struct {
    const char *user;
    const char *failure; /* NULL: well */
} logins[] = {
    {":p@ss/w@", NULL},
    {"bob:b%3Ab@", NULL},
    {"", "it wants a password"},
    {":wrong-secret@", "refused"},
    {"bob:wrong-secret@", "refused"},
    {"eve:e@", "may not do"},
};

static void passwords_are_told(void **state)
{
    struct scene *scene = *state;

    scene->server.options = with_password;
    scene->server.password = "p@ss/w";
    redis_server_start(&scene->server);
    for (size_t i = 0; i < COUNT_OF(logins); i++) {
        char text[100];

        snprintf(text, sizeof(text), "redis://%s127.0.0.1:%d", logins[i].user, scene->server.port);
        must_open(scene, text, 5000);
        turn_until(scene, NULL, 0, logins[i].failure);
        if (logins[i].failure && strstr(redis_link_failure(scene->link), "secret"))
            fail_msg("%s", redis_link_failure(scene->link));
        if (!logins[i].failure)
            expect(call(scene, ECHO, "hello", NULL), "hello");
        redis_link_close(scene->link, 0);
    }
    scene->link = NULL;
}

static void a_password_too_much_is_told(void **state)
{
    struct scene *scene = *state;
    char text[100];

    snprintf(text, sizeof(text), "redis://:secret@127.0.0.1:%d/0", scene->server.port);
    must_open(scene, text, 5000);
    until_failure(scene, "it has no password");
    redis_link_close(scene->link, 0);
    snprintf(text, sizeof(text), "redis://127.0.0.1:%d/99", scene->server.port);
    must_open(scene, text, 5000);
    until_failure(scene, "no such database");
}

static void what_cannot_be_reached_is_told(void **state)
{
    struct scene *scene = *state;
    struct outcome outcome;
    char text[100];

    snprintf(text, sizeof(text), "redis://127.0.0.1:%d", redis_server_free_port());
    must_open(scene, text, 5000);
    outcome = call(scene, ECHO, "x", NULL);
    expect_failure(outcome, "not connected yet");
    until_failure(scene, "connect to 127.0.0.1 port");
    until_failure(scene, "Connection refused");
    expect_failure(call(scene, ECHO, "x", NULL), "Connection refused");
    redis_link_close(scene->link, 1000);
    must_open(scene, "unix:///nowhere/redis.sock", 5000);
    until_failure(scene, "connect to '/nowhere/redis.sock': No such file or directory");
    redis_link_close(scene->link, 1000);
    must_open(scene, "redis://no-such-host.invalid/", 5000);
    until_failure(scene, "look up 'no-such-host.invalid'");
}

/* ---- calls ---- */

static void many_calls_are_answered_in_order(void **state)
{
    struct scene *scene = *state;
    struct outcome *outcomes = memory_new(MANY * sizeof(*outcomes));
    int order = 0;

    open_socket(scene, 10000);
    until_well(scene);
    for (int i = 0; i < MANY; i++) {
        char number[12];

        snprintf(number, sizeof(number), "%d", i);
        outcomes[i].order = &order;
        add(scene, ECHO, number, NULL, &outcomes[i]);
    }
    redis_link_send(scene->link);
    turn_until(scene, &order, MANY, NULL);
    for (int i = 0; i < MANY; i++)
        if (outcomes[i].times != 1 || outcomes[i].place != i || atoi(outcomes[i].text) != i)
            fail_msg("%d: %d times, '%s'", i, outcomes[i].times, outcomes[i].text);
    free(outcomes);
}

static void forgotten_scripts_are_loaded_again(void **state)
{
    struct scene *scene = *state;
    struct outcome outcomes[200] = {0};
    int order = 0;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_expect(&scene->server, "OK", "SCRIPT FLUSH");
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        outcomes[i].order = &order;
        add(scene, i % 2 ? GET : SET, "key", i % 2 ? NULL : "value", &outcomes[i]);
    }
    redis_link_send(scene->link);
    turn_until(scene, &order, COUNT_OF(outcomes), NULL);
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        assert_int_equal(outcomes[i].times, 1);
        expect(outcomes[i], i % 2 ? "value" : "OK");
    }
}

static void large_arguments_go_through(void **state)
{
    struct scene *scene = *state;
    size_t size = 8 * 1024 * 1024;
    char *large = memory_new(size + 1);
    struct outcome outcome;

    memset(large, 'x', size);
    open_socket(scene, 10000);
    until_well(scene);
    expect(call(scene, SET, "large", large), "OK");
    outcome = call(scene, GET, "large", NULL);
    assert_int_equal(strlen(outcome.text), sizeof(outcome.text) - 1);
    assert_int_equal(redis_server_number(&scene->server, "STRLEN", "large"), (long long)size);
    free(large);
}

/* ---- what breaks ---- */

static void a_killed_server_is_found_again(void **state)
{
    struct scene *scene = *state;
    struct outcome outcomes[20] = {0};
    int order = 0;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_pause(&scene->server);
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        outcomes[i].order = &order;
        add(scene, ECHO, "x", NULL, &outcomes[i]);
    }
    redis_link_send(scene->link);
    redis_server_kill(&scene->server);
    turn_until(scene, &order, COUNT_OF(outcomes), NULL);
    for (size_t i = 0; i < COUNT_OF(outcomes); i++)
        expect_failure(outcomes[i], "connection lost");
    until_failure(scene, "Connection refused");
    redis_server_start(&scene->server);
    until_well(scene);
    expect(call(scene, ECHO, "hello", NULL), "hello");
}

static void a_silent_server_is_given_up(void **state)
{
    struct scene *scene = *state;

    open_socket(scene, 300);
    until_well(scene);
    redis_server_pause(&scene->server);
    expect_failure(call(scene, ECHO, "x", NULL), "no answer in 0.3 s");
    redis_server_continue(&scene->server);
    until_well(scene);
    expect(call(scene, ECHO, "hello", NULL), "hello");
    redis_server_expect(&scene->server, "OK", "CLIENT PAUSE 1500");
    expect_failure(call(scene, ECHO, "x", NULL), "no answer in 0.3 s");
    until_well(scene);
    expect(call(scene, ECHO, "hello", NULL), "hello");
}

static void full_memory_is_told(void **state)
{
    struct scene *scene = *state;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_expect(&scene->server, "OK", "CONFIG SET maxmemory 1");
    expect_failure(call(scene, SET, "a", "b"), "Redis is out of memory (maxmemory)");
    assert_non_null(strstr(redis_link_failure(scene->link), "out of memory"));
    redis_server_expect(&scene->server, "OK", "CONFIG SET maxmemory 0");
    expect(call(scene, SET, "a", "b"), "OK");
    assert_null(redis_link_failure(scene->link));
}

static void a_replica_is_told(void **state)
{
    struct scene *scene = *state;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_expect(&scene->server, "OK", "REPLICAOF 127.0.0.1 1");
    expect_failure(call(scene, SET, "a", "b"), "it is read-only, a replica");
    until_failure(scene, "it is read-only");
    redis_server_expect(&scene->server, "OK", "REPLICAOF NO ONE");
    for (struct outcome outcome = {0}; strcmp(outcome.text, "OK") != 0;) {
        outcome = call(scene, SET, "a", "b");
        if (*outcome.failure)
            expect_failure(outcome, "it is read-only");
    }
    until_well(scene);
}

static void a_busy_server_is_told(void **state)
{
    struct scene *scene = *state;
    redisContext *other = redis_server_reach(&scene->server);
    redisContext *saver = redis_server_reach(&scene->server);
    void *reply;
    int done = 0;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_expect(&scene->server, "OK", "CONFIG SET lua-time-limit 1");
    redisAppendCommand(other, "EVAL %s 0", "while true do end");
    redisBufferWrite(other, &done);
    for (struct outcome outcome = {0}; !strstr(outcome.failure, "busy with a script");)
        outcome = call(scene, ECHO, "hello", NULL);
    freeReplyObject(redisCommand(saver, "SCRIPT KILL"));
    redisFree(saver);
    redisGetReply(other, &reply);
    freeReplyObject(reply);
    redisFree(other);
    expect(call(scene, ECHO, "hello", NULL), "hello");
    assert_null(redis_link_failure(scene->link));
}

static void a_wrong_key_is_its_callers_affair(void **state)
{
    struct scene *scene = *state;

    open_socket(scene, 5000);
    until_well(scene);
    redis_server_expect(&scene->server, "1", "LPUSH list x");
    expect_failure(call(scene, GET, "list", NULL), "WRONGTYPE");
    assert_null(redis_link_failure(scene->link));
}

static const struct {
    const char *bytes;   /* what it says without being asked */
    const char *failure; /* of the connection */
} hostile[] = {
    {"HTTP/1.1 400 Bad Request\r\n\r\n", "not an answer of Redis"},
    {"+OK\r\n+OK\r\n+OK\r\n+OK\r\n", "not an answer of Redis"},
    {":1\r\n", "not an answer of Redis"},
    {"*-5\r\n", "redis '"},
    /* too deep for hiredis before 1.0; later ones wait for the rest, which does not come */
    {"*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n*2\r\n", "redis '"},
    {"$99999999999999999999\r\n", "not an answer of Redis"},
    {"-ERR max number of clients reached\r\n", "it has too many clients"},
    {"-DENIED Redis is running in protected mode\r\n", "it is in protected mode"},
    {"-LOADING Redis is loading the dataset in memory\r\n", "it is still loading its data"},
    {"$40\r\n0123456789012345678901234567890123456789\r\n"
     "$40\r\n0123456789012345678901234567890123456789\r\n"
     "$40\r\n0123456789012345678901234567890123456789\r\n:1\r\n",
     "it answered what it was not asked"},
    {"$5\r\nab", "closed by the server"},
    {"", "closed by the server"},
};

/* In a child: says the same to everybody and hangs up. */
static void say(int listener, const char *bytes)
{
    char asked[4096];

    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (recv(fd, asked, sizeof(asked), 0) < 0 || send(fd, bytes, strlen(bytes), 0) < 0)
            _exit(1);
        shutdown(fd, SHUT_WR);
        while (recv(fd, asked, sizeof(asked), 0) > 0)
            continue;
        close(fd);
    }
}

static void strange_answers_do_no_harm(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(hostile); i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(at);
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        char text[60];
        pid_t child;

        assert_int_equal(bind(listener, (struct sockaddr *)&at, size), 0);
        assert_int_equal(listen(listener, 5), 0);
        getsockname(listener, (struct sockaddr *)&at, &size);
        child = fork();
        if (child == 0)
            say(listener, hostile[i].bytes);
        close(listener);
        snprintf(text, sizeof(text), "redis://127.0.0.1:%d", ntohs(at.sin_port));
        must_open(scene, text, 5000);
        until_failure(scene, hostile[i].failure);
        redis_link_close(scene->link, 0);
        scene->link = NULL;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

/* ---- closing ---- */

static void close_waits_for_what_was_sent(void **state)
{
    struct scene *scene = *state;
    struct outcome sent = {0};

    open_socket(scene, 5000);
    until_well(scene);
    add(scene, SET, "last", "word", &sent);
    redis_link_send(scene->link);
    redis_link_close(scene->link, 5000);
    scene->link = NULL;
    assert_int_equal(sent.times, 1);
    expect(sent, "OK");
}

static void close_waits_a_moment_only(void **state)
{
    struct scene *scene = *state;
    struct outcome sent = {0};

    open_socket(scene, 60000);
    until_well(scene);
    redis_server_pause(&scene->server);
    add(scene, SET, "last", "word", &sent);
    redis_link_send(scene->link);
    redis_link_close(scene->link, 50);
    scene->link = NULL;
    expect_failure(sent, "closed");
}

/* After each number of turns, with a call under way or refused. */
static void closing_is_safe_at_any_time(void **state)
{
    struct scene *scene = *state;
    char text[60];

    snprintf(text, sizeof(text), "redis://localhost:%d/1", scene->server.port);
    for (int turns = 0; turns < 40; turns++) {
        struct outcome outcome = {0};

        must_open(scene, text, 5000);
        for (int i = 0; i < turns; i++) {
            loop_again(scene->loop);
            loop_wait(scene->loop);
        }
        add(scene, ECHO, "x", NULL, &outcome);
        if (turns % 2)
            redis_link_send(scene->link);
        redis_link_close(scene->link, turns % 3 ? 0 : 1000);
        scene->link = NULL;
        assert_int_equal(outcome.times, 1);
    }
    redis_link_close(NULL, 0);
}

static void an_answer_may_close(void **state)
{
    struct scene *scene = *state;
    struct outcome outcomes[3] = {0};
    int order = 0;

    open_socket(scene, 5000);
    until_well(scene);
    outcomes[0].closes = scene->link;
    for (int i = 0; i < 3; i++) {
        outcomes[i].order = &order;
        add(scene, ECHO, "x", NULL, &outcomes[i]);
    }
    redis_link_send(scene->link);
    scene->link = NULL;
    turn_until(scene, &order, 3, NULL);
    expect(outcomes[0], "x");
    expect_failure(outcomes[1], "closed");
    expect_failure(outcomes[2], "closed");

    open_socket(scene, 5000); /* and one that is refused */
    outcomes[0] = (struct outcome){.closes = scene->link};
    add(scene, ECHO, "x", NULL, &outcomes[0]);
    scene->link = NULL;
    turn_until(scene, &outcomes[0].times, 1, NULL);
    expect_failure(outcomes[0], "not connected yet");
}

/* ---- TLS ---- */

static void make_certificate(const struct redis_server *server)
{
    char *command = memory_format(
        "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=test -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        " -keyout key.pem -out cert.pem 2>req.log",
        server->directory);

    assert_int_equal(system(command), 0);
    free(command);
}

static void tls_is_verified(void **state)
{
    struct scene *scene = *state;
    struct redis_server *server = &scene->server;
    const char *options[] = {
        "--tls-port", NULL, "--tls-cert-file", NULL, "--tls-key-file", NULL, "--tls-auth-clients",
        "no",         NULL};
    char port[8], text[60], cert[80], key[80];
    struct outcome outcome;
    char *large = memory_new(1000001);

    snprintf(port, sizeof(port), "%d", redis_server_free_port());
    snprintf(cert, sizeof(cert), "%s/cert.pem", server->directory);
    snprintf(key, sizeof(key), "%s/key.pem", server->directory);
    make_certificate(server);
    options[1] = port;
    options[3] = cert;
    options[5] = key;
    redis_server_kill(server);
    server->options = options;
    redis_server_start(server);

    snprintf(text, sizeof(text), "rediss://localhost:%s/1", port);
    must_open(scene, text, 5000);
    until_failure(scene, "certificate is refused");
    redis_link_close(scene->link, 0);
    setenv("SSL_CERT_FILE", cert, 1);
    must_open(scene, text, 5000);
    until_well(scene);
    memset(large, 'x', 1000000);
    expect(call(scene, SET, "large", large), "OK");
    outcome = call(scene, GET, "large", NULL);
    assert_int_equal(strlen(outcome.text), sizeof(outcome.text) - 1);
    redis_link_close(scene->link, 0);
    snprintf(text, sizeof(text), "rediss://127.0.0.2:%s/1", port); /* not in the certificate */
    redis_server_expect(server, "OK", "CONFIG SET bind %s", "127.0.0.1 127.0.0.2");
    must_open(scene, text, 5000);
    until_failure(scene, "certificate is refused");
    redis_link_close(scene->link, 0);
    snprintf(text, sizeof(text), "rediss://localhost:%d/1", server->port); /* speaks no TLS */
    must_open(scene, text, 300);
    until_failure(scene, "no TLS from 127.0.0.1 port");
    unsetenv("SSL_CERT_FILE");
    free(large);
}

#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(errors_have_a_meaning),
        WITH(server_open, database_and_socket_are_used),
        WITH(scene_open, passwords_are_told),
        WITH(server_open, a_password_too_much_is_told),
        WITH(scene_open, what_cannot_be_reached_is_told),
        WITH(server_open, many_calls_are_answered_in_order),
        WITH(server_open, forgotten_scripts_are_loaded_again),
        WITH(server_open, large_arguments_go_through),
        WITH(server_open, a_killed_server_is_found_again),
        WITH(server_open, a_silent_server_is_given_up),
        WITH(server_open, full_memory_is_told),
        WITH(server_open, a_replica_is_told),
        WITH(server_open, a_busy_server_is_told),
        WITH(server_open, a_wrong_key_is_its_callers_affair),
        WITH(scene_open, strange_answers_do_no_harm),
        WITH(server_open, close_waits_for_what_was_sent),
        WITH(server_open, close_waits_a_moment_only),
        WITH(server_open, closing_is_safe_at_any_time),
        WITH(server_open, an_answer_may_close),
        WITH(server_open, tls_is_verified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
