/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thirteen cases of BOT 6.7: what the host declared (H) against what the
 * command moves by itself (D); n: nothing, i: in, o: out. The logical unit
 * finds the phase errors (scsi_outcome.phase_error), this file ends the phase.
 *
 *    1  Hn = Dn   no data phase; CSW with the command's status
 *    2  Hn < Di   nothing is sent; phase error
 *    3  Hn < Do   nothing is taken; phase error
 *    4  Hi > Dn   zero-length packet (or halt); residue: all
 *    5  Hi > Di   the data, then a short or zero-length packet (or halt);
 *                 residue: the rest
 *    6  Hi = Di   the data, nothing behind them
 *    7  Hi < Di   at most what was declared; phase error
 *    8  Hi <> Do  as 4; phase error
 *    9  Ho > Dn   the data are drained; residue: all
 *   10  Ho <> Di  drained; phase error
 *   11  Ho > Do   what is wanted is taken, the rest drained; residue: the rest
 *   12  Ho = Do   all taken
 *   13  Ho < Do   drained; phase error
 *
 * OUT is never halted: the host may already have the ACK of data that follow.
 */
#include "bot.h"

#include "bot_wire.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Room for a CBW: a packet, at every speed (usb_port.h). */
#define CBW_BUF_BYTES 1024
/* What nobody wants goes here; all requests may share it, nobody reads it. */
#define SCRAP_BYTES POOL_SLICE_BYTES

enum bot_state {
    BOT_OFF,
    BOT_IDLE,
    BOT_NO_CMD,
    BOT_NO_DATA,
    BOT_DATA_IN,
    BOT_DATA_OUT,
    BOT_HALT_IN,
    BOT_CSW,
    BOT_INVALID,
    BOT_RESETTING,
};

static const char *const state_names[] = {
    [BOT_OFF] = "off",         [BOT_IDLE] = "idle",
    [BOT_NO_CMD] = "no-cmd",   [BOT_NO_DATA] = "no-data",
    [BOT_DATA_IN] = "data-in", [BOT_DATA_OUT] = "data-out",
    [BOT_HALT_IN] = "halt-in", [BOT_CSW] = "csw",
    [BOT_INVALID] = "invalid", [BOT_RESETTING] = "resetting",
};

struct bot_xfer {
    struct usb_req req;
    bool lent;             /* the port has it */
    uint32_t lun_bytes;    /* the piece or room of the logical unit; 0: none (packet, scrap) */
    uint32_t covers_bytes; /* OUT: how many of the declared bytes it can take */
};

struct bot {
    struct bot_config config;
    struct bot_stats stats;
    enum bot_state state;
    enum bot_state after; /* of RESETTING */
    uint32_t packet_bytes;
    struct deferred retry;

    struct bot_xfer cbw_xfer, csw_xfer;
    /* Data transfers, oldest at `first`: `taken` from the logical unit or the
     * scrap, of which the first `posted` are with the port. */
    struct bot_xfer data[BOT_DEPTH];
    unsigned first, taken, posted;
    unsigned lent[2]; /* of all kinds, per endpoint */

    /* The command. `cmd` is NULL for a CBW that is not meaningful. */
    struct bot_cbw cbw;
    struct lun *lun;
    struct lun_cmd *cmd;
    bool aborted;           /* cmd only waits for its buffers */
    bool complete;          /* the two below are final */
    uint32_t moved_bytes;   /* of the outcome */
    uint8_t csw_status;     /* enum bot_csw_status */
    uint32_t covered_bytes; /* of the declared bytes, by transfers taken so far */
    bool rooms_ended;       /* the last room was no multiple of the packet */
    bool host_ended;        /* a short packet ended data-out before its time */
    bool no_halt;           /* the port cannot halt: end with a packet */

    bool cbw_arrived; /* in cbw_buf, not looked at yet */
    bool given_up;    /* RESETTING by the host's own doing: a CBW is its next one */
    bool csw_sent, csw_home;

    bool halted;            /* INVALID: IN, as far as we know */
    uint64_t halt_again_us; /* INVALID: not only as far as we know */
    bool discard_off;       /* INVALID: OUT requests fail, no more are made */

    uint8_t csw_buf[BOT_CSW_BYTES];
    uint8_t cbw_buf[CBW_BUF_BYTES];
    uint8_t scrap[SCRAP_BYTES];
};

