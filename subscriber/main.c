/* argv in, exit status out. */
#include "base/loop.h"
#include "cli.h"

#include <unistd.h>

int main(int argc, char **argv)
{
    enum cli_status status = cli_run(argc, argv);

    if (loop_left_work()) /* a thread still waits for a network or a disk that does not answer */
        _exit(status);
    return status;
}
