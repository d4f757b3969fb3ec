/* SPDX-License-Identifier: BSD-2-Clause */
#include "ram_backend.h"
#include "bridge/bytes.h"
#include "bridge/opcode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ram_backend *ram_of(struct backend *b)
{
    return (struct ram_backend *)b;
}

uint8_t *ram_block(struct ram_backend *ram, uint64_t lba)
{
    return ram->disk + lba * ram->block_bytes;
}

static int ram_submit(struct backend *b, struct backend_cmd *cmd)
{
    struct ram_backend *ram = ram_of(b);
    if (!ram->up)
        return -ENOTCONN;
    if (ram->outstanding >= ram->room) {
        ram->refused = true;
        return -EAGAIN;
    }
    for (unsigned i = 0; i < RAM_QUEUE; i++) {
        if (ram->queue[i])
            continue;
        ram->queue[i] = cmd;
        ram->age[i] = 0;
        ram->go[i] = false;
        ram->number[i] = ++ram->seen_count;
        ram->outstanding++;
        if (ram->seen_count <= RAM_SEEN) {
            struct ram_seen *seen = &ram->seen[ram->seen_count - 1];
            memcpy(seen->cdb, cmd->cdb, sizeof(seen->cdb));
            seen->iov_base = cmd->iov_count ? cmd->iov[0].iov_base : NULL;
            seen->length_bytes = cmd->length_bytes;
        }
        return 0;
    }
    return -EAGAIN;
}

static void ram_accept(struct backend *b)
{
    ram_of(b)->accepts++;
}

static void ram_reject(struct backend *b, enum backend_fault fault, const char *why)
{
    struct ram_backend *ram = ram_of(b);
    ram->rejects++;
    ram->last_fault = fault;
    snprintf(ram->last_why, sizeof(ram->last_why), "%s", why);
}

static void ram_drop(struct backend *b, const char *why)
{
    struct ram_backend *ram = ram_of(b);
    ram->drops++;
    snprintf(ram->last_why, sizeof(ram->last_why), "%s", why);
}

static const struct backend_ops ram_ops = {ram_submit, ram_accept, ram_reject, ram_drop};

void ram_init_on(struct ram_backend *ram, struct deferred_list *deferred, uint8_t *disk)
{
    memset(ram, 0, sizeof(*ram));
    ram->backend.ops = &ram_ops;
    ram->backend.deferred = deferred;
    ram->blocks = RAM_BLOCKS;
    ram->block_bytes = RAM_BLOCK_BYTES;
    ram->serial = "ram0001";
    ram->room = RAM_QUEUE;
    ram->disk = disk;
}

void ram_init(struct ram_backend *ram, struct deferred_list *deferred)
{
    uint8_t *disk = malloc((size_t)RAM_BLOCKS * RAM_BLOCK_BYTES);
    if (!disk)
        abort();
    ram_init_on(ram, deferred, disk);
    uint8_t row[RAM_BLOCK_BYTES + 256];
    for (size_t i = 0; i < sizeof(row); i++)
        row[i] = (uint8_t)(i * 7);
    for (size_t block = 0; block < RAM_BLOCKS; block++)
        memcpy(ram->disk + block * RAM_BLOCK_BYTES, row + block % 256, RAM_BLOCK_BYTES);
}

void ram_free(struct ram_backend *ram)
{
    free(ram->disk);
}

void ram_forget(struct ram_backend *ram)
{
    ram->seen_count = 0;
    for (unsigned i = 0; i < RAM_QUEUE; i++)
        ram->number[i] = 0;
}

static void copy_in(struct backend_cmd *cmd, const uint8_t *data, uint32_t bytes)
{
    uint32_t done = 0;
    for (int i = 0; i < cmd->iov_count && done < bytes; i++) {
        size_t n = cmd->iov[i].iov_len < bytes - done ? cmd->iov[i].iov_len : bytes - done;
        memcpy(cmd->iov[i].iov_base, data + done, n);
        done += (uint32_t)n;
    }
    cmd->outcome.moved_bytes = done;
}

static void copy_out(struct backend_cmd *cmd, uint8_t *data)
{
    uint32_t done = 0;
    for (int i = 0; i < cmd->iov_count && done < cmd->length_bytes; i++) {
        uint32_t left = cmd->length_bytes - done;
        uint32_t n = cmd->iov[i].iov_len < left ? (uint32_t)cmd->iov[i].iov_len : left;
        memcpy(data + done, cmd->iov[i].iov_base, n);
        done += n;
    }
    cmd->outcome.moved_bytes = done;
}

