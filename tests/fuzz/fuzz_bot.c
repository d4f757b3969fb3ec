/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The input is a script of events for the Bulk-Only Transport machine: CBWs
 * good and bad, data, resets, late and failed completions, a logical unit that
 * does what it likes. Whatever happens, only this reaches the host: pieces of
 * the command that is out, empty packets, and one CSW per CBW with its tag; all
 * requests come home; and afterwards an honest host is served.
 */
#include "gadget/bot.h"
#include "gadget/bot_wire.h"
#include "tests/unit/fake_lun.h"
#include "tests/unit/script_port.h"

#include <errno.h>

#define LUNS       2
#define TAGS       4096 /* more than a script has CBWs */
#define DATA_BYTES (1u << 19)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

struct fuzz {
    const uint8_t *input;
    size_t left;
    struct deferred_list deferred;
    struct script_port port;
    struct lun lun[LUNS];
    struct bot *bot;
    uint64_t now_us;
    uint32_t last_tag;       /* of a CBW */
    uint32_t answered_tag;   /* no CSW may have this one or a lower one */
    uint32_t declared[TAGS]; /* by tag */
    uint8_t data[DATA_BYTES];
};

static struct fuzz fuzz;

static uint8_t take_byte(struct fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->input++;
}

/* Lengths around what matters: packets, slices, more than fits in flight. */
static uint32_t take_length(struct fuzz *f)
{
    static const uint32_t lengths[] = {0,    1,     13,    31,    36,    63,     64,     511,
                                       512,  513,   1000,  1024,  1025,  4096,   8191,   8192,
                                       8200, 65535, 65536, 65537, 98304, 131072, 262144, 400000};

    return lengths[take_byte(f) % (sizeof lengths / sizeof lengths[0])];
}

static bool port_uses(void *ctx, const void *memory, size_t bytes)
{
    return script_port_uses(ctx, memory, bytes);
}

static void check_csw(struct fuzz *f, const uint8_t *data)
{
    struct bot_csw_wire csw;

    memcpy(&csw, data, sizeof csw);
    uint32_t tag = get_le32(csw.tag);
    SCRIPT_CHECK(get_le32(csw.signature) == BOT_CSW_SIGNATURE);
    SCRIPT_CHECK(tag > f->answered_tag && tag <= f->last_tag);
    SCRIPT_CHECK(get_le32(csw.residue) <= f->declared[tag]);
    SCRIPT_CHECK(csw.status <= BOT_CSW_PHASE_ERROR);
    f->answered_tag = tag;
}

static void check_sent(void *ctx, const struct usb_req *req)
{
    struct fuzz *f = ctx;

    SCRIPT_CHECK(strcmp(bot_state_name(f->bot), "invalid") != 0);

    for (int i = 0; i < LUNS; i++) {
        const uint8_t *slices = f->lun[i].slice[0];
        if (req->buf >= slices && req->buf < slices + sizeof f->lun[i].slice) {
            fake_lun_check_piece(&f->lun[i], req->buf, req->length_bytes);
            return;
        }
    }
    if (req->length_bytes == 0)
        return;
    SCRIPT_CHECK(req->length_bytes == BOT_CSW_BYTES);
    check_csw(f, req->buf);
}

static uint64_t now_us(void)
{
    return fuzz.now_us;
}

static void set_up(struct fuzz *f, enum bot_short_in short_in)
{
    static struct lun *luns[LUNS];
    struct bot_config config = {
        .port = &f->port.usb,
        .deferred = &f->deferred,
        .luns = luns,
        .lun_count = LUNS,
        .short_in = short_in,
        .now_us = now_us,
    };

    deferred_list_init(&f->deferred);
    script_port_init(&f->port, &f->deferred);
    f->port.sent = check_sent;
    f->port.sent_ctx = f;
    for (int i = 0; i < LUNS; i++) {
        luns[i] = &f->lun[i];
        fake_lun_init(luns[i], &f->deferred);
        luns[i]->in_use = port_uses;
        luns[i]->in_use_ctx = &f->port;
    }
    f->last_tag = f->answered_tag = 0;
    f->bot = bot_create(&config);
    SCRIPT_CHECK(f->bot != NULL);
    script_port_enable(&f->port, USB_SPEED_HIGH, 512);
}

