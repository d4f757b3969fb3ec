/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot loader entries of type 1 (UAPI.1, Boot Loader Specification: "Type #1 Boot
 * Loader Entry Keys", "Boot counting", "Sorting") and the default of systemd-boot's
 * loader.conf(5). Pure.
 */
#ifndef LUNSTICK_BOOT_IMAGE_ENTRY_H
#define LUNSTICK_BOOT_IMAGE_ENTRY_H

#include "boot/cmdline.h"

#define ENTRY_PATH_BYTES 256
#define ENTRY_NAME_BYTES 256

struct entry {
    char file[ENTRY_NAME_BYTES]; /* its name in the directory, as it is there */
    char id[ENTRY_NAME_BYTES];   /* without .conf and boot counters */
    bool bad;                    /* no tries left */
    char sort_key[64];
    char machine_id[40];
    char version[128];
    char kernel[ENTRY_PATH_BYTES];
    char options[CMDLINE_BYTES]; /* of all lines; without the variables ($x) of GRUB */
    bool too_long;               /* a value found no room and is empty */
};

/* Reads `text`, the file named `file`. False if it is not an entry that could start
 * here: not *.conf, without `linux` (an EFI program), for another architecture than
 * aa64. */
bool entry_read(const char *file, const char *text, struct entry *entry);

/* Below 0: `a` stands before `b` in the menu, which starts with the first. */
int entry_order(const struct entry *a, const struct entry *b);

/* The pattern of loader.conf's `default`; false: not given, or @saved, which EFI
 * variables would tell. */
bool entry_default(const char *loader_conf, char pattern[ENTRY_NAME_BYTES]);

/* Does the pattern (fnmatch(3)) mean the entry, with or without .conf? */
bool entry_matches(const struct entry *entry, const char *pattern);

#endif
