/* SPDX-License-Identifier: BSD-2-Clause */
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIB 1024u

static struct bench b;
static uint8_t data[4096 * KIB];

static void open_up(void **state)
{
    (void)state;
    memset(data, 0x5a, sizeof(data));
    bench_open(&b, NULL);
    bench_up(&b);
}

static int setup(void **state)
{
    open_up(state);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_close(&b);
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

static const uint8_t sync10[10] = {OP_SYNCHRONIZE_CACHE_10};
static const uint8_t tur[6] = {OP_TEST_UNIT_READY};

static void assert_sense(const struct scsi_outcome *o, struct sense_code want)
{
    assert_int_equal(o->status, SCSI_STATUS_CODE_CHECK_CONDITION);
    struct sense_code got = bench_sense(o);
    assert_int_equal(got.key << 16 | got.asc << 8 | got.ascq,
                     want.key << 16 | want.asc << 8 | want.ascq);
}

/* ---- data ---- */

static void read_brings_the_targets_bytes(void **state)
{
    (void)state;
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 3, 300), 10, SCSI_DIR_IN, data, 300 * 512);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(o.moved_bytes, 300 * 512);
    assert_memory_equal(data, ram_block(&b.ram, 3), 300 * 512);
}

static void write_puts_the_hosts_bytes(void **state)
{
    (void)state;
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_WRITE_10, 5, 400), 10, SCSI_DIR_OUT, data, 400 * 512);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(o.moved_bytes, 400 * 512);
    assert_memory_equal(ram_block(&b.ram, 5), data, 400 * 512);
}

static void transfer_longer_than_the_pool_streams_through_it(void **state)
{
    (void)state;
    uint16_t blocks = 6000; /* 2.9 MiB through 2 MiB of slices */
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 0, blocks), 10, SCSI_DIR_IN, data, blocks * 512u);
    assert_int_equal(o.moved_bytes, blocks * 512u);
    assert_memory_equal(data, b.ram.disk, blocks * 512u);
    memset(data, 0x17, sizeof(data));
    o = bench_run(&b, rw10(OP_WRITE_10, 0, blocks), 10, SCSI_DIR_OUT, data, blocks * 512u);
    assert_int_equal(o.moved_bytes, blocks * 512u);
    assert_memory_equal(b.ram.disk, data, blocks * 512u);
}

static void segments_cover_the_command_with_its_flags(void **state)
{
    (void)state;
    uint8_t cdb[16];
    memcpy(cdb, rw10(OP_READ_10, 7, 240), 16);
    cdb[1] = 0x18; /* DPO, FUA */
    cdb[6] = 0x05; /* group number */
    bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 240 * 512);
    assert_int_equal(b.ram.seen_count, 2);
    const uint8_t *first = b.ram.seen[0].cdb;
    const uint8_t *second = b.ram.seen[1].cdb;
    assert_int_equal(get_be32(first + 2), 7);
    assert_int_equal(get_be16(first + 7), 128);
    assert_int_equal(get_be32(second + 2), 7 + 128);
    assert_int_equal(get_be16(second + 7), 112);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b.ram.seen[i].cdb[1], 0x18);
        assert_int_equal(b.ram.seen[i].cdb[6], 0x05);
    }
}

static void set_whole_reads(struct lun_config *config)
{
    config->whole_reads = true;
}

/* With a target that takes so many blocks at a time. */
static void open_whole_reads(uint32_t transfer_blocks)
{
    bench_close(&b);
    bench_open(&b, set_whole_reads);
    b.ram.transfer_blocks = transfer_blocks;
    bench_up(&b);
    ram_forget(&b.ram);
}

static void whole_read_goes_in_one_piece(void **state)
{
    (void)state;
    open_whole_reads(0);
    bench_run(&b, rw10(OP_READ_10, 7, 512), 10, SCSI_DIR_IN, data, 256 * KIB);
    assert_int_equal(b.ram.seen_count, 1);
    assert_int_equal(get_be16(b.ram.seen[0].cdb + 7), 512);
    assert_memory_equal(data, ram_block(&b.ram, 7), 256 * KIB);
    bench_run(&b, rw10(OP_WRITE_10, 7, 512), 10, SCSI_DIR_OUT, data, 256 * KIB);
    assert_int_equal(b.ram.seen_count, 1 + 4);
}

static void whole_read_is_no_longer_than_the_target_takes(void **state)
{
    (void)state;
    open_whole_reads(300); /* two segments and a bit */
    bench_run(&b, rw10(OP_READ_10, 7, 512), 10, SCSI_DIR_IN, data, 256 * KIB);
    assert_int_equal(b.ram.seen_count, 2);
    assert_int_equal(get_be16(b.ram.seen[0].cdb + 7), 256);
    assert_memory_equal(data, ram_block(&b.ram, 7), 256 * KIB);
}

static void first_segment_is_valid_while_the_second_is_withheld(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 2;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_READ_10, 0, 240), 10, SCSI_DIR_IN, 240 * 512);
    bench_settle(&b);
    assert_int_equal(note.progress, 1);
    assert_int_equal(note.complete, 0);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), 64 * KIB);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(bench_read(&b, cmd, data + 64 * KIB, sizeof(data)), 56 * KIB);
    assert_memory_equal(data, b.ram.disk, 240 * 512);
    lun_release(b.lun, cmd);
}

static void later_segment_first_is_not_valid_before_its_turn(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_READ_10, 0, 240), 10, SCSI_DIR_IN, 240 * 512);
    bench_settle(&b);
    ram_let_go(&b.ram, 2);
    bench_settle(&b);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), 0);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), 240 * 512);
    assert_memory_equal(data, b.ram.disk, 240 * 512);
    lun_release(b.lun, cmd);
}

static void write_segment_leaves_before_the_last_bytes_arrive(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 240), 10, SCSI_DIR_OUT, 240 * 512);
    bench_settle(&b);
    uint8_t *room;
    uint32_t length = lun_out_next(b.lun, cmd, &room);
    assert_int_equal(length, 64 * KIB);
    memset(room, 1, length);
    lun_out_done(b.lun, cmd, length);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    assert_int_equal(note.complete, 0);
    assert_int_equal(bench_write(&b, cmd, data, 56 * KIB), 56 * KIB);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
}

static void buffers_of_both_sides_are_the_same(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    uint8_t *piece;
    assert_int_equal(lun_in_next(b.lun, cmd, &piece), 4096);
    assert_ptr_equal(piece, b.ram.seen[0].iov_base);
    lun_release(b.lun, cmd);
}

static void short_good_read_is_never_padded_from_the_buffer(void **state)
{
    (void)state;
    b.ram.short_number = 1;
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_data_phase_error);
    assert_int_equal(o.moved_bytes, 0);
}

static void short_packet_ends_a_write_with_an_error(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    uint8_t *room;
    assert_int_equal(lun_out_next(b.lun, cmd, &room), 4096);
    lun_out_done(b.lun, cmd, 512);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_data_phase_error);
    assert_int_equal(b.ram.seen_count, 0);
    lun_release(b.lun, cmd);
}

/* ---- passing through ---- */

static void unknown_opcode_passes_whole_and_its_sense_comes_back(void **state)
{
    (void)state;
    uint8_t cdb[12] = {0xd5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct scsi_outcome o = bench_run(&b, cdb, 12, SCSI_DIR_NONE, data, 0);
    assert_sense(&o, sense_invalid_opcode);
    assert_int_equal(b.ram.seen_count, 1);
    assert_memory_equal(b.ram.seen[0].cdb, cdb, 12);
}

static void range_beyond_the_end_passes_whole_to_the_target(void **state)
{
    (void)state;
    const uint8_t *cdb = rw10(OP_READ_10, RAM_BLOCKS - 1, 240);
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 240 * 512);
    assert_sense(&o, sense_lba_out_of_range);
    assert_int_equal(b.ram.seen_count, 1);
    assert_memory_equal(b.ram.seen[0].cdb, cdb, 16);
}

