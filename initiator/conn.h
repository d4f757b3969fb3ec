/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One TCP connection with one iSCSI session on it, from connect to loss: the
 * only part that carries a LUN over libiscsi. It never comes back by itself: after failed()
 * it is closed, and opened again for the next login.
 *
 * Events may be called from inside libiscsi: the receiver takes a note and acts
 * later, from the event loop. It must not call back into the connection.
 */
#ifndef LUNSTICK_INITIATOR_CONN_H
#define LUNSTICK_INITIATOR_CONN_H

#include "bridge/backend.h"

#include <stddef.h>

/* Commands at the target at one time; libiscsi queues what the command window
 * does not admit. */
#define CONN_SLOTS 64
/* Two names of 223 bytes, a portal, the cause and the fix. */
#define CONN_WHY_BYTES 640

struct conn;

/* All texts stay the caller's and outlive the open connection. */
struct conn_params {
    const char *portal; /* numeric: "192.0.2.1:3260", "[2001:db8::1]:3260" */
    const char *initiator_name;
    const char *iqn;
    uint16_t lun;
    const uint8_t *isid; /* 6 bytes */
    const char *user, *secret;
    const char *target_user, *target_secret;
    /* Without a secret: go through the security stage all the same, where the
     * target picks None. RFC 7143 7.3 lets it be left out, and libiscsi leaves
     * it out; but tgtd replaces an old session (6.3.5) only on this way. */
    bool security_stage;
    bool header_digest;
    uint32_t tcp_user_timeout_ms;
};

/* What target and initiator agreed on; final at logged_in(). */
struct conn_agreed {
    bool authenticated; /* by CHAP */
    bool target_authenticated;
    bool header_digest;
    uint32_t max_send_bytes; /* MaxRecvDataSegmentLength of the target */
    uint32_t first_burst_bytes;
    int portal_group; /* -1: not told */
    int time2wait_s, time2retain_s;
};

struct conn_events {
    void (*logged_in)(void *ctx);
    /* Of no use any more. Once per conn_open(). */
    void (*failed)(void *ctx, enum backend_fault fault, const char *why);
    /* Logged in, and the connection is gone: the target, or somebody on the
     * way, ended it. Comes instead of failed(). */
    void (*closed)(void *ctx, const char *why);
    /* The target is elsewhere: "host[:port][,group]". Comes instead of failed(). */
    void (*redirected)(void *ctx, const char *portal);
    /* It picked CHAP in the security stage although there is no secret, as some
     * do that would let us in without: open again with security_stage off.
     * Comes instead of failed(). */
    void (*stage_refused)(void *ctx);
    void (*nop_answered)(void *ctx);
    void (*logged_out)(void *ctx);
    /* A slot came free after conn_submit() had said -EAGAIN. */
    void (*room)(void *ctx);
    void (*log)(void *ctx, bool warning, const char *text);
};

/* Allocates all that is ever needed; NULL with errno. Takes the variables that
 * libiscsi reads out of the environment. */
struct conn *conn_create(const struct conn_events *events, void *ctx,
                         struct deferred_list *deferred);
void conn_destroy(struct conn *c); /* closed before */

/* Begins to connect. What goes wrong at once comes by failed(), too. */
void conn_open(struct conn *c, const struct conn_params *params);
/* Ends it, whatever its state. Every command in it is put on the deferred list
 * as LOST, in the order of submission. Never from inside an event. */
void conn_close(struct conn *c);
bool conn_has_tcp(const struct conn *c); /* the TCP connection was made */

/* Takes the command: 0, -EAGAIN (no slot) or -ENOTCONN. */
int conn_submit(struct conn *c, struct backend_cmd *cmd);
int conn_nop(struct conn *c);    /* 0 or -ENOTCONN; nop_answered() follows */
int conn_logout(struct conn *c); /* 0 or -ENOTCONN; logged_out() follows */

int conn_fd(const struct conn *c); /* -1: none */
short conn_poll_events(const struct conn *c);
void conn_service(struct conn *c, short revents);

unsigned conn_outstanding(const struct conn *c);
const struct conn_agreed *conn_agreed(const struct conn *c);
const void *conn_last_iov_base(const struct conn *c);

#endif
