/*
 * A temporary directory that is home and configuration, for tests that load configurations from it.
 */
#pragma once

#include "settings/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BROKER "broker amqps://dd.weather.gc.ca/\n"

static char home[] = "/tmp/sr3sub-test-XXXXXX";

static inline char *path_of(const char *name)
{
    return memory_format("%s/.config/sr3/%s", home, name);
}

static inline void write_file(const char *name, const char *text)
{
    char *path = path_of(name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, 0600);
    free(path);
}

static inline void remove_config(const char *name)
{
    char *path = path_of(name);

    unlink(path);
    free(path);
}

/* `text` with '~' where the temporary directory is named. */
static inline char *shorten(const char *text)
{
    char *copy = memory_copy(text), *at;

    while ((at = strstr(copy, home))) {
        *at = '~';
        memmove(at + 1, at + strlen(home), strlen(at + strlen(home)) + 1);
    }
    return copy;
}

static inline struct config *load_with(const char *text, const struct config_request *request,
                                       struct error *err)
{
    *err = (struct error){0};
    if (text)
        write_file("subscribe/t.conf", text);
    return config_load(request, err);
}

static inline struct config *load(const char *text, struct error *err)
{
    const struct config_request request = {.name = "subscribe/t", .instance = 3};

    return load_with(text, &request, err);
}

static inline struct config *must_load(const char *text)
{
    struct error err;
    struct config *config = load(text, &err);

    if (!config)
        fail_msg("'%s': %s", text, err.text);
    return config;
}

static inline int make_home(void **state)
{
    static const char *const parts[] = {"/.config", "/.config/sr3", "/.config/sr3/subscribe"};
    static const char *const variables[] = {
        "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "SR_INSTANCE", "INSTANCE",
        "EXCHANGE",        "SOURCE",         "A",           "NOSUCH"};

    (void)state;
    if (!mkdtemp(home) || setenv("HOME", home, 1) || chdir(home))
        return -1;
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char *path = memory_format("%s%s", home, parts[i]);
        int made = mkdir(path, 0700);

        free(path);
        if (made)
            return -1;
    }
    return 0;
}

static inline int remove_one(const char *path, const struct stat *status, int flag,
                             struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static inline int remove_home(void **state)
{
    (void)state;
    return chdir("/") || nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
