/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user has put into a drive: the disk of the configuration, or another
 * one (`lunstick insert URL`), or nothing (`lunstick eject`). The parent keeps it,
 * so that it outlives the child; each child starts with it.
 */
#ifndef LUNSTICK_DAEMON_SLOT_H
#define LUNSTICK_DAEMON_SLOT_H

#include "config.h"

struct slot {
    struct config_lun lun; /* what is served from it */
    bool ejected;
};

void slot_init(struct slot *slot, const struct config_lun *configured);

/* The disk that is in the slot already, or was last; `read_only` beside what the
 * configuration says. */
void slot_insert(struct slot *slot, const struct config_lun *configured, bool read_only);

/* The disk at `url`, with everything else as configured. CHAP: the configured
 * user, with the configured secrets, or none. False with one line in `why`;
 * `slot` is then as it was. */
bool slot_choose(struct slot *slot, const struct config_lun *configured, const char *url,
                 bool read_only, char why[CONFIG_WHY_BYTES]);

#endif
