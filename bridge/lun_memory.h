/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a logical unit knows of its disk beyond its own life: which one it is, and
 * what was written to it last. A process that follows another, killed one, is given
 * the memory of it, which both share, and so takes no other disk for this one.
 *
 * Zeroed memory knows nothing. It is plain numbers, in an order of writing that leaves
 * it true whenever the writer is killed.
 */
#ifndef LUNSTICK_BRIDGE_LUN_MEMORY_H
#define LUNSTICK_BRIDGE_LUN_MEMORY_H

#include "continuity.h"
#include "identity.h"

struct lun_memory {
    bool known; /* `disk` is complete; and only then are the blocks its */
    struct disk_identity disk;
    struct continuity_block blocks[CONTINUITY_BLOCKS];
};

#endif
