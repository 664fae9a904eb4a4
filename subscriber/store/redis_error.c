/* What the errors mean that Redis answers with. */
#include "store/redis_error.h"

#include "base/memory.h"

#include <string.h>

static const struct meaning {
    const char *code, *words;
} meanings[] = {
    {"NOAUTH", "it wants a password: add it to the URL"},
    {"WRONGPASS", "user or password refused: correct them in the URL"},
    {"ERR invalid password", "password refused: correct it in the URL"},
    {"ERR AUTH", "it has no password, but the URL has one"},
    {"ERR Client sent AUTH", "it has no password, but the URL has one"},
    {"ERR DB index", "it has no such database: correct the URL"},
    {"ERR invalid DB index", "it has no such database: correct the URL"},
    {"ERR max number of clients", "it has too many clients (maxclients)"},
    {"DENIED", "it is in protected mode: give it a password"},
    {"NOPERM", "the user may not do what is needed: correct its ACL"},
    {"READONLY", "it is read-only, a replica"},
    {"OOM", "Redis is out of memory (maxmemory)"},
    {"MISCONF", "it refuses to write because it cannot save to its disk"},
    {"NOREPLICAS", "it refuses to write because it has too few replicas"},
    {"LOADING", "it is still loading its data"},
    {"BUSY", "it is busy with a script of somebody"},
    {"MASTERDOWN", "it is a replica that has lost its master"},
    {"CROSSSLOT", "a cluster is not supported: use a single Redis"},
    {"MOVED", "a cluster is not supported: use a single Redis"},
};

/* Before Redis 7 what fails within a script comes as "ERR Error running script (...): -CODE ...".
 */
bool redis_error_says(const char *text, const char *code)
{
    const char *at = text;
    size_t length = strlen(code);

    if (!strncmp(text, code, length))
        return true;
    if (strncmp(text, "ERR Error running script", 24) != 0)
        return false;
    while ((at = strstr(at, code)))
        if (at++ [-1] == '-')
            return true;
    return false;
}

const char *redis_error_meaning(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (redis_error_says(text, meanings[i].code))
            return meanings[i].words;
    return "";
}
