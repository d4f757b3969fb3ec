/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bulk-Only Transport alone: a scripted port on one side, logical units under
 * the test's control on the other.
 */
#include "fake_lun.h"
#include "gadget/bot.h"
#include "gadget/bot_wire.h"
#include "script_port.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PACKET     512u
#define DATA_BYTES (1u << 20)
#define SLICE      POOL_SLICE_BYTES

struct bench {
    struct deferred_list deferred;
    struct script_port port;
    struct lun lun[2];
    struct bot *bot;
    uint32_t tag;
    unsigned stalls; /* that the host met and cleared */
    uint8_t data[DATA_BYTES];
};

static struct bench bench;

static bool port_uses(void *ctx, const void *memory, size_t bytes)
{
    return script_port_uses(ctx, memory, bytes);
}

static uint64_t clock_us;

static uint64_t now_us(void)
{
    return clock_us;
}

static int set_up_policy(void **state, enum bot_short_in short_in)
{
    static struct lun *luns[2] = {&bench.lun[0], &bench.lun[1]};

    memset(&bench, 0xa5, sizeof bench);
    bench.stalls = 0;
    deferred_list_init(&bench.deferred);
    script_port_init(&bench.port, &bench.deferred);
    for (int i = 0; i < 2; i++) {
        fake_lun_init(&bench.lun[i], &bench.deferred);
        bench.lun[i].in_use = port_uses;
        bench.lun[i].in_use_ctx = &bench.port;
    }
    struct bot_config config = {
        .port = &bench.port.usb,
        .deferred = &bench.deferred,
        .luns = luns,
        .lun_count = 2,
        .short_in = short_in,
        .now_us = now_us,
    };
    bench.bot = bot_create(&config);
    if (!bench.bot)
        return -1;
    script_port_enable(&bench.port, USB_SPEED_HIGH, PACKET);
    *state = &bench;
    return 0;
}

static int set_up(void **state)
{
    return set_up_policy(state, BOT_SHORT_IN_PACKET);
}

static int set_up_halt(void **state)
{
    return set_up_policy(state, BOT_SHORT_IN_HALT);
}

/* Every test ends like a pulled cable: all must come home. */
static int tear_down(void **state)
{
    struct bench *b = *state;

    b->port.hold_done = false;
    script_port_disable(&b->port);
    script_port_turn(&b->port);
    SCRIPT_CHECK(bot_idle(b->bot));
    SCRIPT_CHECK(strcmp(bot_state_name(b->bot), "off") == 0);
    for (int i = 0; i < 2; i++) {
        SCRIPT_CHECK(fake_lun_free(&b->lun[i]));
        SCRIPT_CHECK(b->lun[i].takes == b->lun[i].releases);
    }
    SCRIPT_CHECK(!b->port.babble);
    bot_destroy(b->bot);
    return 0;
}

/* ---- the host ---- */

#define IN  0x80
#define OUT 0x00

static void cbw_build(struct bench *b, struct bot_cbw_wire *cbw, uint8_t flags, uint32_t bytes)
{
    memset(cbw, 0, sizeof *cbw);
    put_le32(cbw->signature, BOT_CBW_SIGNATURE);
    put_le32(cbw->tag, ++b->tag);
    put_le32(cbw->length, bytes);
    cbw->flags = flags;
    cbw->cb_bytes = 10;
    for (size_t i = 0; i < sizeof cbw->cb; i++)
        cbw->cb[i] = (uint8_t)(0x30 + i);
}

static void cbw_deliver(struct bench *b, const struct bot_cbw_wire *cbw)
{
    struct host_result sent = host_out(&b->port, cbw, sizeof *cbw);

    assert_int_equal(sent.end, HOST_DONE);
    assert_int_equal(sent.bytes, sizeof *cbw);
    script_port_turn(&b->port);
}

static void cbw_send(struct bench *b, uint8_t flags, uint32_t bytes)
{
    struct bot_cbw_wire cbw;

    cbw_build(b, &cbw, flags, bytes);
    cbw_deliver(b, &cbw);
}

/* Reads the CSW; a halt is cleared and the read repeated (BOT figure 2). */
static void csw_expect(struct bench *b, uint32_t residue, enum bot_csw_status status)
{
    uint8_t buf[PACKET];
    struct bot_csw_wire csw;
    struct host_result got = host_in(&b->port, buf, BOT_CSW_BYTES);

    if (got.end == HOST_STALL) {
        b->stalls++;
        host_clear_halt(&b->port, USB_IN);
        got = host_in(&b->port, buf, BOT_CSW_BYTES);
    }
    assert_int_equal(got.end, HOST_DONE);
    assert_int_equal(got.bytes, BOT_CSW_BYTES);
    memcpy(&csw, buf, sizeof csw);
    assert_int_equal(get_le32(csw.signature), BOT_CSW_SIGNATURE);
    assert_int_equal(get_le32(csw.tag), b->tag);
    assert_int_equal(csw.status, status);
    assert_int_equal(get_le32(csw.residue), residue);
    assert_false(b->port.babble);
    script_port_turn(&b->port);
}

/* Reads the data phase, `bytes` asked for, `arrives` expected, all of them the
 * command's own. A halt is cleared. */
static void data_in_expect(struct bench *b, const struct lun *lun, uint32_t bytes, uint32_t arrives)
{
    memset(b->data, 0xa5, sizeof b->data);
    struct host_result got = host_in(&b->port, b->data, bytes);

    assert_int_equal(got.bytes, arrives);
    if (got.end == HOST_STALL) {
        b->stalls++;
        host_clear_halt(&b->port, USB_IN);
    } else {
        assert_int_equal(got.end, HOST_DONE);
    }
    for (uint32_t i = 0; i < arrives; i++)
        assert_int_equal(b->data[i], fake_lun_byte(lun->submits, i));
}

static void data_out_send(struct bench *b, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        b->data[i] = (uint8_t)(i * 7 + i / PACKET);
    struct host_result sent = host_out(&b->port, b->data, bytes);
    assert_int_equal(sent.end, HOST_DONE);
    assert_int_equal(sent.bytes, bytes);
    script_port_turn(&b->port);
}

static void works(struct bench *b)
{
    struct fake_plan plan = {.data_bytes = 1536};

    b->port.hold_done = b->port.reverse_done = false;
    b->lun[0].plan = plan;
    cbw_send(b, IN, 1536);
    data_in_expect(b, &b->lun[0], 1536, 1536);
    csw_expect(b, 0, BOT_CSW_PASSED);
    cbw_send(b, OUT, 1536);
    data_out_send(b, 1536);
    assert_memory_equal(b->lun[0].out, b->data, 1536);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_string_equal(bot_state_name(b->bot), "idle");
    assert_true(fake_lun_free(&b->lun[0]));
}

static void plan(struct bench *b, uint32_t data_bytes, bool phase_error)
{
    struct fake_plan p = {.data_bytes = data_bytes, .phase_error = phase_error};

    b->lun[0].plan = p;
}

static void plan_hold(struct bench *b, uint32_t data_bytes, uint32_t piece_bytes)
{
    struct fake_plan p = {.data_bytes = data_bytes, .piece_bytes = piece_bytes, .hold = true};

    b->lun[0].plan = p;
}

/* ---- the thirteen cases, BOT 6.7 ---- */

static void case_1_hn_dn(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    cbw_send(b, OUT, 0);
    assert_int_equal(b->lun[0].cmd.dir, SCSI_DIR_NONE);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void case_2_hn_less_di(void **state)
{
    struct bench *b = *state;

    plan(b, 512, true);
    cbw_send(b, IN, 0);
    csw_expect(b, 0, BOT_CSW_PHASE_ERROR);
    assert_int_equal(bot_stats(b->bot)->phase_errors, 1);
    works(b);
}

static void case_3_hn_less_do(void **state)
{
    struct bench *b = *state;

    plan(b, 512, true);
    cbw_send(b, OUT, 0);
    csw_expect(b, 0, BOT_CSW_PHASE_ERROR);
    works(b);
}

static void case_4_hi_greater_dn(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 0);
    csw_expect(b, 4096, BOT_CSW_PASSED);
    assert_int_equal(b->stalls, 0);
    works(b);
}

