/*
 * Takes over sr3's retry lists, a piece at a time: a look at the head of a list, then one removal
 * for each entry that was settled.
 */
#include "store/sr3_lists.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#define CLOSE_WAIT_MS 2000
#define PAUSE_MS      1000

enum script { LOOK, REMOVE };

/* KEYS: the list, where unreadable entries go. ARGV: how many, bytes in all, bytes of one. An entry
 * too large to be looked at goes aside at once. */
static const struct redis_script scripts[] = {
    [LOOK] = {"sr3 look",
              "local moved = 0\n"
              "local first = redis.call('LINDEX', KEYS[1], 0)\n"
              "while first and #first > tonumber(ARGV[3]) and moved < 8 do\n"
              "  redis.call('RPUSH', KEYS[2], first)\n"
              "  redis.call('LPOP', KEYS[1])\n"
              "  moved = moved + 1\n"
              "  first = redis.call('LINDEX', KEYS[1], 0)\n"
              "end\n"
              "local answer, size = {moved}, 0\n"
              "if first and #first > tonumber(ARGV[3]) then return answer end\n"
              "for i, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1)) do\n"
              "  size = size + #entry\n"
              "  if i > 1 and size > tonumber(ARGV[2]) then break end\n"
              "  answer[#answer + 1] = entry\n"
              "end\n"
              "return answer\n",
              2},
    /* ARGV: the entry, 1: it goes aside. */
    [REMOVE] = {"sr3 remove",
                "if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end\n"
                "if ARGV[2] == '1' then redis.call('RPUSH', KEYS[2], ARGV[1]) end\n"
                "redis.call('LPOP', KEYS[1])\n"
                "return 1\n",
                2},
};

static const char *const suffixes[] = {"", ".new", ".hk"};

#define LISTS COUNT_OF(suffixes)

struct sr3_lists {
    struct redis_link *link;
    struct loop_timer *pause; /* until the next try */
    struct sr3_piece *piece;
    char *keys[LISTS], *aside[LISTS];
    size_t current;  /* LISTS: done */
    size_t removals; /* not answered yet */
    bool failed;     /* one of them, ... */
    bool refused;    /* ... by Redis itself */
    bool gave_up;    /* one of the lists */
    bool closing;
    char *failure;
};

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

static void look(struct sr3_lists *lists);

static void next_list(struct sr3_lists *lists)
{
    lists->current++;
    if (lists->current < LISTS)
        look(lists);
}

static void note(struct sr3_lists *lists, const char *failure)
{
    memory_replace(&lists->failure,
                   memory_format("take over retries of sr3 from redis list '%s': %s",
                                 lists->keys[lists->current], failure));
}

/* Without Redis it is tried again; what Redis refuses is left as it is. */
static void go_on_after(struct sr3_lists *lists, bool refused)
{
    if (!refused || redis_link_failure(lists->link)) {
        loop_timer_set(lists->pause, PAUSE_MS);
        return;
    }
    lists->gave_up = true;
    next_list(lists);
}

static void take_entries(struct sr3_lists *lists, const redisReply *reply)
{
    struct sr3_piece *piece = lists->piece;
    size_t size = 0;
    char *to;

    for (size_t i = 1; i < reply->elements; i++)
        size += is_text(reply->element[i]) ? (size_t)reply->element[i]->len : 0;
    to = piece->text = memory_new(size + 1);
    for (size_t i = 1; i < reply->elements && piece->count < SR3_PIECE_ENTRIES_MAX; i++) {
        const redisReply *entry = reply->element[i];

        if (!is_text(entry))
            continue;
        memcpy(to, entry->str, (size_t)entry->len);
        piece->entries[piece->count++] = (struct sr3_entry){
            .text = to, .length = (size_t)entry->len, .place = lists->keys[lists->current]};
        to += entry->len;
    }
}

static bool makes_sense(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= 1
           && reply->element[0]->type == REDIS_REPLY_INTEGER;
}

