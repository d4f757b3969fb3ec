/* SPDX-License-Identifier: BSD-2-Clause */
/* What a login does: which disk it is, whether it holds what was written to it,
 * whether it is ours alone, and what the host hears of it. */
#include "bridge/bytes.h"
#include "bridge/lun_memory.h"
#include "bridge/opcode.h"
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DISK_BYTES ((size_t)RAM_BLOCKS * RAM_BLOCK_BYTES)
#define OUR_KEY    UINT64_C(0x0123456789abcdef)
#define OTHER_KEY  UINT64_C(0xfedcba9876543210)
#define OTHER_NAME "iqn.2026-01.test:other"

static struct bench b;
static uint8_t data[65536];
static uint8_t *copy; /* of the whole disk */
static unsigned warnings, releases, refusals;
static struct lun_memory memory; /* of the disk, beyond a logical unit's life */

static void note_warning(enum lun_log_level level, const char *text)
{
    if (level <= LUN_LOG_WARNING && text)
        warnings++;
}

static void adjust_plain(struct lun_config *config)
{
    config->log = note_warning;
}

static void adjust_exclusive(struct lun_config *config)
{
    config->log = note_warning;
    config->reservation_key = OUR_KEY;
}

static void adjust_take_over(struct lun_config *config)
{
    adjust_exclusive(config);
    config->take_over = true;
}

static void adjust_shared(struct lun_config *config)
{
    config->log = note_warning;
    config->continuity_off = true;
}

static void adjust_ephemeral(struct lun_config *config)
{
    config->log = note_warning;
    config->ephemeral = true;
}

static void adjust_fixed(struct lun_config *config)
{
    config->log = note_warning;
    config->removable = false;
}

static void note_refusal(void *ctx, const char *why)
{
    assert_ptr_equal(ctx, &b);
    assert_non_null(why);
    refusals++;
}

static void adjust_refusing(struct lun_config *config)
{
    config->log = note_warning;
    config->removable = false;
    config->answer_within_ms = 0;
    config->attention_off = true;
    config->disk_refused = note_refusal;
    config->disk_refused_ctx = &b;
    config->memory = &memory;
}

static void open_with(void (*adjust)(struct lun_config *))
{
    warnings = releases = refusals = 0;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + i / 512);
    copy = malloc(DISK_BYTES);
    assert_non_null(copy);
    bench_open(&b, adjust);
    memcpy(copy, b.ram.disk, DISK_BYTES);
}

static int setup(void **state)
{
    (void)state;
    open_with(adjust_plain);
    b.ram.write_cache = true;
    bench_up(&b);
    return 0;
}

static int setup_ephemeral(void **state)
{
    (void)state;
    open_with(adjust_ephemeral);
    bench_up(&b);
    return 0;
}

static int setup_fixed(void **state)
{
    (void)state;
    open_with(adjust_fixed);
    bench_up(&b);
    return 0;
}

static int setup_refusing(void **state)
{
    (void)state;
    memset(&memory, 0, sizeof memory);
    open_with(adjust_refusing);
    bench_up(&b);
    return 0;
}

static int setup_shared(void **state)
{
    (void)state;
    open_with(adjust_shared);
    bench_up(&b);
    return 0;
}

/* The target has reservations; it is not up yet. */
static int setup_exclusive(void **state)
{
    (void)state;
    open_with(adjust_exclusive);
    b.ram.pr = b.ram.pr_abort = true;
    b.ram.pr_other_name = OTHER_NAME;
    return 0;
}

static int setup_take_over(void **state)
{
    (void)state;
    open_with(adjust_take_over);
    b.ram.pr = b.ram.pr_abort = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_close(&b);
    free(copy);
    return 0;
}

static const uint8_t *rw10(uint8_t opcode, uint32_t lba, uint16_t blocks)
{
    static uint8_t cdb[16];
    memset(cdb, 0, sizeof(cdb));
    cdb[0] = opcode;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
    return cdb;
}

static const uint8_t tur[6] = {OP_TEST_UNIT_READY};

static void assert_sense(const struct scsi_outcome *o, struct sense_code want)
{
    assert_int_equal(o->status, SCSI_STATUS_CODE_CHECK_CONDITION);
    struct sense_code got = bench_sense(o);
    assert_int_equal(got.key << 16 | got.asc << 8 | got.ascq,
                     want.key << 16 | want.asc << 8 | want.ascq);
}

static void host_writes(uint32_t lba, uint16_t blocks)
{
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_WRITE_10, lba, blocks), 10, SCSI_DIR_OUT, data, blocks * 512u);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static struct scsi_outcome host_asks(void)
{
    return bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
}

static void host_hears_nothing(void)
{
    assert_int_equal(host_asks().status, SCSI_STATUS_CODE_GOOD);
}

static void host_hears(struct sense_code code)
{
    struct scsi_outcome o = host_asks();
    assert_sense(&o, code);
    host_hears_nothing();
}

static void log_in_again(void)
{
    ram_lose(&b.ram, "target gone");
    bench_up(&b);
}

/* The image is put back as it was before the test. */
static void restore_older_copy(void)
{
    memcpy(b.ram.disk, copy, DISK_BYTES);
}

