/* SPDX-License-Identifier: BSD-2-Clause */
#include "lun_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cmd *cmd_of(struct lun_cmd *pub)
{
    return (struct cmd *)pub;
}

uint64_t lun_now(const struct lun *lun)
{
    return lun->config.now_us();
}

void lun_log(struct lun *lun, enum lun_log_level level, const char *format, ...)
{
    if (!lun->config.log)
        return;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    lun->config.log(level, text);
}

void lun_kick(struct lun *lun)
{
    deferred_add(lun->config.deferred, &lun->kick);
}

/* ---- the outcome ---- */

static void cmd_end(struct cmd *cmd)
{
    cmd->state = CMD_ENDING;
    deferred_cancel(cmd->lun->config.deferred, &cmd->progress);
    deferred_add(cmd->lun->config.deferred, &cmd->finish);
}

void cmd_fail(struct cmd *cmd, uint32_t at_bytes, const struct scsi_outcome *outcome)
{
    if (cmd->failed && cmd->failed_at <= at_bytes)
        return;
    cmd->failed = true;
    cmd->failed_at = at_bytes;
    cmd->pub.outcome = *outcome;
}

static void free_waiting_segments(struct cmd *cmd)
{
    struct segment *next;
    for (struct segment *s = cmd->segments; s; s = next) {
        next = s->next;
        if (s->owner != SCSI_OWNER_LUN)
            continue;
        if (s->offset_bytes < cmd->failed_at)
            cmd->failed_at = s->offset_bytes;
        segment_free(s);
    }
}

void cmd_settle(struct cmd *cmd)
{
    if (cmd->state != CMD_RUNNING)
        return;
    if (cmd->failed) {
        free_waiting_segments(cmd);
        if (!segment_at_backend(cmd))
            cmd_end(cmd);
        return;
    }
    bool waits = cmd->want_bytes == 0 && cmd->segments;
    if (cmd->valid_bytes == cmd->want_bytes && !waits)
        cmd_end(cmd);
}

static void cmd_refuse(struct cmd *cmd, struct sense_code sense)
{
    scsi_outcome_check(&cmd->pub.outcome, sense);
    cmd->failed = true;
    cmd->failed_at = 0;
    cmd_end(cmd);
}

/* A failure that was there before stays the outcome. */
static void cmd_give_up(struct cmd *cmd, struct sense_code sense)
{
    segment_abandon_all(cmd);
    if (!cmd->failed) {
        cmd->failed = true;
        cmd->failed_at = cmd->valid_bytes;
        scsi_outcome_check(&cmd->pub.outcome, sense);
    }
    cmd_end(cmd);
}

static void cmd_expire(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    if (deadline_target_answers(lun))
        lun_log(lun, LUN_LOG_WARNING, "%s is not answered in time: the host is told NOT READY",
                cmd->op.name);
    lun->silent = true;
    lun->stats.answered_late++;
    cmd_give_up(cmd, sense_becoming_ready);
}

static uint32_t moved_bytes(const struct cmd *cmd)
{
    return cmd->failed && cmd->failed_at < cmd->valid_bytes ? cmd->failed_at : cmd->valid_bytes;
}

/* For the REQUEST SENSE of a host that sees success or failure only (BOT): a
 * status without sense gets the code that tells of it. */
static void keep_sense(struct lun *lun, const struct scsi_outcome *o)
{
    if (o->phase_error || o->status == SCSI_STATUS_CODE_GOOD ||
        o->status == SCSI_STATUS_CODE_CONDITION_MET)
        return;
    lun->sense_kept = true;
    if (o->status == SCSI_STATUS_CODE_CHECK_CONDITION) {
        lun->stats.check_conditions++;
        lun->kept_sense = *o;
        if (lun->config.cdrom && lun->have_disk)
            cdrom_adjust_sense(&lun->disk, &lun->kept_sense);
    } else if (o->status == SCSI_STATUS_CODE_RESERVATION_CONFLICT) {
        scsi_outcome_check(&lun->kept_sense, sense_reservation_conflict);
    } else {
        scsi_outcome_check(&lun->kept_sense, sense_internal_failure);
    }
}

