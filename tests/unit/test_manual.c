/* What was made from the option table and committed is what the program prints today. */
#include "base/metrics.h"
#include "settings/manual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1 << 20)

static void check_file(const char *path, void (*print)(FILE *out), const char *how)
{
    char *file_text = memory_new(TEXT_MAX), *printed = NULL;
    FILE *file = fopen(path, "r"), *out;
    size_t size;

    if (!file)
        fail_msg("open '%s': make it with '%s'", path, how);
    assert_true(fread(file_text, 1, TEXT_MAX - 1, file) > 0);
    fclose(file);
    out = open_memstream(&printed, &size);
    print(out);
    fclose(out);
    if (strcmp(file_text, printed) != 0)
        fail_msg("'%s' is stale: make it again with '%s'", path, how);
    free(printed);
    free(file_text);
}

static void manual_is_fresh(void **state)
{
    (void)state;
    check_file(PROJECT_DIR "/docs/options.md", manual_print_markdown, "sr3sub options --markdown");
}

static void chapter_on_metrics_is_fresh(void **state)
{
    (void)state;
    check_file(PROJECT_DIR "/docs/metrics.md", metrics_print_markdown, "sr3sub metrics --markdown");
}

static void completion_is_fresh(void **state)
{
    (void)state;
    check_file(PROJECT_DIR "/docs/bash-completion/sr3sub", manual_print_bash,
               "sr3sub options --bash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_is_fresh),
        cmocka_unit_test(completion_is_fresh),
        cmocka_unit_test(chapter_on_metrics_is_fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
