/*
 * The claim protocol as Lua scripts.
 *
 * KEYS: claim, place, latest, placed (release: the first two). ARGV: owner, lease in ms,
 * publication time as a text of fixed width, life of the placed key in s (0: there is none), its
 * value; confirm has the life of latest in ms in the place of the lease.
 *
 * A script looks at everything before it writes anything: when a key is of another type, or Redis
 * refuses to write, nothing was changed. Publication times have more digits than a Lua number, so
 * they are compared as texts.
 */
#include "store/redis_scripts.h"

/* The value, false when there is none; or nil and the error to return. One GET for each key is
 * cheaper than one MGET, whose answer has to be made into a table. */
#define GET                                                                                        \
    "local call, pcall = redis.call, redis.pcall\n"                                                \
    "local function get(key)\n"                                                                    \
    "    local value = pcall('GET', key)\n"                                                        \
    "    if type(value) ~= 'table' then return value end\n"                                        \
    "    if string.find(value.err, 'WRONGTYPE', 1, true) then\n"                                   \
    "        local kind = call('TYPE', key).ok\n"                                                  \
    "        value = redis.error_reply('WRONGTYPE key ' .. key .. ' is a ' .. kind)\n"             \
    "    end\n"                                                                                    \
    "    return nil, value\n"                                                                      \
    "end\n"

/* A claim without an end, which nobody here makes, is given one. */
#define CLAIM                                                                                      \
    "local function claim()\n"                                                                     \
    "    local busy = 0\n"                                                                         \
    "    local value, wrong\n"                                                                     \
    "    if ARGV[4] ~= '0' then\n"                                                                 \
    "        value, wrong = get(KEYS[4])\n"                                                        \
    "        if wrong then return wrong end\n"                                                     \
    "        if value then\n"                                                                      \
    "            call('SET', KEYS[4], ARGV[5], 'EX', ARGV[4])\n"                                   \
    "            return -1\n"                                                                      \
    "        end\n"                                                                                \
    "    end\n"                                                                                    \
    "    value, wrong = get(KEYS[3])\n"                                                            \
    "    if wrong then return wrong end\n"                                                         \
    "    if value and #value == #ARGV[3] and value > ARGV[3] then return -2 end\n"                 \
    "    for i = 1, 2 do\n"                                                                        \
    "        value, wrong = get(KEYS[i])\n"                                                        \
    "        if wrong then return wrong end\n"                                                     \
    "        if value and value ~= ARGV[1] then\n"                                                 \
    "            local left = call('PTTL', KEYS[i])\n"                                             \
    "            if left < 0 then\n"                                                               \
    "                call('PEXPIRE', KEYS[i], ARGV[2])\n"                                          \
    "                left = tonumber(ARGV[2])\n"                                                   \
    "            end\n"                                                                            \
    "            busy = math.max(busy, left, 1)\n"                                                 \
    "        end\n"                                                                                \
    "    end\n"                                                                                    \
    "    if busy > 0 then return busy end\n"                                                       \
    "    call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"                                           \
    "    call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])\n"                                           \
    "    return 0\n"                                                                               \
    "end\n"

/* `first` and `second` are the values of the claims. */
#define LOOK                                                                                       \
    "local first, second, wrong\n"                                                                 \
    "first, wrong = get(KEYS[1])\n"                                                                \
    "if wrong then return wrong end\n"                                                             \
    "second, wrong = get(KEYS[2])\n"                                                               \
    "if wrong then return wrong end\n"

#define DROP                                                                                       \
    "if first == ARGV[1] and second == ARGV[1] then\n"                                             \
    "    call('DEL', KEYS[1], KEYS[2])\n"                                                          \
    "elseif first == ARGV[1] then\n"                                                               \
    "    call('DEL', KEYS[1])\n"                                                                   \
    "elseif second == ARGV[1] then\n"                                                              \
    "    call('DEL', KEYS[2])\n"                                                                   \
    "end\n"

#define CONFIRM                                                                                    \
    "if first ~= ARGV[1] or second ~= ARGV[1] then\n" DROP "    return -3\n"                       \
    "end\n"                                                                                        \
    "local newest = ARGV[3]\n"                                                                     \
    "local latest\n"                                                                               \
    "latest, wrong = get(KEYS[3])\n"                                                               \
    "if wrong then return wrong end\n"                                                             \
    "if latest and #latest == #newest and latest > newest then newest = latest end\n"              \
    "if ARGV[4] ~= '0' then call('SET', KEYS[4], ARGV[5], 'EX', ARGV[4]) end\n"                    \
    "if ARGV[2] ~= '0' then call('SET', KEYS[3], newest, 'PX', ARGV[2]) end\n"

/* What lapsed is taken again, unless somebody else took it meanwhile, or was done with it. */
#define RENEW                                                                                      \
    "if first == ARGV[1] and second == ARGV[1] then\n"                                             \
    "    call('PEXPIRE', KEYS[1], ARGV[2])\n"                                                      \
    "    call('PEXPIRE', KEYS[2], ARGV[2])\n"                                                      \
    "    return 0\n"                                                                               \
    "end\n"                                                                                        \
    "local result = claim()\n"                                                                     \
    "if result == 0 then return 1 end\n"                                                           \
    "if type(result) ~= 'number' then return result end\n"

const struct redis_script redis_claim_scripts[REDIS_SCRIPTS] = {
    [REDIS_SCRIPT_CLAIM] = {"claim", GET CLAIM "return claim()", 4},
    [REDIS_SCRIPT_CONFIRM] = {"confirm", GET LOOK CONFIRM DROP "return 0", 4},
    [REDIS_SCRIPT_RELEASE] = {"release", GET LOOK DROP "return 0", 2},
    /* renewed: 0, taken anew: 1, lost: -3 */
    [REDIS_SCRIPT_RENEW] = {"renew", GET CLAIM LOOK RENEW DROP "return -3", 4},
};
