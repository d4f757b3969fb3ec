/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lunstick-boot QUESTION [--OPTION VALUE]...: what the scripts of the initramfs
 * (boot/initramfs) ask. Not for people: its answers are assignments for a shell
 * (boot/plan.h), lists and files. A program of its own, so that lunstickd carries
 * nothing that only a boot needs.
 *
 * One function for each question, whose argv begins with its name; what the kernel
 * command line says is in words.c, what an image has in image.c and modules.c. The
 * exit status is one of these.
 */
#ifndef LUNSTICK_BOOT_PROGRAM_H
#define LUNSTICK_BOOT_PROGRAM_H

#include <stdbool.h>

enum { BOOT_OK = 0, BOOT_TRANSIENT = 1, BOOT_WRONG = 2 };

int boot_words(int argc, char **argv);
int boot_image_words(int argc, char **argv);
int boot_image(int argc, char **argv);
int boot_path(int argc, char **argv);
int boot_device_tree(int argc, char **argv);
int boot_modules(int argc, char **argv);

/* `--NAME VALUE`, any number of them. The array ends with a NULL name; what is not
 * given stays. False after a line on stderr. */
struct boot_option {
    const char *name;
    const char **value;
};
bool boot_options(int argc, char **argv, const struct boot_option *options);

/* "lunstick-boot: ..." on stderr. Returns `status`. */
int boot_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
