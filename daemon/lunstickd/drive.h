/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One drive of the child: a logical unit, the session behind it, and what the
 * user wants in it (slot.h). Another disk replaces the session and leaves the
 * logical unit, and so the host's cable, alone:
 *
 *   IN_USE -> ASKED     the old disk is out, the parent looks at the new address
 *          -> GRANTED   it is a good one; the secrets follow
 *          -> LEAVING   the old session logs out
 *          -> IN_USE    with another session
 */
#ifndef LUNSTICK_DAEMON_DRIVE_H
#define LUNSTICK_DAEMON_DRIVE_H

#include "child.h"
#include "loop.h"
#include "privsep.h"
#include "request.h"
#include "secrets.h"
#include "slot.h"
#include "status.h"

struct drive;

struct drive_config {
    const struct daemon_config *config;
    unsigned number;
    const struct slot *slot;           /* copied */
    const struct lun_secrets *secrets; /* copied */
    bool host_knew; /* a child before this one served it: no fault is permanent any more */
    struct loop *loop;
    struct deferred_list *deferred;
    struct pool *pool;
    struct cable *cable;
    struct lun_memory *memory; /* of the one disk; NULL: where it may be exchanged */
    void (*log)(enum lun_log_level level, const char *text);

    void *ctx;
    void (*tell_parent)(void *ctx, const struct privsep_msg *msg);
    void (*settled)(void *ctx);                  /* drive_settled() became true */
    void (*end)(void *ctx, enum child_exit why); /* the child has to end; the log says why */
    /* To whom drive_request() said REQUEST_LATER. */
    void (*answer)(void *ctx, uint32_t ticket, int status, const char *text);
};

/* NULL with errno. The configuration is copied, but for what it points to. */
struct drive *drive_create(const struct drive_config *config);
struct lun *drive_lun(const struct drive *d);
void drive_start(struct drive *d);
/* Gives the disk back and logs out; from then on nothing else happens to it. */
void drive_stop(struct drive *d);
bool drive_stopped(const struct drive *d);

/* The host may look at it: it has seen a disk, or shall see none. */
bool drive_settled(const struct drive *d);
/* And without one it is a drive whose disk comes later. */
bool drive_may_be_empty(const struct drive *d);
/* The cable was out for a while, and is in again. */
void drive_replugged(struct drive *d);
/* By the user: meanwhile others may have the disk. Plugged in again: before that. */
void drive_unplugged(struct drive *d, bool unplugged);

/* Eject or insert. The exit status of the user's command, with a sentence for
 * it in `text`; or REQUEST_LATER: answer() follows. */
#define REQUEST_LATER      (-1)
#define DRIVE_ANSWER_BYTES 512
int drive_request(struct drive *d, const struct request *request, uint32_t ticket,
                  char text[DRIVE_ANSWER_BYTES]);

/* What the parent says. */
void drive_resolved(struct drive *d, const char *numeric, const char *why);
void drive_inserted(struct drive *d, const struct privsep_msg *msg);
void drive_secrets(struct drive *d, const struct lun_secrets *secrets);

/* Just before the loop waits; when it has to be called again at the latest. */
uint64_t drive_prepare(struct drive *d);
void drive_run_timeouts(struct drive *d);

/* Another number when the session or the medium is in another state. */
unsigned drive_state(const struct drive *d);
void drive_view(const struct drive *d, struct status_lun *view);

#endif
