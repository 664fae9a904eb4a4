/*
 * What went wrong, and whether trying again helps.
 *
 * An error is a value on the caller's stack, `struct error err = {0}`. Functions that can fail
 * return false and fill it. Texts: lower case, no full stop, action first, subject quoted. It is
 * logged once, where it is settled.
 */
#pragma once

#include "base/memory.h"

#include <stdbool.h>

enum error_kind {
    ERROR_NONE,
    ERROR_TEMPORARY, /* worth another try: timeout, HTTP 5xx, broker gone */
    ERROR_PERMANENT, /* the same answer every time: malformed announcement */
    ERROR_OPERATOR   /* someone must act: unknown option, directory not writable */
};

struct error {
    enum error_kind kind;
    char text[500]; /* always NUL-terminated; longer texts are cut */
};

/* Fills `err` and returns false, so a function can end in `return error_set(err, ...)`. */
bool error_set(struct error *err, enum error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the text, keeps the kind, returns false. */
bool error_wrap(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);
