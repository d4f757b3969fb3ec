/* SPDX-License-Identifier: BSD-2-Clause */
#include "lun_internal.h"

#include "bytes.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static void segment_done(struct deferred *d);

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

/* The command that was submitted first never waits for another one of this
 * logical unit; so it may take what there is, and others leave it enough. */
static bool cmd_is_first(const struct cmd *cmd)
{
    for (unsigned i = 0; i < LUN_CMDS; i++) {
        const struct cmd *other = &cmd->lun->cmds[i];
        if ((other->state == CMD_QUEUED || other->state == CMD_RUNNING) &&
            other->serial < cmd->serial)
            return false;
    }
    return true;
}

/* A segment with slices for `length_bytes`, in POOL still; or NULL. */
static struct segment *segment_take(const struct cmd *cmd, uint32_t length_bytes)
{
    struct lun *lun = cmd->lun;
    struct pool *pool = lun->config.pool;
    bool first = cmd_is_first(cmd);
    unsigned need = (length_bytes + POOL_SLICE_BYTES - 1) / POOL_SLICE_BYTES;
    unsigned free_segments = 0;
    struct segment *s = NULL;
    for (unsigned i = 0; i < LUN_SEGMENTS && free_segments < 2; i++) {
        if (lun->segments[i].owner != SCSI_OWNER_POOL)
            continue;
        s = &lun->segments[i];
        free_segments++;
    }
    if (free_segments < (first ? 1 : 2) ||
        pool->free_count < need + (first || need == 0 ? 0 : BACKEND_IOV_MAX))
        return NULL;
    s->length_bytes = length_bytes;
    for (s->slice_count = 0; s->slice_count < need; s->slice_count++)
        s->slice[s->slice_count] = pool_take(pool);
    return s;
}

/* CDB and span of the next `length_bytes` of a command: its own, or the same
 * with a smaller range. */
static struct order_span next_range(const struct cmd *cmd, uint32_t length_bytes,
                                    uint8_t cdb[SCSI_CDB_MAX_BYTES])
{
    struct order_span span = cmd->span;
    memcpy(cdb, cmd->pub.cdb, SCSI_CDB_MAX_BYTES);
    if (cmd->op.plain && length_bytes < cmd->want_bytes) {
        uint32_t block_bytes = cmd->lun->disk.block_bytes;
        uint32_t blocks = length_bytes / block_bytes;
        span.first = cmd->op.lba + cmd->cut_bytes / block_bytes;
        span.end = span.first + blocks;
        op_set_range(cdb, span.first, blocks);
    }
    return span;
}

static void fill_iov(struct segment *s)
{
    struct backend_cmd *b = &s->backend;
    uint32_t left = s->length_bytes;
    b->length_bytes = s->length_bytes;
    b->iov_count = (int)s->slice_count;
    for (unsigned i = 0; i < s->slice_count; i++) {
        uint32_t part = left < POOL_SLICE_BYTES ? left : POOL_SLICE_BYTES;
        b->iov[i] = (struct iovec){.iov_base = s->slice[i], .iov_len = part};
        left -= part;
    }
}

/* A READ or flush that the host repeats takes over the orphan that is still at it;
 * no write reached the target behind a flush that is there. */
static struct segment *segment_adopt(struct lun *lun, const uint8_t *cdb, uint32_t length_bytes)
{
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        struct segment *s = &lun->segments[i];
        if (s->owner != SCSI_OWNER_BACKEND || s->cmd || !s->adoptable ||
            s->length_bytes != length_bytes || memcmp(s->backend.cdb, cdb, SCSI_CDB_MAX_BYTES) != 0)
            continue;
        order_leave(&lun->order, s->order_slot);
        s->order_slot = ORDER_NONE;
        lun->stats.adopted++;
        return s;
    }
    return NULL;
}

