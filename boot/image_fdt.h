/* SPDX-License-Identifier: BSD-2-Clause */
/* The flattened device tree (Devicetree Specification 0.4, chapter 5) that a second
 * kernel gets from the first. Pure. */
#ifndef LUNSTICK_BOOT_IMAGE_FDT_H
#define LUNSTICK_BOOT_IMAGE_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Makes every kaslr-seed zero, in place. A kernel that uses the firmware's does so
 * itself; one that does not (nokaslr, or without RANDOMIZE_BASE) leaves it, and
 * then kexec refuses the tree. False: this is no device tree; it may be changed.
 */
bool image_fdt_wipe_seed(uint8_t *fdt, size_t bytes);

#endif
