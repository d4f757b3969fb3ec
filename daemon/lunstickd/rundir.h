/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's directory, /run/lunstick/NAME: the control socket, the mount
 * point of FunctionFS, and an empty directory that becomes the child's root.
 */
#ifndef LUNSTICK_DAEMON_RUNDIR_H
#define LUNSTICK_DAEMON_RUNDIR_H

#include "config.h"

#define RUNDIR_FFS     "ffs"
#define RUNDIR_EMPTY   "empty"
#define RUNDIR_CONTROL "control"

/* run_dir/leaf. Returns out. */
char *rundir_path(char out[CONFIG_PATH_BYTES], const char *run_dir, const char *leaf);
/* Makes it, with its parent and the empty directory. 0 or -errno. */
int rundir_make(const char *run_dir);
/* The listening control socket, non-blocking, for root and the group `group`;
 * one that a killed daemon left is replaced. A descriptor or -errno. */
int rundir_listen(const char *run_dir, const char *group);
/* Removes the socket and the empty directory; while the daemon's lock is held. */
void rundir_clear(const char *run_dir);
/* Removes the directory itself, if nothing is in it any more. */
void rundir_remove(const char *run_dir);

#endif