static struct segment *segment_make(const struct cmd *cmd, const uint8_t *cdb,
                                    uint32_t length_bytes)
{
    struct segment *s = segment_take(cmd, length_bytes);
    if (!s)
        return NULL;
    struct backend_cmd *b = &s->backend;
    bool out = length_bytes > 0 && cmd->pub.dir == SCSI_DIR_OUT;
    memcpy(b->cdb, cdb, sizeof(b->cdb));
    b->cdb_bytes = cmd->op.cdb_bytes;
    b->dir = length_bytes > 0 ? cmd->pub.dir : SCSI_DIR_NONE;
    fill_iov(s);
    deferred_init(&b->done, segment_done);
    s->order_slot = ORDER_NONE;
    s->orphaned_us = 0;
    s->not_before_us = 0;
    s->repeated = false;
    scsi_owner_move(&s->owner, SCSI_OWNER_POOL, out ? SCSI_OWNER_FRONT : SCSI_OWNER_LUN);
    return s;
}

static bool may_be_adopted(const struct cmd *cmd)
{
    return cmd->op.flush || (cmd->op.plain && cmd->pub.dir == SCSI_DIR_IN);
}

/* MAXIMUM TRANSFER LENGTH, SBC-3 6.6.3; 0: none. */
static uint32_t target_most_blocks(const struct disk_identity *disk)
{
    const struct disk_vpd *limits = disk_vpd_find(disk, 0xb0);
    return limits && limits->bytes >= 12 ? get_be32(limits->data + 8) : 0;
}

uint32_t segment_most_bytes(const struct cmd *cmd)
{
    const struct lun *lun = cmd->lun;
    uint32_t segment_bytes = lun->config.segment_bytes;
    if (!cmd->op.plain)
        return LUN_MAX_WHOLE_BYTES;
    if (!lun->config.whole_reads || cmd->pub.dir != SCSI_DIR_IN)
        return segment_bytes;
    uint32_t most = LUN_MAX_WHOLE_BYTES, blocks = target_most_blocks(&lun->disk);
    if (blocks > 0 && blocks < most / lun->disk.block_bytes)
        most = blocks * lun->disk.block_bytes;
    return most < segment_bytes ? segment_bytes : most - most % segment_bytes;
}

struct segment *segment_cut(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint32_t left = cmd->want_bytes - cmd->cut_bytes;
    uint32_t most = segment_most_bytes(cmd);
    uint32_t length_bytes = left < most ? left : most;
    struct order_span span = next_range(cmd, length_bytes, cdb);

    struct segment *s = NULL;
    if (may_be_adopted(cmd) && (length_bytes > 0 || cmd->op.flush))
        s = segment_adopt(lun, cdb, length_bytes);
    if (!s)
        s = segment_make(cmd, cdb, length_bytes);
    if (!s)
        return NULL;
    s->offset_bytes = cmd->cut_bytes;
    s->span = span;
    cmd->cut_bytes += length_bytes;
    segment_attach(s, cmd);
    return s;
}

/* What the target held there is not what it will hold. */
static void forget_what_it_writes(struct segment *s)
{
    struct continuity *c = &s->lun->continuity;
    const struct op *op = &s->cmd->op;
    if (!op->writes)
        return;
    if (op->plain)
        continuity_forget(c, s->span.first, s->span.end);
    else if (op->ranged)
        continuity_forget(c, op->lba,
                          op->lba > UINT64_MAX - op->blocks ? UINT64_MAX : op->lba + op->blocks);
    else if (s->backend.cdb[0] == OP_UNMAP && s->slice_count > 0)
        continuity_forget_unmapped(c, s->slice[0], s->length_bytes);
    else
        continuity_forget(c, 0, UINT64_MAX);
}

void segment_submit(struct segment *s)
{
    struct lun *lun = s->lun;
    struct backend *backend = lun->config.backend;
    if (!lun->accepted || s->not_before_us != 0)
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
    forget_what_it_writes(s);
    lun->stats.outstanding++;
    if (s->backend.dir == SCSI_DIR_OUT && s->cmd->first_us == 0)
        s->cmd->first_us = lun_now(lun);
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
            assert(s->order_slot != ORDER_NONE); /* it had its place within the command's */
            s->adoptable = may_be_adopted(cmd);
            s->patient = cmd->op.flush || (cmd->op.writes && !cmd->op.plain);
            if (s->orphaned_us == 0) /* an adopted one keeps its age */
                s->orphaned_us = lun_now(lun);
            lun->stats.orphans++;
        }
    }
    lun_kick(lun);
}

