/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the logical unit asks of a back end (the iSCSI session, or the RAM
 * disk of the tests), and what a back end tells the logical unit.
 *
 * The watermark: a back end learns about data by whole segments. The logical
 * unit submits a data-out command when all its bytes are in, and a data-in
 * command's bytes count from its completion on. Many short commands in flight
 * are what makes a long transfer stream.
 */
#ifndef LUNSTICK_BRIDGE_BACKEND_H
#define LUNSTICK_BRIDGE_BACKEND_H

#include "deferred.h"
#include "scsi_cmd.h"

#include <sys/uio.h>

/* Slices of one command to the target; longer data are cut into segments. */
#define BACKEND_IOV_MAX 16

enum backend_result {
    BACKEND_DONE, /* the target answered: status, sense and moved_bytes are its own */
    BACKEND_LOST, /* the session ended first: whether it was executed is unknown */
};

/*
 * One command at the back end. The logical unit fills the first part and
 * lends the command and its buffers with submit(); the back end fills the
 * second part and puts `done` on the deferred list, exactly once. Between the
 * two nobody else touches either.
 */
struct backend_cmd {
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t cdb_bytes; /* as the host sent it; goes onto the wire zero-padded to 16 */
    enum scsi_dir dir;
    uint32_t length_bytes; /* expected data transfer length; the iovec covers it exactly */
    struct iovec iov[BACKEND_IOV_MAX];
    int iov_count;

    enum backend_result result;
    struct scsi_outcome outcome;
    struct deferred done;

    void *backend_data; /* the back end's own while it has the command */
};

/* Why a session was of no use; decides about exit codes and retries. */
enum backend_fault {
    BACKEND_FAULT_TRANSIENT, /* may go away by itself: wait and try again */
    BACKEND_FAULT_PERMANENT, /* needs the user: wrong name, secret, LUN, or disk */
};

struct backend;

struct backend_ops {
    /* Takes the command. 0, or -ENOTCONN (no session), or -EAGAIN (no room
     * now; `more` of the events follows): then it was not taken. Never
     * completes from inside. */
    int (*submit)(struct backend *b, struct backend_cmd *cmd);
    /* The verdict on the session that `up` announced, once it was probed. */
    void (*accept)(struct backend *b);
    void (*reject)(struct backend *b, enum backend_fault fault, const char *why);
    /* Ends the session, if there is one; every command in it comes back LOST
     * and a new login follows. The only cancel there is. */
    void (*drop)(struct backend *b, const char *why);
};

/* What a back end calls, from the event loop only, never from inside an op. */
struct backend_events {
    void (*up)(void *ctx); /* a new session: probe it, then accept or reject */
    void (*down)(void *ctx,
                 const char *why); /* it ended; its commands were completed LOST before */
    void (*more)(void *ctx);       /* there is room again */
};

/* The common head of every back end. */
struct backend {
    const struct backend_ops *ops;
    const struct backend_events *events; /* set by the logical unit */
    void *events_ctx;
    struct deferred_list *deferred; /* where completions go */
};

#endif
