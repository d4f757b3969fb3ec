/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: a handful of descriptors, one next time-out, and the deferred
 * list, which is run until it is empty before each wait.
 *
 * It waits with ppoll(2): libiscsi opens and closes its socket as it likes, and
 * a set that is made anew for each wait has no memory of descriptors that were
 * closed behind its back.
 */
#ifndef LUNSTICK_DAEMON_LOOP_H
#define LUNSTICK_DAEMON_LOOP_H

#include "bridge/deferred.h"

#include <stdbool.h>
#include <stdint.h>

#define LOOP_WATCHES_MAX 48
#define LOOP_NEVER       UINT64_MAX

/* Embedded in its owner, who may change fd and events at any time. A negative
 * fd is watched for nothing. */
struct loop_watch {
    int fd;
    short events; /* POLLIN, POLLOUT */
    void (*ready)(void *ctx, short revents);
    void *ctx;
};

struct loop {
    struct deferred_list *deferred;
    /* Just before the wait: refreshes watches, returns when `timers` is due. */
    uint64_t (*prepare)(void *ctx);
    /* After each wait: everything that is due. */
    void (*timers)(void *ctx);
    void *ctx;
    struct loop_watch *watches[LOOP_WATCHES_MAX];
    unsigned watch_count;
    bool stop;
};

uint64_t loop_now_us(void); /* CLOCK_MONOTONIC */

static inline uint64_t loop_earlier(uint64_t a_us, uint64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

void loop_init(struct loop *loop, struct deferred_list *deferred, uint64_t (*prepare)(void *ctx),
               void (*timers)(void *ctx), void *ctx);
/* The watch stays the caller's and is called until it is removed. 0 or -ENOSPC. */
int loop_add(struct loop *loop, struct loop_watch *watch);
void loop_remove(struct loop *loop, struct loop_watch *watch);

/* One wait and what follows from it. 0 or -errno. */
int loop_turn(struct loop *loop);
/* Turns until somebody sets `stop`. 0 or -errno. */
int loop_run(struct loop *loop);

#endif
