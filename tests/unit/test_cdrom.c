/* SPDX-License-Identifier: BSD-2-Clause */
/* The CD-ROM drive over a disk: its answers alone, then within the logical unit. */
#include "bridge/bytes.h"
#include "bridge/cdrom.h"
#include "lun_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct cdrom drive;
static struct disk_identity disk;
static struct local_view view;
static struct local_reply reply;
static struct bench b;
static uint8_t data[4 * POOL_SLICE_BYTES];

/* 1000 blocks of 2048 bytes and three quarters of another one. */
static int set_up(void **state)
{
    (void)state;
    memset(&drive, 0, sizeof(drive));
    memset(&disk, 0, sizeof(disk));
    memset(&reply, 0xff, sizeof(reply));
    disk.blocks = 4003;
    disk.block_bytes = 512;
    disk.inquiry_bytes = 66;
    memset(disk.inquiry, 0xa5, sizeof(disk.inquiry));
    disk.inquiry[0] = 0;
    memcpy(disk.inquiry + 8, "VENDOR  PRODUCT         REV1", 28);
    view = (struct local_view){.disk = &disk, .medium = true, .removable = true, .luns = 1};
    return 0;
}

static void ask(const char *cdb, size_t bytes)
{
    uint8_t whole[SCSI_CDB_MAX_BYTES] = {0};
    memcpy(whole, cdb, bytes);
    memset(&reply, 0xff, sizeof(reply));
    cdrom_answer(&drive, &view, whole, &reply);
}

#define ASK(cdb) ask(cdb, sizeof(cdb) - 1)

static void assert_answer(const char *want, size_t bytes)
{
    assert_int_equal(reply.sense.key, SENSE_NO_SENSE);
    assert_int_equal(reply.bytes, bytes);
    assert_memory_equal(reply.data, want, bytes);
}

#define ANSWER(want) assert_answer(want, sizeof(want) - 1)

static void assert_refused(struct sense_code want)
{
    assert_true(sense_code_equal(reply.sense, want));
    assert_int_equal(reply.bytes, 0);
}

/* ---- what it is ---- */

static void inquiry_says_removable_cdrom_with_the_targets_names(void **state)
{
    (void)state;
    ASK("\x12\0\0\0\xff");
    assert_int_equal(reply.bytes, 36);
    assert_memory_equal(reply.data, "\x05\x80\xa5\xa5\x1f\0\0\0VENDOR  PRODUCT         REV1", 36);
}

static void drive_without_a_disk_is_a_cdrom_too(void **state)
{
    (void)state;
    view.disk = NULL;
    view.medium = false;
    ASK("\x12\0\0\0\x24");
    assert_int_equal(reply.bytes, 36);
    assert_int_equal(reply.data[0], 0x05);
    ASK("\x25");
    assert_refused(sense_no_medium);
}

static void vpd_pages_of_disks_are_not_there(void **state)
{
    (void)state;
    static const uint8_t list[] = {0, 0, 0, 4, 0x00, 0x80, 0x83, 0xb0};
    static const uint8_t id[] = {0, 0x83, 0, 6, 1, 3, 0, 2, 0x6a, 0x6b};
    disk.vpd_count = 2;
    disk.vpd[0].bytes = sizeof(list);
    memcpy(disk.vpd[0].data, list, sizeof(list));
    disk.vpd[1].code = 0x83;
    disk.vpd[1].bytes = sizeof(id);
    memcpy(disk.vpd[1].data, id, sizeof(id));
    ASK("\x12\x01\0\0\xff");
    ANSWER("\x05\0\0\x03\0\x80\x83");
    ASK("\x12\x01\x83\0\xff");
    ANSWER("\x05\x83\0\x06\x01\x03\0\x02\x6a\x6b");
    ASK("\x12\x01\xb0\0\xff");
    assert_refused(sense_invalid_field);
}

static void capacity_ends_with_the_last_whole_block(void **state)
{
    (void)state;
    ASK("\x25\0\0\0\0\0\0\0\0\0");
    ANSWER("\0\0\x03\xe7\0\0\x08\0");
}

