/*
 * What is done with a job whose claim is held: looked for on disk, fetched, placed.
 *
 * Between the last byte and the rename stands one more question: is the claim surely ours? What is
 * not, waits; it is pinned from there on.
 */
#include "flow_work.h"

#include "base/log.h"
#include "content.h"
#include "logins.h"
#include "settings/config.h"

#include <stdlib.h>

#define SURE_AGAIN_MS 50
#define INLINE_MAX    (1 << 20) /* larger content is not unpacked on the loop, but fetched */

static struct writer_plan plan_of(const struct flow *flow, const struct job *job)
{
    return judge_plan(flow->config, &job->announcement, &job->destination);
}

/* What cannot be renamed or linked to is fetched, too. */
static bool may_be_fetched(const struct job *job)
{
    return job->op == JUDGE_DOWNLOAD || job->op == JUDGE_RENAME || job->op == JUDGE_HLINK;
}

void flow_discard(struct flow *flow, struct job *job)
{
    struct writer_plan plan = plan_of(flow, job);

    if (may_be_fetched(job))
        writer_discard(flow->writer, &plan);
}

int64_t flow_pause_ms(const struct flow *flow, const struct job *job, enum flow_wait *where)
{
    int64_t disk_ms = writer_pause_ms(flow->writer, job->destination.directory);

    if (disk_ms > 0) {
        *where = FLOW_WAIT_IN_HAND;
        return disk_ms;
    }
    return job->op == JUDGE_DOWNLOAD && job->fetch_url
               ? download_pause_ms(flow->download, job->fetch_url)
               : 0;
}

/* ---- beginning ---- */

static bool begin_content(struct flow *flow, struct job *job)
{
    int64_t most_bytes = flow->config->file_size_max_bytes;
    struct writer_plan plan = plan_of(flow, job);
    struct error err = {0};
    char *bytes;
    size_t length;

    job->from_content = false;
    if (!job->announcement.has_content || job->content_failed)
        return false;
    if (most_bytes <= 0 || most_bytes > INLINE_MAX)
        most_bytes = INLINE_MAX;
    if (!announcement_decode_content(&job->announcement, most_bytes, &bytes, &length, &err)) {
        log_debug("sr3sub.content decode", "%s: %s; it is fetched", job->announcement.rel_path,
                  err.text);
        job->content_failed = true;
        return false;
    }
    job->from_content = true;
    job->from_byte = 0;
    plan.size_bytes = (int64_t)length;
    plan.has_size = true;
    job->file = writer_begin(flow->writer, &plan, job);
    writer_probe_late(job->file);
    writer_append(job->file, bytes, length); /* an empty file takes any size */
    free(bytes);
    job_advance(job, JOB_FETCHED);
    flow_go_on_surely(flow, job);
    return true;
}

void flow_begin_file(struct flow *flow, struct job *job)
{
    struct writer_plan plan = plan_of(flow, job);

    if (begin_content(flow, job))
        return;
    job->from_byte = 0;
    job->file = writer_begin(flow->writer, &plan, job);
    writer_probe(job->file);
}

void flow_done(struct flow *flow, struct job *job)
{
    if (job->state == JOB_CLAIMED)
        job_advance(job, JOB_FETCHED);
    job_advance(job, JOB_PLACED);
    flow_confirm(flow, job);
}

void flow_begin(struct flow *flow, struct job *job)
{
    job_advance(job, JOB_CLAIMED);
    if (!job->tries && !job->begun)
        report_accepted(flow->report, job);
    job->begun = true;
    job->busy_tries = job->tries_in_row = 0;
    if (job->op == JUDGE_DOWNLOAD)
        flow_begin_file(flow, job);
    else if (job->op == JUDGE_NOTHING)
        flow_done(flow, job);
    else
        flow_begin_event(flow, job);
}

/* ---- what is there already ---- */

static void start_transfer(struct flow *flow, struct job *job, const struct writer_probed *probed)
{
    struct download_request request = {
        .url = job->fetch_url,
        .login = logins_find(flow->logins, job->announcement.base_url),
        .from_byte = probed->from_byte,
        .validator_s = probed->last_modified_s,
        .size_max_bytes = flow->config->file_size_max_bytes,
        .announced_bytes = flow->config->accept_size_wrong ? 0 : job->announcement.size_bytes,
    };

    job->transfer = download_start(flow->download, &request, job);
}

/* What is there stays, and is as good as placed: older versions are kept off it from now on. */
static void keep_existing(struct flow *flow, struct job *job, int code, const char *reason)
{
    report_rejected(flow->report, job, code, reason);
    job->kept = true;
    job->file = NULL;
    flow_done(flow, job);
}

/* The disk as a whole takes nothing: no try is counted, and the broker keeps what waits. */
static void wait_for_room(struct flow *flow, struct job *job)
{
    int64_t pause_ms = writer_pause_ms(flow->writer, job->destination.directory);

    flow_try_later(flow, job, pause_ms, FLOW_WAIT_IN_HAND);
}