static void long_range_beyond_the_end_is_not_done_in_part(void **state)
{
    (void)state;
    uint8_t before[512];
    memcpy(before, ram_block(&b.ram, RAM_BLOCKS - 2048), sizeof(before));
    const uint8_t *cdb = rw10(OP_WRITE_10, RAM_BLOCKS - 2048, 4096);
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 4096 * 512);
    assert_sense(&o, sense_lba_out_of_range);
    assert_int_equal(b.ram.seen_count, 0);
    assert_memory_equal(ram_block(&b.ram, RAM_BLOCKS - 2048), before, sizeof(before));
}

static void unmap_passes_with_its_parameter_list(void **state)
{
    (void)state;
    uint8_t cdb[10] = {OP_UNMAP};
    cdb[8] = 24;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 24);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(o.moved_bytes, 24);
    assert_memory_equal(b.ram.seen[0].cdb, cdb, 10);
}

static void flush_passes_to_the_target(void **state)
{
    (void)state;
    struct scsi_outcome o = bench_run(&b, sync10, 10, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(b.ram.seen_count, 1);
    assert_int_equal(b.ram.seen[0].cdb[0], OP_SYNCHRONIZE_CACHE_10);
}

static void whole_command_larger_than_the_limit_is_refused(void **state)
{
    (void)state;
    const uint8_t *cdb = rw10(OP_WRITE_AND_VERIFY_10, 0, 4096);
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 4096 * 512);
    assert_sense(&o, sense_invalid_field);
    assert_int_equal(b.ram.seen_count, 0);
}

/* ---- lengths and directions ---- */

static void host_length_shorter_than_the_device_is_a_phase_error(void **state)
{
    (void)state;
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 16), 10, SCSI_DIR_IN, data, 4096);
    assert_true(o.phase_error);
    o = bench_run(&b, rw10(OP_WRITE_10, 0, 16), 10, SCSI_DIR_OUT, data, 4096);
    assert_true(o.phase_error);
    assert_int_equal(b.ram.seen_count, 0);
}

static void opposite_direction_is_a_phase_error(void **state)
{
    (void)state;
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_true(o.phase_error);
    o = bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_NONE, data, 0);
    assert_true(o.phase_error);
}

static void host_length_longer_than_the_device_moves_the_devices(void **state)
{
    (void)state;
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 8192);
    assert_false(o.phase_error);
    assert_int_equal(o.moved_bytes, 4096);
}

/* WRITE SAME is passed on whole, with the data that the host declared: the target
 * says whether they are as many as it takes. */
static void target_judges_the_length_of_a_whole_command(void **state)
{
    (void)state;
    const uint8_t *cdb = rw10(OP_WRITE_SAME_10, 8, 3);
    memset(data, 0x5a, 1024);
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 1024);
    assert_sense(&o, sense_invalid_field);
    assert_false(o.phase_error);
    assert_int_equal(b.ram.seen[0].length_bytes, 1024);
    o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 256);
    assert_sense(&o, sense_invalid_field);
    assert_false(o.phase_error);
    assert_int_equal(b.ram.seen[1].length_bytes, 256);
    o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 512);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(o.moved_bytes, 512);
    assert_memory_equal(ram_block(&b.ram, 10), data, 512);
}

/* BOT case 13: the CDB tells of more than the host sent, and the target minds it not. */
static void whole_command_shorter_than_its_cdb_is_a_phase_error_when_taken(void **state)
{
    (void)state;
    uint8_t cdb[10] = {OP_UNMAP};
    cdb[8] = 24;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 16);
    assert_true(o.phase_error);
    assert_int_equal(b.ram.seen[0].length_bytes, 16);
    o = bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 24);
    assert_true(o.phase_error);
    assert_int_equal(b.ram.seen_count, 1);
}

/* ---- local answers ---- */

static void local_answers_do_not_reach_the_target(void **state)
{
    (void)state;
    static const uint8_t cdbs[][10] = {
        {OP_INQUIRY, 0, 0, 0, 36},
        {OP_READ_CAPACITY_10},
        {OP_MODE_SENSE_6, 0, 0x3f, 0, 192},
        {OP_TEST_UNIT_READY},
        {OP_READ_FORMAT_CAPACITIES, 0, 0, 0, 0, 0, 0, 0, 252},
        {OP_START_STOP_UNIT, 0, 0, 0, 1},
        {OP_REQUEST_SENSE, 0, 0, 0, 18},
    };
    for (size_t i = 0; i < sizeof(cdbs) / sizeof(cdbs[0]); i++) {
        bool none = cdbs[i][0] == OP_TEST_UNIT_READY || cdbs[i][0] == OP_START_STOP_UNIT;
        struct scsi_outcome o =
            bench_run(&b, cdbs[i], 10, none ? SCSI_DIR_NONE : SCSI_DIR_IN, data, none ? 0 : 255);
        assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    }
    assert_int_equal(b.ram.seen_count, 0);
}

static void inquiry_says_removable_and_the_targets_name(void **state)
{
    (void)state;
    const uint8_t cdb[6] = {OP_INQUIRY, 0, 0, 0, 36};
    bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 36);
    assert_int_equal(data[1], 0x80);
    assert_memory_equal(data + 8, "RAM     back end", 16);
}

static void capacity_is_the_targets(void **state)
{
    (void)state;
    const uint8_t cdb[10] = {OP_READ_CAPACITY_10};
    bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 8);
    assert_int_equal(get_be32(data), RAM_BLOCKS - 1);
    assert_int_equal(get_be32(data + 4), 512);
}

static void sense_is_kept_for_request_sense_once(void **state)
{
    (void)state;
    const uint8_t cdb[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    uint8_t unknown[6] = {0x02};
    bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_ILLEGAL_REQUEST);
    assert_int_equal(data[12], 0x20);
    bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_NO_SENSE);
}

static void without_a_disk_the_host_sees_no_medium(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_no_medium);
    o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_no_medium);
}

static void set_read_only(struct lun_config *config)
{
    config->read_only = true;
}

static void read_only_lun_refuses_writes_and_says_so(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, set_read_only);
    bench_up(&b);
    struct scsi_outcome o = bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_sense(&o, sense_write_protected);
    const uint8_t cdb[6] = {OP_MODE_SENSE_6, 0, 0x3f, 0, 192};
    bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 192);
    assert_int_equal(data[2] & 0x80, 0x80);
}

static void set_small_segments(struct lun_config *config)
{
    static uint8_t arena[64 * POOL_SLICE_BYTES];
    config->segment_bytes = 4096;
    pool_init(config->pool, arena, 64); /* so that segments are short first */
}

/* ---- faults ---- */

static void first_failing_segment_tells_status_and_length(void **state)
{
    (void)state;
    b.ram.fail_number = 2;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0};
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 0, 384), 10, SCSI_DIR_IN, data, 384 * 512);
    assert_sense(&o, b.ram.fail_sense);
    assert_int_equal(o.moved_bytes, 64 * KIB);
    assert_memory_equal(data, b.ram.disk, 64 * KIB);
}

static void reservation_conflict_reaches_the_host(void **state)
{
    (void)state;
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_RESERVATION_CONFLICT;
    struct scsi_outcome o = bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_RESERVATION_CONFLICT);
}

static void busy_is_tried_again_after_a_pause(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_BUSY;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    bench_pass(&b, 150000);
    assert_int_equal(b.ram.seen_count, 2);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void full_back_end_takes_the_rest_later(void **state)
{
    (void)state;
    b.ram.room = 1;
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 0, 1000), 10, SCSI_DIR_IN, data, 1000 * 512);
    assert_int_equal(o.moved_bytes, 1000 * 512);
    assert_memory_equal(data, b.ram.disk, 1000 * 512);
}

