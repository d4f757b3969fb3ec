/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a probe learned about the disk at the target: enough to answer the
 * host's questions without a session, and to tell the disk from another.
 */
#ifndef LUNSTICK_BRIDGE_IDENTITY_H
#define LUNSTICK_BRIDGE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_VPD_BYTES 252
#define DISK_VPD_PAGES 8

/* A VPD page as the target sent it, cut to DISK_VPD_BYTES. */
struct disk_vpd {
    uint8_t code;
    uint8_t bytes; /* 0: the target has no such page */
    uint8_t data[DISK_VPD_BYTES];
};

struct disk_identity {
    uint8_t inquiry[96]; /* standard INQUIRY data, SPC-4 6.4.2 */
    uint8_t inquiry_bytes;
    struct disk_vpd vpd[DISK_VPD_PAGES]; /* 00, 80, 83, B0, B1, B2, those it has */
    unsigned vpd_count;
    uint8_t
        capacity16[32]; /* READ CAPACITY(16) data, SBC-3 5.16.2; built if it lacks the command */
    uint64_t blocks;    /* number of blocks, not the last address */
    uint32_t block_bytes;
    bool write_protected; /* the target's own WP bit */
    bool dpofua;          /* DPO and FUA are supported */
    bool has_caching_page;
    uint8_t caching_page[20]; /* mode page 08, SBC-3 6.5.5, current values */
    bool has_control_page;
    uint8_t control_page[12]; /* mode page 0A, SPC-4 7.5.8, current values */
    bool reserved;            /* PERSISTENT RESERVE IN: somebody holds a reservation */
    bool reservations_known;  /* the target answered that */
};

/* Page `code`, or NULL if the target does not have it. */
const struct disk_vpd *disk_vpd_find(const struct disk_identity *disk, uint8_t code);

/* Same designators of the logical unit (83) and same serial number (80), as far
 * as the disks have them; without both the vendor, product and revision.
 * Capacity is not part of it. */
bool disk_same(const struct disk_identity *a, const struct disk_identity *b);

/* It is one that a probe may have made, whoever wrote it into the memory it comes from. */
bool disk_plausible(const struct disk_identity *disk);

/* Why a USB host cannot use this disk (no blocks; a block length that hosts do
 * not take: 512 to 4096, power of two), with the fix; NULL if it can. */
const char *disk_unusable(const struct disk_identity *disk);

/* Text of the designation for people: the NAA or T10 designator or the serial
 * number, printable ASCII. Returns out. */
char *disk_name(const struct disk_identity *disk, char *out, size_t size);

#endif
