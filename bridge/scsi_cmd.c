/* SPDX-License-Identifier: BSD-2-Clause */
#include "scsi_cmd.h"

#include <assert.h>

void scsi_owner_move(enum scsi_owner *owner, enum scsi_owner from, enum scsi_owner to)
{
    assert(*owner == from);
    assert(from != to);
    *owner = to;
}

void scsi_outcome_check(struct scsi_outcome *outcome, struct sense_code code)
{
    outcome->status = SCSI_STATUS_CODE_CHECK_CONDITION;
    outcome->sense_bytes = (uint16_t)sense_build_fixed(outcome->sense, code);
}
