/*
 * Where log lines are written. A file takes them at once; a pipe, a terminal or a socket takes what
 * its reader makes room for, and never makes the program wait: what does not fit is kept, up to
 * LOG_KEPT_MAX bytes, and lines beyond that are dropped and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_KEPT_MAX (1 << 20)

struct log_output {
    int fd;
    bool ours;     /* to be closed */
    bool patient;  /* a regular file: writing does not wait for anybody */
    bool nonblock; /* it was opened so; otherwise the room is asked for */
    char *kept;
    size_t kept_from, kept_to;
    int64_t dropped; /* lines */
};

/* `fd` stays open until log_output_close(); with `ours` that closes it. */
void log_output_open(struct log_output *output, int fd, bool ours);

/* Writes whole lines, or keeps them. */
void log_output_write(struct log_output *output, const char *lines, size_t length);

/* Writes of what was kept what there is room for. */
void log_output_drain(struct log_output *output);

/* How many lines were dropped, once there is room again; then the count restarts. */
int64_t log_output_take_dropped(struct log_output *output);

/* Waits a moment for the reader when there are lines left. */
void log_output_close(struct log_output *output);
