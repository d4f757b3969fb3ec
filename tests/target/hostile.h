/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An iSCSI target as a function of bytes: takes what an initiator sent, gives
 * what is to be sent back. By itself it is a good one, with the RAM disk behind
 * it: login without CHAP, immediate data, R2T, Data-In with status. A test hooks
 * in a twist that answers otherwise. No socket, no time; RFC 7143.
 */
#ifndef LUNSTICK_TESTS_TARGET_HOSTILE_H
#define LUNSTICK_TESTS_TARGET_HOSTILE_H

#include "tests/unit/ram_backend.h"

#include <stddef.h>

#define BHS_BYTES        48u
#define HOSTILE_WRITES   64u
#define HOSTILE_IN_BYTES (BHS_BYTES + 262144u + 8u)

enum iscsi_opcode_byte {
    OP_NOP_OUT = 0x00,
    OP_SCSI_COMMAND = 0x01,
    OP_LOGIN = 0x03,
    OP_TEXT = 0x04,
    OP_DATA_OUT = 0x05,
    OP_LOGOUT = 0x06,
    OP_NOP_IN = 0x20,
    OP_SCSI_RESPONSE = 0x21,
    OP_TASK_RESPONSE = 0x22,
    OP_LOGIN_RESPONSE = 0x23,
    OP_TEXT_RESPONSE = 0x24,
    OP_DATA_IN = 0x25,
    OP_LOGOUT_RESPONSE = 0x26,
    OP_R2T = 0x31,
    OP_ASYNC = 0x32,
    OP_REJECT = 0x3f,
};

enum {
    FLAG_FINAL = 0x80,
    FLAG_OVERFLOW = 0x04,
    FLAG_UNDERFLOW = 0x02,
    FLAG_STATUS = 0x01, /* of Data-In */
};

/* A PDU of the initiator, whole. */
struct hostile_pdu {
    uint8_t bhs[BHS_BYTES];
    const uint8_t *data;
    uint32_t data_bytes;
};

struct hostile;

/* Sees a request before it is answered; true: it is answered, or shall not be. */
typedef bool hostile_twist(struct hostile *t, const struct hostile_pdu *request);

/* A WRITE whose data are still coming. */
struct hostile_write {
    uint8_t bhs[BHS_BYTES];
    uint8_t *data; /* NULL: the place is free */
    uint32_t got_bytes;
    uint32_t asked_bytes; /* up to where an R2T asked */
};

struct hostile {
    struct ram_backend disk;
    struct deferred_list deferred;

    /* What the target is like; may be changed between connections. */
    const char *keys; /* of its login answer, each ended by a NUL, with one more at the end */
    uint32_t first_burst_bytes;
    bool initial_r2t;
    bool digests;           /* `keys` say HeaderDigest=CRC32C */
    uint32_t data_in_bytes; /* of one Data-In */
    uint32_t window;        /* commands */

    /* The twist is asked for requests of this opcode (and, of a SCSI command,
     * with this operation code) as often as `twists` says; -1: any. */
    hostile_twist *twist;
    unsigned twists;
    int twist_opcode, twist_cdb;
    unsigned twisted; /* how often it was asked */

    /* This connection. */
    uint32_t stat_sn, exp_cmd_sn;
    bool digest; /* a header digest goes with every PDU from now on, both ways */
    bool closes; /* shall be closed once all is sent */
    bool mute;   /* answers nothing more */
    struct hostile_write writes[HOSTILE_WRITES];
    size_t in_bytes;
    uint8_t in[HOSTILE_IN_BYTES];
    uint8_t *out; /* to be sent: out_bytes from out_done on */
    size_t out_done, out_bytes, out_room;

    unsigned logins, commands, nops, data_outs, logouts; /* requests that came */
    uint32_t last_itt;                                   /* of the last SCSI command */
    bool broke;                                          /* the initiator sent what it may not */
};

/* `disk`: RAM_BLOCKS * RAM_BLOCK_BYTES, the caller's, as it is. */
void hostile_init(struct hostile *t, uint8_t *disk);
/* A new connection, in any state of the old one. */
void hostile_connected(struct hostile *t);
void hostile_free(struct hostile *t);
/* Bytes of the initiator. */
void hostile_take(struct hostile *t, const uint8_t *bytes, size_t count);
/* So many bytes of `out` were sent. */
void hostile_sent(struct hostile *t, size_t count);

/* ---- for twists ---- */

/* A header that answers the request: opcode, flags, its LUN and task tag. */
void hostile_answer(uint8_t bhs[BHS_BYTES], uint8_t opcode, uint8_t flags,
                    const struct hostile_pdu *request);
/* Sends it: the lengths, StatSN, ExpCmdSN, MaxCmdSN and the digest are filled in. */
void hostile_put(struct hostile *t, uint8_t bhs[BHS_BYTES], const void *data, uint32_t bytes);
/* Sends it as it is. */
void hostile_put_raw(struct hostile *t, const void *bytes, size_t count);
/* The good answer. */
void hostile_behave(struct hostile *t, const struct hostile_pdu *request);
/* The good answer to a SCSI command, without status for a READ: its data, and
 * how many of them. Valid until the next call. */
const uint8_t *hostile_execute(struct hostile *t, const struct hostile_pdu *request,
                               struct scsi_outcome *outcome);
/* One Data-In: `flags` as they are, `bytes` from `offset` of the command's data. */
void hostile_data_in(struct hostile *t, const struct hostile_pdu *request, uint8_t flags,
                     uint32_t offset, const uint8_t *data, uint32_t bytes);
/* A SCSI Response with this status and, with sense_bytes > 0, this sense. */
void hostile_response(struct hostile *t, const struct hostile_pdu *request, uint8_t status,
                      const uint8_t *sense, uint32_t sense_bytes);
void hostile_r2t(struct hostile *t, const struct hostile_pdu *request, uint32_t tag,
                 uint32_t offset, uint32_t bytes);

#endif
