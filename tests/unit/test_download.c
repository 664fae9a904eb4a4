/*
 * Transfers, against a scripted server on this host: what comes of each kind of answer, and how
 * many run at once. Whatever arrives is compared byte by byte as it comes.
 */
#include "stages/download.h"

#include "base/clock.h"
#include "http_server.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DEADLINE_MS 15000
#define FILES_MAX   60
#define OK(length)  "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n"
#define MOVED(to)   "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " to "\r\n"

/* ---- the script ---- */

static const struct http_route routes[] = {
    {"/empty", .head = OK(0)},
    {"/small", .head = OK(10), .body = 10},
    {"/large", .head = OK(3000000), .body = 3000000},
    {"/a%20b?c=d", .head = OK(11), .body = 11},
    {"/chunked", .head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .body = 100000,
     .chunked = true, .piece = 5000},
    {"/until-closed", .head = "HTTP/1.0 200 OK\r\n", .body = 50000, .closes = true},
    {"/closes", .head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n",
     .body = 10, .closes = true},
    {"/gone", .head = "HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n", .body = 5},
    {"/bad", .head = "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n"},
    {"/unauthorized", .head = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n"},
    {"/forbidden", .head = "HTTP/1.1 403 No\r\nContent-Length: 20000\r\n", .body = 20000},
    {"/timeout", .head = "HTTP/1.1 408 Late\r\nContent-Length: 0\r\n"},
    {"/many", .head = "HTTP/1.1 429 Many\r\nContent-Length: 0\r\nRetry-After: 7\r\n"},
    {"/broken", .head = "HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n", .body = 1000},
    {"/busy", .head = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 120\r\n", .body = 4},
    {"/moved", .head = MOVED("/small")},
    {"/moved/twice", .head = MOVED("/moved")},
    {"/moved/body", .head = "HTTP/1.1 302 Found\r\nContent-Length: 9000\r\nLocation: /large\r\n",
     .body = 9000},
    {"/moved/missing", .head = MOVED("/missing")},
    {"/moved/ftp", .head = MOVED("ftp://127.0.0.1/small")},
    {"/moved/file", .head = MOVED("file:///etc/passwd")},
    {"/moved/gopher", .head = MOVED("gopher://127.0.0.1/small")},
    {"/moved/loop", .head = MOVED("/moved/loop")},
    {"/moved/nowhere", .head = "HTTP/1.1 301 Moved\r\nContent-Length: 3\r\n", .body = 3},
    {"/created", .head = "HTTP/1.1 201 Created\r\nContent-Length: 10\r\n", .body = 10},
    {"/no-content", .head = "HTTP/1.1 204 No Content\r\n"},
    {"/part", .head = "HTTP/1.1 206 Part\r\nContent-Range: bytes 0-9/20\r\nContent-Length: 10\r\n",
     .body = 10},
    {"/cut", .head = OK(100000), .body = 100000, .cut = 50000},
    {"/cut/at-once", .head = OK(100000), .body = 100000, .cut = 1},
    {"/cut/chunked", .head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .body = 100000,
     .cut = 50000, .chunked = true},
    {"/cut/length", .head = OK(10), .unfinished = true},
    {"/cut/status", .head = "HTTP/1.1 2", .unfinished = true},
    {"/cut/error", .head = "HTTP/1.1 503 Busy\r\n", .unfinished = true},
    {"/cut/head", .head = "HTTP/1.1 200 OK\r\nServer: x\r\n", .unfinished = true},
    {"/no-http", .head = "hello\r\n", .closes = true},
    {"/no-answer", .head = "", .unfinished = true},
    {"/hangs", .head = NULL},
    {"/stalls", .head = OK(100000), .body = 100000, .piece = 1000, .pause_ms = 60000},
    {"/drips", .head = OK(100000), .body = 100000, .piece = 100, .pause_ms = 20},
    {"/endless", .head = "HTTP/1.1 404 Not Found\r\n", .body = SIZE_MAX / 2, .closes = true},
    {"/waits", .head = OK(10), .body = 10, .wait_ms = 15},
};

/* ---- the scene: a loop, a server, files that come ---- */

struct file {
    struct transfer *transfer; /* NULL once it is done */
    size_t received;
    bool wrong;      /* other bytes than the server sent */
    size_t pause_at; /* the receiver takes no more from here on, once */
    size_t stop_at;
    int pauses, results;
    struct download_result result;
};

struct scene {
    struct loop *loop;
    struct loop_timer *timer;
    struct download *download;
    struct http_server *server;
    struct file file[FILES_MAX];
};

static enum download_flow receive(void *ticket, const char *bytes, size_t length)
{
    struct file *file = ticket;

    if (file->stop_at && file->received + length >= file->stop_at)
        return DOWNLOAD_STOP;
    if (file->pause_at && file->received + length >= file->pause_at) {
        file->pauses++;
        return DOWNLOAD_PAUSE;
    }
    for (size_t i = 0; i < length; i++)
        file->wrong |= bytes[i] != http_byte(file->received + i);
    file->received += length;
    return DOWNLOAD_GO_ON;
}

static const struct download_settings usual = {.transfers_max = 10,
                                               .transfers_max_per_host = 5,
                                               .connect_timeout_ms = 5000,
                                               .stall_timeout_ms = 10000,
                                               .receive = receive};

static void open_download(struct scene *scene, const struct download_settings *settings)
{
    struct error err = {0};

    download_close(scene->download);
    memset(scene->file, 0, sizeof(scene->file));
    scene->download = download_open(scene->loop, settings, &err);
    if (!scene->download)
        fail_msg("%s", err.text);
}

static void nothing(void *context)
{
    (void)context;
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    scene->loop = loop_open();
    scene->timer = loop_timer_open(scene->loop, nothing, NULL);
    scene->server = http_server_start(routes, COUNT_OF(routes));
    open_download(scene, &usual);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    download_close(scene->download);
    http_server_stop(scene->server);
    loop_timer_close(scene->timer);
    loop_close(scene->loop);
    free(scene);
    return 0;
}

static struct file *start_at(struct scene *scene, size_t i, int port, const char *path)
{
    char *url = memory_format("http://127.0.0.1:%d%s", port, path);

    scene->file[i].transfer =
        download_start(scene->download, &(struct download_request){.url = url}, &scene->file[i]);
    free(url);
    return &scene->file[i];
}

static struct file *start(struct scene *scene, size_t i, const char *path)
{
    return start_at(scene, i, scene->server->port, path);
}

static void turn(struct scene *scene)
{
    struct download_result result;

    download_step(scene->download);
    while (download_take_finished(scene->download, &result)) {
        struct file *file = result.ticket;

        file->result = result;
        file->results++;
        file->transfer = NULL;
    }
    loop_timer_set(scene->timer, 20);
    loop_wait(scene->loop);
}

static void wait_for(struct scene *scene, const struct file *file)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

    while (!file->results && clock_now_ms() < deadline_ms)
        turn(scene);
    if (!file->results)
        fail_msg("file %td: no result within %d ms, %zu bytes received", file - scene->file,
                 DEADLINE_MS, file->received);
}

static void expect_fetched(const char *what, const struct file *file, size_t size)
{
    if (!file->result.fetched || file->received != size || file->wrong || file->results != 1
        || file->result.size_bytes != (int64_t)size || file->result.status != 200)
        fail_msg("%s: fetched %d, HTTP %ld, %zu bytes (%" PRId64 " counted), wrong %d, "
                 "%d results (%s)",
                 what, file->result.fetched, file->result.status, file->received,
                 file->result.size_bytes, file->wrong, file->results, file->result.err.text);
}

/* ---- one answer of each kind ---- */

static const struct {
    const char *path;
    enum error_kind kind; /* ERROR_NONE: fetched */
    long status;
    size_t received;
    int64_t retry_after_ms;
} answers[] = {
    {"/empty", ERROR_NONE, 200, 0, -1},
    {"/small", ERROR_NONE, 200, 10, -1},
    {"/large", ERROR_NONE, 200, 3000000, -1},
    {"/a%20b?c=d", ERROR_NONE, 200, 11, -1},
    {"/chunked", ERROR_NONE, 200, 100000, -1},
    {"/until-closed", ERROR_NONE, 200, 50000, -1},
    {"/closes", ERROR_NONE, 200, 10, -1},
    {"/moved", ERROR_NONE, 200, 10, -1},
    {"/moved/twice", ERROR_NONE, 200, 10, -1},
    {"/moved/body", ERROR_NONE, 200, 3000000, -1},
    {"/missing", ERROR_PERMANENT, 404, 0, -1},
    {"/gone", ERROR_PERMANENT, 410, 0, -1},
    {"/bad", ERROR_PERMANENT, 400, 0, -1},
    {"/endless", ERROR_PERMANENT, 404, 0, -1},
    {"/unauthorized", ERROR_OPERATOR, 401, 0, -1},
    {"/forbidden", ERROR_OPERATOR, 403, 0, -1},
    {"/timeout", ERROR_TEMPORARY, 408, 0, -1},
    {"/many", ERROR_TEMPORARY, 429, 0, 7000},
    {"/broken", ERROR_TEMPORARY, 500, 0, -1},
    {"/busy", ERROR_TEMPORARY, 503, 0, 120000},
    {"/created", ERROR_TEMPORARY, 201, 0, -1},
    {"/no-content", ERROR_TEMPORARY, 204, 0, -1},
    {"/part", ERROR_TEMPORARY, 206, 0, -1},
    {"/moved/missing", ERROR_PERMANENT, 404, 0, -1},
    {"/moved/ftp", ERROR_PERMANENT, 301, 0, -1},
    {"/moved/file", ERROR_PERMANENT, 301, 0, -1},
    {"/moved/gopher", ERROR_PERMANENT, 301, 0, -1},
    {"/moved/loop", ERROR_TEMPORARY, 301, 0, -1},
    {"/moved/nowhere", ERROR_TEMPORARY, 301, 0, -1},
    {"/cut", ERROR_TEMPORARY, 200, 50000, -1},
    {"/cut/at-once", ERROR_TEMPORARY, 200, 1, -1},
    {"/cut/chunked", ERROR_TEMPORARY, 200, 50000, -1},
    {"/cut/length", ERROR_TEMPORARY, 200, 0, -1},
    {"/cut/error", ERROR_TEMPORARY, 503, 0, -1},
    {"/cut/head", ERROR_TEMPORARY, 200, 0, -1},
    {"/no-http", ERROR_TEMPORARY, 0, 0, -1},
    {"/no-answer", ERROR_TEMPORARY, 0, 0, -1},
    {"/cut/status", ERROR_TEMPORARY, 0, 0, -1},
};

static void check_answer(size_t i, const struct file *file)
{
    const struct download_result *result = &file->result;

    if (result->fetched != (answers[i].kind == ERROR_NONE) || result->err.kind != answers[i].kind
        || result->status != answers[i].status || file->received != answers[i].received
        || file->wrong || result->retry_after_ms != answers[i].retry_after_ms
        || result->duration_ms < 0 || file->results != 1
        || (result->err.kind && !strstr(result->err.text, answers[i].path)))
        fail_msg("%s: fetched %d, kind %d (%s), HTTP %ld, received %zu, wrong %d, retry after "
                 "%" PRId64 " ms, took %" PRId64 " ms, %d results",
                 answers[i].path, result->fetched, result->err.kind, result->err.text,
                 result->status, file->received, file->wrong, result->retry_after_ms,
                 result->duration_ms, file->results);
}

/* After it the server is left alone for a while. */
static bool is_trouble(size_t i)
{
    return answers[i].status == 429 || answers[i].status == 503 || answers[i].status == 0;
}

static void answers_are_told_apart(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        wait_for(scene, start(scene, i, answers[i].path));
        check_answer(i, &scene->file[i]);
        if (is_trouble(i))
            open_download(scene, &usual);
    }
}

