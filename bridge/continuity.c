/* SPDX-License-Identifier: BSD-2-Clause */
#include "continuity.h"
#include "bytes.h"
#include "opcode.h"

#include <stdatomic.h>
#include <string.h>

#define UNIFORM_MAX (CONTINUITY_BLOCKS / 2)

/* Block lengths are multiples of 8. Nobody gains by a collision but the host that
 * made both blocks. */
static uint64_t hash_of(const uint8_t *block, uint32_t bytes)
{
    uint64_t hash = bytes;
    for (uint32_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, block + i, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

/* All bytes are the same. */
static bool is_uniform(const uint8_t *block, uint32_t bytes)
{
    uint64_t first, word;
    memset(&first, block[0], sizeof(first));
    for (uint32_t i = 0; i < bytes; i += sizeof(word)) {
        memcpy(&word, block + i, sizeof(word));
        if (word != first)
            return false;
    }
    return true;
}

/* ---- what was acknowledged ---- */

void continuity_forget(struct continuity *c, uint64_t first, uint64_t end)
{
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        if (c->blocks[i].lba >= first && c->blocks[i].lba < end)
            c->blocks[i].serial = 0;
}

void continuity_forget_unmapped(struct continuity *c, const uint8_t *list, uint32_t bytes)
{
    for (uint32_t at = 8; at + 16 <= bytes; at += 16) {
        uint64_t first = get_be64(list + at);
        uint32_t count = get_be32(list + at + 8);
        continuity_forget(c, first, first > UINT64_MAX - count ? UINT64_MAX : first + count);
    }
}

/* A free place, or that of the oldest block; of the oldest uniform one, where
 * there are too many of them. */
static struct continuity_block *place(struct continuity *c)
{
    struct continuity_block *oldest = &c->blocks[0], *oldest_uniform = NULL;
    unsigned uniform = 0;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++) {
        struct continuity_block *block = &c->blocks[i];
        if (block->serial < oldest->serial)
            oldest = block;
        if (block->serial == 0 || !block->uniform)
            continue;
        uniform++;
        if (!oldest_uniform || block->serial < oldest_uniform->serial)
            oldest_uniform = block;
    }
    return oldest->serial != 0 && uniform >= UNIFORM_MAX ? oldest_uniform : oldest;
}

void continuity_remember(struct continuity *c, uint64_t lba, const uint8_t *block,
                         uint32_t block_bytes)
{
    struct continuity_block *to = place(c);
    to->serial = 0;
    atomic_signal_fence(memory_order_seq_cst); /* we may be killed in between */
    to->lba = lba;
    to->hash = hash_of(block, block_bytes);
    to->uniform = is_uniform(block, block_bytes);
    atomic_signal_fence(memory_order_seq_cst);
    to->serial = ++c->last_serial;
}

bool continuity_empty(const struct continuity *c)
{
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        if (c->blocks[i].serial != 0)
            return false;
    return true;
}

/* ---- the proof ---- */

static void conclude(struct continuity *c, enum continuity_end end, const char *why)
{
    if (c->end != CONTINUITY_PROVED)
        return;
    c->end = end;
    c->why = why;
}

/* The next block that is remembered goes out with this read, if there is one. */
static void read_next(struct continuity_read *read)
{
    struct continuity *c = read->continuity;
    while (c->next < CONTINUITY_BLOCKS && c->blocks[c->next].serial == 0)
        c->next++;
    if (c->next == CONTINUITY_BLOCKS || c->end != CONTINUITY_PROVED)
        return;
    read->block = &c->blocks[c->next++];
    uint64_t lba = read->block->lba;
    bool fits = lba <= UINT32_MAX;
    uint8_t *cdb = read->errand.cmd.cdb;
    errand_prepare(&read->errand, fits ? 10 : 16, SCSI_DIR_IN, read->data, c->block_bytes);
    cdb[0] = fits ? OP_READ_10 : OP_READ_16;
    op_set_range(cdb, lba, 1);
    errand_send(&read->errand);
}

static void look_at(struct continuity_read *read)
{
    struct continuity *c = read->continuity;
    if (read->errand.cmd.outcome.moved_bytes < c->block_bytes)
        conclude(c, CONTINUITY_FAULT, "the target reads less than a block");
    else if (hash_of(read->data, c->block_bytes) == read->block->hash)
        c->matched++;
    else
        conclude(c, CONTINUITY_DISPROVED, "blocks that it acknowledged read differently");
}

/* A block that cannot be read says nothing, one that is not there any more does;
 * a target that is not ready yet, or kept by somebody else, is asked later. */
static void was_refused(struct continuity_read *read)
{
    struct continuity *c = read->continuity;
    struct sense_code sense = read->errand.sense;
    if (sense.key == SENSE_NOT_READY || sense.key == SENSE_ABORTED_COMMAND)
        conclude(c, CONTINUITY_FAULT, "the LUN is not ready on the target");
    else if (sense.key == SENSE_NO_SENSE)
        conclude(c, CONTINUITY_FAULT, "the LUN is kept by another initiator's reservation");
    else if (sense_code_equal(sense, sense_lba_out_of_range))
        conclude(c, CONTINUITY_DISPROVED, "blocks that it acknowledged are not there");
    else
        c->failed++;
}

static void read_done(struct errand *errand, enum errand_end end)
{
    struct continuity_read *read = errand->ctx;
    struct continuity *c = read->continuity;
    switch (end) {
    case ERRAND_GOOD:
        look_at(read);
        break;
    case ERRAND_REFUSED:
        was_refused(read);
        break;
    case ERRAND_CHANGED:
        conclude(c, CONTINUITY_CHANGED, NULL);
        break;
    case ERRAND_BUSY:
        conclude(c, CONTINUITY_FAULT, "the LUN stays busy");
        break;
    }
    read_next(read);
    for (unsigned i = 0; i < CONTINUITY_READS; i++) {
        bool waits = c->reads[i].errand.waiting && c->end == CONTINUITY_PROVED;
        if (c->reads[i].errand.running || waits)
            return;
    }
    if (c->matched == 0 && c->failed > 0)
        conclude(c, CONTINUITY_DISPROVED, "none of the blocks that it acknowledged can be read");
    c->done(c, c->end, c->why);
}

void continuity_init(struct continuity *c, struct continuity_block blocks[CONTINUITY_BLOCKS],
                     struct backend *backend,
                     void (*done)(struct continuity *, enum continuity_end, const char *why),
                     void *ctx)
{
    memset(c, 0, sizeof(*c));
    c->done = done;
    c->ctx = ctx;
    c->blocks = blocks;
    for (unsigned i = 0; i < CONTINUITY_BLOCKS; i++)
        if (blocks[i].serial > c->last_serial)
            c->last_serial = blocks[i].serial;
    for (unsigned i = 0; i < CONTINUITY_READS; i++) {
        c->reads[i].continuity = c;
        errand_init(&c->reads[i].errand, backend, read_done, &c->reads[i]);
    }
}

void continuity_prove(struct continuity *c, uint32_t block_bytes)
{
    c->block_bytes = block_bytes;
    c->next = c->matched = c->failed = 0;
    c->end = CONTINUITY_PROVED;
    c->why = NULL;
    for (unsigned i = 0; i < CONTINUITY_READS; i++) {
        c->reads[i].errand.waiting = false;
        read_next(&c->reads[i]);
    }
}

void continuity_more(struct continuity *c)
{
    for (unsigned i = 0; i < CONTINUITY_READS && c->end == CONTINUITY_PROVED; i++)
        errand_more(&c->reads[i].errand);
}

bool continuity_running(const struct continuity *c)
{
    for (unsigned i = 0; i < CONTINUITY_READS; i++)
        if (c->reads[i].errand.running)
            return true;
    return false;
}
