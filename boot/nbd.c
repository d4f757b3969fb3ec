/* SPDX-License-Identifier: BSD-2-Clause */
#include "nbd.h"

#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "nbd_wire.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SCRAP_BYTES 65536u
#define TURN_STEPS  64 /* then others have their turn */
#define UNMAP_BYTES 24 /* a parameter list with one descriptor, SBC-3 5.28 */

struct request {
    struct nbd *nbd;
    bool used;
    struct nbd_request_wire wire;
    uint16_t type;  /* enum nbd_type */
    uint16_t flags; /* NBD_COMMAND_... */
    uint64_t offset_bytes;
    uint32_t length_bytes;
    unsigned segments; /* its share of NBD_SEGMENTS */
    struct lun_cmd *cmd;
    /* TRIM and WRITE_ZEROES, a step at a time: what is not done, and `cmd`'s part of it;
     * 0 of its part: it is the flush behind them. */
    uint64_t next_block, blocks_left;
    uint32_t step_blocks;

    struct nbd_reply_wire reply;
    struct iovec iov[1 + NBD_REQUEST_SEGMENTS]; /* the reply, then the data */
    int iov_count;
    uint32_t held_bytes;    /* of the pieces in it */
    struct request *behind; /* in the queue of replies */
};

struct nbd {
    struct nbd_config config;
    struct nbd_stats stats;
    struct nbd_geometry geometry;
    uint32_t segment_bytes;
    bool serving, ended;
    struct request requests[NBD_REQUESTS];
    unsigned segments; /* of all requests under way */

    struct nbd_request_wire wire; /* that is coming in */
    size_t wire_bytes;
    bool waiting; /* it is complete, and there is no room for it yet */

    struct request *filling;        /* a WRITE whose data are coming in */
    uint32_t fill_left;             /* so many bytes of it */
    uint8_t *room;                  /* for them; NULL: none now */
    uint32_t room_bytes, room_done; /* of the room */

    struct request *replies, **replies_end; /* oldest first */
    size_t sent_bytes;                      /* of the oldest */
    bool blocked;                           /* the socket takes no more */
    struct deferred again;                  /* there is more to do than one turn may */
    uint8_t scrap[SCRAP_BYTES];
};

static void log_line(const struct nbd *nbd, enum lun_log_level level, const char *text)
{
    if (nbd->config.log)
        nbd->config.log(level, text);
}

static void end(struct nbd *nbd, const char *why)
{
    if (nbd->ended)
        return;
    nbd->ended = true;
    nbd->serving = false;
    log_line(nbd, LUN_LOG_DEBUG, why);
    nbd->config.ended(nbd->config.ctx);
}

/* ---- requests ---- */

static uint32_t error_of(const struct scsi_outcome *outcome)
{
    struct sense_code sense;
    if (outcome->status == SCSI_STATUS_CODE_GOOD && !outcome->phase_error)
        return NBD_OK;
    if (outcome->status == SCSI_STATUS_CODE_RESERVATION_CONFLICT)
        return NBD_EPERM;
    if (outcome->status != SCSI_STATUS_CODE_CHECK_CONDITION ||
        !sense_parse(outcome->sense, outcome->sense_bytes, &sense))
        return NBD_EIO;
    if (sense.key == SENSE_DATA_PROTECT) /* 27/07: out of space, SBC-3 4.7.3.6 */
        return sense.asc == 0x27 && sense.ascq == 0x07 ? NBD_ENOSPC : NBD_EPERM;
    return NBD_EIO;
}

static void request_free(struct request *r)
{
    struct nbd *nbd = r->nbd;
    if (r->cmd)
        lun_release(nbd->config.lun, r->cmd);
    r->cmd = NULL;
    r->used = false;
    nbd->segments -= r->segments;
    nbd->stats.outstanding--;
}

