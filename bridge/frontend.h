/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the logical unit tells a front end (BOT, NBD) about a command that the
 * front end submitted. Called from the event loop only, never from inside a
 * call into the logical unit.
 */
#ifndef LUNSTICK_BRIDGE_FRONTEND_H
#define LUNSTICK_BRIDGE_FRONTEND_H

struct lun_cmd;

struct frontend_ops {
    /* The watermark moved: more data-in are valid (lun_in_next()), or there is
     * more room for data-out (lun_out_next()). Not called after complete. */
    void (*progress)(struct lun_cmd *cmd);
    /* The outcome is final and the command is the front end's (owner REPLY).
     * Data-in up to outcome.moved_bytes may still be waiting in lun_in_next();
     * of data-out the logical unit wants no more. The front end sends what
     * belongs to the host and then calls lun_release(). */
    void (*complete)(struct lun_cmd *cmd);
};

#endif