/* The same at the same time, each answer perhaps on a connection that has served another. */
static void answers_do_not_mix(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if (!is_trouble(i))
            start(scene, i, answers[i].path);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if (!is_trouble(i))
            wait_for(scene, &scene->file[i]);
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        if (!is_trouble(i))
            check_answer(i, &scene->file[i]);
}

static const struct {
    const char *url;
    enum error_kind kind;
} bad_urls[] = {
    {"file:///etc/passwd", ERROR_PERMANENT},  {"http://", ERROR_PERMANENT},
    {"gopher://127.0.0.1/", ERROR_PERMANENT}, {"http://127.0.0.1:99999/", ERROR_PERMANENT},
    {"scp://127.0.0.1/x", ERROR_PERMANENT},   {"smb://127.0.0.1/x/y", ERROR_PERMANENT},
    {"ftp://127.0.0.1:1/x", ERROR_TEMPORARY}, {"sftp://127.0.0.1:1/x", ERROR_TEMPORARY},
};

static void bad_urls_fail(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(bad_urls); i++) {
        struct file *file = &scene->file[i];

        file->transfer = download_start(scene->download,
                                        &(struct download_request){.url = bad_urls[i].url}, file);
        wait_for(scene, file);
        if (file->result.fetched || file->result.err.kind != bad_urls[i].kind || file->received
            || !strstr(file->result.err.text, bad_urls[i].url))
            fail_msg("%s: fetched %d, kind %d (%s), %zu bytes", bad_urls[i].url,
                     file->result.fetched, file->result.err.kind, file->result.err.text,
                     file->received);
    }
}