/* A write of 4096 bytes at `lba` waits at a target that is gone. */
static struct lun_cmd *write_that_waits(struct note *note, uint32_t lba)
{
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, note, rw10(OP_WRITE_10, lba, 8), 10, SCSI_DIR_OUT, 4096);
    bench_settle(&b);
    assert_int_equal(bench_write(&b, cmd, data, 4096), 4096);
    return cmd;
}

static unsigned seen_count(uint8_t opcode)
{
    unsigned count = 0;
    for (unsigned i = 0; i < b.ram.seen_count && i < RAM_SEEN; i++)
        count += b.ram.seen[i].cdb[0] == opcode;
    return count;
}

/* ---- which disk ---- */

static void the_first_disk_is_announced_to_the_daemon_only(void **state)
{
    (void)state;
    assert_int_equal(b.disk_changes, 1);
    host_hears_nothing();
}

static void the_same_disk_is_no_news(void **state)
{
    (void)state;
    log_in_again();
    assert_int_equal(b.disk_changes, 1);
    host_hears_nothing();
    assert_int_equal(warnings, 0);
}

static void another_serial_number_is_a_medium_change(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.serial = "ram0002";
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
    assert_int_equal(b.disk_changes, 2);
    host_hears(sense_medium_changed);
}

static void a_grown_disk_is_a_capacity_change_and_what_waits_goes_on(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.blocks += 8;
    bench_up(&b);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    assert_memory_equal(ram_block(&b.ram, 8), data, 4096);
    host_hears(sense_capacity_changed);
}

static void other_block_lengths_are_a_medium_change(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.block_bytes = 4096;
    bench_up(&b);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    host_hears(sense_medium_changed);
}

