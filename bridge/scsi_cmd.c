/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi_cmd.h"

#include <assert.h>

void scsi_owner_move(enum scsi_owner *owner, enum scsi_owner from, enum scsi_owner to)
{
    assert(*owner == from);
    assert(from != to);
    *owner = to;
}

const char *scsi_owner_name(enum scsi_owner owner)
{
    switch (owner) {
    case SCSI_OWNER_POOL:
        return "pool";
    case SCSI_OWNER_FRONT:
        return "front";
    case SCSI_OWNER_LUN:
        return "lun";
    case SCSI_OWNER_BACKEND:
        return "backend";
    case SCSI_OWNER_REPLY:
        return "reply";
    }
    return "unknown";
}

void scsi_outcome_check(struct scsi_outcome *outcome, struct sense_code code)
{
    outcome->status = SCSI_STATUS_CODE_CHECK_CONDITION;
    outcome->sense_bytes = (uint16_t)sense_build_fixed(outcome->sense, code);
}
