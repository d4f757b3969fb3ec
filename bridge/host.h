/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hosts, one table: how each is recognised, what it needs that others do
 * not, and why we think so. What is not recognised is treated as firmware, which
 * waits least: taken for an operating system it would be left without an answer
 * for longer than it waits, and a boot would hang.
 *
 * What every host gets, because some host needs it and none minds, is no column:
 * short data-in ends with a packet, not a halt; the device is not composite; the
 * commands of local.h are answered at once; a CDB is as long as its operation
 * code says, not as long as the host says; PREVENT is refused.
 */
#ifndef LUNSTICK_BRIDGE_HOST_H
#define LUNSTICK_BRIDGE_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct host_profile {
    const char *name;   /* as in the configuration; "unknown" */
    uint32_t data_ms;   /* how long it may wait for the first data of a command */
    uint32_t status_ms; /* and for the status, once the data are through */
    bool lun_in_cdb;    /* it may write the unit's number into the CDB, as SCSI-2 has it */
    const char *reason; /* what about this host asks for it */
    const char *source; /* "seen here: ...", or "reported, not seen here: ..." */
};

extern const struct host_profile host_unknown;

/* All rows; NULL behind the last. */
const struct host_profile *host_row(unsigned index);
/* By name; NULL: no such row. */
const struct host_profile *host_find(const char *name);
/* The host, given what was known of it and one more of its commands. */
const struct host_profile *host_recognise(const struct host_profile *known, const uint8_t *cdb,
                                          uint8_t cdb_bytes, uint32_t length_bytes);

#endif
