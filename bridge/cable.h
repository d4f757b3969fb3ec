/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the logical units on one cable share: the host at its other end, and
 * that Bulk-Only Transport carries one command at a time for all of them. How
 * long a command may keep the host waiting follows from both.
 */
#ifndef LUNSTICK_BRIDGE_CABLE_H
#define LUNSTICK_BRIDGE_CABLE_H

#include "host.h"

#define CABLE_LUNS_MAX 16

/* A dead logical unit, or one that its target keeps waiting, holds the cable so
 * long at most while there are others. */
#define CABLE_SHARED_MS 500u
/* So long ago a unit counts as in use. */
#define CABLE_IN_USE_MS 1000u

struct cable {
    unsigned luns;                    /* 1 to CABLE_LUNS_MAX */
    const struct host_profile *host;  /* never NULL */
    bool host_given;                  /* by configuration: what it sends does not matter */
    uint64_t used_us[CABLE_LUNS_MAX]; /* when a unit whose target answers was asked; 0: never */
};

/* `given` NULL: the host is recognised by what it sends. */
void cable_init(struct cable *cable, unsigned luns, const struct host_profile *given);

/* A command from the host to unit `number`; `answers`: the unit's target does. */
void cable_note(struct cable *cable, unsigned number, bool answers, const uint8_t *cdb,
                uint8_t cdb_bytes, uint32_t length_bytes, uint64_t now_us);

/* Another host may be there: the one that was recognised is forgotten. */
void cable_reset(struct cable *cable);

/* How long that command may wait, in milliseconds. */
struct patience {
    uint32_t data_ms;   /* for the first data, or room for them */
    uint32_t status_ms; /* for the status, once the data are through */
    bool from_progress; /* from the last segment that the target answered, not from the start */
};
struct patience cable_patience(const struct cable *cable, unsigned number, bool answers,
                               uint64_t now_us);

#endif
