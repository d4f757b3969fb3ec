/* SPDX-License-Identifier: BSD-2-Clause */
/* The medium: who takes it out, what brings it back, what the host is told. */
#include "bridge/opcode.h"
#include "lun_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_up, close_down)

static struct bench b;
static uint8_t data[4096];
static const uint8_t tur[6] = {OP_TEST_UNIT_READY};
static const uint8_t eject_cdb[6] = {OP_START_STOP_UNIT, 0, 0, 0, 2};
static const uint8_t load_cdb[6] = {OP_START_STOP_UNIT, 0, 0, 0, 3};
static const uint8_t stop_cdb[6] = {OP_START_STOP_UNIT, 0, 0, 0, 0};
static const uint8_t standby_cdb[6] = {OP_START_STOP_UNIT, 0, 0, 0, 0x32};
static const uint8_t read_cdb[10] = {OP_READ_10, 0, 0, 0, 0, 0, 0, 0, 8};
static const uint8_t write_cdb[10] = {OP_WRITE_10, 0, 0, 0, 0, 0, 0, 0, 8};

static void open_with(void (*adjust)(struct lun_config *))
{
    bench_open(&b, adjust);
    bench_up(&b);
}

static int open_up(void **state)
{
    (void)state;
    open_with(NULL);
    return 0;
}