static void a_refused_connection_is_temporary(void **state)
{
    struct scene *scene = *state;
    struct http_server *other = http_server_start(NULL, 0);
    int port = other->port;
    struct file *file;

    http_server_stop(other);
    file = start_at(scene, 0, port, "/small");
    wait_for(scene, file);
    if (file->result.fetched || file->result.err.kind != ERROR_TEMPORARY || file->result.status)
        fail_msg("refused: kind %d (%s), HTTP %ld", file->result.err.kind, file->result.err.text,
                 file->result.status);
}

/* ---- slow servers ---- */

static const struct {
    const char *path;
    int64_t stall_ms, total_ms;
    long status;
} slow[] = {
    {"/hangs", 1000, 0, 0},
    {"/hangs", 0, 300, 0},
    {"/drips", 0, 300, 200},
    {"/stalls", 60000, 300, 200},
};

static void slow_servers_are_given_up(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(slow); i++) {
        struct download_settings settings = usual;
        struct file *file = &scene->file[0];

        settings.stall_timeout_ms = slow[i].stall_ms;
        settings.total_timeout_ms = slow[i].total_ms;
        open_download(scene, &settings);
        start(scene, 0, slow[i].path);
        wait_for(scene, file);
        if (file->result.fetched || file->result.err.kind != ERROR_TEMPORARY
            || file->result.status != slow[i].status || file->result.duration_ms < 100)
            fail_msg("%s, stall %" PRId64 " ms, total %" PRId64 " ms: fetched %d, kind %d (%s), "
                     "HTTP %ld after %" PRId64 " ms",
                     slow[i].path, slow[i].stall_ms, slow[i].total_ms, file->result.fetched,
                     file->result.err.kind, file->result.err.text, file->result.status,
                     file->result.duration_ms);
    }
}