static void disk_of_larger_blocks_cannot_be_a_cdrom(void **state)
{
    (void)state;
    assert_null(cdrom_unusable(&disk));
    disk.blocks = 3;
    assert_non_null(cdrom_unusable(&disk));
    disk.block_bytes = 4096;
    assert_non_null(cdrom_unusable(&disk));
    disk.block_bytes = 2048;
    assert_null(cdrom_unusable(&disk));
}

/* ---- READ TOC/PMA/ATIP ---- */

static void toc_has_one_data_track_and_the_lead_out(void **state)
{
    (void)state;
    ASK("\x43\0\0\0\0\0\0\x0c\0\0");
    ANSWER("\0\x12\x01\x01"
           "\0\x14\x01\0\0\0\0\0"
           "\0\x14\xaa\0\0\0\x03\xe8");
}

static void toc_in_msf_counts_the_lead_in(void **state)
{
    (void)state;
    ASK("\x43\x02\0\0\0\0\x01\x0c\0\0");
    ANSWER("\0\x12\x01\x01"
           "\0\x14\x01\0\0\0\x02\0"
           "\0\x14\xaa\0\0\0\x0f\x19"); /* 1150 frames: 15 s and 25 */
}

static void toc_from_the_lead_out_on_has_that_only(void **state)
{
    (void)state;
    ASK("\x43\0\0\0\0\0\xaa\x0c\0\0");
    ANSWER("\0\x0a\x01\x01\0\x14\xaa\0\0\0\x03\xe8");
    ASK("\x43\0\0\0\0\0\x02\x0c\0\0");
    assert_refused(sense_invalid_field);
}

static void sessions_are_told_for_both_forms_of_the_format(void **state)
{
    (void)state;
    ASK("\x43\0\x01\0\0\0\0\0\x0c\0");
    ANSWER("\0\x0a\x01\x01\0\x14\x01\0\0\0\0\0");
    ASK("\x43\0\0\0\0\0\0\0\x0c\x40"); /* SFF 8020i, as Linux asks */
    ANSWER("\0\x0a\x01\x01\0\x14\x01\0\0\0\0\0");
}

static void raw_toc_has_the_points_of_a_session(void **state)
{
    (void)state;
    ASK("\x43\x02\x02\0\0\0\0\x0c\0\0");
    ANSWER("\0\x2e\x01\x01"
           "\x01\x14\0\xa0\0\0\0\0\x01\0\0"
           "\x01\x14\0\xa1\0\0\0\0\x01\0\0"
           "\x01\x14\0\xa2\0\0\0\0\0\x0f\x19"
           "\x01\x14\0\x01\0\0\0\0\0\x02\0");
}

static void formats_of_recordable_media_are_refused(void **state)
{
    (void)state;
    ASK("\x43\0\x03\0\0\0\0\x0c\0\0");
    assert_refused(sense_invalid_field);
    ASK("\x43\0\x04\0\0\0\0\x0c\0\0");
    assert_refused(sense_invalid_field);
}

static void address_that_msf_cannot_hold_is_the_last_it_can(void **state)
{
    (void)state;
    disk.blocks = 4 * (256u * 60 * 75 - 150);
    ASK("\x43\x02\0\0\0\0\xaa\x0c\0\0");
    ANSWER("\0\x0a\x01\x01\0\x14\xaa\0\0\xff\x3b\x4a");
    disk.blocks -= 4;
    ASK("\x43\x02\0\0\0\0\xaa\x0c\0\0");
    ANSWER("\0\x0a\x01\x01\0\x14\xaa\0\0\xff\x3b\x4a");
    disk.blocks -= 4;
    ASK("\x43\x02\0\0\0\0\xaa\x0c\0\0");
    ANSWER("\0\x0a\x01\x01\0\x14\xaa\0\0\xff\x3b\x49");
}

/* ---- configuration, events, information ---- */

static void configuration_names_the_profile_of_the_medium(void **state)
{
    (void)state;
    ASK("\x46\0\0\0\0\0\0\0\xff\0");
    assert_int_equal(get_be32(reply.data), reply.bytes - 4);
    assert_int_equal(get_be16(reply.data + 6), 0x0008);
    disk.blocks = 4 * 360001;
    ASK("\x46\0\0\0\0\0\0\0\xff\0");
    assert_int_equal(get_be16(reply.data + 6), 0x0010);
    view.medium = false;
    ASK("\x46\0\0\0\0\0\0\0\xff\0");
    assert_int_equal(get_be16(reply.data + 6), 0x0000);
}

