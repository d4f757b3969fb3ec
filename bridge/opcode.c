/* SPDX-License-Identifier: BSD-2-Clause */
#include "opcode.h"
#include "bytes.h"

#include <stddef.h>

/* Where the length is in the CDB. */
enum field { F_NONE, F_B4, F_B13, F_B4_ZERO_IS_256, F_W7, F_W3, F_T6, F_L5, F_L6, F_L10 };

/* Where the address is. */
enum range { R_NONE, R_6, R_10, R_12, R_16 };

enum { RO = 1, WR = 2, PLAIN = 4, AGAIN = 8, FLUSH = 16 };

struct row {
    uint8_t opcode;
    uint8_t action; /* service action, or 0xff: any */
    const char *name;
    uint8_t dir; /* enum scsi_dir */
    uint8_t length;
    uint8_t field;
    uint8_t range;
    uint8_t flags;
};

#define ANY  0xff
#define NONE SCSI_DIR_NONE
#define IN   SCSI_DIR_IN
#define OUT  SCSI_DIR_OUT

/* By operation code, then service action. What is not here is unknown: it
 * passes with the host's direction and length, alone, and never twice. */
static const struct row rows[] = {
    {0x00, ANY, "TEST UNIT READY", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, RO | AGAIN},
    {0x03, ANY, "REQUEST SENSE", IN, OP_LENGTH_ALLOC, F_B4, R_NONE, RO | AGAIN},
    {0x04, ANY, "FORMAT UNIT", OUT, OP_LENGTH_HOST, F_NONE, R_NONE, WR},
    {0x08, ANY, "READ(6)", IN, OP_LENGTH_BLOCKS, F_B4_ZERO_IS_256, R_6, RO | PLAIN | AGAIN},
    {0x0a, ANY, "WRITE(6)", OUT, OP_LENGTH_BLOCKS, F_B4_ZERO_IS_256, R_6, WR | PLAIN | AGAIN},
    {0x12, ANY, "INQUIRY", IN, OP_LENGTH_ALLOC, F_W3, R_NONE, RO | AGAIN},
    {0x15, ANY, "MODE SELECT(6)", OUT, OP_LENGTH_PARAM, F_B4, R_NONE, 0},
    {0x16, ANY, "RESERVE(6)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, 0},
    {0x17, ANY, "RELEASE(6)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, 0},
    {0x1a, ANY, "MODE SENSE(6)", IN, OP_LENGTH_ALLOC, F_B4, R_NONE, RO | AGAIN},
    {0x1b, ANY, "START STOP UNIT", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, 0},
    {0x1c, ANY, "RECEIVE DIAGNOSTIC RESULTS", IN, OP_LENGTH_ALLOC, F_W3, R_NONE, RO | AGAIN},
    {0x1d, ANY, "SEND DIAGNOSTIC", OUT, OP_LENGTH_PARAM, F_W3, R_NONE, 0},
    {0x1e, ANY, "PREVENT ALLOW MEDIUM REMOVAL", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, 0},
    {0x23, ANY, "READ FORMAT CAPACITIES", IN, OP_LENGTH_ALLOC, F_W7, R_NONE, RO | AGAIN},
    {0x25, ANY, "READ CAPACITY(10)", IN, OP_LENGTH_ALLOC, F_NONE, R_NONE, RO | AGAIN},
    {0x28, ANY, "READ(10)", IN, OP_LENGTH_BLOCKS, F_W7, R_10, RO | PLAIN | AGAIN},
    {0x2a, ANY, "WRITE(10)", OUT, OP_LENGTH_BLOCKS, F_W7, R_10, WR | PLAIN | AGAIN},
    {0x2e, ANY, "WRITE AND VERIFY(10)", OUT, OP_LENGTH_BLOCKS, F_W7, R_10, WR | AGAIN},
    {0x2f, ANY, "VERIFY(10)", OUT, OP_LENGTH_BLOCKS, F_W7, R_10, RO | AGAIN},
    {0x34, ANY, "PRE-FETCH(10)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, RO | AGAIN},
    {0x35, ANY, "SYNCHRONIZE CACHE(10)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, FLUSH | AGAIN},
    {0x3b, ANY, "WRITE BUFFER", OUT, OP_LENGTH_PARAM, F_T6, R_NONE, 0},
    {0x3c, ANY, "READ BUFFER", IN, OP_LENGTH_ALLOC, F_T6, R_NONE, RO | AGAIN},
    {0x41, ANY, "WRITE SAME(10)", OUT, OP_LENGTH_BLOCKS, F_W7, R_10, WR | AGAIN},
    {0x42, ANY, "UNMAP", OUT, OP_LENGTH_PARAM, F_W7, R_NONE, WR | AGAIN},
    {0x4d, ANY, "LOG SENSE", IN, OP_LENGTH_ALLOC, F_W7, R_NONE, RO | AGAIN},
    {0x55, ANY, "MODE SELECT(10)", OUT, OP_LENGTH_PARAM, F_W7, R_NONE, 0},
    {0x5a, ANY, "MODE SENSE(10)", IN, OP_LENGTH_ALLOC, F_W7, R_NONE, RO | AGAIN},
    {0x5e, ANY, "PERSISTENT RESERVE IN", IN, OP_LENGTH_ALLOC, F_W7, R_NONE, RO | AGAIN},
    {0x5f, ANY, "PERSISTENT RESERVE OUT", OUT, OP_LENGTH_PARAM, F_L5, R_NONE, 0},
    {0x88, ANY, "READ(16)", IN, OP_LENGTH_BLOCKS, F_L10, R_16, RO | PLAIN | AGAIN},
    {0x89, ANY, "COMPARE AND WRITE", OUT, OP_LENGTH_BLOCKS, F_B13, R_16, WR},
    {0x8a, ANY, "WRITE(16)", OUT, OP_LENGTH_BLOCKS, F_L10, R_16, WR | PLAIN | AGAIN},
    {0x8e, ANY, "WRITE AND VERIFY(16)", OUT, OP_LENGTH_BLOCKS, F_L10, R_16, WR | AGAIN},
    {0x8f, ANY, "VERIFY(16)", OUT, OP_LENGTH_BLOCKS, F_L10, R_16, RO | AGAIN},
    {0x90, ANY, "PRE-FETCH(16)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, RO | AGAIN},
    {0x91, ANY, "SYNCHRONIZE CACHE(16)", NONE, OP_LENGTH_NONE, F_NONE, R_NONE, FLUSH | AGAIN},
    {0x93, ANY, "WRITE SAME(16)", OUT, OP_LENGTH_BLOCKS, F_L10, R_16, WR | AGAIN},
    {0x9c, ANY, "WRITE ATOMIC(16)", OUT, OP_LENGTH_BLOCKS, F_NONE, R_NONE, WR},
    {0x9e, 0x10, "READ CAPACITY(16)", IN, OP_LENGTH_ALLOC, F_L10, R_NONE, RO | AGAIN},
    {0x9e, 0x12, "GET LBA STATUS", IN, OP_LENGTH_ALLOC, F_L10, R_NONE, RO | AGAIN},
    {0x9e, 0x13, "REPORT REFERRALS", IN, OP_LENGTH_ALLOC, F_L10, R_NONE, RO | AGAIN},
    {0xa0, ANY, "REPORT LUNS", IN, OP_LENGTH_ALLOC, F_L6, R_NONE, RO | AGAIN},
    {0xa3, 0x0a, "REPORT TARGET PORT GROUPS", IN, OP_LENGTH_ALLOC, F_L6, R_NONE, RO | AGAIN},
    {0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", IN, OP_LENGTH_ALLOC, F_L6, R_NONE, RO | AGAIN},
    {0xa3, 0x0d, "REPORT SUPPORTED TMF", IN, OP_LENGTH_ALLOC, F_L6, R_NONE, RO | AGAIN},
    {0xa8, ANY, "READ(12)", IN, OP_LENGTH_BLOCKS, F_L6, R_12, RO | PLAIN | AGAIN},
    {0xaa, ANY, "WRITE(12)", OUT, OP_LENGTH_BLOCKS, F_L6, R_12, WR | PLAIN | AGAIN},
    {0xae, ANY, "WRITE AND VERIFY(12)", OUT, OP_LENGTH_BLOCKS, F_L6, R_12, WR | AGAIN},
    {0xaf, ANY, "VERIFY(12)", OUT, OP_LENGTH_BLOCKS, F_L6, R_12, RO | AGAIN},
};

/* SPC-4 4.3.5.1: the group code tells the length; 3, 6 and 7 have none. */
static uint8_t group_cdb_bytes(uint8_t opcode, uint8_t host_bytes)
{
    switch (opcode >> 5) {
    case 0:
        return 6;
    case 1:
    case 2:
        return 10;
    case 4:
        return 16;
    case 5:
        return 12;
    default:
        return host_bytes;
    }
}

static const struct row *find_row(const uint8_t *cdb)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        if (row->opcode == cdb[0] && (row->action == ANY || row->action == (cdb[1] & 0x1f)))
            return row;
    }
    return NULL;
}

static uint64_t read_field(const uint8_t *cdb, enum field field)
{
    switch (field) {
    case F_NONE:
        return 0;
    case F_B4:
        return cdb[4];
    case F_B13:
        return cdb[13];
    case F_B4_ZERO_IS_256:
        return cdb[4] ? cdb[4] : 256;
    case F_W7:
        return get_be16(cdb + 7);
    case F_W3:
        return get_be16(cdb + 3);
    case F_T6:
        return get_be24(cdb + 6);
    case F_L5:
        return get_be32(cdb + 5);
    case F_L6:
        return get_be32(cdb + 6);
    case F_L10:
        return get_be32(cdb + 10);
    }
    return 0;
}

static uint64_t read_lba(const uint8_t *cdb, enum range range)
{
    switch (range) {
    case R_NONE:
        return 0;
    case R_6:
        return get_be24(cdb + 1) & 0x1fffff;
    case R_10:
    case R_12:
        return get_be32(cdb + 2);
    case R_16:
        return get_be64(cdb + 2);
    }
    return 0;
}

/* What an address field cannot hold any more: a piece must not begin there. */
static uint64_t address_end(uint8_t range)
{
    switch (range) {
    case R_6:
        return UINT64_C(1) << 21;
    case R_10:
    case R_12:
        return UINT64_C(1) << 32;
    default:
        return UINT64_MAX;
    }
}

/* The blocks of data that travel, where it is not the blocks that are touched. */
static void adjust_blocks(const uint8_t *cdb, struct op *op)
{
    uint8_t bytchk = cdb[1] >> 1 & 3;
    switch (cdb[0]) {
    case OP_VERIFY_10:
    case 0x8f:
    case 0xaf: /* VERIFY: data only to compare with (SBC-3 5.29, BYTCHK) */
        if (bytchk == 0) {
            op->dir = SCSI_DIR_NONE;
            op->length = OP_LENGTH_NONE;
            op->length_bytes = 0;
        } else if (bytchk == 3) {
            op->length_bytes = op->blocks ? op->length_bytes / op->blocks : 0;
        }
        break;
    case OP_WRITE_SAME_10:
    case OP_WRITE_SAME_16: /* one block, or none with NDOB; 0 blocks means to the end */
        op->ranged = op->blocks != 0;
        break;
    case OP_COMPARE_AND_WRITE: /* twice: compare, then write */
        op->length_bytes *= 2;
        break;
    default:
        break;
    }
}

void op_decode(const uint8_t cdb[SCSI_CDB_MAX_BYTES], uint8_t host_bytes, uint32_t block_bytes,
               struct op *op)
{
    const struct row *row = find_row(cdb);
    *op = (struct op){
        .name = row ? row->name : "unknown",
        .cdb_bytes = group_cdb_bytes(cdb[0], host_bytes),
        .length = OP_LENGTH_HOST,
        .retry = OP_RETRY_NEVER,
        .writes = true,
    };
    if (!row)
        return;

    op->dir = (enum scsi_dir)row->dir;
    op->length = (enum op_length)row->length;
    op->retry = row->flags & AGAIN ? OP_RETRY_AGAIN : OP_RETRY_NEVER;
    op->read_only = row->flags & RO;
    op->writes = row->flags & WR;
    op->flush = row->flags & FLUSH;

    uint64_t count = read_field(cdb, (enum field)row->field);
    if (op->length == OP_LENGTH_ALLOC || op->length == OP_LENGTH_PARAM)
        op->length_bytes = cdb[0] == OP_READ_CAPACITY_10 ? 8 : count;
    if (row->range != R_NONE) {
        op->lba = read_lba(cdb, (enum range)row->range);
        op->blocks = count;
        op->ranged = true;
    }
    if (op->length == OP_LENGTH_BLOCKS) {
        bool one_block = cdb[0] == OP_WRITE_SAME_10 || cdb[0] == OP_WRITE_SAME_16;
        op->length_bytes = (one_block ? 1 : count) * (uint64_t)block_bytes;
        if (cdb[0] == OP_WRITE_SAME_16 && (cdb[1] & 1)) {
            op->length = OP_LENGTH_NONE;
            op->dir = SCSI_DIR_NONE;
            op->length_bytes = 0;
        }
        adjust_blocks(cdb, op);
    }

    /* RDPROTECT, WRPROTECT, VRPROTECT: protection information travels with the
     * blocks, and its format is the target's. */
    bool protect = row->range != R_NONE && row->range != R_6 && (cdb[1] & 0xe0);
    if (cdb[0] == 0x9c || (protect && op->length == OP_LENGTH_BLOCKS)) {
        op->length = OP_LENGTH_HOST;
        op->length_bytes = 0;
    }
    op->plain = (row->flags & PLAIN) && !protect && op->lba + op->blocks <= address_end(row->range);
}

void op_forget_number(uint8_t cdb[SCSI_CDB_MAX_BYTES], unsigned number)
{
    if (cdb[1] >> 5 == (number & 7))
        cdb[1] &= 0x1f;
}

void op_set_range(uint8_t cdb[SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks)
{
    switch (cdb[0]) {
    case OP_READ_6:
    case OP_WRITE_6:
        put_be24(cdb + 1, (uint32_t)(cdb[1] & 0xe0) << 16 | ((uint32_t)lba & 0x1fffff));
        cdb[4] = (uint8_t)blocks;
        break;
    case OP_READ_10:
    case OP_WRITE_10:
        put_be32(cdb + 2, (uint32_t)lba);
        put_be16(cdb + 7, (uint16_t)blocks);
        break;
    case OP_READ_12:
    case OP_WRITE_12:
        put_be32(cdb + 2, (uint32_t)lba);
        put_be32(cdb + 6, blocks);
        break;
    default:
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
        break;
    }
}
