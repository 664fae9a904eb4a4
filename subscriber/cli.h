/*
 * The commands. So far: foreground, options.
 *
 *     sr3sub foreground subscribe/NAME [--no K] [--option value ...]
 *     sr3sub foreground --config subscribe/NAME.conf --logStdout --no K
 *     sr3sub options [--markdown | --bash]
 *
 * Exit status: 0 the subscription was stopped and left cleanly; 1 it could not begin (broken
 * configuration, unusable directory), the reason is on standard error; 2 wrong usage.
 */
#pragma once

enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2
};

/* Runs the command in `argv`. */
enum cli_status cli_run(int argc, char **argv);
