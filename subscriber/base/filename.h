/*
 * The local name of a file by a filename keyword of sr3, which has them from Sundew: specs joined
 * with ':', applied from left to right.
 *
 *     None             the name as announced
 *     WHATFN           its first part (parts are what ':' separates)
 *     HEADFN           the first two fields of that part ('_' separates fields)
 *     SENDER           what follows "SENDER=" in it
 *     NONE             without ":SENDER=...", and at most six parts
 *     NONESENDER       everything up to and including ":SENDER=..."
 *     TIME             ":" and the time of publication behind it
 *     SATNET=x         ":SATNET=x" behind it
 *     DESTFN=name      that name
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* False and ERROR_OPERATOR, naming the spec and what is possible, for what is no such keyword. */
bool filename_check(const char *keyword, struct error *err) MUST_CHECK;

/*
 * The new name, in `arena` or `name` itself. `extension`: what replaces all parts but the first
 * beforehand (NULL: nothing does); `pub_time`: YYYYMMDD[T]HHMMSS... of the announcement. `keyword`
 * is a checked one. What comes out may still be no usable name, "" or "a/b".
 */
const char *filename_apply(struct arena *arena, const char *keyword, const char *name,
                           const char *extension, const char *pub_time) MUST_CHECK;
