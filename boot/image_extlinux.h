/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * extlinux.conf, as U-Boot reads it (its doc/README.pxe and boot/pxe_utils.c):
 * keywords in any case, `#` begins a comment where a line begins. Pure. What is
 * included is not followed; fdt, fdtdir and fdtoverlays are passed over, since
 * the firmware's device tree is kept.
 */
#ifndef LUNSTICK_BOOT_IMAGE_EXTLINUX_H
#define LUNSTICK_BOOT_IMAGE_EXTLINUX_H

#include "boot/cmdline.h"

#define EXTLINUX_PATH_BYTES 256

struct extlinux_label {
    char name[64];
    char kernel[EXTLINUX_PATH_BYTES]; /* kernel, linux; without the #configuration of a FIT */
    char append[CMDLINE_BYTES];
    bool too_long; /* a value found no room and is empty */
};

/* The label that starts by itself: the last `default` or `ontimeout`, else the
 * first with `menu default`, else, or if there is none of that name, the first.
 * False: the text has no label. */
bool extlinux_default(const char *text, struct extlinux_label *label);

#endif
