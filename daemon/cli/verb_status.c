/* SPDX-License-Identifier: BSD-2-Clause */
/* lunstick status: passes the daemon's own answer on. */
#include "daemon/lunstickd/control.h"
#include "verbs.h"

#include <stdio.h>

#define ANSWER_SECONDS 5

int cli_status(int argc, char **argv)
{
    static char answer[CONTROL_ANSWER_BYTES + 1];
    const char *name = NULL;
    bool json = false;
    const struct cli_flag flags[] = {{.name = "json", .set = &json}, {.name = NULL}};

    if (!cli_args(argc, argv, flags, &name, NULL))
        return CLI_WRONG;
    ssize_t got =
        cli_ask(name, json ? "status json\n" : "status\n", ANSWER_SECONDS, answer, sizeof(answer));
    if (got < 0)
        return cli_explain(argv[0], name, (int)-got);
    fwrite(answer, 1, (size_t)got, stdout);
    return CLI_OK;
}
