/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick-boot image: the kernel of an image that is mounted (boot/image.h), as
 * assignments for the shell of the initramfs:
 *
 *   kernel          its path, links resolved
 *   packing         plain, gzip or zstd; what is so packed is at payload_offset
 *   payload_offset  and payload_bytes of the file; 0 bytes: all of it
 *   version         as uname -r will say; empty: not known
 *   modules         the directory of its modules; empty: there is none
 *   image_cmdline   may be empty
 *   found_by        the file of the image that named the kernel
 *
 * path: a path of an image as the caller sees it, each link on its way followed
 * within the image; an empty line if it is not there. device-tree: see below.
 */
#include "boot/image_fdt.h"
#include "boot/image_tree.h"
#include "boot/plan.h"
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_TREE "/proc/device-tree"

/* A property of the device tree, terminated; empty if there is none. */
static size_t read_property(const char *tree, const char *name, void *value, size_t size)
{
    char path[256];
    FILE *file;
    size_t got = 0;

    snprintf(path, sizeof(path), "%s/%s", tree, name);
    memset(value, 0, size);
    file = fopen(path, "re");
    if (file) {
        got = fread(value, 1, size - 1, file);
        fclose(file);
    }
    return got;
}

static void read_board(const char *tree, struct config_txt_board *board)
{
    uint8_t cell[5];
    char serial[32];

    read_property(tree, "model", board->model, sizeof(board->model));
    if (read_property(tree, "system/linux,revision", cell, sizeof(cell)) == 4)
        board->revision =
            (uint32_t)cell[0] << 24 | (uint32_t)cell[1] << 16 | (uint32_t)cell[2] << 8 | cell[3];
    read_property(tree, "serial-number", serial, sizeof(serial));
    board->serial = strtoull(serial, NULL, 16);
}

static void print_path(struct image_trees *trees, const char *name, enum image_tree tree,
                       const char *path)
{
    char whole[4096] = "";

    if (path[0])
        image_trees_path(trees, tree, path, whole, sizeof(whole));
    plan_assign(stdout, name, whole);
}

static void print_image(struct image_trees *trees, const struct image *image)
{
    static const char *const packings[] = {"plain", "gzip", "zstd"};

    print_path(trees, "kernel", image->tree, image->kernel);
    plan_assign(stdout, "packing", packings[image->packed.packing]);
    printf("payload_offset='%llu'\npayload_bytes='%llu'\n",
           (unsigned long long)image->packed.offset, (unsigned long long)image->packed.bytes);
    plan_assign(stdout, "version", image->version);
    print_path(trees, "modules", IMAGE_ROOT, image->modules);
    plan_assign(stdout, "image_cmdline", image->cmdline);
    plan_assign(stdout, "found_by", image->found_by);
}

int boot_image(int argc, char **argv)
{
    const char *boot = "", *root = NULL, *tree = DEVICE_TREE, *partition = "0", *wrong;
    const char *serials[2] = {"", ""};
    const struct boot_option options[] = {
        {"boot", &boot},        {"root", &root},          {"partition", &partition},
        {"device-tree", &tree}, {"serial0", &serials[0]}, {"serial1", &serials[1]},
        {NULL, NULL},
    };
    struct image_room *room;
    struct image image;
    struct image_board board = {.config_txt = {.revision = 0}};
    struct image_trees trees;
    struct image_files files;
    char why[IMAGE_WHY_BYTES];
    bool found;
    int error;

    if (!boot_options(argc, argv, options))
        return BOOT_WRONG;
    if (!root)
        return boot_fail(BOOT_WRONG, "--root DIR is missing, where the image is mounted");
    read_board(tree, &board.config_txt);
    board.config_txt.boot_partition = (unsigned)strtoul(partition, NULL, 10);
    for (unsigned i = 0; i < 2; i++)
        snprintf(board.serial[i], sizeof(board.serial[i]), "%s", serials[i]);
    error = image_trees_open(&trees, boot, root, &wrong);
    if (error) {
        image_trees_close(&trees);
        return boot_fail(BOOT_WRONG, "%s: %s", wrong, strerror(-error));
    }
    room = malloc(sizeof(*room));
    files = image_trees_files(&trees);
    snprintf(why, sizeof(why), "%s", strerror(ENOMEM));
    found = room && image_find(room, &files, &board, &image, why);
    if (found)
        print_image(&trees, &image);
    image_trees_close(&trees);
    free(room);
    return found ? BOOT_OK : boot_fail(BOOT_WRONG, "%s", why);
}

int boot_path(int argc, char **argv)
{
    const char *root = "", *path = NULL, *wrong;
    const struct boot_option options[] = {{"root", &root}, {"path", &path}, {NULL, NULL}};
    struct image_trees trees;
    char whole[4096];
    int error;

    if (!boot_options(argc, argv, options))
        return BOOT_WRONG;
    if (!root[0] || !path)
        return boot_fail(BOOT_WRONG, "--root DIR or --path PATH is missing");
    error = image_trees_open(&trees, "", root, &wrong);
    if (!error) {
        image_trees_path(&trees, IMAGE_ROOT, path, whole, sizeof(whole));
        puts(whole);
    }
    image_trees_close(&trees);
    return error ? boot_fail(BOOT_WRONG, "%s: %s", wrong, strerror(-error)) : BOOT_OK;
}

#define DEVICE_TREE_BYTES (4u << 20)

/* The device tree in use, on standard output, as the second kernel may have it. */
int boot_device_tree(int argc, char **argv)
{
    const char *from = "/sys/firmware/fdt";
    const struct boot_option options[] = {{"from", &from}, {NULL, NULL}};
    uint8_t *tree;
    size_t bytes = 0;
    FILE *file;
    int status = BOOT_OK;

    if (!boot_options(argc, argv, options))
        return BOOT_WRONG;
    tree = malloc(DEVICE_TREE_BYTES);
    file = fopen(from, "re");
    if (tree && file)
        bytes = fread(tree, 1, DEVICE_TREE_BYTES, file);
    if (!tree || !file)
        status = boot_fail(BOOT_WRONG, "%s: %s", from, strerror(errno));
    else if (!image_fdt_wipe_seed(tree, bytes))
        status = boot_fail(BOOT_WRONG, "%s is no device tree", from);
    else
        fwrite(tree, 1, bytes, stdout);
    if (file)
        fclose(file);
    free(tree);
    return status;
}