static void case_5_hi_greater_di_short_packet(void **state)
{
    struct bench *b = *state;

    plan(b, 1000, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1000);
    csw_expect(b, 3096, BOT_CSW_PASSED);
    works(b);
}

static void case_5_hi_greater_di_whole_packets(void **state)
{
    struct bench *b = *state;

    plan(b, 1024, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    csw_expect(b, 3072, BOT_CSW_PASSED);
    works(b);
}

static void case_6_hi_equal_di(void **state)
{
    struct bench *b = *state;

    plan(b, 512 * 1024, false);
    cbw_send(b, IN, 512 * 1024);
    data_in_expect(b, &b->lun[0], 512 * 1024, 512 * 1024);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void case_6_of_odd_length_has_no_packet_behind_it(void **state)
{
    struct bench *b = *state;

    plan(b, 36, false);
    cbw_send(b, IN, 36);
    data_in_expect(b, &b->lun[0], 36, 36);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void case_7_hi_less_di(void **state)
{
    struct bench *b = *state;

    plan(b, 8192, true);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 4096);
    csw_expect(b, 0, BOT_CSW_PHASE_ERROR);
    works(b);
}

static void case_8_hi_do(void **state)
{
    struct bench *b = *state;

    plan(b, 0, true);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 0);
    csw_expect(b, 4096, BOT_CSW_PHASE_ERROR);
    works(b);
}

static void case_9_ho_greater_dn(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    cbw_send(b, OUT, 300 * 1024 + 7);
    data_out_send(b, 300 * 1024 + 7);
    csw_expect(b, 300 * 1024 + 7, BOT_CSW_PASSED);
    assert_int_equal(b->lun[0].out_dones, 0);
    works(b);
}

static void case_10_ho_di(void **state)
{
    struct bench *b = *state;

    plan(b, 4096, true);
    cbw_send(b, OUT, 4096);
    data_out_send(b, 4096);
    csw_expect(b, 4096, BOT_CSW_PHASE_ERROR);
    works(b);
}

static void case_11_ho_greater_do(void **state)
{
    struct bench *b = *state;

    plan(b, 2 * SLICE, false);
    cbw_send(b, OUT, 8 * SLICE);
    data_out_send(b, 8 * SLICE);
    csw_expect(b, 6 * SLICE, BOT_CSW_PASSED);
    assert_memory_equal(b->lun[0].out, b->data, (size_t)2 * SLICE);
    works(b);
}

/* MODE SELECT with a parameter list of 24 bytes and more declared. */
static void case_11_drops_what_the_rounded_request_took(void **state)
{
    struct bench *b = *state;

    plan(b, 24, false);
    cbw_send(b, OUT, 1000);
    data_out_send(b, 1000);
    csw_expect(b, 976, BOT_CSW_PASSED);
    assert_int_equal(b->lun[0].done_bytes, 24);
    assert_memory_equal(b->lun[0].out, b->data, 24);
    works(b);
}

static void case_12_ho_equal_do(void **state)
{
    struct bench *b = *state;

    plan(b, 512 * 1024, false);
    cbw_send(b, OUT, 512 * 1024);
    data_out_send(b, 512 * 1024);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_memory_equal(b->lun[0].out, b->data, (size_t)512 * 1024);
    works(b);
}

static void case_13_ho_less_do(void **state)
{
    struct bench *b = *state;

    plan(b, 8192, true);
    cbw_send(b, OUT, 4096);
    data_out_send(b, 4096);
    csw_expect(b, 4096, BOT_CSW_PHASE_ERROR);
    works(b);
}

/* ---- the same under BOT_SHORT_IN_HALT ---- */

static void case_4_halts_without_a_packet(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 0);
    assert_int_equal(b->stalls, 1);
    csw_expect(b, 4096, BOT_CSW_PASSED);
    works(b);
}

static void case_5_halts_behind_the_data(void **state)
{
    struct bench *b = *state;

    plan(b, 1024, false);
    cbw_send(b, IN, 4096);
    assert_int_equal(b->port.halts, 0);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    assert_int_equal(b->stalls, 1);
    csw_expect(b, 3072, BOT_CSW_PASSED);
    works(b);
}

static void case_5_halts_behind_a_short_packet(void **state)
{
    struct bench *b = *state;

    plan(b, 1000, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1000);
    csw_expect(b, 3096, BOT_CSW_PASSED);
    assert_int_equal(b->stalls, 1);
    works(b);
}

static void case_6_does_not_halt(void **state)
{
    struct bench *b = *state;

    works(b);
    assert_int_equal(b->port.halts, 0);
}

static void case_8_halts(void **state)
{
    struct bench *b = *state;

    plan(b, 0, true);
    cbw_send(b, IN, 512);
    data_in_expect(b, &b->lun[0], 512, 0);
    csw_expect(b, 512, BOT_CSW_PHASE_ERROR);
    assert_int_equal(b->stalls, 1);
    works(b);
}

static void a_refused_halt_is_tried_again(void **state)
{
    struct bench *b = *state;

    b->port.refuse_halt = 3;
    plan(b, 0, false);
    cbw_send(b, IN, 4096);
    assert_int_equal(b->port.halts, 4);
    data_in_expect(b, &b->lun[0], 4096, 0);
    csw_expect(b, 4096, BOT_CSW_PASSED);
    works(b);
}