/* The codes of the features, those that are current with bit 15. */
static unsigned features_told(uint16_t *codes)
{
    unsigned count = 0;
    for (uint32_t at = 8; at < reply.bytes; at += 4u + reply.data[at + 3])
        codes[count++] =
            (uint16_t)(get_be16(reply.data + at) | (reply.data[at + 2] & 1 ? 0x8000 : 0));
    return count;
}

static void features_are_told_once_and_are_current_with_their_medium(void **state)
{
    (void)state;
    uint16_t codes[16];
    static const uint16_t cd[] = {0x8000, 0x8001, 0x8003, 0x8010, 0x801e, 0x001f};
    static const uint16_t none[] = {0x8000, 0x8001, 0x8003, 0x0010, 0x001e, 0x001f};
    ASK("\x46\0\0\0\0\0\0\0\xff\0");
    assert_int_equal(features_told(codes), 6);
    assert_memory_equal(codes, cd, sizeof(cd));
    ASK("\x46\x01\0\0\0\0\0\0\xff\0"); /* current ones only */
    assert_int_equal(features_told(codes), 5);
    ASK("\x46\x02\0\x10\0\0\0\0\xff\0"); /* one */
    assert_int_equal(features_told(codes), 1);
    assert_int_equal(codes[0], 0x8010);
    ASK("\x46\0\0\x10\0\0\0\0\xff\0"); /* from one on */
    assert_int_equal(features_told(codes), 3);
    ASK("\x46\x03\0\0\0\0\0\0\xff\0");
    assert_refused(sense_invalid_field);
    view.medium = false;
    ASK("\x46\0\0\0\0\0\0\0\xff\0");
    assert_int_equal(features_told(codes), 6);
    assert_memory_equal(codes, none, sizeof(none));
}

static void medium_event_is_told_once(void **state)
{
    (void)state;
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\x02\x02\0\0"); /* new */
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\0\x02\0\0");
    view.medium = false;
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\x03\0\0\0"); /* removed */
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\0\0\0\0");
    view.medium = true;
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\x02\x02\0\0");
    drive.changed = true; /* another one, while nobody asked */
    ASK("\x4a\x01\0\0\x10\0\0\0\x08\0");
    ANSWER("\0\x04\x04\x10\x02\x02\0\0");
}

static void other_events_are_not_available_and_none_is_asynchronous(void **state)
{
    (void)state;
    ASK("\x4a\x01\0\0\x02\0\0\0\x08\0");
    ANSWER("\0\0\x80\x10");
    ASK("\x4a\0\0\0\x10\0\0\0\x08\0");
    assert_refused(sense_invalid_field);
}

static void disc_is_finished_with_one_session(void **state)
{
    (void)state;
    ASK("\x51\0\0\0\0\0\0\0\x22\0");
    ANSWER("\0\x20\x0e\x01\x01\x01\x01\x20\0\0\0\0\0\0\0\0"
           "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0");
}

static void track_is_found_by_address_number_and_session(void **state)
{
    (void)state;
    static const char *const found[] = {"\x52\0\0\0\x03\xe7", "\x52\x01\0\0\0\x01",
                                        "\x52\x02\0\0\0\x01"};
    for (unsigned i = 0; i < 3; i++) {
        ask(found[i], 6);
        ANSWER("\0\x22\x01\x01\0\x04\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
               "\0\0\x03\xe8\0\0\0\0\0\0\0\0");
    }
    ASK("\x52\0\0\0\x03\xe8");
    assert_refused(sense_lba_out_of_range);
    ASK("\x52\x01\0\0\0\x02");
    assert_refused(sense_invalid_field);
}

