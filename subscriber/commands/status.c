/*
 * status: one look, or with `watch` one after the other until a signal ends it. On a terminal each
 * look takes the place of the one before, on a screen of its own, which is taken away at the end.
 */
#include "commands/status_parts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WATCH_S 2

#define SCREEN_OPEN  "\033[?1049h\033[?25l"
#define SCREEN_HOME  "\033[H"
#define SCREEN_REST  "\033[J"
#define LINE_REST    "\033[K"
#define SCREEN_CLOSE "\033[?25h\033[?1049l"

/* ---- one look ---- */

static bool look(const struct status_request *request, struct status_list *list, struct error *err)
{
    status_gather(request->names, request->name_count, list);
    if (list->count || !request->name_count)
        return true;
    return error_set(err, ERROR_OPERATOR, "there is neither configuration nor instance of '%s'",
                     request->names[0]);
}

static void print(const struct status_request *request, const struct status_list *list, bool bars,
                  FILE *out)
{
    if (request->json)
        command_print_json(status_print_json(list), request->watch ? JSON_COMPACT : JSON_INDENT(2),
                           out);
    else
        status_print_table(
            list, (bars ? STATUS_BARS : 0) | (request->full ? (unsigned)STATUS_FULL : 0), out);
}

/* ---- watching ---- */

static void set_rates(struct status_list *list, const struct status_list *before)
{
    for (size_t i = 0; i < list->count; i++)
        for (size_t other = 0; other < before->count; other++)
            if (strcmp(list->items[i].title, before->items[other].title) == 0)
                status_rates_since(&list->items[i], &before->items[other]);
}

/* The whole look in one go, so that it does not flicker. */
static void redraw(const struct status_request *request, const struct status_list *list, FILE *out)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    print(request, list, true, memory);
    fclose(memory);
    fputs(SCREEN_HOME, out);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        fprintf(out, "%.*s" LINE_REST "\n", (int)(end - line), line);
    fputs(SCREEN_REST, out);
    free(text);
}

/* False: a signal came, or nobody reads any more. */
static bool wait_for_next(const sigset_t *signals, FILE *out)
{
    const struct timespec pause = {.tv_sec = WATCH_S};

    return !fflush(out) && sigtimedwait(signals, NULL, &pause) < 0;
}

static bool watch(const struct status_request *request, bool terminal, FILE *out, struct error *err)
{
    struct status_list before = {0}, list;
    bool going = true, seen;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGPIPE);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    fputs(terminal ? SCREEN_OPEN : "", out);
    while ((seen = look(request, &list, err)) && going) {
        set_rates(&list, &before);
        if (terminal)
            redraw(request, &list, out);
        else
            print(request, &list, true, out);
        status_list_clear(&before);
        before = list;
        going = wait_for_next(&signals, out);
        list = (struct status_list){0};
    }
    status_list_clear(&list);
    status_list_clear(&before);
    fputs(terminal ? SCREEN_CLOSE : "", out);
    fflush(out);
    return seen;
}

bool status_run(const struct status_request *request, FILE *out, struct error *err)
{
    struct status_list list;
    bool seen;

    if (request->watch)
        return watch(request, !request->json && isatty(fileno(out)), out, err);
    seen = look(request, &list, err);
    if (seen)
        print(request, &list, false, out);
    status_list_clear(&list);
    return seen;
}
