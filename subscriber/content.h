/*
 * The bytes of a file that came with its announcement.
 *
 * `encoding` says how they were made a text: "base64"; "gzip", which is base64 of a gzip stream (as
 * in the WIS2 notification message); or else the name of the character set that the text is to be
 * written in: "utf-8", "iso-8859-1" and a few more. Format: sr_post(7), content.
 *
 * What cannot be read is no reason to give up the announcement: the file is fetched then.
 */
#pragma once

#include "announcement.h"

#define CONTENT_SIZE_MAX (16 << 20)

/*
 * Reads them anew at each call; `bytes` is allocated, with a NUL behind it, and the caller's.
 * `size_max`: no more than that, and never more than CONTENT_SIZE_MAX; 0: no limit but that. False,
 * and ERROR_PERMANENT, for content that is not there, makes no sense, is too large, or is not of
 * the announced size.
 */
bool announcement_decode_content(const struct announcement *announcement, int64_t size_max,
                                 char **bytes, size_t *length, struct error *err) MUST_CHECK;
