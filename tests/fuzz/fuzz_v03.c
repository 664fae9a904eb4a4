/* Reads v03 announcements; the format is found by looking at the body. */
#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope = {.body = {(const char *)data, size},
                                .exchange = {"xpublic", 7},
                                .routing_key = {"v03.a%23.b%22", 13}};

    exercise(&envelope);
    return 0;
}