/* Linux repeats a command of a fixed disk that gets a unit attention. */
static void a_fixed_disk_that_is_another_is_gone_until_it_is_replugged(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.serial = "ram0002";
    bench_up(&b);
    assert_sense(&cmd->outcome, sense_no_medium);
    lun_release(b.lun, cmd);
    struct scsi_outcome o = bench_run(&b, rw10(OP_WRITE_10, 8, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_sense(&o, sense_no_medium);
    log_in_again(); /* nor does the next login bring it back */
    o = host_asks();
    assert_sense(&o, sense_no_medium);
    assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
    lun_replugged(b.lun);
    host_hears(sense_medium_changed);
    host_writes(8, 8);
}

static void a_fixed_disk_that_is_an_older_copy_is_gone_until_it_is_replugged(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    restore_older_copy();
    bench_up(&b);
    struct scsi_outcome o = host_asks();
    assert_sense(&o, sense_no_medium);
    lun_replugged(b.lun);
    host_hears(sense_medium_changed);
}

static void a_fixed_disk_may_grow(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.blocks += 8;
    bench_up(&b);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    host_hears(sense_capacity_changed);
}

static void an_ephemeral_disk_is_another_with_each_login(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    bench_up(&b);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
    host_hears(sense_medium_changed);
    log_in_again();
    host_hears(sense_medium_changed);
}

static void an_ephemeral_disk_is_the_same_within_a_session(void **state)
{
    static const struct sense_code inquiry_changed = {SENSE_UNIT_ATTENTION, 0x3f, 0x03};
    (void)state;
    b.ram.pending_attention = inquiry_changed;
    bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(seen_count(OP_INQUIRY) > 0, 1);
    host_hears_nothing();
}

/* ---- whether it holds what was written to it ---- */

static void a_disk_that_kept_all_writes_goes_on_without_a_word(void **state)
{
    (void)state;
    struct note note;
    host_writes(100, 8);
    host_writes(200, 128);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    bench_up(&b);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    host_hears_nothing();
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
    assert_int_equal(b.disk_changes, 1);
}

static void no_write_lands_on_an_older_copy_and_the_host_is_told(void **state)
{
    (void)state;
    struct note note;
    host_writes(100, 8);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    restore_older_copy();
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
    assert_int_equal(lun_stats(b.lun)->disproofs, 1);
    assert_int_equal(b.disk_changes, 2);
    assert_int_equal(warnings, 1);
    host_hears(sense_medium_changed);
}

static void a_flush_is_never_good_for_writes_that_a_lost_cache_held(void **state)
{
    static const uint8_t flush[10] = {OP_SYNCHRONIZE_CACHE_10};
    (void)state;
    struct note note;
    host_writes(100, 8);
    b.ram.hold_from = 1;
    ram_forget(&b.ram);
    struct lun_cmd *cmd = bench_cmd(&b, &note, flush, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    ram_lose(&b.ram, "power");
    b.ram.hold_from = 0;
    restore_older_copy();
    bench_up(&b);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    host_hears(sense_medium_changed);
}

static uint8_t host_flushes(void)
{
    static const uint8_t flush[10] = {OP_SYNCHRONIZE_CACHE_10};
    struct scsi_outcome o = bench_run(&b, flush, 10, SCSI_DIR_NONE, NULL, 0);
    if (o.status != SCSI_STATUS_CODE_GOOD)
        assert_sense(&o, sense_writes_lost);
    return o.status;
}

static void another_disk_comes(void)
{
    ram_lose(&b.ram, "target gone");
    b.ram.serial = b.ram.serial[6] == '1' ? "ram0002" : "ram0001";
    bench_up(&b);
    host_hears(sense_medium_changed);
}

static void a_later_flush_of_writes_that_were_lost_fails_once(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "power");
    restore_older_copy();
    bench_up(&b);
    host_hears(sense_medium_changed);
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void writes_to_a_disk_that_was_exchanged_are_lost_as_well(void **state)
{
    (void)state;
    host_writes(100, 8);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_CHECK_CONDITION);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void a_second_exchange_does_not_hide_the_loss(void **state)
{
    (void)state;
    host_writes(100, 8);
    another_disk_comes();
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_CHECK_CONDITION);
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void writes_that_were_flushed_are_not_lost(void **state)
{
    (void)state;
    host_writes(100, 8);
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void a_flush_of_a_part_leaves_the_rest_unflushed(void **state)
{
    static const uint8_t part[10] = {OP_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0, 50};
    (void)state;
    host_writes(100, 8);
    bench_run(&b, part, 10, SCSI_DIR_NONE, NULL, 0);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_CHECK_CONDITION);
}

static void writes_with_fua_are_not_lost(void **state)
{
    uint8_t cdb[10];
    (void)state;
    memcpy(cdb, rw10(OP_WRITE_10, 100, 8), sizeof(cdb));
    cdb[1] = 0x08;
    bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 4096);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void a_disk_without_a_cache_has_nothing_to_flush(void **state)
{
    (void)state;
    b.ram.write_cache = false;
    log_in_again();
    host_writes(100, 8);
    another_disk_comes();
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void a_host_that_was_plugged_in_anew_lost_nothing(void **state)
{
    (void)state;
    host_writes(100, 8);
    another_disk_comes();
    lun_replugged(b.lun);
    assert_int_equal(host_flushes(), SCSI_STATUS_CODE_GOOD);
}

static void what_follows_a_medium_change_is_proved_anew(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    restore_older_copy();
    bench_up(&b);
    host_hears(sense_medium_changed);
    log_in_again();
    host_hears_nothing();
    host_writes(300, 8);
    log_in_again();
    host_hears_nothing();
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
    assert_int_equal(lun_stats(b.lun)->disproofs, 1);
}

static void a_disk_that_takes_other_writers_is_not_asked_for_proof(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    restore_older_copy();
    ram_forget(&b.ram);
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(seen_count(OP_READ_10), 0);
    host_hears_nothing();
}

static void a_grown_disk_has_to_prove_itself_too(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    restore_older_copy();
    b.ram.blocks += 8;
    bench_up(&b);
    host_hears(sense_medium_changed);
}

static void nothing_of_the_host_goes_before_the_proof(void **state)
{
    (void)state;
    struct note note;
    host_writes(100, 8);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.hold_data = true;
    ram_forget(&b.ram);
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(seen_count(OP_READ_10), 1);
    assert_int_equal(seen_count(OP_WRITE_10), 0);
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
}

static void a_write_that_was_lost_half_way_is_not_held_against_the_disk(void **state)
{
    (void)state;
    struct note note;
    host_writes(8, 8);
    data[0] ^= 0xff;
    b.ram.hold_data = true;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_WRITE_10, 8, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, cmd, data, 4096);
    bench_settle(&b);
    b.ram.lose_executes = true;
    ram_lose(&b.ram, "target gone");
    b.ram.hold_data = false;
    bench_up(&b);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    host_hears_nothing();
}

static void a_write_that_failed_is_not_held_against_the_disk(void **state)
{
    (void)state;
    host_writes(8, 8);
    data[0] ^= 0xff;
    ram_forget(&b.ram);
    b.ram.recover_number = 0;
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = sense_internal_failure;
    bench_run(&b, rw10(OP_WRITE_10, 8, 8), 10, SCSI_DIR_OUT, data, 4096);
    memcpy(ram_block(&b.ram, 8), data, 512); /* it did get so far */
    b.ram.fail_number = 0;
    log_in_again();
    host_hears_nothing();
}

/* The host's command changes blocks 100 to 107 by other means than a WRITE. */
static void changes_what_was_written(const uint8_t *cdb, uint8_t bytes, uint8_t *list,
                                     uint32_t list_bytes)
{
    host_writes(100, 8);
    host_writes(300, 8);
    bench_run(&b, cdb, bytes, list_bytes ? SCSI_DIR_OUT : SCSI_DIR_NONE, list, list_bytes);
    memset(ram_block(&b.ram, 100), 0, (size_t)8 * 512);
    log_in_again();
    host_hears_nothing();
}

static void unmapped_blocks_are_not_held_against_the_disk(void **state)
{
    uint8_t cdb[10] = {OP_UNMAP, 0, 0, 0, 0, 0, 0, 0, 24};
    uint8_t list[24] = {0, 22, 0, 16};
    (void)state;
    put_be64(list + 8, 100);
    put_be32(list + 16, 8);
    changes_what_was_written(cdb, 10, list, 24);
    assert_int_equal(lun_stats(b.lun)->proofs, 1); /* block 300 is still there to show */
}

static void blocks_that_were_made_the_same_are_not_held_against_the_disk(void **state)
{
    uint8_t cdb[10];
    (void)state;
    memcpy(cdb, rw10(OP_WRITE_SAME_10, 96, 16), sizeof(cdb));
    changes_what_was_written(cdb, 10, data, 512);
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
}

static void a_command_that_nobody_knows_may_have_changed_everything(void **state)
{
    const uint8_t cdb[12] = {0xc7};
    (void)state;
    changes_what_was_written(cdb, 12, NULL, 0);
    assert_int_equal(lun_stats(b.lun)->proofs, 0);
}

static void a_change_during_the_proof_begins_the_probe_anew(void **state)
{
    static const struct sense_code capacity_changed = {SENSE_UNIT_ATTENTION, 0x2a, 0x09};
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    b.ram.hold_data = true;
    ram_forget(&b.ram);
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(seen_count(OP_READ_10), 1);
    b.ram.blocks += 16;
    b.ram.pending_attention = capacity_changed;
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(seen_count(OP_READ_10), 2);
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
    assert_true(lun_disk(b.lun)->blocks == RAM_BLOCKS + 16);
    host_hears(sense_capacity_changed);
}

static void a_change_within_the_session_asks_for_no_proof(void **state)
{
    static const struct sense_code inquiry_changed = {SENSE_UNIT_ATTENTION, 0x3f, 0x03};
    (void)state;
    host_writes(100, 8);
    ram_forget(&b.ram);
    b.ram.pending_attention = inquiry_changed;
    bench_run(&b, rw10(OP_VERIFY_10, 0, 8), 10, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(seen_count(OP_INQUIRY), 3);
    assert_int_equal(seen_count(OP_READ_10), 0);
}

static void a_disk_that_cannot_be_read_now_is_asked_later(void **state)
{
    (void)state;
    struct note note;
    host_writes(100, 8);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.hold_data = true;
    ram_up(&b.ram);
    bench_settle(&b);
    ram_forget(&b.ram);
    b.ram.pr_holder = RAM_PR_OTHERS;
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_TRANSIENT);
    assert_int_equal(note.complete, 0);
    b.ram.pr_holder = RAM_PR_FREE;
    log_in_again();
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void a_proof_that_is_never_answered_costs_the_session(void **state)
{
    (void)state;
    host_writes(100, 8);
    ram_lose(&b.ram, "target gone");
    b.ram.hold_data = true;
    ram_up(&b.ram);
    bench_pass(&b, 9900000);
    assert_int_equal(b.ram.drops, 0);
    bench_pass(&b, 200000);
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
    b.ram.hold_data = false;
    bench_up(&b);
    assert_true(lun_stats(b.lun)->session_up);
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
}

static void another_target_is_not_held_to_what_the_first_took(void **state)
{
    (void)state;
    struct ram_backend other;
    host_writes(100, 8);
    ram_lose(&b.ram, "stopped");
    memset(&other, 0xa5, sizeof(other));
    ram_init_on(&other, &b.deferred, copy);
    assert_int_equal(lun_eject(b.lun, true), 0);
    lun_retarget(b.lun, &(struct lun_target){.backend = &other.backend});
    assert_null(lun_disk(b.lun));
    ram_up(&other);
    for (unsigned i = 0; i < 100; i++) {
        ram_turn(&other);
        deferred_run(&b.deferred);
    }
    assert_int_equal(other.accepts, 1);
    assert_int_equal(lun_stats(b.lun)->disproofs, 0);
    assert_int_equal(lun_insert(b.lun), 0);
    struct scsi_outcome o = host_asks();
    assert_sense(&o, sense_medium_changed);
    ram_lose(&other, "end");
}

/* ---- a disk that may not be exchanged ---- */

static void another_disk_is_refused_and_what_waits_goes_to_the_right_one(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    b.ram.serial = "ram0002";
    bench_up(&b);
    assert_int_equal(refusals, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_PERMANENT);
    assert_int_equal(note.complete, 0);
    assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
    ram_lose(&b.ram, "refused");
    b.ram.serial = "ram0001";
    bench_up(&b);
    assert_int_equal(refusals, 1);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    assert_memory_equal(ram_block(&b.ram, 8), data, 4096);
    assert_int_equal(b.disk_changes, 1);
}

static void an_older_copy_is_refused_and_what_waits_goes_to_the_right_one(void **state)
{
    (void)state;
    struct note note;
    static uint8_t right[DISK_BYTES];
    host_writes(100, 8);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    memcpy(right, b.ram.disk, DISK_BYTES);
    for (unsigned time = 1; time <= 3; time++) { /* it is none of the kind that is got used to */
        restore_older_copy();
        bench_up(&b);
        assert_int_equal(refusals, time);
        assert_int_equal(note.complete, 0);
        assert_memory_equal(b.ram.disk, copy, DISK_BYTES);
        ram_lose(&b.ram, "refused");
    }
    memcpy(b.ram.disk, right, DISK_BYTES);
    bench_up(&b);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void a_smaller_disk_is_refused_and_a_grown_one_is_not(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.blocks -= 8;
    bench_up(&b);
    assert_int_equal(refusals, 1);
    ram_lose(&b.ram, "refused");
    b.ram.blocks += 16;
    bench_up(&b);
    assert_int_equal(refusals, 1);
    host_hears_nothing();
}

/* Another process with the memory of this one, which was killed; its disk is `disk`. */
static void follow(const uint8_t *disk, const char *serial)
{
    static uint8_t kept[DISK_BYTES];
    memcpy(kept, disk, DISK_BYTES);
    ram_lose(&b.ram, "killed");
    bench_close(&b);
    bench_open(&b, adjust_refusing);
    memcpy(b.ram.disk, kept, DISK_BYTES);
    b.ram.serial = serial;
    bench_up(&b);
}

static void who_follows_knows_the_disk(void **state)
{
    (void)state;
    host_writes(100, 8);
    follow(b.ram.disk, "ram0001");
    assert_int_equal(refusals, 0);
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
    assert_int_equal(b.disk_changes, 1);
    host_hears_nothing();
    log_in_again();
    assert_int_equal(b.disk_changes, 1);
}

static void who_follows_takes_no_older_copy(void **state)
{
    (void)state;
    host_writes(100, 8);
    follow(copy, "ram0001");
    assert_int_equal(refusals, 1);
    assert_int_equal(b.disk_changes, 0);
}

static void who_follows_takes_no_other_disk(void **state)
{
    (void)state;
    follow(b.ram.disk, "ram0002");
    assert_int_equal(refusals, 1);
    assert_int_equal(b.disk_changes, 0);
}

/* Killed while it wrote down which disk it is. */
static void who_follows_and_knows_nothing_takes_what_is_there(void **state)
{
    (void)state;
    host_writes(100, 8);
    memory.known = false;
    follow(copy, "ram0002");
    assert_int_equal(refusals, 0);
    assert_int_equal(b.disk_changes, 1);
    assert_true(memory.known);
    host_hears_nothing();
}

static void memory_that_no_probe_made_is_not_believed(void **state)
{
    (void)state;
    memory.disk.vpd_count = 1000;
    follow(b.ram.disk, "ram0001");
    assert_int_equal(b.disk_changes, 1);
    memory.disk.block_bytes = 8192;
    follow(b.ram.disk, "ram0001");
    memory.disk.vpd[0].bytes = 255;
    follow(b.ram.disk, "ram0001");
    assert_int_equal(refusals, 0);
}

/* ---- whether it is ours alone ---- */

static void the_disk_is_reserved_before_it_is_accepted(void **state)
{
    (void)state;
    b.ram.hold_from = 9; /* INQUIRY, VPD 00, 80, capacity, two modes, reservation; REGISTER */
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(seen_count(OP_PERSISTENT_RESERVE_OUT), 2);
    assert_int_equal(b.ram.accepts, 0);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
    assert_true(b.ram.pr_key == OUR_KEY);
    assert_true(lun_stats(b.lun)->access_held);
    assert_int_equal(warnings, 0);
}

static void the_reservation_is_exclusive_and_does_not_outlive_the_target(void **state)
{
    (void)state;
    bench_settle(&b);
    ram_up(&b.ram);
    bench_settle(&b);
    const uint8_t *reserve = NULL;
    for (unsigned i = 0; i < b.ram.seen_count; i++)
        if (b.ram.seen[i].cdb[0] == OP_PERSISTENT_RESERVE_OUT)
            reserve = b.ram.seen[i].cdb;
    assert_non_null(reserve);
    assert_int_equal(reserve[1], 0x01); /* RESERVE */
    assert_int_equal(reserve[2], 0x03); /* logical unit scope, Exclusive Access */
    assert_int_equal(get_be32(reserve + 5), 24);
}

static void a_shared_disk_is_not_reserved(void **state)
{
    (void)state;
    log_in_again();
    assert_int_equal(b.ram.pr_holder, RAM_PR_FREE);
    assert_false(lun_stats(b.lun)->access_held);
}

static void a_registration_that_survives_a_login_stays(void **state)
{
    (void)state;
    bench_up(&b);
    ram_lose(&b.ram, "cable");
    assert_false(lun_stats(b.lun)->access_held);
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 2);
    assert_int_equal(seen_count(OP_PERSISTENT_RESERVE_OUT), 2);
    assert_true(lun_stats(b.lun)->access_held);
}

static void our_reservation_of_an_earlier_session_is_preempted(void **state)
{
    (void)state;
    struct note note;
    b.ram.pr_forgets = true;
    b.ram.pr_other_name = NULL;
    b.ram.pr_abort = false; /* as tgtd does */
    bench_up(&b);
    host_writes(100, 8);
    struct lun_cmd *cmd = write_that_waits(&note, 8);
    bench_up(&b);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
    assert_true(b.ram.pr_other_key == 0);
    assert_int_equal(b.ram.rejects, 0);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
    host_hears_nothing();
    assert_int_equal(warnings, 0);
}

static void what_a_reservation_hid_is_read_once_it_is_ours(void **state)
{
    (void)state;
    b.ram.write_cache = true;
    b.ram.pr_forgets = true;
    bench_up(&b);
    log_in_again();
    assert_true(lun_disk(b.lun)->has_caching_page);
    assert_true(lun_disk(b.lun)->caching_page[2] & 4);
    assert_true(lun_disk(b.lun)->dpofua);
    assert_true(lun_disk(b.lun)->has_control_page);
    assert_int_equal(lun_disk(b.lun)->control_page[3], 0x10);
}

static void held_by_another(void)
{
    b.ram.pr_other_key = OTHER_KEY;
    b.ram.pr_holder = RAM_PR_OTHERS;
}

static void a_disk_that_another_has_is_refused_with_its_name(void **state)
{
    (void)state;
    held_by_another();
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 0);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_PERMANENT);
    assert_non_null(strstr(b.ram.last_why, OTHER_NAME));
    assert_non_null(strstr(b.ram.last_why, "fedcba9876543210"));
    assert_non_null(strstr(b.ram.last_why, "--take-over"));
    assert_int_equal(b.ram.pr_holder, RAM_PR_OTHERS);
    assert_true(b.ram.pr_key == 0); /* nothing of ours stays behind */
}

static void a_holder_that_the_target_does_not_name_is_told_by_its_key(void **state)
{
    (void)state;
    held_by_another();
    b.ram.pr_other_name = NULL;
    bench_up(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_non_null(strstr(b.ram.last_why, "another initiator"));
    assert_non_null(strstr(b.ram.last_why, "fedcba9876543210"));
    assert_true(b.ram.pr_key == 0);
}

static void the_name_of_a_holder_is_cut_at_what_is_not_printable(void **state)
{
    (void)state;
    held_by_another();
    b.ram.pr_other_name = "iqn.2026-01.test:x\x1b[2J,i,0x80";
    bench_up(&b);
    assert_non_null(strstr(b.ram.last_why, "iqn.2026-01.test:x ("));
}

static void a_target_that_hides_the_capacity_is_asked_again_once_it_is_ours(void **state)
{
    (void)state;
    b.ram.pr_strict = b.ram.pr_forgets = true;
    bench_up(&b);
    host_writes(100, 8);
    log_in_again();
    assert_int_equal(b.ram.accepts, 2);
    assert_int_equal(b.ram.rejects, 0);
    host_hears_nothing();
    assert_int_equal(lun_stats(b.lun)->proofs, 1);
}

static void a_target_that_hides_the_capacity_names_the_holder_all_the_same(void **state)
{
    (void)state;
    b.ram.pr_strict = true;
    held_by_another();
    bench_up(&b);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_PERMANENT);
    assert_non_null(strstr(b.ram.last_why, OTHER_NAME));
}

static void a_shared_disk_that_another_has_says_so(void **state)
{
    (void)state;
    b.ram.pr_strict = true;
    held_by_another();
    log_in_again();
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.ram.last_why, "reserved for another initiator"));
    b.ram.pr_holder = RAM_PR_FREE;
    log_in_again();
    host_hears_nothing();
}