static void bot_log(const struct bot *bot, enum lun_log_level level, const char *text, int error)
{
    char line[160];

    if (!bot->config.log)
        return;
    if (error)
        (void)snprintf(line, sizeof line, "bot: %s in %s (error %d)", text, state_names[bot->state],
                       error);
    else
        (void)snprintf(line, sizeof line, "bot: %s in %s", text, state_names[bot->state]);
    bot->config.log(level, line);
}

static void set_state(struct bot *bot, enum bot_state next)
{
    char line[64];

    if (next == bot->state)
        return;
    if (bot->config.log) {
        (void)snprintf(line, sizeof line, "bot: %s -> %s", state_names[bot->state],
                       state_names[next]);
        bot->config.log(LUN_LOG_DEBUG, line);
    }
    bot->state = next;
}

/*
 * Leaves any state for `after`. The command is given up at once; its buffers
 * and the request structures are touched again only when the port has given
 * every request back (step_resetting()).
 */
static void restart(struct bot *bot, enum bot_state after)
{
    if (bot->cmd && !bot->aborted) {
        bot->aborted = true;
        lun_abort(bot->lun, bot->cmd);
    }
    bot->cbw_arrived = false;
    bot->given_up = false;
    bot->after = after;
    set_state(bot, BOT_RESETTING);
    if (bot->lent[USB_OUT] + bot->lent[USB_IN] > 0)
        bot->config.port->ops->cancel(bot->config.port);
}

/* The port or a logical unit did what it may not: the machine starts again,
 * and the host is told by a halt that it has to do a reset recovery. */
static void fault(struct bot *bot, const char *what, int error)
{
    bot_log(bot, LUN_LOG_ERROR, what, error);
    bot->stats.faults++;
    restart(bot, BOT_INVALID);
}

/* The host has read on IN and took less than was there. Firmware does so when its
 * own patience has ended: it asks for the CSW although data are queued, and then
 * sends its next CBW, without a reset recovery. */
static void give_up(struct bot *bot)
{
    bool arrived = bot->cbw_arrived;

    bot_log(bot, LUN_LOG_WARNING, "the host has given the command up", 0);
    restart(bot, BOT_IDLE);
    bot->given_up = true;
    bot->cbw_arrived = arrived;
}

/* Tries again from the event loop, unless a request of that endpoint is out:
 * its completion does it. */
static void retry_later(struct bot *bot, enum usb_endpoint endpoint)
{
    if (bot->lent[endpoint] == 0)
        deferred_add(bot->config.deferred, &bot->retry);
}

/* Lends a transfer to the port. False: not now, or not at all; then the state
 * may have changed. */
static bool lend(struct bot *bot, struct bot_xfer *xfer)
{
    struct usb_port *port = bot->config.port;
    int rc = port->ops->submit(port, &xfer->req);

    if (rc == 0) {
        xfer->lent = true;
        bot->lent[xfer->req.endpoint]++;
        return true;
    }
    if (rc == -EAGAIN) {
        retry_later(bot, xfer->req.endpoint);
    } else if (rc == -ESHUTDOWN) {
        restart(bot, BOT_OFF);
    } else if (bot->state == BOT_INVALID) {
        bot_log(bot, LUN_LOG_WARNING, "OUT cannot be discarded", rc);
    } else {
        fault(bot, "request refused", rc);
    }
    return false;
}

static bool lend_cbw(struct bot *bot)
{
    struct usb_req *req = &bot->cbw_xfer.req;

    req->endpoint = USB_OUT;
    req->buf = bot->cbw_buf;
    req->length_bytes = bot->packet_bytes; /* no more: a whole packet is an invalid CBW */
    return lend(bot, &bot->cbw_xfer);
}

/* A free data transfer, counted as taken; the caller checked that there is one. */
static struct bot_xfer *data_take(struct bot *bot, enum usb_endpoint endpoint, uint8_t *buf,
                                  uint32_t length_bytes, uint32_t lun_bytes)
{
    struct bot_xfer *xfer = &bot->data[(bot->first + bot->taken) % BOT_DEPTH];

    bot->taken++;
    xfer->req.endpoint = endpoint;
    xfer->req.buf = buf;
    xfer->req.length_bytes = length_bytes;
    xfer->lun_bytes = lun_bytes;
    xfer->covers_bytes = 0;
    return xfer;
}

