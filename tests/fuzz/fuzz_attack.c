/*
 * Announcements on their way to the disk: read, judged, and carried out by the real writer and the
 * real events on a small tree, which may have links that lead out of it. After each of them what is
 * beside the tree has to be as it was; and no link that was made leads out, unless that is allowed.
 *
 * The first byte chooses tree and settings. Then come the announcements, with 0x1E between them:
 * v03 if they begin with '{', else a v02 body, header names and values with 0x1F between them. 0x01
 * stands for the tree's own path, 0x02 for that of what is beside it.
 */
#include "base/path.h"
#include "canary.h"
#include "content.h"
#include "judge.h"
#include "settings/config.h"

#define ANNOUNCEMENTS_MOST 16
#define HEADERS_MOST       20
#define TURNS_MOST         1000
#define CONTENT_MOST       (1 << 20)

enum flag { WAYS_OUT = 1, WITHOUT_OPENAT2 = 2, LINK_OUTSIDE = 4, FLAT = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct judge *judges[16];
static struct config *configs[16];
static struct loop *loop;
static struct loop_timer *timer;

/* What one input is carried out with. */
struct site {
    struct config *config;
    struct judge *judge;
    struct writer *writer;
    struct events *events;
};

/* ---- settings ---- */

static void write_settings(const char *home, unsigned flags)
{
    char *folder = memory_format("%s/sr3/subscribe", home), *path;
    struct error err = {0};
    FILE *file;

    must(path_make_directory(folder, 0755, &err));
    path = memory_format("%s/t%u.conf", folder, flags);
    file = fopen(path, "we");
    must(file != NULL);
    fprintf(file, "broker amqp://h/\nmirror %s\nlinkOutside %s\ndirectory %s\naccept .*\n",
            flags & FLAT ? "off" : "on", flags & LINK_OUTSIDE ? "on" : "off", root);
    must(fclose(file) == 0);
    free(path);
    free(folder);
}

static void open_judge(unsigned flags)
{
    char *home = memory_format("%s/config", base), *name = memory_format("subscribe/t%u", flags);
    struct config_request request = {.name = name, .instance = 1};
    struct error err = {0};

    setenv("XDG_CONFIG_HOME", home, 1);
    setenv("XDG_CACHE_HOME", home, 1);
    write_settings(home, flags);
    configs[flags] = config_load(&request, &err);
    if (configs[flags])
        judges[flags] = judge_open(configs[flags], &err);
    if (!judges[flags])
        fprintf(stderr, "%s\n", err.text);
    must(judges[flags] != NULL);
    free(name);
    free(home);
}

static void close_all(void)
{
    for (size_t i = 0; i < COUNT_OF(judges); i++) {
        judge_close(judges[i]);
        config_free(configs[i]);
    }
    loop_timer_close(timer);
    loop_close(loop);
}

static void woken(void *context)
{
    (void)context;
}

static void open_all(void)
{
    make_base("fuzz_attack");
    for (unsigned flags = 0; flags < COUNT_OF(judges); flags += LINK_OUTSIDE)
        open_judge(flags);
    loop = loop_open();
    timer = loop_timer_open(loop, woken, NULL);
    atexit(close_all);
}

static struct site open_site(unsigned flags)
{
    struct site site = {configs[flags], judges[flags], NULL, NULL};
    struct error err = {0};

    site.writer = writer_open(loop, &(struct writer_settings){0}, &err);
    site.events = events_open(loop, &(struct events_settings){0});
    must(site.writer != NULL);
    return site;
}

/* ---- files ---- */

static void turn(struct site *site, int *turns)
{
    assert(++*turns < TURNS_MOST);
    writer_step(site->writer);
    events_step(site->events);
    loop_timer_set(timer, 20);
    loop_wait(loop);
}

static struct writer_result finish(struct site *site, struct writer_file *file, const char *accept)
{
    struct writer_result result;
    int turns = 0;