/* ---- the events ---- */

static void cbw_build(struct fuzz *f, struct bot_cbw_wire *cbw, uint8_t flags, uint32_t length)
{
    memset(cbw, 0, sizeof *cbw);
    f->last_tag++;
    SCRIPT_CHECK(f->last_tag < TAGS);
    f->declared[f->last_tag] = length;
    put_le32(cbw->signature, BOT_CBW_SIGNATURE);
    put_le32(cbw->tag, f->last_tag);
    put_le32(cbw->length, length);
    cbw->flags = flags;
    cbw->cb_bytes = 10;
}

static void take_plan(struct fuzz *f, struct fake_plan *plan)
{
    static const uint32_t pieces[] = {0, 512, 4096, 8192, 1024, 500, 64, 65536};
    uint8_t bits = take_byte(f);

    memset(plan, 0, sizeof *plan);
    plan->data_bytes = take_length(f);
    plan->piece_bytes = pieces[bits & 7];
    plan->phase_error = bits & 0x08;
    plan->hold = bits & 0x10;
    plan->status = bits & 0x20 ? SCSI_STATUS_CODE_CHECK_CONDITION : SCSI_STATUS_CODE_GOOD;
    plan->claim_bytes = bits & 0x40 ? 512 : 0;
}

static void event_cbw(struct fuzz *f)
{
    struct bot_cbw_wire cbw;
    uint8_t bits = take_byte(f);

    cbw_build(f, &cbw, bits & 0x80, take_length(f));
    cbw.lun = bits & 0x03;
    take_plan(f, &f->lun[bits & 1].plan);
    (void)host_out(&f->port, &cbw, sizeof cbw);
}

/* One byte of it is wrong, but the tag stays ours. */
static void event_bad_cbw(struct fuzz *f)
{
    uint8_t wire[64] = {0};
    struct bot_cbw_wire cbw;
    uint8_t at = take_byte(f);

    cbw_build(f, &cbw, 0x80, take_length(f));
    memcpy(wire, &cbw, sizeof cbw);
    if (at < 4 || (at >= 8 && at < sizeof cbw))
        wire[at] ^= take_byte(f);
    memcpy(&cbw, wire, sizeof cbw);
    f->declared[f->last_tag] = get_le32(cbw.length);
    (void)host_out(&f->port, wire, at >= 0x80 ? at & 0x3f : sizeof cbw);
}

static void event_out(struct fuzz *f)
{
    (void)host_out(&f->port, f->data, take_length(f));
}

static void event_in(struct fuzz *f)
{
    f->port.babble = false;
    (void)host_in(&f->port, f->data, take_length(f));
}

static void event_bot_reset(struct fuzz *f)
{
    script_port_bot_reset(&f->port);
    if (f->port.on)
        f->answered_tag = f->last_tag;
}

static void event_disable(struct fuzz *f)
{
    script_port_disable(&f->port);
    f->answered_tag = f->last_tag;
}

static void event_shut_down(struct fuzz *f)
{
    script_port_shut_down(&f->port);
    f->answered_tag = f->last_tag;
}

static void event_enable(struct fuzz *f)
{
    static const uint16_t packets[] = {64, 512, 512, 1024};

    script_port_enable(&f->port, USB_SPEED_HIGH, packets[take_byte(f) & 3]);
    f->answered_tag = f->last_tag;
}

static void event_open(struct fuzz *f)
{
    struct lun *lun = &f->lun[take_byte(f) % LUNS];
    uint32_t length = take_length(f);

    if (lun->cmd.owner == SCSI_OWNER_LUN && length > lun->open_bytes)
        fake_lun_open(lun, length);
}

