/* Arenas: what is taken is aligned, apart, and stays put. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 383, 384, 385, 1535, 1536, 1537, 5000, 3, 0};

static void takings_are_apart_and_aligned(void **state)
{
    struct arena arena = {0};
    unsigned char *taken[5 * COUNT_OF(sizes)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        size_t size = sizes[i % COUNT_OF(sizes)];

        taken[i] = arena_take(&arena, size);
        if ((uintptr_t)taken[i] % alignof(max_align_t) != 0)
            fail_msg("%zu bytes at %p are not aligned", size, (void *)taken[i]);
        memset(taken[i], (int)i, size);
    }
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        for (size_t k = 0; k < sizes[i % COUNT_OF(sizes)]; k++)
            if (taken[i][k] != (unsigned char)i)
                fail_msg("taking %zu was overwritten at byte %zu", i, k);
    arena_clear(&arena);
    assert_null(arena.blocks);
    arena_clear(&arena);
}

static void texts_are_copied_and_formatted(void **state)
{
    struct arena arena = {0};
    char longer[3000];

    (void)state;
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_string_equal(arena_copy(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    assert_string_equal(arena_format(&arena, "%s-%d", "a", 5), "a-5");
    assert_string_equal(arena_format(&arena, "%s", longer), longer);
    assert_string_equal(arena_format(&arena, "%s", ""), "");
    arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takings_are_apart_and_aligned),
        cmocka_unit_test(texts_are_copied_and_formatted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
