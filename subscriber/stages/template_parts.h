/* What a template consists of; what its two halves, template.c and template_expand.c, share. */
#pragma once

#include "stages/template.h"

enum segment_kind { LITERAL, DATE, GROUP, SOURCE, EXCHANGE, BASE_PATH, BASE_PATH_LAST, SUNDEW };

struct segment {
    enum segment_kind kind;
    char *text;    /* of a LITERAL; the format of a DATE */
    size_t number; /* GROUP: which; SUNDEW: see template_find_sundew() */
    int64_t offset_ms;
    bool utc;
    int64_t printed_s; /* DATE: when `printed` was made */
    char *printed;
};

struct template
{
    struct segment *segments;
    size_t count;
    size_t rest; /* the segment in which the rest begins; count: there is none */
    char *fixed_root;
};

/* The row of a Sundew field (T1, CCCC ...), for segments; false: `name` is none. */
bool template_find_sundew(const char *name, size_t *row);

/* Empty components vanish, and a '/' at the end. */
void template_squeeze(char *path);
