/* Reads metrics files. They are written by other programs too, and may be found half written. */
#include "commands/status_parts.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1 << 20)
#define NUMBER_MAX    1e18

enum field_kind { NUMBER, FLAG, TIME };

static const struct field {
    const char *member, *name;
    enum field_kind kind;
    size_t offset;
} fields[] = {
#define FIELD(member_, name_, kind_, field_)                                                       \
    {                                                                                              \
        member_, name_, kind_, offsetof(struct status_sample, field_)                              \
    }
    FIELD("flow", "stop_requested", FLAG, stop_requested),
    FIELD("flow", "last_housekeeping", NUMBER, period_began_s),
    FIELD("flow", "transferConnectTime", NUMBER, transfer_connect_s),
    FIELD("flow", "transferRxBytes", NUMBER, transfer_rx_bytes),
    FIELD("flow", "transferTxBytes", NUMBER, transfer_tx_bytes),
    FIELD("flow", "transferRxFiles", NUMBER, transfer_rx_files),
    FIELD("flow", "transferTxFiles", NUMBER, transfer_tx_files),
    FIELD("flow", "transferRxLast", TIME, transfer_last_s),
    FIELD("flow", "transferTxLast", TIME, transfer_last_s),
    FIELD("flow", "cpuTime", NUMBER, cpu_s),
    FIELD("gather.message", "connected", FLAG, connected),
    FIELD("gather.message", "disconnectTime", NUMBER, disconnect_s),
    FIELD("gather.message", "rxByteCount", NUMBER, rx_bytes),
    FIELD("gather.message", "rxGoodCount", NUMBER, rx_good),
    FIELD("gather.message", "rxBadCount", NUMBER, rx_bad),
    FIELD("gather.message", "rxLast", TIME, message_last_s),
    FIELD("gather.message", "brokerQueuedMessageCount", NUMBER, queued),
    FIELD("post.message", "txByteCount", NUMBER, tx_bytes),
    FIELD("post.message", "txGoodCount", NUMBER, tx_good),
    FIELD("post.message", "txBadCount", NUMBER, tx_bad),
    FIELD("post.message", "txLast", TIME, message_last_s),
    FIELD("retry", "msgs_in_download_retry", NUMBER, retries),
    FIELD("retry", "msgs_in_post_retry", NUMBER, retries),
    FIELD("log", "lagMax", NUMBER, lag_max_s),
    FIELD("log", "lagTotal", NUMBER, lag_total_s),
    FIELD("log", "lagMessageCount", NUMBER, lag_messages),
    FIELD("log", "rejectCount", NUMBER, rejects),
    FIELD("sr3sub", "inFlight", NUMBER, open),
    FIELD("sr3sub", "pausedVip", FLAG, waits_vip),
    FIELD("sr3sub", "progressLast", NUMBER, progress_last_s),
#undef FIELD
};

/* Numbers of one field add up; of times, the latest counts. Nonsense counts as nothing. */
static void take(const struct field *field, const json_t *value, struct status_sample *sample)
{
    void *slot = (char *)sample + field->offset;
    double number = json_number_value(value);
    int64_t wall_ns;

    if (field->kind == FLAG)
        *(bool *)slot = json_is_true(value);
    else if (field->kind == NUMBER && isfinite(number) && number > 0 && number < NUMBER_MAX)
        *(double *)slot += number;
    else if (field->kind == TIME && json_is_string(value)
             && clock_parse(json_string_value(value), &wall_ns))
        *(double *)slot = fmax(*(double *)slot, (double)wall_ns / NS_PER_S);
}

static bool parse(const char *text, size_t length, const char *path, struct status_sample *sample,
                  struct error *err)
{
    json_error_t problem;
    json_t *object = json_loadb(text, length, 0, &problem);

    if (!json_is_object(json_object_get(object, "flow"))
        && !json_is_object(json_object_get(object, "gather.message"))) {
        error_set(err, ERROR_TEMPORARY, "read metrics file '%s': %s", path,
                  object ? "it has none of the members of a metrics file" : problem.text);
        json_decref(object);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        take(&fields[i], json_object_get(json_object_get(object, fields[i].member), fields[i].name),
             sample);
    sample->ours = json_object_get(object, "sr3sub") != NULL;
    json_decref(object);
    return true;
}

static bool read_open_file(int fd, const char *path, struct status_sample *sample,
                           struct error *err)
{
    struct stat status;
    char *text;
    ssize_t length;
    bool parsed;

    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_size > FILE_SIZE_MAX)
        return error_set(err, ERROR_OPERATOR, "read metrics file '%s': it is none", path);
    text = memory_new((size_t)status.st_size + 1);
    length = pread(fd, text, (size_t)status.st_size, 0);
    *sample = (struct status_sample){.written_s = (double)status.st_mtim.tv_sec
                                                  + (double)status.st_mtim.tv_nsec / NS_PER_S};
    parsed = length < 0 ? error_set(err, ERROR_OPERATOR, "read metrics file '%s': %m", path)
                        : parse(text, (size_t)length, path, sample, err);
    free(text);
    return parsed;
}

bool status_sample_read(const char *path, struct status_sample *sample, struct error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool done;

    if (fd < 0)
        return error_set(err, ERROR_OPERATOR, "read metrics file '%s': %s", path, strerror(errno));
    done = read_open_file(fd, path, sample, err);
    close(fd);
    return done;
}
