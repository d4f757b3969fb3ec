/* SPDX-License-Identifier: BSD-2-Clause */
#include "hostile.h"

#include "bridge/bytes.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RECV_BYTES 8192u

static const char good_keys[] =
    "TargetPortalGroupTag=1\0MaxRecvDataSegmentLength=8192\0InitialR2T=Yes\0ImmediateData=Yes\0"
    "FirstBurstLength=65536\0MaxBurstLength=262144\0";

void hostile_init(struct hostile *t, uint8_t *disk)
{
    memset(t, 0, sizeof(*t));
    deferred_list_init(&t->deferred);
    ram_init_on(&t->disk, &t->deferred, disk);
    t->disk.up = true;
    t->keys = good_keys;
    t->first_burst_bytes = 65536;
    t->initial_r2t = true;
    t->data_in_bytes = 16384;
    t->window = 32;
    t->twist_cdb = -1;
}

static void drop_writes(struct hostile *t)
{
    for (unsigned i = 0; i < HOSTILE_WRITES; i++) {
        free(t->writes[i].data);
        t->writes[i].data = NULL;
    }
}

void hostile_connected(struct hostile *t)
{
    drop_writes(t);
    t->in_bytes = t->out_bytes = t->out_done = 0;
    t->stat_sn = 1;
    t->exp_cmd_sn = 0;
    t->digest = t->closes = t->mute = false;
}

void hostile_free(struct hostile *t)
{
    drop_writes(t);
    free(t->out);
    t->out = NULL;
}

/* ---- sending ---- */

void hostile_put_raw(struct hostile *t, const void *bytes, size_t count)
{
    size_t end = t->out_done + t->out_bytes;

    if (end + count > t->out_room) {
        t->out_room = 2 * (end + count);
        t->out = realloc(t->out, t->out_room);
        if (!t->out)
            abort();
    }
    if (count > 0)
        memcpy(t->out + end, bytes, count);
    t->out_bytes += count;
}

void hostile_sent(struct hostile *t, size_t count)
{
    t->out_done += count;
    t->out_bytes -= count;
    if (t->out_bytes == 0)
        t->out_done = 0;
}

/* CRC32C of RFC 7143 13.1, as the wire has it. */
static void put_digest(struct hostile *t, const uint8_t *bytes, size_t count)
{
    uint32_t crc = 0xffffffff;
    uint8_t out[4];

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    put_le32(out, ~crc);
    hostile_put_raw(t, out, 4);
}

void hostile_answer(uint8_t bhs[BHS_BYTES], uint8_t opcode, uint8_t flags,
                    const struct hostile_pdu *request)
{
    memset(bhs, 0, BHS_BYTES);
    bhs[0] = opcode;
    bhs[1] = flags;
    memcpy(bhs + 8, request->bhs + 8, 8);
    memcpy(bhs + 16, request->bhs + 16, 4);
}

void hostile_put(struct hostile *t, uint8_t bhs[BHS_BYTES], const void *data, uint32_t bytes)
{
    static const uint8_t padding[3] = {0};
    bool plain_data_in = bhs[0] == OP_DATA_IN && !(bhs[1] & FLAG_STATUS);

    put_be24(bhs + 5, bytes);
    if (bhs[0] == OP_R2T)
        put_be32(bhs + 24, t->stat_sn);
    else if (!plain_data_in)
        put_be32(bhs + 24, t->stat_sn++);
    put_be32(bhs + 28, t->exp_cmd_sn);
    put_be32(bhs + 32, t->exp_cmd_sn + t->window - 1);
    hostile_put_raw(t, bhs, BHS_BYTES);
    if (t->digest)
        put_digest(t, bhs, BHS_BYTES);
    hostile_put_raw(t, data, bytes);
    hostile_put_raw(t, padding, (4 - bytes % 4) % 4);
}

