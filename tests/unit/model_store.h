/*
 * For tests: a store in memory, as simple as store.h's words can be put, by the clock of the tests.
 *
 * Each instance has a connection of its own to what all share. A prompt connection answers with
 * store_send(). On others questions are under way until the test moves them: to the store, which
 * decides them, and their answers back; in any order, or not at all.
 */
#pragma once

#include "store/store.h"

#include <stdint.h>

struct model_store;

struct model_store *model_store_open(const struct store_settings *settings) MUST_CHECK;
void model_store_close(struct model_store *model); /* its connections are closed before */

/* All that it knows is lost. */
void model_store_forget(struct model_store *model);

/* store_close() is the end of the instance: what is under way is forgotten. */
struct store *model_store_connect(struct model_store *model, bool prompt) MUST_CHECK;

/* How many questions are on their way, and how many answers. */
size_t model_store_sent(const struct store *store);
size_t model_store_decided(const struct store *store);

/* One of those questions reaches the store, or one of those answers the instance. */
void model_store_decide(struct store *store, size_t which);
void model_store_deliver(struct store *store, size_t which);

/* One of those questions fails. `done`: it reached the store, and only the answer was lost. */
void model_store_fail(struct store *store, size_t which, bool done);

/* Whether both claims are its owner's now. */
bool model_store_holds(const struct model_store *model, const struct store_question *question);

/* Publication time of the latest version at the question's place; INT64_MIN: not known. */
int64_t model_store_latest(const struct model_store *model, const struct store_question *question);

/* The connection breaks: what was sent fails, and its failure is seen once. */
void model_store_disconnect(struct store *store);