static void cmd_finish(struct deferred *d)
{
    struct cmd *cmd = (struct cmd *)((char *)d - offsetof(struct cmd, finish));
    struct lun *lun = cmd->lun;
    struct scsi_outcome *o = &cmd->pub.outcome;

    o->moved_bytes = moved_bytes(cmd);
    order_leave(&lun->order, cmd->order_slot);
    cmd->order_slot = ORDER_NONE;
    keep_sense(lun, o);
    uint64_t latency_us = lun_now(lun) - cmd->submitted_us;
    lun->stats.commands++;
    lun->stats.latency_us_sum += latency_us;
    if (latency_us > lun->stats.latency_us_max)
        lun->stats.latency_us_max = latency_us;

    cmd->state = CMD_REPLY;
    scsi_owner_move(&cmd->pub.owner, SCSI_OWNER_LUN, SCSI_OWNER_REPLY);
    lun_kick(lun);
    cmd->ops->complete(&cmd->pub);
}

static void cmd_progress(struct deferred *d)
{
    struct cmd *cmd = (struct cmd *)((char *)d - offsetof(struct cmd, progress));
    cmd->ops->progress(&cmd->pub);
}

/* ---- submission ---- */

/* The device's length and direction against the host's (BOT 6.7). False: the
 * two disagree, cases 2, 3, 7, 8, 10 and 13. */
static bool cmd_agree(struct cmd *cmd)
{
    const struct op *op = &cmd->op;
    uint32_t host_bytes = cmd->pub.dir == SCSI_DIR_NONE ? 0 : cmd->pub.length_bytes;
    enum scsi_dir host_dir = host_bytes ? cmd->pub.dir : SCSI_DIR_NONE;

    switch (op->length) {
    case OP_LENGTH_NONE:
        cmd->want_bytes = 0;
        return true;
    case OP_LENGTH_HOST:
        cmd->want_bytes = host_bytes;
        return true;
    case OP_LENGTH_ALLOC:
        /* An allocation length is a limit: the shorter of both holds. */
        cmd->want_bytes = op->length_bytes < host_bytes ? (uint32_t)op->length_bytes : host_bytes;
        return host_dir != SCSI_DIR_OUT || op->length_bytes == 0;
    case OP_LENGTH_BLOCKS:
    case OP_LENGTH_PARAM:
        if (op->length_bytes == 0) {
            cmd->want_bytes = 0;
            return true;
        }
        /* What goes whole goes as the host declared it: the target judges. */
        cmd->want_bytes = op->plain ? (uint32_t)op->length_bytes : host_bytes;
        return host_dir == op->dir && (!op->plain || op->length_bytes <= host_bytes);
    }
    return false;
}

static struct order_span cmd_span(const struct cmd *cmd)
{
    static const struct order_span nothing = {0, 0, false};
    static const struct order_span alone = {0, UINT64_MAX, true};
    static const struct order_span after_writes = {0, UINT64_MAX, false};
    const struct op *op = &cmd->op;
    if (op->flush)
        return after_writes;
    if (op->plain || (op->read_only && op->ranged)) {
        uint64_t end = op->lba > UINT64_MAX - op->blocks ? UINT64_MAX : op->lba + op->blocks;
        return (struct order_span){op->lba, end, op->writes};
    }
    return op->read_only ? nothing : alone;
}

/* A unit attention is reported once, and kept sense ends with the next command;
 * but neither by these (SAM-5 5.14). REQUEST SENSE brings the attention as its
 * data when no sense is kept (SPC-4 6.39). */
