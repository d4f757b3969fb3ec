/* SPDX-License-Identifier: BSD-2-Clause */
/* One program, two names: `lunstickd`, the daemon, and `lunstick`, the user's
 * command, which is a link to it. Where the machine's own root is on the disk, the
 * name begins with '@', which systemd leaves alone at shutdown. */
#include "daemon/cli/cli.h"
#include "daemon/lunstickd/lunstickd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whoever starts us without stderr must not find our messages in the first file
 * that we opened. */
static void open_standard_files(void)
{
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDWR);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    const char *name = argc > 0 ? argv[0] : "lunstickd";
    const char *slash = strrchr(name, '/');
    if (slash)
        name = slash + 1;
    name += *name == '@';
    return strcmp(name, "lunstick") == 0 ? cli_main(argc, argv) : lunstickd_main(argc, argv);
}