static void unit_attention_is_swallowed_and_the_command_repeated(void **state)
{
    (void)state;
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x29, 0x00};
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(b.ram.seen_count, 2);
}

static void changed_inquiry_data_cause_a_new_probe(void **state)
{
    (void)state;
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x3f, 0x0e};
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(b.ram.accepts, 2);
}

static void lost_read_and_write_are_issued_again_after_login(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 240), 10, SCSI_DIR_OUT, 240 * 512);
    bench_write(&b, cmd, data, 240 * 512);
    bench_settle(&b);
    ram_lose(&b.ram, "cable");
    bench_settle(&b);
    assert_int_equal(note.complete, 0);
    b.ram.hold_from = 0;
    bench_up(&b);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    assert_memory_equal(b.ram.disk, data, 240 * 512);
    lun_release(b.lun, cmd);
}

static void lost_compare_and_write_is_never_issued_again(void **state)
{
    (void)state;
    struct note note;
    uint8_t cdb[16] = {OP_COMPARE_AND_WRITE};
    cdb[13] = 1;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = bench_cmd(&b, &note, cdb, 16, SCSI_DIR_OUT, 1024);
    bench_write(&b, cmd, data, 1024);
    bench_settle(&b);
    ram_lose(&b.ram, "cable");
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_nexus_loss);
    lun_release(b.lun, cmd);
}

static void shrunk_disk_is_another_medium(void **state)
{
    (void)state;
    struct note note;
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    b.ram.blocks--;
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_medium_changed);
    lun_release(b.lun, cmd);
    assert_int_equal(b.ram.seen_count, 0);
}

static void nothing_of_the_host_goes_before_the_disk_is_proved(void **state)
{
    (void)state;
    struct note note;
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    ram_forget(&b.ram);
    b.ram.hold_from = 1;
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    assert_int_equal(b.ram.seen[0].cdb[0], OP_INQUIRY);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
}

static void lost_unmap_is_issued_again(void **state)
{
    (void)state;
    struct note note;
    uint8_t cdb[10] = {OP_UNMAP};
    cdb[8] = 24;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = bench_cmd(&b, &note, cdb, 10, SCSI_DIR_OUT, 24);
    bench_write(&b, cmd, data, 24);
    bench_settle(&b);
    ram_lose(&b.ram, "cable");
    b.ram.hold_from = 0;
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void without_a_session_the_host_is_told_not_ready_in_time(void **state)
{
    (void)state;
    struct note note;
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 3900000);
    assert_int_equal(note.complete, 0);
    bench_pass(&b, 200000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    lun_release(b.lun, cmd);
}

static void flush_without_a_session_is_not_answered_good(void **state)
{
    (void)state;
    struct note note;
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    bench_pass(&b, 4100000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    lun_release(b.lun, cmd);
}

static void other_disk_after_login_is_a_medium_change(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    bench_up(&b);
    assert_int_equal(b.disk_changes, 2);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_medium_changed);
    o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void write_in_flight_never_lands_on_another_disk(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, cmd, data, 4096);
    bench_settle(&b);
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    b.ram.hold_from = 0;
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_medium_changed);
    assert_memory_not_equal(b.ram.disk, data, 4096);
    lun_release(b.lun, cmd);
}

static struct lun_cmd *read_of_two_segments(struct note *note)
{
    return bench_cmd(&b, note, rw10(OP_READ_10, 0, 256), 10, SCSI_DIR_IN, 256 * 512);
}

/* ---- what the host is told ---- */

static void pending_medium_change_comes_before_a_wrong_length(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    b.ram.block_bytes = 4096;
    b.ram.blocks = 1024;
    bench_up(&b);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_false(o.phase_error);
    assert_sense(&o, sense_medium_changed);
}

static void request_sense_reports_a_pending_unit_attention_once(void **state)
{
    (void)state;
    const uint8_t cdb[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    bench_up(&b);
    bench_run(&b, cdb, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_UNIT_ATTENTION);
    assert_int_equal(data[12], 0x28);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void kept_sense_survives_inquiry_and_no_other_command(void **state)
{
    (void)state;
    const uint8_t sense[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    const uint8_t inquiry[6] = {OP_INQUIRY, 0, 0, 0, 36};
    const uint8_t luns[12] = {OP_REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 0, 16};
    uint8_t unknown[6] = {0x02};
    bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    bench_run(&b, inquiry, 6, SCSI_DIR_IN, data, 36);
    bench_run(&b, luns, 12, SCSI_DIR_IN, data, 16);
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_ILLEGAL_REQUEST);
    bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_NO_SENSE);
}

static void host_reset_drops_kept_sense_and_keeps_the_unit_attention(void **state)
{
    (void)state;
    const uint8_t sense[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    uint8_t unknown[6] = {0x02};
    bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    lun_host_reset(b.lun);
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_NO_SENSE);
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    bench_up(&b);
    lun_host_reset(b.lun);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_medium_changed);
}

static void swap_disk(void)
{
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    bench_up(&b);
}

static void reset_before_the_host_asked_does_not_hide_the_medium_change(void **state)
{
    (void)state;
    swap_disk();
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_medium_changed);
    lun_host_reset(b.lun);
    o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_medium_changed);
}

static void abort_before_the_host_was_told_does_not_hide_the_medium_change(void **state)
{
    (void)state;
    struct note note;
    const uint8_t sense[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    swap_disk();
    struct lun_cmd *cmd = bench_cmd(&b, &note, tur, 6, SCSI_DIR_NONE, 0);
    lun_abort(b.lun, cmd);
    lun_release(b.lun, cmd);
    cmd = bench_cmd(&b, &note, sense, 6, SCSI_DIR_IN, 18);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    lun_abort(b.lun, cmd); /* its data were not fetched */
    lun_release(b.lun, cmd);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_medium_changed);
}

static void reservation_conflict_has_sense_for_the_host_that_asks(void **state)
{
    (void)state;
    const uint8_t sense[6] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_RESERVATION_CONFLICT;
    bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    bench_run(&b, sense, 6, SCSI_DIR_IN, data, 18);
    assert_int_equal(data[2], SENSE_ILLEGAL_REQUEST);
    assert_int_equal(data[12] << 8 | data[13], 0x2c09);
}

static void grown_disk_is_a_capacity_change(void **state)
{
    (void)state;
    struct note note;
    ram_lose(&b.ram, "target gone");
    struct lun_cmd *cmd = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    b.ram.blocks++;
    bench_up(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_capacity_changed);
}

static void growth_does_not_hide_a_medium_change(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.serial = "ram0002";
    bench_up(&b);
    ram_lose(&b.ram, "target gone");
    b.ram.blocks++;
    bench_up(&b);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_medium_changed);
}

static void medium_is_announced_to_a_host_that_saw_none(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    struct scsi_outcome o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_no_medium);
    bench_up(&b);
    o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_medium_changed);
    o = bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void no_medium_comes_before_a_wrong_length(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 1), 10, SCSI_DIR_IN, data, 2048 - 1);
    assert_false(o.phase_error);
    assert_sense(&o, sense_no_medium);
    o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 512);
    assert_false(o.phase_error);
    assert_sense(&o, sense_no_medium);
}

static void read_only_lun_refuses_what_may_write(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, set_read_only);
    bench_up(&b);
    uint8_t unknown[6] = {0x02};
    struct scsi_outcome o = bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_write_protected);
    o = bench_run(&b, unknown, 6, SCSI_DIR_OUT, data, 512);
    assert_sense(&o, sense_write_protected);
    assert_int_equal(b.ram.seen_count, 0);
    o = bench_run(&b, unknown, 6, SCSI_DIR_IN, data, 512);
    assert_sense(&o, sense_invalid_opcode);
}

