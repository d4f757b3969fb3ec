/* SPDX-License-Identifier: BSD-2-Clause */
/* One program, two names: `lunstickd`, the daemon, and `lunstick`, the user's
 * command, which is a link to it. */
#include "daemon/cli/cli.h"
#include "daemon/lunstickd/lunstickd.h"

#include <string.h>

int main(int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : "lunstickd";
    const char *slash = strrchr(name, '/');
    if (slash)
        name = slash + 1;
    return strcmp(name, "lunstick") == 0 ? cli_main(argc, argv) : lunstickd_main(argc, argv);
}