static bool passes_attention(struct lun *lun, uint8_t opcode)
{
    if (opcode == OP_REQUEST_SENSE && !lun->sense_kept &&
        lun->unit_attention.key != SENSE_NO_SENSE) {
        scsi_outcome_check(&lun->kept_sense, lun->unit_attention);
        lun->sense_kept = true;
        lun->unit_attention = sense_none;
    }
    return opcode == OP_INQUIRY || opcode == OP_REPORT_LUNS || opcode == OP_REQUEST_SENSE ||
           (lun->config.cdrom && cdrom_passes_attention(opcode));
}

/* True: cmd->reply is the answer. */
static bool cmd_ask_locally(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    const struct local_view view = {
        .disk = lun_disk(lun),
        .medium = lun->medium == MEDIUM_IN,
        .removable = lun->config.removable,
        .read_only = lun->config.read_only,
        .luns = lun->config.cable ? lun->config.cable->luns : 1,
        .kept_sense = lun->sense_kept ? &lun->kept_sense : NULL,
    };
    if (cmd->pub.cdb[0] == OP_START_STOP_UNIT) {
        cmd->reply.bytes = 0;
        cmd->reply.sense = medium_start_stop(lun, cmd->pub.cdb);
    } else if (lun->config.cdrom) {
        if (cmd->op.plain)
            return false;
        cdrom_answer(&lun->cdrom, &view, cmd->pub.cdb, &cmd->reply);
    } else if (!local_answer(&view, cmd->pub.cdb, &cmd->reply)) {
        return false;
    }
    if (cmd->pub.cdb[0] == OP_REQUEST_SENSE)
        lun->sense_kept = false;
    if (sense_code_equal(cmd->reply.sense, sense_no_medium))
        lun->told_no_medium = true;
    lun->stats.local_answers++;
    return true;
}

static void cmd_reply(struct cmd *cmd)
{
    cmd->local = true;
    if (cmd->want_bytes > cmd->reply.bytes)
        cmd->want_bytes = cmd->reply.bytes;
    cmd->valid_bytes = cmd->want_bytes;
    cmd_end(cmd);
}

/* What the target has to do. */
static void cmd_queue(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    if (cmd->op.writes)
        lun->written_us = lun_now(lun);
    /* Beyond the end the target shall say so itself, to the whole command. */
    uint64_t blocks = lun->disk.blocks;
    bool inside = cmd->op.blocks <= blocks && cmd->op.lba <= blocks - cmd->op.blocks;
    if (!inside)
        cmd->op.plain = false;
    if (!cmd->op.plain && cmd->want_bytes > LUN_MAX_WHOLE_BYTES) {
        cmd_refuse(cmd, inside ? sense_invalid_field : sense_lba_out_of_range);
        return;
    }
    if (deadline_hopeless(cmd)) {
        lun->stats.answered_late++;
        cmd_refuse(cmd, sense_becoming_ready);
        return;
    }
    if (!cmd->op.plain)
        lun->stats.passed_through++;
    cmd->span = cmd_span(cmd);
    if (cmd->want_bytes > 0 && cmd->pub.dir == SCSI_DIR_OUT)
        deferred_add(lun->config.deferred, &cmd->progress);
    lun_kick(lun);
}

/* What can be said at once is; otherwise the command is queued. A refusal moves
 * no data, so it comes before a disagreement on them (BOT cases 1, 4 and 9). */