/* ---- many at once ---- */

static void connections_are_kept(void **state)
{
    struct download_settings settings = usual;
    struct scene *scene = *state;

    settings.transfers_max = settings.transfers_max_per_host = 4;
    open_download(scene, &settings);
    for (size_t i = 0; i < 50; i++)
        start(scene, i, i % 7 ? "/small" : i % 2 ? "/missing" : "/broken");
    for (size_t i = 0; i < 50; i++)
        wait_for(scene, &scene->file[i]);
    for (size_t i = 0; i < 50; i++)
        if (i % 7)
            expect_fetched("kept", &scene->file[i], 10);
    if (scene->server->connections > 4 || scene->server->requests != 50)
        fail_msg("50 transfers, 4 at once: %d connections, %d requests", scene->server->connections,
                 scene->server->requests);
}

/* A server may close a connection that rests; the next transfer must not suffer. */
static void connections_that_ended_are_made_again(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < 20; i++) {
        wait_for(scene, start(scene, i, i % 2 ? "/small" : "/until-closed"));
        for (int k = 0; k < 2; k++)
            turn(scene);
        expect_fetched("again", &scene->file[i], i % 2 ? 10 : 50000);
    }
}

static const struct {
    int in_all, per_host;
} limits[] = {
    {10, 1}, {10, 3}, {4, 10}, {1, 1}, {5, 5},
};