static uint32_t list_pages(const struct ram_backend *ram, uint8_t data[8])
{
    memcpy(data, "\0\0\0\2\0\x80", 6);
    if (ram->transfer_blocks > 0 || ram->same_blocks > 0)
        data[4 + data[3]++] = 0xb0;
    if (ram->provisioning)
        data[4 + data[3]++] = 0xb2;
    return 4u + data[3];
}

static void inquiry(struct ram_backend *ram, struct backend_cmd *cmd)
{
    uint8_t data[96] = {0};
    uint32_t serial_bytes = (uint32_t)strlen(ram->serial);
    uint32_t bytes = 36;
    if (!(cmd->cdb[1] & 1)) {
        memcpy(data, "\0\0\5\2\x1f\0\0\2RAM     back end        0001", 36);
        data[0] = ram->peripheral;
    } else if (cmd->cdb[2] == 0) {
        bytes = list_pages(ram, data);
    } else if (cmd->cdb[2] == 0x80) {
        data[1] = 0x80;
        data[3] = (uint8_t)serial_bytes;
        memcpy(data + 4, ram->serial, serial_bytes);
        bytes = 4 + serial_bytes;
    } else if (cmd->cdb[2] == 0xb0) {
        memcpy(data, "\0\xb0\0\x3c", 4);
        put_be32(data + 8, ram->transfer_blocks);
        put_be64(data + 36, ram->same_blocks);
        bytes = 64;
    } else if (cmd->cdb[2] == 0xb2) {
        memcpy(data, "\0\xb2\0\4", 4);
        data[5] = ram->provisioning;
        bytes = 8;
    } else {
        scsi_outcome_check(&cmd->outcome, sense_invalid_field);
        return;
    }
    copy_in(cmd, data, bytes < cmd->length_bytes ? bytes : cmd->length_bytes);
}

static void mode_sense(struct ram_backend *ram, struct backend_cmd *cmd)
{
    uint8_t caching[24] = {23, 0, 0x10, 0, 0x08, 18};
    uint8_t control[16] = {15, 0, 0x10, 0, 0x0a, 10, 0, 0x10};
    caching[6] = ram->write_cache ? 4 : 0;
    if (cmd->cdb[2] == 0x0a)
        copy_in(cmd, control, sizeof(control));
    else
        copy_in(cmd, caching, sizeof(caching));
}

static void reserve_in(struct ram_backend *ram, struct backend_cmd *cmd)
{
    uint8_t data[512] = {0};
    uint64_t holder = ram->pr_holder == RAM_PR_OURS ? ram->pr_key : ram->pr_other_key;
    uint32_t bytes = 8;
    bool full = (cmd->cdb[1] & 0x1f) == 3;
    if (full && !ram->pr_other_name) {
        scsi_outcome_check(&cmd->outcome, sense_invalid_field);
        return;
    }
    if (full) { /* ours, and that of the other behind it */
        uint32_t name_bytes = (uint32_t)strlen(ram->pr_other_name) + 1;
        put_be64(data + 8, ram->pr_key);
        data[8 + 12] = ram->pr_holder == RAM_PR_OURS;
        put_be64(data + 32, ram->pr_other_key);
        data[32 + 12] = ram->pr_holder == RAM_PR_OTHERS;
        put_be32(data + 32 + 20, 4 + name_bytes);
        data[56] = 5; /* iSCSI */
        put_be16(data + 58, (uint16_t)name_bytes);
        memcpy(data + 60, ram->pr_other_name, name_bytes);
        bytes = 60 + name_bytes;
    } else if (ram->pr_holder != RAM_PR_FREE) {
        put_be64(data + 8, holder);
        data[21] = 3;
        bytes = 24;
    }
    put_be32(data + 4, bytes - 8);
    copy_in(cmd, data, bytes < cmd->length_bytes ? bytes : cmd->length_bytes);
}

static void reserve_conflicts(struct backend_cmd *cmd)
{
    cmd->outcome.status = SCSI_STATUS_CODE_RESERVATION_CONFLICT;
}

static void reserve_out(struct ram_backend *ram, struct backend_cmd *cmd)
{
    uint8_t list[24];
    uint8_t action = cmd->cdb[1] & 0x1f;
    if (cmd->length_bytes != sizeof(list)) {
        scsi_outcome_check(&cmd->outcome, sense_invalid_field);
        return;
    }
    copy_out(cmd, list);
    uint64_t key = get_be64(list), action_key = get_be64(list + 8);
    if (action == 5 && !ram->pr_abort) {
        scsi_outcome_check(&cmd->outcome, sense_invalid_field);
    } else if (action != 6 && key != ram->pr_key) {
        reserve_conflicts(cmd);
    } else if (action == 0 || action == 6) {
        ram->pr_key = action_key;
        if (action_key == 0 && ram->pr_holder == RAM_PR_OURS)
            ram->pr_holder = RAM_PR_FREE;
    } else if (action == 1) {
        if (ram->pr_holder == RAM_PR_OTHERS)
            reserve_conflicts(cmd);
        else
            ram->pr_holder = RAM_PR_OURS;
    } else if (action_key == ram->pr_other_key) {
        ram->pr_other_key = 0;
        ram->pr_holder = RAM_PR_OURS;
    } else {
        reserve_conflicts(cmd);
    }
}

