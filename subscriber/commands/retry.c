/*
 * retry: what waits for another try, listed, forgotten, or made due.
 *
 * Goes through the records a page at a time, in the order of their due times, and waits for each
 * answer. Instances may be at work meanwhile: what they take or keep between two pages may be
 * missed or seen twice, which does no harm.
 */
#include "commands/commands.h"

#include "base/clock.h"
#include "record.h"
#include "stores.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_WAIT_MS 15000
#define TICK_MS        50 /* until a store that was not ready yet is asked again */

struct retry_work {
    const struct retry_request *request;
    FILE *out;
    struct loop *loop;
    struct loop_timer *timer;
    struct retry_store *store;
    struct retry_item items[RETRY_TAKE_MAX];
    struct retry_question questions[RETRY_TAKE_MAX]; /* about the items of a page */
    size_t first;                                    /* where the next page begins */
    size_t matched, seen;
};

/* ---- asking ---- */

static void on_tick(void *context)
{
    (void)context; /* waking up is all that is needed */
}

static void ask_once(struct retry_work *work, struct retry_question *questions, size_t count)
{
    size_t unanswered = 0;

    for (size_t i = 0; i < count; i++)
        if (!questions[i].done) {
            retry_store_ask(work->store, &questions[i]);
            unanswered++;
        }
    retry_store_send(work->store);
    while (unanswered) {
        loop_timer_set(work->timer, TICK_MS);
        loop_wait(work->loop);
        while (retry_store_take_answer(work->store))
            unanswered--;
    }
}

static size_t count_done(const struct retry_question *questions, size_t count)
{
    size_t done = 0;

    for (size_t i = 0; i < count; i++)
        done += questions[i].done;
    return done;
}

/* Asks until all are answered; a connection may not be there yet, or a file be locked. */
static bool ask(struct retry_work *work, struct retry_question *questions, size_t count,
                struct error *err)
{
    int64_t deadline_ms = clock_now_ms() + ANSWER_WAIT_MS;

    for (;;) {
        const char *failure;

        ask_once(work, questions, count);
        if (count_done(questions, count) == count)
            return true;
        failure = retry_store_failure(work->store);
        if (clock_now_ms() >= deadline_ms)
            return error_set(err, ERROR_TEMPORARY, "ask for retry records: %s",
                             failure ? failure : "no answer");
        loop_timer_set(work->timer, TICK_MS);
        loop_wait(work->loop);
    }
}

/* ---- printing ---- */

/* What there is to say about a record. */
struct retry_view {
    struct record record;
    struct announcement announcement;
    bool readable;      /* there is a record */
    bool understood;    /* and an announcement in it */
    struct error error; /* why not */
};

static void view_open(struct retry_view *view, const struct retry_item *item)
{
    *view = (struct retry_view){0};
    view->readable = record_parse(item->body, item->body_size, &view->record, &view->error);
    view->understood =
        view->readable
        && announcement_parse(&view->record.envelope, &view->announcement, &view->error);
}

static void view_close(struct retry_view *view)
{
    if (view->understood)
        announcement_clear(&view->announcement);
    if (view->readable)
        record_clear(&view->record);
}

static const char *without_slashes(const char *path)
{
    return path + strspn(path, "/");
}

static const char *view_path(const struct retry_view *view)
{
    const char *path = view->understood ? without_slashes(view->announcement.rel_path) : "";

    return view->understood && !*path ? view->announcement.base_url : path;
}

static bool view_matches(const struct retry_view *view, const char *pattern)
{
    return !pattern || fnmatch(without_slashes(pattern), view_path(view), 0) == 0;
}