static void a_disk_that_is_kept_by_other_means_is_not_ours(void **state)
{
    (void)state;
    b.ram.pr = false;
    b.ram.pr_strict = true;
    b.ram.pr_holder = RAM_PR_OTHERS;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 0);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_TRANSIENT);
}

static void a_disk_is_taken_over_where_that_is_wanted(void **state)
{
    (void)state;
    held_by_another();
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
    assert_true(b.ram.pr_other_key == 0);
    assert_int_equal(warnings, 1);
}

static void another_target_is_taken_over_if_that_is_wanted_for_it(void **state)
{
    (void)state;
    bench_up(&b);
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        (void)lun_eject(b.lun, true);
        ram_lose(&b.ram, "stopped");
        bench_settle(&b);
        held_by_another();
        lun_retarget(b.lun, &(struct lun_target){.backend = &b.ram.backend, .take_over = wanted});
        bench_up(&b);
        assert_int_equal(b.ram.rejects, 1);
        assert_int_equal(b.ram.accepts, 1 + wanted);
    }
}

static void a_target_without_preempt_and_abort_preempts(void **state)
{
    (void)state;
    held_by_another();
    b.ram.pr_abort = false;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
}

static void a_disk_that_was_taken_from_us_is_not_taken_back(void **state)
{
    (void)state;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    ram_lose(&b.ram, "cable");
    held_by_another();
    b.ram.pr_key = 0;
    bench_up(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OTHERS);
}

