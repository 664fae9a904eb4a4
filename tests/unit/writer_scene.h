/* What the tests of the writer's parts share: a directory, a loop and a writer. */
#pragma once

#include "stages/writer.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000
#define CHUNK       65536
#define MIB         1048576

struct scene {
    struct loop *loop;
    struct loop_timer *timer;
    struct writer *writer;
    char base[64], root[80];
};

static inline void scene_nothing(void *context)
{
    (void)context;
}

static inline void scene_writer(struct scene *scene, struct writer_settings settings)
{
    struct error err = {0};

    writer_close(scene->writer);
    scene->writer = writer_open(scene->loop, &settings, &err);
    if (!scene->writer)
        fail_msg("%s", err.text);
}

static inline int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    snprintf(scene->base, sizeof(scene->base), "/tmp/test_writer.XXXXXX");
    assert_non_null(mkdtemp(scene->base));
    assert_int_equal(chmod(scene->base, 0755), 0);
    snprintf(scene->root, sizeof(scene->root), "%s/data", scene->base);
    assert_int_equal(mkdir(scene->root, 0755), 0);
    scene->loop = loop_open();
    scene->timer = loop_timer_open(scene->loop, scene_nothing, NULL);
    scene_writer(scene, (struct writer_settings){0});
    *state = scene;
    return 0;
}

static inline void scene_remove(const char *directory)
{
    char *roots[] = {memory_copy(directory), NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info != FTS_D)
            remove(entry->fts_accpath);
    fts_close(tree);
    free(roots[0]);
}

static inline int scene_close(void **state)
{
    struct scene *scene = *state;

    clock_hold(-1, -1);
    writer_close(scene->writer);
    loop_timer_close(scene->timer);
    loop_close(scene->loop);
    scene_remove(scene->base);
    free(scene);
    return 0;
}

#define SCENE(function) cmocka_unit_test_setup_teardown(function, scene_open, scene_close)

static inline char *scene_path(const struct scene *scene, const char *path)
{
    return memory_format("%s/%s", scene->root, path);
}

static inline int scene_by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Fails unless exactly these files are there: "a b/c". */
static inline void scene_expect(const char *what, const char *directory, const char *expected)
{
    char *roots[] = {memory_copy(directory), NULL}, *text = memory_copy("");
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, scene_by_name);

    for (FTSENT *entry; (entry = fts_read(tree));)
        if (entry->fts_info != FTS_D && entry->fts_info != FTS_DP)
            memory_replace(&text, memory_format("%s%s%s", text, *text ? " " : "",
                                                entry->fts_path + strlen(directory) + 1));
    fts_close(tree);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: found '%s', expected '%s'", what, text, expected);
    free(text);
    free(roots[0]);
}

static inline char *scene_body(unsigned seed, size_t size)
{
    char *bytes = memory_new(size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(seed * 31 + i * 7 + i / 251 + i / 65537);
    return bytes;
}

static inline void scene_digest(const char *method, unsigned seed, size_t size, char text[100])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char *bytes = scene_body(seed, size);

    EVP_Digest(bytes, size, digest, &length, strcmp(method, "md5") == 0 ? EVP_md5() : EVP_sha512(),
               NULL);
    EVP_EncodeBlock((unsigned char *)text, digest, (int)length);
    free(bytes);
}

static inline void scene_expect_body(const char *what, const char *path, unsigned seed, size_t size)
{
    char *expected = scene_body(seed, size), *found = memory_new(size + 2);
    FILE *file = fopen(path, "re");
    size_t got = file ? fread(found, 1, size + 1, file) : 0;

    if (!file || got != size || memcmp(expected, found, size) != 0)
        fail_msg("%s: '%s' has other bytes than expected (%zu of %zu)", what, path, got, size);
    fclose(file);
    free(expected);
    free(found);
}

static inline struct writer_plan scene_plan(const struct scene *scene, const char *path)
{
    return (struct writer_plan){.directory = scene->root,
                                .path = path,
                                .mode = -1,
                                .mtime_ns = -1,
                                .atime_ns = -1,
                                .announced_mtime_ns = -1};
}

static inline void scene_turn(struct scene *scene)
{
    writer_step(scene->writer);
    loop_timer_set(scene->timer, 20);
    loop_wait(scene->loop);
}

/* Bytes [from, to) of a body; stops when the writer says that it has failed. */
static inline void scene_give(struct scene *scene, struct writer_file *file, unsigned seed,
                              size_t from, size_t to)
{
    char *body = scene_body(seed, to);
    void *ticket;

    while (from < to && !writer_has_failed(file)) {
        size_t length = to - from < 16384 ? to - from : 16384;

        if (writer_append(file, body + from, length))
            from += length;
        else
            while (!writer_take_drained(scene->writer, &ticket))
                scene_turn(scene);
    }
    free(body);
}

static inline struct writer_result scene_result(struct scene *scene)
{
    struct writer_result result;
    int turns = 0;

    while (!writer_take_result(scene->writer, &result)) {
        if (++turns > DEADLINE_MS / 20)
            fail_msg("no result");
        scene_turn(scene);
    }
    return result;
}

static inline struct writer_result scene_place(struct scene *scene, const struct writer_plan *plan,
                                               unsigned seed, size_t size)
{
    struct writer_file *file = writer_begin(scene->writer, plan, scene);

    scene_give(scene, file, seed, 0, size);
    writer_finish(file, NULL, NULL);
    return scene_result(scene);
}

static inline struct writer_probed scene_probe(struct scene *scene, struct writer_file *file)
{
    struct writer_probed probed;
    int turns = 0;

    writer_probe(file);
    while (!writer_take_probed(scene->writer, &probed)) {
        if (++turns > DEADLINE_MS / 20)
            fail_msg("no answer");
        scene_turn(scene);
    }
    return probed;
}
