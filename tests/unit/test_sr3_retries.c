/* What sr3 left, taken over from its files and from a real Redis: everything is handed over, leaves
 * its place only when it is settled, and is never lost. */
#include "store/sr3_retries.h"

#include "base/clock.h"
#include "store/redis_link.h"

#include "redis_server.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define QUEUE       "subscribe.q_anonymous.subscribe.dd_all"
#define LIST        "sr3.retry_queue.work_retry." QUEUE
#define DEADLINE_MS 20000

struct scene {
    char directory[40];
    struct redis_server server;
    struct loop *loop;
    struct sr3_retries *retries;
    bool late;
    char seen[65536]; /* the entries, as they came, each with a space behind it */
};

static void set_mark(void *context)
{
    *(bool *)context = true;
}

static int scene_open(void **state)
{
    struct scene *scene = memory_new(sizeof(*scene));

    snprintf(scene->directory, sizeof(scene->directory), "/tmp/test_sr3.XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    scene->loop = loop_open();
    *state = scene;
    return 0;
}

static int server_open(void **state)
{
    struct scene *scene;

    scene_open(state);
    scene = *state;
    redis_server_start(&scene->server);
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;

    sr3_retries_close(scene->retries);
    loop_close(scene->loop);
    redis_server_end(&scene->server);
    nftw(scene->directory, redis_server_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(scene);
    return 0;
}

static struct sr3_retries *open_retries(struct scene *scene)
{
    const char *socket = scene->server.port ? scene->server.socket : "/none";
    char *text = memory_format("unix://%s", socket);
    struct url url = redis_url_of(text);
    struct redis_settings redis = {
        .url = &url, .connect_timeout_ms = 5000, .command_timeout_ms = DEADLINE_MS};
    struct sr3_retries_settings settings = {
        .directory = scene->directory, .redis = scene->server.port ? &redis : NULL, .queue = QUEUE};
    struct error err = {0};
    struct sr3_retries *retries = sr3_retries_open(scene->loop, &settings, &err);

    if (!retries)
        fail_msg("%s", err.text);
    url_clear(&url);
    free(text);
    return retries;
}

static void see(struct scene *scene, const struct sr3_entry *entry)
{
    size_t length = strlen(scene->seen), most = entry->length < 60 ? entry->length : 60;

    assert_true(length + most + 2 < sizeof(scene->seen));
    memcpy(scene->seen + length, entry->text, most);
    memcpy(scene->seen + length + most, " ", 2);
}

/* The next entry; NULL when there are no more. */
static struct sr3_entry *next_entry(struct scene *scene, struct sr3_retries *retries)
{
    struct loop_timer *deadline = loop_timer_open(scene->loop, set_mark, &scene->late);
    struct sr3_entry *entry;

    loop_timer_set(deadline, DEADLINE_MS);
    while (!(entry = sr3_retries_take_entry(retries)) && !sr3_retries_is_done(retries)
           && !scene->late)
        loop_wait(scene->loop);
    loop_timer_close(deadline);
    if (scene->late)
        fail_msg("nothing more comes: %s", sr3_retries_failure(retries));
    if (entry)
        see(scene, entry);
    return entry;
}

/* Entries that begin with '{' are kept, others cannot be read. */
static void settle(struct sr3_retries *retries, struct sr3_entry *entry)
{
    sr3_retries_settle(retries, entry, *entry->text == '{');
}

static void take_all(struct scene *scene)
{
    struct sr3_entry *entry;

    scene->retries = open_retries(scene);
    while ((entry = next_entry(scene, scene->retries)))
        settle(scene->retries, entry);
}

static void expect_seen(const struct scene *scene, const char *expected)
{
    if (strcmp(scene->seen, expected) != 0)
        fail_msg("'%s' came instead of '%s'", scene->seen, expected);
}

static void expect_well(const struct scene *scene)
{
    const char *failure = sr3_retries_failure(scene->retries);

    if (failure)
        fail_msg("%s", failure);
}

/* ---- files ---- */

static char *path_of(const struct scene *scene, const char *name)
{
    return memory_format("%s/%s", scene->directory, name);
}

static void write_file(const struct scene *scene, const char *name, const char *text)
{
    char *path = path_of(scene, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(path);
}

static void expect_file(const struct scene *scene, const char *name, const char *expected)
{
    char *path = path_of(scene, name), text[4096] = "";
    FILE *file = fopen(path, "r");

    if (!file)
        fail_msg("there is no %s", name);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    if (strcmp(text, expected) != 0)
        fail_msg("%s: '%s' instead of '%s'", name, text, expected);
    free(path);
}

/* The names of all files, in order, each with a space behind it. */
static void expect_names(const struct scene *scene, const char *expected)
{
    struct dirent **entries;
    char names[4096] = "";
    int count = scandir(scene->directory, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        if (*entries[i]->d_name != '.')
            sprintf(names + strlen(names), "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (strcmp(names, expected) != 0)
        fail_msg("'%s' are there instead of '%s'", names, expected);
}

static void files_are_taken_over(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "diskqueue_work_retry_01", "{1}\n{2}\n");
    write_file(scene, "diskqueue_work_retry_01.new", "{3}\n\n\n{4}");
    write_file(scene, "diskqueue_work_retry_01.hk", "");
    write_file(scene, "diskqueue_work_retry_12.hk", "{5}\n");
    write_file(scene, "diskqueue_post_retry_01", "{no}\n");
    write_file(scene, "diskqueue_work_retry_", "{no}\n");
    write_file(scene, "diskqueue_work_retry_01.old", "{no}\n");
    write_file(scene, "diskqueue_work_retry_01.newer", "{no}\n");
    take_all(scene);
    expect_seen(scene, "{1} {2} {3} {4} {5} ");
    expect_well(scene);
    expect_names(scene, "diskqueue_post_retry_01 diskqueue_work_retry_ "
                        "diskqueue_work_retry_01.newer diskqueue_work_retry_01.old ");
}

static void nothing_there_is_fine(void **state)
{
    struct scene *scene = *state;

    take_all(scene);
    expect_seen(scene, "");
    expect_well(scene);
    sr3_retries_close(scene->retries);
    strcat(scene->directory, "/none");
    take_all(scene);
    expect_well(scene);
    *strrchr(scene->directory, '/') = '\0';
}

static void unreadable_lines_are_moved_aside(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "diskqueue_work_retry_01.new", "{1}\nbad\n{2}\nworse");
    write_file(scene, "diskqueue_work_retry_01.new.unreadable", "earlier\n");
    take_all(scene);
    expect_seen(scene, "{1} bad {2} worse ");
    expect_names(scene, "diskqueue_work_retry_01.new.unreadable ");
    expect_file(scene, "diskqueue_work_retry_01.new.unreadable", "earlier\nbad\nworse\n");
}

static void what_is_not_settled_stays(void **state)
{
    struct scene *scene = *state;
    struct sr3_entry *entry;

    write_file(scene, "diskqueue_work_retry_01", "{1}\n{2}\n");
    scene->retries = open_retries(scene);
    entry = next_entry(scene, scene->retries);
    sr3_retries_settle(scene->retries, entry, true);
    assert_non_null(next_entry(scene, scene->retries));
    assert_null(sr3_retries_take_entry(scene->retries));
    sr3_retries_close(scene->retries); /* as if it had died */
    expect_names(scene, "diskqueue_work_retry_01.sr3sub ");
    write_file(scene, "diskqueue_work_retry_01", "{3}\n"); /* sr3 goes on */
    take_all(scene);
    expect_seen(scene, "{1} {2} {1} {2} {3} ");
    expect_names(scene, "");
}

#define MANY 1000

static void pieces_are_small(void **state)
{
    struct scene *scene = *state;
    char *path = path_of(scene, "diskqueue_work_retry_01");
    FILE *file = fopen(path, "w");
    struct sr3_entry *entries[64];
    size_t count = 0, open;

    for (int i = 0; i < MANY; i++)
        fprintf(file, "{%d}\n", i);
    fclose(file);
    free(path);
    scene->retries = open_retries(scene);
    while ((entries[0] = next_entry(scene, scene->retries))) {
        for (open = 1; open < 64; open++)
            if (!(entries[open] = sr3_retries_take_entry(scene->retries)))
                break;
        assert_null(sr3_retries_take_entry(scene->retries));
        count += open;
        while (open > 0) /* in any order */
            sr3_retries_settle(scene->retries, entries[--open], true);
    }
    assert_int_equal(count, MANY);
    expect_names(scene, "");
}

/* Lines larger than a piece are read; endless ones go aside as they are. */
static void large_lines_are_read_or_moved_aside(void **state)
{
    static const size_t large = 3 << 20, endless = 20 << 20;
    struct scene *scene = *state;
    char *path = path_of(scene, "diskqueue_work_retry_01"), *bytes = memory_new(endless);
    struct sr3_entry *entry;
    struct stat status;
    FILE *file = fopen(path, "w");

    memset(bytes, 'x', endless);
    fprintf(file, "{1}\n{%.*s}\n", (int)large, bytes);
    fprintf(file, "%.*s\n{2}\n", (int)endless, bytes);
    fclose(file);
    free(path);
    scene->retries = open_retries(scene);
    entry = next_entry(scene, scene->retries);
    settle(scene->retries, entry);
    entry = next_entry(scene, scene->retries);
    assert_int_equal(entry->length, large + 2);
    settle(scene->retries, entry);
    while ((entry = next_entry(scene, scene->retries)))
        settle(scene->retries, entry);
    assert_string_equal(scene->seen + strlen(scene->seen) - 4, "{2} ");
    path = path_of(scene, "diskqueue_work_retry_01.unreadable");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, endless + 1);
    expect_names(scene, "diskqueue_work_retry_01.unreadable ");
    free(path);
    free(bytes);
}

/* Two at once: each file goes to one of them, and to no other while it is at it. */
static void a_file_goes_to_one_instance(void **state)
{
    struct scene *scene = *state;
    struct sr3_retries *other;
    struct sr3_entry *entry;

    write_file(scene, "diskqueue_work_retry_01", "{1}\n{2}\n");
    scene->retries = open_retries(scene);
    entry = next_entry(scene, scene->retries);
    other = open_retries(scene);
    assert_null(next_entry(scene, other));
    sr3_retries_close(other);
    settle(scene->retries, entry);
    settle(scene->retries, next_entry(scene, scene->retries));
    assert_null(next_entry(scene, scene->retries));
    expect_seen(scene, "{1} {2} ");
    expect_names(scene, "");
}

static void a_file_that_cannot_be_taken_is_named(void **state)
{
    struct scene *scene = *state;
    char *path = path_of(scene, "diskqueue_work_retry_01");

    assert_int_equal(mkdir(path, 0700), 0);
    write_file(scene, "diskqueue_work_retry_02", "{2}\n");
    take_all(scene);
    expect_seen(scene, "{2} ");
    assert_non_null(strstr(sr3_retries_failure(scene->retries), path));
    free(path);
}

/* A directory stands where unreadable entries should go. */
static void what_cannot_be_moved_aside_stays(void **state)
{
    struct scene *scene = *state;
    char *path = path_of(scene, "diskqueue_work_retry_01.unreadable");

    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
    write_file(scene, "diskqueue_work_retry_01", "{1}\nbad\n");
    take_all(scene);
    assert_non_null(strstr(sr3_retries_failure(scene->retries), "diskqueue_work_retry_01"));
    expect_file(scene, "diskqueue_work_retry_01.sr3sub", "{1}\nbad\n");
}

/* ---- lists ---- */

static void push(struct scene *scene, const char *suffix, const char *entry)
{
    free(redis_server_ask(&scene->server, "RPUSH %s%s %s", LIST, suffix, entry));
}

static void lists_are_taken_over(void **state)
{
    struct scene *scene = *state;

    push(scene, "", "{1}");
    push(scene, "", "{2}");
    push(scene, ".new", "{3}");
    push(scene, ".hk", "{4}");
    write_file(scene, "diskqueue_work_retry_01", "{0}\n");
    take_all(scene);
    expect_seen(scene, "{0} {1} {2} {3} {4} ");
    expect_well(scene);
    redis_server_expect(&scene->server, "0", "DBSIZE");
}

static void unreadable_entries_are_moved_aside(void **state)
{
    struct scene *scene = *state;

    push(scene, ".new", "bad");
    push(scene, ".new", "{1}");
    push(scene, ".new", "worse");
    push(scene, ".new", "worse");
    take_all(scene);
    expect_seen(scene, "bad {1} worse worse ");
    redis_server_expect(&scene->server, "0", "EXISTS %s.new", LIST);
    redis_server_expect(&scene->server, "bad", "LPOP %s.new.unreadable", LIST);
    redis_server_expect(&scene->server, "worse", "LPOP %s.new.unreadable", LIST);
    redis_server_expect(&scene->server, "1", "LLEN %s.new.unreadable", LIST);
}

static void many_entries_are_taken_over(void **state)
{
    struct scene *scene = *state;

    redis_server_expect(&scene->server, "OK", "EVAL %s 1 %s",
                        "for i = 1, 1000 do redis.call('RPUSH', KEYS[1], '{' .. i .. '}') end "
                        "return redis.status_reply('OK')",
                        LIST);
    take_all(scene);
    assert_non_null(strstr(scene->seen, "{1} {2} "));
    assert_non_null(strstr(scene->seen, "{999} {1000} "));
    redis_server_expect(&scene->server, "0", "DBSIZE");
}

static void a_list_not_settled_stays(void **state)
{
    struct scene *scene = *state;

    push(scene, "", "{1}");
    push(scene, "", "{2}");
    scene->retries = open_retries(scene);
    settle(scene->retries, next_entry(scene, scene->retries));
    assert_non_null(next_entry(scene, scene->retries));
    sr3_retries_close(scene->retries);
    redis_server_expect(&scene->server, "2", "LLEN %s", LIST);
    take_all(scene);
    expect_seen(scene, "{1} {2} {1} {2} ");
    redis_server_expect(&scene->server, "0", "DBSIZE");
}

/* An sr3 takes and adds entries between look and removal: what it added is not touched. */
static void a_running_sr3_is_not_disturbed(void **state)
{
    struct scene *scene = *state;
    struct sr3_entry *first, *second;

    push(scene, "", "{1}");
    push(scene, "", "{2}");
    scene->retries = open_retries(scene);
    first = next_entry(scene, scene->retries);
    second = next_entry(scene, scene->retries);
    redis_server_expect(&scene->server, "{1}", "LPOP %s", LIST);
    redis_server_expect(&scene->server, "{2}", "LPOP %s", LIST);
    push(scene, "", "{3}");
    settle(scene->retries, first);
    settle(scene->retries, second);
    first = next_entry(scene, scene->retries);
    redis_server_expect(&scene->server, "1", "LLEN %s", LIST);
    settle(scene->retries, first);
    assert_null(next_entry(scene, scene->retries));
    expect_seen(scene, "{1} {2} {3} ");
}

static void instances_share_the_lists(void **state)
{
    struct scene *scene = *state;
    struct sr3_retries *other;
    struct sr3_entry *mine, *theirs;

    for (int i = 0; i < 200; i++)
        push(scene, "", "{same}");
    scene->retries = open_retries(scene);
    other = open_retries(scene);
    do {
        mine = next_entry(scene, scene->retries);
        theirs = next_entry(scene, other);
        if (mine)
            settle(scene->retries, mine);
        if (theirs)
            settle(other, theirs);
    } while (mine || theirs);
    sr3_retries_close(other);
    redis_server_expect(&scene->server, "0", "DBSIZE");
}

static void too_large_entries_go_aside_unread(void **state)
{
    struct scene *scene = *state;

    redis_server_expect(&scene->server, "2", "EVAL %s 1 %s",
                        "redis.call('RPUSH', KEYS[1], string.rep('x', 9000000))"
                        "return redis.call('RPUSH', KEYS[1], '{1}')",
                        LIST);
    take_all(scene);
    expect_seen(scene, "{1} ");
    redis_server_expect(&scene->server, "1", "LLEN %s.unreadable", LIST);
    redis_server_expect(&scene->server, "0", "LLEN %s", LIST);
}

static void a_list_of_another_type_is_named(void **state)
{
    struct scene *scene = *state;

    redis_server_expect(&scene->server, "OK", "SET %s foreign", LIST);
    push(scene, ".new", "{1}");
    take_all(scene);
    expect_seen(scene, "{1} ");
    assert_non_null(strstr(sr3_retries_failure(scene->retries), LIST));
    redis_server_expect(&scene->server, "foreign", "GET %s", LIST);
}

static void a_server_that_goes_is_waited_for(void **state)
{
    struct scene *scene = *state;
    struct sr3_entry *entry;

    push(scene, "", "{1}");
    scene->retries = open_retries(scene);
    entry = next_entry(scene, scene->retries);
    redis_server_kill(&scene->server);
    settle(scene->retries, entry);
    loop_wait(scene->loop);
    redis_server_start(&scene->server);
    push(scene, "", "{2}"); /* it kept nothing */
    settle(scene->retries, next_entry(scene, scene->retries));
    assert_null(next_entry(scene, scene->retries));
    expect_seen(scene, "{1} {2} ");
    expect_well(scene);
}

#define WITH(open, test) cmocka_unit_test_setup_teardown(test, open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(scene_open, files_are_taken_over),
        WITH(scene_open, nothing_there_is_fine),
        WITH(scene_open, unreadable_lines_are_moved_aside),
        WITH(scene_open, what_is_not_settled_stays),
        WITH(scene_open, pieces_are_small),
        WITH(scene_open, large_lines_are_read_or_moved_aside),
        WITH(scene_open, a_file_goes_to_one_instance),
        WITH(scene_open, a_file_that_cannot_be_taken_is_named),
        WITH(scene_open, what_cannot_be_moved_aside_stays),
        WITH(server_open, lists_are_taken_over),
        WITH(server_open, unreadable_entries_are_moved_aside),
        WITH(server_open, many_entries_are_taken_over),
        WITH(server_open, a_list_not_settled_stays),
        WITH(server_open, a_running_sr3_is_not_disturbed),
        WITH(server_open, instances_share_the_lists),
        WITH(server_open, too_large_entries_go_aside_unread),
        WITH(server_open, a_list_of_another_type_is_named),
        WITH(server_open, a_server_that_goes_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