/* Posts what was taken. True when all of it is with the port. */
static bool data_post(struct bot *bot)
{
    while (bot->posted < bot->taken) {
        if (!lend(bot, &bot->data[(bot->first + bot->posted) % BOT_DEPTH]))
            return false;
        bot->posted++;
    }
    return true;
}

static uint32_t uncovered_bytes(const struct bot *bot)
{
    return bot->cbw.length_bytes - bot->covered_bytes;
}

static uint32_t round_up(const struct bot *bot, uint32_t bytes)
{
    return (bytes + bot->packet_bytes - 1) & ~(bot->packet_bytes - 1);
}

/* Builds the CSW: the residue counts the relevant data-in that were sent, or
 * the data-out that the logical unit processed (BOT 5.2). */
static void enter_csw(struct bot *bot)
{
    uint32_t declared = bot->cbw.length_bytes;
    uint32_t moved = bot->cbw.dir == SCSI_DIR_IN ? bot->covered_bytes : bot->moved_bytes;

    if (moved > declared)
        moved = declared;
    bot_csw_build(bot->csw_buf, bot->cbw.tag, declared - moved,
                  (enum bot_csw_status)bot->csw_status);
    bot->csw_sent = false;
    bot->csw_home = false;
    set_state(bot, BOT_CSW);
}

/* ---- the command ---- */

static void on_progress(struct lun_cmd *cmd);
static void on_complete(struct lun_cmd *cmd);
static const struct frontend_ops frontend_ops = {.progress = on_progress, .complete = on_complete};

static enum bot_state data_state(const struct bot *bot)
{
    switch (bot->cbw.dir) {
    case SCSI_DIR_IN:
        return BOT_DATA_IN;
    case SCSI_DIR_OUT:
        return BOT_DATA_OUT;
    case SCSI_DIR_NONE:
        break;
    }
    return BOT_NO_DATA;
}

/* All 16 bytes of CBWCB go along: some hosts say a bCBWCBLength that is not
 * their opcode's length, and the logical unit knows the opcodes. */
static void submit_command(struct bot *bot)
{
    struct lun_cmd *cmd = lun_cmd_take(bot->lun, &frontend_ops);

    if (!cmd) {
        set_state(bot, BOT_NO_CMD);
        deferred_add(bot->config.deferred, &bot->retry);
        return;
    }
    memcpy(cmd->cdb, bot->cbw.cb, sizeof cmd->cdb);
    cmd->cdb_bytes = bot->cbw.cb_bytes;
    cmd->dir = bot->cbw.dir;
    cmd->length_bytes = bot->cbw.length_bytes;
    cmd->front = bot;
    bot->cmd = cmd;
    bot->aborted = false;
    lun_submit(bot->lun, cmd);
    set_state(bot, data_state(bot));
}

static void accept_cbw(struct bot *bot)
{
    if (!bot_cbw_parse(bot->cbw_buf, bot->cbw_xfer.req.actual_bytes, &bot->cbw)) {
        bot_log(bot, LUN_LOG_WARNING, "invalid CBW", 0);
        bot->stats.invalid_cbws++;
        set_state(bot, BOT_INVALID);
        return;
    }
    bot->stats.cbws++;
    bot->complete = false;
    bot->moved_bytes = 0;
    bot->covered_bytes = 0;
    bot->rooms_ended = false;
    bot->host_ended = false;
    bot->no_halt = false;
    if (!bot_cbw_meaningful(&bot->cbw, bot->config.lun_count)) {
        bot_log(bot, LUN_LOG_INFO, "CBW not meaningful", 0);
        bot->stats.not_meaningful++;
        bot->complete = true;
        bot->csw_status = BOT_CSW_FAILED;
        set_state(bot, data_state(bot));
        return;
    }
    bot->lun = bot->config.luns[bot->cbw.lun];
    submit_command(bot);
}

static void release_command(struct bot *bot)
{
    struct lun_cmd *cmd = bot->cmd;

    bot->cmd = NULL;
    if (cmd)
        lun_release(bot->lun, cmd);
}

/* ---- one function per state; each makes at most one move ---- */

static void step_off(struct bot *bot)
{
    (void)bot;
}