/* The data of a READ are in the iovec already. */
static void request_reply(struct request *r, uint32_t error)
{
    struct nbd *nbd = r->nbd;
    put_be32(r->reply.magic, NBD_REPLY_MAGIC_VALUE);
    put_be32(r->reply.error, error);
    memcpy(r->reply.handle, r->wire.handle, sizeof r->reply.handle);
    r->iov[0] = (struct iovec){.iov_base = &r->reply, .iov_len = sizeof r->reply};
    if (error != NBD_OK) {
        r->iov_count = 1;
        nbd->stats.errors++;
    }
    r->behind = NULL;
    *nbd->replies_end = r;
    nbd->replies_end = &r->behind;
}

static void on_progress(struct lun_cmd *cmd);
static void on_complete(struct lun_cmd *cmd);
static const struct frontend_ops frontend_ops = {.progress = on_progress, .complete = on_complete};

/* READ and WRITE(10) as long as they reach: every disk has them. */
static uint8_t cdb_range(uint8_t *cdb, bool write, uint64_t lba, uint32_t blocks)
{
    if (lba + blocks <= UINT32_MAX && blocks <= UINT16_MAX) {
        cdb[0] = write ? OP_WRITE_10 : OP_READ_10;
        put_be32(cdb + 2, (uint32_t)lba);
        put_be16(cdb + 7, (uint16_t)blocks);
        return 10;
    }
    cdb[0] = write ? OP_WRITE_16 : OP_READ_16;
    put_be64(cdb + 2, lba);
    put_be32(cdb + 10, blocks);
    return 16;
}

static void submit(struct request *r, uint8_t cdb_bytes, enum scsi_dir dir, uint32_t length_bytes)
{
    r->cmd->cdb_bytes = cdb_bytes;
    r->cmd->dir = dir;
    r->cmd->length_bytes = length_bytes;
    r->cmd->front = r;
    lun_submit(r->nbd->config.lun, r->cmd);
}

static void submit_transfer(struct request *r, bool write)
{
    uint32_t block_bytes = r->nbd->geometry.block_bytes;
    uint8_t *cdb = r->cmd->cdb;
    uint8_t bytes =
        cdb_range(cdb, write, r->offset_bytes / block_bytes, r->length_bytes / block_bytes);
    if (r->flags & NBD_COMMAND_FUA)
        cdb[1] |= 0x08;
    submit(r, bytes, write ? SCSI_DIR_OUT : SCSI_DIR_IN, r->length_bytes);
}

static void submit_flush(struct request *r)
{
    r->cmd->cdb[0] = OP_SYNCHRONIZE_CACHE_10;
    submit(r, 10, SCSI_DIR_NONE, 0);
}

/* ---- TRIM and WRITE_ZEROES ---- */

static bool goes_in_steps(const struct request *r)
{
    return r->type == NBD_TYPE_TRIM || r->type == NBD_TYPE_WRITE_ZEROES;
}

static void submit_unmap(struct request *r)
{
    r->cmd->cdb[0] = OP_UNMAP;
    put_be16(r->cmd->cdb + 7, UNMAP_BYTES);
    submit(r, 10, SCSI_DIR_OUT, UNMAP_BYTES);
}

/* Its parameter list, the rest of which is zeros. */
static void put_unmap(const struct request *r, uint8_t list[UNMAP_BYTES])
{
    put_be16(list, UNMAP_BYTES - 2);
    put_be16(list + 2, UNMAP_BYTES - 8);
    put_be64(list + 8, r->next_block);
    put_be32(list + 16, r->step_blocks);
}

static void submit_write(struct request *r)
{
    uint8_t bytes = cdb_range(r->cmd->cdb, true, r->next_block, r->step_blocks);
    submit(r, bytes, SCSI_DIR_OUT, r->step_blocks * r->nbd->geometry.block_bytes);
}

static bool is_same(const uint8_t *cdb)
{
    return cdb[0] == OP_WRITE_SAME_10 || cdb[0] == OP_WRITE_SAME_16;
}

