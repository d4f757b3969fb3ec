/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operation codes that disks see (SPC-4, SBC-3): what the bridge needs to
 * know to pass a command on, never what the command does.
 */
#ifndef LUNSTICK_BRIDGE_OPCODE_H
#define LUNSTICK_BRIDGE_OPCODE_H

#include "scsi_cmd.h"

enum {
    OP_TEST_UNIT_READY = 0x00,
    OP_REQUEST_SENSE = 0x03,
    OP_FORMAT_UNIT = 0x04,
    OP_READ_6 = 0x08,
    OP_WRITE_6 = 0x0a,
    OP_INQUIRY = 0x12,
    OP_MODE_SELECT_6 = 0x15,
    OP_MODE_SENSE_6 = 0x1a,
    OP_START_STOP_UNIT = 0x1b,
    OP_PREVENT_ALLOW = 0x1e,
    OP_READ_FORMAT_CAPACITIES = 0x23,
    OP_READ_CAPACITY_10 = 0x25,
    OP_READ_10 = 0x28,
    OP_WRITE_10 = 0x2a,
    OP_WRITE_AND_VERIFY_10 = 0x2e,
    OP_VERIFY_10 = 0x2f,
    OP_SYNCHRONIZE_CACHE_10 = 0x35,
    OP_WRITE_SAME_10 = 0x41,
    OP_UNMAP = 0x42,
    OP_MODE_SELECT_10 = 0x55,
    OP_MODE_SENSE_10 = 0x5a,
    OP_PERSISTENT_RESERVE_IN = 0x5e,
    OP_PERSISTENT_RESERVE_OUT = 0x5f,
    OP_READ_16 = 0x88,
    OP_COMPARE_AND_WRITE = 0x89,
    OP_WRITE_16 = 0x8a,
    OP_SYNCHRONIZE_CACHE_16 = 0x91,
    OP_WRITE_SAME_16 = 0x93,
    OP_SERVICE_ACTION_IN_16 = 0x9e,
    OP_REPORT_LUNS = 0xa0,
    OP_READ_12 = 0xa8,
    OP_WRITE_12 = 0xaa,
};

#define SA_READ_CAPACITY_16 0x10
#define SA_READ_RESERVATION 0x01 /* of PERSISTENT RESERVE IN */

enum {
    MODE_PAGE_CACHING = 0x08,
    MODE_PAGE_CONTROL = 0x0a,
    MODE_PAGE_EXCEPTIONS = 0x1c,
    MODE_PAGE_ALL = 0x3f,
};

/* What may happen to a command whose session ended before its status. */
enum op_retry {
    OP_RETRY_AGAIN, /* issued again after the next login: the outcome is the same */
    OP_RETRY_NEVER, /* answered ABORTED COMMAND: executing it twice could do harm */
};

/* How the CDB tells the length of its data. */
enum op_length {
    OP_LENGTH_NONE,   /* no data */
    OP_LENGTH_BLOCKS, /* a number of logical blocks */
    OP_LENGTH_ALLOC,  /* an allocation length: data-in, at most so many bytes */
    OP_LENGTH_PARAM,  /* a parameter list length: data-out, so many bytes */
    OP_LENGTH_HOST,   /* the CDB does not tell (or we do not know): the host's word */
};

/* A command as the table reads it. */
struct op {
    const char *name;  /* "READ(10)"; "unknown" */
    uint8_t cdb_bytes; /* by the operation code; the host's count if unknown */
    enum scsi_dir dir;
    enum op_length length;
    uint64_t length_bytes; /* not for OP_LENGTH_HOST */
    enum op_retry retry;
    bool read_only; /* changes neither the medium nor the state of the unit */
    bool writes;    /* changes the medium, or may for all we know: not on a read-only disk */
    bool plain;     /* a READ or WRITE without protection information, all of whose blocks its
                       form can address: may be cut into segments */
    bool ranged;    /* lba and blocks tell all the blocks it touches */
    bool flush;     /* SYNCHRONIZE CACHE: orders after writes, not after reads */
    uint64_t lba;
    uint64_t blocks;
};

/* Reads the CDB. `host_bytes` is the CDB length the host gave. */
void op_decode(const uint8_t cdb[SCSI_CDB_MAX_BYTES], uint8_t host_bytes, uint32_t block_bytes,
               struct op *op);

/* Clears the number of the logical unit that SCSI-2 7.2.2 puts into byte 1, if it
 * is this one's, as far as its three bits hold it. */
void op_forget_number(uint8_t cdb[SCSI_CDB_MAX_BYTES], unsigned number);

/* The CDB of a piece of a plain READ or WRITE: same form, flags and group
 * number, other blocks. `cdb` starts as a copy of the whole command's. */
void op_set_range(uint8_t cdb[SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks);

#endif