static void a_port_that_cannot_halt_ends_with_a_packet(void **state)
{
    struct bench *b = *state;

    b->port.halt_error = -EOPNOTSUPP;
    plan(b, 1024, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    csw_expect(b, 3072, BOT_CSW_PASSED);
    assert_int_equal(b->stalls, 0);
    works(b);

    b->port.halt_error = 0; /* the next command tries it anew */
    plan(b, 1024, false);
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    assert_int_equal(b->stalls, 1);
    csw_expect(b, 3072, BOT_CSW_PASSED);
}

/* ---- the command ---- */

static void the_logical_unit_gets_the_cdb_and_its_length(void **state)
{
    struct bench *b = *state;
    struct bot_cbw_wire cbw;

    plan(b, 18, false);
    cbw_build(b, &cbw, IN, 18);
    cbw.cb[0] = 0x03; /* REQUEST SENSE, six bytes by the standard */
    cbw.cb_bytes = 12;
    cbw_deliver(b, &cbw);
    assert_memory_equal(b->lun[0].last_cdb, cbw.cb, 16);
    assert_int_equal(b->lun[0].last_cdb_bytes, 12);
    assert_int_equal(b->lun[0].cmd.length_bytes, 18);
    data_in_expect(b, &b->lun[0], 18, 18);
    csw_expect(b, 0, BOT_CSW_PASSED);
}

static void the_other_logical_unit_gets_its_command(void **state)
{
    struct bench *b = *state;
    struct bot_cbw_wire cbw;

    cbw_build(b, &cbw, OUT, 0);
    cbw.lun = 1;
    b->lun[1].plan = (struct fake_plan){0};
    cbw_deliver(b, &cbw);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_int_equal(b->lun[0].submits, 0);
    assert_int_equal(b->lun[1].submits, 1);
    works(b);
}

static void csw_status_for(struct bench *b, uint8_t scsi_status, enum bot_csw_status expected)
{
    b->lun[0].plan = (struct fake_plan){.status = scsi_status};
    cbw_send(b, OUT, 0);
    csw_expect(b, 0, expected);
}

static void every_status_but_the_good_ones_is_a_failed_csw(void **state)
{
    struct bench *b = *state;

    csw_status_for(b, SCSI_STATUS_CODE_GOOD, BOT_CSW_PASSED);
    csw_status_for(b, SCSI_STATUS_CODE_CONDITION_MET, BOT_CSW_PASSED);
    csw_status_for(b, SCSI_STATUS_CODE_CHECK_CONDITION, BOT_CSW_FAILED);
    csw_status_for(b, SCSI_STATUS_CODE_BUSY, BOT_CSW_FAILED);
    csw_status_for(b, SCSI_STATUS_CODE_RESERVATION_CONFLICT, BOT_CSW_FAILED);
    csw_status_for(b, SCSI_STATUS_CODE_TASK_SET_FULL, BOT_CSW_FAILED);
    csw_status_for(b, SCSI_STATUS_CODE_TASK_ABORTED, BOT_CSW_FAILED);
}

static void a_failed_read_ends_after_the_bytes_that_were_valid(void **state)
{
    struct bench *b = *state;

    plan_hold(b, 4096, 1024);
    cbw_send(b, IN, 4096);
    fake_lun_open(&b->lun[0], 2048);
    fake_lun_finish(&b->lun[0], SCSI_STATUS_CODE_CHECK_CONDITION, false);
    data_in_expect(b, &b->lun[0], 4096, 2048);
    csw_expect(b, 2048, BOT_CSW_FAILED);
    works(b);
}

static void without_a_free_command_it_asks_again(void **state)
{
    struct bench *b = *state;

    b->lun[0].refuse_take = 10;
    plan(b, 0, false);
    cbw_send(b, OUT, 0);
    assert_int_equal(b->lun[0].submits, 1);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void a_reset_while_it_waits_for_a_command(void **state)
{
    struct bench *b = *state;

    b->lun[0].refuse_take = 1000;
    cbw_send(b, OUT, 0);
    assert_string_equal(bot_state_name(b->bot), "no-cmd");
    script_port_bot_reset(&b->port);
    script_port_turn(&b->port);
    b->lun[0].refuse_take = 0;
    works(b);
}

/* ---- data-in ---- */

static void the_first_half_is_on_the_endpoint_while_the_second_is_withheld(void **state)
{
    struct bench *b = *state;

    plan_hold(b, 2 * SLICE, 0);
    cbw_send(b, IN, 2 * SLICE);
    assert_int_equal(b->port.queued[USB_IN], 0);
    fake_lun_open(&b->lun[0], SLICE);
    script_port_turn(&b->port);
    assert_int_equal(b->port.queued[USB_IN], 1);
    assert_ptr_equal(b->port.queue[USB_IN][0]->buf, b->lun[0].slice[0]);
    assert_int_equal(b->port.queue[USB_IN][0]->length_bytes, SLICE);

    assert_int_equal(host_in(&b->port, b->data, SLICE).bytes, SLICE);
    assert_int_equal(host_in(&b->port, b->data, SLICE).end, HOST_NAK);
    fake_lun_open(&b->lun[0], 2 * SLICE);
    fake_lun_finish(&b->lun[0], SCSI_STATUS_CODE_GOOD, false);
    assert_int_equal(host_in(&b->port, b->data, SLICE).bytes, SLICE);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void data_in_has_at_most_four_pieces_out(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 65536, .piece_bytes = 4096};
    cbw_send(b, IN, 65536);
    assert_int_equal(b->port.queued[USB_IN], BOT_DEPTH);
    data_in_expect(b, &b->lun[0], 65536, 65536);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_true(b->port.peak[USB_IN] <= BOT_DEPTH + 1);
    works(b);
}

static void the_csw_is_queued_behind_data_that_are_still_out(void **state)
{
    struct bench *b = *state;

    plan(b, 4096, false);
    cbw_send(b, IN, 4096);
    assert_int_equal(b->port.queued[USB_IN], 2);
    assert_int_equal(b->port.queue[USB_IN][0]->length_bytes, 4096);
    assert_int_equal(b->port.queue[USB_IN][1]->length_bytes, BOT_CSW_BYTES);
    assert_int_equal(b->lun[0].releases, 0);
    data_in_expect(b, &b->lun[0], 4096, 4096);
    csw_expect(b, 0, BOT_CSW_PASSED);
}

static void the_csw_is_queued_behind_a_zero_length_packet(void **state)
{
    struct bench *b = *state;

    plan(b, 1024, false);
    cbw_send(b, IN, 4096);
    assert_int_equal(b->port.queued[USB_IN], 3);
    assert_int_equal(b->port.queue[USB_IN][1]->length_bytes, 0);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    csw_expect(b, 3072, BOT_CSW_PASSED);
}

static void a_zero_length_packet_waits_for_a_free_transfer(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 2048, .piece_bytes = 512};
    cbw_send(b, IN, 4096);
    assert_int_equal(b->port.queued[USB_IN], BOT_DEPTH);
    data_in_expect(b, &b->lun[0], 4096, 2048);
    csw_expect(b, 2048, BOT_CSW_PASSED);
    works(b);
}

static void an_outcome_that_claims_too_much_ends_with_what_was_sent(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 1024, .claim_bytes = 512};
    cbw_send(b, IN, 4096);
    data_in_expect(b, &b->lun[0], 4096, 1024);
    csw_expect(b, 3072, BOT_CSW_PASSED);
    works(b);
}

static void a_write_outcome_that_claims_too_much_has_no_negative_residue(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 1024, .claim_bytes = 512};
    cbw_send(b, OUT, 1024);
    data_out_send(b, 1024);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void a_csw_that_overtakes_its_data_waits_for_them(void **state)
{
    struct bench *b = *state;
    struct usb_req *data;

    plan(b, 512, false);
    cbw_send(b, IN, 512);
    data = b->port.queue[USB_IN][0];
    b->port.queue[USB_IN][0] = b->port.queue[USB_IN][1];
    b->port.queue[USB_IN][1] = data;
    script_port_finish(&b->port, USB_IN, 0, BOT_CSW_BYTES);
    script_port_turn(&b->port);
    assert_string_equal(bot_state_name(b->bot), "csw");
    script_port_finish(&b->port, USB_IN, 0, 512);
    script_port_turn(&b->port);
    works(b);
}

static void a_full_queue_is_no_error(void **state)
{
    struct bench *b = *state;

    b->port.depth = 1;
    b->lun[0].plan = (struct fake_plan){.data_bytes = 20480, .piece_bytes = 4096};
    cbw_send(b, IN, 24576);
    data_in_expect(b, &b->lun[0], 24576, 20480);
    csw_expect(b, 4096, BOT_CSW_PASSED);
    cbw_send(b, OUT, 24576);
    data_out_send(b, 24576);
    csw_expect(b, 4096, BOT_CSW_PASSED);
    works(b);
}

static void a_refused_request_is_tried_again_when_no_other_is_out(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    b->port.refuse_submit = 5;
    cbw_send(b, OUT, 0);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_int_equal(b->port.refuse_submit, 0);
    works(b);
}

/* ---- data-out ---- */

