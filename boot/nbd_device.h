/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's end of the local block device: makes /dev/nbdN of a socket, gives
 * it another socket when the process behind the first one is gone, and takes the
 * device away.
 *
 * For a process of root's: the kernel asks for CAP_SYS_ADMIN in the first user
 * namespace (netlink_capable), and files in /sys/block belong to root. The process
 * at the other end of the socket (nbd.h) needs no right at all.
 *
 * A request waits for its answer for ever: the kernel looks after it every
 * NBD_LOOK_MS, says "Possible stuck request" in its log, and waits on. While there
 * is no process behind the device, requests wait for NBD_DEAD_CONNECTION_S. What
 * a lost process had under way is sent again to the next one, up to NBD_LOOK_MS
 * after that has come: the kernel finds it when it looks.
 *
 * Each call is one exchange with the kernel, and no longer than NBD_ANSWER_MS.
 * `why` gets one line that names the thing and the fix.
 */
#ifndef LUNSTICK_BOOT_NBD_DEVICE_H
#define LUNSTICK_BOOT_NBD_DEVICE_H

#include "boot/nbd.h"
#include "boot/nbd_message.h"

#include <sys/types.h>

#define NBD_WHY_BYTES 256
#define NBD_LOOK_MS   10000
#define NBD_SYS_BLOCK "/sys/block" /* where `sys` points below, but in tests */

/* `backend` says whose the device is: less than NBD_BACKEND_BYTES, the same for all
 * processes that serve the same disk. `index` -1: the first that the kernel does not
 * have yet, made for this and gone with it; else that one, which stays. Returns the
 * process's end of the socket, not blocking, close-on-exec, and sets `index`; or
 * -errno. Nothing of it blocks: udev's requests wait until the process serves. */
int nbd_device_connect(const char *sys, int *index, const char *backend,
                       const struct nbd_geometry *g, char why[NBD_WHY_BYTES]);

/* The process behind it is gone: another socket for the same device, which has
 * waited. The device keeps its size; a disk that is smaller now is refused. A stranger's
 * device is refused (-EPERM). Waits until the kernel has noticed that the old
 * socket is closed, for NBD_ANSWER_MS (-EBUSY). Returns as nbd_device_connect(). */
int nbd_device_reconnect(const char *sys, int index, const char *backend,
                         const struct nbd_geometry *g, char why[NBD_WHY_BYTES]);

/* After a connect: sets the queue's limits, then opens the device, so that the
 * kernel reads its partitions. Both wait for the disk, so a process of its own does
 * it, which is nobody's child. Returns a pipe to be read: the end comes when it is
 * done; a line before that is what failed. Or -errno. */
int nbd_device_settle(const char *sys, int index, const struct nbd_geometry *g,
                      char why[NBD_WHY_BYTES]);

/* Requests that wait get an I/O error: whoever calls has seen to it that nobody
 * uses the device any more, and that the process behind it has ended or has shut its
 * end down. With a live process whose socket is full the kernel would wait
 * for it without end. 0, also when there is nothing to disconnect; or -errno. */
int nbd_device_disconnect(const char *sys, int index, const char *backend, char why[NBD_WHY_BYTES]);

struct nbd_device_state {
    uint64_t bytes;
    pid_t pid;                       /* who connected it; may be gone */
    char backend[NBD_BACKEND_BYTES]; /* empty: whoever connected it said none */
};
/* 0; -ENOENT: there is no such device, or nothing is connected to it. */
int nbd_device_read(const char *sys, int index, struct nbd_device_state *state);

/* The lowest connected device from `from` on whose backend begins with `prefix`;
 * -ENOENT: none. What a killed daemon left is found with it. */
int nbd_device_find(const char *sys, const char *prefix, int from);

#endif
