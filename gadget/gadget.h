/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gadget in configfs, through libusbgx: made from a scheme of
 * configfs-templates/, named, given its serial number, bound to a UDC and torn
 * down. Runs in the privileged parent. Every failure leaves a sentence that
 * names the thing and the fix in `why`.
 */
#ifndef LUNSTICK_GADGET_GADGET_H
#define LUNSTICK_GADGET_GADGET_H

#include <stdbool.h>
#include <stddef.h>

struct gadget;

struct gadget_config {
    const char *scheme_path; /* e.g. /usr/share/lunstick/configfs-templates/disk.scheme */
    const char *name;        /* of the gadget in configfs and the FunctionFS instance: "lunstick" */
    const char *serial;      /* at least 12 hexadecimal digits */
    const char *udc;         /* NULL: the first that is free */
    const char *ffs_dir;     /* where FunctionFS is mounted, e.g. /run/lunstick/NAME/ffs; made */
    const char *configfs_root; /* NULL: /sys/kernel/config */
    unsigned ffs_uid, ffs_gid; /* owner of the endpoint files */
};

#define GADGET_WHY_BYTES 256

enum gadget_error {
    GADGET_OK = 0,
    GADGET_NO_CONFIGFS,
    GADGET_NO_UDC,      /* none at all: overlay, dtoverlay=dwc2, dummy_hcd */
    GADGET_UDC_UNKNOWN, /* the named one does not exist; `why` lists those that do */
    GADGET_UDC_BUSY,    /* `why` names the gadget that holds it */
    GADGET_NO_FUNCTIONFS,
    GADGET_BAD_SCHEME, /* file, line and what libusbgx said */
    GADGET_EXISTS, /* a gadget of this name is there: another daemon or a crash; `lunstick cleanup`
                    */
    GADGET_SYSTEM, /* errno in words */
};

/* Chooses the UDC, imports the scheme unbound, sets serial and strings, mounts
 * FunctionFS, opens ep0. On an error everything is undone. */
enum gadget_error gadget_create(const struct gadget_config *config, struct gadget **gadget,
                                char why[GADGET_WHY_BYTES]);
int gadget_ep0_fd(const struct gadget *gadget); /* the caller passes it on and then calls: */
void gadget_close_ep0(struct gadget *gadget);
/* Opens the endpoint files; they exist once descriptors were written to ep0.
 * The caller owns the descriptors. */
enum gadget_error gadget_open_endpoints(const struct gadget *gadget, int *ep_in_fd, int *ep_out_fd,
                                        char why[GADGET_WHY_BYTES]);
enum gadget_error gadget_bind(struct gadget *gadget, char why[GADGET_WHY_BYTES]);
void gadget_unbind(struct gadget *gadget); /* no effect when the child's death already did it */
const char *gadget_udc(const struct gadget *gadget);
/* Mounts FunctionFS anew after the child died and opens ep0 again. */
enum gadget_error gadget_reopen(struct gadget *gadget, char why[GADGET_WHY_BYTES]);
/* Unbinds, unmounts, removes everything from configfs, frees. */
void gadget_destroy(struct gadget *gadget);

/* Removes what a killed daemon left: the gadget `name`, its mount, its
 * directory. Not while a live process owns it (*busy set, nothing done).
 * Returns how many things were removed; `why` tells of those that could not be. */
int gadget_cleanup(const char *name, const char *ffs_dir, bool *busy, char why[GADGET_WHY_BYTES]);

/* For `lunstick doctor`: one line per finding. */
enum gadget_error gadget_check(const char *udc, char why[GADGET_WHY_BYTES]);

#endif