static void step_idle(struct bot *bot)
{
    if (bot->cbw_arrived) {
        bot->cbw_arrived = false;
        accept_cbw(bot);
    } else if (!bot->cbw_xfer.lent) {
        (void)lend_cbw(bot);
    }
}

static void step_no_cmd(struct bot *bot)
{
    submit_command(bot);
}

static void step_no_data(struct bot *bot)
{
    if (bot->complete)
        enter_csw(bot);
}

/* Takes valid pieces while transfers are free. False when the logical unit
 * gave none although it could have. */
static bool take_pieces(struct bot *bot)
{
    while (bot->cmd && bot->taken < BOT_DEPTH && uncovered_bytes(bot) > 0) {
        uint8_t *piece = NULL;
        uint32_t bytes = lun_in_next(bot->lun, bot->cmd, &piece);

        if (bytes == 0)
            return false;
        /* A short packet ends the phase for the host: only the last may be one. */
        if (bot->covered_bytes % bot->packet_bytes != 0 || bytes > uncovered_bytes(bot)) {
            fault(bot, "piece of data-in that does not fit", 0);
            return false;
        }
        (void)data_take(bot, USB_IN, piece, bytes, bytes);
        bot->covered_bytes += bytes;
    }
    return bot->cmd != NULL;
}

static void step_data_in(struct bot *bot)
{
    bool more = take_pieces(bot);

    if (bot->state != BOT_DATA_IN || !data_post(bot))
        return;
    /* The end: all that the outcome counts is taken, or never comes. */
    bool ended = bot->covered_bytes >= bot->moved_bytes || uncovered_bytes(bot) == 0 ||
                 (!more && bot->taken == 0);
    if (!bot->complete || !ended)
        return;
    if (uncovered_bytes(bot) == 0) {
        enter_csw(bot);
    } else if (bot->config.short_in == BOT_SHORT_IN_HALT && !bot->no_halt) {
        set_state(bot, BOT_HALT_IN);
    } else if (bot->covered_bytes % bot->packet_bytes != 0) {
        enter_csw(bot);
    } else if (bot->taken < BOT_DEPTH) {
        (void)data_take(bot, USB_IN, bot->csw_buf, 0, 0);
        enter_csw(bot);
    }
}

/* What became of an attempt to halt IN. */
enum halt_result { HALT_DONE, HALT_LATER, HALT_IMPOSSIBLE };

/* LATER: it is tried again, or the state has changed. */
static enum halt_result halt_in(struct bot *bot)
{
    struct usb_port *port = bot->config.port;
    int rc = port->ops->halt(port, USB_IN);

    if (rc == 0)
        return HALT_DONE;
    if (rc == -EAGAIN) {
        retry_later(bot, USB_IN);
        return HALT_LATER;
    }
    if (rc == -ESHUTDOWN) {
        restart(bot, BOT_OFF);
        return HALT_LATER;
    }
    bot_log(bot, LUN_LOG_WARNING, "IN cannot be halted", rc);
    return HALT_IMPOSSIBLE;
}

static void step_halt_in(struct bot *bot)
{
    if (bot->taken > 0)
        return;
    switch (halt_in(bot)) {
    case HALT_DONE:
        enter_csw(bot);
        break;
    case HALT_IMPOSSIBLE:
        bot->no_halt = true;
        set_state(bot, BOT_DATA_IN); /* ends with a packet instead */
        break;
    case HALT_LATER:
        break;
    }
}

/* Rooms of the logical unit, in their order. A room that is no multiple of the
 * packet is its last: what the rounded-up request takes beyond it is dropped. */
static void take_rooms(struct bot *bot)
{
    while (bot->taken < BOT_DEPTH && uncovered_bytes(bot) > 0) {
        uint8_t *room = NULL;
        uint32_t bytes = lun_out_next(bot->lun, bot->cmd, &room);

        if (bytes == 0)
            return;
        if (bot->rooms_ended || bytes > uncovered_bytes(bot)) {
            fault(bot, "room for data-out that does not fit", 0);
            return;
        }
        uint32_t length = round_up(bot, bytes);
        bot->rooms_ended = length != bytes;
        struct bot_xfer *xfer = data_take(bot, USB_OUT, room, length, bytes);
        xfer->covers_bytes = length < uncovered_bytes(bot) ? length : uncovered_bytes(bot);
        bot->covered_bytes += xfer->covers_bytes;
    }
}

