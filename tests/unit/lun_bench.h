/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench on which the logical unit is tested: a RAM back end, virtual time,
 * and a front end that takes and gives data at the test's word. */
#ifndef LUNSTICK_TESTS_LUN_BENCH_H
#define LUNSTICK_TESTS_LUN_BENCH_H

#include "bridge/lun.h"
#include "ram_backend.h"

#define BENCH_SLICES 32

struct bench {
    struct deferred_list deferred;
    struct pool pool;
    struct ram_backend ram;
    struct lun *lun;
    uint8_t *arena;
    unsigned disk_changes;
};

/* What the test's front end noted of one command; lun_cmd.front points to it. */
struct note {
    unsigned progress, complete;
};

extern uint64_t bench_now_us;

/* `adjust` may change the configuration before the logical unit is made. */
void bench_open(struct bench *b, void (*adjust)(struct lun_config *));
/* Opens the session and lets the probe run. */
void bench_up(struct bench *b);
/* Gives everything back and checks that nothing is missing. */
void bench_close(struct bench *b);
/* Runs deferred calls and the back end until neither has anything to do. */
void bench_settle(struct bench *b);
/* Lets virtual time pass, with the timeouts that fall into it. */
void bench_pass(struct bench *b, uint64_t us);

struct lun_cmd *bench_cmd(struct bench *b, struct note *note, const uint8_t *cdb, uint8_t cdb_bytes,
                          enum scsi_dir dir, uint32_t length_bytes);
/* Takes the data-in that is valid now; returns how many bytes. */
uint32_t bench_read(struct bench *b, struct lun_cmd *cmd, uint8_t *out, uint32_t size);
/* Fills the rooms there are from `data`; returns how many bytes. */
uint32_t bench_write(struct bench *b, struct lun_cmd *cmd, const uint8_t *data, uint32_t bytes);
/* Submits, moves all data, settles, releases; the outcome. */
struct scsi_outcome bench_run(struct bench *b, const uint8_t *cdb, uint8_t cdb_bytes,
                              enum scsi_dir dir, uint8_t *data, uint32_t length_bytes);
struct sense_code bench_sense(const struct scsi_outcome *outcome);

#endif
