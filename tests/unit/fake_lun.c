/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_lun.h"

#include "script_port.h"

#include <string.h>

#define POISON 0xdd

/* A prime period: no packet or slice repeats another. */
#define PATTERN_PERIOD 65521u

static uint8_t pattern[PATTERN_PERIOD + POOL_SLICE_BYTES];

static void pattern_make(void)
{
    uint32_t x = 1;

    if (pattern[0] != 0)
        return;
    for (uint32_t i = 0; i < PATTERN_PERIOD; i++) {
        x = x * 1664525u + 1013904223u;
        pattern[i] = (uint8_t)(x >> 24 | 1);
    }
    for (uint32_t i = PATTERN_PERIOD; i < sizeof pattern; i++)
        pattern[i] = pattern[i - PATTERN_PERIOD];
}

/* The data-in of the nth command from `offset` on, a slice at most. */
static const uint8_t *pattern_at(unsigned nth, uint32_t offset)
{
    return pattern + (nth * 7919u + offset) % PATTERN_PERIOD;
}

uint8_t fake_lun_byte(unsigned nth, uint32_t offset)
{
    return *pattern_at(nth, offset);
}

void fake_lun_check_piece(const struct lun *lun, const void *data, uint32_t bytes)
{
    const uint8_t *piece = data;
    uint32_t offset = lun->done_bytes;
    unsigned i = 0;

    while (i < lun->pieces && lun->slice[lun->piece[i].slice] != piece)
        offset += lun->piece[i++].bytes;
    SCRIPT_CHECK(i < lun->pieces && lun->piece[i].bytes == bytes);
    SCRIPT_CHECK(memcmp(piece, pattern_at(lun->submits, offset), bytes) == 0);
}

