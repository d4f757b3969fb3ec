/* SPDX-License-Identifier: BSD-2-Clause */
#include "lunstickd.h"

#include "config.h"
#include "log.h"
#include "options.h"
#include "parent.h"
#include "supervisor.h"

#include <stdio.h>

int lunstickd_main(int argc, char **argv)
{
    static struct daemon_config config; /* large, and there is one */
    switch (options_read(&config, argc, argv, stdout, stderr)) {
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_WRONG:
        return 2;
    case OPTIONS_RUN:
        break;
    }
    log_init("lunstickd", config.log_level);
    if (config.root)
        return supervisor_main(&config);
    return config.prepare ? parent_prepare(&config) : parent_main(&config, NULL);
}
