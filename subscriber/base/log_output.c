/*
 * Standard output is shared with others, so it must not be made non-blocking for all of them: it is
 * opened anew for ourselves. Where that is not allowed (a pipe of another user), poll() says
 * whether there is room for PIPE_BUF bytes, and no more than that is written.
 */
#include "base/log_output.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAST_WAIT_MS 1000

void log_output_open(struct log_output *output, int fd, bool ours)
{
    struct stat status;
    char *path;
    int own = -1;

    *output = (struct log_output){.fd = fd, .ours = ours};
    output->patient = fstat(fd, &status) || S_ISREG(status.st_mode);
    if (output->patient || ours || !(S_ISFIFO(status.st_mode) || isatty(fd)))
        return;
    path = memory_format("/proc/self/fd/%d", fd);
    own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    free(path);
    if (own < 0)
        return;
    output->fd = own;
    output->ours = output->nonblock = true;
}

/* As write(), but never waits for a reader: EAGAIN. */
static ssize_t write_some(const struct log_output *output, const char *bytes, size_t length)
{
    struct pollfd room = {.fd = output->fd, .events = POLLOUT};
    ssize_t written;

    if (output->patient || output->nonblock)
        return write(output->fd, bytes, length);
    if (poll(&room, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    length = length < PIPE_BUF ? length : PIPE_BUF;
    written = send(output->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK)
        written = write(output->fd, bytes, length);
    return written;
}

/* How many bytes are done with. A log that cannot be written must not stop the work: -1 drops. */
static ssize_t write_all(const struct log_output *output, const char *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t written = write_some(output, bytes + done, length - done);

        if (written < 0 && errno == EAGAIN)
            break;
        if (written < 0 && errno != EINTR)
            return -1;
        done += written > 0 ? (size_t)written : 0;
    }
    return (ssize_t)done;
}

static int64_t count_lines(const char *bytes, size_t length)
{
    int64_t lines = 0;

    for (const char *end = bytes + length;
         (bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL; bytes++)
        lines++;
    return lines;
}

void log_output_drain(struct log_output *output)
{
    size_t length = output->kept_to - output->kept_from;
    ssize_t done;

    if (!length)
        return;
    done = write_all(output, output->kept + output->kept_from, length);
    if (done < 0)
        output->dropped += count_lines(output->kept + output->kept_from, length);
    output->kept_from += done < 0 ? length : (size_t)done;
    if (output->kept_from == output->kept_to) {
        output->kept_from = output->kept_to = 0;
        free(output->kept); /* it is seldom needed */
        output->kept = NULL;
    }
}

/* Keeps whole lines as long as there is room; a line that was begun always has its end kept. */
static void keep(struct log_output *output, const char *bytes, size_t length)
{
    size_t fits;

    if (!output->kept)
        output->kept = memory_new(LOG_KEPT_MAX);
    if (output->kept_to + length > LOG_KEPT_MAX && output->kept_from) {
        memmove(output->kept, output->kept + output->kept_from,
                output->kept_to - output->kept_from);
        output->kept_to -= output->kept_from;
        output->kept_from = 0;
    }
    fits = LOG_KEPT_MAX - output->kept_to;
    fits = length < fits ? length : fits;
    while (fits < length && fits && bytes[fits - 1] != '\n')
        fits--;
    memcpy(output->kept + output->kept_to, bytes, fits);
    output->kept_to += fits;
    output->dropped += count_lines(bytes + fits, length - fits);
}

void log_output_write(struct log_output *output, const char *lines, size_t length)
{
    ssize_t done = 0;

    log_output_drain(output);
    if (!output->kept)
        done = write_all(output, lines, length);
    if (done < 0)
        output->dropped += count_lines(lines, length);
    else if ((size_t)done < length)
        keep(output, lines + done, length - (size_t)done);
}

int64_t log_output_take_dropped(struct log_output *output)
{
    int64_t dropped = output->kept ? 0 : output->dropped;

    output->dropped -= dropped;
    return dropped;
}

void log_output_close(struct log_output *output)
{
    int64_t deadline_ms = clock_now_ms() + LAST_WAIT_MS;
    struct pollfd room = {.fd = output->fd, .events = POLLOUT};
    int tries = LAST_WAIT_MS / 100; /* should the clock stand still */

    log_output_drain(output);
    while (output->kept && clock_now_ms() < deadline_ms && tries--) {
        poll(&room, 1, 100);
        log_output_drain(output);
    }
    free(output->kept);
    if (output->ours)
        close(output->fd);
    *output = (struct log_output){.fd = -1};
}
