/*
 * Where the file of an announcement goes: sr3's algorithm, step by step, with what must not be
 * copied from it left out (the manual: "Where files go").
 *
 * The result is a directory that only the operator has a say in, and a clean path below it. No
 * announcement, whatever it holds, leads out of that directory.
 *
 * Part of the filter, which knows the rule that decides and what its pattern matched.
 */
#pragma once

#include "stages/template.h"

struct destination;
struct destination_rule;

struct destination_settings {
    struct template_settings variables;
    bool mirror;            /* the announced directories are made below the rule's */
    bool base_url_rel_path; /* the path of base_url is part of the announced path */
    bool ignore_rename;     /* the announcement's `rename` does not count: download is off */
};

/* What accept lines capture of the options above them. NULL: not set. */
struct destination_target {
    const char *directory; /* NULL: post_base_dir, else the current directory */
    const char *strip;     /* a count of directories, or a pattern whose first match is removed */
    const char *flatten;   /* what takes the place of '/' in the file's name; "/": nothing does */
    const char *filename;  /* a keyword of base/filename.h */
};

struct destination_place {
    const char *directory; /* absolute; lives in the rule or in the announcement's arena */
    const char *path;      /* below it, clean; in the arena */
};

/* Texts are copied. NULL and ERROR_OPERATOR for a post_base_dir that makes no sense. */
struct destination *destination_open(const struct destination_settings *settings,
                                     struct error *err) MUST_CHECK;
void destination_close(struct destination *destination); /* with its rules; NULL is fine */

/*
 * A rule, which is the destination's; equal targets one after the other are one rule. NULL and
 * ERROR_OPERATOR, without file and line, when one of its texts makes no sense.
 */
struct destination_rule *destination_add_rule(struct destination *destination,
                                              const struct destination_target *target,
                                              struct error *err) MUST_CHECK;

/*
 * Where `announcement` goes by `rule`. False and ERROR_PERMANENT, "422 ...", when there is no safe
 * place: "..", no file name, too long.
 */
bool destination_resolve(struct destination *destination, struct destination_rule *rule,
                         struct announcement *announcement, const struct template_match *match,
                         struct destination_place *place, struct error *err) MUST_CHECK;

/*
 * The same for `path`, which the announcement mentions (a former name, the source of a hard link)
 * and which is announced elsewhere. Of an absolute one that is below the rule's directory
 * already, the part below it is the path; otherwise its first '/' is ignored.
 */
bool destination_map_path(struct destination *destination, struct destination_rule *rule,
                          struct announcement *announcement, const struct template_match *match,
                          const char *path, struct destination_place *place,
                          struct error *err) MUST_CHECK;

/*
 * The target of a link as sr3 writes it after strip, flatten and baseDir, in the arena; good for
 * duplicate keys only, since it seldom leads where the link is meant to.
 */
const char *destination_link_key(struct destination *destination, struct destination_rule *rule,
                                 struct announcement *announcement,
                                 const struct template_match *match, const char *target) MUST_CHECK;

/* Whether a link with this target, standing at `place`, leads below its directory, as text. */
bool destination_link_is_inside(const struct destination_place *place, const char *target);

/* The path under which a placed file is announced again: without post_base_dir and base path. */
const char *destination_post_path(struct destination *destination,
                                  struct announcement *announcement,
                                  const struct destination_place *place) MUST_CHECK;