static void cmd_begin(struct cmd *cmd)
{
    struct lun *lun = cmd->lun;
    bool agreed = cmd_agree(cmd);
    if (!passes_attention(lun, cmd->pub.cdb[0])) {
        lun->sense_kept = false;
        if (lun->unit_attention.key != SENSE_NO_SENSE) {
            cmd_refuse(cmd, lun->unit_attention);
            lun->unit_attention = sense_none;
            return;
        }
    }
    bool local = cmd_ask_locally(cmd);
    if (local && cmd->reply.sense.key != SENSE_NO_SENSE) {
        cmd_refuse(cmd, cmd->reply.sense);
    } else if (!agreed) {
        cmd->pub.outcome.phase_error = true;
        cmd_end(cmd);
    } else if (local) {
        cmd_reply(cmd);
    } else if (cmd->op.writes && cmd->pub.dir != SCSI_DIR_IN && lun->config.read_only) {
        cmd_refuse(cmd, sense_write_protected);
    } else if (cmd->op.flush && lun->writes_lost) {
        lun->writes_lost = false;
        cmd_refuse(cmd, sense_writes_lost);
    } else {
        cmd_queue(cmd);
    }
}

/* A number of the unit in the CDB is none to the target: in the same place it would
 * ask for protection information, which only a disk that has it understands. */
static void forget_number(struct cmd *cmd)
{
    enum { PROT_EN = 1 }; /* READ CAPACITY(16) data, byte 12 */
    const struct lun *lun = cmd->lun;
    const struct cable *cable = lun->config.cable;
    if (cable && cable->host->lun_in_cdb && !(lun->disk.capacity16[12] & PROT_EN))
        op_forget_number(cmd->pub.cdb, lun->config.number);
}

void lun_submit(struct lun *lun, struct lun_cmd *pub)
{
    struct cmd *cmd = cmd_of(pub);
    assert(cmd->state == CMD_TAKEN);
    scsi_owner_move(&pub->owner, SCSI_OWNER_FRONT, SCSI_OWNER_LUN);
    cmd->state = CMD_QUEUED;
    cmd->serial = lun->next_serial++;
    cmd->submitted_us = lun_now(lun);
    deadline_start(cmd);
    forget_number(cmd);
    if (lun->config.cdrom)
        cdrom_decode(lun->medium == MEDIUM_IN ? lun_disk(lun) : NULL, pub->cdb, &pub->cdb_bytes,
                     &cmd->op);
    else
        op_decode(pub->cdb, pub->cdb_bytes, lun->have_disk ? lun->disk.block_bytes : 512, &cmd->op);
    cmd_begin(cmd);
}

/* ---- the queue ---- */

/* A queued command does not overtake an earlier one that conflicts with it. */
static bool cmd_would_overtake(const struct cmd *cmd)
{
    const struct lun *lun = cmd->lun;
    for (unsigned i = 0; i < LUN_CMDS; i++) {
        const struct cmd *other = &lun->cmds[i];
        if (other->state == CMD_QUEUED && other->serial < cmd->serial &&
            order_overlap(other->span, cmd->span))
            return true;
    }
    return false;
}

static void cmd_run(struct cmd *cmd)
{
    if (cmd->state == CMD_QUEUED && !cmd_would_overtake(cmd)) {
        cmd->order_slot = order_enter(&cmd->lun->order, cmd->span);
        if (cmd->order_slot != ORDER_NONE) {
            cmd->state = CMD_RUNNING;
            if (cmd->want_bytes == 0 && !segment_cut(cmd)) {
                /* No segment free: back into the queue until one is. */
                order_leave(&cmd->lun->order, cmd->order_slot);
                cmd->order_slot = ORDER_NONE;
                cmd->state = CMD_QUEUED;
            }
        }
    }
    if (cmd->state != CMD_RUNNING || cmd->failed)
        return;
    if (cmd->pub.dir == SCSI_DIR_IN)
        while (cmd->cut_bytes < cmd->want_bytes && segment_cut(cmd)) {
        }
    for (struct segment *s = cmd->segments; s; s = s->next)
        if (s->owner == SCSI_OWNER_LUN)
            segment_submit(s);
}