static void a_reservation_that_is_taken_in_the_session_ends_it(void **state)
{
    static const struct sense_code preempted = {SENSE_UNIT_ATTENTION, 0x2a, 0x03};
    (void)state;
    struct note note;
    bench_up(&b);
    held_by_another();
    b.ram.pr_key = 0;
    b.ram.pending_attention = preempted;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_non_null(strstr(b.ram.last_why, OTHER_NAME));
    assert_int_equal(note.complete, 0);
    b.ram.pr_holder = RAM_PR_FREE;
    log_in_again();
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void a_target_without_reservations_is_shared_with_one_warning(void **state)
{
    (void)state;
    b.ram.pr = false;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_false(lun_stats(b.lun)->access_held);
    assert_int_equal(warnings, 1);
    log_in_again();
    assert_int_equal(b.ram.accepts, 2);
    assert_int_equal(warnings, 1);
}

static void a_target_that_had_reservations_is_never_shared(void **state)
{
    (void)state;
    bench_up(&b);
    ram_lose(&b.ram, "target gone");
    b.ram.pr = false;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_TRANSIENT);
    assert_non_null(strstr(b.ram.last_why, "05/20/00"));
}

static void a_holder_that_goes_while_we_look_leaves_the_disk_to_us(void **state)
{
    (void)state;
    held_by_another();
    b.ram.hold_from = 9; /* the RESERVE conflicts, then: */
    ram_up(&b.ram);
    bench_settle(&b);
    ram_let_go(&b.ram, 9);
    bench_settle(&b);
    assert_int_equal(b.ram.seen[9].cdb[0], OP_PERSISTENT_RESERVE_IN);
    b.ram.pr_holder = RAM_PR_FREE;
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
}