static size_t count_active(const struct scene *scene, size_t from, size_t to)
{
    size_t active = 0;

    for (size_t i = from; i < to; i++)
        active += scene->file[i].transfer && download_is_active(scene->file[i].transfer);
    return active;
}

static void limits_are_kept(void **state)
{
    struct scene *scene = *state;

    for (size_t k = 0; k < COUNT_OF(limits); k++) {
        struct download_settings settings = usual;
        struct http_server *second = http_server_start(routes, COUNT_OF(routes));
        int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
        int in_all = limits[k].in_all, per_host = limits[k].per_host;
        size_t done = 0, most = 0;

        settings.transfers_max = in_all;
        settings.transfers_max_per_host = per_host;
        open_download(scene, &settings);
        scene->server->open_most = 0;
        for (size_t i = 0; i < 24; i++)
            start_at(scene, i, i < 12 ? scene->server->port : second->port, "/waits");
        while (done < 24 && clock_now_ms() < deadline_ms) {
            size_t active;

            turn(scene);
            active = count_active(scene, 0, 24);
            most = active > most ? active : most;
            done = 0;
            for (size_t i = 0; i < 24; i++)
                done += scene->file[i].results > 0;
        }
        for (size_t i = 0; i < 24; i++)
            expect_fetched("limits", &scene->file[i], 10);
        if ((int)most > in_all || (int)most > 2 * per_host || scene->server->open_most > per_host
            || second->open_most > per_host)
            fail_msg("at most %d, %d per host: %zu were active, %d and %d at a host", in_all,
                     per_host, most, scene->server->open_most, second->open_most);
        http_server_stop(second);
    }
}

static void a_dead_host_holds_up_only_itself(void **state)
{
    struct scene *scene = *state;
    struct http_server *second = http_server_start(routes, COUNT_OF(routes));

    for (size_t i = 0; i < 30; i++)
        start(scene, i, "/hangs");
    for (size_t i = 30; i < 50; i++)
        start_at(scene, i, second->port, "/small");
    for (size_t i = 30; i < 50; i++)
        wait_for(scene, &scene->file[i]);
    for (size_t i = 30; i < 50; i++)
        expect_fetched("the other host", &scene->file[i], 10);
    if (count_active(scene, 0, 30) != 5 || scene->server->open_most > 5)
        fail_msg("the dead host has %zu active, %d at once", count_active(scene, 0, 30),
                 scene->server->open_most);
    open_download(scene, &usual); /* with transfers under way and waiting */
    http_server_stop(second);
}

/* ---- the receiver ---- */

static void wait_pauses(struct scene *scene, const struct file *file, int pauses)
{
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

    while (file->pauses < pauses && clock_now_ms() < deadline_ms)
        turn(scene);
    if (file->pauses < pauses || file->results)
        fail_msg("%d pauses of %d, %d results, %zu bytes", file->pauses, pauses, file->results,
                 file->received);
}

static const struct {
    const char *path;
    size_t size;
} paused[] = {
    {"/small", 10},
    {"/large", 3000000},
    {"/chunked", 100000},
    {"/until-closed", 50000},
};

static void the_receiver_can_pause(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(paused); i++) {
        struct file *file = &scene->file[i], *other = &scene->file[i + 10];
        size_t received;

        file->pause_at = paused[i].size / 2;
        start(scene, i, paused[i].path);
        wait_pauses(scene, file, 1);
        received = file->received;
        wait_for(scene, start(scene, i + 10, "/large")); /* others go on */
        expect_fetched("while another one is paused", other, 3000000);
        if (file->received != received || file->pauses != 1 || !file->transfer)
            fail_msg("%s: %d pauses, received %zu, then %zu bytes", paused[i].path, file->pauses,
                     received, file->received);
        download_resume(file->transfer); /* the receiver has no room yet: it pauses again */
        wait_pauses(scene, file, 2);
        file->pause_at = 0;
        download_resume(file->transfer);
        wait_for(scene, file);
        expect_fetched(paused[i].path, file, paused[i].size);
    }
}

