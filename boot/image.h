/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which kernel an image would start, and with which command line, as far as its
 * own boot loader's files tell. Pure: files are read through three functions.
 *
 * The order of preference, the first that is there:
 *   1. config.txt (image_config_txt.h) on the boot partition, or in /boot/firmware
 *      or /boot of the root file system; if it names a kernel, or the default one
 *      is there (kernel8.img; on a Pi 5 before that kernel_2712.img). Its command
 *      line is that of cmdline.txt or cmdline=, in which console=serial0 becomes
 *      the name that the kernel knows.
 *   2. extlinux/extlinux.conf (image_extlinux.h)
 *   3. loader/entries (image_entry.h): what loader.conf has as the default, else
 *      the first
 *   4. /boot/vmlinuz-*: the newest version that the image has modules for, else the
 *      newest; its command line is not known
 * 2 and 3 are looked for on the boot partition, in its boot/, and in /boot and / of
 * the root file system; 4 on the boot partition and in /boot. The kernel of 1 may be
 * U-Boot: then 2 to 4 decide. A source that is there and faulty (a kernel that is
 * missing, or no arm64 kernel) is an error: another kernel would be a guess.
 *
 * The image's device tree and initrd are not used: the firmware's tree is kept, and
 * the initrd is ours.
 */
#ifndef LUNSTICK_BOOT_IMAGE_H
#define LUNSTICK_BOOT_IMAGE_H

#include "boot/cmdline.h"
#include "boot/image_config_txt.h"
#include "boot/image_entry.h"
#include "boot/image_extlinux.h"
#include "boot/image_kernel.h"

#define IMAGE_PATH_BYTES 512
#define IMAGE_WHY_BYTES  1024
#define IMAGE_TEXT_BYTES 65536 /* a text file that is longer is cut off */

enum image_tree { IMAGE_BOOT, IMAGE_ROOT }; /* the boot partition; the root file system */

/* Paths begin with `/`, the top of the tree. Links lead to within the tree. */
struct image_files {
    /* Up to `size` bytes from `offset`; less only at the end of the file; -errno. */
    ssize_t (*read)(void *context, enum image_tree tree, const char *path, uint64_t offset,
                    void *buffer, size_t size);
    /* Calls `each` for every name in a directory, in any order; 0 or -errno. */
    int (*list)(void *context, enum image_tree tree, const char *path,
                void (*each)(void *argument, const char *name), void *argument);
    void *context;
};

struct image_board {
    struct config_txt_board config_txt;
    char serial[2][16]; /* what console=serial0 and serial1 are: "ttyS0"; empty: unknown */
};

struct image {
    enum image_tree tree;                /* of the kernel */
    char kernel[IMAGE_PATH_BYTES];       /* the path in it */
    char found_by[IMAGE_PATH_BYTES];     /* the file that named it, or the kernel itself */
    char cmdline[CMDLINE_BYTES];         /* may be empty */
    struct image_kernel packed;          /* how it is packed */
    char version[IMAGE_PATH_BYTES];      /* as it says, else of its name, else of the only
                                          * modules; may be empty */
    char modules[IMAGE_PATH_BYTES + 32]; /* their directory in the root file system, or empty */
};

/* Memory that image_find() works in. */
struct image_room {
    char text[CONFIG_TXT_DEPTH][IMAGE_TEXT_BYTES];
    struct extlinux_label label;
    struct entry entries[2];
    struct image_kernel_room kernel;
};

/* False with one sentence that names the file and what to do. */
bool image_find(struct image_room *room, const struct image_files *files,
                const struct image_board *board, struct image *image, char why[IMAGE_WHY_BYTES]);

#endif