/* SBC-3 5.45, 5.46; UNMAP is (16)'s alone: LBPWS tells of it. */
static void submit_same(struct request *r)
{
    uint8_t *cdb = r->cmd->cdb;
    bool unmap = r->nbd->geometry.zero_unmaps && !(r->flags & NBD_COMMAND_NO_HOLE);
    uint8_t bytes = 10;
    if (!unmap && r->step_blocks <= UINT16_MAX && r->next_block + r->step_blocks <= UINT32_MAX) {
        cdb[0] = OP_WRITE_SAME_10;
        put_be32(cdb + 2, (uint32_t)r->next_block);
        put_be16(cdb + 7, (uint16_t)r->step_blocks);
    } else {
        cdb[0] = OP_WRITE_SAME_16;
        cdb[1] = unmap ? 0x08 : 0;
        put_be64(cdb + 2, r->next_block);
        put_be32(cdb + 10, r->step_blocks);
        bytes = 16;
    }
    submit(r, bytes, SCSI_DIR_OUT, r->nbd->geometry.block_bytes);
}

static uint32_t step_most_blocks(const struct request *r)
{
    const struct nbd_geometry *g = &r->nbd->geometry;
    if (r->type == NBD_TYPE_TRIM)
        return g->trim_blocks;
    return g->zero_blocks > 0 ? g->zero_blocks : r->nbd->segment_bytes / g->block_bytes;
}

static void submit_step(struct request *r)
{
    uint32_t most = step_most_blocks(r);
    r->step_blocks = r->blocks_left < most ? (uint32_t)r->blocks_left : most;
    if (r->step_blocks == 0)
        submit_flush(r);
    else if (r->type == NBD_TYPE_TRIM)
        submit_unmap(r);
    else if (r->nbd->geometry.zero_blocks > 0)
        submit_same(r);
    else
        submit_write(r);
}

static void fill_step(struct request *r)
{
    struct lun *lun = r->nbd->config.lun;
    uint8_t *room;
    uint32_t bytes;
    while ((bytes = lun_out_next(lun, r->cmd, &room)) > 0) {
        memset(room, 0, bytes);
        if (r->type == NBD_TYPE_TRIM && bytes >= UNMAP_BYTES)
            put_unmap(r, room);
        lun_out_done(lun, r->cmd, bytes);
    }
}

/* A target may tell of WRITE SAME, and not have what we make of it. */
static bool is_refused(const struct lun_cmd *cmd)
{
    struct sense_code sense;
    return is_same(cmd->cdb) && cmd->outcome.status == SCSI_STATUS_CODE_CHECK_CONDITION &&
           sense_parse(cmd->outcome.sense, cmd->outcome.sense_bytes, &sense) &&
           sense.key == SENSE_ILLEGAL_REQUEST && sense.asc != 0x21; /* there is no such block */
}

/* False: that was the last. */
static bool next_step(struct request *r, uint32_t error)
{
    struct nbd *nbd = r->nbd;
    if (is_refused(r->cmd)) {
        if (nbd->geometry.zero_blocks > 0)
            log_line(nbd, LUN_LOG_INFO, "nbd: the target refuses WRITE SAME: writing zeros");
        nbd->geometry.zero_blocks = 0;
    } else if (error != NBD_OK) {
        return false;
    } else {
        r->next_block += r->step_blocks;
        r->blocks_left -= r->step_blocks;
    }
    bool flushes = (r->flags & NBD_COMMAND_FUA) && r->step_blocks > 0;
    if (r->blocks_left == 0 && !flushes)
        return false;
    lun_release(nbd->config.lun, r->cmd);
    r->cmd = lun_cmd_take(nbd->config.lun, &frontend_ops); /* it was just given back */
    submit_step(r);
    return true;
}

/* ---- what comes back ---- */

/* Pieces of a READ as they become valid; they are held until the reply is out. */
static void take_pieces(struct request *r)
{
    uint8_t *piece;
    uint32_t bytes;
    while (r->iov_count < 1 + (int)NBD_REQUEST_SEGMENTS &&
           (bytes = lun_in_next(r->nbd->config.lun, r->cmd, &piece)) > 0) {
        r->iov[r->iov_count++] = (struct iovec){.iov_base = piece, .iov_len = bytes};
        r->held_bytes += bytes;
    }
}

