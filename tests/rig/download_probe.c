/*
 * Fetches URLs with the download stage alone, all at once, for tests:
 *
 *     download_probe NAME=VALUE... URL...
 *
 * Names are members of the stage's settings, of a login and of a request. Each result is a line of
 * JSON: what the stage says, the sha256 of the bytes, and when they came.
 */
#include "stages/download.h"

#include "base/clock.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 64
#define NAMES_MAX 16

struct file {
    const char *url;
    EVP_MD_CTX *digest;
    int64_t from_byte, last_modified_s, received, first_ms, last_ms;
    int answers, gap_most_ms;
};

static struct download_settings settings = {
    .transfers_max = 32,
    .transfers_max_per_host = 16,
    .connect_timeout_ms = 5000,
    .stall_timeout_ms = 20000,
    .tls = DOWNLOAD_TLS_NORMAL,
};
static struct download_login login;
static struct download_request request = {.validator_s = -1};
static const char *names[3][NAMES_MAX];
static struct file files[FILES_MAX];
static size_t file_count;

static const struct {
    const char *name;
    int64_t *target;
} numbers[] = {
    {"stall_timeout_ms", &settings.stall_timeout_ms},
    {"connect_timeout_ms", &settings.connect_timeout_ms},
    {"total_timeout_ms", &settings.total_timeout_ms},
    {"byte_rate_max", &settings.byte_rate_max},
    {"from_byte", &request.from_byte},
    {"validator_s", &request.validator_s},
    {"size_max_bytes", &request.size_max_bytes},
};

static const struct {
    const char *name;
    const char **target;
} texts[] = {
    {"ca_file", &settings.ca_file},
    {"known_hosts", &settings.known_hosts},
    {"user", &login.user},
    {"password", &login.password},
    {"bearer_token", &login.bearer_token},
    {"ssh_key_file", &login.ssh_key_file},
};

static const struct {
    const char *name;
    bool *target;
} flags[] = {
    {"http2", &settings.http2},  {"active", &login.active}, {"ascii", &login.ascii},
    {"tls", &login.tls},         {"prot_p", &login.prot_p}, {"implicit", &login.implicit},
    {"remove", &request.remove},
};

static const struct {
    const char *name;
    struct download_names *target;
} lists[] = {
    {"url_allow", &settings.url_allow},
    {"url_deny", &settings.url_deny},
    {"file_allow", &settings.file_allow},
};

static void set(const char *name, const char *value)
{
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (strcmp(numbers[i].name, name) == 0)
            *numbers[i].target = atoll(value);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (strcmp(texts[i].name, name) == 0)
            *texts[i].target = value;
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (strcmp(flags[i].name, name) == 0)
            *flags[i].target = true;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(lists[i].name, name) == 0 && lists[i].target->count < NAMES_MAX) {
            names[i][lists[i].target->count++] = value;
            lists[i].target->items = names[i];
        }
    if (strcmp(name, "tls_lax") == 0)
        settings.tls = DOWNLOAD_TLS_LAX;
    if (strcmp(name, "transfers_max") == 0)
        settings.transfers_max = settings.transfers_max_per_host = atoi(value);
}

static void read_arguments(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        char *equals = strchr(arguments[i], '=');

        if (strstr(arguments[i], ":/") && file_count < FILES_MAX
            && (!equals || strstr(arguments[i], ":/") < equals)) {
            files[file_count++].url = arguments[i];
        } else if (equals) {
            *equals = '\0';
            set(arguments[i], equals + 1);
        }
    }
}

static enum download_flow receive(void *ticket, const char *bytes, size_t length)
{
    struct file *file = ticket;
    int64_t now_ms = clock_now_ms();

    if (!file->first_ms)
        file->first_ms = file->last_ms = now_ms;
    if (now_ms - file->last_ms > file->gap_most_ms)
        file->gap_most_ms = (int)(now_ms - file->last_ms);
    file->last_ms = now_ms;
    file->received += (int64_t)length;
    EVP_DigestUpdate(file->digest, bytes, length);
    return DOWNLOAD_GO_ON;
}

static void answered(void *ticket, int64_t from_byte, int64_t last_modified_s)
{
    struct file *file = ticket;

    file->answers++;
    file->from_byte = from_byte;
    file->last_modified_s = last_modified_s;
}

static void print(const struct download_result *result)
{
    static const char *const kinds[] = {"none", "temporary", "permanent", "operator"};
    struct file *file = result->ticket;
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    unsigned length = 0;
    json_t *line;

    EVP_DigestFinal_ex(file->digest, digest, &length);
    for (unsigned i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    line = json_pack(
        "{s:s, s:b, s:s, s:s, s:b, s:b, s:b, s:i, s:I, s:I, s:s, s:i, s:I, s:I, s:I, s:i}", "url",
        file->url, "fetched", result->fetched, "kind", kinds[result->err.kind], "text",
        result->err.text, "gone", result->gone, "broken", result->broken, "untried",
        result->untried, "status", (int)result->status, "size", (json_int_t)result->size_bytes,
        "received", (json_int_t)file->received, "sha256", hex, "answers", file->answers,
        "from_byte", (json_int_t)file->from_byte, "last_modified_s",
        (json_int_t)file->last_modified_s, "duration_ms", (json_int_t)result->duration_ms,
        "gap_most_ms", file->gap_most_ms);
    json_dumpf(line, stdout, JSON_COMPACT);
    puts("");
    fflush(stdout);
    json_decref(line);
    EVP_MD_CTX_free(file->digest);
    file->digest = NULL;
}

static void start_all(struct download *download)
{
    request.login = login.user || login.bearer_token || login.ssh_key_file || login.tls
                            || login.implicit || login.active
                        ? &login
                        : NULL;
    for (size_t i = 0; i < file_count; i++) {
        files[i].digest = EVP_MD_CTX_new();
        files[i].last_modified_s = -2;
        EVP_DigestInit_ex(files[i].digest, EVP_sha256(), NULL);
        request.url = files[i].url;
        download_start(download, &request, &files[i]);
    }
}

int main(int count, char **arguments)
{
    struct loop *loop = loop_open();
    struct error err = {0};
    struct download *download;
    struct download_result result;
    size_t done = 0;

    settings.receive = receive;
    settings.answered = answered;
    read_arguments(count, arguments);
    download = download_open(loop, &settings, &err);
    if (!download) {
        fprintf(stderr, "%s\n", err.text);
        loop_close(loop);
        return 2;
    }
    start_all(download);
    for (;;) {
        download_step(download);
        while (download_take_finished(download, &result)) {
            print(&result);
            done++;
        }
        if (done == file_count)
            break;
        loop_wait(loop);
    }
    download_close(download);
    loop_close(loop);
    fflush(stdout);
    if (loop_left_work())
        _exit(3);
    return 0;
}
