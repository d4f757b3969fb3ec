/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exclusive access by a persistent reservation (SPC-4 5.13, 6.15, 6.16): our key
 * is registered, and the disk reserved with type Exclusive Access: nobody else
 * reads or writes it. (Write Exclusive would let another bridge read a file
 * system that changes under it; the types for registrants would let in whoever
 * registers a key.) It does not persist through the target's loss of power: a
 * board that died must not keep the disk for ever.
 *
 * Each login goes the same way: REGISTER AND IGNORE EXISTING KEY, RESERVE. Where
 * the registration survived, this changes nothing. Where it did not, the
 * reservation is still held by our key of an earlier session, which is preempted.
 */
#ifndef LUNSTICK_BRIDGE_RESERVE_H
#define LUNSTICK_BRIDGE_RESERVE_H

#include "errand.h"

#define RESERVE_WHY_BYTES  448
#define RESERVE_DATA_BYTES 4096

enum reserve_end {
    RESERVE_HELD,     /* the disk is ours */
    RESERVE_NONE,     /* the target has no such reservations */
    RESERVE_REFUSED,  /* somebody else has it; `why` names the holder where the target does */
    RESERVE_CHANGED,  /* the target reported a change meanwhile: probe it first */
    RESERVE_FAULT,    /* not to be told now, for the reason `why` */
    RESERVE_RELEASED, /* the end of reserve_release() */
};

struct reserve {
    struct errand errand;
    uint64_t key;
    void (*done)(struct reserve *r, enum reserve_end end, const char *why);
    void *ctx;

    bool registered; /* our key is at the target, for all we know */
    bool take_over;
    bool releasing;
    bool known;    /* the target has such reservations: it had ours once */
    bool no_abort; /* the target has PREEMPT only, not PREEMPT AND ABORT */
    unsigned step;
    unsigned rounds;
    uint64_t holder; /* key of the reservation that is in the way */
    uint8_t data[RESERVE_DATA_BYTES];
    char why[RESERVE_WHY_BYTES];
};

/* `key` is not 0, and the same for all who may take the disk from each other
 * without being asked: a board's. */
void reserve_init(struct reserve *r, struct backend *backend, uint64_t key,
                  void (*done)(struct reserve *, enum reserve_end, const char *why), void *ctx);
/* In a session; done() tells the end, unless the session ends first. `take_over`:
 * preempts whoever has the disk. */
void reserve_take(struct reserve *r, bool take_over);
/* Gives reservation and registration back, also while it is being taken; then
 * done() comes once, with RESERVE_RELEASED. */
void reserve_release(struct reserve *r);
/* There is room in the session again. */
void reserve_more(struct reserve *r);
/* A command of it is at the back end. */
bool reserve_running(const struct reserve *r);

#endif
