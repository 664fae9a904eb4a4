/* Decodes content. The input's first byte is the encoding and the limit, the rest the text. */
#include "content.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const encodings[] = {
    "base64", "gzip", "utf-8", "iso-8859-1", "ascii", "iso-8859-15", "windows-1252", "none",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct announcement announcement = {0};
    struct error err = {0};
    int64_t size_max = size && (*data & 0x80) ? *data : 0;
    char *bytes;
    size_t length;

    if (!size)
        return 0;
    announcement.content_encoding = encodings[*data % COUNT_OF(encodings)];
    announcement.content = (struct slice){(const char *)data + 1, size - 1};
    announcement.size_bytes = *data & 0x40 ? 5 : 0;
    if (announcement_decode_content(&announcement, size_max, &bytes, &length, &err)) {
        assert(!size_max || length <= (size_t)size_max);
        assert(length <= CONTENT_SIZE_MAX && length <= size * 100 + 65536);
        assert(!announcement.size_bytes || length == 5);
        assert(bytes[length] == '\0');
    } else {
        assert(err.kind == ERROR_PERMANENT && *err.text && !bytes && !length);
    }
    free(bytes);
    return 0;
}
