/*
 * The marks of a running instance in the state directory of its subscription.
 *
 * instances.lock is locked by every instance for as long as it runs, together with others (flock,
 * so it goes with the process however that ends); cleanup takes it for itself alone. The file with
 * the process id is sr3's, as is the one with the name of a queue that nobody chose.
 */
#pragma once

#include "settings/config.h"

struct running;

/* Makes the directory and leaves the marks. NULL when it cannot, or while a cleanup is under way.
 */
struct running *running_begin(const struct config *config, struct error *err) MUST_CHECK;
void running_end(struct running *running); /* NULL is fine */

/*
 * From here on no instance can begin. A descriptor for close(); -1: instances run (err), or there
 * is no such directory and so nothing to clean (no err).
 */
int running_exclude(const struct config *config, struct error *err) MUST_CHECK;
