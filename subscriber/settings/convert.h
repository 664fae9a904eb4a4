/*
 * Writes a configuration in sr3's syntax as YAML (yaml_file.h), for the command `convert`.
 *
 * The result has the same effective settings. Names are today's, variables stay as they are
 * written, comments go along, included files are written out in the place of their line. A value
 * that changes between rules or subtopics is given to each of them; the last one is that of the
 * file.
 *
 * On `notes` comes a line for each thing that is not the same in the YAML, with file and line: what
 * has no effect here, such as python code; unknown names and wrong values; included files; and
 * variables whose value depended on the place where they stand, for which the value is written.
 * admin.conf and default.conf are read as always, and stay what they are.
 */
#pragma once

#include "settings/config.h"

#include <stdio.h>

/* False and `err` if there is no such configuration, or it is in YAML already; nothing is written
 * then. */
bool convert_print(const struct config_request *request, FILE *out, FILE *notes,
                   struct error *err) MUST_CHECK;
