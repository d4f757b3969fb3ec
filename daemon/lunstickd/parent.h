/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that is no child: makes the gadget, keeps a child running behind
 * it, does for the child what the child may not, and leaves nothing behind. It
 * is root's, or, where root has prepared the gadget, that of any user; then the
 * child is the same user's, and its filter and Landlock alone hold it.
 */
#ifndef LUNSTICK_DAEMON_PARENT_H
#define LUNSTICK_DAEMON_PARENT_H

#include "bridge/lun_memory.h"
#include "config.h"
#include "secrets.h"

#include <sys/types.h>

/*
 * What each parent process leaves to the next one, where a supervisor starts it again
 * (supervisor.h): all that would have to be read from files. In memory that they share
 * and no child sees.
 */
struct parent_kept {
    uid_t uid; /* who serves */
    gid_t gid;
    gid_t control_gid; /* who may ask, or RUNDIR_NO_GROUP */
    struct lun_secrets secrets;
    char portal[128]; /* the address that was found last; empty: none yet */
    bool shown;       /* the device exists: no fault and no signal ends it any more */
    bool ended;       /* in order, with: */
    int exit_status;
    char other_disk[256]; /* what PARENT_EXIT_OTHER_DISK means; printable */
    /* Beside this, the child's, and not to be believed. */
    struct lun_memory *memory;
    void *arena; /* child_arena_bytes(): there may be no memory for another */
};

/*
 * Runs until a signal or a fault that ends the daemon. `kept` is NULL without a
 * supervisor. Once kept->shown, only lunstick unmap ends it with 0; any other end leaves
 * the device to the next parent process. Exit status:
 *   0  stopped by SIGTERM, SIGINT or SIGHUP
 *   1  a fault that may go away: no UDC, or it is busy; with --once also a
 *      target that cannot be had now, and any death of the child; without it
 *      the death of a first child that never came as far as its loop
 *   2  only the user can help: address, name, secret, LUN, scheme
 *   3  with a supervisor: behind the same name there is another disk now
 *
 * With 3, what the kernel asked for stays unanswered and the device waits. An error
 * would not undo what the system believes of its root, but make it lose what it still
 * holds; and if the right disk comes back, nothing is lost. Nobody is behind the device
 * any more, so nothing of the old file systems is written to the other disk.
 */
#define PARENT_EXIT_OTHER_DISK 3
int parent_main(const struct daemon_config *config, struct parent_kept *kept);

/*
 * What of it needs root's rights, in advance: makes the gadget and the run
 * directory, and leaves them to config->user, who may then run parent_main()
 * without any right. `lunstick cleanup` removes them. Exit status as above.
 */
int parent_prepare(const struct daemon_config *config);

#endif
