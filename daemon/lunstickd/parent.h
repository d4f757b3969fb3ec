/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that is no child: makes the gadget, keeps a child running behind
 * it, does for the child what the child may not, and leaves nothing behind. It
 * is root's, or, where root has prepared the gadget, that of any user; then the
 * child is the same user's, and its filter and Landlock alone hold it.
 */
#ifndef LUNSTICK_DAEMON_PARENT_H
#define LUNSTICK_DAEMON_PARENT_H

#include "config.h"

/*
 * Runs until a signal or a fault that ends the daemon. Exit status:
 *   0  stopped by SIGTERM, SIGINT or SIGHUP
 *   1  a fault that may go away: no UDC, or it is busy; with --once also a
 *      target that cannot be had now, and any death of the child; without it
 *      the death of a first child that never came as far as its loop
 *   2  only the user can help: address, name, secret, LUN, scheme
 */
int parent_main(const struct daemon_config *config);

/*
 * What of it needs root's rights, in advance: makes the gadget and the run
 * directory, and leaves them to config->user, who may then run parent_main()
 * without any right. `lunstick cleanup` removes them. Exit status as above.
 */
int parent_prepare(const struct daemon_config *config);

#endif
