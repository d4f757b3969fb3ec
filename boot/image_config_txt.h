/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Raspberry Pi's config.txt, as its firmware reads it ("config.txt" in the
 * Raspberry Pi documentation: "File format", "include", "Conditional Filters",
 * "Boot Options"). Pure: who reads a file that is included hands its text in.
 *
 * A line is at most 98 characters, the rest of it is ignored; `#` begins a
 * comment where the line begins. `key=value`, or, for `initramfs` and `include`
 * and in files that live by it (piCore), `key value`. The last of equal keys
 * counts.
 *
 * Filters of one type replace each other, those of different types have all to
 * be true, [all] ends them. The types:
 *   model       [pi4] [cm4] ... as in the documentation's table; [board-type=N];
 *               [none], which is no model's
 *   serial      [0x12345678], the last eight digits
 *   expression  [boot_partition=N], known; [partition..], [boot_count..],
 *               [boot_arg1..], [bootvar0..], [cust_otpN..]: taken as false
 *   monitor     [EDID=..]: false, there is none that was asked
 *   pin         [gpioN=V]: false
 *   tryboot     [tryboot]: false
 * [HDMI:N] says to which port display settings belong, and filters nothing.
 * A name that is not known is a model filter of a board to come: false. (Firmware
 * that does not know a filter passes over it and applies what follows.)
 */
#ifndef LUNSTICK_BOOT_IMAGE_CONFIG_TXT_H
#define LUNSTICK_BOOT_IMAGE_CONFIG_TXT_H

#include "boot/image_text.h"

#include <stdint.h>

/* What the filters ask for: where this runs, and from where the file came. */
struct config_txt_board {
    char model[128];         /* the device tree's: "Raspberry Pi 4 Model B Rev 1.1" */
    uint32_t revision;       /* the device tree's system/linux,revision; 0: unknown */
    uint64_t serial;         /* 0: unknown */
    unsigned boot_partition; /* the number of the partition; 0: unknown */
};

/* Does the board see what stands under [name], a model filter? */
bool config_txt_board_sees(const struct config_txt_board *board, const char *name);

#define CONFIG_TXT_DEPTH   4  /* of include, the first file included */
#define CONFIG_TXT_FILES   64 /* that are included, each time they are */
#define CONFIG_TXT_FILTERS 6

struct config_txt {
    const struct config_txt_board *board;
    bool out[CONFIG_TXT_FILTERS]; /* by type: does not apply */
    const char *texts[CONFIG_TXT_DEPTH];
    unsigned depth;
};

struct config_txt_setting {
    struct text_span key, value;
};

/* `text`, terminated, has to stay until config_txt_next() said false. */
void config_txt_begin(struct config_txt *c, const struct config_txt_board *board, const char *text);

/* The next setting that applies to the board; false: there is no more. */
bool config_txt_next(struct config_txt *c, struct config_txt_setting *setting);

/* After the setting `include`: goes on in that file's text, then here again; false
 * if it is nested too deep. */
bool config_txt_include(struct config_txt *c, const char *text);

#define CONFIG_TXT_VALUE_BYTES 100

/* The settings that say what to boot; empty: not given. */
struct config_txt_boot {
    char kernel[CONFIG_TXT_VALUE_BYTES];
    char cmdline[CONFIG_TXT_VALUE_BYTES]; /* the name of the file */
    char device_tree[CONFIG_TXT_VALUE_BYTES];
    char os_prefix[CONFIG_TXT_VALUE_BYTES];
    bool upstream_kernel;
    bool says_32bit; /* arm_64bit=0 */
};

/* Takes in one setting; others are passed over. Begin with a structure of zeros. */
void config_txt_apply(struct config_txt_boot *boot, const struct config_txt_setting *setting);

#endif
