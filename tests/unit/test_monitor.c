/* What an instance says of its health, without a broker: when it is well, and when it stands still
 * though nothing is in the way. */
#include "monitor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "config_home.h"
#include "flow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define NOW_MS      1000000
#define ANSWER_SIZE 65536
#define TURNS_MAX   1000

struct scene {
    struct config *config;
    struct loop *loop;
    struct report report;
    struct flow flow;
    struct monitor *monitor;
    uint16_t port;
};

static struct sockaddr_in address_of(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = address_of(0);
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));
    struct log_settings settings = {.level = LOG_CRITICAL};
    struct error err = {0};
    char *text;

    assert_true(log_open(&settings, &err));
    scene->port = free_port();
    text = memory_format("broker amqp://u:p@127.0.0.1:1/\nmetricsListen 127.0.0.1:%d\n",
                         scene->port);
    scene->config = must_load(text);
    free(text);
    assert_true(path_make_directory(scene->config->subscription_dir, 0700, &err));
    clock_hold(-1, NOW_MS);
    scene->loop = loop_open();
    report_init(&scene->report, &(struct report_settings){.title = "t", .topic_prefix = "v02"});
    scene->flow = (struct flow){
        .config = scene->config, .report = &scene->report, .loop = scene->loop};
    if (!flow_open(&scene->flow, &err))
        fail_msg("%s", err.text);
    scene->monitor = monitor_open(scene->loop, scene->config, &scene->flow);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    clock_hold(-1, -1);
    flow_close(&scene->flow);
    monitor_close(scene->monitor);
    loop_close(scene->loop);
    config_free(scene->config);
    log_close();
    free(scene);
    return 0;
}

/* The status of the answer; `says` is in it. */
static int ask(struct scene *scene, const char *page, const char *says)
{
    struct sockaddr_in address = address_of(scene->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    char *answer = memory_new(ANSWER_SIZE + 1);
    size_t used = 0;
    ssize_t length = -1;

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", page);
    for (int turn = 0; length != 0 && turn < TURNS_MAX; turn++) {
        loop_wait(scene->loop);
        monitor_step(scene->monitor);
        length = recv(fd, answer + used, ANSWER_SIZE - used, MSG_DONTWAIT);
        used += length > 0 ? (size_t)length : 0;
    }
    close(fd);
    if (sscanf(answer, "HTTP/1.1 %d", &status) != 1 || !strstr(answer, says))
        fail_msg("%s: no '%s' in '%s'", page, says, answer);
    free(answer);
    return status;
}

static struct job *add_job(struct scene *scene, enum job_state last)
{
    struct job *job = job_new(&scene->flow.board);

    list_append(&scene->flow.jobs, &job->link);
    for (enum job_state next = JOB_ACCEPTED; next <= last; next++)
        job_advance(job, next);
    return job;
}

/* A restart would bring no broker: alive, and not ready. */
static void without_a_broker_it_is_alive(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(ask(scene, "/healthz", "ok"), 200);
    assert_int_equal(ask(scene, "/readyz", "not connected to the broker"), 503);
    assert_int_equal(ask(scene, "/metrics", "sr3sub_intake_paused{reason=\"broker\"} 1"), 200);
    scene->flow.stopping = true;
    assert_int_equal(ask(scene, "/readyz", "stopping"), 503);
    assert_int_equal(ask(scene, "/nothing", "there are"), 404);
}

/* Bytes that are there and are not placed for a quarter of an hour; a long transfer is none. */
static void work_that_stands_still_is_told(void **state)
{
    static const struct {
        enum job_state state;
        bool stuck;
    } cases[] = {{JOB_CLAIMED, false}, {JOB_FETCHED, true}};
    struct scene *scene = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct job *job = add_job(scene, cases[i].state);

        clock_hold(-1, NOW_MS + 900000);
        assert_int_equal(ask(scene, "/healthz", "ok"), 200);
        clock_hold(-1, NOW_MS + 900001);
        if (cases[i].stuck)
            assert_int_equal(ask(scene, "/healthz", "work stands still"), 503);
        else
            assert_int_equal(ask(scene, "/healthz", "ok"), 200);
        list_remove(&job->link);
        job_advance(job, JOB_FAILED);
        job_advance(job, JOB_ACKED);
        job_free(job);
        clock_hold(-1, NOW_MS);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_a_broker_it_is_alive),
        CASE(work_that_stands_still_is_told),
    };

    return cmocka_run_group_tests(tests, make_home, remove_home);
}
