/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The logical unit: what the host sees as one disk. It takes commands from a
 * front end, answers what is known, cuts reads and writes into segments, keeps
 * their order, and gives them to the back end; it waits for a session when
 * there is none, and answers in time when there is none for long.
 *
 * Life of a command:
 *   cmd = lun_cmd_take()          POOL  -> FRONT   NULL: none free, ask again later
 *   fill cdb, dir, length         by the front end
 *   lun_submit(cmd)               FRONT -> LUN
 *   lun_out_next/_done(cmd)       data-out, while progress() says so
 *   lun_in_next/_done(cmd)        data-in, while progress() says so
 *   ops->complete(cmd)            LUN   -> REPLY
 *   lun_in_next/_done(cmd)        the rest of data-in
 *   lun_release(cmd)              REPLY -> POOL
 */
#ifndef LUNSTICK_BRIDGE_LUN_H
#define LUNSTICK_BRIDGE_LUN_H

#include "backend.h"
#include "cable.h"
#include "frontend.h"
#include "identity.h"
#include "medium.h"
#include "pool.h"
#include "scsi_cmd.h"

struct lun;
struct lun_memory;

/* The part of a command that a front end may read and write while it owns it. */
struct lun_cmd {
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t cdb_bytes;     /* 1 to 16; as the host sent them */
    enum scsi_dir dir;     /* as the host declared it */
    uint32_t length_bytes; /* as the host declared it */
    void *front;           /* the front end's own */

    struct scsi_outcome outcome; /* final at complete() */
    enum scsi_owner owner;       /* read only */
};

enum lun_log_level { LUN_LOG_ERROR, LUN_LOG_WARNING, LUN_LOG_INFO, LUN_LOG_DEBUG };

#define LUN_ANSWER_BY_HOST        UINT32_MAX
#define LUN_DEFAULT_SEGMENT_BYTES 65536u

struct lun_config {
    struct backend *backend;
    struct deferred_list *deferred;
    struct pool *pool;
    uint64_t (*now_us)(void); /* monotonic; virtual in tests */
    void (*log)(enum lun_log_level level, const char *text);
    /* A disk was accepted for the first time, or another one, or its size changed. */
    void (*disk_changed)(void *ctx, const struct disk_identity *disk);
    void *disk_changed_ctx;
    /* Where another disk than the accepted one cannot be a change of the medium (NBD):
     * it is refused, each time it is met, and commands wait for the right one. NULL: it
     * is a change. */
    void (*disk_refused)(void *ctx, const char *why);
    void *disk_refused_ctx;
    /* What another process knew of the disk, and this one will (lun_memory.h); NULL: this
     * one alone. */
    struct lun_memory *memory;
    /* How long one command may keep the host waiting, all its waits together; 0:
     * for ever (NBD); LUN_ANSWER_BY_HOST: as the host's profile says. Time in which
     * the host has data to fetch or to send (pieces and rooms that are out) is its own. */
    uint32_t answer_within_ms;
    struct cable *cable;    /* shared with the other units on it; NULL: alone on none (NBD) */
    unsigned number;        /* on the cable, from 0 */
    uint32_t segment_bytes; /* multiple of 4096, at most POOL_SLICE_BYTES; 0: the default */
    bool whole_reads;       /* one command to the target, not one per segment, if it takes that:
                               no part of a READ is of use to the front end before the last (NBD) */
    bool read_only;         /* refuse writes although the target would take them */
    bool removable;         /* say RMB=1 to the host, and let it eject */
    bool attention_off;     /* the front end cannot tell of unit attentions (NBD): there are none */
    bool cdrom;             /* show the disk as a CD-ROM: removable, read-only (cdrom.h) */
    enum medium_reinsert reinsert;
    uint32_t reinsert_after_ms;
    uint32_t give_up_after_ms; /* without a session for so long: MEDIUM NOT PRESENT; 0: never */
    bool ephemeral;            /* each login finds a fresh disk: a medium change every time */
    /* No proof after a login that the disk holds what was written to it
     * (continuity.h): for disks that others write to, too. */
    bool continuity_off;
    /* Exclusive access (reserve.h): the key with which the disk is reserved, the
     * same for all who may take it from each other; 0: the access is shared. */
    uint64_t reservation_key;
    bool take_over; /* at the first attach, from whoever has it */
};

/* NULL with errno set (ENOMEM, EINVAL). The structures that the configuration
 * points to must outlive the logical unit. Nothing is allocated later. */
struct lun *lun_create(const struct lun_config *config);
/* Only when the back end has no session any more, and every command is POOL. */
void lun_destroy(struct lun *lun);

struct lun_cmd *lun_cmd_take(struct lun *lun, const struct frontend_ops *ops);
void lun_submit(struct lun *lun, struct lun_cmd *cmd);