void hostile_data_in(struct hostile *t, const struct hostile_pdu *request, uint8_t flags,
                     uint32_t offset, const uint8_t *data, uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_DATA_IN, flags, request);
    put_be32(bhs + 20, 0xffffffff);
    put_be32(bhs + 36, offset / t->data_in_bytes);
    put_be32(bhs + 40, offset);
    hostile_put(t, bhs, data, bytes);
}

void hostile_response(struct hostile *t, const struct hostile_pdu *request, uint8_t status,
                      const uint8_t *sense, uint32_t sense_bytes)
{
    uint8_t bhs[BHS_BYTES];
    uint8_t data[2 + SENSE_MAX_BYTES];

    hostile_answer(bhs, OP_SCSI_RESPONSE, FLAG_FINAL, request);
    bhs[3] = status;
    put_be16(data, (uint16_t)sense_bytes);
    if (sense_bytes > 0)
        memcpy(data + 2, sense, sense_bytes);
    hostile_put(t, bhs, data, sense_bytes > 0 ? 2 + sense_bytes : 0);
}

void hostile_r2t(struct hostile *t, const struct hostile_pdu *request, uint32_t tag,
                 uint32_t offset, uint32_t bytes)
{
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_R2T, FLAG_FINAL, request);
    put_be32(bhs + 20, tag);
    put_be32(bhs + 40, offset);
    put_be32(bhs + 44, bytes);
    hostile_put(t, bhs, NULL, 0);
}

/* ---- the good target ---- */

/* A whole login is one or two requests; what goes over to the next stage is
 * taken at its word. The keys belong to the operational stage (CSG 1). */
static void answer_login(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];
    bool operational = (request->bhs[1] & 0x0c) == 0x04;
    uint32_t bytes = 0;

    hostile_answer(bhs, OP_LOGIN_RESPONSE, request->bhs[1] & 0x8f, request);
    t->exp_cmd_sn = get_be32(request->bhs + 24);
    while (operational && t->keys[bytes] != '\0')
        bytes += (uint32_t)strlen(t->keys + bytes) + 1;
    hostile_put(t, bhs, t->keys, bytes);
    t->digest = t->digests && (request->bhs[1] & 0x83) == 0x83; /* to full feature phase */
}

static void run(struct hostile *t, struct backend_cmd *cmd)
{
    memset(&cmd->outcome, 0, sizeof(cmd->outcome));
    deferred_init(&cmd->done, NULL);
    if (t->disk.backend.ops->submit(&t->disk.backend, cmd) != 0)
        abort();
    ram_turn(&t->disk);
    deferred_cancel(&t->deferred, &cmd->done);
}

static struct backend_cmd *command_of(const uint8_t *bhs, uint8_t *data)
{
    static struct backend_cmd cmd;

    memset(&cmd, 0, sizeof(cmd));
    memcpy(cmd.cdb, bhs + 32, 16);
    cmd.cdb_bytes = 16;
    cmd.length_bytes = get_be32(bhs + 20);
    cmd.iov[0] = (struct iovec){data, cmd.length_bytes};
    cmd.iov_count = cmd.length_bytes > 0;
    return &cmd;
}

const uint8_t *hostile_execute(struct hostile *t, const struct hostile_pdu *request,
                               struct scsi_outcome *outcome)
{
    static uint8_t data[1u << 20];
    struct backend_cmd *cmd = command_of(request->bhs, data);

    if (cmd->length_bytes > sizeof(data))
        cmd->iov[0].iov_len = cmd->length_bytes = sizeof(data);
    cmd->dir = SCSI_DIR_IN;
    run(t, cmd);
    *outcome = cmd->outcome;
    return data;
}

