/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One SCSI command on its way from a host to the logical unit and back.
 *
 * At any time exactly one party owns a command, and only the owner may touch
 * it. The same owners hold for its segments, the pieces in which its data
 * travel (lun.h):
 *
 *   POOL     nobody; a front end takes it with lun_cmd_take()
 *   FRONT    the front end: CDB in, data-out arriving
 *   LUN      queued: waiting for a session, an overlap, a retry
 *   BACKEND  buffers are lent to the back end: nobody reads, writes, frees them
 *   REPLY    the front end: data-in and status on their way to the host
 *
 * A command is with the LUN while its segments are with the back end: the
 * data of a long command are in several hands at once, its outcome in one.
 */
#ifndef LUNSTICK_BRIDGE_SCSI_CMD_H
#define LUNSTICK_BRIDGE_SCSI_CMD_H

#include "sense.h"

#include <stdbool.h>
#include <stdint.h>

#define SCSI_CDB_MAX_BYTES 16

/* SAM-5 5.3.1, the codes a target may return. */
enum scsi_status {
    SCSI_STATUS_CODE_GOOD = 0x00,
    SCSI_STATUS_CODE_CHECK_CONDITION = 0x02,
    SCSI_STATUS_CODE_CONDITION_MET = 0x04,
    SCSI_STATUS_CODE_BUSY = 0x08,
    SCSI_STATUS_CODE_RESERVATION_CONFLICT = 0x18,
    SCSI_STATUS_CODE_TASK_SET_FULL = 0x28,
    SCSI_STATUS_CODE_TASK_ABORTED = 0x40,
};

/* Direction of the data, as seen by the host. */
enum scsi_dir {
    SCSI_DIR_NONE,
    SCSI_DIR_IN,  /* to the host */
    SCSI_DIR_OUT, /* from the host */
};

enum scsi_owner {
    SCSI_OWNER_POOL,
    SCSI_OWNER_FRONT,
    SCSI_OWNER_LUN,
    SCSI_OWNER_BACKEND,
    SCSI_OWNER_REPLY,
};

/* What became of a command; it always lives in the command. */
struct scsi_outcome {
    uint8_t status;       /* enum scsi_status */
    bool phase_error;     /* host and device disagree on direction or length (BOT 6.7, Hn<Di,
                             Hn<Do, Hi<>Do, Hi<Di, Ho<>Di, Ho<Do); status does not count then */
    uint32_t moved_bytes; /* data that the device processed: valid data-in, or accepted data-out */
    uint16_t sense_bytes;
    uint8_t sense[SENSE_MAX_BYTES];
};

/* The move from one owner to the next; asserts the one it leaves. */
void scsi_owner_move(enum scsi_owner *owner, enum scsi_owner from, enum scsi_owner to);

/* Sets CHECK CONDITION and fixed-format sense data. */
void scsi_outcome_check(struct scsi_outcome *outcome, struct sense_code code);

#endif
