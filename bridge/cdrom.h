/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CD-ROM drive over a disk (MMC-6): one data track of 2048-byte blocks, whatever
 * the disk's blocks are; what is behind the last whole one is not seen. Removable,
 * read-only. Over 80 minutes of a CD it says that it is a DVD.
 *
 * Only reading goes to the target, as READ in the disk's own blocks:
 *
 *   READ(10), (12), (16); READ CD of user data
 *
 * Answered here, besides INQUIRY, REQUEST SENSE, REPORT LUNS, TEST UNIT READY and
 * PREVENT ALLOW (as in local.h), START STOP UNIT (medium.h) and READ CAPACITY(10):
 *
 *   READ TOC/PMA/ATIP         formats 0, 1 and 2, in LBA and MSF
 *   GET CONFIGURATION         a drive that reads CD-ROM and DVD-ROM
 *   GET EVENT STATUS NOTIFICATION   polled; media events
 *   READ DISC INFORMATION, READ TRACK INFORMATION, MECHANISM STATUS
 *   MODE SENSE(6), (10)       page 2A, capabilities, which Linux asks for; 3F
 *
 * Everything else is refused, 05/20, writing with the rest of it: an operation code
 * that means something else to a disk never reaches one.
 */
#ifndef LUNSTICK_BRIDGE_CDROM_H
#define LUNSTICK_BRIDGE_CDROM_H

#include "local.h"
#include "opcode.h"

#define CDROM_BLOCK_BYTES 2048u

/* What GET EVENT STATUS NOTIFICATION told last. All zero: nothing yet. */
struct cdrom {
    bool told_in;
    bool changed; /* the medium was, since then */
};

/* Why a disk cannot be shown as a CD-ROM, with the fix; NULL if it can. */
const char *cdrom_unusable(const struct disk_identity *disk);

/*
 * Reads the CDB, as op_decode() does for disks. A READ within the track becomes one
 * of the disk: `cdb` and its length are replaced, op->plain is set. Anything else is
 * for cdrom_answer(). `disk` NULL: there is no medium.
 */
void cdrom_decode(const struct disk_identity *disk, uint8_t cdb[SCSI_CDB_MAX_BYTES],
                  uint8_t *cdb_bytes, struct op *op);
void cdrom_answer(struct cdrom *cd, const struct local_view *view,
                  const uint8_t cdb[SCSI_CDB_MAX_BYTES], struct local_reply *reply);

/* The block that the target's sense names, as one of the CD-ROM, in fixed format. */
void cdrom_adjust_sense(const struct disk_identity *disk, struct scsi_outcome *outcome);

/* Neither takes nor is refused by a unit attention (MMC-6 6.5, 6.6), besides those
 * of SAM-5 5.14. */
bool cdrom_passes_attention(uint8_t opcode);

#endif