static void the_receiver_can_stop(void **state)
{
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(paused); i++) {
        struct file *file = &scene->file[i];

        file->stop_at = paused[i].size / 2;
        start(scene, i, paused[i].path);
        wait_for(scene, file);
        if (file->result.fetched || !file->result.err.kind || file->received >= file->stop_at)
            fail_msg("%s: fetched %d, kind %d (%s), %zu bytes", paused[i].path,
                     file->result.fetched, file->result.err.kind, file->result.err.text,
                     file->received);
    }
    wait_for(scene, start(scene, 20, "/large"));
    expect_fetched("after those that were stopped", &scene->file[20], 3000000);
}

/* ---- cancel and close ---- */

static void cancelled_transfers_are_not_seen_again(void **state)
{
    struct download_settings settings = usual;
    struct scene *scene = *state;
    struct file *file = scene->file;
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;

    settings.transfers_max_per_host = 2;
    open_download(scene, &settings);
    start(scene, 0, "/hangs");
    start(scene, 1, "/drips");
    start(scene, 2, "/small"); /* these wait for their turn */
    start(scene, 3, "/large");
    file[4].pause_at = 1;
    while (!file[1].received && clock_now_ms() < deadline_ms)
        turn(scene);
    if (!download_is_active(file[0].transfer) || !download_is_active(file[1].transfer)
        || download_is_active(file[2].transfer) || download_is_active(file[3].transfer))
        fail_msg("with 2 per host others than the first 2 are active");
    download_cancel(file[2].transfer);
    download_cancel(file[1].transfer);
    wait_for(scene, &file[3]);
    expect_fetched("has waited", &file[3], 3000000);
    download_cancel(file[0].transfer);
    start(scene, 4, "/large");
    wait_pauses(scene, &file[4], 1);
    download_cancel(file[4].transfer);
    download_cancel(start(scene, 5, "/small")->transfer);
    wait_for(scene, start(scene, 6, "/small"));
    expect_fetched("the last", &file[6], 10);
    for (size_t i = 0; i < 6; i++)
        if (file[i].results != (i == 3))
            fail_msg("file %zu has %d results", i, file[i].results);
}

/* One that has ended but was not taken back. */
static void finished_transfers_can_be_cancelled(void **state)
{
    struct scene *scene = *state;
    int64_t deadline_ms = clock_now_ms() + DEADLINE_MS;
    struct download_result result;

    start(scene, 0, "/small");
    while (download_step(scene->download), clock_now_ms() < deadline_ms) {
        if (!download_is_active(scene->file[0].transfer) && scene->file[0].received == 10)
            break;
        loop_timer_set(scene->timer, 20);
        loop_wait(scene->loop);
    }
    assert_int_equal(scene->file[0].received, 10);
    download_cancel(scene->file[0].transfer);
    assert_false(download_take_finished(scene->download, &result));
}

static void close_stops_everything(void **state)
{
    static const char *const paths[] = {"/hangs", "/drips", "/large", "/small", "/endless"};
    struct scene *scene = *state;

    for (int turns = 0; turns < 8; turns++) {
        for (size_t i = 0; i < 20; i++)
            start(scene, i, paths[i % COUNT_OF(paths)]);
        for (int k = 0; k < turns; k++)
            turn(scene);
        open_download(scene, &usual);
    }
    wait_for(scene, start(scene, 0, "/small"));
    expect_fetched("after the closes", &scene->file[0], 10);
    download_close(NULL);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(answers_are_told_apart),
        CASE(answers_do_not_mix),
        CASE(bad_urls_fail),
        CASE(a_refused_connection_is_temporary),
        CASE(slow_servers_are_given_up),
        CASE(connections_are_kept),
        CASE(connections_that_ended_are_made_again),
        CASE(limits_are_kept),
        CASE(a_dead_host_holds_up_only_itself),
        CASE(the_receiver_can_pause),
        CASE(the_receiver_can_stop),
        CASE(cancelled_transfers_are_not_seen_again),
        CASE(finished_transfers_can_be_cancelled),
        CASE(close_stops_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