static int close_down(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

static void again_with(void (*adjust)(struct lun_config *))
{
    bench_close(&b);
    open_with(adjust);
}

static void never(struct lun_config *config)
{
    config->reinsert = MEDIUM_REINSERT_NEVER;
}

static void after_3_s(struct lun_config *config)
{
    config->reinsert = MEDIUM_REINSERT_AFTER;
    config->reinsert_after_ms = 3000;
}

static void fixed(struct lun_config *config)
{
    config->removable = false;
}

static void give_up_after_60_s(struct lun_config *config)
{
    config->give_up_after_ms = 60000;
}

static void no_data_gives(const uint8_t cdb[6], struct sense_code want)
{
    struct scsi_outcome o = bench_run(&b, cdb, 6, SCSI_DIR_NONE, NULL, 0);
    if (want.key == SENSE_NO_SENSE) {
        assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    } else {
        assert_int_equal(o.status, SCSI_STATUS_CODE_CHECK_CONDITION);
        assert_true(sense_code_equal(bench_sense(&o), want));
    }
}

static void read_gives(struct sense_code want)
{
    struct scsi_outcome o = bench_run(&b, read_cdb, 10, SCSI_DIR_IN, data, 4096);
    if (want.key == SENSE_NO_SENSE)
        assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    else
        assert_true(sense_code_equal(bench_sense(&o), want));
}

static void host_eject_takes_the_medium_out(void **state)
{
    (void)state;
    no_data_gives(eject_cdb, sense_none);
    assert_int_equal(lun_medium(b.lun), MEDIUM_OUT_HOST);
    no_data_gives(tur, sense_no_medium);
    read_gives(sense_no_medium);
    assert_int_equal(b.ram.seen_count, 0);
}

static void host_load_brings_it_back_as_a_new_medium(void **state)
{
    (void)state;
    no_data_gives(eject_cdb, sense_none);
    no_data_gives(load_cdb, sense_none);
    assert_int_equal(lun_medium(b.lun), MEDIUM_IN);
    no_data_gives(tur, sense_medium_changed);
    read_gives(sense_none);
}

static void cable_plugged_in_again_brings_it_back(void **state)
{
    (void)state;
    no_data_gives(eject_cdb, sense_none);
    lun_replugged(b.lun);
    no_data_gives(tur, sense_medium_changed);
    no_data_gives(tur, sense_none);
}

static void never_means_neither_load_nor_replug(void **state)
{
    (void)state;
    again_with(never);
    no_data_gives(eject_cdb, sense_none);
    no_data_gives(load_cdb, sense_no_medium);
    lun_replugged(b.lun);
    bench_pass(&b, 3600000000);
    no_data_gives(tur, sense_no_medium);
    assert_int_equal(lun_insert(b.lun), 0);
    no_data_gives(tur, sense_medium_changed);
}

static void after_a_while_it_is_back_by_itself(void **state)
{
    (void)state;
    again_with(after_3_s);
    no_data_gives(eject_cdb, sense_none);
    bench_pass(&b, 2900000);
    no_data_gives(tur, sense_no_medium);
    bench_pass(&b, 200000);
    no_data_gives(tur, sense_medium_changed);
    no_data_gives(tur, sense_none);
}

static void what_the_user_ejected_only_the_user_inserts(void **state)
{
    (void)state;
    again_with(after_3_s);
    assert_int_equal(lun_eject(b.lun, false), 0);
    bench_pass(&b, 10000000);
    lun_replugged(b.lun);
    no_data_gives(load_cdb, sense_no_medium);
    assert_int_equal(lun_insert(b.lun), 0);
    assert_int_equal(lun_insert(b.lun), -EALREADY);
    no_data_gives(tur, sense_medium_changed);
}

static void users_eject_overrules_the_hosts(void **state)
{
    (void)state;
    again_with(after_3_s);
    no_data_gives(eject_cdb, sense_none);
    assert_int_equal(lun_eject(b.lun, false), 0);
    assert_int_equal(lun_eject(b.lun, false), -EALREADY);
    bench_pass(&b, 10000000);
    no_data_gives(tur, sense_no_medium);
}

static void eject_in_the_middle_needs_force(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = bench_cmd(&b, &note, read_cdb, 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(lun_eject(b.lun, false), -EBUSY);
    assert_int_equal(lun_eject(b.lun, true), 0);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_true(sense_code_equal(bench_sense(&cmd->outcome), sense_no_medium));
    lun_release(b.lun, cmd);
}

static void eject_right_after_a_write_needs_force(void **state)
{
    (void)state;
    struct scsi_outcome o = bench_run(&b, write_cdb, 10, SCSI_DIR_OUT, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(lun_eject(b.lun, false), -EBUSY);
    bench_pass(&b, 1100000);
    assert_int_equal(lun_eject(b.lun, false), 0);
}

static void fixed_disk_has_no_eject(void **state)
{
    (void)state;
    again_with(fixed);
    no_data_gives(eject_cdb, sense_invalid_field);
    no_data_gives(tur, sense_none);
}

static void stop_and_power_conditions_leave_the_medium_in(void **state)
{
    (void)state;
    no_data_gives(stop_cdb, sense_none);
    no_data_gives(standby_cdb, sense_none);
    no_data_gives(tur, sense_none);
}

static void inquiry_is_answered_without_medium(void **state)
{
    (void)state;
    const uint8_t cdb[6] = {OP_INQUIRY, 0, 0, 0, 36};
    assert_int_equal(lun_eject(b.lun, false), 0);
    struct scsi_outcome o = bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 36);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(data[1], 0x80);
}

static void long_outage_is_given_up_when_asked_for(void **state)
{
    (void)state;
    struct note note;
    again_with(give_up_after_60_s);
    ram_lose(&b.ram, "target gone");
    bench_pass(&b, 59000000);
    no_data_gives(tur, sense_none);
    struct lun_cmd *cmd = bench_cmd(&b, &note, read_cdb, 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 1100000);
    assert_int_equal(note.complete, 1);
    assert_true(sense_code_equal(bench_sense(&cmd->outcome), sense_no_medium));
    lun_release(b.lun, cmd);
    assert_int_equal(lun_medium(b.lun), MEDIUM_GIVEN_UP);
    bench_up(&b);
    no_data_gives(tur, sense_medium_changed);
    read_gives(sense_none);
}

static void short_outages_do_not_add_up(void **state)
{
    (void)state;
    again_with(give_up_after_60_s);
    for (int i = 0; i < 3; i++) {
        ram_lose(&b.ram, "target gone");
        bench_pass(&b, 40000000);
        bench_up(&b);
    }
    bench_pass(&b, 100000000);
    no_data_gives(tur, sense_none);
}

static void nothing_to_insert_before_a_disk_was_seen(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    assert_int_equal(lun_medium(b.lun), MEDIUM_UNSEEN);
    assert_int_equal(lun_insert(b.lun), -ENOTCONN);
    assert_int_equal(lun_medium(b.lun), MEDIUM_UNSEEN);
}

static void a_drive_ejected_before_its_disk_came_stays_empty(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    assert_int_equal(lun_eject(b.lun, false), 0);
    assert_int_equal(lun_eject(b.lun, false), -EALREADY);
    bench_up(&b);
    no_data_gives(tur, sense_no_medium);
    assert_int_equal(lun_insert(b.lun), 0);
    no_data_gives(tur, sense_medium_changed);
    read_gives(sense_none);
}

static void an_insert_that_is_too_early_lets_the_disk_in_when_it_comes(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    assert_int_equal(lun_eject(b.lun, false), 0);
    assert_int_equal(lun_insert(b.lun), -ENOTCONN);
    no_data_gives(tur, sense_no_medium);
    bench_up(&b);
    no_data_gives(tur, sense_medium_changed);
    read_gives(sense_none);
}

static void given_up_means_until_the_target_is_back(void **state)
{
    (void)state;
    again_with(give_up_after_60_s);
    ram_lose(&b.ram, "target gone");
    bench_pass(&b, 61000000);
    assert_int_equal(lun_medium(b.lun), MEDIUM_GIVEN_UP);
    assert_int_equal(lun_insert(b.lun), -ENOTCONN);
    no_data_gives(tur, sense_no_medium);
    bench_up(&b);
    no_data_gives(tur, sense_medium_changed);
}

static void inserted_without_a_session_is_given_up_in_time(void **state)
{
    (void)state;
    again_with(give_up_after_60_s);
    assert_int_equal(lun_eject(b.lun, false), 0);
    ram_lose(&b.ram, "target gone");
    bench_pass(&b, 100000000);
    assert_int_equal(lun_insert(b.lun), 0);
    bench_pass(&b, 59000000);
    assert_int_equal(lun_medium(b.lun), MEDIUM_IN);
    bench_pass(&b, 2000000);
    assert_int_equal(lun_medium(b.lun), MEDIUM_GIVEN_UP);
}

static void write_protection_may_change_with_the_medium(void **state)
{
    (void)state;
    memset(data, 0x11, sizeof(data));
    assert_int_equal(lun_eject(b.lun, false), 0);
    lun_write_protect(b.lun, true);
    assert_int_equal(lun_insert(b.lun), 0);
    no_data_gives(tur, sense_medium_changed);
    struct scsi_outcome o = bench_run(&b, write_cdb, 10, SCSI_DIR_OUT, data, 4096);
    assert_true(sense_code_equal(bench_sense(&o), sense_write_protected));
    lun_write_protect(b.lun, false);
    o = bench_run(&b, write_cdb, 10, SCSI_DIR_OUT, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void another_target_is_another_medium(void **state)
{
    (void)state;
    struct ram_backend other;
    ram_init(&other, &b.deferred);
    other.disk[0] = 0x77;
    assert_int_equal(lun_eject(b.lun, false), 0);
    ram_lose(&b.ram, "logged out");
    bench_settle(&b);
    ram_free(&b.ram);
    b.ram = other;
    lun_retarget(b.lun, &(struct lun_target){.backend = &b.ram.backend});
    assert_null(lun_disk(b.lun));
    bench_up(&b);
    no_data_gives(tur, sense_medium_changed);
    no_data_gives(tur, sense_no_medium);
    assert_int_equal(lun_insert(b.lun), 0);
    no_data_gives(tur, sense_medium_changed);
    read_gives(sense_none);
    assert_int_equal(data[0], 0x77);
}

/* Another target's disk may look the same, and the host may not have asked. */
static void the_host_is_told_of_another_target_in_any_case(void **state)
{
    (void)state;
    struct ram_backend other;
    ram_init(&other, &b.deferred);
    assert_int_equal(lun_eject(b.lun, false), 0);
    ram_lose(&b.ram, "logged out");
    bench_settle(&b);
    ram_free(&b.ram);
    b.ram = other;
    lun_retarget(b.lun, &(struct lun_target){.backend = &b.ram.backend});
    assert_int_equal(lun_insert(b.lun), -ENOTCONN);
    bench_up(&b);
    no_data_gives(tur, sense_medium_changed);
    no_data_gives(tur, sense_none);
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(medium_name(MEDIUM_UNSEEN), "awaited");
    assert_string_equal(medium_name(MEDIUM_IN), "in");
    assert_string_equal(medium_name(MEDIUM_OUT_HOST), "ejected by the host");
    assert_string_equal(medium_name(MEDIUM_OUT_USER), "ejected");
    assert_string_equal(medium_name(MEDIUM_GIVEN_UP), "given up");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(host_eject_takes_the_medium_out),
        TEST(host_load_brings_it_back_as_a_new_medium),
        TEST(cable_plugged_in_again_brings_it_back),
        TEST(never_means_neither_load_nor_replug),
        TEST(after_a_while_it_is_back_by_itself),
        TEST(what_the_user_ejected_only_the_user_inserts),
        TEST(users_eject_overrules_the_hosts),
        TEST(eject_in_the_middle_needs_force),
        TEST(eject_right_after_a_write_needs_force),
        TEST(fixed_disk_has_no_eject),
        TEST(stop_and_power_conditions_leave_the_medium_in),
        TEST(inquiry_is_answered_without_medium),
        TEST(long_outage_is_given_up_when_asked_for),
        TEST(short_outages_do_not_add_up),
        TEST(nothing_to_insert_before_a_disk_was_seen),
        TEST(a_drive_ejected_before_its_disk_came_stays_empty),
        TEST(an_insert_that_is_too_early_lets_the_disk_in_when_it_comes),
        TEST(given_up_means_until_the_target_is_back),
        TEST(inserted_without_a_session_is_given_up_in_time),
        TEST(write_protection_may_change_with_the_medium),
        TEST(another_target_is_another_medium),
        TEST(the_host_is_told_of_another_target_in_any_case),
        TEST(every_state_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
