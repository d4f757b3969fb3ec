/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which modules of an image's kernel are taken along into its initramfs: by name,
 * by what a device calls itself (its modalias), with all that they depend on. Pure:
 * it works on depmod's text files (modules.dep(5), and softdep of modprobe.d(5)).
 */
#ifndef LUNSTICK_BOOT_IMAGE_MODULES_H
#define LUNSTICK_BOOT_IMAGE_MODULES_H

#include "boot/image_text.h"

#define IMAGE_MODULES_MAX 1024

/* A line of modules.alias. */
struct image_modules_alias {
    struct text_span pattern, name;
    struct text_span plain; /* the longest part of it without a wildcard */
};

struct image_modules {
    /* Terminated; an empty one is as good as a file that is not there. */
    const char *dep;          /* modules.dep */
    const char *softdep;      /* modules.softdep */
    const char *builtin;      /* modules.builtin */
    const char *builtin_info; /* modules.builtin.modinfo, its zeros become newlines */

    const struct image_modules_alias *aliases;
    size_t aliases_count;

    struct text_span taken[IMAGE_MODULES_MAX]; /* paths as in modules.dep */
    unsigned count;
    bool full; /* there was no room for all */
};

/* The lines of modules.alias, of which so many as there is room for are put into
 * `aliases`; their number in all. `text` has to stay. */
size_t image_modules_index(const char *text, struct image_modules_alias *aliases, size_t room);

enum image_modules_answer {
    IMAGE_MODULES_MISSING,
    IMAGE_MODULES_BUILTIN,
    IMAGE_MODULES_TAKEN,
};

/* Takes the module of that name, or those with such an alias. Of an alias alone it
 * may not be known whether it is built in (no modules.builtin.modinfo): then it is
 * said to be. */
enum image_modules_answer image_modules_take(struct image_modules *m, const char *word);

/* The same for what a device that is there calls itself; but modules that no root
 * needs (sound, graphics, radio ...) are not taken. */
enum image_modules_answer image_modules_take_device(struct image_modules *m, const char *modalias);

#endif
