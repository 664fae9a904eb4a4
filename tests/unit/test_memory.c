/* Allocation: zeroed, kept when it moves, never NULL. */
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void blocks_are_zeroed_and_kept(void **state)
{
    char *bytes = memory_new(1000), *none = memory_new(0);
    uint64_t *numbers = NULL;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        if (bytes[i])
            fail_msg("byte %zu is %d", i, bytes[i]);
    for (size_t i = 0; i < 10000; i++) {
        numbers = memory_resize(numbers, i + 1, sizeof(*numbers));
        numbers[i] = i;
    }
    for (size_t i = 0; i < 10000; i++)
        if (numbers[i] != i)
            fail_msg("number %zu became %ju", i, (uintmax_t)numbers[i]);
    assert_non_null(none);
    numbers = memory_resize(numbers, 0, sizeof(*numbers));
    assert_non_null(numbers);
    free(none);
    free(bytes);
    free(numbers);
}

static void texts_are_copied(void **state)
{
    char *copy = memory_copy("text"), *bytes = memory_copy_bytes("a\0bc", 3);
    char *empty = memory_copy_bytes(NULL, 0), *format = memory_format("%s-%05d", "x", 42);

    (void)state;
    assert_null(memory_copy(NULL));
    assert_string_equal(copy, "text");
    assert_memory_equal(bytes, "a\0b", 4);
    assert_string_equal(empty, "");
    assert_string_equal(format, "x-00042");
    memory_replace(&copy, memory_format("%s, %s", copy, format));
    assert_string_equal(copy, "text, x-00042");
    memory_replace(&copy, NULL);
    assert_null(copy);
    free(bytes);
    free(empty);
    free(format);
}

/* The product of count and size must not wrap to a small block. */
static void too_much_ends_the_process(void **state)
{
    static volatile size_t count = SIZE_MAX / 4 + 2;
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        free(memory_resize(NULL, count, 4));
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("status %x", (unsigned)status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_kept),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(too_much_ends_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
