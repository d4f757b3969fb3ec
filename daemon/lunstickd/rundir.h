/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's directory, /run/lunstick/NAME: the control socket, in a directory
 * of its own, the mount point of FunctionFS, and an empty directory that becomes
 * the child's root. All are root's but for the socket and its directory, which
 * are the daemon's: so root may work here although others serve the disk.
 */
#ifndef LUNSTICK_DAEMON_RUNDIR_H
#define LUNSTICK_DAEMON_RUNDIR_H

#include "config.h"

#include <sys/types.h>

#define RUNDIR_FFS     "ffs"
#define RUNDIR_EMPTY   "empty"
#define RUNDIR_CONTROL "control/socket"

/* run_dir/leaf. Returns out. */
char *rundir_path(char out[CONFIG_PATH_BYTES], const char *run_dir, const char *leaf);
/* Makes it, with its parent and what is in it; the socket's directory for the
 * user and group that will listen. 0 or -errno. */
int rundir_make(const char *run_dir, uid_t uid, gid_t gid);
#define RUNDIR_NO_GROUP ((gid_t)-1)
/* Of the group `name`; RUNDIR_NO_GROUP: there is none. */
gid_t rundir_group(const char *name);
/* The listening control socket, non-blocking, for us and the group; one that a killed
 * daemon left is replaced. A descriptor or -errno. */
int rundir_listen(const char *run_dir, gid_t group);
/* Removes what is in it, as far as that is ours; while the daemon's lock is held. */
void rundir_clear(const char *run_dir);
/* Removes the directory itself, if nothing is in it any more. */
void rundir_remove(const char *run_dir);

#endif
