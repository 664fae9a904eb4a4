/* The event loop, on libuv. Its pool is a little larger than libuv's four threads: a broker that
 * does not answer, a slow disk and the embedded store may each hold one for a while. */
#include "base/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#define POOL_THREADS  "8"
#define CLOSE_WAIT_MS 2000
#define SIGNALS_MAX   8

struct loop {
    uv_loop_t uv;
    bool again;
    size_t signals;
    struct loop_signal {
        uv_signal_t uv;
        int number;
        loop_signal_callback *callback;
        void *context;
    } signal[SIGNALS_MAX];
};

struct loop_watch {
    uv_poll_t uv;
    int fd, events;
    bool closing;
    loop_watch_callback *callback;
    void *context;
};

struct loop_timer {
    uv_timer_t uv;
    bool closing;
    loop_timer_callback *callback;
    void *context;
};

struct loop_job {
    uv_work_t uv;
    loop_work_callback *work, *done;
    void *context;
};

struct loop *loop_open(void)
{
    struct loop *loop = memory_new(sizeof(*loop));

    setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
    if (uv_loop_init(&loop->uv) != 0)
        abort();
    return loop;
}

static bool left_work;

static void loop_overdue(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void signals_block(const struct loop *loop)
{
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < loop->signals; i++)
        sigaddset(&signals, loop->signal[i].number);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

void loop_close(struct loop *loop)
{
    uv_timer_t deadline;

    if (!loop)
        return;
    signals_block(loop); /* without its handler, one more of them would kill a process that ends */
    for (size_t i = 0; i < loop->signals; i++)
        uv_close((uv_handle_t *)&loop->signal[i].uv, NULL);
    uv_timer_init(&loop->uv, &deadline);
    uv_timer_start(&deadline, loop_overdue, CLOSE_WAIT_MS, 0);
    uv_unref((uv_handle_t *)&deadline);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* lets the closed handles and running work end */
    if (uv_loop_alive(&loop->uv)) {
        left_work = true;
        return;
    }
    uv_close((uv_handle_t *)&deadline, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop->uv) != 0)
        assert(!"a watch or a timer was left open");
    free(loop);
}

bool loop_left_work(void)
{
    return left_work;
}

void loop_leave_work(void)
{
    left_work = true;
}

void loop_wait(struct loop *loop)
{
    uv_run_mode mode = loop->again ? UV_RUN_NOWAIT : UV_RUN_ONCE;

    loop->again = false;
    uv_run(&loop->uv, mode);
}

void loop_again(struct loop *loop)
{
    loop->again = true;
}

static void watch_ready(uv_poll_t *handle, int status, int uv_events)
{
    struct loop_watch *watch = handle->data;
    int events = 0;

    if (watch->closing)
        return;
    if (status < 0)
        events = LOOP_READABLE | LOOP_WRITABLE; /* the read or write will tell what is wrong */
    if (uv_events & (UV_READABLE | UV_DISCONNECT))
        events |= LOOP_READABLE;
    if (uv_events & UV_WRITABLE)
        events |= LOOP_WRITABLE;
    watch->callback(watch->context, watch->fd, events);
}

struct loop_watch *loop_watch_open(struct loop *loop, int fd, loop_watch_callback *callback,
                                   void *context)
{
    struct loop_watch *watch = memory_new(sizeof(*watch));

    watch->fd = fd;
    watch->callback = callback;
    watch->context = context;
    if (uv_poll_init(&loop->uv, &watch->uv, fd) != 0)
        abort(); /* only for a descriptor that cannot be polled: a bug of ours */
    watch->uv.data = watch;
    return watch;
}

void loop_watch_set(struct loop_watch *watch, int events)
{
    int uv_events =
        (events & LOOP_READABLE ? UV_READABLE : 0) | (events & LOOP_WRITABLE ? UV_WRITABLE : 0);

    if (watch->events == events)
        return;
    watch->events = events;
    if (events)
        uv_poll_start(&watch->uv, uv_events, watch_ready);
    else
        uv_poll_stop(&watch->uv);
}

static void handle_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void loop_watch_close(struct loop_watch *watch)
{
    if (!watch)
        return;
    watch->closing = true;
    uv_close((uv_handle_t *)&watch->uv, handle_closed);
}

static void timer_due(uv_timer_t *handle)
{
    struct loop_timer *timer = handle->data;

    /* timers that are due already run before libuv polls: without this it would then still wait */
    uv_stop(handle->loop);
    if (!timer->closing)
        timer->callback(timer->context);
}

struct loop_timer *loop_timer_open(struct loop *loop, loop_timer_callback *callback, void *context)
{
    struct loop_timer *timer = memory_new(sizeof(*timer));

    timer->callback = callback;
    timer->context = context;
    uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    return timer;
}

void loop_timer_set(struct loop_timer *timer, int64_t delay_ms)
{
    uv_update_time(timer->uv.loop); /* steps may have taken long since the loop last looked */
    uv_timer_start(&timer->uv, timer_due, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void loop_timer_close(struct loop_timer *timer)
{
    if (!timer)
        return;
    timer->closing = true;
    uv_close((uv_handle_t *)&timer->uv, handle_closed);
}

static void signal_received(uv_signal_t *handle, int number)
{
    struct loop_signal *signal = handle->data;

    signal->callback(signal->context, number);
}

void loop_on_signal(struct loop *loop, int number, loop_signal_callback *callback, void *context)
{
    struct loop_signal *signal = &loop->signal[loop->signals++];

    assert(loop->signals <= SIGNALS_MAX);
    signal->number = number;
    signal->callback = callback;
    signal->context = context;
    uv_signal_init(&loop->uv, &signal->uv);
    signal->uv.data = signal;
    uv_signal_start(&signal->uv, signal_received, number);
    uv_unref((uv_handle_t *)&signal->uv);
}

static void job_work(uv_work_t *request)
{
    struct loop_job *job = request->data;

    job->work(job->context);
}

static void job_done(uv_work_t *request, int status)
{
    struct loop_job *job = request->data;

    (void)status; /* work is never cancelled */
    job->done(job->context);
    free(job);
}

void loop_work(struct loop *loop, loop_work_callback *work, loop_work_callback *done, void *context)
{
    struct loop_job *job = memory_new(sizeof(*job));

    job->work = work;
    job->done = done;
    job->context = context;
    job->uv.data = job;
    if (uv_queue_work(&loop->uv, &job->uv, job_work, job_done) != 0)
        abort();
}
