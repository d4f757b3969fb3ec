/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of an image (boot/image.h) in memory. */
#ifndef LUNSTICK_TESTS_IMAGE_MEMORY_H
#define LUNSTICK_TESTS_IMAGE_MEMORY_H

#include "boot/image.h"

#define IMAGE_MEMORY_FILES 32

/* A path's directories are there with it. Names and data stay the caller's. */
struct image_memory {
    struct {
        enum image_tree tree;
        const char *path;
        const void *data;
        size_t bytes;
    } files[IMAGE_MEMORY_FILES];
    unsigned count;
};

void image_memory_add(struct image_memory *memory, enum image_tree tree, const char *path,
                      const void *data, size_t bytes);
void image_memory_add_text(struct image_memory *memory, enum image_tree tree, const char *path,
                           const char *text);

struct image_files image_memory_files(struct image_memory *memory);

#endif