static void take_probed(struct flow *flow, const struct writer_probed *probed)
{
    struct job *job = probed->ticket;

    switch (probed->advice) {
    case WRITER_FETCH:
        start_transfer(flow, job, probed);
        break;
    case WRITER_KEEP:
        keep_existing(flow, job, probed->code, probed->reason);
        break;
    case WRITER_REFUSED:
        job->file = NULL;
        report_disk_failure(flow->report);
        if (probed->outcome == WRITER_NO_ROOM)
            wait_for_room(flow, job);
        else
            flow_settle_failure(flow, job, &probed->err, false, -1);
        break;
    }
}

/* ---- fetch ---- */

void flow_receive_answer(void *ticket, int64_t from_byte, int64_t last_modified_s)
{
    struct job *job = ticket;

    job->from_byte = from_byte;
    job->modified_s = last_modified_s;
    writer_continue(job->file, from_byte, last_modified_s);
}

enum download_flow flow_receive_bytes(void *ticket, const char *bytes, size_t length)
{
    struct job *job = ticket;

    if (writer_has_failed(job->file))
        return DOWNLOAD_STOP;
    return writer_append(job->file, bytes, length) ? DOWNLOAD_GO_ON : DOWNLOAD_PAUSE;
}

static void place_surely(struct flow *flow, struct job *job)
{
    bool open = flow->config->nodupe_fail == CONFIG_FAIL_OPEN && store_failure(flow->store);

    if (!open && !dedupe_is_sure(&job->claim)) {
        deadline_set(flow->deadlines, &job->deadline, SURE_AGAIN_MS);
        return;
    }
    dedupe_pin(&job->claim);
    writer_finish(job->file, job->fingerprint, open ? NULL : &job->claim.sure_until_ms);
    job->file = NULL;
}

void flow_go_on_surely(struct flow *flow, struct job *job)
{
    if (job->state == JOB_FETCHED)
        place_surely(flow, job);
    else if (flow_is_unwanted(flow, job))
        flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
    else
        flow_begin_event(flow, job);
}

static void take_failed(struct flow *flow, struct job *job, const struct download_result *result)
{
    if (result->gone)
        writer_cancel(job->file);
    else
        writer_suspend(job->file);
    job->file = NULL;
    if (result->untried)
        flow_try_later(flow, job, result->retry_after_ms, FLOW_WAIT_ANYWHERE);
    else if (flow_may_repeat(flow, job, result))
        flow_begin_file(flow, job);
    else
        flow_settle_failure(flow, job, &result->err, result->gone, result->retry_after_ms);
}

static void take_finished(struct flow *flow, const struct download_result *result)
{
    struct job *job = result->ticket;

    job->transfer = NULL;
    if (job->state == JOB_CONFIRMED) {
        flow_take_cleared(flow, job, result);
        return;
    }
    report_transfer(flow->report, result);
    job->fetch_ms = result->duration_ms;
    if (result->fetched || writer_has_failed(job->file)) { /* which is finished for the reason */
        job_advance(job, JOB_FETCHED);
        place_surely(flow, job);
    } else {
        take_failed(flow, job, result);
    }
}

void flow_fetch(struct flow *flow)
{
    struct download_result result;
    struct writer_probed probed;
    void *ticket;

    while (writer_take_probed(flow->writer, &probed))
        take_probed(flow, &probed);
    while (writer_take_drained(flow->writer, &ticket)) {
        struct job *job = ticket;

        if (job->transfer)
            download_resume(job->transfer);
    }
    download_step(flow->download);
    while (download_take_finished(flow->download, &result))
        take_finished(flow, &result);
}

/* ---- place ---- */

/* Other bytes than announced. The same ones again: the file has changed, and is not wanted so. */
static void take_mismatch(struct flow *flow, struct job *job, const struct writer_result *result)
{
    memory_replace(&job->fingerprint, memory_copy(result->fingerprint));
    if (job->from_content) {
        job->content_failed = true;
        flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
    } else if (!result->changed) {
        flow_settle_mismatch(flow, job, &result->err);
    } else if (flow->config->identity_mismatch == WRITER_MISMATCH_REJECT) {
        flow_give_up_for_good(flow, job, &result->err);
    } else {
        flow_settle_failure(flow, job, &result->err, false, -1);
    }
}

static void take_placed(struct flow *flow, struct job *job, const struct writer_result *result)
{
    job->mismatch_accepted = result->changed;
    report_placed(flow->report, job, result);
    flow_done(flow, job);
}

static void take_result(struct flow *flow, const struct writer_result *result)
{
    struct job *job = result->ticket;

    switch (result->outcome) {
    case WRITER_PLACED:
        take_placed(flow, job, result);
        break;
    case WRITER_KEPT:
        keep_existing(flow, job, result->code, result->reason);
        break;
    case WRITER_MISMATCH:
        take_mismatch(flow, job, result);
        break;
    case WRITER_LATE:
        report_late(flow->report, &result->err);
        flow_try_later(flow, job, 0, FLOW_WAIT_ANYWHERE);
        break;
    case WRITER_NO_ROOM:
        report_disk_failure(flow->report);
        wait_for_room(flow, job);
        break;
    case WRITER_FAILED:
        report_disk_failure(flow->report);
        flow_settle_failure(flow, job, &result->err, false, -1);
        break;
    }
}

void flow_place(struct flow *flow)
{
    struct writer_result result;

    writer_step(flow->writer);
    while (writer_take_result(flow->writer, &result))
        take_result(flow, &result);
    flow_take_events(flow);
}
