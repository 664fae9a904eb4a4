/*
 * What a courier does on its way, in its own thread: fetches one file after the other, or removes
 * it.
 *
 * Part of download.c.
 */
#pragma once

#include "stages/courier.h"
#include "stages/order.h"

struct remote;

struct remote *remote_new(const struct courier_settings *settings,
                          struct courier *courier) MUST_CHECK;
void remote_free(struct remote *remote); /* says goodbye to its server */

void remote_carry_out(struct remote *remote, const struct order *order,
                      struct courier_outcome *outcome);

/* For remote.c, from courier.c; these may be called from the courier's thread only. */

void courier_put_answer(struct courier *courier, int64_t from_byte, int64_t last_modified_s);

/* Waits for room. False: it was recalled. */
bool courier_put(struct courier *courier, const char *bytes, size_t length) MUST_CHECK;
bool courier_is_recalled(const struct courier *courier);

/* Sockets that are shut when it is recalled, so that nothing waits for them any more. */
void courier_note_socket(struct courier *courier, int fd);
void courier_forget_socket(struct courier *courier, int fd);
