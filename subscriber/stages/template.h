/*
 * Texts of the operator with variables in them: the `directory` of a rule, and others like it.
 *
 * A variable is worth what the configuration says (${BD}), the time at which the announcement was
 * received (${YYYYMMDD}, ${%Y/%m}, ${JJJ-2d}), or the announcement itself: ${1}, ${SOURCE}, ${BUP}.
 * The first two are the operator's and trusted; the last come from strangers. So an expanded
 * template has two parts: the root, which no announcement can change, and the rest below it, still
 * to be cleaned with path_clean().
 *
 * Only the operator's text is searched for variables, never what takes the place of one. A '$' that
 * belongs to no variable disappears, as in sr3.
 */
#pragma once

#include "announcement.h"

struct template;

struct template_settings {
    const char *base_dir;      /* ${BD} */
    const char *post_base_dir; /* ${PBD}, ${PDR} */
    const char *document_root; /* ${DR} */
    const char *source;        /* ${SOURCE} of every announcement; NULL: their own ... */
    bool source_from_exchange; /* ... or what follows "xs_" in the name of their exchange */
    int64_t var_time_offset_ms;
    bool first_group_is_zero; /* ${0} is the first group, not the whole match */
    /* What any other name stands for, NULL if for nothing; asked when a template is compiled. */
    const char *(*lookup)(void *context, const char *name);
    void *lookup_context;
};

/* What an accept pattern matched. */
struct template_match {
    bool everything;       /* by ".*", which is not run: no groups, the whole is the URL */
    const char *text;      /* otherwise: what it was held against ... */
    const size_t *offsets; /* ... where the match and its groups begin and end, in pairs */
    size_t count;          /* of pairs; 0: no pattern matched */
};

struct template_input {
    struct announcement *announcement; /* what is made for it lives in its arena */
    const struct template_match *match;
    const char *file; /* the name that Sundew's fields are taken from */
};

/*
 * NULL and ERROR_OPERATOR for what can never be below its root: ".." behind a variable. A relative
 * text is below the current directory; so is one that begins with what an announcement brings.
 */
struct template *template_compile(const char *text, const struct template_settings *settings,
                                  struct error *err) MUST_CHECK;
void template_free(struct template *template); /* NULL is fine */

/*
 * *root is absolute, without empty components or a '/' at its end; it lives in the template or the
 * announcement's arena. *rest is "" or what follows, not cleaned. False, ERROR_PERMANENT, when the
 * file's name lacks a Sundew field.
 */
bool template_expand(struct template *template, const struct template_input *input,
                     const char **root, const char **rest, struct error *err) MUST_CHECK;