/* The logical unit wants no more: the rest of what the host declared, and not
 * a byte of the next CBW. */
static void take_scrap(struct bot *bot)
{
    while (bot->taken < BOT_DEPTH && uncovered_bytes(bot) > 0) {
        uint32_t bytes = uncovered_bytes(bot) < SCRAP_BYTES ? uncovered_bytes(bot) : SCRAP_BYTES;
        struct bot_xfer *xfer = data_take(bot, USB_OUT, bot->scrap, round_up(bot, bytes), 0);

        xfer->covers_bytes = bytes;
        bot->covered_bytes += bytes;
    }
}

static void step_data_out(struct bot *bot)
{
    if (bot->complete)
        take_scrap(bot);
    else
        take_rooms(bot);
    if (bot->state != BOT_DATA_OUT || !data_post(bot))
        return;
    if (bot->complete && bot->taken == 0 && uncovered_bytes(bot) == 0)
        enter_csw(bot);
}

/* The CSW is queued behind the data without waiting for them, and the request
 * for the next CBW with it: each saves the host a turn of the event loop. */
static void step_csw(struct bot *bot)
{
    struct usb_req *req = &bot->csw_xfer.req;

    if (!data_post(bot))
        return;
    if (bot->taken == 0)
        release_command(bot);
    if (!bot->csw_sent) {
        req->endpoint = USB_IN;
        req->buf = bot->csw_buf;
        req->length_bytes = BOT_CSW_BYTES;
        if (!lend(bot, &bot->csw_xfer))
            return;
        bot->csw_sent = true;
        if (bot->csw_status == BOT_CSW_PHASE_ERROR)
            bot->stats.phase_errors++;
    }
    if (!bot->cbw_xfer.lent && !bot->cbw_arrived && !lend_cbw(bot))
        return;
    if (bot->csw_home && !bot->cmd)
        set_state(bot, BOT_IDLE);
}

/* BOT 6.6.1: IN stays halted and OUT is discarded until a reset recovery. IN is
 * halted again whenever the host sends something, and now and then. */
static void step_invalid(struct bot *bot)
{
    if (!bot->halted) {
        enum halt_result result = halt_in(bot);
        bot->halted = result != HALT_LATER;
        bot->halt_again_us = result == HALT_DONE
                                 ? bot->config.now_us() + BOT_HALT_AGAIN_MS * UINT64_C(1000)
                                 : UINT64_MAX;
    }
    if (bot->state == BOT_INVALID && !bot->cbw_xfer.lent && !bot->discard_off)
        (void)lend_cbw(bot);
}

static void step_resetting(struct bot *bot)
{
    if (bot->lent[USB_OUT] + bot->lent[USB_IN] > 0)
        return;
    release_command(bot);
    bot->first = bot->taken = bot->posted = 0;
    bot->halted = false;
    bot->discard_off = false;
    set_state(bot, bot->after);
}

/* Does all that can be done now; after every event. */
static void step(struct bot *bot)
{
    static void (*const steps[])(struct bot *) = {
        [BOT_OFF] = step_off,         [BOT_IDLE] = step_idle,
        [BOT_NO_CMD] = step_no_cmd,   [BOT_NO_DATA] = step_no_data,
        [BOT_DATA_IN] = step_data_in, [BOT_DATA_OUT] = step_data_out,
        [BOT_HALT_IN] = step_halt_in, [BOT_CSW] = step_csw,
        [BOT_INVALID] = step_invalid, [BOT_RESETTING] = step_resetting,
    };
    enum bot_state before;

    do {
        before = bot->state;
        steps[before](bot);
    } while (bot->state != before);
}

static void on_retry(struct deferred *d)
{
    step((struct bot *)((char *)d - offsetof(struct bot, retry)));
}

/* ---- events of the logical unit ---- */

static void on_progress(struct lun_cmd *cmd)
{
    struct bot *bot = cmd->front;

    if (cmd == bot->cmd && !bot->aborted)
        step(bot);
}

