/* Addresses that this host has, and others. */
#include "stages/vip.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct {
    const char *addresses[3];
    size_t count;
    bool here;
} cases[] = {
    {{"127.0.0.1"}, 1, true},
    {{"192.0.2.1"}, 1, false}, /* RFC 5737: of nobody */
    {{"192.0.2.1", "2001:db8::1"}, 2, false},
    {{"192.0.2.1", "2001:db8::1", "127.0.0.1"}, 3, true},
};

static void addresses_are_found(void **state)
{
    struct loop *loop = loop_open();
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct vip *vip = vip_open(loop, cases[i].addresses, cases[i].count, &err);

        assert_non_null(vip);
        if (vip_is_here(vip) != cases[i].here)
            fail_msg("'%s'...: got %d", cases[i].addresses[0], vip_is_here(vip));
        vip_close(vip);
    }
    loop_close(loop);
}

static void it_is_asked_again(void **state)
{
    const char *address = "127.0.0.1";
    struct loop *loop = loop_open();
    struct error err = {0};
    struct vip *vip = vip_open(loop, &address, 1, &err);

    (void)state;
    for (int i = 0; i < 2; i++) { /* the timer, and the answer of the pool */
        loop_wait(loop);
        assert_true(vip_is_here(vip));
    }
    vip_close(vip);
    loop_close(loop);
}

static void nonsense_is_refused(void **state)
{
    static const char *const wrong[] = {"", "localhost", "127.0.0.1/8", "::1%lo", "1.2.3"};
    struct loop *loop = loop_open();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct error err = {0};

        assert_null(vip_open(loop, &wrong[i], 1, &err));
        assert_int_equal(err.kind, ERROR_OPERATOR);
    }
    loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found),
        cmocka_unit_test(it_is_asked_again),
        cmocka_unit_test(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
