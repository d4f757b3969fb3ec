/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A RAM disk as a back end, with a fault plan: it executes commands when the
 * test says so, fails them with the sense the test asks for, and loses its
 * session. Linked into tests only. It counts what it sees, in order.
 */
#ifndef LUNSTICK_TESTS_RAM_BACKEND_H
#define LUNSTICK_TESTS_RAM_BACKEND_H

#include "bridge/backend.h"

#include <stddef.h>

#define RAM_BLOCK_BYTES 512u
#define RAM_BLOCKS      8192u
#define RAM_QUEUE       64
#define RAM_SEEN        256

struct ram_seen {
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    const void *iov_base;
    uint32_t length_bytes;
};

struct ram_backend {
    struct backend backend; /* first */
    uint8_t *disk;
    uint64_t blocks; /* told to the host; what lies beyond RAM_BLOCKS cannot be read */
    uint32_t block_bytes;
    const char *serial;
    uint8_t peripheral;
    bool write_cache; /* MODE SELECT changes it */
    bool protection;  /* the disk has protection information; it is taken for 0 bytes */
    bool log_sense;   /* LOG SENSE is there; it brings zeros */
    /* Limits that it tells of, and holds READ and WRITE SAME to; 0: it says nothing. */
    uint32_t transfer_blocks, same_blocks;
    uint8_t provisioning; /* VPD page B2, byte 5; 0: it has none */

    /* Persistent reservations: of Exclusive Access, for us and for one other. */
    bool pr;                   /* the target has them */
    bool pr_abort;             /* PREEMPT AND ABORT, too */
    bool pr_strict;            /* hides the capacity, too, as the kernel's target does */
    bool pr_forgets;           /* a login is a new nexus, and registers anew */
    const char *pr_other_name; /* READ FULL STATUS names the other so; NULL: it is not there */
    uint64_t pr_key;           /* registered by us in this nexus; 0: not */
    uint64_t pr_other_key;     /* by the other, or by a nexus of ours that is gone */
    enum { RAM_PR_FREE, RAM_PR_OURS, RAM_PR_OTHERS } pr_holder;

    /* The fault plan. */
    unsigned delay_turns;                /* a command completes so many turns after its submit */
    unsigned hold_from;                  /* commands of this number and later wait; 0: none */
    bool hold_data;                      /* READs and WRITEs wait, a probe does not */
    unsigned fail_number;                /* the command of this number (1, 2, ...) fails; 0: none */
    unsigned fail_last;                  /* and those up to this one */
    uint8_t fail_status;                 /* with this status */
    struct sense_code fail_sense;        /* and, for CHECK CONDITION, this sense */
    bool lose_executes;                  /* what is lost was executed all the same */
    bool fail_deferred;                  /* which is of an earlier command */
    unsigned short_number;               /* this one moves half of its data with GOOD; 0: none */
    unsigned recover_number;             /* this one is executed, with RECOVERED ERROR 17/00 */
    unsigned over_number;                /* this one had more to move than it was asked for */
    struct sense_code pending_attention; /* the next command gets it; key 0: none */
    unsigned room;                       /* commands taken at once; more get -EAGAIN */

    /* What it saw since the last ram_forget(), probe commands included. */
    struct ram_seen seen[RAM_SEEN];
    unsigned seen_count;
    unsigned outstanding;
    unsigned accepts, rejects, drops;
    enum backend_fault last_fault;
    char last_why[256];

    bool up;
    bool refused; /* a command found no room: more() is owed */
    struct backend_cmd *queue[RAM_QUEUE];
    unsigned age[RAM_QUEUE];
    unsigned number[RAM_QUEUE];
    bool go[RAM_QUEUE]; /* not held any more */
};

void ram_init(struct ram_backend *ram, struct deferred_list *deferred);
/* The same on the caller's memory, as it is; without ram_free(). */
void ram_init_on(struct ram_backend *ram, struct deferred_list *deferred, uint8_t *disk);
void ram_free(struct ram_backend *ram);
void ram_up(struct ram_backend *ram);
/* Every outstanding command comes back LOST, then down(). */
void ram_lose(struct ram_backend *ram, const char *why);
/* The command of this number is held no longer. */
void ram_let_go(struct ram_backend *ram, unsigned number);
/* One turn: what is due is executed and put on the deferred list. */
void ram_turn(struct ram_backend *ram);
/* Starts counting commands and faults anew. */
void ram_forget(struct ram_backend *ram);
uint8_t *ram_block(struct ram_backend *ram, uint64_t lba);

#endif
