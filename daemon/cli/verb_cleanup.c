/* SPDX-License-Identifier: BSD-2-Clause */
/* lunstick cleanup: what a killed daemon left in configfs, mounts and /run, and its
 * block device. */
#include "boot/nbd_device.h"
#include "daemon/lunstickd/outlet.h"
#include "daemon/lunstickd/rundir.h"
#include "gadget/gadget.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line of the file begins with the device, or one of its partitions. */
static bool is_listed(const char *path, const char *device)
{
    char line[1024];
    size_t length = strlen(device);
    bool listed = false;
    FILE *file = fopen(path, "re");

    while (file && !listed && fgets(line, sizeof(line), file))
        listed = !strncmp(line, device, length) && (line[length] == ' ' || line[length] == 'p');
    if (file)
        fclose(file);
    return listed;
}

/* 0, -1 with the message said; 1: there was one. Who uses it waits for a daemon, and
 * would lose what it has written. */
static int clean_device(const char *program, const char *name)
{
    char backend[OUTLET_NBD_BACKEND_BYTES], device[32], why[NBD_WHY_BYTES];
    struct nbd_device_state left;
    int index = nbd_device_find(NBD_SYS_BLOCK, outlet_nbd_backend(backend, name, ""), 0);

    if (index < 0 || nbd_device_read(NBD_SYS_BLOCK, index, &left) < 0)
        return 0;
    snprintf(device, sizeof(device), "/dev/nbd%d", index);
    if (is_listed("/proc/mounts", device) || is_listed("/proc/swaps", device)) {
        cli_fail(program, CLI_TRANSIENT,
                 "%s is mounted, and waits for the daemon %s: start it again, with the same name "
                 "and disk (lunstick map)",
                 device, name);
        return -1;
    }
    if (nbd_device_disconnect(NBD_SYS_BLOCK, index, left.backend, why) < 0) {
        cli_fail(program, CLI_TRANSIENT, "%s", why);
        return -1;
    }
    return 1;
}

int cli_cleanup(int argc, char **argv)
{
    static const struct cli_flag flags[] = {{.name = NULL}};
    char run_dir[CONFIG_PATH_BYTES], ffs_dir[CONFIG_PATH_BYTES], why[GADGET_WHY_BYTES] = "";
    const char *name = NULL;
    bool busy = false, had_dir;
    int removed, device;

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
    device = clean_device(argv[0], name);
    if (device < 0)
        return CLI_TRANSIENT;
    rundir_clear(run_dir);
    rundir_remove(run_dir);
    if (removed <= 0 && !had_dir && !device)
        printf("Nothing of %s was left.\n", name);
    else
        printf("Removed what was left of %s: %d in configfs and mounts%s%s.\n", name,
               removed > 0 ? removed : 0, device ? ", the block device" : "",
               had_dir ? ", the run directory" : "");
    return CLI_OK;
}
