/* SPDX-License-Identifier: BSD-2-Clause */
#include "order.h"

#include <assert.h>
#include <string.h>

void order_init(struct order *order)
{
    memset(order, 0, sizeof(*order));
}

bool order_overlap(struct order_span a, struct order_span b)
{
    return (a.write || b.write) && a.first < b.end && b.first < a.end;
}

int order_enter(struct order *order, struct order_span span)
{
    int slot = ORDER_NONE;
    for (int i = 0; i < ORDER_SPANS; i++) {
        if (!order->used[i])
            slot = i;
        else if (order_overlap(order->span[i], span))
            return ORDER_NONE;
    }
    if (slot != ORDER_NONE) {
        order->span[slot] = span;
        order->used[slot] = true;
    }
    return slot;
}

void order_leave(struct order *order, int slot)
{
    if (slot == ORDER_NONE)
        return;
    assert(order->used[slot]);
    order->used[slot] = false;
}
