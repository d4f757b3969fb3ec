/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a command may keep the host waiting: by its profile, and by what the
 * other units on the cable need. The unit under test is number 0. */
#include "bridge/opcode.h"
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TEST(name)  cmocka_unit_test_setup_teardown(name, open_one, close_down)
#define TEST2(name) cmocka_unit_test_setup_teardown(name, open_two, close_down)

static struct bench b;
static struct cable cable;
static uint8_t data[2 * POOL_SLICE_BYTES];
static const uint8_t tur[6] = {OP_TEST_UNIT_READY};
static const uint8_t flush[10] = {OP_SYNCHRONIZE_CACHE_10};
static const uint8_t read8[10] = {OP_READ_10, 0, 0, 0, 0, 0, 0, 0, 8};
static const uint8_t write8[10] = {OP_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 8};
static const uint8_t linux_asks[6] = {OP_MODE_SENSE_6, 0, 0x3f, 0, 192};

static void on_cable(struct lun_config *config)
{
    config->cable = &cable;
    config->answer_within_ms = LUN_ANSWER_BY_HOST;
}

static void open_with(unsigned luns)
{
    memset(&cable, 0xa5, sizeof(cable));
    cable_init(&cable, luns, NULL);
    bench_open(&b, on_cable);
    bench_up(&b);
}

static int open_one(void **state)
{
    (void)state;
    open_with(1);
    return 0;
}

static int open_two(void **state)
{
    (void)state;
    open_with(2);
    return 0;
}

static int close_down(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

/* The other unit is asked, and its target answers. */
static void use_the_other(void)
{
    cable_note(&cable, 1, true, tur, 6, 0, bench_now_us);
}

/* After how many milliseconds, in steps of 10, is it answered NOT READY? */
static unsigned answered_after_ms(const uint8_t *cdb, enum scsi_dir dir, uint32_t length_bytes)
{
    struct note note;
    unsigned ms = 0;
    struct lun_cmd *cmd = bench_cmd(&b, &note, cdb, 10, dir, length_bytes);
    if (dir == SCSI_DIR_OUT)
        bench_write(&b, cmd, data, length_bytes);
    for (bench_pass(&b, 0); !note.complete && ms < 60000; ms += 10)
        bench_pass(&b, 10000);
    assert_int_equal(note.complete, 1);
    assert_true(sense_code_equal(bench_sense(&cmd->outcome), sense_becoming_ready));
    lun_release(b.lun, cmd);
    return ms;
}

static void unknown_host_gets_data_within_4_s_and_status_within_2_5_s(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 4000);
    assert_int_equal(answered_after_ms(flush, SCSI_DIR_NONE, 0), 2500);
}

static void status_of_a_write_counts_from_its_last_byte(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    assert_int_equal(answered_after_ms(write8, SCSI_DIR_OUT, 4096), 2500);
}

static void linux_is_recognised_and_gets_10_s(void **state)
{
    (void)state;
    bench_run(&b, linux_asks, 6, SCSI_DIR_IN, data, 192);
    assert_string_equal(cable.host->name, "linux");
    ram_lose(&b.ram, "target gone");
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 10000);
    assert_int_equal(answered_after_ms(flush, SCSI_DIR_NONE, 0), 10000);
}

static void reset_forgets_who_the_host_was(void **state)
{
    (void)state;
    bench_run(&b, linux_asks, 6, SCSI_DIR_IN, data, 192);
    lun_host_reset(b.lun);
    assert_string_equal(cable.host->name, "unknown");
}

static void host_given_by_configuration_stays(void **state)
{
    (void)state;
    cable_init(&cable, 1, host_find("linux"));
    lun_host_reset(b.lun);
    assert_string_equal(cable.host->name, "linux");
}

static void dead_unit_holds_the_cable_for_half_a_second(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 500);
    assert_int_equal(answered_after_ms(flush, SCSI_DIR_NONE, 0), 500);
}