static void answer_read(struct hostile *t, const struct hostile_pdu *request)
{
    struct scsi_outcome outcome;
    const uint8_t *data = hostile_execute(t, request, &outcome);
    uint32_t expected = get_be32(request->bhs + 20);
    uint32_t at = 0;
    uint8_t bhs[BHS_BYTES];

    if (outcome.status != SCSI_STATUS_CODE_GOOD) {
        hostile_response(t, request, outcome.status, outcome.sense, outcome.sense_bytes);
        return;
    }
    while (outcome.moved_bytes - at > t->data_in_bytes) {
        hostile_data_in(t, request, 0, at, data + at, t->data_in_bytes);
        at += t->data_in_bytes;
    }
    hostile_answer(bhs, OP_DATA_IN, FLAG_FINAL | FLAG_STATUS, request);
    put_be32(bhs + 20, 0xffffffff);
    put_be32(bhs + 36, at / t->data_in_bytes);
    put_be32(bhs + 40, at);
    if (outcome.moved_bytes < expected) {
        bhs[1] |= FLAG_UNDERFLOW;
        put_be32(bhs + 44, expected - outcome.moved_bytes);
    }
    hostile_put(t, bhs, data + at, outcome.moved_bytes - at);
}

static void finish_write(struct hostile *t, struct hostile_write *w)
{
    struct backend_cmd *cmd = command_of(w->bhs, w->data);
    struct hostile_pdu request = {.data = NULL};

    cmd->dir = SCSI_DIR_OUT;
    run(t, cmd);
    memcpy(request.bhs, w->bhs, BHS_BYTES);
    free(w->data);
    w->data = NULL;
    hostile_response(t, &request, cmd->outcome.status, cmd->outcome.sense,
                     cmd->outcome.sense_bytes);
}

/* Asks for the next part, or answers. */
static void continue_write(struct hostile *t, struct hostile_write *w)
{
    uint32_t expected = get_be32(w->bhs + 20);
    uint32_t left = expected - w->got_bytes;
    struct hostile_pdu request = {.data = NULL};

    if (left == 0) {
        finish_write(t, w);
        return;
    }
    if (w->got_bytes < w->asked_bytes)
        return;
    memcpy(request.bhs, w->bhs, BHS_BYTES);
    w->asked_bytes = w->got_bytes + (left < 65536 ? left : 65536);
    hostile_r2t(t, &request, (uint32_t)(w - t->writes), w->got_bytes,
                w->asked_bytes - w->got_bytes);
}

static void answer_write(struct hostile *t, const struct hostile_pdu *request)
{
    uint32_t expected = get_be32(request->bhs + 20);
    struct hostile_write *w = t->writes;

    while (w < t->writes + HOSTILE_WRITES && w->data)
        w++;
    if (w == t->writes + HOSTILE_WRITES || request->data_bytes > expected || expected > 1u << 20) {
        t->broke = true;
        return;
    }
    memcpy(w->bhs, request->bhs, BHS_BYTES);
    w->data = malloc(expected + 1u);
    if (!w->data)
        abort();
    memcpy(w->data, request->data, request->data_bytes);
    w->got_bytes = w->asked_bytes = request->data_bytes;
    if (!t->initial_r2t && !(request->bhs[1] & FLAG_FINAL))
        w->asked_bytes = expected < t->first_burst_bytes ? expected : t->first_burst_bytes;
    continue_write(t, w);
}

static void take_data_out(struct hostile *t, const struct hostile_pdu *request)
{
    uint32_t offset = get_be32(request->bhs + 40);

    t->data_outs++;
    for (unsigned i = 0; i < HOSTILE_WRITES; i++) {
        struct hostile_write *w = &t->writes[i];
        if (!w->data || memcmp(w->bhs + 16, request->bhs + 16, 4) != 0)
            continue;
        if (offset != w->got_bytes || request->data_bytes > w->asked_bytes - w->got_bytes) {
            t->broke = true;
            return;
        }
        memcpy(w->data + offset, request->data, request->data_bytes);
        w->got_bytes += request->data_bytes;
        continue_write(t, w);
        return;
    }
}

static void answer_text(struct hostile *t, const struct hostile_pdu *request)
{
    static const char list[] = "TargetName=iqn.2026-01.test:plain\0TargetAddress=127.0.0.1:3260,1";
    uint8_t bhs[BHS_BYTES];

    hostile_answer(bhs, OP_TEXT_RESPONSE, FLAG_FINAL, request);
    put_be32(bhs + 20, 0xffffffff);
    hostile_put(t, bhs, list, sizeof(list));
}