static void capabilities_are_those_of_a_reader(void **state)
{
    (void)state;
    ASK("\x5a\0\x2a\0\0\0\0\0\x80\0");
    ANSWER("\0\x1a\0\0\0\0\0\0"
           "\x2a\x12\x0b\0\0\0\x28\0\0\0\0\0\0\0\0\0\0\0\0\0");
    ASK("\x1a\0\x3f\0\xc0");
    assert_int_equal(reply.bytes, 24);
    assert_int_equal(reply.data[0], 23);
    ASK("\x5a\0\x6a\0\0\0\0\0\x80\0"); /* nothing can be changed */
    assert_int_equal(reply.data[8 + 2], 0);
    ASK("\x5a\0\xea\0\0\0\0\0\x80\0");
    assert_refused(sense_saving_not_supported);
    ASK("\x1a\0\x08\0\xc0");
    assert_refused(sense_invalid_field);
}

static void mechanism_is_no_changer(void **state)
{
    (void)state;
    ASK("\xbd\0\0\0\0\0\0\0\0\x08\0\0");
    ANSWER("\0\0\0\0\0\0\0\0");
}

static void what_a_cdrom_does_not_do_is_an_invalid_opcode(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {OP_WRITE_10,
                                      OP_WRITE_12,
                                      OP_WRITE_16,
                                      OP_UNMAP,
                                      OP_FORMAT_UNIT,
                                      OP_MODE_SELECT_10,
                                      OP_WRITE_SAME_16,
                                      OP_READ_6,
                                      OP_SYNCHRONIZE_CACHE_10,
                                      OP_COMPARE_AND_WRITE,
                                      0xc1};
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        ask((const char *)&opcodes[i], 1);
        assert_refused(sense_invalid_opcode);
    }
}

/* ---- reading ---- */

static struct op decode(uint8_t *cdb, uint8_t *cdb_bytes)
{
    struct op op;
    memset(&op, 0xff, sizeof(op));
    cdrom_decode(&disk, cdb, cdb_bytes, &op);
    return op;
}

static void reads_become_reads_of_the_disks_blocks(void **state)
{
    (void)state;
    uint8_t ten[16] = {OP_READ_10, 0xf8, 0, 0, 0, 5, 0, 0, 3};
    uint8_t twelve[16] = {OP_READ_12, 0, 0, 0, 0, 5, 0, 0, 0, 3};
    uint8_t sixteen[16] = {OP_READ_16, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3};
    uint8_t cd[16] = {0xbe, 0x08, 0, 0, 0, 5, 0, 0, 3, 0x10};
    uint8_t *cdbs[] = {ten, twelve, sixteen, cd};
    for (unsigned i = 0; i < 4; i++) {
        uint8_t bytes = 12;
        struct op op = decode(cdbs[i], &bytes);
        assert_true(op.plain);
        assert_int_equal(bytes, 10);
        assert_int_equal(op.lba, 20);
        assert_int_equal(op.length_bytes, 3 * 2048);
        assert_int_equal(cdbs[i][0], OP_READ_10);
        assert_int_equal(cdbs[i][1], i == 0 ? 0x18 : 0);
    }
}

static void long_read_is_one_of_16_bytes(void **state)
{
    (void)state;
    disk.blocks = 1 << 20;
    uint8_t cdb[16] = {OP_READ_10, 0, 0, 0, 0, 0, 0, 0x40, 0}, bytes = 10;
    struct op op = decode(cdb, &bytes);
    assert_int_equal(bytes, 16);
    assert_int_equal(cdb[0], OP_READ_16);
    assert_int_equal(op.blocks, 65536);
    disk.blocks = UINT64_C(1) << 40;
    uint8_t far[16] = {OP_READ_10, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1};
    op = decode(far, &bytes);
    assert_int_equal(far[0], OP_READ_16);
    assert_true(op.lba == UINT64_C(0xffffffff) * 4);
}

static void disk_of_2048_byte_blocks_is_read_as_it_is(void **state)
{
    (void)state;
    disk.block_bytes = 2048;
    uint8_t cdb[16] = {OP_READ_10, 0, 0, 0, 0, 5, 0, 0, 3}, bytes = 10;
    struct op op = decode(cdb, &bytes);
    assert_int_equal(op.lba, 5);
    assert_int_equal(op.blocks, 3);
}