/*
 * Data-in. lun_in_next() gives the next piece of valid data, at most one slice,
 * in order, each byte once: its length, 0 when nothing is valid now. The piece
 * stays valid until the matching lun_in_done(); several may be out, and they
 * are given back in the order in which they were taken.
 */
uint32_t lun_in_next(struct lun *lun, struct lun_cmd *cmd, uint8_t **piece);
void lun_in_done(struct lun *lun, struct lun_cmd *cmd, uint32_t length_bytes);

/*
 * Data-out. lun_out_next() gives the next room to fill: its length, 0 when
 * there is none now or no more is wanted. lun_out_done() says how many bytes of
 * the oldest room came in; fewer than the room's length only as the last of the
 * command (the host ended early): the command then fails with the data so far.
 * A request may write up to the end of the slice (round up to wMaxPacketSize).
 * Rooms that are out at complete() stay lent until lun_release().
 */
uint32_t lun_out_next(struct lun *lun, struct lun_cmd *cmd, uint8_t **room);
void lun_out_done(struct lun *lun, struct lun_cmd *cmd, uint32_t arrived_bytes);

/* The front end wants nothing more of it (a reset, the cable pulled): no
 * progress() or complete() follows, its commands at the back end become
 * orphans. In LUN or REPLY; leaves it in REPLY; lun_release() once no USB
 * request uses its pieces and rooms any more. */
void lun_abort(struct lun *lun, struct lun_cmd *cmd);
void lun_release(struct lun *lun, struct lun_cmd *cmd);

/* Bus reset, after lun_abort(): kept sense is dropped, unit attentions stay
 * (SAM-5 5.14), also one whose sense the host did not fetch. */
void lun_host_reset(struct lun *lun);

/* Deadlines, retries, orphans' age. Call when now_us() has reached
 * lun_next_timeout_us() (UINT64_MAX: nothing is waited for). */
uint64_t lun_next_timeout_us(const struct lun *lun);
void lun_run_timeouts(struct lun *lun);

/*
 * The medium. lun_eject(): 0, also when none was there yet; -EALREADY: it is out;
 * -EBUSY without `force`: the host has commands under way or wrote within the last
 * second. What is under way fails with MEDIUM NOT PRESENT. lun_insert(): 0;
 * -EALREADY: it is in; -ENOTCONN: there is no disk now, it comes in with the first
 * that is accepted. The host is told of a medium change.
 */
enum medium lun_medium(const struct lun *lun);
int lun_eject(struct lun *lun, bool force);
int lun_insert(struct lun *lun);
/* As read_only of the configuration. Hosts ask for it when a medium comes in: call
 * it while there is none. */
void lun_write_protect(struct lun *lun, bool read_only);
/* The cable was out for a while: what a host ejected comes back, unless it never shall;
 * so does a fixed disk that was exchanged. */
void lun_replugged(struct lun *lun);

/* Another back end from now on; only while there is no session, the old one holds
 * no command, and no medium is in. The old disk is forgotten; what the new one
 * brings comes in after lun_insert(). The fields as in the configuration. */
struct lun_target {
    struct backend *backend;
    bool ephemeral;
    bool take_over;
};
void lun_retarget(struct lun *lun, const struct lun_target *target);

/*
 * Exclusive access. lun_release_access() gives the reservation back, for others to
 * take: once nothing comes from the host any more (the cable is out), before the
 * session is stopped or the unit gets another target. `released` is called once,
 * later, from the event loop: when the target answered or the session ended; at once
 * without a session or a reservation. Until lun_claim_access(), none is taken.
 */
void lun_release_access(struct lun *lun, void (*released)(void *ctx), void *ctx);
void lun_claim_access(struct lun *lun);

/* The disk that was accepted last, or NULL before there ever was one. */
const struct disk_identity *lun_disk(const struct lun *lun);

struct lun_stats {
    uint64_t commands, local_answers, passed_through;
    uint64_t read_bytes, written_bytes;
    uint64_t check_conditions, answered_late, retried, orphans, adopted;
    uint64_t proofs, disproofs;              /* of continuity, after logins */
    uint64_t latency_us_sum, latency_us_max; /* submit to complete, over `commands` */
    /* The last READ of two segments or more, microseconds after its submit. */
    struct {
        uint32_t bytes;
        uint64_t first_to_host_us;
        uint64_t last_segment_us;
    } last_streamed_read;
    struct {
        uint32_t bytes;
        uint64_t first_to_target_us;
        uint64_t last_from_host_us;
    } last_streamed_write;
    unsigned outstanding; /* at the back end now */
    bool session_up;      /* accepted */
    bool access_held;     /* the disk is reserved for us */
};
const struct lun_stats *lun_stats(const struct lun *lun);

#endif