static void step(struct nbd *nbd);

static void on_progress(struct lun_cmd *cmd)
{
    struct request *r = cmd->front;
    if (r->type == NBD_TYPE_READ)
        take_pieces(r);
    else if (goes_in_steps(r))
        fill_step(r);
    else if (r == r->nbd->filling)
        step(r->nbd);
}

/* The rest of its data goes nowhere; the kernel sends them all the same. */
static void stop_filling(struct nbd *nbd)
{
    nbd->filling = NULL;
    nbd->room = NULL;
}

static void on_complete(struct lun_cmd *cmd)
{
    struct request *r = cmd->front;
    struct nbd *nbd = r->nbd;
    uint32_t error = error_of(&cmd->outcome);
    if (r == nbd->filling)
        stop_filling(nbd);
    if (r->type == NBD_TYPE_READ && error == NBD_OK) {
        take_pieces(r);
        if (r->held_bytes != r->length_bytes)
            error = NBD_EIO;
    }
    if (goes_in_steps(r) && next_step(r, error))
        return;
    request_reply(r, error);
    step(nbd);
}

/* ---- what comes in ---- */

static bool is_known(uint16_t type)
{
    return type <= NBD_TYPE_TRIM || type == NBD_TYPE_WRITE_ZEROES;
}

/* NBD_OK, or why it cannot be served. */
static uint32_t request_check(const struct nbd *nbd, const struct request *r)
{
    const struct nbd_geometry *g = &nbd->geometry;
    bool ranged = r->type != NBD_TYPE_FLUSH;
    bool writes = r->type == NBD_TYPE_WRITE || goes_in_steps(r);
    bool data = r->type == NBD_TYPE_READ || r->type == NBD_TYPE_WRITE;
    if (!is_known(r->type) || (r->type == NBD_TYPE_TRIM && !(g->flags & NBD_CAN_TRIM)))
        return NBD_EINVAL;
    if (writes && (g->flags & NBD_IS_READ_ONLY))
        return NBD_EPERM;
    if (ranged && (r->length_bytes == 0 || r->offset_bytes % g->block_bytes != 0 ||
                   r->length_bytes % g->block_bytes != 0 || r->offset_bytes > g->bytes ||
                   r->length_bytes > g->bytes - r->offset_bytes))
        return NBD_EINVAL;
    return data && r->length_bytes > g->max_bytes ? NBD_EINVAL : NBD_OK;
}

static unsigned segments_of(const struct nbd *nbd, const struct request *r)
{
    bool data = r->type == NBD_TYPE_READ || r->type == NBD_TYPE_WRITE;
    return data ? (r->length_bytes + nbd->segment_bytes - 1) / nbd->segment_bytes : 1;
}

static struct request *request_find(struct nbd *nbd)
{
    for (unsigned i = 0; i < NBD_REQUESTS; i++)
        if (!nbd->requests[i].used)
            return &nbd->requests[i];
    return NULL;
}

static void request_decode(struct request *r, const struct nbd_request_wire *wire)
{
    r->wire = *wire;
    r->type = get_be16(wire->type);
    r->flags = get_be16(wire->flags);
    r->offset_bytes = get_be64(wire->offset);
    r->length_bytes = get_be32(wire->length);
    r->segments = 0;
    r->cmd = NULL;
    r->iov_count = 1;
    r->held_bytes = 0;
}

static void request_begin(struct request *r)
{
    struct nbd *nbd = r->nbd;
    switch (r->type) {
    case NBD_TYPE_READ:
        nbd->stats.reads++;
        submit_transfer(r, false);
        break;
    case NBD_TYPE_WRITE:
        nbd->stats.writes++;
        nbd->filling = r;
        submit_transfer(r, true);
        break;
    case NBD_TYPE_TRIM:
    case NBD_TYPE_WRITE_ZEROES:
        (*(r->type == NBD_TYPE_TRIM ? &nbd->stats.trims : &nbd->stats.zeroes))++;
        r->next_block = r->offset_bytes / nbd->geometry.block_bytes;
        r->blocks_left = r->length_bytes / nbd->geometry.block_bytes;
        submit_step(r);
        break;
    default:
        nbd->stats.flushes++;
        submit_flush(r);
        break;
    }
}