static void on_complete(struct lun_cmd *cmd)
{
    struct bot *bot = cmd->front;

    if (cmd != bot->cmd || bot->aborted || bot->complete) {
        bot_log(bot, LUN_LOG_ERROR, "completion of no command", 0);
        return;
    }
    bot->complete = true;
    bot->moved_bytes = cmd->outcome.moved_bytes;
    if (cmd->outcome.phase_error)
        bot->csw_status = BOT_CSW_PHASE_ERROR;
    else if (cmd->outcome.status == SCSI_STATUS_CODE_GOOD ||
             cmd->outcome.status == SCSI_STATUS_CODE_CONDITION_MET)
        bot->csw_status = BOT_CSW_PASSED;
    else
        bot->csw_status = BOT_CSW_FAILED;
    step(bot);
}

/* ---- events of the port ---- */

static void cbw_done(struct bot *bot)
{
    int status = bot->cbw_xfer.req.status;

    switch (bot->state) {
    case BOT_IDLE:
    case BOT_CSW:
        if (status != 0)
            fault(bot, "CBW request failed", status);
        else
            bot->cbw_arrived = true;
        break;
    case BOT_INVALID:
        if (status != 0)
            bot->discard_off = true;
        bot->halted = false;
        break;
    default:
        fault(bot, "CBW request at the wrong time", status);
    }
}

static void csw_done(struct bot *bot)
{
    const struct usb_req *req = &bot->csw_xfer.req;

    if (bot->state != BOT_CSW || req->status != 0)
        fault(bot, "CSW not sent", req->status);
    else if (req->actual_bytes != BOT_CSW_BYTES)
        give_up(bot);
    else
        bot->csw_home = true;
}

static void data_in_done(struct bot *bot, const struct bot_xfer *xfer)
{
    if (xfer->req.status != 0)
        fault(bot, "data-in not sent", xfer->req.status);
    else if (xfer->req.actual_bytes != xfer->req.length_bytes)
        give_up(bot);
    else if (xfer->lun_bytes > 0)
        lun_in_done(bot->lun, bot->cmd, xfer->lun_bytes);
}

/*
 * Fewer bytes than the request covers: a short packet, the host ends its data
 * early. The requests behind it would swallow the next CBW: they are called
 * back before the CSW. Their rooms stay lent until the command is released.
 */
static void data_out_done(struct bot *bot, const struct bot_xfer *xfer)
{
    uint32_t actual = xfer->req.actual_bytes;

    if (bot->host_ended)
        return;
    if (xfer->req.status != 0) {
        fault(bot, "data-out failed", xfer->req.status);
        return;
    }
    if (xfer->lun_bytes > 0 && !bot->complete)
        lun_out_done(bot->lun, bot->cmd, actual < xfer->lun_bytes ? actual : xfer->lun_bytes);
    if (actual >= xfer->covers_bytes)
        return;
    bot->host_ended = true;
    bot->covered_bytes = bot->cbw.length_bytes;
    bot->taken = bot->posted;
    if (bot->posted > 0)
        bot->config.port->ops->cancel(bot->config.port);
}

static void data_done(struct bot *bot, struct bot_xfer *xfer)
{
    bool in = xfer->req.endpoint == USB_IN;
    bool expected =
        in ? bot->state == BOT_DATA_IN || bot->state == BOT_HALT_IN || bot->state == BOT_CSW
           : bot->state == BOT_DATA_OUT;

    if (!expected || bot->posted == 0 || xfer != &bot->data[bot->first]) {
        fault(bot, "data out of order", xfer->req.status);
        return;
    }
    bot->first = (bot->first + 1) % BOT_DEPTH;
    bot->taken--;
    bot->posted--;
    if (in)
        data_in_done(bot, xfer);
    else
        data_out_done(bot, xfer);
}

/* Stale: it only gives its buffer back. But a host whose first CBW is lost
 * waits for an answer, until a halt makes it do a reset recovery. */
static void reset_done(struct bot *bot, const struct bot_xfer *xfer)
{
    int status = xfer->req.status;

    if (bot->given_up && xfer == &bot->cbw_xfer && status == 0)
        bot->cbw_arrived = true;
    if (status != -ESTALE || bot->after != BOT_IDLE)
        return;
    bot_log(bot, LUN_LOG_WARNING, "CBW lost in a new configuration", 0);
    bot->after = BOT_INVALID;
}

