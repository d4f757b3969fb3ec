/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns a gadget: a lock file that its daemon holds while it lives. The
 * kernel lets go of the lock when the process dies, however it dies; the file
 * stays, and says that the gadget of this name was ours.
 */
#ifndef LUNSTICK_GADGET_OWNER_H
#define LUNSTICK_GADGET_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

struct owner {
    int fd;            /* close-on-exec; a forked child may close its copy */
    bool was_left;     /* the file was there: its owner did not end in order */
    pid_t other_owner; /* on -EBUSY: who has it, 0 if it is not known */
};

/* 0; -EBUSY: a living process has it; or -errno. `fd` is -1 without it. */
int owner_take(struct owner *owner, const char *path);
/* Removes the file and lets go. */
void owner_release(struct owner *owner, const char *path);

#endif
