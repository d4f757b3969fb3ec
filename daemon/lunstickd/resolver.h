/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names to numeric addresses for the child, which may not ask for itself. Each
 * request is a process of its own without rights and with a time limit, since
 * getaddrinfo(3) may hang for as long as it likes.
 */
#ifndef LUNSTICK_DAEMON_RESOLVER_H
#define LUNSTICK_DAEMON_RESOLVER_H

#include "loop.h"

#include <stdint.h>
#include <sys/types.h>

#define RESOLVER_TEXT_BYTES 192

struct resolver {
    struct loop_watch watch;
    pid_t pid;            /* 0: no process, or it was waited for */
    uint64_t deadline_us; /* LOOP_NEVER: no request is under way */
    uid_t uid;
    gid_t gid;
    char answer[RESOLVER_TEXT_BYTES + 1];
    size_t answer_bytes;
    /* `numeric`, or NULL and a sentence in `why`. From the loop only. */
    void (*done)(void *ctx, const char *numeric, const char *why);
    void *ctx;
};

/* What the process does: "+ADDRESS" or "-REASON" into `out`, however long it takes. */
void resolver_look_up(char out[RESOLVER_TEXT_BYTES], const char *host, uint32_t attempt);

/* The caller has set done and ctx. 0 or -errno. */
int resolver_init(struct resolver *r, struct loop *loop, uid_t uid, gid_t gid);
/* Asks for the address number `attempt` of `host`, counted round and round, so
 * that a dead one is not tried for ever. A request under way is given up. */
void resolver_ask(struct resolver *r, const char *host, uint32_t attempt);
void resolver_cancel(struct resolver *r);
/* Call for each process that was waited for: its number may be another's now. */
void resolver_died(struct resolver *r, pid_t pid);
/* Call when loop_now_us() has reached deadline_us. */
void resolver_run_timeout(struct resolver *r);

#endif
