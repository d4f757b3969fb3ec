/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The continuity proof: is the disk behind a new session the one that took the
 * host's writes? A restored image, an older snapshot and a target that lost its
 * volatile cache have the name, the serial number and the size of the disk, but
 * not what it acknowledged last. So the addresses and hashes of the last blocks
 * that were acknowledged are kept, and the blocks are read back after a login.
 *
 * One block of each segment, its first: 32 blocks are read in about four round
 * trips, whole segments would be two megabytes. A block of one repeated byte is
 * probably the same in an older copy, so such blocks take half of the room at
 * most. What is remembered is always the newest content: a block is forgotten
 * when a write that touches it is sent, and remembered when its status is GOOD.
 * That holds at any time, for a process that reads the blocks of a killed one, too.
 */
#ifndef LUNSTICK_BRIDGE_CONTINUITY_H
#define LUNSTICK_BRIDGE_CONTINUITY_H

#include "errand.h"

#define CONTINUITY_BLOCKS          32
#define CONTINUITY_READS           8 /* at the target at once */
#define CONTINUITY_BLOCK_MAX_BYTES 4096

enum continuity_end {
    CONTINUITY_PROVED,    /* all that can be read is as it was written */
    CONTINUITY_DISPROVED, /* it is not */
    CONTINUITY_CHANGED,   /* the target reported a change meanwhile: probe it first */
    CONTINUITY_FAULT,     /* not to be told now, for the reason `why` */
};

struct continuity_block {
    uint64_t lba;
    uint64_t hash;
    uint64_t serial; /* order of acknowledgement; 0: nothing here */
    bool uniform;    /* one repeated byte */
};

struct continuity_read {
    struct errand errand;
    struct continuity *continuity;
    struct continuity_block *block;
    uint8_t data[CONTINUITY_BLOCK_MAX_BYTES];
};

struct continuity {
    struct continuity_block *blocks; /* CONTINUITY_BLOCKS of them */
    uint64_t last_serial;

    /* The proof. */
    void (*done)(struct continuity *c, enum continuity_end end, const char *why);
    void *ctx;
    struct continuity_read reads[CONTINUITY_READS];
    uint32_t block_bytes;
    unsigned next;    /* of `blocks`, to be read */
    unsigned matched; /* read back as written */
    unsigned failed;  /* cannot be read: a medium error, say */
    enum continuity_end end;
    const char *why;
};

/* `blocks` are the caller's, zeroed or what another has remembered. */
void continuity_init(struct continuity *c, struct continuity_block blocks[CONTINUITY_BLOCKS],
                     struct backend *backend,
                     void (*done)(struct continuity *, enum continuity_end, const char *why),
                     void *ctx);

/* A write to the blocks from `first` to `end` - 1 goes to the target, or all of
 * them may change (0, UINT64_MAX). */
void continuity_forget(struct continuity *c, uint64_t first, uint64_t end);
/* The blocks of an UNMAP parameter list (SBC-3 5.28) do. */
void continuity_forget_unmapped(struct continuity *c, const uint8_t *list, uint32_t bytes);
/* The block at `lba` was acknowledged; continuity_forget() came before. */
void continuity_remember(struct continuity *c, uint64_t lba, const uint8_t *block,
                         uint32_t block_bytes);
bool continuity_empty(const struct continuity *c);

/* Begins the proof, in a session that has none under way: done() tells its end,
 * unless the session ends first. Nothing may be remembered or forgotten
 * meanwhile. */
void continuity_prove(struct continuity *c, uint32_t block_bytes);
/* There is room in the session again. */
void continuity_more(struct continuity *c);
/* A read of it is at the back end. */
bool continuity_running(const struct continuity *c);

#endif
