/* What the errors mean that Redis answers with. */
#pragma once

#include <stdbool.h>

/* Whether the error `text` is of the kind `code`: READONLY, OOM ... */
bool redis_error_says(const char *text, const char *code);

/* What that means, and what to do, in our words; "" for errors that are not known. */
const char *redis_error_meaning(const char *text);
