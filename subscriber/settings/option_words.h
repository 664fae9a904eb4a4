/* Private to the option kinds: words that several kinds know, and how a value is refused. */
#pragma once

#include "settings/option_kinds.h"

/* none off false; any letter case. */
bool option_is_off_word(const char *text);

/* true yes on 1; any letter case. */
bool option_is_true_word(const char *text);

/* Returns false; the error is "'<text>' <why>; write <right>". */
bool option_refuse(struct error *err, const char *text, const char *why, const char *right);

/* The index of `name` in `choices`, -1 if it is none. */
int option_choice_find(const char *choices, const char *name, size_t name_length);

/* Returns false; the error lists the choices. */
bool option_refuse_choice(const struct option *option, const char *text, struct error *err);
