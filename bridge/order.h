/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The order table: which block ranges are at the target now. No two commands
 * whose ranges overlap are there together if one of them writes.
 */
#ifndef LUNSTICK_BRIDGE_ORDER_H
#define LUNSTICK_BRIDGE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#define ORDER_SPANS 64
#define ORDER_NONE  (-1)

/* Blocks first to end - 1. A span of the whole disk, {0, UINT64_MAX}, that
 * writes excludes everything; one that reads excludes writes (a flush). */
struct order_span {
    uint64_t first;
    uint64_t end;
    bool write;
};

struct order {
    struct order_span span[ORDER_SPANS];
    bool used[ORDER_SPANS];
};

void order_init(struct order *order);
bool order_overlap(struct order_span a, struct order_span b);
/* Enters the span; its slot, or ORDER_NONE on a conflict or a full table. */
int order_enter(struct order *order, struct order_span span);
/* Leaves the slot; ORDER_NONE is allowed. */
void order_leave(struct order *order, int slot);

#endif
