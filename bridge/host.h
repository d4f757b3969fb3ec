/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hosts, one table: how each is recognised, how long it waits, and why we
 * think so. What is not in the table is treated as firmware, which waits least.
 */
#ifndef LUNSTICK_BRIDGE_HOST_H
#define LUNSTICK_BRIDGE_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct host_profile {
    const char *name;   /* as in the configuration; "unknown" */
    uint32_t data_ms;   /* how long it may wait for the first data of a command */
    uint32_t status_ms; /* and for the status, once the data are through */
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
