/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gadget in configfs, through libusbgx: made from a scheme of
 * configfs-templates/, named, given its serial number, bound to a UDC and torn
 * down. Runs in the privileged parent. Every failure leaves a sentence that
 * names the thing and the fix in `why`.
 *
 * Beside ffs_dir, in its parent directory, lie `lock` (owner.h) and `configfs`
 * (a view for libusbgx, see gadget.c) while the gadget is there.
 */
#ifndef LUNSTICK_GADGET_GADGET_H
#define LUNSTICK_GADGET_GADGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gadget;

struct gadget_config {
    const char *scheme_path; /* e.g. /usr/share/lunstick/configfs-templates/disk.scheme */
    /* Of the gadget in configfs and of the FunctionFS instance: "lunstick".
     * Letters, digits, - and _, at most GADGET_NAME_MAX. */
    const char *name;
    const char *serial; /* at least 12 hexadecimal digits */
    const char *udc;    /* NULL: the first that is free */
    /* Where FunctionFS is mounted, e.g. /run/lunstick/NAME/ffs: an absolute
     * path; it and what leads to it is made, and removed again as far as it is empty.
     * Its parent directory is this gadget's own. */
    const char *ffs_dir;
    const char *configfs_root; /* NULL: /sys/kernel/config */
    uid_t uid;                 /* who serves it; root, if there is no gadget_leave() */
    gid_t gid;
};

#define GADGET_WHY_BYTES 256
#define GADGET_NAME_MAX  35 /* the kernel's 39 for "ffs.NAME" */

enum gadget_error {
    GADGET_OK = 0,
    GADGET_NO_CONFIGFS,
    GADGET_NO_UDC,      /* none at all: overlay, dtoverlay=dwc2, dummy_hcd */
    GADGET_UDC_UNKNOWN, /* the named one does not exist; `why` lists those that do */
    GADGET_UDC_BUSY,    /* `why` names the gadget that holds it */
    GADGET_NO_FUNCTIONFS,
    GADGET_BAD_SCHEME, /* file, line and what is wrong there */
    GADGET_EXISTS,     /* a gadget of this name belongs to a living daemon or to somebody else */
    GADGET_SYSTEM,     /* errno in words */
};

/* Takes the lock, removes what a killed daemon of the same name and directory
 * left, chooses the UDC, imports the scheme unbound, sets serial and strings,
 * mounts FunctionFS, opens ep0. On an error everything is undone. The strings
 * of the config are copied. */
enum gadget_error gadget_create(const struct gadget_config *config, struct gadget **gadget,
                                char why[GADGET_WHY_BYTES]);
/* In two steps, for a daemon without root's rights: root makes the gadget and
 * leaves it to the user of the config, with the right to bind it and to serve
 * its files. 0, and it is freed, or -errno. That user takes it over, if no
 * living process has. */
int gadget_leave(struct gadget *gadget);
enum gadget_error gadget_adopt(const struct gadget_config *config, struct gadget **gadget,
                               char why[GADGET_WHY_BYTES]);
int gadget_ep0_fd(const struct gadget *gadget); /* the caller passes it on and then calls: */
void gadget_close_ep0(struct gadget *gadget);
/* Opens the endpoint files; they exist once descriptors were written to ep0.
 * The caller owns the descriptors. */
enum gadget_error gadget_open_endpoints(const struct gadget *gadget, int *ep_in_fd, int *ep_out_fd,
                                        char why[GADGET_WHY_BYTES]);
/* Without a named UDC: if the one chosen at first was taken in the meantime,
 * the next that is free. */
enum gadget_error gadget_bind(struct gadget *gadget, char why[GADGET_WHY_BYTES]);
void gadget_unbind(struct gadget *gadget); /* no effect when the child's death already did it */
const char *gadget_udc(const struct gadget *gadget);
/* Opens ep0 again after the child died (and was waited for). The gadget is
 * unbound then; everything follows as after create. */
enum gadget_error gadget_reopen(struct gadget *gadget, char why[GADGET_WHY_BYTES]);
/* Unbinds, frees; unless it was adopted, also unmounts and removes everything
 * from configfs and ffs_dir. */
void gadget_destroy(struct gadget *gadget);

/* Removes what a killed daemon left: the gadget `name`, its mount, its
 * directory. Not while a live process owns it (*busy set, nothing done).
 * Returns how many things were removed; `why` tells of those that could not
 * be, and is empty otherwise. A gadget of that name with another function than
 * ours is left alone. */
int gadget_cleanup(const char *name, const char *ffs_dir, bool *busy, char why[GADGET_WHY_BYTES]);

/* For `lunstick doctor`: configfs, FunctionFS, UDC; the first thing that is
 * missing, or in one line what is there. `udc` NULL: any. Changes nothing. */
enum gadget_error gadget_check(const char *udc, char why[GADGET_WHY_BYTES]);

#endif