/* ---- buffers ---- */

static unsigned take_all_slices(uint8_t *slices[POOL_SLICES_MAX])
{
    unsigned count = 0;
    while (b.pool.free_count > 0)
        slices[count++] = pool_take(&b.pool);
    return count;
}

static void give_slices(uint8_t *slices[POOL_SLICES_MAX], unsigned count)
{
    while (count > 0)
        pool_give(&b.pool, slices[--count]);
}

static void local_answers_need_no_slice(void **state)
{
    (void)state;
    uint8_t *slices[POOL_SLICES_MAX];
    unsigned count = take_all_slices(slices);
    const uint8_t cdb[6] = {OP_INQUIRY, 0, 0, 0, 36};
    struct note note;
    struct lun_cmd *cmd = bench_cmd(&b, &note, cdb, 6, SCSI_DIR_IN, 36);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(bench_read(&b, cmd, data, 36), 36);
    assert_memory_equal(data + 8, "RAM     back end", 16);
    lun_release(b.lun, cmd);
    give_slices(slices, count);
}

static void adoption_needs_no_slice(void **state)
{
    (void)state;
    struct note note;
    uint8_t *slices[POOL_SLICES_MAX];
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 4100000);
    lun_release(b.lun, read);
    unsigned count = take_all_slices(slices);
    read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(lun_stats(b.lun)->adopted, 1);
    give_slices(slices, count);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(bench_read(&b, read, data, sizeof(data)), 4096);
    lun_release(b.lun, read);
}

static void what_waits_leaves_slices_to_what_it_waits_for(void **state)
{
    (void)state;
    struct note first, second;
    struct lun_cmd *older =
        bench_cmd(&b, &first, rw10(OP_WRITE_10, 0, 2048), 10, SCSI_DIR_OUT, 2048 * 512);
    struct lun_cmd *younger =
        bench_cmd(&b, &second, rw10(OP_WRITE_10, 0, 6000), 10, SCSI_DIR_OUT, 6000 * 512);
    bench_settle(&b);
    uint32_t done = bench_write(&b, younger, data, 6000 * 512);
    for (uint32_t bytes = 0; bytes < 2048 * 512;) {
        uint32_t n = bench_write(&b, older, data, 2048 * 512 - bytes);
        bench_settle(&b);
        assert_int_not_equal(n, 0);
        bytes += n;
    }
    assert_int_equal(first.complete, 1);
    lun_release(b.lun, older);
    while (!second.complete) {
        done += bench_write(&b, younger, data, 6000 * 512 - done);
        bench_settle(&b);
    }
    lun_release(b.lun, younger);
}

static void small_commands_leave_a_segment_to_the_first(void **state)
{
    (void)state;
    struct note first, second;
    /* 48 segments of 4 KiB; the younger command would take them all. */
    bench_close(&b);
    bench_open(&b, set_small_segments);
    bench_up(&b);
    struct lun_cmd *older = bench_cmd(&b, &first, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    struct lun_cmd *younger =
        bench_cmd(&b, &second, rw10(OP_WRITE_10, 0, 800), 10, SCSI_DIR_OUT, 800 * 512);
    uint32_t done = bench_write(&b, younger, data, 800 * 512);
    assert_int_equal(bench_write(&b, older, data, 4096), 4096);
    bench_settle(&b);
    assert_int_equal(first.complete, 1);
    lun_release(b.lun, older);
    while (!second.complete) {
        done += bench_write(&b, younger, data, 800 * 512 - done);
        bench_settle(&b);
    }
    lun_release(b.lun, younger);
    bench_settle(&b);
    assert_int_equal(b.pool.free_count, 64);
    pool_init(&b.pool, b.arena, BENCH_SLICES); /* as the bench had it */
}

/* ---- what is counted ---- */

static void stream_is_timed_when_it_happened(void **state)
{
    (void)state;
    struct note note;
    const struct lun_stats *stats = lun_stats(b.lun);
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = read_of_two_segments(&note);
    bench_pass(&b, 5000);
    ram_let_go(&b.ram, 1);
    bench_settle(&b);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), 64 * KIB);
    bench_pass(&b, 4000);
    b.ram.hold_from = 0;
    bench_settle(&b);
    lun_release(b.lun, cmd);
    assert_int_equal(stats->last_streamed_read.bytes, 256 * 512);
    assert_int_equal(stats->last_streamed_read.first_to_host_us, 5000);
    assert_int_equal(stats->last_streamed_read.last_segment_us, 9000);

    /* One that fails, and one of a single segment, are no streams. */
    b.ram.fail_number = b.ram.seen_count + 2;
    b.ram.fail_status = SCSI_STATUS_CODE_RESERVATION_CONFLICT;
    bench_run(&b, rw10(OP_READ_10, 0, 384), 10, SCSI_DIR_IN, data, 384 * 512);
    bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(stats->last_streamed_read.bytes, 256 * 512);
    assert_int_equal(stats->last_streamed_read.first_to_host_us, 5000);
    assert_int_equal(stats->last_streamed_read.last_segment_us, 9000);
}

static void streamed_write_is_timed_when_it_happened(void **state)
{
    (void)state;
    struct note note;
    const struct lun_stats *stats = lun_stats(b.lun);
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_BUSY; /* sent again later: the first time counts */
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 256), 10, SCSI_DIR_OUT, 256 * 512);
    bench_pass(&b, 1000);
    assert_int_equal(bench_write(&b, cmd, data, 64 * KIB), 64 * KIB);
    bench_pass(&b, 2000);
    assert_int_equal(bench_write(&b, cmd, data, 64 * KIB), 64 * KIB);
    bench_pass(&b, 200000);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
    bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_int_equal(stats->last_streamed_write.bytes, 256 * 512);
    assert_int_equal(stats->last_streamed_write.first_to_target_us, 1000);
    assert_int_equal(stats->last_streamed_write.last_from_host_us, 3000);
}

/* ---- odd answers of the target ---- */

static void piece_beyond_what_the_cdb_can_address_is_never_made(void **state)
{
    (void)state;
    ram_lose(&b.ram, "larger now");
    b.ram.blocks = 1ULL << 33;
    bench_up(&b);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_capacity_changed);
    uint8_t before[512];
    memcpy(before, b.ram.disk, sizeof(before));
    const uint8_t *cdb = rw10(OP_WRITE_10, 0xffffff80, 256);
    bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 256 * 512);
    assert_int_equal(b.ram.seen_count, 1);
    assert_memory_equal(b.ram.seen[0].cdb, cdb, 16);
    assert_memory_equal(b.ram.disk, before, sizeof(before));
}

static void write_that_the_target_took_in_part_is_not_good(void **state)
{
    (void)state;
    b.ram.short_number = 1;
    struct scsi_outcome o = bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_sense(&o, sense_data_phase_error);
    assert_int_equal(o.moved_bytes, 0);
}

static void bytes_behind_a_failed_write_segment_do_not_count(void **state)
{
    (void)state;
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_MEDIUM_ERROR, 0x0c, 0};
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 256), 10, SCSI_DIR_OUT, 256 * 512);
    bench_write(&b, cmd, data, 256 * 512);
    bench_settle(&b);
    ram_let_go(&b.ram, 2);
    bench_settle(&b);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, b.ram.fail_sense);
    assert_int_equal(cmd->outcome.moved_bytes, 0);
    lun_release(b.lun, cmd);
}

static void bytes_behind_an_unanswered_write_segment_do_not_count(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 256), 10, SCSI_DIR_OUT, 256 * 512);
    bench_write(&b, cmd, data, 256 * 512);
    bench_settle(&b);
    ram_let_go(&b.ram, 2);
    bench_pass(&b, 4100000);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.moved_bytes, 0);
    lun_release(b.lun, cmd);
}

