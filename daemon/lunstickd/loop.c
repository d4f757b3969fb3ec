/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

/* A list that refills itself for ever must not keep the descriptors waiting. */
#define DEFERRED_ROUNDS_MAX 256

uint64_t loop_now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void loop_init(struct loop *loop, struct deferred_list *deferred, uint64_t (*prepare)(void *ctx),
               void (*timers)(void *ctx), void *ctx)
{
    memset(loop, 0, sizeof *loop);
    loop->deferred = deferred;
    loop->prepare = prepare;
    loop->timers = timers;
    loop->ctx = ctx;
}

int loop_add(struct loop *loop, struct loop_watch *watch)
{
    if (loop->watch_count == LOOP_WATCHES_MAX)
        return -ENOSPC;
    loop->watches[loop->watch_count++] = watch;
    return 0;
}

/* Its place stays, empty, until the next turn: a turn may be under way. */
void loop_remove(struct loop *loop, struct loop_watch *watch)
{
    for (unsigned i = 0; i < loop->watch_count; i++)
        if (loop->watches[i] == watch)
            loop->watches[i] = NULL;
}

static void compact(struct loop *loop)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < loop->watch_count; i++)
        if (loop->watches[i])
            loop->watches[kept++] = loop->watches[i];
    loop->watch_count = kept;
}

static void run_deferred(struct loop *loop)
{
    for (unsigned round = 0; round < DEFERRED_ROUNDS_MAX; round++)
        if (deferred_run(loop->deferred) == 0)
            return;
}

static struct timespec wait_time(const struct loop *loop, uint64_t due_us)
{
    struct timespec ts = {0, 0};
    uint64_t now_us = loop_now_us();
    if (due_us > now_us && !deferred_pending(loop->deferred)) {
        uint64_t wait_us = due_us - now_us;
        ts.tv_sec = (time_t)(wait_us / 1000000);
        ts.tv_nsec = (long)(wait_us % 1000000) * 1000;
    }
    return ts;
}

int loop_turn(struct loop *loop)
{
    struct pollfd fds[LOOP_WATCHES_MAX];

    run_deferred(loop);
    uint64_t due_us = loop->prepare(loop->ctx);
    if (loop->stop)
        return 0;
    compact(loop);
    unsigned count = loop->watch_count;
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = loop->watches[i]->fd, .events = loop->watches[i]->events};
    struct timespec ts = wait_time(loop, due_us);
    bool forever = due_us == LOOP_NEVER && !deferred_pending(loop->deferred);
    int ready = ppoll(fds, count, forever ? NULL : &ts, NULL);
    if (ready < 0 && errno != EINTR)
        return -errno;

    for (unsigned i = 0; i < count && ready > 0; i++) {
        if (!fds[i].revents)
            continue;
        ready--;
        struct loop_watch *watch = loop->watches[i];
        /* An earlier one of this turn may have removed or redirected it. */
        if (watch && watch->fd == fds[i].fd)
            watch->ready(watch->ctx, fds[i].revents);
    }
    loop->timers(loop->ctx);
    return 0;
}

int loop_run(struct loop *loop)
{
    int rc = 0;
    while (!loop->stop && rc == 0)
        rc = loop_turn(loop);
    return rc;
}
