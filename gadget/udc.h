/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USB device controllers: which there are, which are free, and who has the
 * others. Reads sysfs and configfs, changes nothing.
 */
#ifndef LUNSTICK_GADGET_UDC_H
#define LUNSTICK_GADGET_UDC_H

#include "gadget.h"

#define UDC_NAME_BYTES 64

/* Where to look; the tests have trees of their own. */
struct udc_places {
    const char *udc_class; /* /sys/class/udc */
    const char *gadgets;   /* /sys/kernel/config/usb_gadget; it may not exist */
};

/* `wanted`, or the first in the order of names that is free when it is NULL.
 * GADGET_NO_UDC, _UDC_UNKNOWN or _UDC_BUSY otherwise; `why` lists them all. */
enum gadget_error udc_choose(const struct udc_places *where, const char *wanted,
                             char udc[UDC_NAME_BYTES], char why[GADGET_WHY_BYTES]);

/* Who has it, as "gadget g1" or "driver g_zero"; false: it is free. */
bool udc_holder(const struct udc_places *where, const char *udc, char *holder, size_t size);

/* Its state and speed in the kernel's words: "not attached, up to high-speed". */
void udc_describe(const struct udc_places *where, const char *udc, char *text, size_t size);

#endif
