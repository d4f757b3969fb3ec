/* SPDX-License-Identifier: BSD-2-Clause */
#include "lun_internal.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static void segment_done(struct deferred *d);

static struct segment *segment_take(struct lun *lun)
{
    for (unsigned i = 0; i < LUN_SEGMENTS; i++)
        if (lun->segments[i].owner == SCSI_OWNER_POOL)
            return &lun->segments[i];
    return NULL;
}

/* The link that points at `s` in its command's list. */
static struct segment **segment_link(struct cmd *cmd, const struct segment *s)
{
    struct segment **link = &cmd->segments;
    while (*link != s)
        link = &(*link)->next;
    return link;
}

static void segment_attach(struct segment *s, struct cmd *cmd)
{
    struct segment **link = &cmd->segments;
    while (*link && (*link)->offset_bytes < s->offset_bytes)
        link = &(*link)->next;
    s->next = *link;
    *link = s;
    s->cmd = cmd;
}

static void segment_detach(struct segment *s)
{
    *segment_link(s->cmd, s) = s->next;
    s->next = NULL;
    s->cmd = NULL;
}

static bool segment_take_slices(struct segment *s)
{
    struct pool *pool = s->lun->config.pool;
    unsigned need = (s->length_bytes + POOL_SLICE_BYTES - 1) / POOL_SLICE_BYTES;
    if (pool->free_count < need)
        return false;
    for (s->slice_count = 0; s->slice_count < need; s->slice_count++)
        s->slice[s->slice_count] = pool_take(pool, 0);
    return true;
}

/* The command to the target: the host's CDB, or the same with a smaller range. */
static void segment_fill_backend(struct segment *s, const struct cmd *cmd)
{
    struct backend_cmd *b = &s->backend;
    memset(b->cdb, 0, sizeof(b->cdb));
    memcpy(b->cdb, cmd->pub.cdb, sizeof(b->cdb));
    b->cdb_bytes = cmd->op.cdb_bytes;
    b->dir = s->length_bytes ? cmd->pub.dir : SCSI_DIR_NONE;
    b->length_bytes = s->length_bytes;
    s->span = cmd->span;
    if (cmd->op.plain && s->length_bytes < cmd->want_bytes) {
        uint32_t block_bytes = s->lun->disk.block_bytes;
        uint32_t blocks = s->length_bytes / block_bytes;
        s->span.first = cmd->op.lba + s->offset_bytes / block_bytes;
        s->span.end = s->span.first + blocks;
        op_set_range(b->cdb, s->span.first, blocks);
    }
    b->iov_count = (int)s->slice_count;
    uint32_t left = s->length_bytes;
    for (unsigned i = 0; i < s->slice_count; i++) {
        uint32_t part = left < POOL_SLICE_BYTES ? left : POOL_SLICE_BYTES;
        b->iov[i] = (struct iovec){.iov_base = s->slice[i], .iov_len = part};
        left -= part;
    }
    deferred_init(&b->done, segment_done);
}

/* A READ that the host repeats takes over the orphan that still reads it. */
static struct segment *segment_adopt(struct cmd *cmd, const struct segment *wanted)
{
    struct lun *lun = cmd->lun;
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        struct segment *s = &lun->segments[i];
        if (s->owner != SCSI_OWNER_BACKEND || s->cmd || s->backend.dir != SCSI_DIR_IN ||
            s->length_bytes != wanted->length_bytes ||
            memcmp(s->backend.cdb, wanted->backend.cdb, SCSI_CDB_MAX_BYTES) != 0)
            continue;
        order_leave(&lun->order, s->order_slot);
        s->order_slot = ORDER_NONE;
        s->offset_bytes = wanted->offset_bytes;
        lun->stats.adopted++;
        return s;
    }
    return NULL;
}

struct segment *segment_cut(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    struct segment *s = segment_take(lun);
    if (!s)
        return NULL;
    uint32_t left = cmd->want_bytes - cmd->cut_bytes;
    uint32_t most = cmd->op.plain ? lun->config.segment_bytes : LUN_MAX_WHOLE_BYTES;

    s->lun = lun;
    s->offset_bytes = cmd->cut_bytes;
    s->length_bytes = left < most ? left : most;
    s->order_slot = ORDER_NONE;
    s->orphaned_us = 0;
    s->not_before_us = 0;
    s->repeated = false;
    if (!segment_take_slices(s))
        return NULL;
    segment_fill_backend(s, cmd);
    cmd->cut_bytes += s->length_bytes;

    bool out = s->backend.dir == SCSI_DIR_OUT;
    scsi_owner_move(&s->owner, SCSI_OWNER_POOL, out ? SCSI_OWNER_FRONT : SCSI_OWNER_LUN);
    struct segment *orphan =
        cmd->op.plain && s->backend.dir == SCSI_DIR_IN ? segment_adopt(cmd, s) : NULL;
    if (orphan) {
        segment_free(s);
        s = orphan;
    }
    segment_attach(s, cmd);
    return s;
}

