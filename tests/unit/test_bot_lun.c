/* SPDX-License-Identifier: BSD-2-Clause */
/* BOT, the logical unit and a RAM back end together: what streams, and where. */
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "gadget/bot.h"
#include "lun_bench.h"
#include "script_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB 1024u

static struct bench b;
static struct script_port port;
static struct bot *bot;
static uint8_t data[256 * KIB];
static uint32_t tag;

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

static void send_command(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t length)
{
    uint8_t cbw[31] = "USBC";

    put_le32(cbw + 4, ++tag);
    put_le32(cbw + 8, length);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = cdb_bytes;
    memcpy(cbw + 15, cdb, cdb_bytes);
    struct host_result r = host_out(&port, cbw, sizeof(cbw));
    assert_int_equal(r.end, HOST_DONE);
    settle();
}

static void send_cbw(uint8_t opcode, uint32_t lba, uint16_t blocks, bool in)
{
    uint8_t cdb[10] = {opcode};

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
    send_command(cdb, sizeof(cdb), in, blocks * 512u);
}

static void expect_csw_good(void)
{
    uint8_t csw[13], good[13] = "USBS";

    put_le32(good + 4, tag);
    struct host_result r = host_in(&port, csw, sizeof(csw));
    assert_int_equal(r.end, HOST_DONE);
    assert_int_equal(r.bytes, 13);
    assert_memory_equal(csw, good, 13);
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

/* ---- every reset in every phase ---- */

#define LBA    16u
#define BLOCKS 240u
#define BYTES  (BLOCKS * 512u)

static void at_idle(void)
{
}

static void at_the_cbw(void)
{
    send_cbw(OP_READ_10, LBA, BLOCKS, true);
}

static void in_data_in(void)
{
    at_the_cbw();
    assert_int_equal(host_in(&port, data, 64 * KIB + 512).bytes, 64 * KIB + 512);
}

static void in_data_out(void)
{
    send_cbw(OP_WRITE_10, LBA, BLOCKS, false);
    assert_int_equal(host_out(&port, data, 64 * KIB + 512).bytes, 64 * KIB + 512);
    settle();
}

static void before_the_csw_of_a_read(void)
{
    at_the_cbw();
    assert_int_equal(host_in(&port, data, BYTES).bytes, BYTES);
}

static void before_the_csw_of_a_write(void)
{
    send_cbw(OP_WRITE_10, LBA, BLOCKS, false);
    assert_int_equal(host_out(&port, data, BYTES).bytes, BYTES);
    settle();
}

static void with_a_read_at_the_target(void)
{
    b.ram.hold_from = 1;
    at_the_cbw();
    assert_true(b.ram.outstanding > 0);
    assert_int_equal(host_in(&port, data, BYTES).end, HOST_NAK);
}

static void with_a_write_at_the_target(void)
{
    b.ram.hold_from = 1;
    before_the_csw_of_a_write();
    assert_true(b.ram.outstanding > 0);
}

static const struct phase {
    const char *name;
    void (*reach)(void);
} phases[] = {
    {"idle", at_idle},
    {"at_the_cbw", at_the_cbw},
    {"in_data_in", in_data_in},
    {"in_data_out", in_data_out},
    {"before_the_csw_of_a_read", before_the_csw_of_a_read},
    {"before_the_csw_of_a_write", before_the_csw_of_a_write},
    {"with_a_read_at_the_target", with_a_read_at_the_target},
    {"with_a_write_at_the_target", with_a_write_at_the_target},
};

static void bot_reset(void)
{
    script_port_bot_reset(&port);
}

static void port_reset(void)
{
    script_port_disable(&port);
    script_port_enable(&port, USB_SPEED_HIGH, 512);
}

static void configuration_again(void)
{
    script_port_enable(&port, USB_SPEED_HIGH, 512);
}

static void configuration_0_and_back(void)
{
    script_port_disable(&port);
    settle();
    script_port_enable(&port, USB_SPEED_HIGH, 512);
}

static void cable_pulled(void)
{
    script_port_shut_down(&port);
    settle();
    configuration_0_and_back();
}

static const struct reset {
    const char *name;
    void (*happen)(void);
} resets[] = {
    {"bot_reset", bot_reset},
    {"port_reset", port_reset},
    {"configuration_again", configuration_again},
    {"configuration_0_and_back", configuration_0_and_back},
    {"cable_pulled", cable_pulled},
};

struct cell {
    const struct reset *reset;
    const struct phase *phase;
    char name[80];
};

static struct cell *running; /* cmocka gives a setup the state, and takes it away */

static int cell_setup(void **state)
{
    running = *state;
    return setup(state);
}

/* What needs no target is answered while commands of before are still there; a
 * write behind one of them lands after it; and the answers are its own. */
static void run_cell(void **state)
{
    static const uint8_t inquiry[6] = {OP_INQUIRY, 0, 0, 0, 36};

    (void)state;
    ram_forget(&b.ram);
    memset(data, 0x3c, sizeof(data));
    running->phase->reach();
    running->reset->happen();
    settle();

    send_command(inquiry, sizeof(inquiry), true, 36);
    assert_int_equal(host_in(&port, data, 36).bytes, 36);
    expect_csw_good();

    memset(data, 0x4d, sizeof(data));
    send_cbw(OP_WRITE_10, LBA, 8, false);
    assert_int_equal(host_out(&port, data, 4096).end, HOST_DONE);
    settle();
    b.ram.hold_from = 0;
    settle();
    expect_csw_good();
    assert_memory_equal(ram_block(&b.ram, LBA), data, 4096);

    send_cbw(OP_READ_10, LBA, BLOCKS, true);
    assert_int_equal(host_in(&port, data, BYTES).bytes, BYTES);
    assert_memory_equal(data, ram_block(&b.ram, LBA), BYTES);
    expect_csw_good();
}

#define PHASES (sizeof(phases) / sizeof(phases[0]))
#define CELLS  (PHASES * sizeof(resets) / sizeof(resets[0]))

static int run_matrix(void)
{
    static struct cell cells[CELLS];
    static struct CMUnitTest matrix[CELLS];

    for (unsigned i = 0; i < CELLS; i++) {
        struct cell *cell = &cells[i];
        cell->reset = &resets[i / PHASES];
        cell->phase = &phases[i % PHASES];
        (void)snprintf(cell->name, sizeof(cell->name), "%s_%s", cell->reset->name,
                       cell->phase->name);
        matrix[i] = (struct CMUnitTest){.name = cell->name,
                                        .test_func = run_cell,
                                        .setup_func = cell_setup,
                                        .teardown_func = teardown,
                                        .initial_state = cell};
    }
    return cmocka_run_group_tests(matrix, NULL, NULL);
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
    return cmocka_run_group_tests_name("bot and lun", tests, NULL, NULL) + run_matrix();
}