static bool is_locked_out(const struct ram_backend *ram, const struct op *op)
{
    bool listed = op->plain || op->flush || strncmp(op->name, "MODE S", 6) == 0;
    listed = listed || (ram->pr_strict && strncmp(op->name, "READ CAP", 8) == 0);
    return ram->pr_holder == RAM_PR_OTHERS && listed;
}

static void execute(struct ram_backend *ram, struct backend_cmd *cmd)
{
    struct op op;
    op_decode(cmd->cdb, cmd->cdb_bytes, ram->block_bytes, &op);
    if (is_locked_out(ram, &op)) {
        reserve_conflicts(cmd);
        return;
    }
    bool inside = op.blocks <= ram->blocks && op.lba <= ram->blocks - op.blocks;
    if (op.ranged && !inside) {
        scsi_outcome_check(&cmd->outcome, sense_lba_out_of_range);
        return;
    }
    if (op.length == OP_LENGTH_BLOCKS && op.lba + op.blocks > RAM_BLOCKS) {
        scsi_outcome_check(&cmd->outcome, sense_internal_failure);
        return;
    }
    bool protect = op.ranged && op.cdb_bytes > 6 && (cmd->cdb[1] & 0xe0);
    if (protect && !ram->protection) {
        scsi_outcome_check(&cmd->outcome, sense_invalid_field);
        return;
    }
    uint8_t data[32] = {0};
    switch (cmd->cdb[0]) {
    case OP_INQUIRY:
        inquiry(ram, cmd);
        break;
    case OP_SERVICE_ACTION_IN_16:
        put_be64(data, ram->blocks - 1);
        put_be32(data + 8, ram->block_bytes);
        data[12] = ram->protection;
        data[14] = ram->provisioning ? 0x80 : 0;
        copy_in(cmd, data, sizeof(data));
        break;
    case OP_MODE_SELECT_6: /* 24 bytes: a header and the caching page */
        if (cmd->length_bytes <= sizeof(data)) {
            copy_out(cmd, data);
            ram->write_cache = data[4 + 2] & 4;
        }
        break;
    case OP_MODE_SENSE_6:
        mode_sense(ram, cmd);
        break;
    case OP_PERSISTENT_RESERVE_IN:
    case OP_PERSISTENT_RESERVE_OUT:
        if (!ram->pr)
            scsi_outcome_check(&cmd->outcome, sense_invalid_opcode);
        else if (cmd->cdb[0] == OP_PERSISTENT_RESERVE_IN)
            reserve_in(ram, cmd);
        else
            reserve_out(ram, cmd);
        break;
    case 0x4d: /* LOG SENSE */
        if (ram->log_sense)
            copy_in(cmd, data, cmd->length_bytes < sizeof(data) ? cmd->length_bytes : sizeof(data));
        else
            scsi_outcome_check(&cmd->outcome, sense_invalid_opcode);
        break;
    case OP_READ_6:
    case OP_READ_10:
    case OP_READ_12:
    case OP_READ_16:
        if (ram->transfer_blocks > 0 && op.blocks > ram->transfer_blocks)
            scsi_outcome_check(&cmd->outcome, sense_invalid_field);
        else
            copy_in(cmd, ram_block(ram, op.lba), cmd->length_bytes);
        break;
    case OP_WRITE_6:
    case OP_WRITE_10:
    case OP_WRITE_12:
    case OP_WRITE_16:
        copy_out(cmd, ram_block(ram, op.lba));
        break;
    case OP_WRITE_SAME_10:
    case OP_WRITE_SAME_16:
        if (cmd->length_bytes != RAM_BLOCK_BYTES ||
            (ram->same_blocks > 0 && op.blocks > ram->same_blocks)) {
            scsi_outcome_check(&cmd->outcome, sense_invalid_field);
            break;
        }
        for (uint64_t i = 0; i < op.blocks; i++)
            copy_out(cmd, ram_block(ram, op.lba + i));
        break;
    case OP_SYNCHRONIZE_CACHE_10:
    case OP_VERIFY_10:
    case OP_UNMAP:
    case OP_COMPARE_AND_WRITE:
        cmd->outcome.moved_bytes = cmd->length_bytes;
        break;
    default:
        scsi_outcome_check(&cmd->outcome, sense_invalid_opcode);
        break;
    }
}