/* The second segment fails; then the first comes, with `sense` if there is a key. */
static void first_comes_after_the_failure(struct note *note, struct lun_cmd **cmd,
                                          struct sense_code sense)
{
    b.ram.fail_number = 2;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0};
    b.ram.hold_from = 1;
    *cmd = read_of_two_segments(note);
    bench_settle(&b);
    ram_let_go(&b.ram, 2);
    bench_settle(&b);
    assert_int_equal(note->complete, 0);
    b.ram.fail_number = sense.key ? 1 : 0;
    b.ram.fail_sense = sense;
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note->complete, 1);
}

static void unit_attention_does_not_replace_a_failure(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd;
    first_comes_after_the_failure(&note, &cmd,
                                  (struct sense_code){SENSE_UNIT_ATTENTION, 0x3f, 0x0e});
    assert_sense(&cmd->outcome, (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0});
    assert_int_equal(cmd->outcome.moved_bytes, 0);
    assert_int_equal(b.ram.accepts, 2);
    lun_release(b.lun, cmd);
}

static void recovered_error_does_not_replace_a_failure(void **state)
{
    (void)state;
    struct note note;
    struct lun_cmd *cmd;
    b.ram.recover_number = 1;
    first_comes_after_the_failure(&note, &cmd, sense_none);
    assert_sense(&cmd->outcome, (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0});
    assert_int_equal(cmd->outcome.moved_bytes, 64 * KIB);
    lun_release(b.lun, cmd);
}

static void lost_session_does_not_replace_a_failure(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 2;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0};
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = read_of_two_segments(&note);
    bench_settle(&b);
    ram_let_go(&b.ram, 2);
    bench_settle(&b);
    ram_lose(&b.ram, "cable");
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, b.ram.fail_sense);
    lun_release(b.lun, cmd);
}

static void recovered_error_brings_its_data_and_its_sense(void **state)
{
    (void)state;
    b.ram.recover_number = 1;
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 0, 256), 10, SCSI_DIR_IN, data, 256 * 512);
    assert_sense(&o, (struct sense_code){SENSE_RECOVERED_ERROR, 0x17, 0});
    assert_int_equal(o.moved_bytes, 256 * 512);
    assert_memory_equal(data, b.ram.disk, 256 * 512);
}

static void deferred_recovered_error_is_no_success(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_RECOVERED_ERROR, 0x0c, 0x01};
    b.ram.fail_deferred = true;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, cmd, data, 4096);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, b.ram.fail_sense);
    assert_int_equal(cmd->outcome.moved_bytes, 0);
    lun_release(b.lun, cmd);
}

static void condition_met_reaches_the_host(void **state)
{
    (void)state;
    uint8_t cdb[10] = {0x34}; /* PRE-FETCH(10) */
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_CONDITION_MET;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_NONE, NULL, 0);
    assert_int_equal(o.status, SCSI_STATUS_CODE_CONDITION_MET);
}

static void overflow_at_the_target_is_a_phase_error(void **state)
{
    (void)state;
    uint8_t cdb[10] = {OP_VERIFY_10, 2};
    cdb[8] = 8;
    b.ram.over_number = 1;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 4096);
    assert_true(o.phase_error);
}

static void read_that_overflows_brings_nothing(void **state)
{
    (void)state;
    b.ram.over_number = 1;
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_sense(&o, sense_data_phase_error);
    assert_int_equal(o.moved_bytes, 0);
}

static void residual_of_a_passed_command_reaches_the_host(void **state)
{
    (void)state;
    uint8_t cdb[10] = {OP_UNMAP};
    cdb[8] = 24;
    b.ram.short_number = 1;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 24);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(o.moved_bytes, 12);
}

static void direction_none_means_no_data(void **state)
{
    (void)state;
    uint8_t unknown[6] = {0x02};
    struct scsi_outcome o = bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 4096);
    assert_sense(&o, sense_invalid_opcode);
    assert_int_equal(b.ram.seen[0].length_bytes, 0);
}

static void first_segment_that_failed_tells_whichever_comes_first(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 1;
    b.ram.fail_last = 2;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    for (unsigned order = 0; order < 2; order++) {
        ram_forget(&b.ram);
        b.ram.hold_from = 1;
        struct lun_cmd *cmd = read_of_two_segments(&note);
        bench_settle(&b);
        for (unsigned i = 0; i < 2; i++) {
            unsigned number = order == 0 ? 1 + i : 2 - i;
            b.ram.fail_sense = (struct sense_code){SENSE_MEDIUM_ERROR, 0x11, (uint8_t)number};
            ram_let_go(&b.ram, number);
            bench_settle(&b);
        }
        assert_int_equal(note.complete, 1);
        assert_int_equal(bench_sense(&cmd->outcome).ascq, 1);
        assert_int_equal(cmd->outcome.moved_bytes, 0);
        lun_release(b.lun, cmd);
    }
}

static void write_behind_a_segment_that_never_went_does_not_count(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 384), 10, SCSI_DIR_OUT, 384 * 512);
    bench_write(&b, cmd, data, 384 * 512);
    bench_settle(&b);
    b.ram.fail_number = 1;
    b.ram.fail_status = SCSI_STATUS_CODE_BUSY; /* the first waits */
    ram_let_go(&b.ram, 1);
    bench_settle(&b);
    b.ram.fail_number = 3;
    b.ram.fail_status = SCSI_STATUS_CODE_RESERVATION_CONFLICT; /* the third fails */
    ram_let_go(&b.ram, 3);
    bench_settle(&b);
    ram_let_go(&b.ram, 2); /* the second is good */
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_RESERVATION_CONFLICT);
    assert_int_equal(cmd->outcome.moved_bytes, 0);
    lun_release(b.lun, cmd);
}

static void task_aborted_is_sent_again_if_that_does_no_harm(void **state)
{
    (void)state;
    uint8_t unknown[6] = {0x02};
    b.ram.fail_number = 1;
    b.ram.fail_last = 2;
    b.ram.fail_status = SCSI_STATUS_CODE_TASK_ABORTED;
    struct scsi_outcome o = bench_run(&b, unknown, 6, SCSI_DIR_NONE, NULL, 0);
    assert_sense(&o, sense_nexus_loss);
    o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_int_equal(b.ram.seen_count, 3);
}

static void allocation_length_is_a_limit_and_no_phase_error(void **state)
{
    (void)state;
    uint8_t cdb[10] = {0x4d}; /* LOG SENSE */
    cdb[8] = 255;
    b.ram.log_sense = true;
    b.ram.over_number = 1;
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 4);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
    assert_false(o.phase_error);
    assert_int_equal(o.moved_bytes, 4);
}

static void segments_of_a_4096_byte_disk_are_where_they_belong(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.block_bytes = 4096;
    b.ram.blocks = RAM_BLOCKS / 8;
    bench_up(&b);
    struct scsi_outcome o =
        bench_run(&b, rw10(OP_READ_10, 5, 40), 10, SCSI_DIR_IN, data, 40 * 4096);
    assert_int_equal(o.moved_bytes, 40 * 4096);
    assert_int_equal(b.ram.seen_count, 3);
    assert_memory_equal(data, ram_block(&b.ram, 5), 40 * 4096);
}

/* ---- time ---- */

static void busy_for_ever_is_answered_in_time(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 1;
    b.ram.fail_last = 1000000;
    b.ram.fail_status = SCSI_STATUS_CODE_BUSY;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 4100000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    lun_release(b.lun, cmd);
}

static void unit_attention_for_ever_is_answered_in_time(void **state)
{
    (void)state;
    struct note note;
    b.ram.fail_number = 1;
    b.ram.fail_last = 1000;
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_UNIT_ATTENTION, 0x29, 0x00};
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 4100000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    assert_in_range(b.ram.seen_count, 2, 100);
    lun_release(b.lun, cmd);
}