static void the_first_room_is_handed_over_before_the_last_packet(void **state)
{
    struct bench *b = *state;

    plan(b, 2 * SLICE, false);
    cbw_send(b, OUT, 2 * SLICE);
    assert_int_equal(b->port.queued[USB_OUT], 2);
    assert_ptr_equal(b->port.queue[USB_OUT][0]->buf, b->lun[0].slice[0]);
    assert_int_equal(host_out(&b->port, b->data, 2 * SLICE - PACKET).end, HOST_DONE);
    script_port_turn(&b->port);
    assert_int_equal(b->lun[0].done_bytes, SLICE);
    assert_int_equal(host_out(&b->port, b->data, PACKET).end, HOST_DONE);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void data_out_waits_for_room(void **state)
{
    struct bench *b = *state;

    plan_hold(b, 8192, 4096);
    cbw_send(b, OUT, 8192);
    assert_int_equal(host_out(&b->port, b->data, PACKET).end, HOST_NAK);
    fake_lun_open(&b->lun[0], 4096);
    script_port_turn(&b->port);
    assert_int_equal(b->port.queued[USB_OUT], 1);
    fake_lun_open(&b->lun[0], 8192);
    script_port_turn(&b->port);
    assert_int_equal(b->port.queued[USB_OUT], 2);
    data_out_send(b, 8192);
    assert_int_equal(b->lun[0].done_bytes, 8192);
    assert_int_equal(b->port.queued[USB_OUT], 0); /* nothing may catch the next CBW */
    fake_lun_finish(&b->lun[0], SCSI_STATUS_CODE_GOOD, false);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void requests_cover_the_declared_bytes_and_no_more(void **state)
{
    struct bench *b = *state;
    uint64_t before;

    plan(b, 70000, false);
    before = b->port.out_asked_bytes;
    cbw_send(b, OUT, 70000);
    assert_int_equal(b->port.out_asked_bytes - before, 70144); /* 137 packets */
    data_out_send(b, 70000);
    assert_memory_equal(b->lun[0].out, b->data, 70000);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void a_write_that_fails_early_is_drained_and_never_halted(void **state)
{
    struct bench *b = *state;

    plan_hold(b, 4 * SLICE, 0);
    cbw_send(b, OUT, 4 * SLICE);
    fake_lun_open(&b->lun[0], 3 * SLICE);
    script_port_turn(&b->port);
    assert_int_equal(host_out(&b->port, b->data, SLICE).end, HOST_DONE);
    script_port_turn(&b->port);
    fake_lun_finish(&b->lun[0], SCSI_STATUS_CODE_CHECK_CONDITION, false);
    script_port_turn(&b->port);
    assert_int_equal(b->port.queued[USB_OUT], 3); /* two rooms still lent, the rest scrap */
    assert_int_equal(b->lun[0].releases, 0);
    assert_int_equal(host_out(&b->port, b->data, 3 * SLICE).end, HOST_DONE);
    csw_expect(b, 3 * SLICE, BOT_CSW_FAILED);
    assert_int_equal(b->lun[0].done_bytes, SLICE);
    works(b);
}

static void a_host_that_ends_early_gets_a_failed_csw(void **state)
{
    struct bench *b = *state;

    plan(b, 4 * SLICE, false);
    cbw_send(b, OUT, 4 * SLICE);
    assert_int_equal(b->port.queued[USB_OUT], 4);
    data_out_send(b, SLICE + 100);
    assert_int_equal(b->port.cancels, 1); /* of those that would catch the next CBW */
    csw_expect(b, 3 * SLICE - 100, BOT_CSW_FAILED);
    assert_int_equal(b->lun[0].done_bytes, SLICE + 100);
    works(b);
}

/* Rooms that were taken and not posted yet must not be posted any more. */
static void a_host_that_ends_early_in_a_full_queue(void **state)
{
    struct bench *b = *state;

    b->port.depth = 1;
    plan(b, 4 * SLICE, false);
    cbw_send(b, OUT, 4 * SLICE);
    data_out_send(b, 100);
    assert_int_equal(b->port.submits[USB_OUT], 3); /* two CBWs, one room */
    csw_expect(b, 4 * SLICE - 100, BOT_CSW_FAILED);
    works(b);
}

static void a_zero_length_packet_ends_data_out_too(void **state)
{
    struct bench *b = *state;

    plan(b, 2 * SLICE, false);
    cbw_send(b, OUT, 2 * SLICE);
    data_out_send(b, SLICE);
    data_out_send(b, 0);
    csw_expect(b, SLICE, BOT_CSW_FAILED);
    works(b);
}

static void a_host_that_ends_early_while_being_drained(void **state)
{
    struct bench *b = *state;

    plan(b, 0, false);
    cbw_send(b, OUT, 8 * SLICE);
    data_out_send(b, 1000);
    csw_expect(b, 8 * SLICE, BOT_CSW_PASSED);
    works(b);
}

static void more_data_than_declared_are_cut(void **state)
{
    struct bench *b = *state;

    plan(b, 24, false);
    cbw_send(b, OUT, 24);
    data_out_send(b, 512);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_int_equal(b->lun[0].done_bytes, 24);
    works(b);
}

/* ---- CSW and the next CBW ---- */

static void a_cbw_whose_completion_overtakes_that_of_the_csw_waits(void **state)
{
    struct bench *b = *state;
    uint8_t csw[BOT_CSW_BYTES];
    struct bot_cbw_wire cbw;

    plan(b, 0, false);
    cbw_send(b, OUT, 0);
    b->port.hold_done = b->port.reverse_done = true;
    assert_int_equal(host_in(&b->port, csw, sizeof csw).end, HOST_DONE);
    cbw_build(b, &cbw, OUT, 0);
    assert_int_equal(host_out(&b->port, &cbw, sizeof cbw).end, HOST_DONE);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    assert_int_equal(b->lun[0].submits, 2);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

/* A longer request would wait behind a whole packet, at full speed for seven more. */
static void a_cbw_request_is_one_packet(void **state)
{
    struct bench *b = *state;
    static const struct {
        enum usb_speed speed;
        uint16_t packet_bytes;
    } row[] = {{USB_SPEED_FULL, 64}, {USB_SPEED_HIGH, 512}, {USB_SPEED_SUPER, 1024}};

    for (unsigned i = 0; i < sizeof row / sizeof row[0]; i++) {
        script_port_enable(&b->port, row[i].speed, row[i].packet_bytes);
        script_port_turn(&b->port);
        assert_int_equal(b->port.queued[USB_OUT], 1);
        assert_int_equal(b->port.queue[USB_OUT][0]->length_bytes, row[i].packet_bytes);
        assert_int_equal(bot_stats(b->bot)->speed, row[i].speed);
        works(b);
        assert_int_equal(host_out(&b->port, b->data, row[i].packet_bytes).end, HOST_DONE);
        script_port_turn(&b->port);
        assert_string_equal(bot_state_name(b->bot), "invalid");
    }
}

/* ---- invalid and meaningless CBWs ---- */

/* No CSW whatever the host tries, until the reset recovery. */
static void is_invalid_until_reset(struct bench *b)
{
    uint8_t buf[PACKET] = {0};
    uint64_t submits = b->lun[0].submits;

    assert_string_equal(bot_state_name(b->bot), "invalid");
    assert_int_equal(host_in(&b->port, buf, BOT_CSW_BYTES).end, HOST_STALL);
    host_clear_halt(&b->port, USB_IN);
    cbw_send(b, IN, 36); /* valid, and discarded all the same */
    assert_int_equal(host_in(&b->port, buf, 36).end, HOST_STALL);
    assert_int_equal(host_out(&b->port, b->data, 5000).end, HOST_DONE);
    assert_int_equal(host_in(&b->port, buf, 36).end, HOST_STALL);
    assert_int_equal(b->lun[0].submits, submits);

    script_port_bot_reset(&b->port);
    assert_true(b->port.halted[USB_IN]); /* the host clears it */
    host_clear_halt(&b->port, USB_IN);
    works(b);
}

static void a_cbw_without_the_signature_is_invalid(void **state)
{
    struct bench *b = *state;
    struct bot_cbw_wire cbw;

    cbw_build(b, &cbw, OUT, 0);
    cbw.signature[3] = 'S';
    cbw_deliver(b, &cbw);
    assert_int_equal(bot_stats(b->bot)->invalid_cbws, 1);
    is_invalid_until_reset(b);
}

static void a_cbw_of_another_length_is_invalid(void **state)
{
    struct bench *b = *state;
    static const uint32_t lengths[] = {0, 1, 13, 30, 32, 511, 512};

    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cbw_build(b, (struct bot_cbw_wire *)b->data, OUT, 0);
        assert_int_equal(host_out(&b->port, b->data, lengths[i]).end, HOST_DONE);
        script_port_turn(&b->port);
        is_invalid_until_reset(b);
    }
}

static void the_halt_after_an_invalid_cbw_is_tried_again(void **state)
{
    struct bench *b = *state;

    b->port.refuse_halt = 4;
    assert_int_equal(host_out(&b->port, "x", 1).end, HOST_DONE);
    script_port_turn(&b->port);
    assert_true(b->port.halted[USB_IN]);
    is_invalid_until_reset(b);
}

/* Lets the time pass until the machine wants to be called, half a second at most. */
static void wait_a_moment(struct bench *b)
{
    uint64_t due_us = bot_next_timeout_us(b->bot);

    assert_true(due_us > clock_us && due_us <= clock_us + 500000);
    clock_us = due_us;
    bot_run_timeouts(b->bot);
    script_port_turn(&b->port);
}

/* The host sends nothing and no one tells of its CLEAR_HALT. */
static void in_is_halted_again_soon_after_each_clear_halt(void **state)
{
    struct bench *b = *state;
    uint8_t buf[PACKET];

    assert_int_equal(host_out(&b->port, "x", 1).end, HOST_DONE);
    script_port_turn(&b->port);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(host_in(&b->port, buf, BOT_CSW_BYTES).end, HOST_STALL);
        host_clear_halt(&b->port, USB_IN);
        assert_int_equal(host_in(&b->port, buf, BOT_CSW_BYTES).end, HOST_NAK);
        wait_a_moment(b);
    }
    is_invalid_until_reset(b);
}

static void nothing_is_waited_for_but_a_clear_halt_after_an_invalid_cbw(void **state)
{
    struct bench *b = *state;

    assert_int_equal(bot_next_timeout_us(b->bot), UINT64_MAX);
    assert_int_equal(host_out(&b->port, "x", 1).end, HOST_DONE);
    script_port_turn(&b->port);
    assert_int_not_equal(bot_next_timeout_us(b->bot), UINT64_MAX);
    script_port_bot_reset(&b->port);
    assert_int_equal(bot_next_timeout_us(b->bot), UINT64_MAX);
    host_clear_halt(&b->port, USB_IN);
    clock_us += 1000000;
    bot_run_timeouts(b->bot);
    works(b);
    assert_int_equal(bot_next_timeout_us(b->bot), UINT64_MAX);
}

static void a_port_that_cannot_halt_is_not_asked_again_and_again(void **state)
{
    struct bench *b = *state;

    b->port.halt_error = -EOPNOTSUPP;
    assert_int_equal(host_out(&b->port, "x", 1).end, HOST_DONE);
    script_port_turn(&b->port);
    assert_int_equal(bot_next_timeout_us(b->bot), UINT64_MAX);
}

/* Data-in and data-out to no logical unit: the phases end, the CSW fails. */
static void is_not_meaningful(struct bench *b, struct bot_cbw_wire *cbw)
{
    works(b); /* nothing of the command before may show */
    put_le32(cbw->tag, ++b->tag);
    put_le32(cbw->length, 4096);
    cbw->flags |= IN;
    cbw_deliver(b, cbw);
    data_in_expect(b, &b->lun[0], 4096, 0);
    csw_expect(b, 4096, BOT_CSW_FAILED);

    put_le32(cbw->tag, ++b->tag);
    cbw->flags &= 0x7f;
    cbw_deliver(b, cbw);
    data_out_send(b, 4096);
    csw_expect(b, 4096, BOT_CSW_FAILED);

    put_le32(cbw->tag, ++b->tag);
    put_le32(cbw->length, 0);
    cbw_deliver(b, cbw);
    csw_expect(b, 0, BOT_CSW_FAILED);

    assert_int_equal(b->lun[0].submits + b->lun[1].submits, 2);
    assert_int_equal(bot_stats(b->bot)->not_meaningful, 3);
    works(b);
}

static void an_unknown_lun_fails(void **state)
{
    struct bot_cbw_wire cbw;

    cbw_build(*state, &cbw, 0, 0);
    cbw.lun = 2;
    is_not_meaningful(*state, &cbw);
}

static void a_reserved_lun_bit_fails(void **state)
{
    struct bot_cbw_wire cbw;

    cbw_build(*state, &cbw, 0, 0);
    cbw.lun = 0x10;
    is_not_meaningful(*state, &cbw);
}

static void a_reserved_flag_fails(void **state)
{
    struct bot_cbw_wire cbw;

    cbw_build(*state, &cbw, 0x01, 0);
    is_not_meaningful(*state, &cbw);
}

static void a_cdb_of_no_bytes_fails(void **state)
{
    struct bot_cbw_wire cbw;

    cbw_build(*state, &cbw, 0, 0);
    cbw.cb_bytes = 0;
    is_not_meaningful(*state, &cbw);
}

static void a_cdb_of_17_bytes_fails(void **state)
{
    struct bot_cbw_wire cbw;

    cbw_build(*state, &cbw, 0, 0);
    cbw.cb_bytes = 17;
    is_not_meaningful(*state, &cbw);
}

/* ---- resets, in every state ---- */

static void at_off(struct bench *b)
{
    script_port_disable(&b->port);
    script_port_turn(&b->port);
}

static void at_idle(struct bench *b)
{
    script_port_turn(&b->port);
}

static void at_no_cmd(struct bench *b)
{
    b->lun[0].refuse_take = 1000;
    cbw_send(b, OUT, 0);
    script_port_turns(&b->port, 5);
}

static void at_no_data(struct bench *b)
{
    plan_hold(b, 0, 0);
    cbw_send(b, OUT, 0);
}

static void at_data_in_without_data(struct bench *b)
{
    plan_hold(b, 8 * SLICE, 0);
    cbw_send(b, IN, 8 * SLICE);
}

static void at_data_in_with_data_out(struct bench *b)
{
    at_data_in_without_data(b);
    fake_lun_open(&b->lun[0], 6 * SLICE);
    assert_int_equal(host_in(&b->port, b->data, SLICE + PACKET).bytes, SLICE + PACKET);
}

static void at_data_out_without_room(struct bench *b)
{
    plan_hold(b, 8 * SLICE, 0);
    cbw_send(b, OUT, 8 * SLICE);
}

static void at_data_out_with_rooms_out(struct bench *b)
{
    at_data_out_without_room(b);
    fake_lun_open(&b->lun[0], 6 * SLICE);
    assert_int_equal(host_out(&b->port, b->data, SLICE + PACKET).bytes, SLICE + PACKET);
}

static void at_data_out_waiting_for_the_status(struct bench *b)
{
    plan_hold(b, SLICE, 0);
    cbw_send(b, OUT, SLICE);
    fake_lun_open(&b->lun[0], SLICE);
    assert_int_equal(host_out(&b->port, b->data, SLICE).bytes, SLICE);
    script_port_turn(&b->port);
}

static void at_data_out_drain(struct bench *b)
{
    plan(b, 0, false);
    cbw_send(b, OUT, 8 * SLICE);
    assert_int_equal(host_out(&b->port, b->data, PACKET).bytes, PACKET);
}

static void at_data_out_ended_early(struct bench *b)
{
    at_data_out_with_rooms_out(b);
    b->port.hold_done = true;
    assert_int_equal(host_out(&b->port, b->data, 7).end, HOST_DONE);
    script_port_turn(&b->port);
}

static void at_halt_in(struct bench *b)
{
    b->port.refuse_halt = 1000;
    plan(b, 0, false);
    cbw_send(b, IN, 4096);
}

static void at_csw_behind_data(struct bench *b)
{
    plan(b, SLICE, false);
    cbw_send(b, IN, SLICE);
}

static void at_csw(struct bench *b)
{
    plan(b, 0, false);
    cbw_send(b, OUT, 0);
}

static void at_csw_with_the_next_cbw(struct bench *b)
{
    struct bot_cbw_wire cbw;

    at_csw(b);
    cbw_build(b, &cbw, OUT, 0);
    cbw_deliver(b, &cbw);
}

static void at_invalid(struct bench *b)
{
    assert_int_equal(host_out(&b->port, "x", 1).end, HOST_DONE);
    script_port_turn(&b->port);
}

static void at_resetting(struct bench *b)
{
    at_data_in_with_data_out(b);
    b->port.hold_done = true;
    script_port_bot_reset(&b->port);
}

static const struct place {
    const char *name;
    const char *state;
    void (*reach)(struct bench *b);
} places[] = {
    {"off", "off", at_off},
    {"idle", "idle", at_idle},
    {"without_a_free_command", "no-cmd", at_no_cmd},
    {"without_data", "no-data", at_no_data},
    {"data_in_with_none_valid", "data-in", at_data_in_without_data},
    {"data_in", "data-in", at_data_in_with_data_out},
    {"data_out_with_no_room", "data-out", at_data_out_without_room},
    {"data_out", "data-out", at_data_out_with_rooms_out},
    {"data_out_before_the_status", "data-out", at_data_out_waiting_for_the_status},
    {"data_out_drained", "data-out", at_data_out_drain},
    {"data_out_ended_early", "data-out", at_data_out_ended_early},
    {"halt", "halt-in", at_halt_in},
    {"csw_behind_data", "csw", at_csw_behind_data},
    {"csw", "csw", at_csw},
    {"csw_with_the_next_cbw", "csw", at_csw_with_the_next_cbw},
    {"invalid", "invalid", at_invalid},
    {"resetting", "resetting", at_resetting},
};

static void event_bot_reset(struct bench *b)
{
    script_port_bot_reset(&b->port);
}

static void event_bot_reset_twice(struct bench *b)
{
    script_port_bot_reset(&b->port);
    script_port_turn(&b->port);
    script_port_bot_reset(&b->port);
}

static void event_disabled(struct bench *b)
{
    script_port_disable(&b->port);
}

static void event_disabled_twice(struct bench *b)
{
    script_port_disable(&b->port);
    script_port_disable(&b->port);
}

static void event_disabled_and_enabled(struct bench *b)
{
    script_port_disable(&b->port);
    script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
}

static void event_enabled(struct bench *b)
{
    script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
}

/* The requests come back first, the event later. */
static void event_shut_down_then_disabled(struct bench *b)
{
    script_port_shut_down(&b->port);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    b->port.usb.events->disabled(b->port.usb.events_ctx);
}

static void event_bot_reset_then_disabled(struct bench *b)
{
    script_port_bot_reset(&b->port);
    script_port_disable(&b->port);
    script_port_bot_reset(&b->port); /* late, and without effect */
}

static void event_get_max_lun(struct bench *b)
{
    assert_int_equal(b->port.usb.events->max_lun(b->port.usb.events_ctx), 1);
}

static void event_clear_halt(struct bench *b)
{
    host_clear_halt(&b->port, USB_IN);
    host_clear_halt(&b->port, USB_OUT);
}

/* A suspend, of which the machine is not told, and GET MAX LUN and CLEAR_HALT
 * leave everything as it is. */
static const struct event {
    const char *name;
    void (*happen)(struct bench *b);
    bool ends; /* what is under way */
} bus_events[] = {
    {"get_max_lun", event_get_max_lun, false},
    {"clear_halt", event_clear_halt, false},
    {"bot_reset", event_bot_reset, true},
    {"two_bot_resets", event_bot_reset_twice, true},
    {"port_reset", event_disabled_and_enabled, true},
    {"configuration_without_an_end", event_enabled, true},
    {"configuration_0", event_disabled, true},
    {"cable_pulled", event_disabled_twice, true},
    {"cable_pulled_requests_first", event_shut_down_then_disabled, true},
    {"bot_reset_and_cable_pulled", event_bot_reset_then_disabled, true},
};

struct cell {
    const struct event *event;
    const struct place *place;
    char name[80];
};

/* Reaches the place under the policy HALT and lets the event happen while the
 * completions are late. Nothing is released before they are home, no old answer
 * shows up, and the next command works. */
static void run_cell(void **state)
{
    const struct cell *cell = *state;
    struct bench *b = &bench;
    void *fixture = b;
    uint8_t buf[PACKET];

    assert_int_equal(set_up_halt(&fixture), 0);
    cell->place->reach(b);
    assert_string_equal(bot_state_name(b->bot), cell->place->state);
    unsigned made = b->port.submits[USB_IN] + b->port.submits[USB_OUT] + b->port.cancels;
    b->port.hold_done = true;
    cell->event->happen(b);
    if (!cell->event->ends) {
        assert_string_equal(bot_state_name(b->bot), cell->place->state);
        assert_int_equal(b->port.submits[USB_IN] + b->port.submits[USB_OUT] + b->port.cancels,
                         made);
        event_bot_reset(b);
    }
    script_port_turn(&b->port);
    b->port.hold_done = false;
    b->port.refuse_halt = 0;
    b->lun[0].refuse_take = 0;
    script_port_turn(&b->port);
    if (!b->port.on) {
        script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
        script_port_turn(&b->port);
    }
    assert_string_equal(bot_state_name(b->bot), "idle");
    assert_int_equal(bot_stats(b->bot)->faults, 0);
    assert_true(fake_lun_free(&b->lun[0]));
    host_clear_halt(&b->port, USB_IN);
    assert_int_equal(host_in(&b->port, buf, sizeof buf).end, HOST_NAK);
    works(b);
    assert_int_equal(tear_down(&fixture), 0);
}

#define PLACES (sizeof places / sizeof places[0])
#define CELLS  (PLACES * sizeof bus_events / sizeof bus_events[0])

/* Every event in every place, each a test. */
static int run_matrix(void)
{
    static struct cell cells[CELLS];
    static struct CMUnitTest matrix[CELLS];

    for (unsigned i = 0; i < CELLS; i++) {
        struct cell *cell = &cells[i];
        cell->event = &bus_events[i / PLACES];
        cell->place = &places[i % PLACES];
        (void)snprintf(cell->name, sizeof cell->name, "%s_at_%s", cell->event->name,
                       cell->place->name);
        matrix[i] =
            (struct CMUnitTest){.name = cell->name, .test_func = run_cell, .initial_state = cell};
    }
    return cmocka_run_group_tests(matrix, NULL, NULL);
}

/* The command goes on behind what leaves it alone. */
static void data_in_go_on_behind_a_clear_halt(void **state)
{
    struct bench *b = *state;

    plan(b, 8192, false);
    cbw_send(b, IN, 8192);
    assert_int_equal(host_in(&b->port, b->data, 1024).bytes, 1024);
    event_clear_halt(b);
    event_get_max_lun(b);
    assert_int_equal(host_in(&b->port, b->data, 7168).bytes, 7168);
    for (unsigned i = 0; i < 7168; i++)
        assert_int_equal(b->data[i], fake_lun_byte(b->lun[0].submits, 1024 + i));
    event_clear_halt(b);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void data_out_go_on_behind_a_clear_halt(void **state)
{
    struct bench *b = *state;

    plan(b, 1536, false);
    cbw_send(b, OUT, 1536);
    assert_int_equal(host_out(&b->port, b->data, 512).end, HOST_DONE);
    event_clear_halt(b);
    assert_int_equal(host_out(&b->port, b->data + 512, 1024).end, HOST_DONE);
    script_port_turn(&b->port);
    assert_memory_equal(b->lun[0].out, b->data, 1536);
    event_clear_halt(b);
    csw_expect(b, 0, BOT_CSW_PASSED);
    works(b);
}

static void a_reset_waits_for_late_completions(void **state)
{
    struct bench *b = *state;

    at_data_in_with_data_out(b);
    b->port.hold_done = true;
    script_port_bot_reset(&b->port);
    script_port_turn(&b->port);
    assert_string_equal(bot_state_name(b->bot), "resetting");
    assert_int_equal(b->lun[0].aborts, 1);
    assert_int_equal(b->lun[0].releases, 0);
    assert_int_equal(b->port.queued[USB_OUT], 0);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    assert_int_equal(b->lun[0].releases, 1);
    assert_int_equal(b->port.queued[USB_OUT], 1);
    works(b);
}

static void every_reset_is_told_to_the_logical_units(void **state)
{
    struct bench *b = *state;
    unsigned before = b->lun[1].host_resets;

    script_port_bot_reset(&b->port);
    assert_int_equal(b->lun[0].host_resets, before + 1);
    assert_int_equal(b->lun[1].host_resets, before + 1);
    script_port_disable(&b->port);
    assert_int_equal(b->lun[1].host_resets, before + 2);
    assert_int_equal(bot_stats(b->bot)->resets, 1);
    assert_int_equal(bot_stats(b->bot)->speed, USB_SPEED_NONE);
}

/* ---- the port's and the logical unit's faults ---- */

static void has_faulted(struct bench *b)
{
    script_port_turn(&b->port);
    assert_int_equal(bot_stats(b->bot)->faults, 1);
    is_invalid_until_reset(b);
}

static void a_failed_cbw_request_wants_a_reset(void **state)
{
    struct bench *b = *state;

    script_port_finish(&b->port, USB_OUT, -EIO, 0);
    has_faulted(b);
}

static void failed_data_in_wants_a_reset(void **state)
{
    struct bench *b = *state;

    at_data_in_with_data_out(b);
    script_port_finish(&b->port, USB_IN, -EIO, 0);
    has_faulted(b);
}

/* Firmware out of patience reads 13 bytes for the CSW while data are queued, and
 * never does a reset recovery: the next command has to work without one. */
static void data_in_taken_in_part_give_the_command_up(void **state)
{
    struct bench *b = *state;

    at_data_in_with_data_out(b);
    script_port_finish(&b->port, USB_IN, 0, BOT_CSW_BYTES);
    script_port_turn(&b->port);
    assert_int_equal(bot_stats(b->bot)->faults, 0);
    assert_string_equal(bot_state_name(b->bot), "idle");
    assert_int_equal(b->lun[0].takes, b->lun[0].releases);
    works(b);
}

static void a_csw_taken_in_part_gives_the_command_up(void **state)
{
    struct bench *b = *state;

    at_csw(b);
    script_port_finish(&b->port, USB_IN, 0, 1);
    script_port_turn(&b->port);
    assert_int_equal(bot_stats(b->bot)->faults, 0);
    works(b);
}

/* The event loop hears of both at once, in either order. */
static void a_cbw_behind_a_command_given_up_is_kept(struct bench *b)
{
    struct bot_cbw_wire cbw;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 1024};
    cbw_send(b, IN, 1024);
    assert_string_equal(bot_state_name(b->bot), "csw");
    b->port.hold_done = true;
    script_port_finish(&b->port, USB_IN, 0, BOT_CSW_BYTES);
    cbw_build(b, &cbw, IN, 1024);
    assert_int_equal(host_out(&b->port, &cbw, sizeof cbw).end, HOST_DONE);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    data_in_expect(b, &b->lun[0], 1024, 1024);
    csw_expect(b, 0, BOT_CSW_PASSED);
    assert_int_equal(bot_stats(b->bot)->faults, 0);
    works(b);
}

static void a_cbw_told_of_after_the_command_given_up_is_kept(void **state)
{
    a_cbw_behind_a_command_given_up_is_kept(*state);
}

static void a_cbw_told_of_before_the_command_given_up_is_kept(void **state)
{
    struct bench *b = *state;

    b->port.reverse_done = true;
    a_cbw_behind_a_command_given_up_is_kept(b);
}

static void failed_data_out_want_a_reset(void **state)
{
    struct bench *b = *state;

    at_data_out_with_rooms_out(b);
    script_port_finish(&b->port, USB_OUT, -EIO, 0);
    has_faulted(b);
}

static void a_failed_csw_wants_a_reset(void **state)
{
    struct bench *b = *state;

    at_csw(b);
    script_port_finish(&b->port, USB_IN, -EIO, 0);
    has_faulted(b);
}

static void data_in_that_come_home_out_of_order_want_a_reset(void **state)
{
    struct bench *b = *state;
    struct usb_req *oldest;

    at_data_in_with_data_out(b);
    script_port_turn(&b->port);
    oldest = b->port.queue[USB_IN][0];
    b->port.queue[USB_IN][0] = b->port.queue[USB_IN][1];
    b->port.queue[USB_IN][1] = oldest;
    script_port_finish(&b->port, USB_IN, 0, b->port.queue[USB_IN][0]->length_bytes);
    has_faulted(b);
}

static void a_short_piece_before_the_last_wants_a_reset(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 1000, .piece_bytes = 500};
    cbw_send(b, IN, 1000);
    has_faulted(b);
}

static void a_short_room_before_the_last_wants_a_reset(void **state)
{
    struct bench *b = *state;

    b->lun[0].plan = (struct fake_plan){.data_bytes = 1000, .piece_bytes = 500};
    cbw_send(b, OUT, 2000);
    has_faulted(b);
}

static void a_port_that_refuses_everything_ends_in_rest(void **state)
{
    struct bench *b = *state;

    b->port.submit_error = -EINVAL;
    b->port.halt_error = -EINVAL;
    script_port_bot_reset(&b->port);
    script_port_turn(&b->port);
    assert_string_equal(bot_state_name(b->bot), "invalid");
    assert_false(deferred_pending(&b->deferred));
    b->port.submit_error = b->port.halt_error = 0;
    script_port_bot_reset(&b->port);
    script_port_turn(&b->port);
    works(b);
}

static void a_failing_discard_ends_in_rest(void **state)
{
    struct bench *b = *state;

    at_invalid(b);
    script_port_finish(&b->port, USB_OUT, -EIO, 0);
    script_port_turn(&b->port);
    assert_int_equal(b->port.queued[USB_OUT], 0);
    assert_true(bot_idle(b->bot));
    script_port_bot_reset(&b->port);
    host_clear_halt(&b->port, USB_IN);
    works(b);
    at_invalid(b);
    is_invalid_until_reset(b); /* discards again */
}

/* The host waits for an answer that never comes: it is told so by a halt. */
static void a_cbw_that_is_lost_in_a_new_configuration_wants_a_reset(void **state)
{
    struct bench *b = *state;

    script_port_turn(&b->port);
    b->port.hold_done = true;
    script_port_finish(&b->port, USB_OUT, -ESTALE, 0);
    script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    assert_int_equal(bot_stats(b->bot)->faults, 0);
    is_invalid_until_reset(b);
}

static void a_cbw_that_was_lost_before_the_cable_was_pulled_is_forgotten(void **state)
{
    struct bench *b = *state;

    script_port_turn(&b->port);
    b->port.hold_done = true;
    script_port_finish(&b->port, USB_OUT, -ESTALE, 0);
    script_port_disable(&b->port);
    b->port.hold_done = false;
    script_port_turn(&b->port);
    assert_string_equal(bot_state_name(b->bot), "off");
    script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
    works(b);
}

static void a_packet_size_of_no_bulk_endpoint_leaves_it_off(void **state)
{
    struct bench *b = *state;
    static const uint16_t sizes[] = {0, 1, 4, 511, 768, 1025, 2048, 0xffff};

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        script_port_enable(&b->port, USB_SPEED_HIGH, sizes[i]);
        script_port_turn(&b->port);
        assert_string_equal(bot_state_name(b->bot), "off");
        assert_int_equal(bot_stats(b->bot)->speed, USB_SPEED_NONE);
    }
    script_port_enable(&b->port, USB_SPEED_HIGH, PACKET);
    works(b);
}

