/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that the bridge answers from what it knows of the disk, with or
 * without a session:
 *
 *   INQUIRY                   as probed; RMB by configuration; VPD pages 00, 80,
 *                             83, B0, B1, B2 as probed; 00 and 80 in any case
 *   REPORT LUNS               the units on the cable
 *   REQUEST SENSE             the sense kept for this host, in the format it asks for
 *   READ CAPACITY(10), (16)   as probed
 *   READ FORMAT CAPACITIES    as probed; without a medium: none, and the maximum
 *   MODE SENSE(6), (10)       pages 08 (as probed), 1C (nothing is reported) and 3F
 *                             (these and 0A, as probed), write protection, no block
 *                             descriptors; other pages, 0A alone and single subpages
 *                             are the target's
 *   TEST UNIT READY           GOOD while there is a medium
 *   PREVENT ALLOW MEDIUM REMOVAL   ALLOW: GOOD; PREVENT: refused, so that
 *                             hosts go on polling
 *
 * START STOP UNIT is the medium's (medium.h). Everything else passes to the
 * target, and is refused while there is no medium. Pure functions: no state but
 * the view.
 */
#ifndef LUNSTICK_BRIDGE_LOCAL_H
#define LUNSTICK_BRIDGE_LOCAL_H

#include "identity.h"
#include "scsi_cmd.h"

/* No local answer is longer: a VPD page, mode pages, capacities. */
#define LOCAL_REPLY_MAX_BYTES 256

struct local_view {
    const struct disk_identity *disk; /* NULL: never seen one */
    bool medium;                      /* it is in */
    bool removable;
    bool read_only;
    unsigned luns;                         /* units on the cable, 1 to 16 */
    const struct scsi_outcome *kept_sense; /* of the last CHECK CONDITION; NULL: none */
};

struct local_reply {
    struct sense_code sense; /* key NO SENSE: status GOOD */
    uint32_t bytes;          /* of data, before the allocation length cuts them */
    uint8_t data[LOCAL_REPLY_MAX_BYTES];
};

/* True: `reply` is the answer. False: the command is one for the target. */
bool local_answer(const struct local_view *view, const uint8_t cdb[SCSI_CDB_MAX_BYTES],
                  struct local_reply *reply);

#endif
