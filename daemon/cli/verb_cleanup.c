/* SPDX-License-Identifier: BSD-2-Clause */
/* lunstick cleanup: what a killed daemon left in configfs, mounts and /run. */
#include "daemon/lunstickd/rundir.h"
#include "gadget/gadget.h"
#include "verbs.h"

#include <stdio.h>
#include <unistd.h>

int cli_cleanup(int argc, char **argv)
{
    static const struct cli_flag flags[] = {{.name = NULL}};
    char run_dir[CONFIG_PATH_BYTES], ffs_dir[CONFIG_PATH_BYTES], why[GADGET_WHY_BYTES] = "";
    const char *name = NULL;
    bool busy = false, had_dir;
    int removed;

    if (!cli_args(argc, argv, flags, &name, NULL))
        return CLI_WRONG;
    if (geteuid() != 0)
        return cli_fail(argv[0], CLI_WRONG, "only root may do that; run: sudo lunstick cleanup %s",
                        name);
    snprintf(run_dir, sizeof(run_dir), CONFIG_RUN_DIR "/%s", name);
    rundir_path(ffs_dir, run_dir, RUNDIR_FFS);
    had_dir = access(run_dir, F_OK) == 0;
    removed = gadget_cleanup(name, ffs_dir, &busy, why);
    if (busy)
        return cli_fail(argv[0], CLI_WRONG,
                        "the daemon %s is running%s%s; stop it first: systemctl stop lunstickd@%s",
                        name, why[0] ? ": " : "", why, name);
    if (why[0])
        return cli_fail(argv[0], CLI_TRANSIENT, "%s", why);
    rundir_clear(run_dir);
    rundir_remove(run_dir);
    if (removed <= 0 && !had_dir)
        printf("Nothing of %s was left.\n", name);
    else
        printf("Removed what was left of %s: %d in configfs and mounts%s.\n", name,
               removed > 0 ? removed : 0, had_dir ? ", the run directory" : "");
    return CLI_OK;
}
