/*
 * Regular expressions as operators write them for sr3, that is as Python's `re` reads them.
 *
 * Patterns come from the operator, the texts they are held against from strangers. Every search has
 * limits, so none can stall the loop: one that runs into them counts as no match.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct pattern;
struct pattern_matcher;

enum pattern_anchor {
    PATTERN_AT_START, /* matches at the start of the text only: Python's re.match */
    PATTERN_ANYWHERE  /* Python's re.search */
};

/*
 * NULL and ERROR_OPERATOR when it does not compile. `option` is named in the text:
 * `reject pattern 'x(y', character 4: missing closing parenthesis`.
 */
struct pattern *pattern_compile(const char *option, const char *text, enum pattern_anchor anchor,
                                struct error *err) MUST_CHECK;
void pattern_free(struct pattern *pattern); /* NULL is fine */

/* How many groups it has, without the whole match. */
size_t pattern_groups(const struct pattern *pattern);

/* What matching needs besides the pattern; for patterns of up to `groups` groups, one thread. */
struct pattern_matcher *pattern_matcher_new(size_t groups) MUST_CHECK;
void pattern_matcher_free(struct pattern_matcher *matcher); /* NULL is fine */

enum pattern_outcome { PATTERN_NO_MATCH, PATTERN_MATCH, PATTERN_TOO_LONG };

/*
 * Looks for `pattern` in `text`, which is UTF-8, from byte `start` on. PATTERN_TOO_LONG: a limit
 * was reached; `err` (ERROR_OPERATOR) says which.
 */
enum pattern_outcome pattern_match(struct pattern_matcher *matcher, struct pattern *pattern,
                                   const char *text, size_t length, size_t start,
                                   struct error *err) MUST_CHECK;

/*
 * Where the last match begins and ends, in pairs: the whole, then each group. PATTERN_UNSET for a
 * group that took no part. Valid until the next match.
 */
#define PATTERN_UNSET (~(size_t)0)
const size_t *pattern_offsets(const struct pattern_matcher *matcher);
