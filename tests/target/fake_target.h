/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A listener on loopback in a process of its own that answers as no target
 * should. It serves one connection after the other until it is stopped.
 */
#ifndef LUNSTICK_TESTS_TARGET_FAKE_TARGET_H
#define LUNSTICK_TESTS_TARGET_FAKE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum fake_behaviour {
    FAKE_SILENT,          /* takes connections and says nothing */
    FAKE_CLOSES,          /* closes after the login request */
    FAKE_MOVED,           /* login status 0101 with the TargetAddress `moved_to` */
    FAKE_MOVED_NOWHERE,   /* the same without an address */
    FAKE_BAD_KEYS,        /* MaxRecvDataSegmentLength=0 */
    FAKE_NO_MUTUAL,       /* lets everybody in, proves nothing */
    FAKE_LOGIN_THEN_MUTE, /* logs in, then answers nothing at all */
    FAKE_GOOD_NO_DATA,    /* READ: GOOD without Data-In */
    FAKE_LONG_RESIDUAL,   /* a residual longer than the command */
    FAKE_NO_SENSE,        /* CHECK CONDITION without sense data */
    FAKE_UNKNOWN_STATUS,  /* SCSI status 0x77 */
    FAKE_EARLY_ANSWER,    /* WRITE: CHECK CONDITION while its data are still coming, slowly */
};

/* What FAKE_EARLY_ANSWER must not see behind its answer. */
#define FAKE_FORBIDDEN_BYTE 0xaa

struct fake_target {
    pid_t pid;
    uint16_t port;
};

struct fake_target fake_target_start(enum fake_behaviour behaviour, const char *moved_to);
/* False if FAKE_FORBIDDEN_BYTE had come. */
bool fake_target_stop(struct fake_target *target);

/* A port of loopback on which nobody listens. */
uint16_t fake_target_closed_port(void);

#endif
