/*
 * Answers of HTTP servers: which of their bytes are the file, and what an answer means.
 *
 * Part of download.c.
 */
#pragma once

#include "stages/fetcher.h"

/* For curl: of a fetcher. */
size_t answer_on_header(char *line, size_t size, size_t count, void *fetcher);
size_t answer_on_body(char *bytes, size_t size, size_t count, void *fetcher);

/*
 * The transfer of `fetcher` has ended with `code`: fills its result and says what that means for
 * its host. False: the rest of a file is not to be had, and nothing was handed over; the whole file
 * must be asked for.
 */
bool answer_finish(struct fetcher *fetcher, CURLcode code, enum host_news *news) MUST_CHECK;