static void event_finish(struct fuzz *f)
{
    uint8_t bits = take_byte(f);
    struct lun *lun = &f->lun[bits % LUNS];

    if (lun->cmd.owner == SCSI_OWNER_LUN)
        fake_lun_finish(lun, bits & 2 ? SCSI_STATUS_CODE_CHECK_CONDITION : 0, bits & 4);
}

static void event_turn(struct fuzz *f)
{
    script_port_turns(&f->port, take_byte(f) % 8u);
}

static void event_knobs(struct fuzz *f)
{
    static const int errors[] = {0, 0, 0, -EIO, -EINVAL, -EOPNOTSUPP, 0, 0};
    uint8_t bits = take_byte(f);

    f->port.hold_done = bits & 1;
    f->port.reverse_done = bits & 2;
    f->port.depth = bits & 4 ? 1 + (bits >> 6) : SCRIPT_PORT_QUEUE;
    bits = take_byte(f);
    f->port.refuse_halt = bits & 7;
    f->port.refuse_submit = bits >> 3 & 7;
    f->lun[0].refuse_take = bits >> 6;
    bits = take_byte(f);
    f->port.halt_error = errors[bits & 7];
    f->port.submit_error = errors[bits >> 3 & 7];
}

/* The oldest request of an endpoint ends as it should not. */
static void event_fail_io(struct fuzz *f)
{
    static const int errors[] = {-EIO, -ECONNRESET, -ESHUTDOWN, 0};
    uint8_t bits = take_byte(f);
    enum usb_endpoint endpoint = bits & 1 ? USB_IN : USB_OUT;

    if (f->port.queued[endpoint] == 0)
        return;
    if (endpoint == USB_IN)
        f->port.in_offset_bytes = 0;
    uint32_t actual = f->port.queue[endpoint][0]->actual_bytes;
    script_port_finish(&f->port, endpoint, errors[bits >> 1 & 3], actual);
}

static void event_clear_halt(struct fuzz *f)
{
    host_clear_halt(&f->port, USB_IN);
}

/* The machine's own time comes; the halt of an invalid CBW is back. */
static void event_time(struct fuzz *f)
{
    uint64_t due_us = bot_next_timeout_us(f->bot);

    if (due_us == UINT64_MAX)
        return;
    SCRIPT_CHECK(due_us <= f->now_us + BOT_HALT_AGAIN_MS * UINT64_C(1000));
    f->now_us = due_us;
    f->port.refuse_halt = 0;
    bot_run_timeouts(f->bot);
    if (bot_next_timeout_us(f->bot) != UINT64_MAX)
        SCRIPT_CHECK(f->port.halted[USB_IN]);
}

/* ---- the honest host ---- */

static void calm(struct fuzz *f)
{
    f->port.hold_done = f->port.reverse_done = f->port.babble = false;
    f->port.depth = SCRIPT_PORT_QUEUE;
    f->port.refuse_halt = f->port.refuse_submit = 0;
    f->port.halt_error = f->port.submit_error = 0;
    for (int i = 0; i < LUNS; i++)
        f->lun[i].refuse_take = 0;
    script_port_turn(&f->port);
}

static struct host_result honest_in(struct fuzz *f, uint32_t length)
{
    struct host_result got = host_in(&f->port, f->data, length);

