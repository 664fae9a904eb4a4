/*
 * The option table as text: the manual's chapter on options, and completion for bash. What is in
 * docs/ has been made with it; a test compares.
 */
#pragma once

#include <stdio.h>

void manual_print_markdown(FILE *out);

/* A script for bash-completion. */
void manual_print_bash(FILE *out);
