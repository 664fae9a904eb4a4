/*
 * health: whether one instance is doing its work, from its metrics file alone, so that asking costs
 * nothing and needs no network. For the health check of a container.
 */
#include "commands/status_parts.h"

#include "base/clock.h"

static bool refuse_stale(const struct config *config, double age_s, struct error *err)
{
    return error_set(err, ERROR_TEMPORARY,
                     "'%s' was written %.0f s ago and should be every %.0f s: the instance has "
                     "ended or hangs",
                     config->metrics_path, age_s, (double)config->metrics_write_interval_ms / 1000);
}

bool health_run(const struct config *config, struct error *err)
{
    double now_s = clock_wall_s();
    double limit_s = (double)config->health_stuck_ms / 1000;
    struct status_sample sample;

    if (!status_sample_read(config->metrics_path, &sample, err))
        return false;
    if (!status_is_fresh(config, &sample, now_s))
        return refuse_stale(config, now_s - sample.written_s, err);
    if (sample.stop_requested)
        return error_set(err, ERROR_TEMPORARY, "the instance was told to stop");
    if (!sample.connected)
        return error_set(err, ERROR_TEMPORARY, "not connected to the broker");
    if (limit_s > 0 && sample.open > 0 && sample.progress_last_s > 0
        && now_s - sample.progress_last_s > limit_s)
        return error_set(err, ERROR_TEMPORARY,
                         "stuck: %.0f announcements are open and none was settled for %.0f s",
                         sample.open, now_s - sample.progress_last_s);
    return true;
}
