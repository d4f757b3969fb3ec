/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The unprivileged process: the sessions, the logical units, the USB function
 * and the control socket, in one loop. It knows no path and starts nothing.
 */
#ifndef LUNSTICK_DAEMON_CHILD_H
#define LUNSTICK_DAEMON_CHILD_H

#include "slot.h"

#include <sys/types.h>

/* What the child's end tells the parent. */
enum child_exit {
    CHILD_EXIT_STOPPED = 0,   /* as it was told to */
    CHILD_EXIT_TRANSIENT = 1, /* --once: the target cannot be had now */
    CHILD_EXIT_PERMANENT = 2, /* nothing but the user can help */
    CHILD_EXIT_BROKEN = 3,    /* set-up failed, or the parent went away */
};

struct child_start {
    const struct daemon_config *config;
    int sock;  /* to the parent */
    uid_t uid; /* whom to become */
    gid_t gid;
    const char *root_dir; /* empty directory; NULL: none could be made */
    pid_t parent;
    bool again;                /* not the first child: the host has seen this disk before */
    bool unplugged;            /* by the user */
    const struct slot *slots;  /* of each LUN; the child has its own copies */
    void *arena;               /* child_arena_bytes() for its buffers; NULL: its own */
    struct lun_memory *memory; /* of the disk, from one child to the next; NULL: there is none */
};

size_t child_arena_bytes(const struct daemon_config *config);

/* Gives up all rights, sets everything up, runs until it is told to stop.
 * Returns an enum child_exit for _exit(). */
int child_main(const struct child_start *start);

#endif