    writer_finish(file, accept, NULL);
    while (!writer_take_result(site->writer, &result))
        turn(site, &turns);
    return result;
}

/* Returns whether it is to be fetched. */
static bool probe(struct site *site, struct writer_file *file)
{
    struct writer_probed probed;
    int turns = 0;

    writer_probe(file);
    while (!writer_take_probed(site->writer, &probed))
        turn(site, &turns);
    return probed.advice == WRITER_FETCH;
}

/* As fetched from a server, which has these bytes; they come again when they are not as announced.
 */
static void fetch(struct site *site, const struct writer_plan *plan)
{
    char accept[WRITER_FINGERPRINT_SIZE] = "";

    for (int tries = 0; tries < 2; tries++) {
        struct writer_file *file = writer_begin(site->writer, plan, site);
        struct writer_result result;

        if (!probe(site, file))
            return;
        assert(writer_append(file, "untouched", 9));
        result = finish(site, file, *accept ? accept : NULL);
        if (result.outcome != WRITER_MISMATCH)
            return;
        snprintf(accept, sizeof(accept), "%s", result.fingerprint);
    }
}

static void place(struct site *site, const struct announcement *announcement,
                  const struct filter_verdict *destination)
{
    struct writer_plan plan = judge_plan(site->config, announcement, destination);
    struct error err = {0};
    struct writer_file *file;
    char *bytes;
    size_t length;

    if (announcement->has_content
        && announcement_decode_content(announcement, CONTENT_MOST, &bytes, &length, &err)) {
        file = writer_begin(site->writer, &plan, site);
        writer_append(file, bytes, length);
        free(bytes);
        if (finish(site, file, NULL).outcome == WRITER_PLACED)
            return;
    }
    fetch(site, &plan);
}

/* ---- announcements ---- */

static void carry_out(struct site *site, const struct announcement *announcement,
                      const struct judgement *judgement)
{
    struct events_result result;
    int turns = 0;

    if (!judgement->accepted || judgement->op == JUDGE_NOTHING)
        return;
    if (judgement->op == JUDGE_DOWNLOAD) {
        place(site, announcement, &judgement->destination);
        return;
    }
    events_start(site->events, &judgement->event, NULL, site);
    while (!events_take_result(site->events, &result))
        turn(site, &turns);
    if (result.outcome == EVENTS_FETCH)
        place(site, announcement, &judgement->destination);
}

static struct slice take(struct slice *rest, char separator)
{
    const char *stop = rest->length ? memchr(rest->bytes, separator, rest->length) : NULL;
    struct slice taken = *rest;

    taken.length = stop ? (size_t)(stop - rest->bytes) : rest->length;
    rest->bytes += taken.length + (stop != NULL);
    rest->length -= taken.length + (stop != NULL);
    return taken;
}

static void read_envelope(struct slice text, struct envelope_header headers[HEADERS_MOST],
                          struct envelope *envelope)
{
    bool v03 = text.length && *text.bytes == '{';

    *envelope = (struct envelope){.exchange = {"x", 1}, .routing_key = {"v02.post", 8}};
    envelope->headers = headers;
    envelope->content_type =
        v03 ? (struct slice){"application/json", 16} : (struct slice){"text/plain", 10};
    envelope->body = v03 ? text : take(&text, 0x1F);
    while (!v03 && text.length && envelope->header_count < HEADERS_MOST) {
        struct envelope_header *header = &headers[envelope->header_count++];

        header->name = take(&text, 0x1F);
        header->value = take(&text, 0x1F);
    }
}

/* With the paths that the input cannot know. */
static char *expand(struct slice text, size_t *length)
{
    char *expanded = memory_new(text.length * sizeof(root) + 1), *to = expanded;

    for (size_t i = 0; i < text.length; i++) {
        const char *path = text.bytes[i] == 1 ? root : text.bytes[i] == 2 ? outside : NULL;

        if (path)
            to = stpcpy(to, path);
        else
            *to++ = text.bytes[i];
    }
    *length = (size_t)(to - expanded);
    return expanded;
}

static void take_announcement(struct site *site, struct slice text)
{
    struct envelope_header headers[HEADERS_MOST];
    struct announcement announcement;
    struct judgement judgement;
    struct envelope envelope;
    struct error err = {0};
    size_t length;
    char *expanded = expand(text, &length);

    read_envelope((struct slice){expanded, length}, headers, &envelope);
    if (announcement_parse(&envelope, &announcement, &err)) {
        judge_decide(site->judge, &announcement, announcement.received_ns, &judgement);
        carry_out(site, &announcement, &judgement);
        announcement_clear(&announcement);
    }
    free(expanded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned flags = size ? *data % 16 : 0;
    struct slice rest = {(const char *)data + 1, size ? size - 1 : 0};
    struct canary canary;
    struct site site;

    if (!loop)
        open_all();
    make_tree(flags & WAYS_OUT);
    path_use_openat2(!(flags & WITHOUT_OPENAT2));
    canary = look();
    site = open_site(flags & (LINK_OUTSIDE | FLAT));
    for (int i = 0; rest.length && i < ANNOUNCEMENTS_MOST; i++) {
        take_announcement(&site, take(&rest, 0x1E));
        check_canary(&canary);
        if (!(flags & (WAYS_OUT | LINK_OUTSIDE)))
            check_links();
    }
    events_close(site.events);
    writer_close(site.writer);
    remove_tree(root);
    return 0;
}
