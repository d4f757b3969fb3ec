/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the disk comes out, in the parent: what root has to do for it. A USB
 * gadget, or a network block device of the local kernel. There is one of them,
 * so its functions take no object.
 *
 *   create()       takes the name's lock; what a killed daemon left is removed or,
 *                  a block device that waits, taken over
 *   fd()           for the child, before it starts or behind bind(); close_fd() once
 *                  it was sent
 *   bind()         the disk is shown; again after another child or another try
 *   child_died()   and was waited for; reopen() before the next one is started
 *   unbind()       the user pulls the plug
 *   destroy()      removes everything
 */
#ifndef LUNSTICK_DAEMON_OUTLET_H
#define LUNSTICK_DAEMON_OUTLET_H

#include "boot/nbd.h"
#include "config.h"
#include "loop.h"
#include "privsep.h"

#include <sys/types.h>

#define OUTLET_WHY_BYTES 256

struct outlet_config {
    const struct daemon_config *config;
    const char *ffs_dir; /* for FunctionFS */
    uid_t uid;           /* who serves it, where there is no child of another user */
    gid_t gid;
    struct loop *loop;
    bool adopt; /* made by root in advance (parent_prepare()), and we are not root */
};

/* `why`: one line that names the thing and the fix. */
struct outlet_ops {
    int (*create)(const struct outlet_config *config, char why[OUTLET_WHY_BYTES]); /* exit status */
    bool (*reopen)(char why[OUTLET_WHY_BYTES]);
    int (*fd)(void); /* -1: none now */
    void (*close_fd)(void);
    /* The caller's own then. NULL: there are none. */
    bool (*endpoints)(int *in_fd, int *out_fd, char why[OUTLET_WHY_BYTES]);
    /* `text` is what front_ops.bind_text() wrote; the child is not trusted. */
    bool (*bind)(const char *text, char why[OUTLET_WHY_BYTES]);
    const char *(*name)(void); /* of the UDC, or the device; "" if there is none yet */
    void (*child_died)(void);
    void (*unbind)(void);
    void (*destroy)(void);
    int (*leave)(void);    /* to config->uid, for who comes with `adopt`; NULL: cannot be. -errno */
    uint64_t capabilities; /* without root's rights it is done with these (bit n: n) */
};

extern const struct outlet_ops outlet_usb, outlet_nbd;

/* What the kernel keeps with the block device: the daemon's name, and which disk it
 * is, so that no other is ever put behind what a killed process has left. With
 * `disk` "": what that begins with for all disks. */
#define OUTLET_NBD_BACKEND_BYTES 64
char *outlet_nbd_backend(char backend[OUTLET_NBD_BACKEND_BYTES], const char *name,
                         const char *disk);

/* A disk as text, between child and parent. */
struct outlet_nbd_disk {
    struct nbd_geometry geometry;
    char id[17]; /* 16 hexadecimal digits, a hash of the disk's own designation */
};
void outlet_nbd_print(const struct outlet_nbd_disk *disk, char text[PRIVSEP_TEXT_BYTES]);
/* False: it is none. */
bool outlet_nbd_parse(const char *text, struct outlet_nbd_disk *disk);

#endif
