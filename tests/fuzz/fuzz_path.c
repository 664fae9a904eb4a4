/* Cleans paths; cleaning what is clean changes nothing. */
#include "base/path.h"
#include "exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = memory_copy_bytes(data, size);
    struct arena arena = {0};
    struct error err = {0};
    char *clean = path_clean(&arena, text, &err);

    if (clean) {
        char *again = path_clean(&arena, clean, &err);

        check_path(clean);
        assert(again && strcmp(clean, again) == 0);
    } else {
        assert(err.kind == ERROR_PERMANENT && *err.text);
    }
    arena_clear(&arena);
    free(text);
    return 0;
}
