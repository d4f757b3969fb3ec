/* SPDX-License-Identifier: BSD-2-Clause */
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

uint64_t bench_now_us;

static uint64_t virtual_now(void)
{
    return bench_now_us;
}

static void note_progress(struct lun_cmd *cmd)
{
    ((struct note *)cmd->front)->progress++;
}

static void note_complete(struct lun_cmd *cmd)
{
    assert_int_equal(cmd->owner, SCSI_OWNER_REPLY);
    ((struct note *)cmd->front)->complete++;
}

static const struct frontend_ops note_ops = {note_progress, note_complete};

static void disk_changed(void *ctx, const struct disk_identity *disk)
{
    struct bench *b = ctx;
    assert_non_null(disk);
    b->disk_changes++;
}

void bench_open(struct bench *b, void (*adjust)(struct lun_config *))
{
    memset(b, 0xa5, sizeof(*b));
    bench_now_us = 1000000;
    b->disk_changes = 0;
    deferred_list_init(&b->deferred);
    b->arena = aligned_alloc(4096, BENCH_SLICES * POOL_SLICE_BYTES);
    assert_non_null(b->arena);
    memset(b->arena, 0xa5, BENCH_SLICES * POOL_SLICE_BYTES);
    pool_init(&b->pool, b->arena, BENCH_SLICES);
    ram_init(&b->ram, &b->deferred);
    struct lun_config config = {
        .backend = &b->ram.backend,
        .deferred = &b->deferred,
        .pool = &b->pool,
        .now_us = virtual_now,
        .disk_changed = disk_changed,
        .disk_changed_ctx = b,
        .answer_within_ms = 4000,
        .removable = true,
    };
    if (adjust)
        adjust(&config);
    b->lun = lun_create(&config);
    assert_non_null(b->lun);
}

void bench_settle(struct bench *b)
{
    for (unsigned idle = 0; idle <= b->ram.delay_turns;) {
        unsigned before = b->ram.outstanding;
        ram_turn(&b->ram);
        unsigned ran = 0;
        unsigned n;
        while ((n = deferred_run(&b->deferred)) > 0)
            ran += n;
        idle = ran > 0 || b->ram.outstanding != before ? 0 : idle + 1;
    }
}

void bench_up(struct bench *b)
{
    ram_up(&b->ram);
    bench_settle(b);
    ram_forget(&b->ram);
}

void bench_pass(struct bench *b, uint64_t us)
{
    uint64_t end = bench_now_us + us;
    bench_settle(b);
    for (;;) {
        uint64_t next = lun_next_timeout_us(b->lun);
        if (next > end)
            break;
        if (next > bench_now_us)
            bench_now_us = next;
        lun_run_timeouts(b->lun);
        bench_settle(b);
    }
    bench_now_us = end;
}

void bench_close(struct bench *b)
{
    b->ram.hold_from = 0;
    bench_settle(b);
    assert_int_equal(b->pool.free_count, BENCH_SLICES);
    lun_destroy(b->lun);
    ram_free(&b->ram);
    free(b->arena);
}

struct lun_cmd *bench_cmd(struct bench *b, struct note *note, const uint8_t *cdb, uint8_t cdb_bytes,
                          enum scsi_dir dir, uint32_t length_bytes)
{
    memset(note, 0, sizeof(*note));
    struct lun_cmd *cmd = lun_cmd_take(b->lun, &note_ops);
    assert_non_null(cmd);
    memcpy(cmd->cdb, cdb, cdb_bytes);
    cmd->cdb_bytes = cdb_bytes;
    cmd->dir = dir;
    cmd->length_bytes = length_bytes;
    cmd->front = note;
    lun_submit(b->lun, cmd);
    return cmd;
}

uint32_t bench_read(struct bench *b, struct lun_cmd *cmd, uint8_t *out, uint32_t size)
{
    uint32_t done = 0;
    uint32_t length;
    uint8_t *piece;
    while ((length = lun_in_next(b->lun, cmd, &piece)) > 0) {
        assert_true(done + length <= size);
        memcpy(out + done, piece, length);
        lun_in_done(b->lun, cmd, length);
        done += length;
    }
    return done;
}

uint32_t bench_write(struct bench *b, struct lun_cmd *cmd, const uint8_t *data, uint32_t bytes)
{
    uint32_t done = 0;
    uint32_t length;
    uint8_t *room;
    while (done < bytes && (length = lun_out_next(b->lun, cmd, &room)) > 0) {
        assert_true(length <= bytes - done);
        memcpy(room, data + done, length);
        lun_out_done(b->lun, cmd, length);
        done += length;
    }
    return done;
}

struct scsi_outcome bench_run(struct bench *b, const uint8_t *cdb, uint8_t cdb_bytes,
                              enum scsi_dir dir, uint8_t *data, uint32_t length_bytes)
{
    struct note note;
    struct lun_cmd *cmd = bench_cmd(b, &note, cdb, cdb_bytes, dir, length_bytes);
    uint32_t moved = 0;
    for (int turn = 0; turn < 1000 && !note.complete; turn++) {
        if (dir == SCSI_DIR_OUT)
            moved += bench_write(b, cmd, data + moved, length_bytes - moved);
        else if (dir == SCSI_DIR_IN)
            moved += bench_read(b, cmd, data + moved, length_bytes - moved);
        bench_settle(b);
    }
    assert_int_equal(note.complete, 1);
    if (dir == SCSI_DIR_IN) {
        moved += bench_read(b, cmd, data + moved, length_bytes - moved);
        assert_int_equal(moved, cmd->outcome.moved_bytes);
    }
    struct scsi_outcome outcome = cmd->outcome;
    lun_release(b->lun, cmd);
    bench_settle(b);
    return outcome;
}

struct sense_code bench_sense(const struct scsi_outcome *outcome)
{
    struct sense_code code;
    sense_parse(outcome->sense, outcome->sense_bytes, &code);
    return code;
}