void segment_submit(struct segment *s)
{
    struct lun *lun = s->lun;
    struct backend *backend = lun->config.backend;
    if (!lun->accepted || s->not_before_us > lun_now(lun))
        return;
    s->backend.result = BACKEND_DONE;
    s->backend.outcome.status = SCSI_STATUS_CODE_GOOD;
    s->backend.outcome.moved_bytes = 0;
    s->backend.outcome.sense_bytes = 0;
    s->backend.outcome.phase_error = false;
    scsi_owner_move(&s->owner, SCSI_OWNER_LUN, SCSI_OWNER_BACKEND);
    if (backend->ops->submit(backend, &s->backend) != 0) {
        scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
        return;
    }
    lun->stats.outstanding++;
    if (s->cmd->valid_bytes == 0 && s->offset_bytes == 0 && s->backend.dir == SCSI_DIR_OUT &&
        s->length_bytes < s->cmd->want_bytes) {
        lun->stats.last_streamed_write.bytes = s->cmd->want_bytes;
        lun->stats.last_streamed_write.first_to_target_us = lun_now(lun) - s->cmd->submitted_us;
    }
}

void segment_free(struct segment *s)
{
    assert(s->owner != SCSI_OWNER_BACKEND && s->owner != SCSI_OWNER_POOL);
    struct lun *lun = s->lun;
    if (s->cmd)
        segment_detach(s);
    while (s->slice_count > 0)
        pool_give(lun->config.pool, s->slice[--s->slice_count]);
    order_leave(&lun->order, s->order_slot);
    s->order_slot = ORDER_NONE;
    scsi_owner_move(&s->owner, s->owner, SCSI_OWNER_POOL);
    lun_kick(lun);
}

void segment_abandon_all(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    /* The orphans' own spans take over from the command's. */
    order_leave(&lun->order, cmd->order_slot);
    cmd->order_slot = ORDER_NONE;
    struct segment *next;
    for (struct segment *s = cmd->segments; s; s = next) {
        next = s->next;
        if (s->owner == SCSI_OWNER_LUN) {
            segment_free(s);
        } else if (s->owner == SCSI_OWNER_BACKEND) {
            segment_detach(s);
            s->order_slot = order_enter(&lun->order, s->span);
            if (s->orphaned_us == 0) /* an adopted one keeps its age */
                s->orphaned_us = lun_now(lun);
            lun->stats.orphans++;
        }
    }
    lun_kick(lun);
}

struct segment *segment_at(const struct cmd *cmd, uint32_t at_bytes)
{
    for (struct segment *s = cmd->segments; s; s = s->next)
        if (at_bytes >= s->offset_bytes && at_bytes - s->offset_bytes < s->length_bytes)
            return s;
    return NULL;
}

bool segment_any(const struct cmd *cmd, enum scsi_owner owner)
{
    for (const struct segment *s = cmd->segments; s; s = s->next)
        if (s->owner == owner)
            return true;
    return false;
}

unsigned segment_orphans(const struct lun *lun, uint64_t *oldest_us)
{
    unsigned count = 0;
    *oldest_us = LUN_NEVER_US;
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        const struct segment *s = &lun->segments[i];
        if (s->owner != SCSI_OWNER_BACKEND || s->cmd)
            continue;
        count++;
        if (s->orphaned_us < *oldest_us)
            *oldest_us = s->orphaned_us;
    }
    return count;
}