/* Whole blocks, if it is that much. */
static void execute_half(struct ram_backend *ram, struct backend_cmd *cmd)
{
    uint32_t length_bytes = cmd->length_bytes;
    bool blocks = length_bytes >= RAM_BLOCK_BYTES;
    cmd->length_bytes =
        blocks ? length_bytes / 2 / RAM_BLOCK_BYTES * RAM_BLOCK_BYTES : length_bytes / 2;
    execute(ram, cmd);
    cmd->length_bytes = length_bytes;
}

static bool is_data(const struct backend_cmd *cmd)
{
    struct op op;
    op_decode(cmd->cdb, cmd->cdb_bytes, RAM_BLOCK_BYTES, &op);
    return op.plain;
}

static bool is_held(const struct ram_backend *ram, unsigned i)
{
    if (ram->go[i])
        return false;
    return (ram->hold_from && ram->number[i] >= ram->hold_from) ||
           (ram->hold_data && is_data(ram->queue[i]));
}

void ram_let_go(struct ram_backend *ram, unsigned number)
{
    for (unsigned i = 0; i < RAM_QUEUE; i++)
        if (ram->queue[i] && ram->number[i] == number)
            ram->go[i] = true;
}

static bool shall_fail(const struct ram_backend *ram, unsigned number)
{
    unsigned last = ram->fail_last ? ram->fail_last : ram->fail_number;
    return ram->fail_number && number >= ram->fail_number && number <= last;
}

static void fail(const struct ram_backend *ram, struct backend_cmd *cmd)
{
    cmd->outcome.status = ram->fail_status;
    if (ram->fail_status != SCSI_STATUS_CODE_CHECK_CONDITION)
        return;
    scsi_outcome_check(&cmd->outcome, ram->fail_sense);
    if (ram->fail_deferred)
        cmd->outcome.sense[0] |= 1;
}

static void complete(struct ram_backend *ram, unsigned i)
{
    struct backend_cmd *cmd = ram->queue[i];
    ram->queue[i] = NULL;
    ram->outstanding--;
    deferred_add(ram->backend.deferred, &cmd->done);
}

void ram_turn(struct ram_backend *ram)
{
    static const struct sense_code recovered = {SENSE_RECOVERED_ERROR, 0x17, 0x00};
    for (unsigned i = 0; i < RAM_QUEUE; i++) {
        struct backend_cmd *cmd = ram->queue[i];
        if (!cmd || is_held(ram, i))
            continue;
        unsigned number = ram->number[i];
        if (ram->age[i]++ < ram->delay_turns)
            continue;
        cmd->result = BACKEND_DONE;
        cmd->outcome.status = SCSI_STATUS_CODE_GOOD;
        cmd->outcome.moved_bytes = 0;
        if (ram->pending_attention.key) {
            scsi_outcome_check(&cmd->outcome, ram->pending_attention);
            ram->pending_attention = sense_none;
        } else if (shall_fail(ram, number)) {
            fail(ram, cmd);
        } else {
            if (ram->short_number && number == ram->short_number)
                execute_half(ram, cmd);
            else
                execute(ram, cmd);
            if (ram->recover_number && number == ram->recover_number)
                scsi_outcome_check(&cmd->outcome, recovered);
            cmd->outcome.phase_error = ram->over_number && number == ram->over_number;
        }
        complete(ram, i);
    }
    if (ram->up && ram->refused && ram->outstanding < ram->room) {
        ram->refused = false;
        ram->backend.events->more(ram->backend.events_ctx);
    }
}

void ram_up(struct ram_backend *ram)
{
    if (ram->pr_forgets && ram->pr_key != 0) {
        ram->pr_other_key = ram->pr_key;
        ram->pr_key = 0;
        if (ram->pr_holder == RAM_PR_OURS)
            ram->pr_holder = RAM_PR_OTHERS;
    }
    ram->up = true;
    ram->backend.events->up(ram->backend.events_ctx);
}

void ram_lose(struct ram_backend *ram, const char *why)
{
    ram->up = false;
    for (unsigned i = 0; i < RAM_QUEUE; i++) {
        if (!ram->queue[i])
            continue;
        if (ram->lose_executes)
            execute(ram, ram->queue[i]);
        ram->queue[i]->result = BACKEND_LOST;
        complete(ram, i);
    }
    while (deferred_run(ram->backend.deferred) > 0) {
    }
    ram->backend.events->down(ram->backend.events_ctx, why);
}