/* ---- the rest ---- */

static void get_max_lun_is_the_highest_lun(void **state)
{
    struct bench *b = *state;

    assert_int_equal(b->port.usb.events->max_lun(b->port.usb.events_ctx), 1);
}

static void stats_count(void **state)
{
    struct bench *b = *state;

    works(b);
    works(b);
    assert_int_equal(bot_stats(b->bot)->cbws, 4);
    assert_int_equal(bot_stats(b->bot)->enables, 1);
    assert_int_equal(bot_stats(b->bot)->speed, USB_SPEED_HIGH);
    assert_int_equal(bot_stats(b->bot)->invalid_cbws, 0);
    assert_int_equal(bot_stats(b->bot)->faults, 0);
}

static char last_move[64];

static void log_move(enum lun_log_level level, const char *text)
{
    if (level == LUN_LOG_DEBUG)
        (void)snprintf(last_move, sizeof last_move, "%s", text);
}

static void a_configuration_without_a_logical_unit_is_refused(void **state)
{
    struct lun *luns[1] = {&bench.lun[0]};
    struct bot_config config = {
        .port = &bench.port.usb, .deferred = &bench.deferred, .luns = luns, .now_us = now_us};

    (void)state;
    errno = 0;
    assert_null(bot_create(&config));
    assert_int_equal(errno, EINVAL);
    config.lun_count = BOT_LUNS_MAX + 1;
    assert_null(bot_create(&config));
}

