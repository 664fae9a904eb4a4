/*
 * What is removed once a file is placed and confirmed: itself (delete_destination), and the file
 * that was announced, where it came from (delete, delete_source).
 *
 * Nothing is lost whatever becomes of it. What fails for now is tried a few times; then the file
 * stays where it is, and the announcement is acked all the same. It stays, too, when the process
 * dies just then: an announcement that comes again is known to be placed, and by then there may be
 * another file of that name.
 */
#include "flow_work.h"

#include "base/backoff.h"
#include "logins.h"
#include "settings/config.h"

#include <string.h>

#define TRIES    3
#define FIRST_MS 1000
#define MOST_MS  60000 /* the delivery is open meanwhile */

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* http has no way to remove a file that servers would follow. */
static bool is_to_be_cleared(const struct flow *flow, const struct job *job)
{
    const char *url = job->fetch_url;

    if (job->fate != FATE_PLACED || !url)
        return false;
    if (flow->config->delete_source && begins(url, "file:"))
        return true;
    return flow->config->delete_remote && !job->from_content && !begins(url, "http");
}

static void clear_source(struct flow *flow, struct job *job)
{
    struct download_request request = {
        .url = job->fetch_url,
        .login = logins_find(flow->logins, job->announcement.base_url),
        .validator_s = job->from_content ? 0 : job->modified_s,
        .remove = true,
    };

    job->clearing = true;
    job->transfer = download_start(flow->download, &request, job);
}

static void clear_destination(struct flow *flow, struct job *job)
{
    job->clearing = false;
    if (flow->config->delete_destination && job->op == JUDGE_DOWNLOAD && !job->kept)
        flow_begin_removal(flow, job);
    else
        flow_finish(flow, job);
}

void flow_clear_up(struct flow *flow, struct job *job)
{
    if (is_to_be_cleared(flow, job))
        clear_source(flow, job);
    else
        clear_destination(flow, job);
}

void flow_take_cleared(struct flow *flow, struct job *job, const struct download_result *result)
{
    const struct error *err = result->fetched || result->gone ? NULL : &result->err;
    int64_t delay_ms = backoff_ms(job->clearing_tries + 1, FIRST_MS, MOST_MS);

    if (delay_ms < result->retry_after_ms)
        delay_ms = result->retry_after_ms;
    if (err && err->kind == ERROR_TEMPORARY && ++job->clearing_tries < TRIES && !flow->stopping) {
        deadline_set(flow->deadlines, &job->deadline, delay_ms < MOST_MS ? delay_ms : MOST_MS);
        return;
    }
    report_cleared(flow->report, job, err);
    clear_destination(flow, job);
}

void flow_leave_source(struct flow *flow, struct job *job)
{
    struct error err = {0};

    if (!job->clearing)
        return;
    if (job->transfer)
        download_cancel(job->transfer);
    job->transfer = NULL;
    deadline_clear(flow->deadlines, &job->deadline);
    error_set(&err, ERROR_TEMPORARY, "there was no time left to remove it");
    report_cleared(flow->report, job, &err);
    clear_destination(flow, job);
}
