/*
 * Reader of sr3 configuration files.
 *
 * A stack of texts, the included one on top; a line is cut into words and put together again with
 * its variables replaced. Everything is bounded, since a file can include itself and a variable
 * can stand for two of another: depth, number of files, size of a line.
 */
#include "settings/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX (16 << 20)
#define BLANKS        " \t\r\v\f"

struct source {
    char *path, *text;
    size_t size, offset;
    int line;
};

struct buffer {
    char *bytes; /* NUL-terminated once something was added */
    size_t length, size;
};

struct conf_file {
    struct conf_host host;
    struct source sources[CONF_FILE_DEPTH_MAX];
    size_t depth; /* sources in use; the last one is being read */
    size_t included;
    struct buffer name, value, written;
};

/* A piece of a line; not NUL-terminated. */
struct word {
    const char *start;
    size_t length;
};

static bool read_all(int fd, char **text, size_t *size_bytes)
{
    size_t room = 0, used = 0;
    ssize_t got = 1;

    *text = NULL;
    while (got > 0 && used <= FILE_SIZE_MAX) {
        if (used == room) {
            room = room ? room * 2 : 4096;
            *text = memory_resize(*text, room + 1, 1);
        }
        got = read(fd, *text + used, room - used);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            used += (size_t)got;
    }
    if (got > 0)
        errno = EFBIG;
    if (got != 0)
        return false;
    (*text)[used] = '\0';
    *size_bytes = used;
    return true;
}

bool conf_file_read(const char *path, char **text, size_t *size_bytes, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool complete = fd >= 0 && read_all(fd, text, size_bytes);
    int why = errno;

    if (fd >= 0)
        close(fd);
    if (complete)
        return true;
    if (fd >= 0)
        memory_replace(text, NULL);
    error_set(err, ERROR_OPERATOR, "read '%s': %s", path, strerror(why));
    errno = why;
    return false;
}

static void buffer_add(struct buffer *buffer, const char *bytes, size_t length)
{
    if (buffer->size < buffer->length + length + 1) {
        buffer->size = (buffer->length + length + 1) * 2;
        buffer->bytes = memory_resize(buffer->bytes, buffer->size, 1);
    }
    if (length)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = '\0';
}

static void buffer_empty(struct buffer *buffer)
{
    buffer->length = 0;
    buffer_add(buffer, "", 0);
}

static struct source *top(struct conf_file *file)
{
    return &file->sources[file->depth - 1];
}

/* Both texts become the reader's. The mark that some editors put in front of UTF-8 is skipped. */
static void push(struct conf_file *file, char *path, char *text, size_t size)
{
    bool marked = size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3);

    file->sources[file->depth++] =
        (struct source){.path = path, .text = text, .size = size, .offset = marked ? 3 : 0};
}

static void pop(struct conf_file *file)
{
    struct source *source = top(file);

    free(source->path);
    free(source->text);
    file->depth--;
}

struct conf_file *conf_file_open(const char *path, const struct conf_host *host, struct error *err)
{
    struct conf_file *file;
    char *text;
    size_t size;

    if (!conf_file_read(path, &text, &size, err))
        return NULL;
    file = memory_new(sizeof(*file));
    file->host = *host;
    push(file, memory_copy(path), text, size);
    return file;
}

struct conf_file *conf_file_open_memory(const char *path, const char *text, size_t size_bytes,
                                        const struct conf_host *host)
{
    struct conf_file *file = memory_new(sizeof(*file));

    file->host = *host;
    push(file, memory_copy(path), memory_copy_bytes(text, size_bytes), size_bytes);
    return file;
}

void conf_file_close(struct conf_file *file)
{
    if (!file)
        return;
    while (file->depth)
        pop(file);
    free(file->name.bytes);
    free(file->value.bytes);
    free(file->written.bytes);
    free(file);
}

static bool refuse(struct conf_file *file, struct error *err, const char *why)
{
    return error_set(err, ERROR_OPERATOR, "%s:%d: %s", top(file)->path, top(file)->line, why);
}

static bool take_line(struct source *source, struct word *line)
{
    const char *start = source->text + source->offset, *end;
    size_t left = source->size - source->offset;

    if (!left)
        return false;
    end = memchr(start, '\n', left);
    line->start = start;
    line->length = end ? (size_t)(end - start) : left;
    source->offset += line->length + (end != NULL);
    source->line++;
    return true;
}

