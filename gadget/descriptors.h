/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What FunctionFS wants to know of the function before it can be bound: the
 * descriptors for each speed and the strings, as two blobs for ep0. Pure.
 */
#ifndef LUNSTICK_GADGET_DESCRIPTORS_H
#define LUNSTICK_GADGET_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

#define DESCRIPTORS_BYTES_MAX 128
#define STRINGS_BYTES_MAX     64

/* Bulk wMaxPacketSize, USB 2.0 5.8.3 and USB 3.2 8.12.1. */
enum {
    BULK_MAX_PACKET_FULL = 64,
    BULK_MAX_PACKET_HIGH = 512,
    BULK_MAX_PACKET_SUPER = 1024,
};

/* One interface, Mass Storage / SCSI / Bulk-Only, with bulk IN as endpoint 1
 * and bulk OUT as endpoint 2, at full, high and super speed (format 2 of
 * linux/usb/functionfs.h). Return the bytes written; 0: `size` is too small. */
size_t descriptors_build(uint8_t *out, size_t size);
/* The interface's name in US English. */
size_t strings_build(uint8_t *out, size_t size);

#endif