/* The target executed it: the data count. */
static void segment_good(struct segment *s)
{
    struct cmd *cmd = s->cmd;
    struct lun *lun = s->lun;
    uint32_t moved = s->backend.outcome.moved_bytes;

    if (s->backend.dir == SCSI_DIR_IN) {
        if (moved > s->length_bytes)
            moved = s->length_bytes;
        if (moved < s->length_bytes && cmd->op.plain) {
            /* GOOD, but not all the blocks: never pass on what a buffer held before. */
            struct scsi_outcome outcome = {0};
            scsi_outcome_check(&outcome, sense_data_phase_error);
            scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
            cmd_fail(cmd, s->offset_bytes, &outcome);
            return;
        }
        if (!cmd->op.plain)
            cmd->want_bytes = moved;
        s->length_bytes = moved;
        scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_REPLY);
        lun->stats.read_bytes += moved;
        while (cmd->valid_bytes < cmd->want_bytes) {
            const struct segment *at = segment_at(cmd, cmd->valid_bytes);
            if (!at || at->owner != SCSI_OWNER_REPLY)
                break;
            cmd->valid_bytes = at->offset_bytes + at->length_bytes;
        }
        if (cmd->cut_bytes == cmd->want_bytes && cmd->want_bytes > moved &&
            !segment_any(cmd, SCSI_OWNER_BACKEND)) {
            lun->stats.last_streamed_read.last_segment_us = lun_now(lun) - cmd->submitted_us;
        }
        if (moved == 0)
            segment_free(s);
        deferred_add(lun->config.deferred, &cmd->progress);
    } else {
        cmd->valid_bytes += s->length_bytes;
        lun->stats.written_bytes += s->length_bytes;
        scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
        segment_free(s);
        if (cmd->pub.dir == SCSI_DIR_OUT)
            deferred_add(lun->config.deferred, &cmd->progress);
    }
}

/* Not executed, or executed without harm if it happens again: it goes back. The
 * command's deadline goes on. */
static void segment_again(struct segment *s, bool pause)
{
    scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
    s->not_before_us = pause ? lun_now(s->lun) + LUN_RETRY_PAUSE_US : 0;
    s->repeated = true;
    s->lun->stats.retried++;
    lun_kick(s->lun);
}

static void segment_lost(struct segment *s)
{
    struct cmd *cmd = s->cmd;
    if (cmd->op.retry == OP_RETRY_AGAIN && !cmd->failed) {
        segment_again(s, false);
        return;
    }
    struct scsi_outcome outcome = {0};
    scsi_outcome_check(&outcome, sense_nexus_loss);
    scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
    cmd_fail(cmd, s->offset_bytes, &outcome);
}

/* Unit attentions belong to the LUN: the command was not executed and goes
 * again, after a new probe where the disk may have changed. */
static void segment_attention(struct segment *s, struct sense_code sense)
{
    lun_log(s->lun, LUN_LOG_INFO, "unit attention %02X/%02X from the target; %s is sent again",
            sense.asc, sense.ascq, s->cmd->op.name);
    if (sense.asc == 0x28 || sense.asc == 0x2a || sense.asc == 0x3f)
        lun_reprobe(s->lun, "the target announced a change of the disk");
    segment_again(s, s->repeated);
}

static void segment_checked(struct segment *s)
{
    struct cmd *cmd = s->cmd;
    struct scsi_outcome *o = &s->backend.outcome;
    struct sense_code sense;
    sense_parse(o->sense, o->sense_bytes, &sense);
    if (sense.key == SENSE_UNIT_ATTENTION && !cmd->failed) {
        segment_attention(s, sense);
        return;
    }
    if (sense.key == SENSE_RECOVERED_ERROR && !cmd->failed) {
        cmd->recovered = true;
        cmd->pub.outcome = *o;
        segment_good(s);
        return;
    }
    scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
    cmd_fail(cmd, s->offset_bytes, o);
}

/* The back end gives a segment back. */
static void segment_done(struct deferred *d)
{
    struct backend_cmd *b = (struct backend_cmd *)((char *)d - offsetof(struct backend_cmd, done));
    struct segment *s = (struct segment *)((char *)b - offsetof(struct segment, backend));
    struct lun *lun = s->lun;
    struct cmd *cmd = s->cmd;

    lun->stats.outstanding--;
    if (!cmd) {
        scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
        segment_free(s);
        return;
    }
    if (b->result == BACKEND_LOST) {
        segment_lost(s);
    } else {
        switch (b->outcome.status) {
        case SCSI_STATUS_CODE_GOOD:
        case SCSI_STATUS_CODE_CONDITION_MET:
            segment_good(s);
            break;
        case SCSI_STATUS_CODE_CHECK_CONDITION:
            segment_checked(s);
            break;
        case SCSI_STATUS_CODE_BUSY:
        case SCSI_STATUS_CODE_TASK_SET_FULL:
            segment_again(s, true);
            break;
        case SCSI_STATUS_CODE_TASK_ABORTED:
            segment_lost(s);
            break;
        default:
            scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
            cmd_fail(cmd, s->offset_bytes, &b->outcome);
            break;
        }
    }
    cmd_settle(cmd);
}
