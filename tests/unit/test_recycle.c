/* Recycled memory: blocks are apart, come back, and belong to the heap. */
#include "base/memory.h"
#include "base/recycle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 20000
#define SLOTS  64

static const size_t sizes[] = {0, 1, 31, 32, 33, 64, 100, 1000, 1023, 1024, 1025, 5000, 100000};

static void check(const unsigned char *block, size_t size, unsigned char mark)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != mark)
            fail_msg("byte %zu of %zu was overwritten", i, size);
}

/* Takes, resizes and gives back in no order, while every block keeps what was written to it. */
static void exercise(void)
{
    unsigned char *blocks[SLOTS] = {NULL};
    size_t taken[SLOTS] = {0};
    unsigned random = 11;

    for (int round = 0; round < ROUNDS; round++) {
        random = random * 1103515245 + 12345;
        size_t slot = random >> 8 & (SLOTS - 1), size = sizes[(random >> 16) % COUNT_OF(sizes)];
        size_t kept = taken[slot] < size ? taken[slot] : size;

        check(blocks[slot], taken[slot], (unsigned char)slot);
        if (round % 3) {
            blocks[slot] = recycle_resize(blocks[slot], size);
            check(blocks[slot], kept, (unsigned char)slot);
        } else {
            recycle_free(blocks[slot]);
            blocks[slot] = recycle_zeroed(size, 1);
            check(blocks[slot], size, 0);
        }
        assert_true((uintptr_t)blocks[slot] % 16 == 0);
        if (size) /* realloc() to nothing is free() */
            memset(blocks[slot], (int)slot, size);
        taken[slot] = size;
    }
    for (size_t slot = 0; slot < SLOTS; slot++)
        slot % 2 ? recycle_free(blocks[slot]) : free(blocks[slot]);
}

static void blocks_are_apart(void **state)
{
    (void)state;
    exercise(); /* as the C library's */
    recycle_begin();
    exercise();
    recycle_end();
    exercise();
}

static void small_blocks_come_back(void **state)
{
    void *block;
    char *text;

    (void)state;
    recycle_begin();
    block = recycle_take(40);
    recycle_free(block);
#ifndef SR3SUB_SANITIZED
    assert_ptr_equal(recycle_take(50), block);
    recycle_free(block);
#endif
    text = recycle_copy("forty characters need a block of sixty-four");
    assert_string_equal(text, "forty characters need a block of sixty-four");
    recycle_free(text);
    recycle_end();
}

static void sums_that_overflow_are_refused(void **state)
{
    volatile size_t most = SIZE_MAX;

    (void)state;
#ifdef SR3SUB_SANITIZED
    skip(); /* the sanitizer ends the program for that */
#endif
    recycle_begin();
    assert_null(recycle_zeroed(most, 2));
    assert_null(recycle_zeroed(most / 2, 4));
    recycle_end();
}

static void *give_back(void *block)
{
    recycle_free(block);
    return recycle_take(100);
}

static void blocks_change_threads(void **state)
{
    pthread_t thread;
    void *block;

    (void)state;
    recycle_begin();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(pthread_create(&thread, NULL, give_back, recycle_take(100)), 0);
        assert_int_equal(pthread_join(thread, &block), 0);
        recycle_free(block);
    }
    recycle_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_apart),
        cmocka_unit_test(small_blocks_come_back),
        cmocka_unit_test(sums_that_overflow_are_refused),
        cmocka_unit_test(blocks_change_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