/* ---- giving it back ---- */

static void note_release(void *ctx)
{
    assert_ptr_equal(ctx, &b);
    releases++;
}

static void access_is_given_back_and_taken_again(void **state)
{
    (void)state;
    bench_up(&b);
    host_writes(100, 8);
    lun_release_access(b.lun, note_release, &b);
    assert_int_equal(releases, 0);
    bench_settle(&b);
    assert_int_equal(releases, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_FREE);
    assert_true(b.ram.pr_key == 0);
    assert_false(lun_stats(b.lun)->access_held);
    log_in_again(); /* nothing is reserved behind the user's back */
    assert_int_equal(b.ram.pr_holder, RAM_PR_FREE);
    lun_claim_access(b.lun);
    bench_settle(&b);
    assert_int_equal(b.ram.pr_holder, RAM_PR_OURS);
    assert_true(lun_stats(b.lun)->session_up);
    assert_int_equal(lun_stats(b.lun)->proofs, 2);
}

static void what_others_wrote_meanwhile_is_a_medium_change(void **state)
{
    (void)state;
    bench_up(&b);
    host_writes(100, 8);
    lun_release_access(b.lun, note_release, &b);
    bench_settle(&b);
    memset(ram_block(&b.ram, 100), 0x77, 512);
    lun_claim_access(b.lun);
    bench_settle(&b);
    host_hears(sense_medium_changed);
}

