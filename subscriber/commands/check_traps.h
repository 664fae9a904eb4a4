/*
 * Private to check: mistakes that no rule of the language forbids and that operators make; USERS of
 * sr3 told of them. Each says what it found with check_say().
 */
#pragma once

#include "commands/commands.h"

struct check {
    FILE *out;
    size_t errors, warnings; /* said so far */
    size_t bad;              /* configurations with errors */
};

/* Prints an error or a warning and counts it. */
void check_say(struct check *check, bool is_error, const char *format, ...) PRINTF_LIKE(3, 4);

/* Topics that no announcement can have, or none of the servers that are known. */
void check_subtopics(struct check *check, const struct config *config);

/* Directories that cannot be made or written to. */
void check_directories(struct check *check, const struct config *config);

/* Files that replace one another because only their directories differ. */
void check_mirror(struct check *check, const struct config *config);
