/* SPDX-License-Identifier: BSD-2-Clause */
/* What lun.c (commands) and segment.c (their pieces) share; nobody else's. */
#ifndef LUNSTICK_BRIDGE_LUN_INTERNAL_H
#define LUNSTICK_BRIDGE_LUN_INTERNAL_H

#include "cdrom.h"
#include "continuity.h"
#include "local.h"
#include "lun.h"
#include "lun_memory.h"
#include "medium.h"
#include "opcode.h"
#include "order.h"
#include "probe.h"
#include "reserve.h"

/* Commands and orphans together never fill the order table. */
#define LUN_CMDS     8
#define LUN_SEGMENTS 48

#define LUN_MAX_WHOLE_BYTES       ((uint32_t)BACKEND_IOV_MAX * POOL_SLICE_BYTES)
#define LUN_ORPHANS_MAX           8
#define LUN_ORPHAN_AGE_US         10000000u
#define LUN_ORPHAN_PATIENT_AGE_US 60000000u
#define LUN_ORPHAN_SLICES_MAX     BACKEND_IOV_MAX
#define LUN_PROBE_TIME_US         10000000u
#define LUN_BUSY_US               1000000u
#define LUN_RETRY_PAUSE_US        100000u
#define LUN_NEVER_US              UINT64_MAX

/*
 * A piece of a command's data, and the one command to the target that carries
 * it. Data-in: LUN -> BACKEND -> REPLY -> POOL. Data-out: FRONT -> LUN ->
 * BACKEND -> POOL. Back from BACKEND to LUN to be issued again.
 */
struct segment {
    struct segment *next; /* in its command, by offset */
    struct lun *lun;
    struct cmd *cmd; /* NULL while BACKEND: an orphan */
    enum scsi_owner owner;
    uint32_t offset_bytes; /* in the command's data */
    uint32_t length_bytes;
    uint8_t *slice[BACKEND_IOV_MAX]; /* each POOL_SLICE_BYTES, the last used in part */
    unsigned slice_count;
    struct order_span span; /* what it touches at the target */
    int order_slot;         /* of an orphan; else its command's covers it */
    uint64_t orphaned_us;   /* since when the host waits for it no longer; 0: never was one */
    uint64_t not_before_us; /* LUN: it pauses until then; 0: it may go */
    bool repeated;          /* it was at the target before */
    bool adoptable;         /* of an orphan: a READ or flush of the disk that the host sees */
    bool patient;           /* of an orphan: a flush, WRITE SAME, UNMAP, FORMAT takes its time */
    struct backend_cmd backend;
};

enum cmd_state {
    CMD_FREE,
    CMD_TAKEN,   /* FRONT */
    CMD_QUEUED,  /* LUN: waiting for its turn in the order table */
    CMD_RUNNING, /* LUN: its segments may go */
    CMD_ENDING,  /* LUN: the outcome is final, complete() is on the deferred list */
    CMD_REPLY,   /* REPLY */
};

struct cmd {
    struct lun_cmd pub; /* first: a front end's pointer is ours */
    struct lun *lun;
    const struct frontend_ops *ops;
    enum cmd_state state;
    uint64_t serial; /* order of submission */
    uint64_t submitted_us;
    uint64_t deadline_us; /* LUN_NEVER_US while the host has a piece or a room in hand */
    uint64_t left_us;     /* and then: what is left of it */
    struct patience patience;

    struct op op;
    struct order_span span;
    int order_slot;
    struct segment *segments;
    bool local; /* the data are the reply's, not segments' */
    struct local_reply reply;

    uint32_t want_bytes;  /* what the device moves, at most the host's length */
    uint32_t cut_bytes;   /* covered by segments so far */
    uint32_t valid_bytes; /* the watermark: all before it was moved to or from the target */
    uint32_t next_bytes;  /* handed to the front end by lun_in_next(), lun_out_next() */
    uint32_t done_bytes;  /* and back by lun_in_done(), lun_out_done() */
    bool failed;          /* the outcome is that of the first segment that failed */
    uint32_t failed_at;
    uint64_t first_us; /* data-in: the first byte taken; -out: the first segment sent; 0: not yet */
    uint64_t last_us;  /* data-in: the last segment came; -out: the last byte came */

    struct deferred progress;
    struct deferred finish;
};

/* From a new session to the word that commands may go. */
enum attach_phase {
    ATTACH_IDLE,
    ATTACH_PROBING,
    ATTACH_RESERVING, /* before the proof: who is not admitted cannot read either */
    ATTACH_PROVING,
};

