/* Processes of this host, as far as /proc shows them. */
#include "commands/status_parts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE 8192

/* False if there is nothing; what is longer than `text` is cut. NULs stay. */
static bool read_proc(int pid, const char *name, char text[TEXT_SIZE], size_t *length)
{
    char *path = memory_format("/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, TEXT_SIZE - 1) : -1;

    free(path);
    if (fd >= 0)
        close(fd);
    *length = got > 0 ? (size_t)got : 0;
    text[*length] = '\0';
    return got > 0;
}

/*
 * Process numbers are used again, and those of a container mean other processes here: the command
 * line must speak of sr3 and of this configuration.
 */
static bool is_instance(int pid, const char *name)
{
    char text[TEXT_SIZE];
    size_t length;

    if (!read_proc(pid, "cmdline", text, &length))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!text[i])
            text[i] = ' ';
    return (strstr(text, "sr3") || strstr(text, "sarra")) && strstr(text, name);
}

static double field_bytes(const char *text, const char *field)
{
    const char *at = strstr(text, field);

    return at ? strtod(at + strlen(field), NULL) * 1024 : 0;
}

static void read_usage(int pid, struct status_process *process)
{
    double ticks = (double)sysconf(_SC_CLK_TCK);
    uint64_t user = 0, system = 0;
    char text[TEXT_SIZE];
    const char *behind_name;
    size_t length;

    if (read_proc(pid, "stat", text, &length) && (behind_name = strrchr(text, ')'))
        && sscanf(behind_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                  &user, &system)
               == 2) {
        process->user_s = (double)user / ticks;
        process->system_s = (double)system / ticks;
    }
    if (read_proc(pid, "status", text, &length)) {
        process->vms_bytes = field_bytes(text, "VmSize:");
        process->rss_bytes = field_bytes(text, "VmRSS:");
    }
    if (read_proc(pid, "smaps_rollup", text, &length))
        process->uss_bytes =
            field_bytes(text, "Private_Clean:") + field_bytes(text, "Private_Dirty:");
}

bool status_process_read(int pid, const char *name, struct status_process *process)
{
    *process = (struct status_process){0};
    if (pid <= 0 || !is_instance(pid, name))
        return false;
    read_usage(pid, process);
    return true;
}
