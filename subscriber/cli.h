/*
 * The commands.
 *
 *     sr3sub foreground subscribe/NAME [--no K] [--option value ...]
 *     sr3sub foreground --config subscribe/NAME.conf --logStdout --no K
 *     sr3sub show subscribe/NAME [--json] [--defaults]
 *     sr3sub check [subscribe/NAME ...]
 *     sr3sub explain subscribe/NAME [--text]
 *     sr3sub convert subscribe/NAME
 *     sr3sub setup [subscribe/NAME ...]
 *     sr3sub cleanup subscribe/NAME ... [--dangerWillRobinson=N]
 *     sr3sub retry list|drop|now subscribe/NAME [PATTERN] [--json]
 *     sr3sub status [subscribe/NAME ...] [--watch] [--json]
 *     sr3sub health subscribe/NAME [--no K]
 *     sr3sub options [--markdown | --bash]
 *
 * Exit status: 0 the subscription was stopped and left cleanly; 1 it could not begin (broken
 * configuration, unusable directory), the reason is on standard error; 2 wrong usage. Of `check`: 1
 * there are errors; of `explain`: 1 there were lines that are not JSON; of `setup`, `cleanup` and
 * `retry`: 1 not all of it could be done; of `status`: 1 there is nothing of that name; of
 * `health`: 1 the instance is not well.
 */
#pragma once

enum cli_status { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* Runs the command in `argv`. */
enum cli_status cli_run(int argc, char **argv);
