/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The privileged process: makes the gadget, keeps a child running behind it,
 * does for the child what the child may not, and leaves nothing behind.
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

#endif