/* Everything that waits is looked at again, in the order of submission. */
static void lun_run(struct deferred *d)
{
    struct lun *lun = (struct lun *)((char *)d - offsetof(struct lun, kick));
    uint64_t after = 0;
    for (;;) {
        struct cmd *next = NULL;
        for (unsigned i = 0; i < LUN_CMDS; i++) {
            struct cmd *cmd = &lun->cmds[i];
            if ((cmd->state == CMD_QUEUED || cmd->state == CMD_RUNNING) && cmd->serial >= after &&
                (!next || cmd->serial < next->serial))
                next = cmd;
        }
        if (!next)
            return;
        after = next->serial + 1;
        cmd_run(next);
        bool wants_out = next->pub.dir == SCSI_DIR_OUT && next->cut_bytes < next->want_bytes;
        if (wants_out && (next->state == CMD_QUEUED || next->state == CMD_RUNNING))
            deferred_add(lun->config.deferred, &next->progress);
    }
}

/* ---- data ---- */

/* The part of a segment's slices from `at_bytes` of the command on. */
static uint32_t piece_at(const struct segment *s, uint32_t at_bytes, uint8_t **piece)
{
    uint32_t in_segment = at_bytes - s->offset_bytes;
    uint32_t in_slice = in_segment % POOL_SLICE_BYTES;
    uint32_t left = s->length_bytes - in_segment;
    *piece = s->slice[in_segment / POOL_SLICE_BYTES] + in_slice;
    return left < POOL_SLICE_BYTES - in_slice ? left : POOL_SLICE_BYTES - in_slice;
}

uint32_t lun_in_next(struct lun *lun, struct lun_cmd *pub, uint8_t **piece)
{
    struct cmd *cmd = cmd_of(pub);
    assert(pub->owner == SCSI_OWNER_LUN || pub->owner == SCSI_OWNER_REPLY);
    if (cmd->next_bytes >= moved_bytes(cmd))
        return 0;
    uint32_t length = moved_bytes(cmd) - cmd->next_bytes;
    if (cmd->local)
        *piece = cmd->reply.data + cmd->next_bytes;
    else
        length = piece_at(segment_at(cmd, cmd->next_bytes), cmd->next_bytes, piece);
    if (cmd->next_bytes == 0)
        cmd->first_us = lun_now(lun);
    deadline_pause(cmd);
    cmd->next_bytes += length;
    return length;
}

void lun_in_done(struct lun *lun, struct lun_cmd *pub, uint32_t length_bytes)
{
    struct cmd *cmd = cmd_of(pub);
    assert(length_bytes <= cmd->next_bytes - cmd->done_bytes);
    (void)lun;
    cmd->done_bytes += length_bytes;
    deadline_resume(cmd);
    struct segment *s;
    while ((s = cmd->segments) && s->owner == SCSI_OWNER_REPLY &&
           s->offset_bytes + s->length_bytes <= cmd->done_bytes)
        segment_free(s);
}

uint32_t lun_out_next(struct lun *lun, struct lun_cmd *pub, uint8_t **room)
{
    struct cmd *cmd = cmd_of(pub);
    (void)lun;
    bool open = cmd->state == CMD_QUEUED || cmd->state == CMD_RUNNING;
    if (!open || cmd->failed || cmd->pub.dir != SCSI_DIR_OUT || cmd->next_bytes >= cmd->want_bytes)
        return 0;
    if (cmd->next_bytes == cmd->cut_bytes && !segment_cut(cmd))
        return 0;
    const struct segment *s = segment_at(cmd, cmd->next_bytes);
    uint32_t length = piece_at(s, cmd->next_bytes, room);
    deadline_pause(cmd);
    cmd->next_bytes += length;
    return length;
}

/* Segments whose last byte came in are ready for the target. */
static void out_arrived(struct cmd *cmd)
{
    for (struct segment *s = cmd->segments; s; s = s->next)
        if (s->owner == SCSI_OWNER_FRONT && s->offset_bytes + s->length_bytes <= cmd->done_bytes)
            scsi_owner_move(&s->owner, SCSI_OWNER_FRONT, SCSI_OWNER_LUN);
    if (cmd->done_bytes == cmd->want_bytes)
        cmd->last_us = lun_now(cmd->lun);
}

