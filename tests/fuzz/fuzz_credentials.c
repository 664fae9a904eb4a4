/*
 * The reader of credentials.conf, fed with anything; then the first line of the input is looked for
 * in it. No warning may repeat a password that was read.
 */
#include "settings/credentials.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TELLING_LENGTH 12 /* shorter ones may stand in a warning by chance */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_warnings(const struct credentials *credentials, const struct credential *found)
{
    const char *password = found ? found->url.password : NULL;
    const char *warning;

    for (size_t i = 0; (warning = credentials_warning(credentials, i)); i++)
        if (password && strlen(password) >= TELLING_LENGTH && strstr(warning, password))
            abort();
}

static void look_for(const struct credentials *credentials, const char *text)
{
    const struct credential *found;
    struct error err = {0};
    struct url wanted;

    if (!url_parse(text, &wanted, &err))
        return;
    found = credentials_find(credentials, &wanted);
    credential_detail(found, "passive");
    check_warnings(credentials, found);
    url_clear(&wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credentials *credentials = credentials_parse("fuzz", (const char *)data, size);
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    char *first = memory_copy_bytes(data, end ? (size_t)(end - data) : size);

    first[strcspn(first, " ")] = '\0';
    look_for(credentials, first);
    credentials_free(credentials);
    free(first);
    return 0;
}
