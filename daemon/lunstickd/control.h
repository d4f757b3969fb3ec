/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket, served by the child: a client sends one line, gets the
 * answer and the end of file. Nothing here blocks or allocates; who is slow is
 * dropped, and while all places are taken others wait in the listen queue. An
 * answer may come later; meanwhile the client keeps its place.
 */
#ifndef LUNSTICK_DAEMON_CONTROL_H
#define LUNSTICK_DAEMON_CONTROL_H

#include "loop.h"

#include <stddef.h>

#define CONTROL_CLIENTS       8
#define CONTROL_REQUEST_BYTES 1024
#define CONTROL_ANSWER_BYTES  131072
#define CONTROL_SECONDS       5
#define CONTROL_LATER_SECONDS 30 /* for an answer that comes later */
#define CONTROL_LATER         SIZE_MAX

struct control;

struct control_client {
    struct control *control;
    struct loop_watch watch; /* fd -1: the place is free */
    uint64_t deadline_us;
    char request[CONTROL_REQUEST_BYTES];
    size_t request_bytes;
    bool complete;   /* the request; it waits for the answer buffer */
    uint32_t ticket; /* its answer comes later; 0: not so */
};

struct control {
    struct loop_watch listener;
    struct control_client clients[CONTROL_CLIENTS];
    const struct control_client *answered; /* whose the answer is now */
    size_t answer_bytes, sent_bytes;
    char answer[CONTROL_ANSWER_BYTES];
    uint32_t tickets;
    /* Writes the answer to `line` (without its newline; may be changed), at most
     * `size` bytes; or CONTROL_LATER: control_answer() follows, with the ticket. */
    size_t (*respond)(void *ctx, char *line, uint32_t ticket, char *answer, size_t size);
    void *ctx;
};

/* The caller has set respond and ctx; owns listen_fd (non-blocking) from now
 * on. 0 or -errno. */
int control_init(struct control *control, struct loop *loop, int listen_fd);
/* The answer that was to come later, at most CONTROL_REQUEST_BYTES; nothing
 * happens when the client does not wait for it any more. */
void control_answer(struct control *control, uint32_t ticket, const char *text);
uint64_t control_next_timeout_us(const struct control *control);
void control_run_timeouts(struct control *control);

#endif