static void dead_unit_is_answered_at_once_while_another_is_in_use(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    use_the_other();
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 0);
    bench_pass(&b, 1100000);
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 500);
}

static void unit_whose_target_fell_silent_is_dead_after_one_command(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    use_the_other();
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 500);
    use_the_other();
    assert_int_equal(answered_after_ms(write8, SCSI_DIR_OUT, 4096), 0);
}

static void silent_target_is_not_asked_again_while_it_owes_an_answer(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    use_the_other();
    assert_int_equal(answered_after_ms(flush, SCSI_DIR_NONE, 0), 500);
    for (int i = 0; i < 20; i++) {
        uint8_t lba[10];
        memcpy(lba, read8, 10);
        lba[5] = (uint8_t)(8 * i);
        use_the_other();
        assert_int_equal(answered_after_ms(lba, SCSI_DIR_IN, 4096), 0);
    }
    assert_int_equal(b.ram.seen_count, 1);
    assert_int_equal(b.ram.drops, 0);
}

static void silent_target_that_answers_is_alive_again(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    use_the_other();
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 500);
    b.ram.hold_from = 0;
    bench_settle(&b);
    b.ram.hold_from = 100;
    use_the_other();
    struct scsi_outcome o = bench_run(&b, read8, 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void unit_alone_in_use_has_the_hosts_patience(void **state)
{
    (void)state;
    b.ram.hold_from = 1;
    assert_int_equal(answered_after_ms(read8, SCSI_DIR_IN, 4096), 4000);
}

/* A slow target must not be told NOT READY for ever: as long as it goes on. */
static void shared_cable_counts_from_the_last_progress(void **state)
{
    (void)state;
    struct note note;
    const uint8_t read256[10] = {OP_READ_10, 0, 0, 0, 0, 0, 0, 1, 0};
    use_the_other();
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = bench_cmd(&b, &note, read256, 10, SCSI_DIR_IN, sizeof(data));
    bench_pass(&b, 400000);
    ram_let_go(&b.ram, 1);
    bench_pass(&b, 400000);
    assert_int_equal(note.complete, 0);
    ram_let_go(&b.ram, 2);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), sizeof(data));
    lun_release(b.lun, cmd);
}

static void answer_given_by_configuration_holds_for_both(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL); /* 4 s, no cable */
    bench_up(&b);
    ram_lose(&b.ram, "target gone");
    assert_int_equal(answered_after_ms(flush, SCSI_DIR_NONE, 0), 4000);
}

static uint64_t virtual_now(void)
{
    return bench_now_us;
}

static void number_beyond_the_cable_is_refused(void **state)
{
    (void)state;
    struct lun_config config = {.backend = &b.ram.backend,
                                .deferred = &b.deferred,
                                .pool = &b.pool,
                                .now_us = virtual_now,
                                .cable = &cable,
                                .number = 0};
    struct lun *fits = lun_create(&config);
    assert_non_null(fits);
    lun_destroy(fits);
    config.number = 1;
    assert_null(lun_create(&config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unknown_host_gets_data_within_4_s_and_status_within_2_5_s),
        TEST(status_of_a_write_counts_from_its_last_byte),
        TEST(linux_is_recognised_and_gets_10_s),
        TEST(reset_forgets_who_the_host_was),
        TEST(host_given_by_configuration_stays),
        TEST(answer_given_by_configuration_holds_for_both),
        TEST(number_beyond_the_cable_is_refused),
        TEST2(dead_unit_holds_the_cable_for_half_a_second),
        TEST2(dead_unit_is_answered_at_once_while_another_is_in_use),
        TEST2(unit_whose_target_fell_silent_is_dead_after_one_command),
        TEST2(silent_target_is_not_asked_again_while_it_owes_an_answer),
        TEST2(silent_target_that_answers_is_alive_again),
        TEST2(unit_alone_in_use_has_the_hosts_patience),
        TEST2(shared_cable_counts_from_the_last_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