void lun_out_done(struct lun *lun, struct lun_cmd *pub, uint32_t arrived_bytes)
{
    struct cmd *cmd = cmd_of(pub);
    uint8_t *room;
    if (cmd->state != CMD_QUEUED && cmd->state != CMD_RUNNING)
        return; /* ended meanwhile: the rooms wait for lun_release() */
    const struct segment *s = segment_at(cmd, cmd->done_bytes);
    assert(s && cmd->done_bytes < cmd->next_bytes);
    uint32_t length = piece_at(s, cmd->done_bytes, &room);
    assert(arrived_bytes <= length);
    cmd->done_bytes += arrived_bytes;
    deadline_resume(cmd);
    out_arrived(cmd);
    if (arrived_bytes < length) {
        struct scsi_outcome outcome = {0};
        scsi_outcome_check(&outcome, sense_data_phase_error);
        cmd_fail(cmd, cmd->done_bytes, &outcome);
        if (cmd->state == CMD_QUEUED)
            cmd_end(cmd);
        else
            cmd_settle(cmd);
        return;
    }
    lun_kick(lun);
}

/* ---- taking, aborting, releasing ---- */

void lun_raise_attention(struct lun *lun, struct sense_code code)
{
    if (lun->config.attention_off)
        return;
    if (!sense_code_equal(lun->unit_attention, sense_medium_changed))
        lun->unit_attention = code;
    if (sense_code_equal(code, sense_medium_changed))
        lun->cdrom.changed = true;
}

/* A unit attention on its way to the host that was stopped there is due again. */
static void raise_again(struct lun *lun, const uint8_t *sense, size_t bytes)
{
    struct sense_code code;
    if (sense_parse(sense, bytes, &code) && code.key == SENSE_UNIT_ATTENTION)
        lun_raise_attention(lun, code);
}

struct lun_cmd *lun_cmd_take(struct lun *lun, const struct frontend_ops *ops)
{
    for (unsigned i = 0; i < LUN_CMDS; i++) {
        struct cmd *cmd = &lun->cmds[i];
        if (cmd->state != CMD_FREE)
            continue;
        memset(cmd->pub.cdb, 0, sizeof(cmd->pub.cdb));
        cmd->pub.outcome.status = SCSI_STATUS_CODE_GOOD;
        cmd->pub.outcome.phase_error = false;
        cmd->pub.outcome.moved_bytes = 0;
        cmd->pub.outcome.sense_bytes = 0;
        cmd->ops = ops;
        cmd->state = CMD_TAKEN;
        cmd->order_slot = ORDER_NONE;
        cmd->span = (struct order_span){0, 0, false};
        cmd->segments = NULL;
        cmd->want_bytes = cmd->cut_bytes = cmd->valid_bytes = 0;
        cmd->next_bytes = cmd->done_bytes = cmd->failed_at = 0;
        cmd->failed = cmd->local = false;
        cmd->first_us = cmd->last_us = 0;
        scsi_owner_move(&cmd->pub.owner, SCSI_OWNER_POOL, SCSI_OWNER_FRONT);
        return &cmd->pub;
    }
    return NULL;
}

void lun_abort(struct lun *lun, struct lun_cmd *pub)
{
    struct cmd *cmd = cmd_of(pub);
    deferred_cancel(lun->config.deferred, &cmd->progress);
    deferred_cancel(lun->config.deferred, &cmd->finish);
    if (pub->cdb[0] == OP_REQUEST_SENSE && cmd->local && cmd->done_bytes < cmd->valid_bytes)
        raise_again(lun, cmd->reply.data, cmd->reply.bytes);
    if (pub->owner == SCSI_OWNER_REPLY)
        return; /* what it said is in the kept sense */
    raise_again(lun, pub->outcome.sense, pub->outcome.sense_bytes);
    segment_abandon_all(cmd);
    cmd->state = CMD_REPLY;
    scsi_owner_move(&pub->owner, SCSI_OWNER_LUN, SCSI_OWNER_REPLY);
}