void hostile_behave(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t bhs[BHS_BYTES];

    switch (request->bhs[0] & 0x3f) {
    case OP_LOGIN:
        answer_login(t, request);
        break;
    case OP_NOP_OUT:
        if (get_be32(request->bhs + 16) == 0xffffffff)
            break;
        hostile_answer(bhs, OP_NOP_IN, FLAG_FINAL, request);
        put_be32(bhs + 20, 0xffffffff);
        hostile_put(t, bhs, request->data, request->data_bytes);
        break;
    case OP_SCSI_COMMAND:
        if (request->bhs[1] & 0x20)
            answer_write(t, request);
        else
            answer_read(t, request);
        break;
    case OP_DATA_OUT:
        take_data_out(t, request);
        break;
    case OP_TEXT:
        answer_text(t, request);
        break;
    case OP_LOGOUT:
        hostile_answer(bhs, OP_LOGOUT_RESPONSE, FLAG_FINAL, request);
        hostile_put(t, bhs, NULL, 0);
        t->closes = true;
        break;
    default:
        t->broke = true;
        break;
    }
}

/* ---- taking ---- */

static void count(struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t opcode = request->bhs[0] & 0x3f;

    t->logins += opcode == OP_LOGIN;
    t->nops += opcode == OP_NOP_OUT;
    t->logouts += opcode == OP_LOGOUT;
    if (opcode == OP_SCSI_COMMAND) {
        t->commands++;
        t->last_itt = get_be32(request->bhs + 16);
    }
    /* RFC 7143 4.2.2.1: immediate ones and Data-Out use no number. */
    if (!(request->bhs[0] & 0x40) && opcode != OP_DATA_OUT)
        t->exp_cmd_sn = get_be32(request->bhs + 24) + 1;
}

static bool wants_twist(const struct hostile *t, const struct hostile_pdu *request)
{
    uint8_t opcode = request->bhs[0] & 0x3f;

    if (!t->twist || t->twists == 0)
        return false;
    if (t->twist_opcode >= 0 && opcode != t->twist_opcode)
        return false;
    return opcode != OP_SCSI_COMMAND || t->twist_cdb < 0 || request->bhs[32] == t->twist_cdb;
}

static void take_pdu(struct hostile *t, const struct hostile_pdu *request)
{
    count(t, request);
    if (t->mute)
        return;
    if (wants_twist(t, request)) {
        t->twists--;
        t->twisted++;
        if (t->twist(t, request))
            return;
    }
    hostile_behave(t, request);
}

/* The PDU at `at`; 0: it is not whole yet. */
static size_t take_one(struct hostile *t, size_t at)
{
    struct hostile_pdu request;
    size_t have = t->in_bytes - at;
    size_t header = BHS_BYTES + (t->digest ? 4u : 0u);
    size_t whole;

    if (have < header)
        return 0;
    memcpy(request.bhs, t->in + at, BHS_BYTES);
    request.data_bytes = get_be24(request.bhs + 5);
    request.data = t->in + at + header;
    whole = header + ((request.data_bytes + 3u) & ~3u);
    if (request.bhs[4] != 0 || whole > sizeof(t->in)) {
        t->broke = true;
        t->closes = true;
        return have;
    }
    if (have < whole)
        return 0;
    take_pdu(t, &request);
    return whole;
}

void hostile_take(struct hostile *t, const uint8_t *bytes, size_t count_bytes)
{
    while (count_bytes > 0) {
        size_t room = sizeof(t->in) - t->in_bytes;
        size_t piece = count_bytes < room ? count_bytes : room;
        size_t at = 0;
        size_t used;
        memcpy(t->in + t->in_bytes, bytes, piece);
        t->in_bytes += piece;
        bytes += piece;
        count_bytes -= piece;
        while ((used = take_one(t, at)) > 0)
            at += used;
        memmove(t->in, t->in + at, t->in_bytes - at);
        t->in_bytes -= at;
    }
}
