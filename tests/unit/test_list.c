/* Lists: order, removal anywhere, moving everything. */
#include "base/list.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct item {
    char name;
    struct list_link link;
};

static void check_order(const struct list *list, const char *expected)
{
    char names[20] = "";
    size_t count = 0;

    for (struct list_link *link = list_first(list); link; link = list_next(list, link))
        names[count++] = LIST_ITEM(link, struct item, link)->name;
    if (strcmp(names, expected) != 0 || list_is_empty(list) != !*expected)
        fail_msg("expected '%s', got '%s'", expected, names);
}

static void fill(struct list *list, struct item *items, const char *names)
{
    list_init(list);
    for (size_t i = 0; names[i]; i++) {
        items[i] = (struct item){.name = names[i]};
        list_append(list, &items[i].link);
    }
}

static void items_keep_their_order(void **state)
{
    struct list list;
    struct item items[5];

    (void)state;
    fill(&list, items, "abcde");
    check_order(&list, "abcde");
    list_remove(&items[2].link);
    list_remove(&items[2].link);
    assert_false(list_is_linked(&items[2].link));
    check_order(&list, "abde");
    list_remove(&items[0].link);
    list_remove(&items[4].link);
    check_order(&list, "bd");
    list_append(&list, &items[0].link);
    check_order(&list, "bda");
    assert_ptr_equal(list_take_first(&list), &items[1].link);
    assert_ptr_equal(list_take_first(&list), &items[3].link);
    assert_ptr_equal(list_take_first(&list), &items[0].link);
    assert_null(list_take_first(&list));
    check_order(&list, "");
}

static void lists_are_joined(void **state)
{
    struct list to, from;
    struct item items[3], others[3];

    (void)state;
    fill(&to, items, "abc");
    fill(&from, others, "xyz");
    list_append_all(&to, &from);
    check_order(&to, "abcxyz");
    check_order(&from, "");
    list_append_all(&to, &from);
    check_order(&to, "abcxyz");
    list_append_all(&from, &to);
    check_order(&from, "abcxyz");
    check_order(&to, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_keep_their_order),
        cmocka_unit_test(lists_are_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
