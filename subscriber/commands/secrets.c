/* Passwords are not for screens: they end up in tickets and chats. */
#include "commands/commands.h"

#include <string.h>
#include <strings.h>

#define HIDDEN "***"

/* The end of a URL in a text: a blank, a quote, or the end. */
static size_t url_length(const char *url)
{
    return strcspn(url, " \t'\"");
}

/* Where the password in `rest` (behind "://") begins, and its length; NULL: there is none. */
static char *find_password(char *rest, size_t *length)
{
    size_t all = url_length(rest);
    char *at = memrchr(rest, '@', all), *colon = at ? memchr(rest, ':', (size_t)(at - rest)) : NULL;

    if (!colon)
        return NULL;
    *length = (size_t)(at - colon) - 1;
    return colon + 1;
}

char *command_hide_secrets(const char *text)
{
    char *copy = memory_copy(text), *to = copy;

    while (copy && (to = strstr(to, "://"))) {
        size_t length;
        char *password = find_password(to += 3, &length);

        if (password && length) {
            size_t at = (size_t)(password - copy);

            memory_replace(&copy,
                           memory_format("%.*s" HIDDEN "%s", (int)at, copy, password + length));
            to = copy + at;
        }
    }
    return copy;
}

bool command_name_is_secret(const char *name)
{
    static const char *const words[] = {"pass", "secret", "token", "_pw", "_key", "credential"};

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}