static void read_into_the_partial_block_is_out_of_range(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_READ_10, 0, 0, 0, 3, 0xe7, 0, 0, 2}, bytes = 10;
    assert_false(decode(cdb, &bytes).plain);
    ask((const char *)cdb, 10);
    assert_refused(sense_lba_out_of_range);
    cdb[8] = 1;
    assert_true(decode(cdb, &bytes).plain);
}

static void read_longer_than_a_disk_can_be_asked_for_is_out_of_range(void **state)
{
    (void)state;
    disk.blocks = UINT64_MAX;
    uint8_t cdb[16] = {OP_READ_12, 0, 0, 0, 0, 0, 0x40, 0, 0, 0}, bytes = 12;
    assert_false(decode(cdb, &bytes).plain);
}

static void read_cd_of_more_than_user_data_is_refused(void **state)
{
    (void)state;
    uint8_t cdb[16] = {0xbe, 0, 0, 0, 0, 5, 0, 0, 3, 0xf8}, bytes = 12;
    assert_false(decode(cdb, &bytes).plain);
    ask((const char *)cdb, 12);
    assert_refused(sense_invalid_field);
}

static void block_in_the_sense_is_one_of_the_cdrom(void **state)
{
    (void)state;
    struct scsi_outcome o = {.sense_bytes = 20};
    static const uint8_t descriptor[] = {0x72, 3, 0x11, 0, 0, 0, 0, 12, 0,    10,
                                         0x80, 0, 0,    0, 0, 0, 0, 0,  0x10, 0x03};
    memcpy(o.sense, descriptor, sizeof(descriptor));
    cdrom_adjust_sense(&disk, &o);
    assert_int_equal(o.sense_bytes, 18);
    assert_int_equal(o.sense[0], 0xf0);
    assert_int_equal(get_be32(o.sense + 3), 0x400);
}

/* ---- within the logical unit ---- */

static void as_cdrom(struct lun_config *config)
{
    config->cdrom = true;
    config->removable = false;
}

static int open_drive(void **state)
{
    (void)state;
    bench_open(&b, as_cdrom);
    bench_up(&b);
    return 0;
}

static int close_drive(void **state)
{
    (void)state;
    bench_close(&b);
    return 0;
}

static struct sense_code run(const char *cdb, uint8_t bytes, enum scsi_dir dir, uint32_t length)
{
    struct scsi_outcome o = bench_run(&b, (const uint8_t *)cdb, bytes, dir, data, length);
    return o.status == SCSI_STATUS_CODE_GOOD ? sense_none : bench_sense(&o);
}

static void reads_bring_the_disks_bytes(void **state)
{
    (void)state;
    struct sense_code sense = run("\x28\0\0\0\0\x05\0\0\x64\0", 10, SCSI_DIR_IN, 100 * 2048);
    assert_int_equal(sense.key, SENSE_NO_SENSE);
    assert_memory_equal(data, ram_block(&b.ram, 20), 100 * 2048);
}

static void answers_are_cut_to_the_length_that_was_asked_for(void **state)
{
    (void)state;
    uint8_t cdb[10] = {0x43, 0, 0, 0, 0, 0, 0, 0, 12};
    struct scsi_outcome o = bench_run(&b, cdb, 10, SCSI_DIR_IN, data, 100);
    assert_int_equal(o.moved_bytes, 12);
    o = bench_run(&b, cdb, 10, SCSI_DIR_OUT, data, 100);
    assert_true(o.phase_error);
}

static void write_moves_nothing_and_reaches_nobody(void **state)
{
    (void)state;
    struct sense_code sense = run("\x2a\0\0\0\0\x05\0\0\x01\0", 10, SCSI_DIR_OUT, 2048);
    assert_true(sense_code_equal(sense, sense_invalid_opcode));
    assert_int_equal(b.ram.seen_count, 0);
}

static void code_that_is_another_command_of_disks_reaches_nobody(void **state)
{
    (void)state;
    /* READ SUB-CHANNEL; UNMAP to a disk */
    struct sense_code sense = run("\x42\0\x40\x01\0\0\0\0\x18\0", 10, SCSI_DIR_IN, 24);
    assert_true(sense_code_equal(sense, sense_invalid_opcode));
    assert_int_equal(b.ram.seen_count, 0);
}

