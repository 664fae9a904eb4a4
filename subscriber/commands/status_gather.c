/*
 * Finds subscriptions and their instances: configurations, then files of metrics, then files with
 * process numbers. What only left metrics here, such as containers that share the directory, is
 * found as well; its configuration may be elsewhere, then the defaults count.
 */
#include "commands/status_parts.h"

#include "base/clock.h"
#include "running.h"

#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSTANCE_MAX 99999
#define FRESH_S      5 /* however often it is written: a busy host may be late */

struct search {
    const char *const *names;
    size_t name_count;
    double now_s;
    char *state; /* the usual directory of state */
    struct status_list *list;
};

/* ---- subscriptions ---- */

static bool is_wanted(const struct search *search, const char *title)
{
    for (size_t i = 0; i < search->name_count; i++) {
        const char *name = search->names[i];
        size_t length = strlen(name);
        bool suffix = length > 5 && strcmp(name + length - 5, ".conf") == 0;
        char *pattern = memory_format("%s%.*s", strchr(name, '/') ? "" : "subscribe/",
                                      (int)(suffix ? length - 5 : length), name);
        bool matches = fnmatch(pattern, title, 0) == 0;

        free(pattern);
        if (matches)
            return true;
    }
    return !search->name_count;
}

/* The subscription of that title, perhaps made now; NULL: it was not asked for. */
static struct status_subscription *find(const struct search *search, const char *title)
{
    struct status_list *list = search->list;
    struct status_subscription *found;

    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].title, title) == 0)
            return &list->items[i];
    if (!is_wanted(search, title))
        return NULL;
    list->items = memory_resize(list->items, list->count + 1, sizeof(*list->items));
    found = &list->items[list->count++];
    *found = (struct status_subscription){.title = memory_copy(title)};
    found->name = strchr(found->title, '/') + 1;
    found->directory = memory_format("%s/%s", search->state, title);
    return found;
}

static int compare_instances(const void *a, const void *b)
{
    return ((const struct status_instance *)a)->number
           - ((const struct status_instance *)b)->number;
}

static struct status_instance *find_instance(struct status_subscription *subscription, int number)
{
    struct status_instance *found;

    for (size_t i = 0; i < subscription->instance_count; i++)
        if (subscription->instances[i].number == number)
            return &subscription->instances[i];
    subscription->instances =
        memory_resize(subscription->instances, subscription->instance_count + 1, sizeof(*found));
    found = &subscription->instances[subscription->instance_count++];
    *found = (struct status_instance){.number = number};
    return found;
}

/* `file` is subscribe/NAME.conf. What cannot be read still has a name, and perhaps instances. */
static void add_configuration(const struct search *search, const char *file)
{
    const char *dot = strrchr(file, '.');
    char *title = memory_copy_bytes(file, (size_t)(dot - file));
    struct status_subscription *subscription = find(search, title);
    struct error err = {0};

    free(title);
    if (!subscription || subscription->config)
        return;
    subscription->config = config_load(&(struct config_request){.name = file}, &err);
    if (subscription->config)
        memory_replace(&subscription->directory,
                       memory_copy(subscription->config->subscription_dir));
    else
        subscription->problem = memory_copy(err.text);
}

static void add_configurations(const struct search *search)
{
    struct error nothing = {0}; /* no directory of configurations: a host that only looks */
    size_t count;
    char **names = command_find_names(NULL, 0, &count, &nothing);

    for (size_t i = 0; names && i < count; i++)
        add_configuration(search, names[i]);
    if (names)
        command_free_names(names, count);
}

/* ---- metrics ---- */

static void add_sample(const struct search *search, struct status_subscription *subscription,
                       int number, const char *path)
{
    struct status_sample sample;
    struct error err = {0};
    struct status_instance *instance;

    if (!status_sample_read(path, &sample, &err)
        || search->now_s - sample.written_s > STATUS_IGNORED_AFTER_S)
        return;
    instance = find_instance(subscription, number);
    instance->sampled = true;
    instance->sample = sample;
}

/* The number behind the last '_' of "subscribe_NAME_01<suffix>", -1 if the name has another form.
 * *title becomes "subscribe/NAME", allocated. */
static int parse_name(const char *file, const char *suffix, char **title)
{
    size_t length = strlen(file), ending = strlen(suffix);
    const char *first = strchr(file, '_'), *last;
    char *end, *bare;
    long number = -1;

    if (*file == '.' || length <= ending || strcmp(file + length - ending, suffix) != 0)
        return -1;
    bare = memory_copy_bytes(file, length - ending);
    last = strrchr(bare, '_');
    if (first && last && last - bare > first - file + 1 && isdigit((unsigned char)last[1])) {
        number = strtol(last + 1, &end, 10);
        if (*end || number > INSTANCE_MAX)
            number = -1;
    }
    if (number >= 0)
        *title = memory_format("%.*s/%.*s", (int)(first - file), file,
                               (int)(last - bare - (first - file) - 1), bare + (first - file) + 1);
    free(bare);
    return (int)number;
}

