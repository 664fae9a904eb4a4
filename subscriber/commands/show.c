/*
 * show: a configuration as the program understood it. One function gathers all that there is to
 * say as JSON; the other form is that JSON, laid out for reading.
 */
#include "commands/commands.h"

#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH  24
#define VALUE_WIDTH 40

/* ---- gathering ---- */

static json_t *take_text(char *text)
{
    json_t *value = command_json_text(text);

    free(text);
    return value;
}

static json_t *hidden_text(const char *text)
{
    return take_text(command_hide_secrets(text));
}

static json_t *list_value(const struct option_list *list)
{
    json_t *items = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(items, hidden_text(list->items[i]));
    return items;
}

/* The user and the port are those that are used; the password is left out. */
static json_t *url_value(const struct option_url *url)
{
    return url->text ? take_text(url_print(&url->parts)) : json_null();
}

static json_t *option_value(const struct option *option, const void *member)
{
    char *text;
    json_t *value;

    if (option->kind == &option_FLAG)
        return json_boolean(*(const bool *)member);
    if (option->kind == &option_COUNT)
        return json_integer(*(const int *)member);
    if (option->kind == &option_SIZE)
        return json_integer(*(const int64_t *)member);
    if (option->kind == &option_FLOAT)
        return json_real(*(const double *)member);
    if (option->kind == &option_LIST)
        return list_value(member);
    if (option->kind == &option_URL)
        return url_value(member);
    text = option->kind->print(option, member);
    value = hidden_text(text);
    free(text);
    return value;
}

static void set_place(json_t *object, const char *file, int line)
{
    json_object_set_new(object, "file", command_json_text(file));
    json_object_set_new(object, "line", line ? json_integer(line) : json_null());
}

static json_t *options_of(const struct config *config, bool defaults)
{
    json_t *options = json_object();

    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        const struct option *option = config_option((enum config_option)i);
        const struct config_origin *origin = &config->origins[i];
        json_t *entry;

        if (!option->kind->print || (!origin->file && !defaults))
            continue;
        entry = json_object();
        json_object_set_new(entry, "value",
                            option_value(option, (const char *)config + option->offset));
        set_place(entry, origin->file, origin->line);
        json_object_set_new(options, option->name, entry);
    }
    return options;
}

static json_t *rules_of(const struct config *config)
{
    json_t *rules = json_array();

    for (size_t i = 0; i < config->rule_count; i++) {
        const struct config_rule *rule = &config->rules[i];
        json_t *entry = json_object();

        json_object_set_new(entry, "rule", json_string(rule->accept ? "accept" : "reject"));
        json_object_set_new(entry, "pattern", hidden_text(rule->pattern));
        json_object_set_new(entry, "directory", command_json_text(rule->directory));
        json_object_set_new(entry, "strip", command_json_text(rule->strip));
        json_object_set_new(entry, "flatten", command_json_text(rule->flatten));
        json_object_set_new(entry, "filename", command_json_text(rule->filename));
        set_place(entry, rule->file, rule->line);
        json_array_append_new(rules, entry);
    }
    return rules;
}

static json_t *bindings_of(const struct config *config)
{
    json_t *bindings = json_array();

    for (size_t i = 0; i < config->binding_count; i++) {
        const struct config_binding *binding = &config->bindings[i];
        json_t *entry = json_object();

        json_object_set_new(entry, "exchange", command_json_text(binding->exchange));
        json_object_set_new(entry, "topic", command_json_text(binding->topic));
        set_place(entry, binding->file, binding->line);
        json_array_append_new(bindings, entry);
    }
    return bindings;
}

static json_t *variables_of(const struct config_variable *list, size_t count)
{
    json_t *variables = json_object();

    for (size_t i = 0; i < count; i++)
        json_object_set_new(variables, list[i].name,
                            command_name_is_secret(list[i].name) ? json_string("***")
                                                                 : hidden_text(list[i].value));
    return variables;
}

static json_t *names_of(const struct config *config)
{
    const struct {
        const char *name, *value;
    } names[] = {
        {"broker", config->broker_url},
        {"vhost", config->broker_vhost},
        {"queue", config->queue},
        {"nodupeBase", config->nodupe_base},
        {"directory", config->directory},
        {"state", config->subscription_dir},
        {"log", config->log_file ? config->log_file : config->log_path},
        {"metrics", config->metrics_path},
        {"credentials", config->credentials_path},
    };
    json_t *object = json_object();

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].value)
            json_object_set_new(object, names[i].name, command_json_text(names[i].value));
    return object;
}

static json_t *warnings_of(const struct config *config)
{
    json_t *warnings = json_array();

    for (size_t i = 0; i < config->warning_count; i++)
        json_array_append_new(warnings, command_json_text(config->warnings[i]));
    return warnings;
}

