/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of hosts: who is recognised by what, and what each of them gets. */
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "host_commands.h"
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct bench b;
static struct cable cable;
static uint8_t data[POOL_SLICE_BYTES];

static void on_cable(struct lun_config *config)
{
    config->cable = &cable;
    config->answer_within_ms = LUN_ANSWER_BY_HOST;
}

/* The unit under test is number 10, whose lower three bits are 2. */
static void on_cable_number_10(struct lun_config *config)
{
    on_cable(config);
    config->number = 10;
}

static void open_number_10(const char *host)
{
    memset(&cable, 0xa5, sizeof(cable));
    cable_init(&cable, 16, host ? host_find(host) : NULL);
    bench_open(&b, on_cable_number_10);
    bench_up(&b);
}

static int close_down(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

static const struct host_profile *after(const struct host_profile *known, const char *cdb)
{
    uint8_t bytes[SCSI_CDB_MAX_BYTES] = {0};
    memcpy(bytes, cdb, 6);
    return host_recognise(known, bytes, 6, bytes[4]);
}

/* ---- the rows ---- */

static void every_row_has_its_reason_and_source(void **state)
{
    (void)state;
    const struct host_profile *row;
    unsigned rows = 0;
    for (; (row = host_row(rows)); rows++) {
        assert_ptr_equal(host_find(row->name), row);
        assert_true(strlen(row->reason) > 0);
        assert_true(row->data_ms > 0 && row->status_ms > 0 && row->status_ms <= row->data_ms);
        assert_true(strncmp(row->source, "seen here: ", 11) == 0 ||
                    strncmp(row->source, "reported, not seen here: ", 25) == 0);
    }
    assert_int_equal(rows, 6);
    assert_null(host_find("beos"));
}

static void host_that_no_test_ran_with_is_labelled(void **state)
{
    (void)state;
    static const char *const not_here[] = {"windows", "macos", "console", "raspberry-pi"};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(strncmp(host_find(not_here[i])->source, "reported, not seen here: ", 25),
                         0);
}

/* ---- recognition ---- */

static void linux_is_known_by_all_pages_in_192_bytes(void **state)
{
    (void)state;
    assert_string_equal(after(&host_unknown, "\x1a\0\x3f\0\xc0")->name, "linux");
}

static void windows_is_known_by_its_exceptions_page_and_stays_windows(void **state)
{
    (void)state;
    const struct host_profile *host = after(&host_unknown, "\x1a\0\x1c\0\xc0");
    assert_string_equal(host->name, "windows");
    assert_string_equal(after(host, "\x1a\0\x3f\0\xc0")->name, "windows");
    assert_string_equal(after(host_find("linux"), "\x1a\0\x1c\0\xc0")->name, "windows");
}

static void all_pages_in_another_length_tell_nothing(void **state)
{
    (void)state;
    assert_string_equal(after(&host_unknown, "\x1a\0\x3f\0\x04")->name, "unknown"); /* EDK2 */
    assert_string_equal(after(&host_unknown, "\x1a\0\x3f\0\xff")->name, "unknown");
    uint8_t cdb[16] = {OP_MODE_SENSE_6, 0, 0x3f, 0, 192};
    assert_string_equal(host_recognise(&host_unknown, cdb, 6, 4)->name, "unknown");
    assert_string_equal(host_recognise(&host_unknown, cdb, 4, 192)->name, "unknown");
}

/* ---- what they send ---- */

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define UNITS       3u
#define UNIT_CDROM  2u

static unsigned unit_number;

static void on_cable_as_captured(struct lun_config *config)
{
    on_cable(config);
    config->number = unit_number;
    config->cdrom = unit_number == UNIT_CDROM;
}

static void open_unit(unsigned number)
{
    unit_number = number;
    memset(&cable, 0xa5, sizeof(cable));
    cable_init(&cable, UNITS, NULL);
    bench_open(&b, on_cable_as_captured);
}

static struct scsi_outcome run_row(const struct host_command *row)
{
    return bench_run(&b, (const uint8_t *)row->cdb, row->cdb_bytes, row->dir, data,
                     row->length_bytes);
}

static bool is_read(const struct host_command *row)
{
    return (uint8_t)row->cdb[0] == OP_READ_10;
}

/* PREVENT, and the designation page that the disk of the bench does not have. */
static bool may_be_refused(const struct host_command *row)
{
    return (uint8_t)row->cdb[0] == OP_PREVENT_ALLOW ||
           ((uint8_t)row->cdb[0] == OP_INQUIRY && (uint8_t)row->cdb[2] == 0x83);
}

/* With a session all is GOOD, and the host is known as `name` by what it sends to
 * the disks; without one all but reading still is. */
static void is_served(const struct host_command *rows, size_t count, const char *name)
{
    for (unsigned unit = 0; unit < UNITS; unit++) {
        open_unit(unit);
        bench_up(&b);
        for (int session = 1; session >= 0; session--) {
            for (size_t i = 0; i < count; i++) {
                if (rows[i].unit != unit || (!session && is_read(&rows[i])))
                    continue;
                struct scsi_outcome o = run_row(&rows[i]);
                assert_false(o.phase_error);
                if (!may_be_refused(&rows[i]))
                    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
            }
            if (session)
                ram_lose(&b.ram, "cut");
        }
        if (unit != UNIT_CDROM)
            assert_string_equal(cable.host->name, name);
        bench_close(&b);
    }
}

/* Before a disk was ever seen each command is answered in the same turn. */
static void is_never_kept_waiting(const struct host_command *rows, size_t count)
{
    for (unsigned unit = 0; unit < UNITS; unit++) {
        open_unit(unit);
        for (size_t i = 0; i < count; i++) {
            struct note note;
            if (rows[i].unit != unit)
                continue;
            struct lun_cmd *cmd = bench_cmd(&b, &note, (const uint8_t *)rows[i].cdb,
                                            rows[i].cdb_bytes, rows[i].dir, rows[i].length_bytes);
            bench_settle(&b);
            assert_int_equal(note.complete, 1);
            bool inquiry = (uint8_t)rows[i].cdb[0] == OP_INQUIRY;
            if (inquiry && !may_be_refused(&rows[i]))
                assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
            lun_release(b.lun, cmd);
        }
        bench_close(&b);
    }
}

static void uboot_gets_what_it_asks_for_and_stays_unknown(void **state)
{
    (void)state;
    is_served(uboot_sends, COUNT(uboot_sends), "unknown");
    is_never_kept_waiting(uboot_sends, COUNT(uboot_sends));
}

static void edk2_gets_what_it_asks_for_and_stays_unknown(void **state)
{
    (void)state;
    is_served(edk2_sends, COUNT(edk2_sends), "unknown");
    is_never_kept_waiting(edk2_sends, COUNT(edk2_sends));
}

static void seabios_gets_what_it_asks_for_and_stays_unknown(void **state)
{
    (void)state;
    is_served(seabios_sends, COUNT(seabios_sends), "unknown");
    is_never_kept_waiting(seabios_sends, COUNT(seabios_sends));
}

static void linux_gets_what_it_asks_for_and_is_known(void **state)
{
    (void)state;
    is_served(linux_sends, COUNT(linux_sends), "linux");
    is_never_kept_waiting(linux_sends, COUNT(linux_sends));
}

/* ---- the unit's number in the CDB ---- */

/* What the target saw of byte 1 of a READ(10). */
static unsigned byte_1_at_the_target(uint8_t byte_1)
{
    uint8_t cdb[10] = {OP_READ_10, byte_1, 0, 0, 0, 0, 0, 0, 1};
    bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 512);
    assert_int_equal(b.ram.seen_count, 1);
    return b.ram.seen[0].cdb[1];
}

