/* The claim protocol as Lua scripts. What they take and return is said beside their texts. */
#pragma once

#include "store/redis_link.h"

enum redis_claim_script {
    REDIS_SCRIPT_CLAIM,
    REDIS_SCRIPT_CONFIRM,
    REDIS_SCRIPT_RELEASE,
    REDIS_SCRIPT_RENEW,
    REDIS_SCRIPTS
};

/* Positive: busy for so many milliseconds, but of renew. */
enum redis_claim_result {
    REDIS_RESULT_ANEW = 1, /* of renew: taken anew */
    REDIS_RESULT_DONE = 0, /* claimed, confirmed, released, renewed */
    REDIS_RESULT_DUPLICATE = -1,
    REDIS_RESULT_OLDER = -2,
    REDIS_RESULT_LOST = -3
};

extern const struct redis_script redis_claim_scripts[REDIS_SCRIPTS];
