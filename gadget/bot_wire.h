/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two wrappers of Bulk-Only Transport as they travel: the command block
 * wrapper (CBW, BOT 5.1) from the host and the command status wrapper (CSW,
 * BOT 5.2) to it. Little-endian; byte arrays, so that nothing is padded.
 */
#ifndef LUNSTICK_GADGET_BOT_WIRE_H
#define LUNSTICK_GADGET_BOT_WIRE_H

#include "bridge/bytes.h"
#include "bridge/scsi_cmd.h"

#include <string.h>

#define BOT_CBW_BYTES     31
#define BOT_CSW_BYTES     13
#define BOT_CBW_SIGNATURE 0x43425355u /* "USBC" */
#define BOT_CSW_SIGNATURE 0x53425355u /* "USBS" */
#define BOT_CBW_FLAG_IN   0x80u

/* bCSWStatus, BOT 5.2. */
enum bot_csw_status { BOT_CSW_PASSED = 0, BOT_CSW_FAILED = 1, BOT_CSW_PHASE_ERROR = 2 };

struct bot_cbw_wire {
    uint8_t signature[4];
    uint8_t tag[4];
    uint8_t length[4]; /* dCBWDataTransferLength */
    uint8_t flags;
    uint8_t lun;      /* low four bits */
    uint8_t cb_bytes; /* bCBWCBLength, low five bits */
    uint8_t cb[SCSI_CDB_MAX_BYTES];
};
_Static_assert(sizeof(struct bot_cbw_wire) == BOT_CBW_BYTES, "CBW is 31 bytes");

struct bot_csw_wire {
    uint8_t signature[4];
    uint8_t tag[4];
    uint8_t residue[4];
    uint8_t status;
};
_Static_assert(sizeof(struct bot_csw_wire) == BOT_CSW_BYTES, "CSW is 13 bytes");

/* A valid CBW, read; the fields are as the host sent them. */
struct bot_cbw {
    uint32_t tag;
    uint32_t length_bytes;
    enum scsi_dir dir; /* NONE when the length is 0, whatever the flag says */
    uint8_t flags, lun, cb_bytes;
    uint8_t cb[SCSI_CDB_MAX_BYTES];
};

/* BOT 6.2.1, valid: 31 bytes with the signature. False: `cbw` is untouched. */
static inline bool bot_cbw_parse(const uint8_t *data, uint32_t bytes, struct bot_cbw *cbw)
{
    struct bot_cbw_wire wire;

    if (bytes != sizeof wire)
        return false;
    memcpy(&wire, data, sizeof wire);
    if (get_le32(wire.signature) != BOT_CBW_SIGNATURE)
        return false;
    cbw->tag = get_le32(wire.tag);
    cbw->length_bytes = get_le32(wire.length);
    cbw->flags = wire.flags;
    cbw->lun = wire.lun;
    cbw->cb_bytes = wire.cb_bytes;
    memcpy(cbw->cb, wire.cb, sizeof cbw->cb);
    if (cbw->length_bytes == 0)
        cbw->dir = SCSI_DIR_NONE;
    else
        cbw->dir = wire.flags & BOT_CBW_FLAG_IN ? SCSI_DIR_IN : SCSI_DIR_OUT;
    return true;
}

/* BOT 6.2.2, meaningful: no reserved bit, a LUN that exists, a CDB of 1 to 16
 * bytes. The reserved bits of bCBWLUN and bCBWCBLength fail the ranges. */
static inline bool bot_cbw_meaningful(const struct bot_cbw *cbw, unsigned lun_count)
{
    return (cbw->flags & ~BOT_CBW_FLAG_IN) == 0 && cbw->lun < lun_count && cbw->cb_bytes >= 1 &&
           cbw->cb_bytes <= SCSI_CDB_MAX_BYTES;
}

static inline void bot_csw_build(uint8_t out[BOT_CSW_BYTES], uint32_t tag, uint32_t residue_bytes,
                                 enum bot_csw_status status)
{
    struct bot_csw_wire wire;

    put_le32(wire.signature, BOT_CSW_SIGNATURE);
    put_le32(wire.tag, tag);
    put_le32(wire.residue, residue_bytes);
    wire.status = (uint8_t)status;
    memcpy(out, &wire, sizeof wire);
}

#endif