static void number_that_firmware_writes_into_the_cdb_is_not_the_targets(void **state)
{
    (void)state;
    open_number_10(NULL);
    assert_int_equal(byte_1_at_the_target(0x48), 0x08); /* FUA is */
}

static void bits_that_are_not_the_number_are_the_targets(void **state)
{
    (void)state;
    open_number_10(NULL);
    assert_int_equal(byte_1_at_the_target(0x20), 0x20);
}

static void operating_systems_bits_are_the_targets(void **state)
{
    (void)state;
    open_number_10("linux");
    assert_int_equal(byte_1_at_the_target(0x40), 0x40);
}

static void bits_for_a_disk_with_protection_are_the_targets(void **state)
{
    (void)state;
    memset(&cable, 0xa5, sizeof(cable));
    cable_init(&cable, 16, NULL);
    bench_open(&b, on_cable_number_10);
    b.ram.protection = true;
    bench_up(&b);
    assert_int_equal(byte_1_at_the_target(0x40), 0x40);
}

/* ---- what goes stale when a host asks for it ---- */

static void write_cache_that_the_host_turned_off_is_off(void **state)
{
    (void)state;
    cable_init(&cable, 1, NULL);
    bench_open(&b, on_cable);
    b.ram.write_cache = true;
    bench_up(&b);
    static const uint8_t sense[6] = {OP_MODE_SENSE_6, 0, 0x08, 0, 24};
    static const uint8_t select[6] = {OP_MODE_SELECT_6, 0x10, 0, 0, 24};
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 24);
    assert_int_equal(data[4 + 2], 4);
    data[0] = 0;
    data[4 + 2] = 0;
    struct scsi_outcome o = bench_run(&b, select, 6, SCSI_DIR_OUT, data, 24);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 24);
    assert_int_equal(data[4 + 2], 0);
}

#define WITH_UNIT(name) cmocka_unit_test_teardown(name, close_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_its_reason_and_source),
        cmocka_unit_test(host_that_no_test_ran_with_is_labelled),
        cmocka_unit_test(linux_is_known_by_all_pages_in_192_bytes),
        cmocka_unit_test(windows_is_known_by_its_exceptions_page_and_stays_windows),
        cmocka_unit_test(all_pages_in_another_length_tell_nothing),
        cmocka_unit_test(uboot_gets_what_it_asks_for_and_stays_unknown),
        cmocka_unit_test(edk2_gets_what_it_asks_for_and_stays_unknown),
        cmocka_unit_test(seabios_gets_what_it_asks_for_and_stays_unknown),
        cmocka_unit_test(linux_gets_what_it_asks_for_and_is_known),
        WITH_UNIT(number_that_firmware_writes_into_the_cdb_is_not_the_targets),
        WITH_UNIT(bits_that_are_not_the_number_are_the_targets),
        WITH_UNIT(operating_systems_bits_are_the_targets),
        WITH_UNIT(bits_for_a_disk_with_protection_are_the_targets),
        WITH_UNIT(write_cache_that_the_host_turned_off_is_off),
    };
    return cmocka_run_group_tests_name("hosts", tests, NULL, NULL);
}