static void print_clean(FILE *out, const char *text)
{
    char *shown = command_hide_secrets(text);

    for (const char *c = shown; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            fprintf(out, "\\x%02x", (unsigned char)*c);
        else
            putc(*c, out);
    free(shown);
}

/* "12s", "2m5s", "3h12m", "1d4h", allocated. */
static char *print_span(int64_t ms)
{
    long long s = ms > 0 ? ms / 1000 : 0;

    if (s < 60)
        return memory_format("%llds", s);
    if (s < 3600)
        return memory_format("%lldm%llds", s / 60, s % 60);
    if (s < 86400)
        return memory_format("%lldh%lldm", s / 3600, s / 60 % 60);
    return memory_format("%lldd%lldh", s / 86400, s / 3600 % 24);
}

/* Since its first failure, or since it was delivered. */
static int64_t view_age_ms(const struct retry_view *view)
{
    const struct record *record = &view->record;
    int64_t since = record->first_failure_ns ? record->first_failure_ns : record->received_ns;

    return view->readable && since > 0 ? (clock_wall_ns() - since) / NS_PER_MS : 0;
}

static void print_line(const struct retry_item *item, const struct retry_view *view, FILE *out)
{
    int64_t due_ms = item->due_in_ms;
    char *due = print_span(due_ms < 0 ? -due_ms : due_ms), *age = print_span(view_age_ms(view));

    fprintf(out, "due %5s %-7s tries %-3d age %-7s ", due_ms < 0 ? "since" : "in", due,
            view->record.tries, age);
    print_clean(out, view->understood ? view_path(view) : view->error.text);
    if (view->record.reason) {
        fputs("  ", out);
        print_clean(out, view->record.reason);
    }
    putc('\n', out);
    free(due);
    free(age);
}

static json_t *json_time(int64_t wall_ns)
{
    char text[CLOCK_TEXT_SIZE];

    if (wall_ns <= 0)
        return json_null();
    clock_print(wall_ns, text);
    return json_string(text);
}

static json_t *json_shown(const char *text)
{
    char *shown = command_hide_secrets(text);
    json_t *value = command_json_text(shown);

    free(shown);
    return value;
}

static json_t *json_id(const struct retry_item *item)
{
    char text[2 * RETRY_ID_SIZE + 1];

    for (size_t i = 0; i < RETRY_ID_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", item->id[i]);
    return json_string(text);
}

static void print_json(const struct retry_item *item, const struct retry_view *view, FILE *out)
{
    const struct announcement *announcement = view->understood ? &view->announcement : NULL;
    json_t *object = json_object();

    json_object_set_new(object, "id", json_id(item));
    json_object_set_new(object, "dueIn", json_real((double)item->due_in_ms / 1000));
    json_object_set_new(object, "tries", json_integer(view->record.tries));
    json_object_set_new(object, "received", json_time(view->record.received_ns));
    json_object_set_new(object, "failed", json_time(view->record.first_failure_ns));
    json_object_set_new(object, "baseUrl",
                        json_shown(announcement ? announcement->base_url : NULL));
    json_object_set_new(object, "relPath",
                        command_json_text(announcement ? announcement->rel_path : NULL));
    json_object_set_new(object, "reason", json_shown(view->record.reason));
    if (!announcement)
        json_object_set_new(object, "error", json_shown(view->error.text));
    command_print_json(object, JSON_COMPACT, out);
}

/* ---- a page ---- */

/* Does what was asked for with one record; counts in *asked when a question is about it. */
static void treat(struct retry_work *work, const struct retry_item *item, size_t *asked)
{
    struct retry_view view;

    view_open(&view, item);
    if (!view_matches(&view, work->request->pattern)) {
        view_close(&view);
        return;
    }
    work->matched++;
    if (work->request->command != RETRY_COMMAND_LIST) {
        struct retry_question *question = &work->questions[(*asked)++];

        *question = (struct retry_question){
            .action = work->request->command == RETRY_COMMAND_DROP ? RETRY_DROP : RETRY_HIDE};
        memcpy(question->id, item->id, sizeof(question->id));
    } else if (work->request->json) {
        print_json(item, &view, work->out);
    } else {
        print_line(item, &view, work->out);
    }
    view_close(&view);
}

/* What is dropped makes those behind it move up; what is made due stays in front of the page. */
static bool treat_page(struct retry_work *work, size_t count, struct error *err)
{
    size_t asked = 0;
    bool done;

    for (size_t i = 0; i < count; i++)
        treat(work, &work->items[i], &asked);
    for (size_t i = 0; i < count; i++)
        free(work->items[i].body);
    done = ask(work, work->questions, asked, err);
    work->seen += count;
    work->first += count - (work->request->command == RETRY_COMMAND_DROP ? asked : 0);
    return done;
}

static bool treat_all(struct retry_work *work, struct error *err)
{
    for (;;) {
        struct retry_question page = {.action = RETRY_LIST,
                                      .due_after_ms = INT64_MIN,
                                      .first = work->first,
                                      .most = RETRY_TAKE_MAX,
                                      .items = work->items};

        if (!ask(work, &page, 1, err))
            return false;
        if (!page.item_count)
            return true;
        if (!treat_page(work, page.item_count, err))
            return false;
    }
}

/* ---- the whole ---- */

static void print_sum(const struct retry_work *work)
{
    const char *what = work->request->command == RETRY_COMMAND_DROP ? "dropped" : "due now";

    if (work->request->command == RETRY_COMMAND_LIST)
        return;
    fprintf(work->out, "%zu of %zu records %s\n", work->matched, work->seen, what);
}

bool retry_run(const struct config *config, const struct retry_request *request, FILE *out,
               struct error *err)
{
    struct retry_work *work = memory_new(sizeof(*work));
    bool done = true;

    work->request = request;
    work->out = out;
    work->loop = loop_open();
    work->timer = loop_timer_open(work->loop, on_tick, work);
    if (retry_store_exists_for(config)) {
        work->store = retry_store_open_for(config, work->loop, err);
        done = work->store && treat_all(work, err);
    }
    print_sum(work);
    retry_store_close(work->store);
    loop_timer_close(work->timer);
    loop_close(work->loop);
    free(work);
    return done;
}
