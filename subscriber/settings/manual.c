/* The option table as a chapter of the manual, and as a script that completes words in bash. */
#include "settings/manual.h"

#include "settings/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Groups and options as they come in options.def. */
static const struct entry {
    const char *title; /* of a group; NULL: an option */
    enum config_option option;
} entries[] = {
#define OPTION_GROUP(text)         {.title = text},
#define OPTION(kind_, field_, ...) {.option = CONFIG_OPTION_##field_},
#include "settings/options.def"
};

/* --- markdown -------------------------------------------------------------------------------- */

/* Prints a text into a cell of a table. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void print_names(FILE *out, const struct option *option)
{
    const char *rest = option->synonyms, *item;
    size_t length;

    fprintf(out, "`%s`", option->name);
    while (option_list_take(&rest, ",", &item, &length))
        fprintf(out, ", `%.*s`", (int)length, item);
}

/* The choices of a row, each by its first name. */
static void print_choices(FILE *out, const char *choices, const char *between)
{
    const char *item, *space = "";
    size_t length;

    while (option_list_take(&choices, ",", &item, &length)) {
        fprintf(out, "%s%.*s", space, (int)strcspn(item, "|,"), item);
        space = between;
    }
}

static void print_type(FILE *out, const struct option *option)
{
    const struct option_kind *kind = option->kind;

    fputs(kind->type, out);
    if (kind == &option_CHOICE || kind == &option_SET || kind == &option_URL) {
        fputs(": ", out);
        print_choices(out, option->choices, ", ");
    } else if (option->unit && kind != &option_DURATION && kind != &option_PERM) {
        fprintf(out, ", %s", option->unit);
    }
}

/* A limit, in the option's own kind of text. */
static void print_limit(FILE *out, const struct option *option, int64_t limit)
{
    char *text = option->kind == &option_DURATION ? option->kind->print(option, &limit)
                                                  : memory_format("%" PRId64, limit);

    fputs(text, out);
    free(text);
}

static void print_range(FILE *out, const struct option *option)
{
    if (option->min) {
        fputs("from ", out);
        print_limit(out, option, option->min);
    }
    if (option->max) {
        fputs(option->min ? " to " : "to ", out);
        print_limit(out, option, option->max);
    }
}

static void print_fallback(FILE *out, const struct option *option)
{
    const char *rest = option->fallback, *item;
    const char *space = "";
    size_t length;

    while (option_list_take(&rest, ",", &item, &length)) { /* with blanks, so that it can wrap */
        fprintf(out, "%s`%.*s`", space, (int)length, item);
        space = ", ";
    }
}

static void print_row(FILE *out, const struct option *option)
{
    fputs("| ", out);
    print_names(out, option);
    fputs(" | ", out);
    print_type(out, option);
    fputs(" | ", out);
    print_fallback(out, option);
    fputs(" | ", out);
    print_range(out, option);
    fputs(" | ", out);
    print_cell(out, option->help);
    if (option->pending)
        fprintf(out, ". Not carried out yet: %s%s", option->pending,
                option->mild ? "" : ", so another value than the default is refused");
    fputs(" |\n", out);
}

static const char introduction[] =
    "# Options\n"
    "\n"
    "Made by `sr3sub options --markdown` from the table in `subscriber/settings/options.def`;\n"
    "do not edit.\n"
    "\n"
    "A configuration has an option and its value on each line. Any option can also be given on "
    "the\n"
    "command line, as `--option value` or `--option=value`, which overrides the file; a long name\n"
    "may be cut as long as it stays the only one that begins so. Names after the first are other\n"
    "spellings of the same option.\n"
    "\n"
    "Flags are on for `on`, `true`, `yes`, `1` or no value at all, and off for everything else.\n"
    "Durations are `90`, `1.5s`, `5m`, `2h`, `1d`, `3w` or `1h30m`; a plain number is seconds.\n"
    "Counts and sizes take `k`, `m`, `g`, `t` (powers of 1000), with `b` or `i` behind it powers\n"
    "of 1024. `directory`, `strip`, `flatten` and `filename` count for the `accept` and `reject`\n"
    "lines below them, everything else for the whole file.\n";

void manual_print_markdown(FILE *out)
{
    fputs(introduction, out);
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        if (entries[i].title)
            fprintf(out,
                    "\n## %s\n\n| Option | Value | Default | Range | |\n"
                    "| --- | --- | --- | --- | --- |\n",
                    entries[i].title);
        else
            print_row(out, config_option(entries[i].option));
    }
}

/* --- bash ------------------------------------------------------------------------------------ */

static const char bash_start[] =
    "# Completes the words of sr3sub in bash. Made by `sr3sub options --bash`; do not edit.\n"
    "_sr3sub()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local configs=${XDG_CONFIG_HOME:-$HOME/.config}/sr3 words=\n"
    "\n"
    "    if [ \"$before\" = = ]; then # --option=word is three words to bash\n"
    "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    elif [ \"$word\" = = ]; then\n"
    "        word=\n"
    "    fi\n"
    "    case $before in\n";

static const char bash_end[] =
    "    *)\n"
    "        if [ \"${word#-}\" = \"$word\" ]; then\n"
    "            words=$(cd \"$configs\" 2>/dev/null && shopt -s nullglob &&\n"
    "                    printf '%s ' subscribe/*.conf subscribe/*.y*ml)\n"
    "            words=\"foreground show check explain convert setup cleanup retry status health "
    "options metrics $words\"\n"
    "            words=${words//.conf/} words=${words//.yaml/} words=${words//.yml/}\n"
    "        fi\n"
    "        ;;\n"
    "    esac\n"
    "    if [ \"${word#-}\" != \"$word\" ]; then\n"
    "        words=$_sr3sub_options\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "}\n"
    "complete -F _sr3sub sr3sub\n";

/* One branch for all options of a kind whose values are the same words. */
static void print_bash_kind(FILE *out, const struct option_kind *kind, const char *action)
{
    const char *between = "    ";

    for (int i = 0; i < CONFIG_OPTIONS; i++) {
        if (config_option((enum config_option)i)->kind != kind)
            continue;
        fprintf(out, "%s--%s", between, config_option((enum config_option)i)->name);
        between = " | \\\n        ";
    }
    fprintf(out, ") %s ;;\n", action);
}

static void print_bash_choices(FILE *out, const struct option *option)
{
    if (option->kind != &option_CHOICE && option->kind != &option_SET)
        return;
    fprintf(out, "    --%s) words='", option->name);
    print_choices(out, option->choices, " ");
    fputs("' ;;\n", out);
}

static bool works_on_command_line(const struct option *option)
{
    return strcmp(option->name, "include") != 0;
}

void manual_print_bash(FILE *out)
{
    static const char paths[] = "mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return";

    fputs(bash_start, out);
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        print_bash_choices(out, config_option((enum config_option)i));
    print_bash_kind(out, &option_FLAG, "words='on off'");
    print_bash_kind(out, &option_PATH, paths);
    print_bash_kind(out, &option_TEMPLATE, paths);
    fputs(bash_end, out);
    fputs("_sr3sub_options='--config --no --json --defaults --text --watch --full "
          "--dangerWillRobinson --help --version",
          out);
    for (int i = 0; i < CONFIG_OPTIONS; i++)
        if (works_on_command_line(config_option((enum config_option)i)))
            fprintf(out, "\n --%s", config_option((enum config_option)i)->name);
    fputs("'\n", out);
}