/* A transfer of two segments or more that went well from end to end. */
static void note_stream(struct lun *lun, const struct cmd *cmd)
{
    uint32_t bytes = cmd->want_bytes;
    uint64_t first_us = cmd->first_us - cmd->submitted_us;
    uint64_t last_us = cmd->last_us - cmd->submitted_us;
    if (!cmd->op.plain || cmd->failed || bytes <= segment_most_bytes(cmd) ||
        cmd->valid_bytes < bytes || cmd->first_us == 0)
        return;
    if (cmd->pub.dir == SCSI_DIR_IN) {
        lun->stats.last_streamed_read.bytes = bytes;
        lun->stats.last_streamed_read.first_to_host_us = first_us;
        lun->stats.last_streamed_read.last_segment_us = last_us;
    } else {
        lun->stats.last_streamed_write.bytes = bytes;
        lun->stats.last_streamed_write.first_to_target_us = first_us;
        lun->stats.last_streamed_write.last_from_host_us = last_us;
    }
}

void lun_release(struct lun *lun, struct lun_cmd *pub)
{
    struct cmd *cmd = cmd_of(pub);
    assert(cmd->state == CMD_REPLY);
    note_stream(lun, cmd);
    while (cmd->segments)
        segment_free(cmd->segments);
    cmd->state = CMD_FREE;
    scsi_owner_move(&pub->owner, SCSI_OWNER_REPLY, SCSI_OWNER_POOL);
    lun_kick(lun);
}

void lun_host_reset(struct lun *lun)
{
    if (lun->sense_kept)
        raise_again(lun, lun->kept_sense.sense, lun->kept_sense.sense_bytes);
    lun->sense_kept = false;
    if (lun->config.cable)
        cable_reset(lun->config.cable);
}

void lun_fail_all(struct lun *lun, struct sense_code sense)
{
    for (unsigned i = 0; i < LUN_CMDS; i++) {
        struct cmd *cmd = &lun->cmds[i];
        if (cmd->state == CMD_QUEUED || cmd->state == CMD_RUNNING)
            cmd_give_up(cmd, sense);
    }
    segment_disown_orphans(lun);
}

bool lun_busy(const struct lun *lun)
{
    for (unsigned i = 0; i < LUN_CMDS; i++)
        if (lun->cmds[i].state != CMD_FREE)
            return true;
    return lun->written_us != 0 && lun_now(lun) - lun->written_us < LUN_BUSY_US;
}

/* ---- time ---- */

static uint64_t min_us(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t cmd_deadline_us(const struct cmd *cmd)
{
    bool waits = cmd->state == CMD_QUEUED || cmd->state == CMD_RUNNING;
    return waits ? cmd->deadline_us : LUN_NEVER_US;
}

/* When the segments that pause may go; LUN_NEVER_US: none does. */
static uint64_t retry_us(const struct lun *lun)
{
    uint64_t at = LUN_NEVER_US;
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        const struct segment *s = &lun->segments[i];
        if (s->owner == SCSI_OWNER_LUN && s->not_before_us != 0)
            at = min_us(at, s->not_before_us);
    }
    return at;
}

uint64_t lun_next_timeout_us(const struct lun *lun)
{
    uint64_t at = LUN_NEVER_US;
    for (unsigned i = 0; i < LUN_CMDS; i++)
        at = min_us(at, cmd_deadline_us(&lun->cmds[i]));
    if (lun->accepted)
        at = min_us(at, retry_us(lun));
    if (lun->link_up)
        at = min_us(at, segment_orphans_until_us(lun));
    if (lun->probe_since_us != 0)
        at = min_us(at, lun->probe_since_us + LUN_PROBE_TIME_US);
    at = min_us(at, medium_timeout_us(lun));
    return at;
}

