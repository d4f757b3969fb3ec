/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of an image (image.h) in two directories that are mounted somewhere.
 * Whatever its links say, nothing outside of the two is ever read. */
#ifndef LUNSTICK_BOOT_IMAGE_TREE_H
#define LUNSTICK_BOOT_IMAGE_TREE_H

#include "boot/image.h"

struct image_trees {
    int directories[2]; /* by enum image_tree; -1: there is none */
    int file;           /* the one that was read last; -1: none */
    enum image_tree file_tree;
    char file_path[IMAGE_PATH_BYTES];
};

/* Opens the directories; an empty name: there is no such tree. 0; or -errno, and
 * `wrong` is the one that it is about. image_trees_close() in both cases. */
int image_trees_open(struct image_trees *trees, const char *boot, const char *root,
                     const char **wrong);
void image_trees_close(struct image_trees *trees);

/* The functions, for as long as `trees` is open. */
struct image_files image_trees_files(struct image_trees *trees);

/* The path of a file of the image as the caller sees it, links resolved; 0 or -errno. */
int image_trees_path(struct image_trees *trees, enum image_tree tree, const char *path, char *out,
                     size_t size);

#endif
