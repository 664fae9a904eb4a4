/*
 * The claim protocol between two instances, step by step, as every store has to follow it. Times
 * leave room on both sides: Redis' own clock goes on during a test.
 */
#pragma once

#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define T0        1735790592751000000
#define LEASE_MS  30000
#define NODUPE_MS 600000
#define LATEST_MS 3600000
#define SLACK_MS  20000

static const char *const verdict_names[] = {
    [STORE_CLAIMED] = "claimed", [STORE_DUPLICATE] = "duplicate", [STORE_OLDER] = "older",
    [STORE_BUSY] = "busy",       [STORE_DONE] = "done",           [STORE_LOST] = "lost",
    [STORE_FAILED] = "failed",
};

static inline struct store_question question_of(enum store_action action, char owner, int key, int place,
                                         int64_t pub_time_ns)
{
    struct store_question question = {.action = action, .pub_time_ns = pub_time_ns};

    memset(question.identity.key, key, sizeof(question.identity.key));
    memset(question.identity.place, place, sizeof(question.identity.place));
    memcpy(question.identity.key, &key, sizeof(key));
    question.owner[0] = owner;
    return question;
}

#define STEPS_MAX 12

struct step {
    int64_t pass_ms; /* before it */
    char owner;      /* small letters ask the first instance, capitals the second */
    enum store_action action;
    int key, place;
    int64_t pub_ms; /* after T0 */
    enum store_verdict verdict;
    int64_t busy_ms;
};

static const struct {
    const char *name;
    int64_t nodupe_ttl_ms;
    struct step steps[STEPS_MAX];
} scripts[] = {
    {"a confirmed file is a duplicate until it is forgotten", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'a', STORE_CONFIRM, 1, 1, 0, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_DUPLICATE, 0},
        {NODUPE_MS - SLACK_MS, 'B', STORE_CLAIM, 1, 2, 0, STORE_DUPLICATE, 0},
        {NODUPE_MS - SLACK_MS, 'a', STORE_CLAIM, 1, 1, 0, STORE_DUPLICATE, 0}, /* it was refreshed */
        {NODUPE_MS, 'B', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
    }},
    {"a claim keeps others from announcement and place", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'b', STORE_CLAIM, 1, 1, 0, STORE_BUSY, LEASE_MS},
        {10000, 'B', STORE_CLAIM, 1, 2, 0, STORE_BUSY, 20000},
        {0, 'B', STORE_CLAIM, 2, 1, 0, STORE_BUSY, 20000},
        {0, 'B', STORE_CLAIM, 2, 2, 0, STORE_CLAIMED, 0},
        {5000, 'C', STORE_CLAIM, 1, 2, 0, STORE_BUSY, 25000}, /* the longer of the two */
        {15000, 'C', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0}, /* lapsed */
    }},
    {"a busy claim takes nothing", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'B', STORE_CLAIM, 2, 1, 0, STORE_BUSY, LEASE_MS},
        {0, 'C', STORE_CLAIM, 2, 2, 0, STORE_CLAIMED, 0},
    }},
    {"release drops only our claims", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'B', STORE_RELEASE, 1, 1, 0, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_BUSY, LEASE_MS},
        {0, 'a', STORE_RELEASE, 1, 1, 0, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
    }},
    {"what is older than the version in place is refused", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 500, STORE_CLAIMED, 0},
        {0, 'a', STORE_CONFIRM, 1, 1, 500, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 2, 1, 499, STORE_OLDER, 0},
        {0, 'B', STORE_CLAIM, 2, 1, 500, STORE_CLAIMED, 0},
        {0, 'B', STORE_CONFIRM, 2, 1, 400, STORE_DONE, 0}, /* the later time stays */
        {0, 'B', STORE_CLAIM, 3, 1, 450, STORE_OLDER, 0},
        {LATEST_MS, 'B', STORE_CLAIM, 3, 1, 450, STORE_CLAIMED, 0},
        {0, 'B', STORE_CONFIRM, 3, 1, 450, STORE_DONE, 0}, /* a time that lapsed does not count */
        {0, 'a', STORE_CLAIM, 4, 1, 450, STORE_CLAIMED, 0},
    }},
    {"renewed claims live on", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {20000, 'a', STORE_RENEW, 1, 1, 0, STORE_DONE, 0},
        {20000, 'B', STORE_CLAIM, 1, 1, 0, STORE_BUSY, 10000},
        {20000, 'a', STORE_RENEW, 1, 1, 0, STORE_CLAIMED, 0}, /* lapsed, but nobody took it */
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_BUSY, LEASE_MS},
        {0, 'a', STORE_RELEASE, 1, 1, 0, STORE_DONE, 0},
        {0, 'a', STORE_RENEW, 1, 1, 0, STORE_CLAIMED, 0}, /* gone, but nobody took it */
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_BUSY, LEASE_MS},
    }},
    {"a claim that another one took is lost", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {LEASE_MS, 'B', STORE_CLAIM, 2, 1, 0, STORE_CLAIMED, 0},
        {0, 'a', STORE_RENEW, 1, 1, 0, STORE_LOST, 0},
        {0, 'C', STORE_CLAIM, 1, 2, 0, STORE_CLAIMED, 0}, /* the other half is free */
        {0, 'a', STORE_CONFIRM, 1, 1, 0, STORE_LOST, 0},  /* another version may be on top of it */
        {0, 'B', STORE_RENEW, 2, 1, 0, STORE_DONE, 0},
        {0, 'd', STORE_CLAIM, 1, 3, 0, STORE_BUSY, LEASE_MS},
    }},
    {"a claim that lapsed confirms nothing, although nobody has it", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 5, STORE_CLAIMED, 0},
        {LEASE_MS, 'B', STORE_CLAIM, 2, 1, 4, STORE_CLAIMED, 0},
        {0, 'B', STORE_CONFIRM, 2, 1, 4, STORE_DONE, 0}, /* older, but it came later */
        {0, 'a', STORE_CONFIRM, 1, 1, 5, STORE_LOST, 0},
        {0, 'a', STORE_CLAIM, 1, 1, 5, STORE_CLAIMED, 0},
        {0, 'a', STORE_CONFIRM, 1, 1, 5, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 3, 1, 4, STORE_OLDER, 0},
    }},
    {"a claim that another one took and was done with is lost", NODUPE_MS, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {LEASE_MS, 'B', STORE_CLAIM, 2, 1, 1, STORE_CLAIMED, 0},
        {0, 'B', STORE_CONFIRM, 2, 1, 1, STORE_DONE, 0},
        {0, 'a', STORE_RENEW, 1, 1, 0, STORE_LOST, 0}, /* or it would replace a later version */
        {0, 'C', STORE_CLAIM, 3, 3, 0, STORE_CLAIMED, 0},
        {LEASE_MS, 'D', STORE_CLAIM, 3, 4, 0, STORE_CLAIMED, 0},
        {0, 'D', STORE_CONFIRM, 3, 4, 0, STORE_DONE, 0},
        {0, 'C', STORE_RELEASE, 3, 3, 0, STORE_DONE, 0},
        {0, 'C', STORE_RENEW, 3, 3, 0, STORE_LOST, 0},
    }},
    {"without duplicate suppression claims and times still count", 0, {
        {0, 'a', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_BUSY, LEASE_MS},
        {0, 'a', STORE_CONFIRM, 1, 1, 0, STORE_DONE, 0},
        {0, 'B', STORE_CLAIM, 1, 1, -1, STORE_OLDER, 0},
        {0, 'B', STORE_CLAIM, 1, 1, 0, STORE_CLAIMED, 0},
    }},
};