static void on_io_done(void *ctx, struct usb_req *req)
{
    struct bot *bot = ctx;
    struct bot_xfer *xfer = (struct bot_xfer *)((char *)req - offsetof(struct bot_xfer, req));

    if (!xfer->lent) {
        bot_log(bot, LUN_LOG_ERROR, "request came back twice", req->status);
        return;
    }
    xfer->lent = false;
    bot->lent[req->endpoint]--;
    if (bot->state == BOT_RESETTING)
        reset_done(bot, xfer);
    else if (req->status == -ESHUTDOWN)
        restart(bot, BOT_OFF); /* disabled() is on its way */
    else if (xfer == &bot->cbw_xfer)
        cbw_done(bot);
    else if (xfer == &bot->csw_xfer)
        csw_done(bot);
    else
        data_done(bot, xfer);
    step(bot);
}

static void reset_luns(struct bot *bot)
{
    for (unsigned i = 0; i < bot->config.lun_count; i++)
        lun_host_reset(bot->config.luns[i]);
}

/* May come without disabled() before it: FunctionFS drops a DISABLE event that
 * nobody read when the next ENABLE follows. */
static void on_enabled(void *ctx, enum usb_speed speed, uint16_t max_packet_bytes)
{
    struct bot *bot = ctx;
    bool usable = max_packet_bytes >= 8 && max_packet_bytes <= CBW_BUF_BYTES &&
                  (max_packet_bytes & (max_packet_bytes - 1)) == 0;

    bot->stats.enables++;
    bot->stats.speed = usable ? speed : USB_SPEED_NONE;
    if (usable)
        bot->packet_bytes = max_packet_bytes;
    else
        bot_log(bot, LUN_LOG_ERROR, "enabled with a packet size of no bulk endpoint", 0);
    restart(bot, usable ? BOT_IDLE : BOT_OFF);
    reset_luns(bot);
    step(bot);
}

static void on_disabled(void *ctx)
{
    struct bot *bot = ctx;

    bot->stats.speed = USB_SPEED_NONE;
    if (bot->state != BOT_OFF)
        restart(bot, BOT_OFF);
    reset_luns(bot);
    step(bot);
}

/* BOT 5.3.4: halts and toggles stay as they are, the host clears them. */
static void on_bot_reset(void *ctx)
{
    struct bot *bot = ctx;

    bot->stats.resets++;
    if (bot->state != BOT_OFF)
        restart(bot, BOT_IDLE);
    reset_luns(bot);
    step(bot);
}

static uint8_t on_max_lun(void *ctx)
{
    const struct bot *bot = ctx;

    return (uint8_t)(bot->config.lun_count - 1);
}

static const struct usb_port_events port_events = {
    .enabled = on_enabled,
    .disabled = on_disabled,
    .io_done = on_io_done,
    .bot_reset = on_bot_reset,
    .max_lun = on_max_lun,
};

/* ---- life ---- */

struct bot *bot_create(const struct bot_config *config)
{
    if (!config->port || !config->deferred || !config->luns || config->lun_count < 1 ||
        config->lun_count > BOT_LUNS_MAX || !config->now_us) {
        errno = EINVAL;
        return NULL;
    }
    struct bot *bot = calloc(1, sizeof *bot);
    if (!bot)
        return NULL;
    bot->config = *config;
    bot->state = BOT_OFF;
    deferred_init(&bot->retry, on_retry);
    config->port->events = &port_events;
    config->port->events_ctx = bot;
    return bot;
}

void bot_destroy(struct bot *bot)
{
    if (!bot)
        return;
    deferred_cancel(bot->config.deferred, &bot->retry);
    bot->config.port->events = NULL;
    bot->config.port->events_ctx = NULL;
    free(bot);
}

uint64_t bot_next_timeout_us(const struct bot *bot)
{
    return bot->state == BOT_INVALID ? bot->halt_again_us : UINT64_MAX;
}

void bot_run_timeouts(struct bot *bot)
{
    if (bot->config.now_us() < bot_next_timeout_us(bot))
        return;
    bot->halted = false;
    step(bot);
}

bool bot_idle(const struct bot *bot)
{
    return bot->lent[USB_OUT] + bot->lent[USB_IN] == 0 && !bot->cmd;
}

const struct bot_stats *bot_stats(const struct bot *bot)
{
    return &bot->stats;
}

const char *bot_state_name(const struct bot *bot)
{
    return state_names[bot->state];
}