bool fake_lun_free(const struct lun *lun)
{
    return lun->cmd.owner == SCSI_OWNER_POOL;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What the command can move within what the host declared. */
static uint32_t wanted_bytes(const struct lun *lun)
{
    return lun->cmd.dir == SCSI_DIR_NONE ? 0 : least(lun->now.data_bytes, lun->cmd.length_bytes);
}

static bool finished(const struct lun *lun)
{
    if (lun->finish || lun->host_ended)
        return true;
    if (lun->now.hold)
        return false;
    return lun->cmd.dir != SCSI_DIR_OUT || lun->now.phase_error ||
           lun->done_bytes == wanted_bytes(lun);
}

static void work(struct deferred *d)
{
    struct lun *lun = (struct lun *)((char *)d - offsetof(struct lun, work));

    if (lun->cmd.owner != SCSI_OWNER_LUN)
        return;
    if (lun->more) {
        lun->more = false;
        lun->ops->progress(&lun->cmd);
    }
    if (lun->cmd.owner != SCSI_OWNER_LUN || !finished(lun))
        return;
    struct scsi_outcome *outcome = &lun->cmd.outcome;
    memset(outcome, 0, sizeof *outcome);
    outcome->status = lun->now.status;
    outcome->phase_error = lun->now.phase_error;
    if (lun->host_ended)
        outcome->status = SCSI_STATUS_CODE_CHECK_CONDITION;
    if (lun->cmd.dir == SCSI_DIR_IN)
        outcome->moved_bytes = lun->open_bytes;
    else
        outcome->moved_bytes = lun->done_bytes;
    outcome->moved_bytes += lun->now.claim_bytes;
    lun->complete = true;
    lun->completes++;
    scsi_owner_move(&lun->cmd.owner, SCSI_OWNER_LUN, SCSI_OWNER_REPLY);
    lun->ops->complete(&lun->cmd);
}

void fake_lun_init(struct lun *lun, struct deferred_list *deferred)
{
    pattern_make();
    memset(lun, 0, offsetof(struct lun, slice));
    memset(lun->slice, POISON, sizeof lun->slice);
    lun->deferred = deferred;
    lun->cmd.owner = SCSI_OWNER_POOL;
    deferred_init(&lun->work, work);
}

void fake_lun_open(struct lun *lun, uint32_t bytes)
{
    SCRIPT_CHECK(lun->cmd.owner == SCSI_OWNER_LUN);
    lun->open_bytes = least(bytes, wanted_bytes(lun));
    lun->more = true;
    deferred_add(lun->deferred, &lun->work);
}

void fake_lun_finish(struct lun *lun, uint8_t status, bool phase_error)
{
    lun->now.status = status;
    lun->now.phase_error = phase_error;
    lun->finish = true;
    deferred_add(lun->deferred, &lun->work);
}

struct lun_cmd *lun_cmd_take(struct lun *lun, const struct frontend_ops *ops)
{
    if (lun->refuse_take > 0) {
        lun->refuse_take--;
        return NULL;
    }
    if (lun->cmd.owner != SCSI_OWNER_POOL)
        return NULL;
    memset(&lun->cmd, 0xa5, sizeof lun->cmd);
    lun->cmd.owner = SCSI_OWNER_POOL;
    scsi_owner_move(&lun->cmd.owner, SCSI_OWNER_POOL, SCSI_OWNER_FRONT);
    lun->ops = ops;
    lun->takes++;
    return &lun->cmd;
}

void lun_submit(struct lun *lun, struct lun_cmd *cmd)
{
    SCRIPT_CHECK(cmd == &lun->cmd);
    SCRIPT_CHECK(cmd->cdb_bytes >= 1 && cmd->cdb_bytes <= SCSI_CDB_MAX_BYTES);
    SCRIPT_CHECK((cmd->length_bytes == 0) == (cmd->dir == SCSI_DIR_NONE));
    scsi_owner_move(&cmd->owner, SCSI_OWNER_FRONT, SCSI_OWNER_LUN);
    lun->submits++;
    memcpy(lun->last_cdb, cmd->cdb, sizeof lun->last_cdb);
    lun->last_cdb_bytes = cmd->cdb_bytes;
    lun->now = lun->plan;
    lun->next_bytes = lun->done_bytes = 0;
    lun->more = lun->finish = lun->complete = lun->aborted = lun->host_ended = false;
    lun->open_bytes = lun->now.hold || lun->now.phase_error ? 0 : wanted_bytes(lun);
    if (lun->now.phase_error && cmd->dir == SCSI_DIR_IN && !lun->now.hold)
        lun->open_bytes = wanted_bytes(lun);
    lun->more = lun->open_bytes > 0;
    deferred_add(lun->deferred, &lun->work);
}

/* The next piece or room, from a slice that nobody has. */
static uint32_t next(struct lun *lun, uint8_t **buf)
{
    uint32_t size = lun->now.piece_bytes ? lun->now.piece_bytes : POOL_SLICE_BYTES;
    uint32_t bytes = least(size, lun->open_bytes - lun->next_bytes);

    SCRIPT_CHECK(!lun->aborted);
    if (bytes == 0 || lun->pieces == FAKE_SLICES)
        return 0;
    unsigned slice = lun->next_slice++ % FAKE_SLICES;
    if (lun->in_use)
        SCRIPT_CHECK(!lun->in_use(lun->in_use_ctx, lun->slice[slice], POOL_SLICE_BYTES));
    lun->piece[lun->pieces].slice = slice;
    lun->piece[lun->pieces].bytes = bytes;
    lun->pieces++;
    *buf = lun->slice[slice];
    if (lun->cmd.dir == SCSI_DIR_IN)
        memcpy(lun->slice[slice], pattern_at(lun->submits, lun->next_bytes), bytes);
    lun->next_bytes += bytes;
    return bytes;
}

/* The oldest piece or room is back. */
static void back(struct lun *lun)
{
    memset(lun->slice[lun->piece[0].slice], POISON, POOL_SLICE_BYTES);
    lun->pieces--;
    memmove(&lun->piece[0], &lun->piece[1], lun->pieces * sizeof lun->piece[0]);
}

uint32_t lun_in_next(struct lun *lun, struct lun_cmd *cmd, uint8_t **piece)
{
    SCRIPT_CHECK(cmd == &lun->cmd && cmd->dir == SCSI_DIR_IN);
    SCRIPT_CHECK(cmd->owner == SCSI_OWNER_LUN || cmd->owner == SCSI_OWNER_REPLY);
    return next(lun, piece);
}

void lun_in_done(struct lun *lun, struct lun_cmd *cmd, uint32_t length_bytes)
{
    SCRIPT_CHECK(cmd == &lun->cmd && !lun->aborted);
    SCRIPT_CHECK(lun->pieces > 0 && lun->piece[0].bytes == length_bytes);
    back(lun);
    lun->done_bytes += length_bytes;
}

uint32_t lun_out_next(struct lun *lun, struct lun_cmd *cmd, uint8_t **room)
{
    SCRIPT_CHECK(cmd == &lun->cmd && cmd->dir == SCSI_DIR_OUT);
    SCRIPT_CHECK(cmd->owner == SCSI_OWNER_LUN && !lun->host_ended);
    return next(lun, room);
}

void lun_out_done(struct lun *lun, struct lun_cmd *cmd, uint32_t arrived_bytes)
{
    SCRIPT_CHECK(cmd == &lun->cmd && cmd->owner == SCSI_OWNER_LUN);
    SCRIPT_CHECK(!lun->aborted && !lun->host_ended);
    SCRIPT_CHECK(lun->pieces > 0 && arrived_bytes <= lun->piece[0].bytes);
    lun->out_dones++;
    lun->host_ended = arrived_bytes < lun->piece[0].bytes;
    if (lun->done_bytes + arrived_bytes <= FAKE_OUT_BYTES)
        memcpy(lun->out + lun->done_bytes, lun->slice[lun->piece[0].slice], arrived_bytes);
    back(lun);
    lun->done_bytes += arrived_bytes;
    lun->more = lun->next_bytes < lun->open_bytes;
    deferred_add(lun->deferred, &lun->work);
}

void lun_abort(struct lun *lun, struct lun_cmd *cmd)
{
    SCRIPT_CHECK(cmd == &lun->cmd && !lun->aborted);
    lun->aborted = true;
    lun->aborts++;
    deferred_cancel(lun->deferred, &lun->work);
    if (cmd->owner == SCSI_OWNER_LUN)
        scsi_owner_move(&cmd->owner, SCSI_OWNER_LUN, SCSI_OWNER_REPLY);
    SCRIPT_CHECK(cmd->owner == SCSI_OWNER_REPLY);
}

void lun_release(struct lun *lun, struct lun_cmd *cmd)
{
    SCRIPT_CHECK(cmd == &lun->cmd && cmd->owner == SCSI_OWNER_REPLY);
    if (lun->in_use)
        SCRIPT_CHECK(!lun->in_use(lun->in_use_ctx, lun->slice, sizeof lun->slice));
    while (lun->pieces > 0)
        back(lun);
    lun->releases++;
    scsi_owner_move(&cmd->owner, SCSI_OWNER_REPLY, SCSI_OWNER_POOL);
    memset(&cmd->outcome, 0xff, sizeof cmd->outcome);
}

void lun_host_reset(struct lun *lun)
{
    lun->host_resets++;
}