    SCRIPT_CHECK(got.end != HOST_NAK && !f->port.babble);
    if (got.end == HOST_STALL)
        host_clear_halt(&f->port, USB_IN);
    return got;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* A command in idle, whose data, residue and status are known beforehand. */
static void honest_command(struct fuzz *f, uint8_t flags, uint32_t length, struct fake_plan plan)
{
    struct bot_cbw_wire wire;
    struct bot_csw_wire csw;
    struct lun *lun = &f->lun[0];
    bool in = flags & BOT_CBW_FLAG_IN;

    plan.hold = false;
    plan.claim_bytes = 0;
    plan.piece_bytes &= ~1023u; /* whole packets at every speed */
    lun->plan = plan;
    cbw_build(f, &wire, flags, length);
    SCRIPT_CHECK(host_out(&f->port, &wire, sizeof wire).end == HOST_DONE);

    uint32_t moved = least(plan.data_bytes, length);
    if (!in && plan.phase_error)
        moved = 0;
    if (length > 0 && in) {
        SCRIPT_CHECK(honest_in(f, length).bytes == moved);
    } else if (length > 0) {
        SCRIPT_CHECK(host_out(&f->port, f->data, length).end == HOST_DONE);
        script_port_turn(&f->port);
        SCRIPT_CHECK(memcmp(lun->out, f->data, moved) == 0);
    }
    struct host_result got = honest_in(f, BOT_CSW_BYTES);
    if (got.end == HOST_STALL)
        got = honest_in(f, BOT_CSW_BYTES);
    SCRIPT_CHECK(got.end == HOST_DONE && got.bytes == BOT_CSW_BYTES);
    memcpy(&csw, f->data, sizeof csw);
    SCRIPT_CHECK(get_le32(csw.tag) == f->last_tag);
    SCRIPT_CHECK(get_le32(csw.residue) == length - moved);
    enum bot_csw_status status = BOT_CSW_PASSED;
    if (plan.phase_error)
        status = BOT_CSW_PHASE_ERROR;
    else if (plan.status)
        status = BOT_CSW_FAILED;
    SCRIPT_CHECK(csw.status == status);
    script_port_turn(&f->port);
    SCRIPT_CHECK(strcmp(bot_state_name(f->bot), "idle") == 0);
}

static void event_honest(struct fuzz *f)
{
    uint8_t bits = take_byte(f);
    uint32_t length = take_length(f);
    struct fake_plan plan;

    take_plan(f, &plan);
    calm(f);
    if (strcmp(bot_state_name(f->bot), "idle") == 0 && f->port.on &&
        f->port.queue[USB_OUT][0]->actual_bytes == 0) {
        host_clear_halt(&f->port, USB_IN);
        honest_command(f, bits & 0x80, length, plan);
    }
}

static void (*const events[])(struct fuzz *) = {
    event_cbw,       event_bad_cbw,    event_out,     event_out,     event_in,        event_in,
    event_bot_reset, event_enable,     event_open,    event_open,    event_finish,    event_turn,
    event_turn,      event_knobs,      event_fail_io, event_disable, event_shut_down, event_honest,
    event_honest,    event_clear_halt, event_time,
};

/* The cable is pulled: all comes home. Plugged in again: it works. */
static void ends_well(struct fuzz *f)
{
    static const struct fake_plan plan = {.data_bytes = 1536};

    calm(f);
    script_port_disable(&f->port);
    script_port_turn(&f->port);
    SCRIPT_CHECK(bot_idle(f->bot) && strcmp(bot_state_name(f->bot), "off") == 0);
    for (int i = 0; i < LUNS; i++)
        SCRIPT_CHECK(fake_lun_free(&f->lun[i]) && f->lun[i].takes == f->lun[i].releases);
    f->answered_tag = f->last_tag;
    script_port_enable(&f->port, USB_SPEED_HIGH, 512);
    honest_command(f, 0x80, 1536, plan);
    honest_command(f, 0x00, 1536, plan);
    script_port_disable(&f->port);
    script_port_turn(&f->port);
    SCRIPT_CHECK(bot_idle(f->bot));
    bot_destroy(f->bot);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    struct fuzz *f = &fuzz;

    if (bytes > TAGS - 16)
        return -1;
    f->input = input;
    f->left = bytes;
    set_up(f, take_byte(f) & 1 ? BOT_SHORT_IN_HALT : BOT_SHORT_IN_PACKET);
    while (f->left > 0)
        events[take_byte(f) % (sizeof events / sizeof events[0])](f);
    ends_well(f);
    return 0;
}