static void looked(void *ticket, const struct redisReply *reply, const char *failure)
{
    struct sr3_lists *lists = ticket;

    if (lists->closing)
        return;
    if (failure || !makes_sense(reply)) {
        note(lists, failure ? failure : "an answer that makes no sense");
        go_on_after(lists, reply != NULL);
        return;
    }
    if (!lists->gave_up)
        memory_replace(&lists->failure, NULL);
    take_entries(lists, reply);
    if (lists->piece->count > 0)
        return;
    sr3_piece_clear(lists->piece);
    if (reply->element[0]->integer > 0)
        look(lists);
    else
        next_list(lists);
}

static void look(struct sr3_lists *lists)
{
    char numbers[3][24];
    const char *arguments[5] = {lists->keys[lists->current], lists->aside[lists->current]};
    size_t lengths[5];

    snprintf(numbers[0], sizeof(numbers[0]), "%d", SR3_PIECE_ENTRIES_MAX);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", SR3_PIECE_SIZE);
    snprintf(numbers[2], sizeof(numbers[2]), "%d", SR3_ENTRY_SIZE_MAX);
    for (size_t i = 0; i < 5; i++) {
        if (i >= 2)
            arguments[i] = numbers[i - 2];
        lengths[i] = strlen(arguments[i]);
    }
    redis_link_call(lists->link, LOOK, 5, arguments, lengths, looked, lists);
    redis_link_send(lists->link);
}

static void look_again(void *context)
{
    look(context);
}

/* What was not removed is seen and kept once more, so failures need no other care. */
static void removed(void *ticket, const struct redisReply *reply, const char *failure)
{
    struct sr3_lists *lists = ticket;

    if (failure && !lists->closing) {
        note(lists, failure);
        lists->failed = true;
        lists->refused = reply != NULL;
    }
    if (--lists->removals > 0 || lists->closing)
        return;
    if (lists->failed)
        go_on_after(lists, lists->refused);
    else
        look(lists);
}

static void remove_entry(struct sr3_lists *lists, const struct sr3_entry *entry)
{
    const char *arguments[] = {lists->keys[lists->current], lists->aside[lists->current],
                               entry->text, entry->kept ? "0" : "1"};
    size_t lengths[] = {strlen(arguments[0]), strlen(arguments[1]), entry->length, 1};

    lists->removals++;
    redis_link_call(lists->link, REMOVE, 4, arguments, lengths, removed, lists);
}

void sr3_lists_next(struct sr3_lists *lists)
{
    struct sr3_piece *piece = lists->piece;
    bool settled = piece->count > 0;

    lists->failed = lists->refused = false;
    for (size_t i = 0; i < piece->count; i++)
        remove_entry(lists, &piece->entries[i]);
    sr3_piece_clear(piece);
    if (settled)
        redis_link_send(lists->link);
    else
        look(lists);
}

bool sr3_lists_are_done(const struct sr3_lists *lists)
{
    return lists->current == LISTS;
}

const char *sr3_lists_failure(const struct sr3_lists *lists)
{
    const char *failure = redis_link_failure(lists->link);

    return failure && !sr3_lists_are_done(lists) ? failure : lists->failure;
}

struct sr3_lists *sr3_lists_open(struct loop *loop, const struct redis_settings *redis,
                                 const char *queue, struct sr3_piece *piece, struct error *err)
{
    struct sr3_lists *lists = memory_new(sizeof(*lists));

    lists->piece = piece;
    lists->pause = loop_timer_open(loop, look_again, lists);
    for (size_t i = 0; i < LISTS; i++) {
        lists->keys[i] = memory_format("sr3.retry_queue.work_retry.%s%s", queue, suffixes[i]);
        lists->aside[i] = memory_format("%s.unreadable", lists->keys[i]);
    }
    lists->link = redis_link_open(loop, redis, scripts, COUNT_OF(scripts), err);
    if (lists->link)
        return lists;
    sr3_lists_close(lists);
    return NULL;
}

void sr3_lists_close(struct sr3_lists *lists)
{
    if (!lists)
        return;
    lists->closing = true;
    redis_link_close(lists->link, CLOSE_WAIT_MS);
    loop_timer_close(lists->pause);
    for (size_t i = 0; i < LISTS; i++) {
        free(lists->keys[i]);
        free(lists->aside[i]);
    }
    free(lists->failure);
    free(lists);
}
