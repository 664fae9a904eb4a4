/*
 * The claim protocol under chance: a few instances share a queue and a store, and whatever can come
 * between two of their steps does.
 *
 * What dedupe does is the real thing. Around it stand models: a broker that delivers again what it
 * has no ack for, a store in memory (model_store.h) with questions and answers under way, a disk
 * that knows which version is at each place, and instances that make the moves of flow.c one by
 * one. A schedule follows from its seed, so a bad one can be seen again:
 *
 *     SR3SUB_SEED=12345 test_protocol
 *
 * SR3SUB_SCHEDULES says how many are run.
 *
 * What is checked of each schedule, with the faults that may have come up in it:
 *
 * - Nothing is lost: an ack comes only when the place has the announced version or a later one, or
 *   its duplicate was placed; in the end every announcement is acked and every place has its
 * latest.
 * - Nothing is fetched twice: a second fetch of a file that somebody else fetches or has fetched
 *   comes only after a fault of that other instance, or of the store.
 * - Older never replaces newer, unless the store lost its data. For a moment an older version can
 *   come on top when whoever placed the newer one died, or stood still, before it could say so:
 *   then that one's announcement comes again, or its confirm is refused, and the newer one is on
 *   top in the end.
 */
#include "model_store.h"

#include "base/clock.h"
#include "job.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCHEDULES 5000
#else
#define SCHEDULES 100000
#endif

#define T0            1735790592751000000
#define LEASE_MS      3000
#define TURN_MS       (LEASE_MS / 6) /* as dedupe.h asks, and the longest way of a question */
#define REMEMBER_MS   100000000
#define RETRY_MS      200
#define INSTANCES     3
#define OPEN_JOBS     10
#define PREFETCH      4
#define PLACES        3
#define NOTICES       14
#define FETCHES       400
#define STEPS_MOST    300   /* with faults */
#define STEPS_TO_CALM 20000 /* without: by then everything has come to an end */
#define NOBODY        (-1)
#define NOT_WAITING   (-1)

enum fault {
    CRASHES = 1,      /* an instance dies, and begins anew later */
    STOPS = 2,        /* an instance stands still and then goes on as if nothing had been */
    OUTAGES = 4,      /* the store fails for all */
    PARTITIONS = 8,   /* the store fails for one instance */
    LOSSES = 16,      /* the store loses its data */
    DISCONNECTS = 32, /* an instance loses its connection to the broker */
    FETCH_FAILURES = 64,
    ALL_FAULTS = 127
};

enum kind {
    PATHS, /* an announcement has its own place */
    DATA,  /* announcements with one key go to several places */
    FLAT,  /* announcements with different keys go to one place */
    KINDS
};

/* An announcement in the broker's queue; several can be copies. */
struct notice {
    int file; /* what has one duplicate key */
    int place;
    int64_t pub_time_ns;
    enum { QUEUED, DELIVERED, ACKED } state;
    int instance;
    unsigned connection;
    bool acking; /* the ack waits to be sent */
    const char *ack_reason;
};

/* A transfer, kept for the account of who fetched what. */
struct fetch {
    int file, instance;
    int64_t claimed_ms; /* when the claim was asked for */
    bool failed;        /* by itself, or taken back */
};

struct sim_job {
    bool used;
    struct dedupe_claim claim;
    struct notice *notice;
    unsigned connection;
    enum job_state state;
    bool abandoned, asking;
    bool active; /* bytes arrive */
    bool pinned; /* with the writer */
    bool renamed;
    int parts_left;
    struct fetch *fetch;
    int64_t asked_ms; /* for the claim */
    int64_t due_ms;   /* NOT_WAITING */
    int64_t retry_delay_ms;
};

struct instance {
    struct store *store; /* NULL: dead */
    struct dedupe *dedupe;
    struct sim_job jobs[OPEN_JOBS];
    unsigned connection, seen_connection; /* to the broker; what it knows of that */
    int64_t dead_until_ms, still_until_ms, still_since_ms, cut_until_ms;
    int64_t turned_ms, pumped_ms;
    int64_t fault_ms; /* of its own: death, standing still, no store */
};

struct place {
    int file; /* NOBODY: nothing is there */
    int64_t pub_time_ns;
    bool tainted; /* the store has forgotten what it knew of it */
};