static void drop_session(struct lun *lun, const char *why)
{
    struct backend *backend = lun->config.backend;
    lun->accepted = false;
    lun->link_up = false; /* until up() says otherwise: dropped once only */
    lun->probe_since_us = 0;
    backend->ops->drop(backend, why);
}

void lun_run_timeouts(struct lun *lun)
{
    uint64_t now = lun_now(lun);
    for (unsigned i = 0; i < LUN_CMDS; i++)
        if (cmd_deadline_us(&lun->cmds[i]) <= now)
            cmd_expire(&lun->cmds[i]);
    if (medium_timeout_us(lun) <= now)
        medium_run_timeout(lun);

    if (lun->link_up && segment_orphans_until_us(lun) <= now)
        drop_session(lun, "the target leaves commands unanswered");
    else if (lun->probe_since_us != 0 && now - lun->probe_since_us >= LUN_PROBE_TIME_US)
        drop_session(lun, "the target did not answer the probe within 10 s");

    if (lun->accepted && retry_us(lun) <= now) {
        for (unsigned i = 0; i < LUN_SEGMENTS; i++)
            if (lun->segments[i].not_before_us <= now)
                lun->segments[i].not_before_us = 0;
        lun_kick(lun);
    }
}

/* ---- making and breaking ---- */

struct lun *lun_create(const struct lun_config *config)
{
    uint32_t segment_bytes =
        config->segment_bytes ? config->segment_bytes : LUN_DEFAULT_SEGMENT_BYTES;
    if (!config->backend || !config->deferred || !config->pool || !config->now_us ||
        segment_bytes % 4096 != 0 || segment_bytes > POOL_SLICE_BYTES ||
        (config->cable && config->number >= config->cable->luns) ||
        (!config->cable && config->answer_within_ms == LUN_ANSWER_BY_HOST)) {
        errno = EINVAL;
        return NULL;
    }
    struct lun *lun = calloc(1, sizeof(*lun));
    if (!lun)
        return NULL;
    lun->config = *config;
    lun->config.segment_bytes = segment_bytes;
    if (config->cdrom)
        lun->config.removable = lun->config.read_only = true;
    order_init(&lun->order);
    deferred_init(&lun->kick, lun_run);
    for (unsigned i = 0; i < LUN_CMDS; i++) {
        struct cmd *cmd = &lun->cmds[i];
        cmd->lun = lun;
        cmd->pub.owner = SCSI_OWNER_POOL;
        cmd->order_slot = ORDER_NONE;
        deferred_init(&cmd->progress, cmd_progress);
        deferred_init(&cmd->finish, cmd_finish);
    }
    for (unsigned i = 0; i < LUN_SEGMENTS; i++) {
        lun->segments[i].lun = lun;
        lun->segments[i].owner = SCSI_OWNER_POOL;
        lun->segments[i].order_slot = ORDER_NONE;
    }
    lun->medium_until_us = LUN_NEVER_US;
    attach_create(lun);
    return lun;
}

void lun_destroy(struct lun *lun)
{
    if (!lun)
        return;
    for (unsigned i = 0; i < LUN_CMDS; i++)
        assert(lun->cmds[i].state == CMD_FREE);
    for (unsigned i = 0; i < LUN_SEGMENTS; i++)
        assert(lun->segments[i].owner == SCSI_OWNER_POOL);
    assert(attach_idle(lun));
    deferred_cancel(lun->config.deferred, &lun->kick);
    deferred_cancel(lun->config.deferred, &lun->released_call);
    free(lun);
}

const struct disk_identity *lun_disk(const struct lun *lun)
{
    return lun->have_disk ? &lun->disk : NULL;
}

const struct lun_stats *lun_stats(const struct lun *lun)
{
    return &lun->stats;
}