static bool take_word(struct word *rest, struct word *word)
{
    while (rest->length && strchr(BLANKS, *rest->start)) {
        rest->start++;
        rest->length--;
    }
    word->start = rest->start;
    word->length = 0;
    while (rest->length && !strchr(BLANKS, *rest->start)) {
        rest->start++;
        rest->length--;
        word->length++;
    }
    return word->length > 0;
}

/* Adds what the variable at `text` stands for; the bytes read of it, 0 when it is none. */
static size_t add_variable(struct conf_file *file, struct buffer *out, const char *text,
                           size_t length)
{
    const char *end = memchr(text, '}', length);
    char *name, *value;

    if (length < 4 || text[1] != '{' || !end || end == text + 2)
        return 0;
    name = memory_copy_bytes(text + 2, (size_t)(end - text - 2));
    value = file->host.variable(file->host.context, name);
    if (value)
        buffer_add(out, value, strlen(value));
    free(name);
    free(value);
    return value ? (size_t)(end + 1 - text) : 0;
}

/* Adds `word` with its variables replaced, once: what a variable stands for is not looked at. */
static bool add_word(struct conf_file *file, struct buffer *out, struct word word,
                     struct error *err)
{
    while (word.length) {
        const char *dollar = memchr(word.start, '$', word.length);
        size_t plain = dollar ? (size_t)(dollar - word.start) : word.length;
        size_t variable = 0;

        buffer_add(out, word.start, plain);
        if (dollar)
            variable = add_variable(file, out, dollar, word.length - plain);
        if (dollar && !variable)
            buffer_add(out, "$", 1);
        plain += variable ? variable : dollar != NULL;
        word.start += plain;
        word.length -= plain;
        if (dollar && out->length > CONF_TEXT_SIZE_MAX)
            return refuse(file, err, "with its variables replaced the line is too long");
    }
    return true;
}

/* Takes a line apart. An empty name: there is nothing on it. */
static bool parse_line(struct conf_file *file, struct word line, struct error *err)
{
    struct word word;

    buffer_empty(&file->name);
    buffer_empty(&file->value);
    buffer_empty(&file->written);
    if (memchr(line.start, '\0', line.length))
        return refuse(file, err, "a zero byte: this is no text file, or is one in UTF-16");
    if (!take_word(&line, &word) || *word.start == '#')
        return true;
    if (!add_word(file, &file->name, word, err))
        return false;
    while (take_word(&line, &word)) {
        const char *between = file->written.length ? " " : "";

        buffer_add(&file->value, between, strlen(between));
        buffer_add(&file->written, between, strlen(between));
        buffer_add(&file->written, word.start, word.length);
        if (!add_word(file, &file->value, word, err))
            return false;
    }
    return true;
}

static bool is_include(const char *name)
{
    return !strcmp(name, "include") || !strcmp(name, "config") || !strcmp(name, "c");
}

static bool include(struct conf_file *file, struct error *err)
{
    size_t length = strcspn(file->value.bytes, BLANKS), size;
    char *name, *path, *text, *warning;
    struct error why = {0};

    if (!length)
        return refuse(file, err, "option 'include': the name of a file is missing");
    if (file->depth == CONF_FILE_DEPTH_MAX)
        return refuse(file, err, "files include each other more than 16 deep; perhaps in a circle");
    if (file->included == CONF_FILES_MAX)
        return refuse(file, err, "more than 1000 files are included; perhaps in a circle");
    name = memory_copy_bytes(file->value.bytes, length);
    if (file->host.include(file->host.context, name, &path, &text, &size, &why)) {
        file->included++;
        push(file, path, text, size);
    } else {
        warning = memory_format("%s:%d: option 'include': %s", top(file)->path, top(file)->line,
                                why.text);
        file->host.warn(file->host.context, warning);
        free(warning);
    }
    free(name);
    return true;
}

bool conf_file_take(struct conf_file *file, struct conf_setting *setting, struct error *err)
{
    struct word line;

    err->kind = ERROR_NONE;
    while (file->depth) {
        if (!take_line(top(file), &line)) {
            pop(file);
            continue;
        }
        if (!parse_line(file, line, err))
            return false;
        if (!file->name.length)
            continue;
        if (is_include(file->name.bytes)) {
            if (!include(file, err))
                return false;
            continue;
        }
        *setting = (struct conf_setting){.name = file->name.bytes,
                                         .value = file->value.bytes,
                                         .written = file->written.bytes,
                                         .file = top(file)->path,
                                         .line = top(file)->line};
        return true;
    }
    return false;
}