static void scan_metrics(const struct search *search, const char *state)
{
    char *directory = memory_format("%s/metrics", state);
    DIR *list = opendir(directory);

    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *title = NULL, *path = memory_format("%s/%s", directory, entry->d_name);
        int number = parse_name(entry->d_name, ".json", &title);
        struct stat status;
        struct status_subscription *subscription;

        if (number >= 0 && !stat(path, &status)
            && search->now_s - (double)status.st_mtim.tv_sec <= STATUS_IGNORED_AFTER_S
            && (subscription = find(search, title)))
            add_sample(search, subscription, number, path);
        free(title);
        free(path);
    }
    if (list)
        closedir(list);
    free(directory);
}

/* Files with a name of their own choice: one for each instance that is configured. */
static void read_named_metrics(const struct search *search,
                               struct status_subscription *subscription)
{
    for (int number = 0; number <= subscription->config->instances; number++) {
        char *name = memory_format("%s.conf", subscription->title);
        struct error err = {0};
        struct config *config =
            config_load(&(struct config_request){.name = name, .instance = number}, &err);
        bool same = config && number
                    && strcmp(config->metrics_path, subscription->config->metrics_path) == 0;

        if (config && !same)
            add_sample(search, subscription, number, config->metrics_path);
        free(name);
        config_free(config);
    }
}

/* Each directory once; with `statehost` they are several. */
static void add_metrics(const struct search *search)
{
    size_t configured = search->list->count;

    scan_metrics(search, search->state);
    for (size_t i = 0; i < configured; i++) {
        const struct config *config = search->list->items[i].config;
        bool seen = !config || strcmp(config->state_dir, search->state) == 0;

        for (size_t other = 0; !seen && other < i; other++)
            seen = search->list->items[other].config
                   && strcmp(search->list->items[other].config->state_dir, config->state_dir) == 0;
        if (!seen)
            scan_metrics(search, config->state_dir);
    }
    for (size_t i = 0; i < configured; i++)
        if (search->list->items[i].config && search->list->items[i].config->metrics_filename)
            read_named_metrics(search, &search->list->items[i]);
}

/* ---- processes ---- */

static int read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    int number = 0;

    if (file && fscanf(file, "%9d", &number) != 1)
        number = 0;
    if (file)
        fclose(file);
    return number;
}

static void add_pid_file(struct status_subscription *subscription, int number, const char *path)
{
    struct status_instance *instance = find_instance(subscription, number);

    instance->pid = read_number(path);
    if (!instance->pid)
        instance->pid = -1; /* there is a file */
    instance->running = status_process_read(instance->pid, subscription->name, &instance->process);
}

static void add_processes(struct status_subscription *subscription)
{
    DIR *list = opendir(subscription->directory);

    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *title = NULL, *path = memory_format("%s/%s", subscription->directory, entry->d_name);
        int number = parse_name(entry->d_name, ".pid", &title);

        if (number >= 0 && strcmp(title, subscription->title) == 0)
            add_pid_file(subscription, number, path);
        else if (strcmp(entry->d_name, "disabled") == 0)
            subscription->disabled = true;
        free(title);
        free(path);
    }
    if (list)
        closedir(list);
}

static void add_log_time(const struct search *search, struct status_subscription *subscription,
                         struct status_instance *instance)
{
    const char *state =
        subscription->config->state_dir ? subscription->config->state_dir : search->state;
    char *path = memory_format("%s/log/%.*s_%s_%02d.log", state,
                               (int)(subscription->name - subscription->title - 1),
                               subscription->title, subscription->name, instance->number);
    struct stat status;

    if (!stat(path, &status))
        instance->logged_s = (double)status.st_mtim.tv_sec;
    free(path);
}

bool status_is_fresh(const struct config *config, const struct status_sample *sample, double now_s)
{
    double interval_s = (double)config->metrics_write_interval_ms / 1000;

    return now_s - sample->written_s < fmax(3 * interval_s, FRESH_S);
}

static void finish(const struct search *search, struct status_subscription *subscription)
{
    if (!subscription->config)
        subscription->config = config_defaults();
    add_processes(subscription);
    if (subscription->instance_count)
        qsort(subscription->instances, subscription->instance_count,
              sizeof(*subscription->instances), compare_instances);
    for (size_t i = 0; i < subscription->instance_count; i++) {
        struct status_instance *instance = &subscription->instances[i];

        add_log_time(search, subscription, instance);
        instance->alive =
            instance->running
            || (instance->sampled && !instance->sample.stop_requested
                && status_is_fresh(subscription->config, &instance->sample, search->now_s));
    }
}

/* ---- the whole ---- */

static int compare_titles(const void *a, const void *b)
{
    return strcmp(((const struct status_subscription *)a)->title,
                  ((const struct status_subscription *)b)->title);
}

void status_gather(const char *const *names, size_t count, struct status_list *list)
{
    struct search search = {.names = names,
                            .name_count = count,
                            .now_s = clock_wall_s(),
                            .state = config_state_directory(),
                            .list = list};

    *list = (struct status_list){0};
    add_configurations(&search);
    add_metrics(&search);
    for (size_t i = 0; i < list->count; i++) {
        finish(&search, &list->items[i]);
        status_judge(&list->items[i], search.now_s);
    }
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), compare_titles);
    free(search.state);
}

void status_list_clear(struct status_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].title);
        free(list->items[i].problem);
        free(list->items[i].directory);
        free(list->items[i].instances);
        config_free(list->items[i].config);
    }
    free(list->items);
    *list = (struct status_list){0};
}
