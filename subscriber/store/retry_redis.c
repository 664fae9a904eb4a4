/*
 * The retry store in Redis: NAME.due, a sorted set of ids by due time, and NAME.body, a hash of
 * bodies by id. Each question is one script, so nothing is ever half done; a script touches no more
 * records than it takes or lists.
 */
#include "store/retry_store.h"

#include "store/redis_link.h"
#include "store/retry_limits.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE_WAIT_MS 2000
#define HEX_SIZE      (2 * RETRY_ID_SIZE)
#define NUMBER_SIZE   24

/* KEYS: NAME.due, NAME.body. Times are Redis's own, so that all instances agree on them. */
#define NOW                                                                                        \
    "local clock = redis.call('TIME')\n"                                                           \
    "local now = clock[1] * 1000 + math.floor(clock[2] / 1000)\n"

/* Answers in one flat array: how many wait, when the next is due, then id, time and body of each.
 * `hide` is what is done with a record that is handed out. A member without a body is a leftover of
 * a script that ran out of memory. */
#define COLLECT                                                                                    \
    "local answer, size = {0, -1}, 0\n"                                                            \
    "for i = 1, #found, 2 do\n"                                                                    \
    "  local body = redis.call('HGET', KEYS[2], found[i])\n"                                       \
    "  if body then\n"                                                                             \
    "    size = size + #body\n"                                                                    \
    "    if #answer > 2 and size > tonumber(ARGV[2]) then break end\n"                             \
    "    hide(found[i])\n"                                                                         \
    "    answer[#answer + 1] = found[i]\n"                                                         \
    "    answer[#answer + 1] = found[i + 1] - now\n"                                               \
    "    answer[#answer + 1] = body\n"                                                             \
    "  else\n"                                                                                     \
    "    redis.call('ZREM', KEYS[1], found[i])\n"                                                  \
    "  end\n"                                                                                      \
    "end\n"                                                                                        \
    "local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')\n"                            \
    "answer[1] = redis.call('ZCARD', KEYS[1])\n"                                                   \
    "if first[2] then answer[2] = math.max(0, first[2] - now) end\n"                               \
    "return answer\n"

static const struct redis_script scripts[] = {
    [RETRY_KEEP] = {"retry keep",
                    NOW
                    "redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])\n"
                    "redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])\n"
                    "return 1\n",
                    2},
    [RETRY_HIDE] = {"retry hide",
                    NOW "return redis.call('ZADD', KEYS[1], 'XX',"
                        " string.format('%.0f', now + ARGV[2]), ARGV[1])\n",
                    2},
    [RETRY_DROP] = {"retry drop",
                    "redis.call('HDEL', KEYS[2], ARGV[1])\n"
                    "return redis.call('ZREM', KEYS[1], ARGV[1])\n",
                    2},
    [RETRY_TAKE] =
        {"retry take",
         NOW "local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now,"
             " 'WITHSCORES', 'LIMIT', 0, ARGV[1])\n"
             "local due = string.format('%.0f', now + ARGV[3])\n"
             "local function hide(id) redis.call('ZADD', KEYS[1], 'XX', due, id) end\n" COLLECT,
         2},
    [RETRY_LIST] = {"retry list",
                    NOW "local found = redis.call('ZRANGEBYSCORE', KEYS[1],"
                        " string.format('(%.0f', now + ARGV[3]), '+inf',"
                        " 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[1])\n"
                        "local function hide(id) end\n" COLLECT,
                    2},
};

struct retry_redis {
    struct retry_store store; /* first: this is what the callers hold */
    struct redis_link *link;
    char *due_key, *body_key;
    struct list asked; /* gathered since the last send */
    struct list answers;
    char *failure; /* of the last answer, if not the connection's; NULL: it was a good one */
};

/* A question under way. */
struct call {
    struct retry_redis *redis;
    struct retry_question *question;
};

static struct retry_redis *redis_of(const struct retry_store *store)
{
    return (struct retry_redis *)store;
}

