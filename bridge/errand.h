/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An errand: a command of the bridge's own (the probe's, the proof's, a
 * reservation's). While the target is busy, and after a unit attention that says
 * nothing of the disk, it is sent again.
 */
#ifndef LUNSTICK_BRIDGE_ERRAND_H
#define LUNSTICK_BRIDGE_ERRAND_H

#include "backend.h"

enum errand_end {
    ERRAND_GOOD,    /* outcome.moved_bytes of data, at most what was asked for */
    ERRAND_REFUSED, /* outcome.status, with `sense` for a CHECK CONDITION */
    ERRAND_CHANGED, /* not executed: the target reports that the disk may have changed */
    ERRAND_BUSY,    /* not executed, however often it was sent */
};

struct errand {
    struct backend *backend;
    /* The answer. Not called when the session ended meanwhile: down() tells that. */
    void (*done)(struct errand *errand, enum errand_end end);
    void *ctx;

    struct backend_cmd cmd;
    struct sense_code sense;
    bool running; /* it is at the back end */
    bool waiting; /* for room in the session */
    unsigned attempts;
};

void errand_init(struct errand *errand, struct backend *backend,
                 void (*done)(struct errand *, enum errand_end), void *ctx);
/* Clears the CDB and sets what is to travel, all in one buffer of the caller's;
 * the caller then fills cmd.cdb. */
void errand_prepare(struct errand *errand, uint8_t cdb_bytes, enum scsi_dir dir, void *data,
                    uint32_t length_bytes);
void errand_send(struct errand *errand);
/* There is room in the session again. */
void errand_more(struct errand *errand);

#endif