void segment_disown_orphans(struct lun *lun)
{
    for (unsigned i = 0; i < LUN_SEGMENTS; i++)
        lun->segments[i].adoptable = false;
}

struct segment *segment_at(const struct cmd *cmd, uint32_t at_bytes)
{
    for (struct segment *s = cmd->segments; s; s = s->next)
        if (at_bytes >= s->offset_bytes && at_bytes - s->offset_bytes < s->length_bytes)
            return s;
    return NULL;
}

bool segment_at_backend(const struct cmd *cmd)
{
    for (const struct segment *s = cmd->segments; s; s = s->next)
        if (s->owner == SCSI_OWNER_BACKEND)
            return true;
    return false;
}

uint64_t segment_orphans_until_us(const struct lun *lun)
{
    unsigned count = 0, slices = 0;
    uint64_t until_us = LUN_NEVER_US;
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        const struct segment *s = &lun->segments[i];
        if (s->owner != SCSI_OWNER_BACKEND || s->cmd)
            continue;
        count++;
        slices += s->slice_count;
        uint64_t age_us = s->patient ? LUN_ORPHAN_PATIENT_AGE_US : LUN_ORPHAN_AGE_US;
        if (s->orphaned_us + age_us < until_us)
            until_us = s->orphaned_us + age_us;
    }
    return count > LUN_ORPHANS_MAX || slices > LUN_ORPHAN_SLICES_MAX ? 0 : until_us;
}

/* The command fails here, with the target's outcome or one of ours. */
static void segment_fail(struct segment *s, const struct scsi_outcome *outcome)
{
    scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
    cmd_fail(s->cmd, s->offset_bytes, outcome);
}

static void segment_fail_code(struct segment *s, struct sense_code code)
{
    struct scsi_outcome outcome = {0};
    scsi_outcome_check(&outcome, code);
    segment_fail(s, &outcome);
}

/* The watermark: up to where all segments brought their data. */
static uint32_t arrived_bytes(const struct cmd *cmd)
{
    for (const struct segment *s = cmd->segments; s; s = s->next)
        if (s->owner != SCSI_OWNER_REPLY)
            return s->offset_bytes;
    return cmd->cut_bytes;
}

/* Whether the target's cache may hold what the host knows as written. */
static void note_cache(struct segment *s)
{
    struct lun *lun = s->lun;
    const struct op *op = &s->cmd->op;
    const uint8_t *cdb = s->backend.cdb;
    bool fua = op->plain && op->cdb_bytes > 6 && (cdb[1] & 0x08);
    if (op->writes && !fua)
        lun->unflushed |= lun->disk.has_caching_page && (lun->disk.caching_page[2] & 0x04);
    if (!op->flush)
        return;
    for (unsigned i = 1; i < op->cdb_bytes; i++)
        if (cdb[i] != 0) /* a part of it only, or done later */
            return;
    lun->unflushed = false;
}

