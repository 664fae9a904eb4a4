/*
 * Sequences of events over a small tree, with links that lead out of it. After each of them what is
 * beside the tree has to be as it was; and where there were no links that lead out at first, none
 * of those that were made does, as the kernel sees it.
 *
 * Three bytes are an event: what, where, and whence or whereto.
 */
#include "base/path.h"
#include "canary.h"
#include "stages/events_disk.h"

#define EVENTS_MOST 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "a",      "b",      "a/b",   "a/b/c",   "b/a",    "l",     "a/l",       "a/b/l",
    "l/a",    "l/l",    "b/l/a", "o1",      "o2",     "o3",    "o1/victim", "o2/empty",
    "o1/x",   "o3/x",   "a/o1",  "in",      "in/c",   "in/l",  "o3/data/a", "here",
    "here/a", "here/l", "l/b/l", "a/b/c/l", "o2/x/y", "in/o1", "o1/../x",   "..",
};

static const char *const targets[] = {
    "a",       "..",          "../..",        ".",        "b/c",       "../l",
    "../../l", "../../../x",  "l/..",         "l/../..",  "a/../../x", "../outside",
    "%/a",     "%",           "%/../outside", "@",        "@/victim",  "/",
    "./../a",  "../../../..", "../in/..",     "in/../..", "",          "here/../../outside",
};

/* ---- events ---- */

static char *expand(const char *target)
{
    if (*target == '%' || *target == '@')
        return memory_format("%s%s", *target == '%' ? root : outside, target + 1);
    return memory_copy(target);
}

static void carry_out(const uint8_t *bytes)
{
    char *target = expand(targets[bytes[2] % COUNT_OF(targets)]);
    struct disk_event event = {.outcome = EVENTS_FAILED};
    struct list batch;

    event.plan = (struct events_plan){
        .op = 1 + bytes[0] % (EVENTS_OPS - 1),
        .directory = root,
        .path = paths[bytes[1] % COUNT_OF(paths)],
        .other_directory = root,
        .other_path = paths[bytes[2] % COUNT_OF(paths)],
        .otherwise = (bytes[0] >> 4) % EVENTS_OPS,
        .target = target,
        .mode = 0755,
    };
    if (event.plan.otherwise == EVENTS_HLINK || event.plan.otherwise == EVENTS_RENAME)
        event.plan.otherwise = EVENTS_NOTHING;
    list_init(&batch);
    list_append(&batch, &event.link);
    disk_events(&batch, EVENTS_DURABILITY_NONE);
    assert(event.outcome <= EVENTS_FAILED);
    assert((event.outcome == EVENTS_DONE || event.outcome == EVENTS_FETCH) == !*event.err.text);
    free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool with_ways_out = size && (*data & 1);
    struct canary canary;

    if (!*base)
        make_base("fuzz_events");
    make_tree(with_ways_out);
    path_use_openat2(!size || !(*data & 2));
    canary = look();
    for (size_t i = 1; i + 3 <= size && i < 3 * EVENTS_MOST; i += 3) {
        carry_out(data + i);
        check_canary(&canary);
        if (!with_ways_out)
            check_links();
    }
    remove_tree(root);
    return 0;
}
