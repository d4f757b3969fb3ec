/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A logical unit under the test's control, behind the functions of lun.h that
 * a front end calls: it moves as many data as its plan says and answers what
 * the plan says. It aborts when the front end breaks lun.h, and poisons every
 * buffer that came back.
 */
#ifndef LUNSTICK_TESTS_FAKE_LUN_H
#define LUNSTICK_TESTS_FAKE_LUN_H

#include "bridge/lun.h"

#include <stddef.h>

#define FAKE_SLICES    8
#define FAKE_OUT_BYTES (1u << 20)

/* What the next command does. */
struct fake_plan {
    uint32_t data_bytes;  /* that it moves by itself; at most what the host declared do */
    uint32_t piece_bytes; /* of each piece or room but the last; 0: a slice */
    uint32_t claim_bytes; /* moved, so the outcome says, on top of the truth */
    uint8_t status;
    bool phase_error;
    bool hold; /* data only with fake_lun_open(), the end only with fake_lun_finish() */
};

struct lun {
    struct deferred_list *deferred;
    struct fake_plan plan;
    unsigned refuse_take; /* so many times */
    /* Whether memory is still lent elsewhere; asked before it is used again. */
    bool (*in_use)(void *ctx, const void *memory, size_t bytes);
    void *in_use_ctx;

    struct lun_cmd cmd;
    const struct frontend_ops *ops;
    struct deferred work;
    struct fake_plan now; /* the plan of the command that is out */
    uint32_t open_bytes;  /* the watermark */
    uint32_t next_bytes, done_bytes;
    bool more, finish, complete, aborted, host_ended;
    struct {
        unsigned slice;
        uint32_t bytes;
    } piece[FAKE_SLICES]; /* out, oldest first */
    unsigned pieces;
    unsigned next_slice;

    /* What happened. */
    unsigned takes, submits, completes, aborts, releases, host_resets, out_dones;
    uint8_t last_cdb[SCSI_CDB_MAX_BYTES];
    uint8_t last_cdb_bytes;

    uint8_t slice[FAKE_SLICES][POOL_SLICE_BYTES];
    uint8_t out[FAKE_OUT_BYTES]; /* the data-out of the last command */
};

/* The caller's structure, poisoned before. */
void fake_lun_init(struct lun *lun, struct deferred_list *deferred);
/* Hold: so many bytes in all are valid, or may be filled. */
void fake_lun_open(struct lun *lun, uint32_t bytes);
/* Hold: the outcome, now. */
void fake_lun_finish(struct lun *lun, uint8_t status, bool phase_error);
/* Byte `offset` of the data-in of the `nth` command submitted, from 1. */
uint8_t fake_lun_byte(unsigned nth, uint32_t offset);
/* Aborts unless `data` is a piece of data-in that is lent, with its bytes. */
void fake_lun_check_piece(const struct lun *lun, const void *data, uint32_t bytes);
/* No command is out. */
bool fake_lun_free(const struct lun *lun);

#endif
