/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket, served by the child: a client sends one line, gets the
 * answer and the end of file. Nothing here blocks or allocates; who is slow is
 * dropped, and while all places are taken others wait in the listen queue.
 */
#ifndef LUNSTICK_DAEMON_CONTROL_H
#define LUNSTICK_DAEMON_CONTROL_H

#include "loop.h"

#include <stddef.h>

#define CONTROL_CLIENTS       4
#define CONTROL_REQUEST_BYTES 256
#define CONTROL_ANSWER_BYTES  131072
#define CONTROL_SECONDS       5

struct control;

struct control_client {
    struct control *control;
    struct loop_watch watch; /* fd -1: the place is free */
    uint64_t deadline_us;
    char request[CONTROL_REQUEST_BYTES];
    size_t request_bytes;
    bool complete; /* the request; it waits for the answer buffer */
};

struct control {
    struct loop_watch listener;
    struct control_client clients[CONTROL_CLIENTS];
    const struct control_client *answered; /* whose the answer is now */
    size_t answer_bytes, sent_bytes;
    char answer[CONTROL_ANSWER_BYTES];
    /* Writes the answer to `line` (without its newline), at most `size` bytes. */
    size_t (*respond)(void *ctx, const char *line, char *answer, size_t size);
    void *ctx;
};

/* The caller has set respond and ctx; owns listen_fd (non-blocking) from now
 * on. 0 or -errno. */
int control_init(struct control *control, struct loop *loop, int listen_fd);
uint64_t control_next_timeout_us(const struct control *control);
void control_run_timeouts(struct control *control);

#endif
