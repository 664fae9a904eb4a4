/*
 * Private to convert: what the file of a configuration says, recorded line by line while it is
 * loaded, in the words of the file.
 */
#pragma once

#include "settings/config_loader.h"

enum { CONVERT_DIRECTORY, CONVERT_STRIP, CONVERT_FLATTEN, CONVERT_FILENAME, CONVERT_CAPTURED };

enum { CONVERT_EXCHANGE, CONVERT_PREFIX, CONVERT_BOUND };

/* A line that is kept. Numbers of lines count from 0; -1 is none. */
struct convert_line {
    const struct option *option;
    char *text;     /* the value to be written; NULL: the default */
    char *name;     /* of env and header */
    char *comments; /* lines above it, each with its '\n'; "" */
    char *file;
    int line;
    size_t at;      /* rules and subtopics: which of the configuration it becomes */
    char *filename; /* rules: rule for names behind the pattern */

    /* What is set above it: a line, or else the value the option had before the file. */
    int above[CONVERT_CAPTURED];
    char *before[CONVERT_CAPTURED];
};

struct convert_source {
    char *path, *text;
    int line;         /* up to which it was looked at ... */
    const char *rest; /* ... and what follows */
};

struct convert_record {
    struct convert_line *lines;
    size_t count;
    int last[CONFIG_OPTIONS]; /* the line that sets the option, of those that set it once */
    char **notes;
    size_t note_count;
    char **left_out; /* notes that a warning of the configuration says better */
    size_t left_out_count;
    struct convert_source *sources;
    size_t source_count;
    char *with_variables; /* all values with variables so far */
    bool suffix_is_late;  /* exchangeSuffix behind a subtopic */
};

/* The options captured by a rule, and by a binding. */
extern const enum config_option convert_captured[CONVERT_CAPTURED];
extern const enum config_option convert_bound[CONVERT_BOUND];

void convert_record_init(struct convert_record *record);
void convert_record_clear(struct convert_record *record);

/* Comments behind the last setting, allocated. */
char *convert_record_rest(struct convert_source *source) MUST_CHECK;

/* Notes "file:line: option 'name': what". */
void convert_record_note(struct convert_record *record, const struct convert_line *line,
                         const char *what);

/* For struct config_observer; `context` is the record. */
void convert_record_setting(void *context, struct config *config,
                            const struct conf_setting *written, const struct conf_setting *meant,
                            const struct option *option);