static void without_a_session_there_is_nothing_to_wait_for(void **state)
{
    (void)state;
    bench_up(&b);
    ram_lose(&b.ram, "cable");
    lun_release_access(b.lun, note_release, &b);
    assert_int_equal(releases, 0);
    bench_settle(&b);
    assert_int_equal(releases, 1);
    bench_up(&b); /* and what stayed behind is given back then */
    assert_int_equal(b.ram.pr_holder, RAM_PR_FREE);
    assert_int_equal(releases, 1);
    assert_true(lun_stats(b.lun)->session_up);
}

static void a_shared_disk_is_released_at_once(void **state)
{
    (void)state;
    lun_release_access(b.lun, note_release, &b);
    bench_settle(&b);
    assert_int_equal(releases, 1);
    assert_int_equal(b.ram.seen_count, 0);
}

static void a_session_that_ends_in_the_release_ends_it(void **state)
{
    (void)state;
    bench_up(&b);
    b.ram.hold_from = 1;
    lun_release_access(b.lun, note_release, &b);
    bench_settle(&b);
    assert_int_equal(releases, 0);
    ram_lose(&b.ram, "cable");
    bench_settle(&b);
    assert_int_equal(releases, 1);
}

static void a_release_while_the_disk_is_being_reserved_ends_with_none(void **state)
{
    (void)state;
    b.ram.hold_from = 8;
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(seen_count(OP_PERSISTENT_RESERVE_OUT), 1);
    lun_release_access(b.lun, note_release, &b);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(releases, 1);
    assert_int_equal(b.ram.pr_holder, RAM_PR_FREE);
    assert_true(b.ram.pr_key == 0);
    assert_true(lun_stats(b.lun)->session_up);
}

