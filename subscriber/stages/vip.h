/*
 * Whether one of some addresses belongs to this host: the address that moves to whichever host is
 * to do the work.
 *
 * The host is asked every second, in the pool; nothing waits for the answer.
 */
#pragma once

#include "base/loop.h"

#include <stddef.h>

struct vip;

/* Whether all of them are addresses, IPv4 or IPv6. False and ERROR_OPERATOR: which one is not. */
bool vip_check(const char *const *addresses, size_t count, struct error *err) MUST_CHECK;

/* Asks for the first time. NULL and ERROR_OPERATOR for what is no address. */
struct vip *vip_open(struct loop *loop, const char *const *addresses, size_t count,
                     struct error *err) MUST_CHECK;
void vip_close(struct vip *vip); /* NULL is fine */

/* As of the last answer. */
bool vip_is_here(const struct vip *vip);
