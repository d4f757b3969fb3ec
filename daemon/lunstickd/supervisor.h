/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process above the parent, where this machine's own root is on the disk
 * (--root): when the parent dies, however it dies, it starts another one.
 *
 *   supervisor -> parent -> child        forks, one program, "@lunstickd"
 *
 * When the supervisor dies, the parent starts another, which is its child then.
 *
 * Until that other one serves, nobody can read the disk. So what it needs is in
 * memory before the device is shown (struct parent_kept), it is a fork and no new
 * program, and none of the three opens a file but in /dev, /proc, /run and /sys,
 * which are no part of the disk. All three survive pivot_root(2), which moves their
 * root and working directory with the first process's, and systemd's shutdown, which
 * spares root's processes whose name begins with '@'.
 *
 * Once the device was shown, signals end nothing: lunstick unmap does, and another disk
 * behind the same name. Then a line on the console says so, and the program of
 * --on-other-disk is run: in the root directory that there was at the start, with /dev,
 * /proc, /sys and /run as they are now. The device waits all the while (parent.h says
 * why); whoever starts the machine anew must not sync it before.
 */
#ifndef LUNSTICK_DAEMON_SUPERVISOR_H
#define LUNSTICK_DAEMON_SUPERVISOR_H

#include "config.h"
#include "parent.h"

/* Exit status as that of parent_main() that ended it: 0, or that of a fault before the
 * device was shown; PARENT_EXIT_OTHER_DISK, when the program has ended. */
int supervisor_main(const struct daemon_config *config);

/* From the parent process, whose supervisor is gone: another one. Its process id, or -1
 * with errno. The signal masks of both may be any. */
pid_t supervisor_replace(const struct daemon_config *config, struct parent_kept *kept);

#endif
