/*
 * The command that removes the file of a URL, as its server wants to hear it.
 *
 * Part of download.c.
 */
#pragma once

#include "base/memory.h"

#include <stdbool.h>

/*
 * For ftp "DELE name", to be said in the directory of the file; for sftp "rm "path"", as curl reads
 * it. Allocated; NULL: the URL has no path that could stand in a command.
 */
char *removal_print(const char *url) MUST_CHECK;

/* The URL without the path, as "sftp://host/": there is nothing to look for. Allocated. */
char *removal_print_server(const char *url) MUST_CHECK;