struct world {
    uint64_t seed, random;
    unsigned faults;
    int fault_sides; /* one step of so many brings one */
    enum kind kind;
    bool verbose;
    int instance_count, place_count, notice_count;
    struct model_store *model;
    struct instance instances[INSTANCES];
    struct place places[PLACES];
    struct notice notices[NOTICES];
    struct fetch fetches[FETCHES];
    int fetch_count;
    bool placed[NOTICES]; /* files that were, at some place */
    int64_t outage_until_ms, lost_data_ms;
    bool calm; /* no more faults */
    char problem[200];
};

/* What came up in all schedules. */
struct account {
    size_t schedules, fetched, refetched, placed, duplicates, older, busy, lost, deaths, stops;
    size_t moments; /* an older version on top until the newer one came again */
    size_t holes;   /* ... and in the end, after the store lost its data */
};

static struct account account;

static uint64_t next_random(struct world *world)
{
    uint64_t number = world->random += 0x9E3779B97F4A7C15;

    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB;
    return number ^ (number >> 31);
}

static int chance(struct world *world, int sides)
{
    return (int)(next_random(world) % (unsigned)sides);
}

static void say(const struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(const struct world *world, const char *format, ...)
{
    va_list args;

    if (!world->verbose)
        return;
    va_start(args, format);
    printf("%8" PRId64 " ", clock_now_ms());
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* The first one counts. */
static void complain(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);

static void complain(struct world *world, const char *format, ...)
{
    va_list args;

    if (*world->problem)
        return;
    va_start(args, format);
    vsnprintf(world->problem, sizeof(world->problem), format, args);
    va_end(args);
    say(world, "*** %s", world->problem);
}

static int number_of(const struct world *world, const struct instance *instance)
{
    return (int)(instance - world->instances);
}

static void say_job(const struct world *world, const struct instance *instance,
                    const struct sim_job *job, const char *what)
{
    const struct notice *notice = job->notice;

    say(world, "instance %d: notice %d (file %d, place %d, published %" PRId64 ") %s",
        number_of(world, instance), (int)(notice - world->notices), notice->file, notice->place,
        notice->pub_time_ns - T0, what);
}

/* ---- the ends of a job ---- */

static bool is_delivered_to(const struct world *world, const struct instance *instance,
                            const struct sim_job *job)
{
    return job->notice->state == DELIVERED && job->notice->instance == number_of(world, instance)
           && job->notice->connection == job->connection && instance->connection == job->connection;
}

static void end_job(struct sim_job *job)
{
    job->used = false;
}

/* Is it safe? That is the first promise. */
static void check_ack(struct world *world, const struct sim_job *job, const char *reason)
{
    const struct notice *notice = job->notice;
    struct place *place = &world->places[notice->place];
    bool there = place->file == notice->file
                 || (place->file != NOBODY && place->pub_time_ns >= notice->pub_time_ns);
    bool duplicate = strcmp(reason, "duplicate") == 0;

    if (duplicate ? !world->placed[notice->file] : !there && !place->tainted)
        complain(world, "notice %d is acked (%s), but file %d is not there",
                 (int)(notice - world->notices), reason, notice->file);
}

static void ack(struct world *world, struct instance *instance, struct sim_job *job,
                const char *reason)
{
    say_job(world, instance, job, reason);
    check_ack(world, job, reason);
    if (is_delivered_to(world, instance, job))
        job->notice->acking = true;
    end_job(job);
}

static void hand_back(struct world *world, struct instance *instance, struct sim_job *job)
{
    say_job(world, instance, job, "handed back");
    if (is_delivered_to(world, instance, job))
        job->notice->state = QUEUED;
    end_job(job);
}

/* ---- the moves of flow.c ---- */

static void ask_claim(struct instance *instance, struct sim_job *job)
{
    job->asking = true;
    job->asked_ms = clock_now_ms();
    job->pinned = job->renamed = false;
    dedupe_claim(instance->dedupe, &job->claim);
}

static void ask_confirm(struct instance *instance, struct sim_job *job)
{
    job->asking = true;
    dedupe_confirm(instance->dedupe, &job->claim);
}

static void ask_release(struct instance *instance, struct sim_job *job)
{
    job->asking = true;
    dedupe_release(instance->dedupe, &job->claim);
}

static bool is_unwanted(const struct instance *instance, const struct sim_job *job)
{
    return job->abandoned || job->connection != instance->seen_connection;
}

static void try_later(struct instance *instance, struct sim_job *job, int64_t delay_ms)
{
    job->state = JOB_WAITING;
    job->retry_delay_ms = delay_ms;
    ask_release(instance, job);
}

static void cancel(struct sim_job *job)
{
    if (job->fetch)
        job->fetch->failed = true;
    job->fetch = NULL;
    job->active = false;
}

static void abandon(struct world *world, struct instance *instance, struct sim_job *job)
{
    job->abandoned = true;
    if (job->state == JOB_ACCEPTED && dedupe_withdraw(instance->dedupe, &job->claim)) {
        hand_back(world, instance, job);
    } else if (job->state == JOB_CLAIMED || (job->state == JOB_FETCHED && !job->pinned)) {
        cancel(job);
        try_later(instance, job, 0);
    } else if (job->state == JOB_WAITING && job->due_ms != NOT_WAITING && job->retry_delay_ms < 0) {
        hand_back(world, instance, job);
    }
}

static void watch_connection(struct world *world, struct instance *instance)
{
    if (instance->seen_connection == instance->connection)
        return;
    instance->seen_connection = instance->connection;
    for (struct sim_job *job = instance->jobs; job < instance->jobs + OPEN_JOBS; job++)
        if (job->used && job->connection != instance->connection && !job->active)
            abandon(world, instance, job);
}

static void receive(struct world *world, struct instance *instance, struct sim_job *job,
                    struct notice *notice)
{
    static const char *const keys[NOTICES] = {"0", "1", "2", "3",  "4",  "5",  "6",
                                              "7", "8", "9", "10", "11", "12", "13"};
    const char *path = world->kind == DATA ? "data" : keys[notice->file];

    *job = (struct sim_job){
        .used = true, .notice = notice, .connection = instance->connection, .due_ms = NOT_WAITING};
    job->claim.ticket = job;
    notice->state = DELIVERED;
    notice->acking = false;
    notice->instance = number_of(world, instance);
    notice->connection = instance->connection;
    say_job(world, instance, job, "received");
    dedupe_identify(instance->dedupe, &job->claim, keys[notice->file], path, keys[notice->place],
                    notice->pub_time_ns);
    job->state = JOB_ACCEPTED;
    ask_claim(instance, job);
}

static void wait_for_retry(struct sim_job *job, int64_t delay_ms)
{
    job->retry_delay_ms = -1;
    job->due_ms = clock_now_ms() + delay_ms;
}

static void answer_later(struct world *world, struct instance *instance, struct sim_job *job,
                         int64_t delay_ms)
{
    if (is_unwanted(instance, job)) {
        hand_back(world, instance, job);
        return;
    }
    job->state = JOB_WAITING;
    wait_for_retry(job, delay_ms);
}

static void answer_claimed(struct instance *instance, struct sim_job *job)
{
    if (!is_unwanted(instance, job)) {
        job->state = JOB_CLAIMED;
        return;
    }
    job->abandoned = true;
    try_later(instance, job, 0);
}

static void answer_released(struct world *world, struct instance *instance, struct sim_job *job)
{
    if (is_unwanted(instance, job))
        hand_back(world, instance, job);
    else
        wait_for_retry(job, job->retry_delay_ms);
}

static void answer_unknown(struct world *world, struct instance *instance, struct sim_job *job)
{
    if (job->state == JOB_ACCEPTED)
        answer_later(world, instance, job, RETRY_MS);
    else
        job->due_ms = clock_now_ms() + RETRY_MS;
}

static void answer_lost(struct world *world, struct instance *instance, struct sim_job *job)
{
    account.lost++;
    if (job->state == JOB_PLACED) {
        job->asking = false;
        job->due_ms = NOT_WAITING;
        cancel(job);
        try_later(instance, job, 0);
    } else if (!job->pinned) {
        cancel(job);
        answer_later(world, instance, job, RETRY_MS);
    }
}

/* Whether its claim may have ended before it was confirmed, and others came in between. */
static bool may_have_lost(const struct world *world, const struct instance *instance,
                          const struct sim_job *job)
{
    return instance->fault_ms >= job->asked_ms || world->lost_data_ms >= job->asked_ms;
}

static void take_answer(struct world *world, struct instance *instance, struct sim_job *job)
{
    static const char *const names[] = {
        [DEDUPE_CLAIMED] = "claimed",     [DEDUPE_DUPLICATE] = "duplicate",
        [DEDUPE_OLDER] = "older",         [DEDUPE_BUSY] = "busy",
        [DEDUPE_CONFIRMED] = "confirmed", [DEDUPE_RELEASED] = "released",
        [DEDUPE_LOST] = "lost",           [DEDUPE_UNKNOWN] = "unknown",
    };
    enum dedupe_verdict verdict = job->claim.verdict;

    say_job(world, instance, job, names[verdict]);
    if (verdict != DEDUPE_LOST)
        job->asking = false;
    switch (verdict) {
    case DEDUPE_CLAIMED:
        answer_claimed(instance, job);
        break;
    case DEDUPE_DUPLICATE:
        account.duplicates++;
        ack(world, instance, job, "duplicate");
        break;
    case DEDUPE_OLDER:
        account.older++;
        ack(world, instance, job, "older");
        break;
    case DEDUPE_BUSY:
        account.busy++;
        answer_later(world, instance, job, RETRY_MS + chance(world, 4 * RETRY_MS));
        break;
    case DEDUPE_CONFIRMED:
        ack(world, instance, job, "confirmed");
        break;
    case DEDUPE_RELEASED:
        answer_released(world, instance, job);
        break;
    case DEDUPE_UNKNOWN:
        answer_unknown(world, instance, job);
        break;
    case DEDUPE_LOST:
        answer_lost(world, instance, job);
        break;
    }
}

static void take_due(struct instance *instance, struct sim_job *job)
{
    job->due_ms = NOT_WAITING;
    if (job->state == JOB_PLACED) {
        ask_confirm(instance, job);
    } else if (job->state == JOB_WAITING && job->retry_delay_ms < 0) {
        job->state = JOB_ACCEPTED;
        ask_claim(instance, job);
    } else {
        ask_release(instance, job);
    }
}

/* ---- fetching and placing ---- */

static bool is_excused(const struct world *world, const struct fetch *fetch)
{
    const struct instance *instance = &world->instances[fetch->instance];

    return fetch->failed || instance->fault_ms >= fetch->claimed_ms
           || world->lost_data_ms >= fetch->claimed_ms
           || (instance->still_until_ms && clock_now_ms() - instance->still_since_ms >= TURN_MS);
}

/* The second promise. */
static void start_fetch(struct world *world, struct instance *instance, struct sim_job *job)
{
    int file = job->notice->file;

    say_job(world, instance, job, "is being fetched");
    for (int i = 0; i < world->fetch_count; i++) {
        const struct fetch *other = &world->fetches[i];

        if (other->file != file)
            continue;
        account.refetched++;
        if (!is_excused(world, other) && !may_have_lost(world, instance, job))
            complain(world, "file %d is fetched twice, by instance %d after %d", file,
                     number_of(world, instance), other->instance);
    }
    job->active = true;
    job->parts_left = 1 + chance(world, 4);
    if (world->fetch_count == FETCHES) {
        complain(world, "there is no end of fetching");
        return;
    }
    account.fetched++;
    job->fetch = &world->fetches[world->fetch_count++];
    *job->fetch = (struct fetch){
        .file = file, .instance = number_of(world, instance), .claimed_ms = job->asked_ms};
}

static void receive_part(struct world *world, struct instance *instance, struct sim_job *job)
{
    if (--job->parts_left > 0)
        return;
    job->active = false;
    if (world->faults & FETCH_FAILURES && !world->calm && chance(world, 4) == 0) {
        say_job(world, instance, job, "could not be fetched");
        cancel(job);
        try_later(instance, job, chance(world, 2 * LEASE_MS));
        return;
    }
    job->state = JOB_FETCHED;
}

/* The third promise. What the store knows of the newer version is what keeps others off. */
static void check_order(struct world *world, const struct sim_job *job, bool ours)
{
    const struct notice *notice = job->notice;
    struct place *place = &world->places[notice->place];
    bool known = model_store_latest(world->model, &job->claim.question) >= place->pub_time_ns;

    if (!ours && !(world->faults & LOSSES))
        complain(world, "file %d is placed without a claim", notice->file);
    if (place->file == NOBODY || place->file == notice->file
        || place->pub_time_ns <= notice->pub_time_ns)
        return;
    if (ours && known && !place->tainted)
        complain(world, "file %d is placed on top of the newer file %d", notice->file, place->file);
    else if (!(world->faults & (LOSSES | STOPS | OUTAGES | PARTITIONS | CRASHES)))
        complain(world, "file %d is placed on top of the newer file %d, and nothing was wrong",
                 notice->file, place->file);
    account.moments++;
}

static void rename_into_place(struct world *world, struct instance *instance, struct sim_job *job)
{
    const struct notice *notice = job->notice;
    struct place *place = &world->places[notice->place];
    bool ours = model_store_holds(world->model, &job->claim.question);

    say_job(world, instance, job, ours ? "is placed" : "is placed without a claim");
    check_order(world, job, ours);
    place->file = notice->file;
    place->pub_time_ns = notice->pub_time_ns;
    world->placed[notice->file] = true;
    job->renamed = true;
    account.placed++;
}

/* ---- the steps of an instance ---- */

static void step_job(struct world *world, struct instance *instance, struct sim_job *job)
{
    if (!job->used)
        return;
    if (job->due_ms != NOT_WAITING && job->due_ms <= clock_now_ms()) {
        take_due(instance, job);
    } else if (job->state == JOB_CLAIMED && !job->active) {
        start_fetch(world, instance, job);
    } else if (job->state == JOB_CLAIMED) {
        receive_part(world, instance, job);
    } else if (job->state == JOB_FETCHED && !job->pinned) {
        job->pinned = dedupe_is_sure(&job->claim);
        if (job->pinned)
            dedupe_pin(&job->claim);
    } else if (job->state == JOB_FETCHED && !job->renamed && !dedupe_is_sure(&job->claim)) {
        say_job(world, instance, job, "would be placed too late");
        cancel(job);
        try_later(instance, job, 0);
    } else if (job->state == JOB_FETCHED && !job->renamed) {
        rename_into_place(world, instance, job);
    } else if (job->state == JOB_FETCHED) {
        job->state = JOB_PLACED;
        ask_confirm(instance, job);
    }
}

static bool step_answer(struct world *world, struct instance *instance)
{
    struct dedupe_claim *claim = dedupe_take_answer(instance->dedupe);

    if (claim)
        take_answer(world, instance, claim->ticket);
    return claim;
}

static void send_acks(struct world *world, const struct instance *instance)
{
    for (int i = 0; i < world->notice_count; i++) {
        struct notice *notice = &world->notices[i];

        if (notice->acking && notice->instance == number_of(world, instance)) {
            notice->state = ACKED;
            notice->acking = false;
        }
    }
}

static void send(struct world *world, struct instance *instance)
{
    dedupe_send(instance->dedupe);
    send_acks(world, instance);
}

/* A whole turn of the loop, but for the transfers and the disk. */
static void turn(struct world *world, struct instance *instance)
{
    instance->turned_ms = clock_now_ms();
    watch_connection(world, instance);
    for (struct sim_job *job = instance->jobs; job < instance->jobs + OPEN_JOBS; job++)
        if (job->used && job->due_ms != NOT_WAITING && job->due_ms <= clock_now_ms())
            take_due(instance, job);
    while (step_answer(world, instance))
        ;
    send(world, instance);
}

static void deliver(struct world *world, struct instance *instance)
{
    struct notice *notice = &world->notices[chance(world, world->notice_count)];
    struct sim_job *free_job = NULL;
    int open = 0;

    for (struct sim_job *job = instance->jobs; job < instance->jobs + OPEN_JOBS; job++) {
        free_job = job->used ? free_job : job;
        open += job->used && job->connection == instance->connection;
    }
    if (notice->state != QUEUED || !free_job || open >= PREFETCH
        || instance->seen_connection != instance->connection)
        return;
    receive(world, instance, free_job, notice);
}

static void step_instance(struct world *world, struct instance *instance)
{
    switch (chance(world, 8)) {
    case 0:
        deliver(world, instance);
        break;
    case 1:
        step_answer(world, instance);
        break;
    case 2:
        send(world, instance);
        break;
    case 3:
        watch_connection(world, instance);
        break;
    default:
        step_job(world, instance, &instance->jobs[chance(world, OPEN_JOBS)]);
        break;
    }
}

/* ---- the store ---- */

static bool is_cut(const struct world *world, const struct instance *instance)
{
    return world->outage_until_ms > clock_now_ms() || instance->cut_until_ms > clock_now_ms();
}

/* One question or answer moves on, or fails. */
static void move_question(struct world *world, struct instance *instance)
{
    size_t sent = model_store_sent(instance->store);
    size_t decided = model_store_decided(instance->store);

    if (sent && is_cut(world, instance)) {
        instance->fault_ms = clock_now_ms();
        model_store_fail(instance->store, (size_t)chance(world, (int)sent), chance(world, 4) == 0);
    } else if (sent && (!decided || chance(world, 2))) {
        model_store_decide(instance->store, (size_t)chance(world, (int)sent));
    } else if (decided) {
        model_store_deliver(instance->store, (size_t)chance(world, (int)decided));
    }
}

static void pump(struct world *world, struct instance *instance)
{
    instance->pumped_ms = clock_now_ms();
    while (model_store_sent(instance->store) || model_store_decided(instance->store))
        move_question(world, instance);
}

/* ---- faults ---- */

static void requeue(struct world *world, struct instance *instance)
{
    instance->connection++;
    for (int i = 0; i < world->notice_count; i++) {
        struct notice *notice = &world->notices[i];

        if (notice->state == DELIVERED && notice->instance == number_of(world, instance)) {
            notice->state = QUEUED;
            notice->acking = false;
        }
    }
}

static void begin_instance(struct world *world, struct instance *instance)
{
    const struct dedupe_settings settings = {.key_base = "sr3", .lease_ms = LEASE_MS};
    struct error err = {0};

    instance->store = model_store_connect(world->model, false);
    instance->dedupe = dedupe_open(instance->store, &settings, &err);
    assert_non_null(instance->dedupe);
    instance->seen_connection = instance->connection;
    instance->turned_ms = instance->pumped_ms = clock_now_ms();
    instance->dead_until_ms = instance->still_until_ms = 0;
    memset(instance->jobs, 0, sizeof(instance->jobs));
}

static void end_instance(struct instance *instance)
{
    if (!instance->store)
        return;
    dedupe_close(instance->dedupe);
    store_close(instance->store);
    instance->store = NULL;
}

/* What was sent to the store may still arrive there. */
static void crash(struct world *world, struct instance *instance)
{
    say(world, "instance %d dies", number_of(world, instance));
    for (size_t left = model_store_sent(instance->store); left > 0; left--)
        if (chance(world, 2))
            model_store_decide(instance->store, (size_t)chance(world, (int)left));
        else
            break;
    end_instance(instance);
    requeue(world, instance);
    instance->fault_ms = clock_now_ms();
    instance->dead_until_ms = clock_now_ms() + chance(world, 2 * LEASE_MS);
    account.deaths++;
}

static void stop(struct world *world, struct instance *instance)
{
    say(world, "instance %d stands still", number_of(world, instance));
    instance->still_since_ms = clock_now_ms();
    instance->still_until_ms = clock_now_ms() + 1 + chance(world, 3 * LEASE_MS);
    if (chance(world, 2))
        requeue(world, instance); /* no heartbeats */
    account.stops++;
}

static void go_on(struct world *world, struct instance *instance)
{
    say(world, "instance %d goes on", number_of(world, instance));
    if (clock_now_ms() - instance->still_since_ms >= TURN_MS)
        instance->fault_ms = clock_now_ms();
    instance->still_until_ms = 0;
    instance->turned_ms = instance->pumped_ms = clock_now_ms();
}

static void lose_data(struct world *world)
{
    say(world, "the store loses its data");
    model_store_forget(world->model);
    for (int i = 0; i < world->instance_count; i++)
        if (world->instances[i].store)
            model_store_disconnect(world->instances[i].store);
    world->lost_data_ms = clock_now_ms();
    for (int i = 0; i < world->place_count; i++)
        world->places[i].tainted = true;
}

static void do_fault(struct world *world)
{
    struct instance *instance = &world->instances[chance(world, world->instance_count)];
    bool alive = instance->store && !instance->still_until_ms;

    switch (world->faults & 1u << chance(world, 6)) {
    case CRASHES:
        if (alive)
            crash(world, instance);
        break;
    case STOPS:
        if (alive)
            stop(world, instance);
        break;
    case OUTAGES:
        say(world, "the store fails");
        world->outage_until_ms = clock_now_ms() + chance(world, 2 * LEASE_MS);
        break;
    case PARTITIONS:
        say(world, "the store fails for instance %d", number_of(world, instance));
        instance->cut_until_ms = clock_now_ms() + chance(world, 2 * LEASE_MS);
        break;
    case LOSSES:
        if (chance(world, 3) == 0)
            lose_data(world);
        break;
    case DISCONNECTS:
        if (alive) {
            say(world, "instance %d loses its connection", number_of(world, instance));
            requeue(world, instance);
        }
        break;
    default:
        break;
    }
}

/* ---- time ---- */

/* What must happen by now although chance did not want it: nobody who is well is that slow. */
static void keep_up(struct world *world)
{
    int64_t now_ms = clock_now_ms();

    for (int i = 0; i < world->instance_count; i++) {
        struct instance *instance = &world->instances[i];

        if (!instance->store && instance->dead_until_ms <= now_ms)
            begin_instance(world, instance);
        if (!instance->store)
            continue;
        if (instance->still_until_ms && instance->still_until_ms <= now_ms)
            go_on(world, instance);
        if (instance->still_until_ms)
            continue;
        if (now_ms - instance->pumped_ms >= TURN_MS)
            pump(world, instance);
        if (now_ms - instance->turned_ms >= TURN_MS)
            turn(world, instance);
    }
}

static void pass(struct world *world, int64_t ms)
{
    while (ms > 0) {
        int64_t some_ms = ms > TURN_MS / 8 ? TURN_MS / 8 : ms;

        clock_hold(clock_wall_ns() + some_ms * NS_PER_MS, clock_now_ms() + some_ms);
        ms -= some_ms;
        keep_up(world);
    }
}

/* ---- a schedule ---- */

/* Copies of a version may have been announced at slightly different times. */
static int64_t some_pub_time(struct world *world, int version)
{
    return T0 + version * 10 + (world->kind == FLAT ? 0 : chance(world, 3));
}

static void make_notices(struct world *world)
{
    int versions = 1 + chance(world, 3), copies = 1 + chance(world, 3);

    world->notice_count = 0;
    for (int place = 0; place < world->place_count; place++)
        for (int version = 0; version < versions; version++)
            for (int copy = 0; copy < copies && world->notice_count < NOTICES; copy++) {
                int file = world->kind == DATA ? version : place * versions + version;

                world->notices[world->notice_count++] = (struct notice){
                    .file = file,
                    .place = place,
                    .pub_time_ns = some_pub_time(world, world->kind == FLAT ? file / 2 : version)};
            }
}

static void open_world(struct world *world, uint64_t seed, bool verbose)
{
    *world = (struct world){.seed = seed, .random = seed, .verbose = verbose, .lost_data_ms = -1};
    clock_hold(T0, 1000);
    world->model = model_store_open(&(struct store_settings){
        .lease_ms = LEASE_MS, .nodupe_ttl_ms = REMEMBER_MS, .latest_ttl_ms = REMEMBER_MS});
    world->faults =
        (unsigned)(chance(world, 4) ? next_random(world) & next_random(world) : 0) & ALL_FAULTS;
    world->fault_sides = 4 << chance(world, 5);
    world->kind = (enum kind)chance(world, KINDS);
    world->instance_count = 2 + chance(world, INSTANCES - 1);
    world->place_count = world->kind == FLAT ? 1 : 1 + chance(world, PLACES);
    make_notices(world);
    for (int i = 0; i < PLACES; i++)
        world->places[i].file = NOBODY;
    for (int i = 0; i < world->instance_count; i++) {
        world->instances[i].fault_ms = -1;
        begin_instance(world, &world->instances[i]);
    }
}

static void close_world(struct world *world)
{
    for (int i = 0; i < world->instance_count; i++)
        end_instance(&world->instances[i]);
    model_store_close(world->model);
    clock_hold(-1, -1);
}

static void step(struct world *world)
{
    struct instance *instance = &world->instances[chance(world, world->instance_count)];

    if (!world->calm && world->faults && chance(world, world->fault_sides) == 0)
        do_fault(world);
    if (instance->store && chance(world, 3) == 0)
        move_question(world, instance);
    else if (instance->store && !instance->still_until_ms)
        step_instance(world, instance);
    if (chance(world, 2) == 0)
        pass(world, chance(world, 20) ? chance(world, 20) : chance(world, LEASE_MS / 4));
}

static bool all_acked(const struct world *world)
{
    for (int i = 0; i < world->notice_count; i++)
        if (world->notices[i].state != ACKED)
            return false;
    return true;
}

/* What was believed under an old claim is placed at last; nothing goes on after that. */
static bool all_idle(const struct world *world)
{
    for (int i = 0; i < world->instance_count; i++)
        for (int k = 0; k < OPEN_JOBS; k++)
            if (!world->instances[i].store || world->instances[i].jobs[k].used)
                return false;
    return true;
}

/* The newest version of every place is there, or was taken for a duplicate of another place's. */
static void check_end(struct world *world)
{
    for (int i = 0; i < world->notice_count; i++) {
        const struct notice *notice = &world->notices[i];
        const struct place *place = &world->places[notice->place];

        if (place->file == notice->file
            || (place->file != NOBODY && place->pub_time_ns >= notice->pub_time_ns)
            || (world->kind == DATA && world->place_count > 1 && world->placed[notice->file]))
            continue;
        if (place->tainted)
            account.holes++;
        else
            complain(world, "at the end place %d has file %d and not file %d", notice->place,
                     place->file, notice->file);
        return;
    }
}

static void run(struct world *world)
{
    int steps = chance(world, STEPS_MOST);

    for (int i = 0; i < steps && !*world->problem; i++)
        step(world);
    say(world, "all is well from now on");
    world->calm = true;
    world->outage_until_ms = 0;
    for (int i = 0; i < world->instance_count; i++)
        world->instances[i].cut_until_ms = 0;
    for (int i = 0; !*world->problem && !(all_acked(world) && all_idle(world)); i++) {
        if (i == STEPS_TO_CALM)
            complain(world, "there is no end");
        step(world);
    }
    check_end(world);
}

static bool run_seed(uint64_t seed, bool verbose)
{
    struct world world;

    open_world(&world, seed, verbose);
    say(&world, "seed %" PRIu64 ": %d instances, %d notices, kind %d, faults %u", seed,
        world.instance_count, world.notice_count, (int)world.kind, world.faults);
    run(&world);
    account.schedules++;
    if (*world.problem)
        print_error("SR3SUB_SEED=%" PRIu64 ": %s (faults %u)\n", seed, world.problem, world.faults);
    close_world(&world);
    return !*world.problem;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void promises_hold_under_chance(void **state)
{
    uint64_t schedules = number_from("SR3SUB_SCHEDULES", SCHEDULES);
    size_t bad = 0;

    (void)state;
    if (getenv("SR3SUB_SEED")) {
        assert_true(run_seed(number_from("SR3SUB_SEED", 0), true));
        return;
    }
    for (uint64_t seed = 1; seed <= schedules && bad < 5; seed++)
        bad += !run_seed(seed, false);
    print_message("%zu schedules: %zu fetched, %zu placed, %zu duplicates, %zu older, %zu busy, "
                  "%zu lost, %zu deaths, %zu stops; %zu times an older version came on top, %zu "
                  "times for good\n",
                  account.schedules, account.fetched, account.placed, account.duplicates,
                  account.older, account.busy, account.lost, account.deaths, account.stops,
                  account.moments, account.holes);
    assert_int_equal(bad, 0);
    if (schedules == SCHEDULES)
        assert_true(account.busy && account.older && account.duplicates && account.lost
                    && account.refetched && account.moments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_hold_under_chance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