/* A whole header has come in. False: there is no room for the request now. */
static bool take_request(struct nbd *nbd)
{
    struct request *r = request_find(nbd);
    if (!r)
        return false;
    request_decode(r, &nbd->wire);
    uint32_t error = request_check(nbd, r);
    unsigned segments = error == NBD_OK ? segments_of(nbd, r) : 0;
    if (nbd->segments + segments > NBD_SEGMENTS)
        return false;
    if (error == NBD_OK && !(r->cmd = lun_cmd_take(nbd->config.lun, &frontend_ops)))
        return false;
    r->used = true;
    r->segments = segments;
    nbd->segments += segments;
    nbd->stats.outstanding++;
    nbd->wire_bytes = 0;
    nbd->fill_left = r->type == NBD_TYPE_WRITE ? r->length_bytes : 0;
    if (error == NBD_OK)
        request_begin(r);
    else
        request_reply(r, error);
    return true;
}

/* How many bytes came; 0: none now, or the end. */
static size_t receive(struct nbd *nbd, void *to, size_t bytes)
{
    ssize_t n = recv(nbd->config.fd, to, bytes, MSG_DONTWAIT);
    if (n > 0)
        return (size_t)n;
    if (n == 0)
        end(nbd, "nbd: the kernel has closed the socket");
    else if (errno != EAGAIN && errno != EINTR)
        end(nbd, "nbd: the socket fails");
    return 0;
}

static bool receive_header(struct nbd *nbd)
{
    uint8_t *wire = (uint8_t *)&nbd->wire;
    size_t n = receive(nbd, wire + nbd->wire_bytes, sizeof nbd->wire - nbd->wire_bytes);
    nbd->wire_bytes += n;
    if (nbd->wire_bytes < sizeof nbd->wire)
        return n > 0;
    if (get_be32(nbd->wire.magic) != NBD_REQUEST_MAGIC_VALUE) {
        end(nbd, "nbd: what comes in is no request");
        return false;
    }
    if (get_be16(nbd->wire.type) == NBD_TYPE_DISCONNECT) {
        end(nbd, "nbd: the kernel disconnects");
        return false;
    }
    nbd->waiting = true;
    return true;
}

/* Into rooms of the logical unit, or, when it wants none, into the scrap. */
static bool receive_data(struct nbd *nbd)
{
    struct lun *lun = nbd->config.lun;
    if (nbd->filling && !nbd->room) {
        nbd->room_done = 0;
        nbd->room_bytes = lun_out_next(lun, nbd->filling->cmd, &nbd->room);
        if (nbd->room_bytes == 0) {
            nbd->room = NULL;
            return false; /* progress() or complete() follows */
        }
    }
    uint8_t *to = nbd->filling ? nbd->room + nbd->room_done : nbd->scrap;
    uint32_t most = nbd->filling ? nbd->room_bytes - nbd->room_done : SCRAP_BYTES;
    size_t n = receive(nbd, to, most < nbd->fill_left ? most : nbd->fill_left);
    nbd->fill_left -= (uint32_t)n;
    if (!nbd->filling)
        return n > 0;
    nbd->room_done += (uint32_t)n;
    if (nbd->room_done == nbd->room_bytes) {
        struct lun_cmd *cmd = nbd->filling->cmd;
        nbd->room = NULL;
        if (nbd->fill_left == 0)
            nbd->filling = NULL;
        lun_out_done(lun, cmd, nbd->room_bytes);
    }
    return n > 0;
}

static bool receive_some(struct nbd *nbd)
{
    if (nbd->fill_left > 0)
        return receive_data(nbd);
    if (!nbd->waiting)
        return receive_header(nbd);
    nbd->waiting = !take_request(nbd);
    return !nbd->waiting;
}

