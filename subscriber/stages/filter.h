/*
 * Accept and reject rules in file order, each with its directory.
 *
 * Patterns are Perl-compatible, matched from the start of the URL and not to its end, as Python's
 * re.match does; the first rule that matches decides. A pattern that needs too many steps counts
 * as not matching and is named in the log, so that none can stall the loop.
 */
#pragma once

#include "stages/destination.h"

struct filter;

struct filter_rule {
    bool accept;
    const char *pattern;
    struct destination_target target; /* of an accept rule */
    const char *file;                 /* where the rule stands */
    int line;
};

struct filter_settings {
    const struct filter_rule *rules;
    size_t rule_count;
    bool accept_unmatched;               /* fate of what no rule matches ... */
    struct destination_target unmatched; /* ... and where it goes */
    struct destination_settings destination;
};

struct filter_verdict {
    bool accepted;
    const struct filter_rule *rule; /* that decided, without its target; NULL: none matched */
    const char *directory;          /* the file goes to this directory, absolute ... */
    const char *path;               /* ... under this relative path, clean */
};

/*
 * `settings` is copied. NULL when a pattern does not compile or a target makes no sense: the error
 * names file and line.
 */
struct filter *filter_open(const struct filter_settings *settings, struct error *err) MUST_CHECK;
void filter_close(struct filter *filter); /* NULL is fine */

/*
 * Decides about an announcement, and where an accepted one goes; fills its file_op.link_key. False,
 * with an error of kind ERROR_PERMANENT, when it is accepted but has no safe destination: no file
 * name, "..". Texts of the verdict live as long as the announcement and the filter.
 */
bool filter_match(struct filter *filter, struct announcement *announcement,
                  struct filter_verdict *verdict, struct error *err) MUST_CHECK;

/*
 * The same for another path that the announcement mentions, a former name or what a hard link is
 * made to: what was decided, and where it went, if it was announced at the same base_url.
 */
bool filter_map_path(struct filter *filter, struct announcement *announcement, const char *path,
                     struct filter_verdict *verdict, struct error *err) MUST_CHECK;

/* The path under which a placed file is announced again (destination_post_path()). */
const char *filter_post_path(struct filter *filter, struct announcement *announcement,
                             const struct filter_verdict *verdict) MUST_CHECK;