static void print_hex(const unsigned char id[RETRY_ID_SIZE], char hex[HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < RETRY_ID_SIZE; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const redisReply *text, unsigned char id[RETRY_ID_SIZE])
{
    if (text->len != HEX_SIZE)
        return false;
    for (size_t i = 0; i < RETRY_ID_SIZE; i++) {
        int high = hex_value(text->str[2 * i]), low = hex_value(text->str[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        id[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static bool is_item(redisReply *const *fields)
{
    return fields[0]->type == REDIS_REPLY_STRING && fields[1]->type == REDIS_REPLY_INTEGER
           && fields[2]->type == REDIS_REPLY_STRING;
}

/* A member that is none of our ids is passed over: it is somebody else's. */
static void read_item(redisReply *const *fields, struct retry_question *question)
{
    struct retry_item *item = &question->items[question->item_count];

    if (!is_item(fields) || !parse_hex(fields[0], item->id))
        return;
    item->due_in_ms = question->action == RETRY_TAKE ? -fields[1]->integer : fields[1]->integer;
    item->body_size = (size_t)fields[2]->len;
    item->body = memory_copy_bytes(fields[2]->str, item->body_size);
    question->item_count++;
}

static bool read_items(const redisReply *reply, struct retry_question *question)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 || reply->elements % 3 != 2
        || reply->element[0]->type != REDIS_REPLY_INTEGER
        || reply->element[1]->type != REDIS_REPLY_INTEGER)
        return false;
    question->waiting = reply->element[0]->integer;
    question->next_due_ms = reply->element[1]->integer;
    for (size_t i = 2; i < reply->elements && question->item_count < question->most; i += 3)
        read_item(reply->element + i, question);
    return true;
}

static bool read_answer(const redisReply *reply, struct retry_question *question)
{
    if (question->action == RETRY_TAKE || question->action == RETRY_LIST)
        return read_items(reply, question);
    return reply->type == REDIS_REPLY_INTEGER;
}

static char *explain(const struct retry_redis *redis, const char *failure)
{
    if (strstr(failure, "WRONGTYPE"))
        return memory_format("redis key '%s' is no sorted set, or '%s' no hash: something else uses"
                             " the name; delete or rename the key (%s)",
                             redis->due_key, redis->body_key, failure);
    return memory_copy(failure);
}

/* What ails the connection is the connection's to say, and to forget. */
static void note_failure(struct retry_redis *redis, const char *failure)
{
    bool own = failure && !redis_link_failure(redis->link);

    memory_replace(&redis->failure, own ? explain(redis, failure) : NULL);
}

static void take_reply(void *ticket, const struct redisReply *reply, const char *failure)
{
    struct call *call = ticket;
    struct retry_redis *redis = call->redis;
    struct retry_question *question = call->question;

    free(call);
    question->done = !failure && reply && read_answer(reply, question);
    if (!question->done && !failure)
        failure = "redis: an answer that makes no sense";
    note_failure(redis, failure);
    list_append(&redis->answers, &question->link);
}

struct arguments {
    size_t count;
    const char *texts[6];
    size_t lengths[6];
    char numbers[4][NUMBER_SIZE];
    size_t number_count;
    char hex[HEX_SIZE];
};

static void add(struct arguments *arguments, const char *text, size_t length)
{
    arguments->texts[arguments->count] = text;
    arguments->lengths[arguments->count++] = length;
}

static void add_number(struct arguments *arguments, int64_t number)
{
    char *text = arguments->numbers[arguments->number_count++];

    snprintf(text, NUMBER_SIZE, "%lld", (long long)number);
    add(arguments, text, strlen(text));
}

static void add_delay(struct arguments *arguments, int64_t delay_ms)
{
    if (delay_ms > RETRY_DELAY_MAX_MS)
        delay_ms = RETRY_DELAY_MAX_MS;
    if (delay_ms < -RETRY_DELAY_MAX_MS)
        delay_ms = -RETRY_DELAY_MAX_MS;
    add_number(arguments, delay_ms);
}

static void add_id(struct arguments *arguments, const struct retry_question *question)
{
    print_hex(question->id, arguments->hex);
    add(arguments, arguments->hex, HEX_SIZE);
}

static void add_limits(struct arguments *arguments, const struct retry_question *question)
{
    add_number(arguments, (int64_t)question->most);
    add_number(arguments, RETRY_BODIES_SIZE_MAX);
}

static void add_action(struct arguments *arguments, const struct retry_question *question)
{
    switch (question->action) {
    case RETRY_KEEP:
        add_id(arguments, question);
        add_delay(arguments, question->delay_ms);
        add(arguments, question->body_size ? question->body : "", question->body_size);
        break;
    case RETRY_HIDE:
        add_id(arguments, question);
        add_delay(arguments, question->delay_ms);
        break;
    case RETRY_DROP:
        add_id(arguments, question);
        break;
    case RETRY_TAKE:
        add_limits(arguments, question);
        add_delay(arguments, question->delay_ms);
        break;
    case RETRY_LIST:
        add_limits(arguments, question);
        add_delay(arguments, question->due_after_ms);
        add_number(arguments, (int64_t)question->first);
        break;
    }
}

static void send_one(struct retry_redis *redis, struct retry_question *question)
{
    struct arguments arguments = {0};
    struct call *call = memory_new(sizeof(*call));

    *call = (struct call){redis, question};
    add(&arguments, redis->due_key, strlen(redis->due_key));
    add(&arguments, redis->body_key, strlen(redis->body_key));
    add_action(&arguments, question);
    redis_link_call(redis->link, question->action, arguments.count, arguments.texts,
                    arguments.lengths, take_reply, call);
}

static void retry_redis_ask(struct retry_store *store, struct retry_question *question)
{
    assert(question->most <= RETRY_TAKE_MAX);
    question->done = false;
    question->item_count = 0;
    question->next_due_ms = -1;
    list_append(&redis_of(store)->asked, &question->link);
}

static void retry_redis_send(struct retry_store *store)
{
    struct retry_redis *redis = redis_of(store);
    struct list_link *link;

    while ((link = list_take_first(&redis->asked)))
        send_one(redis, LIST_ITEM(link, struct retry_question, link));
    redis_link_send(redis->link);
}

static struct retry_question *retry_redis_take_answer(struct retry_store *store)
{
    struct list_link *link = list_take_first(&redis_of(store)->answers);

    return link ? LIST_ITEM(link, struct retry_question, link) : NULL;
}

static const char *retry_redis_failure(const struct retry_store *store)
{
    const struct retry_redis *redis = redis_of(store);
    const char *failure = redis_link_failure(redis->link);

    return failure ? failure : redis->failure;
}

static void retry_redis_close(struct retry_store *store)
{
    struct retry_redis *redis = redis_of(store);

    redis_link_close(redis->link, CLOSE_WAIT_MS);
    free(redis->due_key);
    free(redis->body_key);
    free(redis->failure);
    free(redis);
}

static const struct retry_store_functions retry_redis_functions = {
    .ask = retry_redis_ask,
    .send = retry_redis_send,
    .take_answer = retry_redis_take_answer,
    .failure = retry_redis_failure,
    .close = retry_redis_close,
};

struct retry_store *retry_store_open_redis(struct loop *loop, const struct redis_settings *settings,
                                           const char *name, struct error *err)
{
    struct retry_redis *redis = memory_new(sizeof(*redis));

    redis->store.functions = &retry_redis_functions;
    redis->due_key = memory_format("%s.due", name);
    redis->body_key = memory_format("%s.body", name);
    list_init(&redis->asked);
    list_init(&redis->answers);
    redis->link = redis_link_open(loop, settings, scripts, COUNT_OF(scripts), err);
    if (redis->link)
        return &redis->store;
    retry_redis_close(&redis->store);
    return NULL;
}
