/* SPDX-License-Identifier: BSD-2-Clause */
/* BOT, the logical unit and a RAM back end together: what streams, and where. */
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "gadget/bot.h"
#include "lun_bench.h"
#include "script_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB 1024u

static struct bench b;
static struct script_port port;
static struct bot *bot;
static uint8_t data[256 * KIB];

/* Both sides until neither has anything to do. */
static void settle(void)
{
    for (int i = 0; i < 20; i++) {
        script_port_turn(&port);
        bench_settle(&b);
    }
}

static uint64_t now_us(void)
{
    return bench_now_us;
}

static int setup(void **state)
{
    (void)state;
    bench_open(&b, NULL);
    bench_up(&b);
    memset(&port, 0xa5, sizeof(port));
    script_port_init(&port, &b.deferred);
    struct bot_config config = {
        .port = &port.usb,
        .deferred = &b.deferred,
        .luns = &b.lun,
        .lun_count = 1,
        .now_us = now_us,
    };
    bot = bot_create(&config);
    assert_non_null(bot);
    script_port_enable(&port, USB_SPEED_HIGH, 512);
    settle();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    b.ram.hold_from = 0;
    script_port_disable(&port);
    settle();
    assert_true(bot_idle(bot));
    bot_destroy(bot);
    bench_close(&b);
    return 0;
}

static void send_cbw(uint8_t opcode, uint32_t lba, uint16_t blocks, bool in)
{
    uint8_t cbw[31] = "USBC\x01\x02\x03\x04";
    put_le32(cbw + 8, blocks * 512u);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = 10;
    cbw[15] = opcode;
    put_be32(cbw + 17, lba);
    put_be16(cbw + 22, blocks);
    struct host_result r = host_out(&port, cbw, sizeof(cbw));
    assert_int_equal(r.end, HOST_DONE);
    settle();
}

static void expect_csw_good(void)
{
    uint8_t csw[13];
    struct host_result r = host_in(&port, csw, sizeof(csw));
    assert_int_equal(r.end, HOST_DONE);
    assert_int_equal(r.bytes, 13);
    assert_memory_equal(csw, "USBS\x01\x02\x03\x04\0\0\0\0\0", 13);
    settle();
}

static void first_half_of_a_read_is_on_in_while_the_second_is_withheld(void **state)
{
    (void)state;
    b.ram.hold_from = 2;
    send_cbw(OP_READ_10, 0, 240, true);
    struct host_result r = host_in(&port, data, 64 * KIB);
    assert_int_equal(r.bytes, 64 * KIB);
    assert_memory_equal(data, b.ram.disk, 64 * KIB);
    b.ram.hold_from = 0;
    settle();
    r = host_in(&port, data, 56 * KIB);
    assert_int_equal(r.bytes, 56 * KIB);
    assert_memory_equal(data, b.ram.disk + (size_t)64 * KIB, 56 * KIB);
    expect_csw_good();
}

static void first_half_of_a_write_is_at_the_target_before_the_last_packet(void **state)
{
    (void)state;
    memset(data, 0x3c, sizeof(data));
    send_cbw(OP_WRITE_10, 8, 240, false);
    host_out(&port, data, 64 * KIB);
    settle();
    assert_int_equal(b.ram.seen_count, 1);
    assert_memory_equal(ram_block(&b.ram, 8), data, 64 * KIB);
    host_out(&port, data, 56 * KIB);
    settle();
    assert_memory_equal(ram_block(&b.ram, 8), data, 120 * KIB);
    expect_csw_good();
}

static void usb_buffer_is_the_back_ends_buffer(void **state)
{
    (void)state;
    send_cbw(OP_READ_10, 0, 8, true);
    assert_int_equal(port.queued[USB_IN] > 0, 1);
    assert_ptr_equal(port.queue[USB_IN][0]->buf, b.ram.seen[0].iov_base);
    host_in(&port, data, 4096);
    expect_csw_good();
    send_cbw(OP_WRITE_10, 0, 8, false);
    assert_int_equal(port.queued[USB_OUT] > 0, 1);
    const void *buf = port.queue[USB_OUT][0]->buf;
    host_out(&port, data, 4096);
    settle();
    assert_ptr_equal(buf, b.ram.seen[1].iov_base);
    expect_csw_good();
}

static void reset_in_data_in_leaves_an_orphan_and_the_next_command_works(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    send_cbw(OP_READ_10, 0, 240, true);
    script_port_bot_reset(&port);
    settle();
    send_cbw(OP_READ_10, 1000, 8, true);
    b.ram.hold_from = 0;
    settle();
    struct host_result r = host_in(&port, data, 4096);
    assert_int_equal(r.bytes, 4096);
    assert_memory_equal(data, ram_block(&b.ram, 1000), 4096);
    expect_csw_good();
}

static void unplugging_in_data_out_gives_every_buffer_back(void **state)
{
    (void)state;
    send_cbw(OP_WRITE_10, 0, 240, false);
    host_out(&port, data, 64 * KIB);
    script_port_disable(&port);
    settle();
    assert_int_equal(b.pool.free_count, BENCH_SLICES);
    script_port_enable(&port, USB_SPEED_HIGH, 512);
    settle();
    send_cbw(OP_READ_10, 0, 8, true);
    struct host_result r = host_in(&port, data, 4096);
    assert_int_equal(r.bytes, 4096);
    expect_csw_good();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(first_half_of_a_read_is_on_in_while_the_second_is_withheld),
        TEST(first_half_of_a_write_is_at_the_target_before_the_last_packet),
        TEST(usb_buffer_is_the_back_ends_buffer),
        TEST(reset_in_data_in_leaves_an_orphan_and_the_next_command_works),
        TEST(unplugging_in_data_out_gives_every_buffer_back),
    };
    return cmocka_run_group_tests_name("bot and lun", tests, NULL, NULL);
}