#define TEST(name)                 cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, its_setup) cmocka_unit_test_setup_teardown(name, its_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_disk_is_announced_to_the_daemon_only),
        TEST(the_same_disk_is_no_news),
        TEST(another_serial_number_is_a_medium_change),
        TEST(a_grown_disk_is_a_capacity_change_and_what_waits_goes_on),
        TEST(other_block_lengths_are_a_medium_change),
        TEST_WITH(a_fixed_disk_that_is_another_is_gone_until_it_is_replugged, setup_fixed),
        TEST_WITH(a_fixed_disk_that_is_an_older_copy_is_gone_until_it_is_replugged, setup_fixed),
        TEST_WITH(a_fixed_disk_may_grow, setup_fixed),
        TEST_WITH(an_ephemeral_disk_is_another_with_each_login, setup_ephemeral),
        TEST_WITH(an_ephemeral_disk_is_the_same_within_a_session, setup_ephemeral),
        TEST(a_disk_that_kept_all_writes_goes_on_without_a_word),
        TEST(no_write_lands_on_an_older_copy_and_the_host_is_told),
        TEST(a_flush_is_never_good_for_writes_that_a_lost_cache_held),
        TEST(a_later_flush_of_writes_that_were_lost_fails_once),
        TEST(writes_to_a_disk_that_was_exchanged_are_lost_as_well),
        TEST(a_second_exchange_does_not_hide_the_loss),
        TEST(writes_that_were_flushed_are_not_lost),
        TEST(a_flush_of_a_part_leaves_the_rest_unflushed),
        TEST(writes_with_fua_are_not_lost),
        TEST(a_disk_without_a_cache_has_nothing_to_flush),
        TEST(a_host_that_was_plugged_in_anew_lost_nothing),
        TEST(what_follows_a_medium_change_is_proved_anew),
        TEST_WITH(a_disk_that_takes_other_writers_is_not_asked_for_proof, setup_shared),
        TEST(a_grown_disk_has_to_prove_itself_too),
        TEST(nothing_of_the_host_goes_before_the_proof),
        TEST(a_write_that_was_lost_half_way_is_not_held_against_the_disk),
        TEST(a_write_that_failed_is_not_held_against_the_disk),
        TEST(unmapped_blocks_are_not_held_against_the_disk),
        TEST(blocks_that_were_made_the_same_are_not_held_against_the_disk),
        TEST(a_command_that_nobody_knows_may_have_changed_everything),
        TEST(a_change_during_the_proof_begins_the_probe_anew),
        TEST(a_change_within_the_session_asks_for_no_proof),
        TEST(a_disk_that_cannot_be_read_now_is_asked_later),
        TEST(a_proof_that_is_never_answered_costs_the_session),
        TEST(another_target_is_not_held_to_what_the_first_took),
        TEST_WITH(another_disk_is_refused_and_what_waits_goes_to_the_right_one, setup_refusing),
        TEST_WITH(an_older_copy_is_refused_and_what_waits_goes_to_the_right_one, setup_refusing),
        TEST_WITH(a_smaller_disk_is_refused_and_a_grown_one_is_not, setup_refusing),
        TEST_WITH(who_follows_knows_the_disk, setup_refusing),
        TEST_WITH(who_follows_takes_no_older_copy, setup_refusing),
        TEST_WITH(who_follows_takes_no_other_disk, setup_refusing),
        TEST_WITH(who_follows_and_knows_nothing_takes_what_is_there, setup_refusing),
        TEST_WITH(memory_that_no_probe_made_is_not_believed, setup_refusing),
        TEST_WITH(the_disk_is_reserved_before_it_is_accepted, setup_exclusive),
        TEST_WITH(the_reservation_is_exclusive_and_does_not_outlive_the_target, setup_exclusive),
        TEST(a_shared_disk_is_not_reserved),
        TEST_WITH(a_registration_that_survives_a_login_stays, setup_exclusive),
        TEST_WITH(our_reservation_of_an_earlier_session_is_preempted, setup_exclusive),
        TEST_WITH(what_a_reservation_hid_is_read_once_it_is_ours, setup_exclusive),
        TEST_WITH(a_disk_that_another_has_is_refused_with_its_name, setup_exclusive),
        TEST_WITH(a_holder_that_the_target_does_not_name_is_told_by_its_key, setup_exclusive),
        TEST_WITH(the_name_of_a_holder_is_cut_at_what_is_not_printable, setup_exclusive),
        TEST_WITH(a_target_that_hides_the_capacity_is_asked_again_once_it_is_ours, setup_exclusive),
        TEST_WITH(a_target_that_hides_the_capacity_names_the_holder_all_the_same, setup_exclusive),
        TEST(a_shared_disk_that_another_has_says_so),
        TEST_WITH(a_disk_that_is_kept_by_other_means_is_not_ours, setup_exclusive),
        TEST_WITH(a_disk_is_taken_over_where_that_is_wanted, setup_take_over),
        TEST_WITH(another_target_is_taken_over_if_that_is_wanted_for_it, setup_take_over),
        TEST_WITH(a_target_without_preempt_and_abort_preempts, setup_take_over),
        TEST_WITH(a_disk_that_was_taken_from_us_is_not_taken_back, setup_take_over),
        TEST_WITH(a_reservation_that_is_taken_in_the_session_ends_it, setup_exclusive),
        TEST_WITH(a_target_without_reservations_is_shared_with_one_warning, setup_exclusive),
        TEST_WITH(a_target_that_had_reservations_is_never_shared, setup_exclusive),
        TEST_WITH(a_holder_that_goes_while_we_look_leaves_the_disk_to_us, setup_exclusive),
        TEST_WITH(access_is_given_back_and_taken_again, setup_exclusive),
        TEST_WITH(what_others_wrote_meanwhile_is_a_medium_change, setup_exclusive),
        TEST_WITH(without_a_session_there_is_nothing_to_wait_for, setup_exclusive),
        TEST(a_shared_disk_is_released_at_once),
        TEST_WITH(a_session_that_ends_in_the_release_ends_it, setup_exclusive),
        TEST_WITH(a_release_while_the_disk_is_being_reserved_ends_with_none, setup_exclusive),
    };
    return cmocka_run_group_tests_name("attach", tests, NULL, NULL);
}
