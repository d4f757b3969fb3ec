/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the logical unit has a medium for the host, who took it out, and what
 * brings it back. Part of the logical unit: lun.h has the calls for others.
 */
#ifndef LUNSTICK_BRIDGE_MEDIUM_H
#define LUNSTICK_BRIDGE_MEDIUM_H

#include "sense.h"

#include <stdbool.h>
#include <stdint.h>

enum medium {
    MEDIUM_UNSEEN,    /* wanted, but no disk was accepted yet */
    MEDIUM_IN,        /* also while the target is away */
    MEDIUM_OUT_HOST,  /* the host ejected it (START STOP UNIT) */
    MEDIUM_OUT_USER,  /* lun_eject() */
    MEDIUM_GIVEN_UP,  /* the target was away longer than give_up_after_ms */
    MEDIUM_EXCHANGED, /* behind a fixed disk there is another one now, until it is replugged */
};
const char *medium_name(enum medium medium);

/* What brings back a medium that the host ejected. lun_insert() always does. */
enum medium_reinsert {
    MEDIUM_REINSERT_ON_DEMAND, /* the host's load command, or the cable plugged in again */
    MEDIUM_REINSERT_NEVER,
    MEDIUM_REINSERT_AFTER, /* on demand, or after reinsert_after_ms */
};

struct lun;

/* START STOP UNIT (SBC-3 5.25), the answer to the host; key NO SENSE: GOOD. */
struct sense_code medium_start_stop(struct lun *lun, const uint8_t *cdb);
/* A disk was accepted; the session ended. */
void medium_found(struct lun *lun);
void medium_missed(struct lun *lun);
/* There is another disk now. A removable one is a new medium to the host. Of a fixed
 * one hosts expect no such thing: Linux takes the news for a reset and repeats the
 * command, which would land on the other disk. To them it is gone until they find it
 * anew behind the cable. */
void medium_exchanged(struct lun *lun);
/* When medium_run_timeout() is due; UINT64_MAX: never. */
uint64_t medium_timeout_us(const struct lun *lun);
void medium_run_timeout(struct lun *lun);

#endif
