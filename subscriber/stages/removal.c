/* Commands are lines: a name with a line feed in it would be a command more. */
#include "stages/removal.h"

#include <curl/curl.h>
#include <string.h>

static const char *path_of(const char *url)
{
    const char *start = strstr(url, "://");

    return start ? strchr(start + 3, '/') : NULL;
}

/* "%20" -> " ", for curl_free(); NULL: it is no text, or has control characters. */
static char *decode(const char *path)
{
    int length = 0;
    char *decoded = curl_easy_unescape(NULL, path, 0, &length);

    for (int i = 0; decoded && i < length; i++)
        if ((unsigned char)decoded[i] < ' ' || decoded[i] == 0x7f) {
            curl_free(decoded);
            return NULL;
        }
    return decoded;
}

/* "/~/a" begins at the login directory, which is where the server is. */
static char *print_sftp(const char *path)
{
    char *command = memory_new(strlen("rm \"\"") + 2 * strlen(path) + 1), *to = command;

    path += strncmp(path, "/~/", 3) == 0 ? 3 : 0;
    to = stpcpy(to, "rm \"");
    for (; *path; *to++ = *path++)
        if (*path == '"' || *path == '\\')
            *to++ = '\\';
    stpcpy(to, "\"");
    return command;
}

char *removal_print(const char *url)
{
    bool sftp = strncmp(url, "sftp:", 5) == 0;
    const char *path = path_of(url);
    char *decoded = path ? decode(path) : NULL, *command = NULL;
    const char *name = decoded ? strrchr(decoded, '/') + 1 : "";

    if (*name)
        command = sftp ? print_sftp(decoded) : memory_format("DELE %s", name);
    curl_free(decoded);
    return command;
}

char *removal_print_server(const char *url)
{
    const char *path = path_of(url);

    return memory_format("%.*s/", (int)(path ? (size_t)(path - url) : strlen(url)), url);
}
