/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deferred calls: the one way in which a lower layer calls an upper one.
 * A completion is put on the list and runs from the event loop, never on the
 * stack of the call that caused it.
 */
#ifndef LUNSTICK_BRIDGE_DEFERRED_H
#define LUNSTICK_BRIDGE_DEFERRED_H

#include <stdbool.h>

/* Embedded in the object that wants to be called; never allocated. */
struct deferred {
    struct deferred *next;
    void (*run)(struct deferred *d);
    bool queued;
};

struct deferred_list {
    struct deferred *head;
    struct deferred **tail;
};

void deferred_list_init(struct deferred_list *list);
void deferred_init(struct deferred *d, void (*run)(struct deferred *d));

/* Adding a call that is queued already changes nothing: it runs once. */
void deferred_add(struct deferred_list *list, struct deferred *d);
/* Takes it off again; no effect if it is not queued. */
void deferred_cancel(struct deferred_list *list, struct deferred *d);
bool deferred_pending(const struct deferred_list *list);

/* Runs what is queued now; what these calls add waits for the next turn.
 * Returns how many ran. */
unsigned deferred_run(struct deferred_list *list);

#endif
