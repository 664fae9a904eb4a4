/*
 * Accept and reject rules in file order, each with its directory.
 *
 * Patterns are Perl-compatible, matched from the start of the URL and not to its end, as Python's
 * re.match does; the first rule that matches decides. A pattern that needs too many steps counts
 * as not matching and is named in the log, so that none can stall the loop.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct filter;
struct announcement;

struct filter_rule {
    bool accept;
    const char *pattern;
    const char *directory; /* absolute */
    const char *file;      /* where the rule stands */
    int line;
};

struct filter_settings {
    const struct filter_rule *rules;
    size_t rule_count;
    bool accept_unmatched; /* fate of what no rule matches */
    const char *directory; /* absolute; of what no rule matches */
    bool mirror;           /* recreate the announced directories below the rule's */
};

struct filter_verdict {
    bool accepted;
    const struct filter_rule *rule; /* that decided; NULL: none matched */
    const char *directory;          /* the file goes to this directory ... */
    const char *path;               /* ... under this relative path; in the arena passed in */
};

/* `settings` is copied. NULL when a pattern does not compile: the error names file and line. */
struct filter *filter_open(const struct filter_settings *settings, struct error *err) MUST_CHECK;
void filter_close(struct filter *filter); /* NULL is fine */

/*
 * Decides about an announcement, and where an accepted one goes. False, with an error of kind
 * ERROR_PERMANENT, when it is accepted but has no safe destination: no file name, "..", a NUL.
 */
bool filter_match(struct filter *filter, struct announcement *announcement,
                  struct filter_verdict *verdict, struct error *err) MUST_CHECK;
