/*
 * What is kept for another try. A hold has one question with the store at a time; what is wanted
 * meanwhile goes out when it is answered, and only the last answer is given.
 */
#include "stages/retry.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 1000 /* others may keep records too, so the store is looked into this often */

struct retry {
    struct retry_store *store;
    struct retry_settings settings;
    struct list held;    /* in the order of renew_at_ms */
    struct list answers; /* not taken yet */
    int working;         /* holds with a record */

    struct retry_question look; /* for due records */
    struct retry_item items[RETRY_TAKE_MAX];
    size_t taken; /* of the items, so many have been given away */
    bool looking, paused;
    int64_t look_at_ms;
    int64_t waiting;
};

struct retry *retry_open(struct retry_store *store, const struct retry_settings *settings)
{
    struct retry *retry = memory_new(sizeof(*retry));

    retry->store = store;
    retry->settings = *settings;
    retry->look.items = retry->items;
    list_init(&retry->held);
    list_init(&retry->answers);
    return retry;
}

static size_t items_left(const struct retry *retry)
{
    return retry->looking ? 0 : retry->look.item_count - retry->taken;
}

void retry_close(struct retry *retry)
{
    if (!retry)
        return;
    for (size_t i = retry->taken; i < retry->look.item_count; i++)
        free(retry->items[i].body);
    free(retry);
}

/* ---- holds ---- */

static void ask(struct retry *retry, struct retry_hold *hold, enum retry_action action,
                int64_t delay_ms)
{
    list_remove(&hold->held_link);
    hold->question.action = action;
    hold->question.delay_ms = delay_ms;
    if (action == RETRY_KEEP) {
        hold->question.body = hold->body;
        hold->question.body_size = strlen(hold->body);
    }
    hold->asked = true;
    retry_store_ask(retry->store, &hold->question);
}

static void request(struct retry *retry, struct retry_hold *hold, enum retry_action action,
                    int64_t delay_ms)
{
    list_remove(&hold->answer_link);
    hold->busy = true;
    if (!hold->asked) {
        ask(retry, hold, action, delay_ms);
        return;
    }
    hold->wanted = true;
    hold->next = action;
    hold->next_delay_ms = delay_ms;
}

static void set_held(struct retry *retry, struct retry_hold *hold, bool held)
{
    retry->working += held - hold->held;
    hold->held = held;
}

/* The interval is the same for all, so the list stays in order. */
static void renew_later(struct retry *retry, struct retry_hold *hold)
{
    hold->renew_at_ms = clock_now_ms() + retry->settings.lease_ms / 3;
    list_append(&retry->held, &hold->held_link);
}

void retry_keep(struct retry *retry, struct retry_hold *hold, const unsigned char id[RETRY_ID_SIZE],
                char *body, int64_t delay_ms, bool hold_on)
{
    assert(!hold->busy);
    memory_replace(&hold->body, body);
    memcpy(hold->question.id, id, RETRY_ID_SIZE);
    hold->hold_on = hold_on;
    if (!hold_on && delay_ms < retry->look_at_ms - clock_now_ms())
        retry->look_at_ms = clock_now_ms() + delay_ms;
    request(retry, hold, RETRY_KEEP, hold_on ? retry->settings.lease_ms : delay_ms);
}

void retry_drop(struct retry *retry, struct retry_hold *hold)
{
    hold->hold_on = false;
    request(retry, hold, RETRY_DROP, 0);
}

void retry_let_go(struct retry *retry, struct retry_hold *hold, int64_t delay_ms)
{
    hold->hold_on = false;
    request(retry, hold, RETRY_HIDE, delay_ms);
}

void retry_adopt(struct retry *retry, struct retry_hold *hold,
                 const unsigned char id[RETRY_ID_SIZE])
{
    assert(!hold->held && !hold->asked);
    memcpy(hold->question.id, id, RETRY_ID_SIZE);
    set_held(retry, hold, true);
    renew_later(retry, hold);
}

static void answer(struct retry *retry, struct retry_hold *hold, enum retry_verdict verdict)
{
    hold->busy = false;
    hold->verdict = verdict;
    list_append(&retry->answers, &hold->answer_link);
}

/* What was asked is done. */
static void settle(struct retry *retry, struct retry_hold *hold)
{
    bool kept = hold->question.action == RETRY_KEEP;

    set_held(retry, hold, kept && hold->hold_on);
    if (hold->held)
        renew_later(retry, hold);
    memory_replace(&hold->body, NULL);
    answer(retry, hold, kept ? RETRY_KEPT : RETRY_SETTLED);
}

static void hold_answered(struct retry *retry, struct retry_hold *hold)
{
    bool renewed = hold->renewing;

    hold->asked = hold->renewing = false;
    if (hold->wanted) {
        hold->wanted = false;
        ask(retry, hold, hold->next, hold->next_delay_ms);
    } else if (!renewed && hold->question.done) {
        settle(retry, hold);
    } else {
        if (hold->held)
            renew_later(retry, hold);
        if (!renewed)
            answer(retry, hold, RETRY_UNKNOWN);
    }
}

static void renew_due(struct retry *retry)
{
    int64_t now_ms = clock_now_ms();
    struct list_link *link;

    while ((link = list_first(&retry->held))) {
        struct retry_hold *hold = LIST_ITEM(link, struct retry_hold, held_link);

        if (hold->renew_at_ms > now_ms)
            return;
        hold->renewing = true;
        ask(retry, hold, RETRY_HIDE, retry->settings.lease_ms);
    }
}

/* ---- looking for what is due ---- */

static void look(struct retry *retry)
{
    int room = retry->settings.work_max - retry->working;

    if (retry->looking || retry->paused || items_left(retry) || room <= 0
        || clock_now_ms() < retry->look_at_ms)
        return;
    retry->look.action = RETRY_TAKE;
    retry->look.most = room < RETRY_TAKE_MAX ? (size_t)room : RETRY_TAKE_MAX;
    retry->look.delay_ms = retry->settings.lease_ms;
    retry->look.item_count = 0;
    retry->taken = 0;
    retry->looking = true;
    retry_store_ask(retry->store, &retry->look);
}

static void looked(struct retry *retry)
{
    int64_t next_ms = retry->look.next_due_ms;

    retry->looking = false;
    if (!retry->look.done) {
        retry->look.item_count = 0;
        next_ms = LOOK_MS;
    } else {
        retry->waiting = retry->look.waiting;
    }
    if (next_ms < 0 || next_ms > LOOK_MS)
        next_ms = LOOK_MS;
    retry->look_at_ms = clock_now_ms() + next_ms;
}

bool retry_take_due(struct retry *retry, struct retry_item *item)
{
    if (!items_left(retry))
        return false;
    *item = retry->items[retry->taken++];
    return true;
}

/* ---- all together ---- */

void retry_send(struct retry *retry)
{
    renew_due(retry);
    look(retry);
    retry_store_send(retry->store);
}

struct retry_hold *retry_take_answer(struct retry *retry)
{
    struct retry_question *question;
    struct list_link *link;

    while ((question = retry_store_take_answer(retry->store))) {
        if (question == &retry->look)
            looked(retry);
        else
            hold_answered(retry, LIST_ITEM(question, struct retry_hold, question));
    }
    link = list_take_first(&retry->answers);
    return link ? LIST_ITEM(link, struct retry_hold, answer_link) : NULL;
}

void retry_pause(struct retry *retry, bool paused)
{
    retry->paused = paused;
}

bool retry_has_room(const struct retry *retry)
{
    return retry->working < retry->settings.work_max;
}

int64_t retry_waiting(const struct retry *retry)
{
    return retry->waiting;
}