static void session_lost_again_and_again_is_answered_in_time(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_data = true;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    for (int i = 0; i < 4; i++) {
        bench_pass(&b, 1000000);
        ram_lose(&b.ram, "again");
        bench_up(&b);
    }
    bench_pass(&b, 100000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    lun_release(b.lun, cmd);
}

static void target_that_dribbles_is_answered_for_in_time(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_data = true;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_READ_10, 0, 384), 10, SCSI_DIR_IN, 384 * 512);
    bench_pass(&b, 3000000);
    ram_let_go(&b.ram, 1);
    bench_settle(&b);
    assert_int_equal(bench_read(&b, cmd, data, sizeof(data)), 64 * KIB);
    bench_pass(&b, 900000);
    assert_int_equal(note.complete, 0);
    bench_pass(&b, 200000);
    assert_int_equal(note.complete, 1);
    assert_sense(&cmd->outcome, sense_becoming_ready);
    assert_int_equal(cmd->outcome.moved_bytes, 64 * KIB);
    lun_release(b.lun, cmd);
    b.ram.hold_data = false;
}

static void time_that_the_host_takes_is_its_own(void **state)
{
    (void)state;
    struct note note;
    uint8_t *piece;
    b.ram.hold_data = true;
    struct lun_cmd *cmd =
        bench_cmd(&b, &note, rw10(OP_READ_10, 0, 240), 10, SCSI_DIR_IN, 240 * 512);
    bench_pass(&b, 3000000);
    ram_let_go(&b.ram, 1);
    bench_settle(&b);
    assert_int_equal(lun_in_next(b.lun, cmd, &piece), 64 * KIB);
    bench_pass(&b, 60000000);
    assert_int_equal(note.complete, 0);
    lun_in_done(b.lun, cmd, 64 * KIB);
    bench_pass(&b, 900000);
    assert_int_equal(note.complete, 0);
    bench_pass(&b, 200000);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
    b.ram.hold_data = false;
}

