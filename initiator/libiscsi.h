/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libiscsi's headers. The bridge and libiscsi both have an enum scsi_status,
 * the bridge's for what a target may send, libiscsi's with codes of its own:
 * the latter is renamed while its headers are read. No other file includes them,
 * and this one is for initiator/ alone.
 */
#ifndef LUNSTICK_INITIATOR_LIBISCSI_H
#define LUNSTICK_INITIATOR_LIBISCSI_H

#define scsi_status libiscsi_scsi_status
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#undef scsi_status

/* Takes the variables that libiscsi reads out of the environment: settings of
 * a session come from our configuration, whatever shell started us. To be
 * called before a context is created. */
void libiscsi_clear_environment(void);

#endif