struct lun {
    struct lun_config config;
    struct cmd cmds[LUN_CMDS];
    struct segment segments[LUN_SEGMENTS];
    struct order order;
    enum attach_phase attach;
    bool attach_again; /* from the probe on, once the phase is over */
    struct probe probe;
    struct reserve reserve;
    struct continuity continuity;
    bool access_released;        /* no reservation until lun_claim_access() */
    bool warned_of_sharing;      /* the user knows that the target has no reservations */
    void (*released)(void *ctx); /* NULL: nobody waits for it */
    void *released_ctx;
    struct deferred released_call;
    struct deferred kick; /* look at everything that waits */
    uint64_t next_serial;
    uint64_t probe_since_us; /* 0: no probe under way */
    bool link_up;            /* there is a session */
    bool accepted;           /* and its disk is proved: commands may go */
    bool have_disk;
    struct disk_identity disk;
    bool shown;                /* the front end was told of a disk */
    struct lun_memory *memory; /* the configuration's, or: */
    struct lun_memory own_memory;
    bool new_session; /* nothing was accepted in this session yet */
    bool unproved;    /* what the target holds may not be what was written to it */
    bool unflushed;   /* its write cache may hold acknowledged writes */
    bool writes_lost; /* and such writes are lost: the next flush tells the host */
    bool silent;      /* the target let a command wait too long and said nothing since */
    enum medium medium;
    uint64_t medium_until_us;         /* it comes back, or is given up; LUN_NEVER_US: neither */
    uint64_t written_us;              /* when the host last wrote; 0: never */
    struct cdrom cdrom;               /* if it is one */
    struct sense_code unit_attention; /* for the host; key 0: none */
    bool told_no_medium;              /* the host waits for one to be announced */
    bool sense_kept;
    struct scsi_outcome kept_sense;
    struct lun_stats stats;
};

/* lun.c, for segment.c, attach.c and medium.c */
void lun_kick(struct lun *lun);
/* For the host, with its next command; of two that it was not told of, the larger change. */
void lun_raise_attention(struct lun *lun, struct sense_code code);
/* Ends what the host has under way; what is at the target goes on without it. */
void lun_fail_all(struct lun *lun, struct sense_code sense);
/* The host has commands under way, or wrote within the last second. */
bool lun_busy(const struct lun *lun);
void lun_log(struct lun *lun, enum lun_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t lun_now(const struct lun *lun);
/* Decides whether the outcome of a running command is final, and ends it. */
void cmd_settle(struct cmd *cmd);
/* The first failure counts; what waits is taken back, what is out may return. */
void cmd_fail(struct cmd *cmd, uint32_t at_bytes, const struct scsi_outcome *outcome);

/* deadline.c, for lun.c and segment.c: how long a command keeps the host waiting. */
void deadline_start(struct cmd *cmd);
/* There is no time to wait, and what was asked before waits still: another question
 * would only be one more orphan. */
bool deadline_hopeless(const struct cmd *cmd);
/* It stands still while the host has data to fetch or to send. */
void deadline_pause(struct cmd *cmd);
void deadline_resume(struct cmd *cmd);
/* The target answered a piece of the command. */
void deadline_extend(struct cmd *cmd);
/* The target says something when it is asked, as far as we know. */
bool deadline_target_answers(const struct lun *lun);

/* attach.c, for lun.c and segment.c */
void attach_create(struct lun *lun);
/* None of its commands is at the back end. */
bool attach_idle(const struct lun *lun);
/* The disk may have changed within the session. */
void lun_reprobe(struct lun *lun, const char *why);

/* segment.c, for lun.c */
/* How long a segment of the command may be. */
uint32_t segment_most_bytes(const struct cmd *cmd);
/* Covers the next bytes of the command with a segment: FRONT for data-out, LUN
 * otherwise. NULL: no segment or not enough slices now. */
struct segment *segment_cut(struct cmd *cmd);
void segment_submit(struct segment *s);
/* Gives slices and segment back; it must be nobody's but ours (not BACKEND). */
void segment_free(struct segment *s);
/* Cuts BACKEND segments loose and frees those that wait (LUN). */
void segment_abandon_all(struct cmd *cmd);
/* The orphans there are read another disk than the host sees now. */
void segment_disown_orphans(struct lun *lun);
/* The first segment that covers `at_bytes`, or NULL. */
struct segment *segment_at(const struct cmd *cmd, uint32_t at_bytes);
bool segment_at_backend(const struct cmd *cmd);
/* Until when the session may keep its orphans; LUN_NEVER_US: there is none. */
uint64_t segment_orphans_until_us(const struct lun *lun);

#endif