static json_t *config_json(const struct config *config, bool defaults)
{
    json_t *all = json_object();

    json_object_set_new(all, "name",
                        take_text(memory_format("%s/%s", config->component, config->name)));
    json_object_set_new(all, "file", command_json_text(config->path));
    json_object_set_new(all, "instance", json_integer(config->instance));
    json_object_set_new(all, "options", options_of(config, defaults));
    json_object_set_new(all, "rules", rules_of(config));
    json_object_set_new(all, "bindings", bindings_of(config));
    json_object_set_new(all, "headers", variables_of(config->headers, config->header_count));
    json_object_set_new(all, "environment",
                        variables_of(config->environment, config->environment_count));
    json_object_set_new(all, "names", names_of(config));
    json_object_set_new(all, "warnings", warnings_of(config));
    return all;
}

/* ---- layout ---- */

/* Allocated: flags as on and off, lists with commas, what is not set as '-'. */
static char *value_text(const json_t *value)
{
    char *text = NULL;
    size_t i;
    json_t *item;

    if (json_is_boolean(value))
        return memory_copy(json_is_true(value) ? "on" : "off");
    if (json_is_integer(value))
        return memory_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value))
        return memory_format("%g", json_real_value(value));
    if (json_is_string(value))
        return memory_copy(json_string_value(value));
    json_array_foreach(value, i, item)
        memory_replace(&text, memory_format("%s%s%s", text ? text : "", text ? ", " : "",
                                            json_string_value(item)));
    return text ? text : memory_copy("-");
}

/* " file:line" of an entry. */
static char *place_text(const json_t *entry)
{
    const char *file = json_string_value(json_object_get(entry, "file"));
    json_int_t line = json_integer_value(json_object_get(entry, "line"));

    if (!file)
        return memory_copy("default");
    return line ? memory_format("%s:%" JSON_INTEGER_FORMAT, file, line) : memory_copy(file);
}

static void print_row(const char *name, char *value, char *place, FILE *out)
{
    fprintf(out, "  %-*s %-*s%s%s\n", NAME_WIDTH, name, place ? VALUE_WIDTH : 0, value,
            place ? "  " : "", place ? place : "");
    free(value);
    free(place);
}

static void print_options(json_t *options, FILE *out)
{
    const char *name;
    json_t *entry;

    fputs("\noptions\n", out);
    json_object_foreach(options, name, entry)
        print_row(name, value_text(json_object_get(entry, "value")), place_text(entry), out);
}

static void print_rule(const json_t *rule, FILE *out)
{
    static const char *const captured[] = {"directory", "strip", "flatten", "filename"};
    const char *kind = json_string_value(json_object_get(rule, "rule"));

    print_row(kind, value_text(json_object_get(rule, "pattern")), place_text(rule), out);
    if (*kind == 'r')
        return;
    for (size_t i = 0; i < COUNT_OF(captured); i++) {
        const json_t *value = json_object_get(rule, captured[i]);

        if (!json_is_null(value))
            fprintf(out, "    %-*s %s\n", NAME_WIDTH - 2, captured[i], json_string_value(value));
    }
}

static void print_rules(const json_t *all, FILE *out)
{
    json_t *list = json_object_get(all, "rules"), *entry;
    size_t i;

    if (json_array_size(list))
        fputs("\nrules, the first that matches decides\n", out);
    json_array_foreach(list, i, entry) print_rule(entry, out);
    list = json_object_get(all, "bindings");
    fputs(json_array_size(list) ? "\nbindings\n" : "\nno bindings\n", out);
    json_array_foreach(list, i, entry)
        print_row(json_string_value(json_object_get(entry, "exchange")),
                  value_text(json_object_get(entry, "topic")), place_text(entry), out);
}

static void print_pairs(const char *title, json_t *pairs, FILE *out)
{
    const char *name;
    json_t *value;

    if (json_object_size(pairs))
        fprintf(out, "\n%s\n", title);
    json_object_foreach(pairs, name, value) print_row(name, value_text(value), NULL, out);
}

static void print_text(const json_t *all, FILE *out)
{
    json_t *warnings = json_object_get(all, "warnings"), *warning;
    size_t i;

    fprintf(out, "%s, from %s\n", json_string_value(json_object_get(all, "name")),
            json_string_value(json_object_get(all, "file")));
    print_options(json_object_get(all, "options"), out);
    print_rules(all, out);
    print_pairs("headers", json_object_get(all, "headers"), out);
    print_pairs("environment", json_object_get(all, "environment"), out);
    print_pairs("names that follow from these", json_object_get(all, "names"), out);
    if (json_array_size(warnings))
        fputs("\nwarnings\n", out);
    json_array_foreach(warnings, i, warning) fprintf(out, "  %s\n", json_string_value(warning));
}

void show_print(const struct config *config, const struct show_settings *settings, FILE *out)
{
    json_t *all = config_json(config, settings->defaults);

    if (settings->json) {
        command_print_json(all, JSON_INDENT(2), out);
        return;
    }
    print_text(all, out);
    json_decref(all);
}
