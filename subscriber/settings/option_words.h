/* Private to the option kinds: words that several kinds know, and how a value is refused. */
#pragma once

#include "settings/option_kinds.h"

/* none off false; any letter case. */
bool option_is_off_word(const char *text);

/* true yes on 1; any letter case. */
bool option_is_true_word(const char *text);

/* Returns false; the error is "'<text>' <why>; write <right>". */
bool option_refuse(struct error *err, const char *text, const char *why, const char *right);