static void rooms_that_the_host_fills_slowly_are_waited_for(void **state)
{
    (void)state;
    struct note note;
    uint8_t *room;
    struct lun_cmd *cmd = bench_cmd(&b, &note, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    assert_int_equal(lun_out_next(b.lun, cmd, &room), 4096);
    bench_pass(&b, 60000000);
    memset(room, 7, 4096);
    lun_out_done(b.lun, cmd, 4096);
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(cmd->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, cmd);
}

static void hung_read_that_is_adopted_again_and_again_costs_the_session(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_data = true;
    for (int i = 0; i < 4; i++) {
        struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
        bench_pass(&b, 4000000);
        assert_int_equal(note.complete, 1);
        lun_release(b.lun, read);
    }
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
}

/* ---- order and orphans ---- */

static void overlapping_write_waits_for_the_read_before_it(void **state)
{
    (void)state;
    struct note first, second;
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &first, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    struct lun_cmd *write = bench_cmd(&b, &second, rw10(OP_WRITE_10, 7, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, write, data, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 2);
    assert_int_equal(second.complete, 1);
    lun_release(b.lun, read);
    lun_release(b.lun, write);
}

static void disjoint_commands_go_together(void **state)
{
    (void)state;
    struct note first, second;
    b.ram.hold_from = 1;
    struct lun_cmd *one = bench_cmd(&b, &first, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    struct lun_cmd *two = bench_cmd(&b, &second, rw10(OP_WRITE_10, 8, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, two, data, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 2);
    b.ram.hold_from = 0;
    bench_settle(&b);
    lun_release(b.lun, one);
    lun_release(b.lun, two);
}

static void command_that_is_not_read_only_runs_alone(void **state)
{
    (void)state;
    struct note first, second;
    uint8_t unknown[6] = {0x02};
    b.ram.hold_from = 1;
    struct lun_cmd *one = bench_cmd(&b, &first, unknown, 6, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    struct lun_cmd *two = bench_cmd(&b, &second, rw10(OP_READ_10, 8, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(second.complete, 1);
    lun_release(b.lun, one);
    lun_release(b.lun, two);
}

static void aborted_write_is_an_orphan_that_holds_back_overlaps(void **state)
{
    (void)state;
    struct note first, second;
    b.ram.hold_from = 1;
    struct lun_cmd *write = bench_cmd(&b, &first, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, write, data, 4096);
    bench_settle(&b);
    lun_abort(b.lun, write);
    lun_release(b.lun, write);
    struct lun_cmd *read = bench_cmd(&b, &second, rw10(OP_READ_10, 4, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(first.complete, 0);
    assert_int_equal(second.complete, 1);
    lun_release(b.lun, read);
}

static void repeated_read_adopts_its_orphan(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_pass(&b, 4100000);
    assert_sense(&read->outcome, sense_becoming_ready);
    lun_release(b.lun, read);
    read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(bench_read(&b, read, data, sizeof(data)), 4096);
    assert_memory_equal(data, b.ram.disk, 4096);
    lun_release(b.lun, read);
}

static void repeated_flush_adopts_its_orphan(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *flush = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    bench_pass(&b, 4100000);
    assert_sense(&flush->outcome, sense_becoming_ready);
    lun_release(b.lun, flush);
    flush = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    assert_int_equal(flush->outcome.status, SCSI_STATUS_CODE_GOOD);
    lun_release(b.lun, flush);
}

static void flush_may_take_a_minute_before_it_costs_the_session(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    for (int i = 0; i < 15; i++) {
        struct lun_cmd *flush = bench_cmd(&b, &note, sync10, 10, SCSI_DIR_NONE, 0);
        bench_pass(&b, 4000000);
        assert_int_equal(note.complete, 1);
        lun_release(b.lun, flush);
    }
    assert_int_equal(b.ram.drops, 0);
    bench_pass(&b, 5000000);
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
}

/* Its repetition waits for it; a session dropped would make it begin anew, for ever. */
static void write_same_may_take_a_minute_before_it_costs_the_session(void **state)
{
    (void)state;
    struct note note;
    const uint8_t write_same[10] = {OP_WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 8, 0};
    b.ram.hold_from = 1;
    struct lun_cmd *cmd = NULL;
    for (int i = 0; i < 14; i++) {
        if (cmd)
            lun_release(b.lun, cmd);
        cmd = bench_cmd(&b, &note, write_same, 10, SCSI_DIR_OUT, RAM_BLOCK_BYTES);
        bench_write(&b, cmd, data, RAM_BLOCK_BYTES);
        bench_pass(&b, 4100000);
    }
    assert_int_equal(b.ram.drops, 0);
    assert_int_equal(b.ram.seen_count, 1);
    ram_let_go(&b.ram, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note.complete, 1);
    lun_release(b.lun, cmd);
}

static void later_command_does_not_overtake_one_that_it_overlaps(void **state)
{
    (void)state;
    struct note note[3];
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &note[0], rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    struct lun_cmd *write =
        bench_cmd(&b, &note[1], rw10(OP_WRITE_10, 4, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, write, data, 4096);
    struct lun_cmd *late = bench_cmd(&b, &note[2], rw10(OP_READ_10, 8, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(b.ram.seen_count, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(note[2].complete, 1);
    assert_int_equal(bench_read(&b, late, data, 4096), 4096);
    assert_memory_equal(data, ram_block(&b.ram, 8), 4096);
    lun_release(b.lun, read);
    lun_release(b.lun, write);
    lun_release(b.lun, late);
}

static void flush_waits_for_writes_and_not_for_reads(void **state)
{
    (void)state;
    struct note note[3];
    b.ram.hold_data = true;
    struct lun_cmd *read = bench_cmd(&b, &note[0], rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    struct lun_cmd *flush = bench_cmd(&b, &note[1], sync10, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    assert_int_equal(note[1].complete, 1);
    lun_release(b.lun, flush);
    struct lun_cmd *write =
        bench_cmd(&b, &note[2], rw10(OP_WRITE_10, 8, 8), 10, SCSI_DIR_OUT, 4096);
    bench_write(&b, write, data, 4096);
    flush = bench_cmd(&b, &note[1], sync10, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    assert_int_equal(note[1].complete, 0);
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(note[1].complete, 1);
    lun_release(b.lun, read);
    lun_release(b.lun, write);
    lun_release(b.lun, flush);
}

static void read_adopted_twice_leaves_nothing_behind(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_data = true;
    for (int i = 0; i < 2; i++) {
        struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
        bench_settle(&b);
        lun_abort(b.lun, read);
        lun_release(b.lun, read);
    }
    assert_int_equal(lun_stats(b.lun)->adopted, 1);
    b.ram.hold_data = false;
    bench_settle(&b);
    struct scsi_outcome o = bench_run(&b, rw10(OP_WRITE_10, 0, 8), 10, SCSI_DIR_OUT, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void aborted_command_is_never_completed(void **state)
{
    (void)state;
    struct note note;
    uint8_t unknown[6] = {0x02};
    struct lun_cmd *ended = bench_cmd(&b, &note, tur, 6, SCSI_DIR_NONE, 0);
    lun_abort(b.lun, ended); /* its completion is on the list already */
    bench_settle(&b);
    assert_int_equal(note.complete, 0);
    lun_release(b.lun, ended);
    struct lun_cmd *queued = bench_cmd(&b, &note, unknown, 6, SCSI_DIR_NONE, 0);
    lun_abort(b.lun, queued);
    bench_settle(&b);
    assert_int_equal(note.complete, 0);
    lun_release(b.lun, queued);
}

static void orphan_older_than_10_s_costs_the_session(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    lun_abort(b.lun, read);
    lun_release(b.lun, read);
    bench_pass(&b, 9900000);
    assert_int_equal(b.ram.drops, 0);
    bench_pass(&b, 200000);
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
}

static void more_than_8_orphans_cost_the_session(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *read =
        bench_cmd(&b, &note, rw10(OP_READ_10, 0, 9 * 128), 10, SCSI_DIR_IN, 9 * 64 * KIB);
    bench_settle(&b);
    lun_abort(b.lun, read);
    lun_release(b.lun, read);
    bench_pass(&b, 0);
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
}

static void orphan_that_gets_a_unit_attention_is_not_lost_on_us(void **state)
{
    (void)state;
    struct note note;
    b.ram.hold_from = 1;
    struct lun_cmd *read = bench_cmd(&b, &note, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    lun_abort(b.lun, read);
    lun_release(b.lun, read);
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x3f, 0x0e};
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 2);
}

static void orphan_of_the_old_disk_is_not_adopted(void **state)
{
    (void)state;
    struct note first, second, third;
    b.ram.hold_data = true;
    struct lun_cmd *old = bench_cmd(&b, &first, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    /* Another disk within the same session: a command tells, the READ is still out. */
    b.ram.serial = "ram0002";
    b.ram.pending_attention = sense_medium_changed;
    struct lun_cmd *flush = bench_cmd(&b, &second, sync10, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    assert_int_equal(first.complete, 1);
    lun_release(b.lun, old);
    lun_release(b.lun, flush);
    bench_run(&b, tur, 6, SCSI_DIR_NONE, NULL, 0); /* takes the unit attention */
    struct lun_cmd *cmd = bench_cmd(&b, &third, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    assert_int_equal(lun_stats(b.lun)->adopted, 0);
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(third.complete, 1);
    lun_release(b.lun, cmd);
}

/* ---- the probe ---- */

static void probe_of_a_missing_lun_is_a_permanent_fault(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.peripheral = 0x7f;
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_PERMANENT);
    assert_non_null(strstr(b.ram.last_why, "no such LUN"));
}

static void probe_of_an_odd_block_size_says_which_fit(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.block_bytes = 520;
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_non_null(strstr(b.ram.last_why, "block size"));
}

static void probe_that_is_never_answered_costs_the_session(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.hold_from = 1;
    ram_up(&b.ram);
    bench_pass(&b, 10100000);
    assert_int_equal(b.ram.drops, 1);
    ram_lose(&b.ram, "dropped");
}

static void busy_target_is_probed_on(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x29, 0x00};
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_int_equal(lun_disk(b.lun)->blocks, RAM_BLOCKS);
}

static void disk_that_changes_under_the_probe_is_probed_again(void **state)
{
    (void)state;
    bench_close(&b);
    bench_open(&b, NULL);
    b.ram.hold_from = 4; /* INQUIRY, page 00, page 80 are answered by the first disk */
    ram_up(&b.ram);
    bench_settle(&b);
    b.ram.serial = "ram0002";
    b.ram.pending_attention = sense_medium_changed;
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 1);
    char name[16];
    assert_string_equal(disk_name(lun_disk(b.lun), name, sizeof(name)), "ram0002");
}

static void probe_waits_for_room_in_the_session(void **state)
{
    (void)state;
    struct note first, second;
    b.ram.hold_data = true;
    struct lun_cmd *read = bench_cmd(&b, &first, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, 4096);
    bench_settle(&b);
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x3f, 0x0e};
    struct lun_cmd *flush = bench_cmd(&b, &second, sync10, 10, SCSI_DIR_NONE, 0);
    deferred_run(&b.deferred);
    b.ram.room = 1;
    bench_settle(&b);
    assert_int_equal(b.ram.drops, 0);
    b.ram.hold_data = false;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 2);
    assert_int_equal(first.complete, 1);
    assert_int_equal(second.complete, 1);
    lun_release(b.lun, read);
    lun_release(b.lun, flush);
}

static void probe_that_ends_in_a_dropped_session_accepts_nothing(void **state)
{
    (void)state;
    struct note first, second;
    b.ram.hold_data = true;
    struct lun_cmd *read =
        bench_cmd(&b, &first, rw10(OP_READ_10, 0, 9 * 128), 10, SCSI_DIR_IN, 9 * 64 * KIB);
    bench_settle(&b);
    b.ram.pending_attention = (struct sense_code){SENSE_UNIT_ATTENTION, 0x3f, 0x0e};
    b.ram.hold_from = b.ram.seen_count + 2; /* the flush goes, the new probe does not */
    struct lun_cmd *flush = bench_cmd(&b, &second, sync10, 10, SCSI_DIR_NONE, 0);
    bench_settle(&b);
    lun_abort(b.lun, read);
    lun_release(b.lun, read);
    lun_run_timeouts(b.lun);
    assert_int_equal(b.ram.drops, 1);
    b.ram.hold_from = 0;
    bench_settle(&b);
    assert_int_equal(b.ram.accepts, 1);
    assert_false(lun_stats(b.lun)->session_up);
    ram_lose(&b.ram, "dropped");
    b.ram.hold_data = false;
    bench_up(&b);
    assert_int_equal(second.complete, 1);
    lun_release(b.lun, flush);
}

static void page_that_fails_for_a_moment_is_no_other_disk(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.fail_number = 3; /* VPD page 80 */
    b.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    b.ram.fail_sense = (struct sense_code){SENSE_HARDWARE_ERROR, 0x44, 0x00};
    ram_forget(&b.ram);
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_TRANSIENT);
    assert_int_equal(b.disk_changes, 1);
}

static void session_that_ends_in_the_probe_is_probed_from_the_start(void **state)
{
    (void)state;
    ram_lose(&b.ram, "target gone");
    b.ram.hold_from = 1;
    for (unsigned i = 0; i < 3; i++) {
        ram_forget(&b.ram);
        b.ram.hold_from = i + 1;
        ram_up(&b.ram);
        bench_settle(&b);
        ram_lose(&b.ram, "again");
    }
    b.ram.hold_from = 0;
    bench_up(&b);
    assert_int_equal(b.ram.accepts, 2);
    struct scsi_outcome o = bench_run(&b, rw10(OP_READ_10, 0, 8), 10, SCSI_DIR_IN, data, 4096);
    assert_int_equal(o.status, SCSI_STATUS_CODE_GOOD);
}

static void nothing_is_timed_when_nothing_waits(void **state)
{
    (void)state;
    assert_true(lun_next_timeout_us(b.lun) == UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_brings_the_targets_bytes),
        TEST(write_puts_the_hosts_bytes),
        TEST(transfer_longer_than_the_pool_streams_through_it),
        TEST(segments_cover_the_command_with_its_flags),
        TEST(whole_read_goes_in_one_piece),
        TEST(whole_read_is_no_longer_than_the_target_takes),
        TEST(first_segment_is_valid_while_the_second_is_withheld),
        TEST(later_segment_first_is_not_valid_before_its_turn),
        TEST(write_segment_leaves_before_the_last_bytes_arrive),
        TEST(buffers_of_both_sides_are_the_same),
        TEST(short_good_read_is_never_padded_from_the_buffer),
        TEST(short_packet_ends_a_write_with_an_error),
        TEST(unknown_opcode_passes_whole_and_its_sense_comes_back),
        TEST(range_beyond_the_end_passes_whole_to_the_target),
        TEST(long_range_beyond_the_end_is_not_done_in_part),
        TEST(unmap_passes_with_its_parameter_list),
        TEST(flush_passes_to_the_target),
        TEST(whole_command_larger_than_the_limit_is_refused),
        TEST(host_length_shorter_than_the_device_is_a_phase_error),
        TEST(opposite_direction_is_a_phase_error),
        TEST(target_judges_the_length_of_a_whole_command),
        TEST(whole_command_shorter_than_its_cdb_is_a_phase_error_when_taken),
        TEST(host_length_longer_than_the_device_moves_the_devices),
        TEST(local_answers_do_not_reach_the_target),
        TEST(inquiry_says_removable_and_the_targets_name),
        TEST(capacity_is_the_targets),
        TEST(sense_is_kept_for_request_sense_once),
        TEST(without_a_disk_the_host_sees_no_medium),
        TEST(read_only_lun_refuses_writes_and_says_so),
        TEST(first_failing_segment_tells_status_and_length),
        TEST(reservation_conflict_reaches_the_host),
        TEST(busy_is_tried_again_after_a_pause),
        TEST(full_back_end_takes_the_rest_later),
        TEST(unit_attention_is_swallowed_and_the_command_repeated),
        TEST(changed_inquiry_data_cause_a_new_probe),
        TEST(lost_read_and_write_are_issued_again_after_login),
        TEST(lost_compare_and_write_is_never_issued_again),
        TEST(shrunk_disk_is_another_medium),
        TEST(nothing_of_the_host_goes_before_the_disk_is_proved),
        TEST(lost_unmap_is_issued_again),
        TEST(without_a_session_the_host_is_told_not_ready_in_time),
        TEST(flush_without_a_session_is_not_answered_good),
        TEST(other_disk_after_login_is_a_medium_change),
        TEST(write_in_flight_never_lands_on_another_disk),
        TEST(pending_medium_change_comes_before_a_wrong_length),
        TEST(request_sense_reports_a_pending_unit_attention_once),
        TEST(kept_sense_survives_inquiry_and_no_other_command),
        TEST(host_reset_drops_kept_sense_and_keeps_the_unit_attention),
        TEST(reset_before_the_host_asked_does_not_hide_the_medium_change),
        TEST(abort_before_the_host_was_told_does_not_hide_the_medium_change),
        TEST(reservation_conflict_has_sense_for_the_host_that_asks),
        TEST(grown_disk_is_a_capacity_change),
        TEST(growth_does_not_hide_a_medium_change),
        TEST(medium_is_announced_to_a_host_that_saw_none),
        TEST(no_medium_comes_before_a_wrong_length),
        TEST(read_only_lun_refuses_what_may_write),
        TEST(local_answers_need_no_slice),
        TEST(adoption_needs_no_slice),
        TEST(what_waits_leaves_slices_to_what_it_waits_for),
        TEST(small_commands_leave_a_segment_to_the_first),
        TEST(stream_is_timed_when_it_happened),
        TEST(streamed_write_is_timed_when_it_happened),
        TEST(piece_beyond_what_the_cdb_can_address_is_never_made),
        TEST(write_that_the_target_took_in_part_is_not_good),
        TEST(bytes_behind_a_failed_write_segment_do_not_count),
        TEST(bytes_behind_an_unanswered_write_segment_do_not_count),
        TEST(unit_attention_does_not_replace_a_failure),
        TEST(recovered_error_does_not_replace_a_failure),
        TEST(lost_session_does_not_replace_a_failure),
        TEST(recovered_error_brings_its_data_and_its_sense),
        TEST(deferred_recovered_error_is_no_success),
        TEST(condition_met_reaches_the_host),
        TEST(overflow_at_the_target_is_a_phase_error),
        TEST(read_that_overflows_brings_nothing),
        TEST(residual_of_a_passed_command_reaches_the_host),
        TEST(direction_none_means_no_data),
        TEST(first_segment_that_failed_tells_whichever_comes_first),
        TEST(write_behind_a_segment_that_never_went_does_not_count),
        TEST(task_aborted_is_sent_again_if_that_does_no_harm),
        TEST(allocation_length_is_a_limit_and_no_phase_error),
        TEST(segments_of_a_4096_byte_disk_are_where_they_belong),
        TEST(busy_for_ever_is_answered_in_time),
        TEST(unit_attention_for_ever_is_answered_in_time),
        TEST(session_lost_again_and_again_is_answered_in_time),
        TEST(target_that_dribbles_is_answered_for_in_time),
        TEST(time_that_the_host_takes_is_its_own),
        TEST(rooms_that_the_host_fills_slowly_are_waited_for),
        TEST(hung_read_that_is_adopted_again_and_again_costs_the_session),
        TEST(overlapping_write_waits_for_the_read_before_it),
        TEST(disjoint_commands_go_together),
        TEST(command_that_is_not_read_only_runs_alone),
        TEST(aborted_write_is_an_orphan_that_holds_back_overlaps),
        TEST(repeated_read_adopts_its_orphan),
        TEST(repeated_flush_adopts_its_orphan),
        TEST(flush_may_take_a_minute_before_it_costs_the_session),
        TEST(write_same_may_take_a_minute_before_it_costs_the_session),
        TEST(later_command_does_not_overtake_one_that_it_overlaps),
        TEST(flush_waits_for_writes_and_not_for_reads),
        TEST(read_adopted_twice_leaves_nothing_behind),
        TEST(aborted_command_is_never_completed),
        TEST(orphan_older_than_10_s_costs_the_session),
        TEST(more_than_8_orphans_cost_the_session),
        TEST(orphan_that_gets_a_unit_attention_is_not_lost_on_us),
        TEST(orphan_of_the_old_disk_is_not_adopted),
        TEST(probe_of_a_missing_lun_is_a_permanent_fault),
        TEST(probe_of_an_odd_block_size_says_which_fit),
        TEST(probe_that_is_never_answered_costs_the_session),
        TEST(busy_target_is_probed_on),
        TEST(disk_that_changes_under_the_probe_is_probed_again),
        TEST(probe_waits_for_room_in_the_session),
        TEST(probe_that_ends_in_a_dropped_session_accepts_nothing),
        TEST(page_that_fails_for_a_moment_is_no_other_disk),
        TEST(session_that_ends_in_the_probe_is_probed_from_the_start),
        TEST(nothing_is_timed_when_nothing_waits),
    };
    return cmocka_run_group_tests_name("lun", tests, NULL, NULL);
}
