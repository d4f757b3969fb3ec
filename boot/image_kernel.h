/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a file is that somebody calls a kernel: by its first bytes, and by what it
 * says of itself ("Linux version ..."), behind gzip, too. Pure; 45 KB of memory.
 *
 * Good are arm64's Image (Documentation/arch/arm64/booting.rst), the same in gzip,
 * as Raspberry Pi's firmware takes it, and the kernel's own EFI program around a
 * packed Image (CONFIG_EFI_ZBOOT, drivers/firmware/efi/libstub/zboot-header.S).
 */
#ifndef LUNSTICK_BOOT_IMAGE_KERNEL_H
#define LUNSTICK_BOOT_IMAGE_KERNEL_H

#include "boot/inflate.h"

#define IMAGE_KERNEL_VERSION_BYTES 65 /* the kernel's own limit, with its end */
#define IMAGE_KERNEL_WHAT_BYTES    96

enum image_kernel_verdict {
    IMAGE_KERNEL_GOOD,
    IMAGE_KERNEL_BOOT_LOADER, /* U-Boot: what it starts is written elsewhere */
    IMAGE_KERNEL_OTHER,
    IMAGE_KERNEL_UNREADABLE,
};

/* How the Image is packed. */
enum image_kernel_packing { IMAGE_KERNEL_PLAIN, IMAGE_KERNEL_GZIP, IMAGE_KERNEL_ZSTD };

struct image_kernel {
    enum image_kernel_verdict verdict;
    enum image_kernel_packing packing;
    uint64_t offset;                          /* of what is packed, in the file */
    uint64_t bytes;                           /* of it; 0: all of the file */
    char version[IMAGE_KERNEL_VERSION_BYTES]; /* "6.1.0-49-arm64"; empty: it does not say */
    char what[IMAGE_KERNEL_WHAT_BYTES];       /* if it is not good: "an x86 kernel (bzImage)" */
};

struct image_kernel_file {
    /* Up to `size` bytes from `offset`; less only at the end of the file; -errno. */
    ssize_t (*read)(void *context, uint64_t offset, void *buffer, size_t size);
    void *context;
};

struct image_kernel_room {
    struct inflate inflate;
    uint8_t block[4096];
};

/* Reads as much of the file as it takes, in order; unpacked at most 256 MiB. */
void image_kernel_inspect(struct image_kernel_room *room, const struct image_kernel_file *file,
                          struct image_kernel *kernel);

#endif