/* ---- what goes out ---- */

/* The iovec of the oldest reply from where it was cut off. */
static int reply_rest(const struct nbd *nbd, struct iovec *iov)
{
    size_t skip = nbd->sent_bytes;
    int count = 0;
    for (int i = 0; i < nbd->replies->iov_count; i++) {
        struct iovec part = nbd->replies->iov[i];
        if (skip >= part.iov_len) {
            skip -= part.iov_len;
            continue;
        }
        iov[count++] = (struct iovec){.iov_base = (uint8_t *)part.iov_base + skip,
                                      .iov_len = part.iov_len - skip};
        skip = 0;
    }
    return count;
}

static bool send_some(struct nbd *nbd)
{
    struct iovec iov[1 + NBD_REQUEST_SEGMENTS];
    struct request *r = nbd->replies;
    size_t left = 0;
    if (!r)
        return false;
    struct msghdr message = {.msg_iov = iov};
    int count = reply_rest(nbd, iov);
    for (int i = 0; i < count; i++)
        left += iov[i].iov_len;
    message.msg_iovlen = (size_t)count;
    ssize_t n = sendmsg(nbd->config.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    nbd->blocked = n < 0 && errno == EAGAIN;
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            end(nbd, "nbd: the socket takes no reply");
        return false;
    }
    nbd->sent_bytes += (size_t)n;
    if ((size_t)n < left)
        return true;
    nbd->sent_bytes = 0;
    nbd->replies = r->behind;
    if (!nbd->replies)
        nbd->replies_end = &nbd->replies;
    request_free(r);
    return true;
}

/* Does all that can be done now. */
static void step(struct nbd *nbd)
{
    for (unsigned i = 0; nbd->serving && i < TURN_STEPS; i++) {
        bool sent = send_some(nbd);
        bool received = nbd->serving && receive_some(nbd);
        if (!sent && !received)
            return;
    }
    if (nbd->serving)
        deferred_add(nbd->config.deferred, &nbd->again);
}

static void on_again(struct deferred *d)
{
    step((struct nbd *)((char *)d - offsetof(struct nbd, again)));
}

/* ---- for the event loop ---- */

short nbd_events(const struct nbd *nbd)
{
    short events = 0;
    if (!nbd->serving)
        return 0;
    if (nbd->blocked)
        events |= POLLOUT;
    bool waits_for_room = nbd->filling && !nbd->room;
    if (!nbd->waiting && !waits_for_room)
        events |= POLLIN;
    return events;
}

void nbd_ready(struct nbd *nbd)
{
    step(nbd);
}

struct nbd *nbd_create(const struct nbd_config *config)
{
    if (config->fd < 0 || !config->lun || !config->deferred || !config->ended) {
        errno = EINVAL;
        return NULL;
    }
    struct nbd *nbd = calloc(1, sizeof *nbd);
    if (!nbd)
        return NULL;
    nbd->config = *config;
    nbd->replies_end = &nbd->replies;
    deferred_init(&nbd->again, on_again);
    for (unsigned i = 0; i < NBD_REQUESTS; i++)
        nbd->requests[i].nbd = nbd;
    return nbd;
}

void nbd_begin(struct nbd *nbd, const struct nbd_geometry *geometry, uint32_t segment_bytes)
{
    nbd->geometry = *geometry;
    nbd->segment_bytes = segment_bytes;
    nbd->serving = !nbd->ended;
}

void nbd_destroy(struct nbd *nbd)
{
    if (!nbd)
        return;
    deferred_cancel(nbd->config.deferred, &nbd->again);
    for (unsigned i = 0; i < NBD_REQUESTS; i++) {
        struct request *r = &nbd->requests[i];
        if (r->used && r->cmd)
            lun_abort(nbd->config.lun, r->cmd);
        if (r->used)
            request_free(r);
    }
    free(nbd);
}

const struct nbd_stats *nbd_stats(const struct nbd *nbd)
{
    return &nbd->stats;
}
