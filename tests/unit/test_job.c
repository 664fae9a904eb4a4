/* Jobs: every move that may be made, every one that must not, and the count of each state. */
#include "job.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define END (-1)

/* The ways to each state, and what may follow it. */
static const struct {
    enum job_state state;
    int way[8];      /* from RECEIVED, which is left out */
    int follows[8];
} moves[] = {
    {JOB_RECEIVED, {END}, {JOB_ACCEPTED, JOB_REJECTED, JOB_FAILED, JOB_HANDED_BACK, END}},
    {JOB_ACCEPTED,
     {JOB_ACCEPTED, END},
     {JOB_CLAIMED, JOB_DUPLICATE, JOB_REJECTED, JOB_WAITING, JOB_HANDED_BACK, END}},
    {JOB_CLAIMED,
     {JOB_ACCEPTED, JOB_CLAIMED, END},
     {JOB_FETCHED, JOB_REJECTED, JOB_WAITING, JOB_FAILED, JOB_HANDED_BACK, END}},
    {JOB_FETCHED,
     {JOB_ACCEPTED, JOB_CLAIMED, JOB_FETCHED, END},
     {JOB_PLACED, JOB_WAITING, JOB_FAILED, JOB_HANDED_BACK, END}},
    {JOB_PLACED,
     {JOB_ACCEPTED, JOB_CLAIMED, JOB_FETCHED, JOB_PLACED, END},
     {JOB_CONFIRMED, JOB_WAITING, JOB_HANDED_BACK, END}},
    {JOB_CONFIRMED,
     {JOB_ACCEPTED, JOB_CLAIMED, JOB_FETCHED, JOB_PLACED, JOB_CONFIRMED, END},
     {JOB_ACKED, JOB_HANDED_BACK, END}},
    {JOB_WAITING,
     {JOB_ACCEPTED, JOB_WAITING, END},
     {JOB_ACCEPTED, JOB_KEPT, JOB_HANDED_BACK, END}},
    {JOB_KEPT, {JOB_ACCEPTED, JOB_WAITING, JOB_KEPT, END}, {JOB_ACKED, END}},
    {JOB_REJECTED, {JOB_REJECTED, END}, {JOB_ACKED, JOB_HANDED_BACK, END}},
    {JOB_DUPLICATE, {JOB_ACCEPTED, JOB_DUPLICATE, END}, {JOB_ACKED, JOB_HANDED_BACK, END}},
    {JOB_FAILED, {JOB_FAILED, END}, {JOB_ACKED, JOB_HANDED_BACK, END}},
    {JOB_ACKED, {JOB_REJECTED, JOB_ACKED, END}, {END}},
    {JOB_HANDED_BACK, {JOB_FAILED, JOB_HANDED_BACK, END}, {END}},
};

static void expect_count(const struct job_board *board, enum job_state state, const char *what)
{
    int open = state != JOB_ACKED && state != JOB_HANDED_BACK;

    for (int i = 0; i < JOB_STATES; i++)
        if (board->count[i] != (i == (int)state) || job_board_open(board) != open)
            fail_msg("%s: %d jobs are %s, %d open", what, board->count[i],
                     job_state_name((enum job_state)i), job_board_open(board));
}

static struct job *make_job(struct job_board *board, const int *way)
{
    struct job *job = job_new(board);

    expect_count(board, JOB_RECEIVED, "new");
    for (; *way != END; way++) {
        job_advance(job, (enum job_state)*way);
        expect_count(board, (enum job_state)*way, job_state_name((enum job_state)*way));
    }
    return job;
}

/* Whatever its state: the shortest way out, by the rules. */
static void end_job(struct job *job)
{
    static const int ways_out[JOB_STATES] = {
        [JOB_RECEIVED] = JOB_FAILED,         [JOB_ACCEPTED] = JOB_HANDED_BACK,
        [JOB_CLAIMED] = JOB_HANDED_BACK,     [JOB_FETCHED] = JOB_HANDED_BACK,
        [JOB_PLACED] = JOB_HANDED_BACK,      [JOB_CONFIRMED] = JOB_ACKED,
        [JOB_WAITING] = JOB_HANDED_BACK,     [JOB_REJECTED] = JOB_ACKED,
        [JOB_DUPLICATE] = JOB_ACKED,         [JOB_FAILED] = JOB_ACKED,
        [JOB_KEPT] = JOB_ACKED,
    };

    while (job->state != JOB_ACKED && job->state != JOB_HANDED_BACK)
        job_advance(job, (enum job_state)ways_out[job->state]);
    job_free(job);
}

static bool is_in(const int *states, int state)
{
    while (*states != END && *states != state)
        states++;
    return *states == state;
}

static void allowed_moves_are_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moves); i++)
        for (const int *next = moves[i].follows; *next != END; next++) {
            struct job_board board = {0};
            struct job *job;

            clock_hold(-1, 1000);
            job = make_job(&board, moves[i].way);
            clock_hold(-1, 2000 + *next);
            job_advance(job, (enum job_state)*next);
            if (job->state != (enum job_state)*next || job->entered_ms != 2000 + *next)
                fail_msg("%s -> %s: is %s since %lld", job_state_name(moves[i].state),
                         job_state_name((enum job_state)*next), job_state_name(job->state),
                         (long long)job->entered_ms);
            expect_count(&board, (enum job_state)*next, "after the move");
            end_job(job);
            assert_int_equal(board.count[JOB_ACKED] + board.count[JOB_HANDED_BACK], 0);
        }
    clock_hold(-1, -1);
}

static void child_begin(void)
{
    signal(SIGABRT, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    close(STDERR_FILENO);
}

static bool child_aborts(pid_t child)
{
    int status = 0;

    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void other_moves_end_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moves); i++)
        for (int next = 0; next < JOB_STATES; next++) {
            struct job_board board = {0};
            struct job *job;
            pid_t child;

            if (is_in(moves[i].follows, next))
                continue;
            job = make_job(&board, moves[i].way);
            child = fork();
            if (child == 0) {
                child_begin();
                job_advance(job, (enum job_state)next);
                _exit(0);
            }
            if (!child_aborts(child))
                fail_msg("%s -> %s is possible", job_state_name(moves[i].state),
                         job_state_name((enum job_state)next));
            end_job(job);
        }
}

static void only_what_has_ended_is_freed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(moves); i++) {
        struct job_board board = {0};
        struct job *job = make_job(&board, moves[i].way);
        bool ended = moves[i].state == JOB_ACKED || moves[i].state == JOB_HANDED_BACK;
        pid_t child = fork();

        if (child == 0) {
            child_begin();
            job_free(job);
            _exit(0);
        }
        if (child_aborts(child) == ended)
            fail_msg("%s: freeing it %s", job_state_name(moves[i].state),
                     ended ? "ends the process" : "is possible");
        end_job(job);
    }
}

static void states_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < JOB_STATES; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(job_state_name((enum job_state)i),
                                    job_state_name((enum job_state)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowed_moves_are_made),
        cmocka_unit_test(other_moves_end_the_process),
        cmocka_unit_test(only_what_has_ended_is_freed),
        cmocka_unit_test(states_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
