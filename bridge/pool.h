/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Slices of one arena that the daemon made at start. A slice is the buffer of
 * a USB request and of the iSCSI command alike; its address never changes.
 */
#ifndef LUNSTICK_BRIDGE_POOL_H
#define LUNSTICK_BRIDGE_POOL_H

#include <stddef.h>
#include <stdint.h>

/* A multiple of every bulk wMaxPacketSize and of the page size. */
#define POOL_SLICE_BYTES 65536u
#define POOL_SLICES_MAX  288u

struct pool {
    uint8_t *arena; /* page-aligned, slice_count * POOL_SLICE_BYTES, the caller's */
    unsigned slice_count;
    unsigned free_count;
    uint16_t free_list[POOL_SLICES_MAX];
};

void pool_init(struct pool *pool, void *arena, unsigned slice_count);

/* A slice, or NULL. */
uint8_t *pool_take(struct pool *pool);
void pool_give(struct pool *pool, uint8_t *slice);

#endif
