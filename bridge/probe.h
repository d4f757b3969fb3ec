/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe: the commands of our own that tell, at the start of each session,
 * which disk this is. A sequence of steps through the back end; what the host
 * sees is not touched by it.
 */
#ifndef LUNSTICK_BRIDGE_PROBE_H
#define LUNSTICK_BRIDGE_PROBE_H

#include "errand.h"
#include "identity.h"

#define PROBE_WHY_BYTES 192

struct probe {
    /* The probe is over. fault NULL: `disk` is complete. Not called when the
     * session ended meanwhile: down() tells that. */
    void (*done)(struct probe *p, const char *fault, enum backend_fault severity);
    void *ctx;

    struct disk_identity disk;
    bool conflict; /* somebody's reservation kept the target from telling all of it */
    bool again;    /* the disk may have changed meanwhile: from the start */

    unsigned step;
    unsigned vpd_next;
    unsigned attempts;
    struct errand errand;
    uint8_t buf[256];
    char why[PROBE_WHY_BYTES]; /* the fault of the last probe; empty: none */
};

void probe_init(struct probe *p, struct backend *backend,
                void (*done)(struct probe *, const char *, enum backend_fault), void *ctx);
/* Begins, or begins anew once the command in flight has come back. */
void probe_start(struct probe *p);
/* There is room in the session again. */
void probe_more(struct probe *p);
/* A command of it is at the back end. */
bool probe_running(const struct probe *p);

#endif
