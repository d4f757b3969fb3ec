/* SPDX-License-Identifier: BSD-2-Clause */
/* The tail queues of BSD's <sys/queue.h>, as far as libusbgx uses them; musl has
 * no such header. A head points to its first element and to the link that ends
 * the list; an element points to its next and to the link that points to it. */
#ifndef LUNSTICK_COMPAT_SYS_QUEUE_H
#define LUNSTICK_COMPAT_SYS_QUEUE_H

#include <stddef.h>

#define TAILQ_HEAD(name, type)                                                                     \
    struct name {                                                                                  \
        struct type *tqh_first;                                                                    \
        struct type **tqh_last;                                                                    \
    }
#define TAILQ_ENTRY(type)                                                                          \
    struct {                                                                                       \
        struct type *tqe_next;                                                                     \
        struct type **tqe_prev;                                                                    \
    }

#define TAILQ_FIRST(head)      ((head)->tqh_first)
#define TAILQ_NEXT(elm, field) ((elm)->field.tqe_next)
#define TAILQ_EMPTY(head)      (TAILQ_FIRST(head) == NULL)
#define TAILQ_FOREACH(var, head, field)                                                            \
    for ((var) = TAILQ_FIRST(head); (var); (var) = TAILQ_NEXT(var, field))

/* An entry has the shape of a head: the last element's link, read as a head,
 * leads back to the link that points to the last element. */
#define TAILQ_LAST(head, name) (*((struct name *)((head)->tqh_last))->tqh_last)

#define TAILQ_INIT(head)                                                                           \
    do {                                                                                           \
        (head)->tqh_first = NULL;                                                                  \
        (head)->tqh_last = &(head)->tqh_first;                                                     \
    } while (0)

#define TAILQ_INSERT_HEAD(head, elm, field)                                                        \
    do {                                                                                           \
        (elm)->field.tqe_next = (head)->tqh_first;                                                 \
        (elm)->field.tqe_prev = &(head)->tqh_first;                                                \
        if ((head)->tqh_first)                                                                     \
            (head)->tqh_first->field.tqe_prev = &(elm)->field.tqe_next;                            \
        else                                                                                       \
            (head)->tqh_last = &(elm)->field.tqe_next;                                             \
        (head)->tqh_first = (elm);                                                                 \
    } while (0)

#define TAILQ_INSERT_TAIL(head, elm, field)                                                        \
    do {                                                                                           \
        (elm)->field.tqe_next = NULL;                                                              \
        (elm)->field.tqe_prev = (head)->tqh_last;                                                  \
        *(head)->tqh_last = (elm);                                                                 \
        (head)->tqh_last = &(elm)->field.tqe_next;                                                 \
    } while (0)

#define TAILQ_INSERT_BEFORE(at, elm, field)                                                        \
    do {                                                                                           \
        (elm)->field.tqe_prev = (at)->field.tqe_prev;                                              \
        (elm)->field.tqe_next = (at);                                                              \
        *(at)->field.tqe_prev = (elm);                                                             \
        (at)->field.tqe_prev = &(elm)->field.tqe_next;                                             \
    } while (0)

#define TAILQ_REMOVE(head, elm, field)                                                             \
    do {                                                                                           \
        if ((elm)->field.tqe_next)                                                                 \
            (elm)->field.tqe_next->field.tqe_prev = (elm)->field.tqe_prev;                         \
        else                                                                                       \
            (head)->tqh_last = (elm)->field.tqe_prev;                                              \
        *(elm)->field.tqe_prev = (elm)->field.tqe_next;                                            \
    } while (0)

#endif