/* The target executed it: the data count. */
static void segment_good(struct segment *s)
{
    struct cmd *cmd = s->cmd;
    struct lun *lun = s->lun;
    const struct scsi_outcome *o = &s->backend.outcome;
    bool in = s->backend.dir == SCSI_DIR_IN;
    uint32_t moved = o->moved_bytes < s->length_bytes ? o->moved_bytes : s->length_bytes;

    if (cmd->op.plain && (moved < s->length_bytes || o->phase_error)) {
        /* Not the blocks that were asked for: what the buffer held before is never
         * passed on, and what was not written is never called so. */
        segment_fail_code(s, sense_data_phase_error);
        return;
    }
    if (!cmd->failed && (o->status != SCSI_STATUS_CODE_GOOD || o->phase_error))
        cmd->pub.outcome = *o;
    if (!cmd->op.plain) {
        s->length_bytes = cmd->cut_bytes = cmd->want_bytes = moved;
        if (cmd->op.length == OP_LENGTH_ALLOC) /* the shorter of both holds */
            cmd->pub.outcome.phase_error = false;
        else if (cmd->op.length != OP_LENGTH_HOST && s->backend.length_bytes < cmd->op.length_bytes)
            cmd->pub.outcome.phase_error = true; /* BOT case 13 */
    }
    note_cache(s);
    if (cmd->op.plain && !in && lun->disk.block_bytes <= moved)
        continuity_remember(&lun->continuity, s->span.first, s->slice[0], lun->disk.block_bytes);
    *(in ? &lun->stats.read_bytes : &lun->stats.written_bytes) += moved;
    scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, in ? SCSI_OWNER_REPLY : SCSI_OWNER_LUN);
    if (!in || moved == 0)
        segment_free(s);
    cmd->valid_bytes = arrived_bytes(cmd);
    deadline_extend(cmd);
    if (in && cmd->valid_bytes == cmd->want_bytes)
        cmd->last_us = lun_now(lun);
    if (cmd->want_bytes > 0)
        deferred_add(lun->config.deferred, &cmd->progress);
    if (cmd->pub.cdb[0] == OP_MODE_SELECT_6 || cmd->pub.cdb[0] == OP_MODE_SELECT_10)
        lun_reprobe(lun, "the host changed mode pages");
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
    if (s->cmd->op.retry == OP_RETRY_AGAIN || s->cmd->failed)
        segment_again(s, false);
    else
        segment_fail_code(s, sense_nexus_loss);
}

/* Unit attentions belong to the LUN, whatever command they hit, an orphan, too:
 * it was not executed, and where the disk may have changed it is probed. */
static bool took_attention(struct segment *s)
{
    const struct scsi_outcome *o = &s->backend.outcome;
    struct sense_code sense;
    if (s->backend.result != BACKEND_DONE || o->status != SCSI_STATUS_CODE_CHECK_CONDITION ||
        !sense_parse(o->sense, o->sense_bytes, &sense) || sense.key != SENSE_UNIT_ATTENTION)
        return false;
    lun_log(s->lun, LUN_LOG_INFO, "unit attention %02X/%02X from the target", sense.asc,
            sense.ascq);
    if (sense.asc == 0x28 || sense.asc == 0x2a || sense.asc == 0x3f)
        lun_reprobe(s->lun, "the target announced a change of the disk");
    return true;
}

static void segment_checked(struct segment *s)
{
    const struct scsi_outcome *o = &s->backend.outcome;
    struct sense_code sense;
    bool current =
        sense_parse(o->sense, o->sense_bytes, &sense) && !sense_deferred(o->sense, o->sense_bytes);
    if (current && sense.key == SENSE_RECOVERED_ERROR)
        segment_good(s);
    else
        segment_fail(s, o);
}

/* What the target answered, other than a unit attention. */
static void segment_answered(struct segment *s)
{
    switch (s->backend.outcome.status) {
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
        segment_fail(s, &s->backend.outcome);
        break;
    }
}

/* The back end gives a segment back. */
static void segment_done(struct deferred *d)
{
    struct backend_cmd *b = (struct backend_cmd *)((char *)d - offsetof(struct backend_cmd, done));
    struct segment *s = (struct segment *)((char *)b - offsetof(struct segment, backend));
    struct cmd *cmd = s->cmd;

    s->lun->stats.outstanding--;
    if (b->result == BACKEND_DONE)
        s->lun->silent = false;
    bool attention = took_attention(s);
    if (!cmd) {
        scsi_owner_move(&s->owner, SCSI_OWNER_BACKEND, SCSI_OWNER_LUN);
        segment_free(s);
        return;
    }
    if (attention)
        segment_again(s, s->repeated);
    else if (b->result == BACKEND_LOST)
        segment_lost(s);
    else
        segment_answered(s);
    cmd_settle(cmd);
}
