/* SPDX-License-Identifier: BSD-2-Clause */
#include "deferred.h"

#include <stddef.h>

void deferred_list_init(struct deferred_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

void deferred_init(struct deferred *d, void (*run)(struct deferred *d))
{
    d->next = NULL;
    d->run = run;
    d->queued = false;
}

void deferred_add(struct deferred_list *list, struct deferred *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    *list->tail = d;
    list->tail = &d->next;
}

void deferred_cancel(struct deferred_list *list, struct deferred *d)
{
    if (!d->queued)
        return;
    struct deferred **link = &list->head;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    if (list->tail == &d->next)
        list->tail = link;
    d->next = NULL;
    d->queued = false;
}

bool deferred_pending(const struct deferred_list *list)
{
    return list->head != NULL;
}

unsigned deferred_run(struct deferred_list *list)
{
    unsigned budget = 0;
    for (const struct deferred *d = list->head; d; d = d->next)
        budget++;

    /* One at a time off the list, so that a call may cancel a later one. */
    unsigned ran = 0;
    while (ran < budget && list->head) {
        struct deferred *d = list->head;
        deferred_cancel(list, d);
        d->run(d);
        ran++;
    }
    return ran;
}