static void every_move_is_logged(void **state)
{
    struct lun *luns[1] = {&bench.lun[0]};

    (void)state;
    memset(&bench, 0xa5, sizeof bench);
    deferred_list_init(&bench.deferred);
    script_port_init(&bench.port, &bench.deferred);
    fake_lun_init(&bench.lun[0], &bench.deferred);
    struct bot_config config = {.port = &bench.port.usb,
                                .deferred = &bench.deferred,
                                .luns = luns,
                                .lun_count = 1,
                                .now_us = now_us,
                                .log = log_move};
    struct bot *bot = bot_create(&config);
    assert_non_null(bot);
    script_port_enable(&bench.port, USB_SPEED_FULL, 64);
    assert_string_equal(last_move, "bot: resetting -> idle");
    script_port_disable(&bench.port);
    script_port_turn(&bench.port);
    assert_string_equal(last_move, "bot: resetting -> off");
    bot_destroy(bot);
}

#define PACKET_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define HALT_TEST(f)   cmocka_unit_test_setup_teardown(f, set_up_halt, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKET_TEST(case_1_hn_dn),
        PACKET_TEST(case_2_hn_less_di),
        PACKET_TEST(case_3_hn_less_do),
        PACKET_TEST(case_4_hi_greater_dn),
        PACKET_TEST(case_5_hi_greater_di_short_packet),
        PACKET_TEST(case_5_hi_greater_di_whole_packets),
        PACKET_TEST(case_6_hi_equal_di),
        PACKET_TEST(case_6_of_odd_length_has_no_packet_behind_it),
        PACKET_TEST(case_7_hi_less_di),
        PACKET_TEST(case_8_hi_do),
        PACKET_TEST(case_9_ho_greater_dn),
        PACKET_TEST(case_10_ho_di),
        PACKET_TEST(case_11_ho_greater_do),
        PACKET_TEST(case_11_drops_what_the_rounded_request_took),
        PACKET_TEST(case_12_ho_equal_do),
        PACKET_TEST(case_13_ho_less_do),
        HALT_TEST(case_4_halts_without_a_packet),
        HALT_TEST(case_5_halts_behind_the_data),
        HALT_TEST(case_5_halts_behind_a_short_packet),
        HALT_TEST(case_6_does_not_halt),
        HALT_TEST(case_8_halts),
        HALT_TEST(a_refused_halt_is_tried_again),
        HALT_TEST(a_port_that_cannot_halt_ends_with_a_packet),
        PACKET_TEST(the_logical_unit_gets_the_cdb_and_its_length),
        PACKET_TEST(the_other_logical_unit_gets_its_command),
        PACKET_TEST(every_status_but_the_good_ones_is_a_failed_csw),
        PACKET_TEST(a_failed_read_ends_after_the_bytes_that_were_valid),
        PACKET_TEST(without_a_free_command_it_asks_again),
        PACKET_TEST(a_reset_while_it_waits_for_a_command),
        PACKET_TEST(the_first_half_is_on_the_endpoint_while_the_second_is_withheld),
        PACKET_TEST(data_in_has_at_most_four_pieces_out),
        PACKET_TEST(the_csw_is_queued_behind_data_that_are_still_out),
        PACKET_TEST(the_csw_is_queued_behind_a_zero_length_packet),
        PACKET_TEST(a_zero_length_packet_waits_for_a_free_transfer),
        PACKET_TEST(an_outcome_that_claims_too_much_ends_with_what_was_sent),
        PACKET_TEST(a_write_outcome_that_claims_too_much_has_no_negative_residue),
        PACKET_TEST(a_csw_that_overtakes_its_data_waits_for_them),
        PACKET_TEST(a_full_queue_is_no_error),
        PACKET_TEST(a_refused_request_is_tried_again_when_no_other_is_out),
        PACKET_TEST(the_first_room_is_handed_over_before_the_last_packet),
        PACKET_TEST(data_out_waits_for_room),
        PACKET_TEST(requests_cover_the_declared_bytes_and_no_more),
        PACKET_TEST(a_write_that_fails_early_is_drained_and_never_halted),
        PACKET_TEST(a_host_that_ends_early_gets_a_failed_csw),
        PACKET_TEST(a_host_that_ends_early_in_a_full_queue),
        PACKET_TEST(a_zero_length_packet_ends_data_out_too),
        PACKET_TEST(a_host_that_ends_early_while_being_drained),
        PACKET_TEST(more_data_than_declared_are_cut),
        PACKET_TEST(a_cbw_whose_completion_overtakes_that_of_the_csw_waits),
        PACKET_TEST(a_cbw_request_is_one_packet),
        PACKET_TEST(a_cbw_without_the_signature_is_invalid),
        PACKET_TEST(a_cbw_of_another_length_is_invalid),
        PACKET_TEST(the_halt_after_an_invalid_cbw_is_tried_again),
        PACKET_TEST(in_is_halted_again_soon_after_each_clear_halt),
        PACKET_TEST(nothing_is_waited_for_but_a_clear_halt_after_an_invalid_cbw),
        PACKET_TEST(a_port_that_cannot_halt_is_not_asked_again_and_again),
        PACKET_TEST(an_unknown_lun_fails),
        PACKET_TEST(a_reserved_lun_bit_fails),
        PACKET_TEST(a_reserved_flag_fails),
        PACKET_TEST(a_cdb_of_no_bytes_fails),
        PACKET_TEST(a_cdb_of_17_bytes_fails),
        PACKET_TEST(data_in_go_on_behind_a_clear_halt),
        PACKET_TEST(data_out_go_on_behind_a_clear_halt),
        PACKET_TEST(a_reset_waits_for_late_completions),
        PACKET_TEST(every_reset_is_told_to_the_logical_units),
        PACKET_TEST(a_failed_cbw_request_wants_a_reset),
        PACKET_TEST(failed_data_in_wants_a_reset),
        PACKET_TEST(data_in_taken_in_part_give_the_command_up),
        PACKET_TEST(a_csw_taken_in_part_gives_the_command_up),
        PACKET_TEST(a_cbw_told_of_after_the_command_given_up_is_kept),
        PACKET_TEST(a_cbw_told_of_before_the_command_given_up_is_kept),
        PACKET_TEST(failed_data_out_want_a_reset),
        PACKET_TEST(a_failed_csw_wants_a_reset),
        PACKET_TEST(data_in_that_come_home_out_of_order_want_a_reset),
        PACKET_TEST(a_short_piece_before_the_last_wants_a_reset),
        PACKET_TEST(a_short_room_before_the_last_wants_a_reset),
        PACKET_TEST(a_port_that_refuses_everything_ends_in_rest),
        PACKET_TEST(a_failing_discard_ends_in_rest),
        PACKET_TEST(a_cbw_that_is_lost_in_a_new_configuration_wants_a_reset),
        PACKET_TEST(a_cbw_that_was_lost_before_the_cable_was_pulled_is_forgotten),
        PACKET_TEST(a_packet_size_of_no_bulk_endpoint_leaves_it_off),
        PACKET_TEST(get_max_lun_is_the_highest_lun),
        PACKET_TEST(stats_count),
        cmocka_unit_test(a_configuration_without_a_logical_unit_is_refused),
        cmocka_unit_test(every_move_is_logged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL) + run_matrix();
}