static void host_ejects_it_and_is_told_of_the_next_one(void **state)
{
    (void)state;
    static const char event[] = "\x4a\x01\0\0\x10\0\0\0\x08\0";
    run(event, 10, SCSI_DIR_IN, 8);
    assert_int_equal(run("\x1b\0\0\0\x02\0", 6, SCSI_DIR_NONE, 0).key, SENSE_NO_SENSE);
    run(event, 10, SCSI_DIR_IN, 8);
    assert_int_equal(data[4], 3);
    struct sense_code sense = run("\x28\0\0\0\0\0\0\0\x01\0", 10, SCSI_DIR_IN, 2048);
    assert_true(sense_code_equal(sense, sense_no_medium));
    assert_int_equal(lun_insert(b.lun), 0);
    /* the event does not take the unit attention away */
    run(event, 10, SCSI_DIR_IN, 8);
    assert_int_equal(data[4], 2);
    sense = run("\0\0\0\0\0\0", 6, SCSI_DIR_NONE, 0);
    assert_true(sense_code_equal(sense, sense_medium_changed));
}

static void disk_with_4096_byte_blocks_is_rejected(void **state)
{
    (void)state;
    bench_open(&b, as_cdrom);
    b.ram.block_bytes = 4096;
    b.ram.blocks = 100;
    ram_up(&b.ram);
    bench_settle(&b);
    assert_int_equal(b.ram.rejects, 1);
    assert_int_equal(b.ram.last_fault, BACKEND_FAULT_PERMANENT);
    assert_null(lun_disk(b.lun));
}

#define PURE(name)  cmocka_unit_test_setup(name, set_up)
#define DRIVE(name) cmocka_unit_test_setup_teardown(name, open_drive, close_drive)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PURE(inquiry_says_removable_cdrom_with_the_targets_names),
        PURE(drive_without_a_disk_is_a_cdrom_too),
        PURE(vpd_pages_of_disks_are_not_there),
        PURE(capacity_ends_with_the_last_whole_block),
        PURE(disk_of_larger_blocks_cannot_be_a_cdrom),
        PURE(toc_has_one_data_track_and_the_lead_out),
        PURE(toc_in_msf_counts_the_lead_in),
        PURE(toc_from_the_lead_out_on_has_that_only),
        PURE(sessions_are_told_for_both_forms_of_the_format),
        PURE(raw_toc_has_the_points_of_a_session),
        PURE(formats_of_recordable_media_are_refused),
        PURE(address_that_msf_cannot_hold_is_the_last_it_can),
        PURE(configuration_names_the_profile_of_the_medium),
        PURE(features_are_told_once_and_are_current_with_their_medium),
        PURE(medium_event_is_told_once),
        PURE(other_events_are_not_available_and_none_is_asynchronous),
        PURE(disc_is_finished_with_one_session),
        PURE(track_is_found_by_address_number_and_session),
        PURE(capabilities_are_those_of_a_reader),
        PURE(mechanism_is_no_changer),
        PURE(what_a_cdrom_does_not_do_is_an_invalid_opcode),
        PURE(reads_become_reads_of_the_disks_blocks),
        PURE(long_read_is_one_of_16_bytes),
        PURE(disk_of_2048_byte_blocks_is_read_as_it_is),
        PURE(read_into_the_partial_block_is_out_of_range),
        PURE(read_longer_than_a_disk_can_be_asked_for_is_out_of_range),
        PURE(read_cd_of_more_than_user_data_is_refused),
        PURE(block_in_the_sense_is_one_of_the_cdrom),
        DRIVE(reads_bring_the_disks_bytes),
        DRIVE(answers_are_cut_to_the_length_that_was_asked_for),
        DRIVE(write_moves_nothing_and_reaches_nobody),
        DRIVE(code_that_is_another_command_of_disks_reaches_nobody),
        DRIVE(host_ejects_it_and_is_told_of_the_next_one),
        cmocka_unit_test_teardown(disk_with_4096_byte_blocks_is_rejected, close_drive),
    };
    return cmocka_run_group_tests_name("CD-ROM", tests, NULL, NULL);
}
