/* SPDX-License-Identifier: BSD-2-Clause */
/* The small parts of the bridge: opcode table, sense, order, pool, deferred. */
#include "bridge/bytes.h"
#include "bridge/deferred.h"
#include "bridge/identity.h"
#include "bridge/local.h"
#include "bridge/opcode.h"
#include "bridge/order.h"
#include "bridge/pool.h"
#include "bridge/sense.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct op decode(const uint8_t *cdb)
{
    struct op op;
    memset(&op, 0xff, sizeof(op));
    op_decode(cdb, 16, 512, &op);
    return op;
}

/* ---- opcode table ---- */

static void read6_of_zero_blocks_means_256(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_READ_6, 0xe1, 2, 3, 0};
    struct op op = decode(cdb);
    assert_int_equal(op.length_bytes, 256 * 512);
    assert_int_equal(op.lba, 0x10203);
    assert_true(op.plain);
}

static void read16_has_a_64_bit_address(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_READ_16};
    put_be64(cdb + 2, 0x123456789abcULL);
    put_be32(cdb + 10, 9);
    struct op op = decode(cdb);
    assert_true(op.lba == 0x123456789abcULL);
    assert_int_equal(op.blocks, 9);
    assert_int_equal(op.cdb_bytes, 16);
}

static void protection_information_makes_the_length_the_hosts(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_READ_10, 0x20, 0, 0, 0, 0, 0, 0, 8};
    struct op op = decode(cdb);
    assert_false(op.plain);
    assert_int_equal(op.length, OP_LENGTH_HOST);
}

static void verify_without_bytchk_moves_nothing(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_VERIFY_10, 0, 0, 0, 0, 0, 0, 0, 8};
    assert_int_equal(decode(cdb).dir, SCSI_DIR_NONE);
    cdb[1] = 2;
    assert_int_equal(decode(cdb).length_bytes, 8 * 512);
    cdb[1] = 6;
    assert_int_equal(decode(cdb).length_bytes, 512);
    assert_int_equal(decode(cdb).blocks, 8);
}

static void write_same_moves_one_block_or_none(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_WRITE_SAME_16};
    put_be32(cdb + 10, 100);
    assert_int_equal(decode(cdb).length_bytes, 512);
    assert_int_equal(decode(cdb).blocks, 100);
    cdb[1] = 1;
    assert_int_equal(decode(cdb).length, OP_LENGTH_NONE);
}

static void compare_and_write_moves_its_blocks_twice(void **state)
{
    (void)state;
    uint8_t cdb[16] = {OP_COMPARE_AND_WRITE};
    cdb[13] = 3;
    struct op op = decode(cdb);
    assert_int_equal(op.length_bytes, 2 * 3 * 512);
    assert_int_equal(op.retry, OP_RETRY_NEVER);
}

/* SPC-4, SBC-3 and MMC-3: where each CDB says how many bytes of parameters it has. */
static void byte_counts_are_read_where_the_standard_has_them(void **state)
{
    (void)state;
    static const struct {
        uint8_t opcode, action, offset, width;
    } fields[] = {
        {0x03, 0, 4, 1},     {0x12, 0, 3, 2},     {0x15, 0, 4, 1}, {0x1a, 0, 4, 1},
        {0x1c, 0, 3, 2},     {0x1d, 0, 3, 2},     {0x23, 0, 7, 2}, {0x3b, 0, 6, 3},
        {0x3c, 0, 6, 3},     {0x42, 0, 7, 2},     {0x4d, 0, 7, 2}, {0x55, 0, 7, 2},
        {0x5a, 0, 7, 2},     {0x5e, 0, 7, 2},     {0x5f, 0, 5, 4}, {0x9e, 0x10, 10, 4},
        {0x9e, 0x12, 10, 4}, {0x9e, 0x13, 10, 4}, {0xa0, 0, 6, 4}, {0xa3, 0x0a, 6, 4},
        {0xa3, 0x0c, 6, 4},  {0xa3, 0x0d, 6, 4},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        uint8_t cdb[16] = {fields[i].opcode, fields[i].action};
        uint64_t want = 0;
        for (unsigned n = 0; n < fields[i].width; n++) {
            cdb[fields[i].offset + n] = (uint8_t)(0x11 + n);
            want = want << 8 | (0x11 + n);
        }
        assert_int_equal(decode(cdb).length_bytes, want);
    }
}

static void unknown_opcode_is_alone_and_never_repeated(void **state)
{
    (void)state;
    uint8_t cdb[16] = {0xc1};
    struct op op = decode(cdb);
    assert_string_equal(op.name, "unknown");
    assert_int_equal(op.length, OP_LENGTH_HOST);
    assert_int_equal(op.retry, OP_RETRY_NEVER);
    assert_false(op.read_only);
}

static void range_beyond_what_the_cdb_can_address_is_not_plain(void **state)
{
    (void)state;
    uint8_t ten[16] = {OP_WRITE_10, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1};
    assert_true(decode(ten).plain);
    ten[8] = 2;
    assert_false(decode(ten).plain);
    assert_int_equal(decode(ten).length_bytes, 2 * 512);
    uint8_t six[16] = {OP_READ_6, 0x1f, 0xff, 0xff, 1};
    assert_true(decode(six).plain);
    six[4] = 0;
    assert_false(decode(six).plain);
    uint8_t sixteen[16] = {OP_READ_16, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2};
    assert_true(decode(sixteen).plain);
}

static void set_range_keeps_all_but_the_range(void **state)
{
    (void)state;
    static const uint8_t opcodes[] = {OP_READ_6,  OP_WRITE_6,  OP_READ_10, OP_WRITE_10,
                                      OP_READ_12, OP_WRITE_12, OP_READ_16, OP_WRITE_16};
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t cdb[16];
        memset(cdb, 0x18, sizeof(cdb));
        cdb[0] = opcodes[i];
        struct op before = decode(cdb);
        op_set_range(cdb, 77, 5);
        struct op after = decode(cdb);
        assert_int_equal(after.lba, 77);
        assert_int_equal(after.blocks, 5);
        assert_int_equal(after.plain, before.plain);
        assert_int_equal(cdb[1] & 0xe0, 0);
        assert_int_equal(cdb[15], 0x18);
    }
}

static void every_opcode_decodes_to_the_length_of_its_group(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        uint8_t cdb[16] = {(uint8_t)opcode};
        static const uint8_t bytes[8] = {6, 10, 10, 16, 16, 12, 16, 16};
        assert_int_equal(decode(cdb).cdb_bytes, bytes[opcode >> 5]);
    }
}

/* ---- sense ---- */

static void sense_is_read_back_from_both_formats(void **state)
{
    (void)state;
    uint8_t bytes[SENSE_FIXED_BYTES];
    struct sense_code code;
    size_t n = sense_build_fixed(bytes, sense_write_protected);
    assert_true(sense_parse(bytes, n, &code));
    assert_true(sense_code_equal(code, sense_write_protected));
    n = sense_build_descriptor(bytes, sense_medium_changed);
    assert_true(sense_parse(bytes, n, &code));
    assert_true(sense_code_equal(code, sense_medium_changed));
}

static void truncated_sense_is_not_read_beyond_its_end(void **state)
{
    (void)state;
    struct sense_code code;
    uint8_t *bytes = malloc(3);
    assert_non_null(bytes);
    memcpy(bytes, "\x70\x00\x05", 3);
    assert_true(sense_parse(bytes, 3, &code));
    assert_int_equal(code.key, 5);
    assert_false(sense_parse(bytes, 2, &code));
    assert_false(sense_parse(bytes, 0, &code));
    free(bytes);
}

/* ---- order ---- */

static void reads_overlap_and_writes_do_not(void **state)
{
    (void)state;
    struct order order;
    memset(&order, 0xff, sizeof(order));
    order_init(&order);
    int read = order_enter(&order, (struct order_span){0, 10, false});
    assert_int_not_equal(read, ORDER_NONE);
    assert_int_not_equal(order_enter(&order, (struct order_span){5, 15, false}), ORDER_NONE);
    assert_int_equal(order_enter(&order, (struct order_span){9, 10, true}), ORDER_NONE);
    assert_int_not_equal(order_enter(&order, (struct order_span){15, 16, true}), ORDER_NONE);
    order_leave(&order, read);
    assert_int_not_equal(order_enter(&order, (struct order_span){0, 5, true}), ORDER_NONE);
}

static void full_order_table_refuses(void **state)
{
    (void)state;
    struct order order;
    order_init(&order);
    for (unsigned i = 0; i < ORDER_SPANS; i++)
        assert_int_not_equal(order_enter(&order, (struct order_span){i, i + 1, true}), ORDER_NONE);
    assert_int_equal(order_enter(&order, (struct order_span){99, 100, false}), ORDER_NONE);
}

/* ---- pool ---- */

static void pool_gives_each_slice_once(void **state)
{
    (void)state;
    uint8_t *arena = malloc(2 * POOL_SLICE_BYTES);
    assert_non_null(arena);
    struct pool pool;
    memset(&pool, 0xff, sizeof(pool));
    pool_init(&pool, arena, 2);
    uint8_t *one = pool_take(&pool);
    uint8_t *two = pool_take(&pool);
    assert_ptr_equal(one, arena);
    assert_ptr_equal(two, arena + POOL_SLICE_BYTES);
    assert_null(pool_take(&pool));
    pool_give(&pool, one);
    assert_ptr_equal(pool_take(&pool), one);
    free(arena);
}

/* ---- deferred calls ---- */

struct counter {
    struct deferred deferred; /* first */
    struct deferred_list *list;
    unsigned ran;
    bool again;
};

static void count(struct deferred *d)
{
    struct counter *c = (struct counter *)d;
    c->ran++;
    if (c->again)
        deferred_add(c->list, d);
}

static void deferred_call_runs_once_and_what_it_adds_waits(void **state)
{
    (void)state;
    struct deferred_list list;
    deferred_list_init(&list);
    struct counter c = {.list = &list, .again = true};
    deferred_init(&c.deferred, count);
    deferred_add(&list, &c.deferred);
    deferred_add(&list, &c.deferred);
    assert_int_equal(deferred_run(&list), 1);
    assert_int_equal(c.ran, 1);
    assert_true(deferred_pending(&list));
}

static void cancelled_call_does_not_run(void **state)
{
    (void)state;
    struct deferred_list list;
    deferred_list_init(&list);
    struct counter a = {.list = &list}, b = {.list = &list};
    deferred_init(&a.deferred, count);
    deferred_init(&b.deferred, count);
    deferred_add(&list, &a.deferred);
    deferred_add(&list, &b.deferred);
    deferred_cancel(&list, &b.deferred);
    deferred_cancel(&list, &b.deferred);
    assert_int_equal(deferred_run(&list), 1);
    assert_int_equal(b.ran, 0);
    deferred_add(&list, &b.deferred);
    assert_int_equal(deferred_run(&list), 1);
    assert_int_equal(b.ran, 1);
}

/* ---- identity and local answers ---- */

static struct disk_identity disk_of(const char *serial, uint64_t blocks, uint32_t block_bytes)
{
    struct disk_identity disk;
    memset(&disk, 0, sizeof(disk));
    disk.inquiry_bytes = 36;
    disk.blocks = blocks;
    disk.block_bytes = block_bytes;
    disk.vpd[0].code = 0x80;
    disk.vpd[0].bytes = (uint8_t)(4 + strlen(serial));
    memcpy(disk.vpd[0].data + 4, serial, strlen(serial));
    disk.vpd_count = 1;
    return disk;
}

static void disks_differ_by_serial_number(void **state)
{
    (void)state;
    struct disk_identity a = disk_of("one", 10, 512), b = disk_of("two", 10, 512);
    assert_false(disk_same(&a, &b));
    b = disk_of("one", 20, 512);
    assert_true(disk_same(&a, &b));
    b.vpd_count = 0;
    assert_false(disk_same(&a, &b));
}

static void set_designators(struct disk_identity *disk, const char *bytes, uint8_t count)
{
    struct disk_vpd *page = &disk->vpd[disk->vpd_count++];
    page->code = 0x83;
    page->bytes = (uint8_t)(4 + count);
    memset(page->data, 0, 4);
    page->data[3] = count;
    memcpy(page->data + 4, bytes, count);
}

static void same_disk_by_another_port_is_the_same(void **state)
{
    (void)state;
    struct disk_identity a = disk_of("one", 10, 512), b = a, c = a;
    /* NAA of the logical unit, then the relative port: 1 or 2 */
    set_designators(&a, "\x01\x03\0\x02\x6a\x6b\x01\x14\0\x04\0\0\0\x01", 14);
    set_designators(&b, "\x01\x14\0\x04\0\0\0\x02\x01\x03\0\x02\x6a\x6b", 14);
    set_designators(&c, "\x01\x03\0\x02\x6a\x6c\x01\x14\0\x04\0\0\0\x01", 14);
    assert_true(disk_same(&a, &b));
    assert_false(disk_same(&a, &c));
}

static void disk_with_a_designator_more_is_another(void **state)
{
    (void)state;
    struct disk_identity a = disk_of("one", 10, 512), b = a;
    set_designators(&a, "\x01\x03\0\x02\x6a\x6b", 6);
    set_designators(&b, "\x01\x03\0\x02\x6a\x6b\x01\x03\0\x02\x6a\x6c", 12);
    assert_false(disk_same(&a, &b));
    assert_false(disk_same(&b, &a));
}

static void disk_with_a_damaged_designator_list_still_has_a_name(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("serial", 10, 512);
    disk.vpd[1] = (struct disk_vpd){.code = 0x83, .bytes = 9};
    memcpy(disk.vpd[1].data, "\0\x83\0\x05\x02\x01\0\xff\x41", 9);
    disk.vpd_count = 2;
    char name[32];
    assert_string_equal(disk_name(&disk, name, sizeof(name)), "serial");
}

static void capacity10_of_a_large_disk_points_to_capacity16(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("big", 6ULL << 31, 512);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    const uint8_t cdb[16] = {OP_READ_CAPACITY_10};
    assert_true(local_answer(&view, cdb, &reply));
    assert_true(get_be32(reply.data) == UINT32_MAX);
}

static void page_that_was_cut_is_asked_of_the_target(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("long", 10, 512);
    disk.vpd[0].data[3] = 5; /* it says one byte more than was kept */
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    const uint8_t all[16] = {OP_INQUIRY, 1, 0x80, 0, 255};
    assert_false(local_answer(&view, all, &reply));
    const uint8_t some[16] = {OP_INQUIRY, 1, 0x80, 0, 8};
    assert_true(local_answer(&view, some, &reply));
    assert_int_equal(reply.bytes, 8);
}

static void sense_without_bytes_is_not_an_empty_answer(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 10, 512);
    struct scsi_outcome kept = {.status = SCSI_STATUS_CODE_CHECK_CONDITION};
    struct local_view view = {.disk = &disk, .medium = true, .kept_sense = &kept};
    struct local_reply reply;
    const uint8_t cdb[16] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 18);
}

static void format_capacities_say_formatted_media(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 0x12345, 512);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    const uint8_t cdb[16] = {OP_READ_FORMAT_CAPACITIES};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 12);
    assert_memory_equal(reply.data, "\0\0\0\x08\0\x01\x23\x45\x02\0\x02\0", 12);
}

static void format_capacities_without_a_medium_say_so(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 0x12345, 512);
    struct local_view view = {.disk = &disk, .medium = false, .removable = true};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    const uint8_t cdb[16] = {OP_READ_FORMAT_CAPACITIES};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.sense.key, SENSE_NO_SENSE);
    assert_int_equal(reply.bytes, 12);
    assert_memory_equal(reply.data, "\0\0\0\x08\xff\xff\xff\xff\x03\0\x02\0", 12);
}

static void all_units_on_the_cable_are_reported(void **state)
{
    (void)state;
    struct local_view view = {.luns = 3};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    uint8_t cdb[16] = {OP_REPORT_LUNS};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 8 + 3 * 8);
    static const uint8_t want[32] = {0, 0, 0, 24, [17] = 1, [25] = 2};
    assert_memory_equal(reply.data, want, sizeof(want));
    cdb[2] = 1; /* well known ones only: there is none */
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 8);
    assert_int_equal(get_be32(reply.data), 0);
    cdb[2] = 3;
    assert_true(local_answer(&view, cdb, &reply));
    assert_true(sense_code_equal(reply.sense, sense_invalid_field));
}

static void serial_number_page_is_there_in_any_case(void **state)
{
    (void)state;
    struct local_view view = {.disk = NULL};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    uint8_t cdb[16] = {OP_INQUIRY, 1, 0x80, 0, 255};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.sense.key, SENSE_NO_SENSE);
    assert_memory_equal(reply.data, "\0\x80\0\x04    ", 8);
    cdb[2] = 0;
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 6);
    assert_memory_equal(reply.data, "\0\0\0\x02\0\x80", 6);
    cdb[2] = 0x83;
    assert_true(local_answer(&view, cdb, &reply));
    assert_true(sense_code_equal(reply.sense, sense_invalid_field));
}

static void sense_for_a_host_that_reads_fixed_format_keeps_its_fields(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 10, 512);
    struct scsi_outcome kept = {.status = SCSI_STATUS_CODE_CHECK_CONDITION};
    /* MEDIUM ERROR 11/00, deferred: information, command-specific information, key
     * specific, replaceable unit, block commands; a descriptor of a vendor between. */
    static const uint8_t bytes[] = {
        0x73, 3,    0x11, 0,    0,    0,    0,    12 + 2 + 12 + 8 + 4 + 4,
        0,    10,   0x80, 0,    0,    0,    0,    0,
        0x12, 0x34, 0x56, 0x78, 0x80, 0,    1,    10,
        0,    0,    0,    0,    0,    0,    0xab, 0xcd,
        0xef, 0x01, 2,    6,    0,    0,    0x80, 0x77,
        0x66, 0,    3,    2,    0,    0x42, 5,    2,
        0,    0x20,
    };
    memcpy(kept.sense, bytes, sizeof(bytes));
    kept.sense_bytes = sizeof(bytes);
    struct local_view view = {.disk = &disk, .medium = true, .kept_sense = &kept};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    const uint8_t cdb[16] = {OP_REQUEST_SENSE, 0, 0, 0, 18};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 18);
    static const uint8_t want[18] = {0xf1, 0,    0x23, 0x12, 0x34, 0x56, 0x78, 10,   0xab,
                                     0xcd, 0xef, 0x01, 0x11, 0,    0x42, 0x80, 0x77, 0x66};
    assert_memory_equal(reply.data, want, sizeof(want));
}

static void sense_of_a_block_that_fixed_format_cannot_name_is_not_valid(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x72, 3, 0x11, 0, 0, 0, 0, 12, 0, 10,
                                    0x80, 0, 0,    0, 0, 1, 0, 0,  0, 0};
    uint8_t fixed[SENSE_FIXED_BYTES];
    memset(fixed, 0xff, sizeof(fixed));
    sense_to_fixed(bytes, sizeof(bytes), fixed);
    assert_int_equal(fixed[0], 0x70);
    assert_int_equal(get_be32(fixed + 3), 0);
}

static void mode_pages_that_hosts_can_wait_for_are_the_targets(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 10, 512);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    uint8_t cdb[16] = {OP_MODE_SENSE_6, 0, 0x0a, 0, 192};
    assert_false(local_answer(&view, cdb, &reply));
    cdb[2] = 0x08;
    cdb[3] = 1;
    assert_false(local_answer(&view, cdb, &reply));
    cdb[3] = 0xff; /* the page with all its subpages: there is none */
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 4 + 20);
    view.medium = false;
    cdb[2] = 0x0a;
    assert_true(local_answer(&view, cdb, &reply));
    assert_true(sense_code_equal(reply.sense, sense_no_medium));
}

static void saved_mode_pages_are_not_supported(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 10, 512);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    const uint8_t cdb[16] = {OP_MODE_SENSE_10, 0, 0xff, 0, 0, 0, 0, 0, 192};
    assert_true(local_answer(&view, cdb, &reply));
    assert_true(sense_code_equal(reply.sense, sense_saving_not_supported));
}

static void mode_sense_tells_the_targets_write_cache(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("wce", 10, 512);
    disk.has_caching_page = true;
    disk.caching_page[2] = 4;
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    const uint8_t cdb[16] = {OP_MODE_SENSE_6, 0, 0x3f, 0, 192};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.data[0] + 1u, reply.bytes);
    assert_int_equal(reply.data[4], 0x08);
    assert_int_equal(reply.data[6] & 4, 4);
}

static void all_mode_pages_have_the_targets_control_page(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("d", 10, 512);
    disk.has_control_page = true;
    memcpy(disk.control_page, "\x8a\x0a\x04\x10\x11\x12\x13\x14\x15\x16\x17\x18", 12);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    memset(&reply, 0xff, sizeof(reply));
    uint8_t cdb[16] = {OP_MODE_SENSE_6, 0, 0x3f, 0, 192};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 4 + 20 + 12 + 12);
    assert_int_equal(reply.data[0] + 1u, reply.bytes);
    assert_memory_equal(reply.data + 24, "\x0a\x0a\x04\x10\x11\x12\x13\x14\x15\x16\x17\x18", 12);
    assert_int_equal(reply.data[36], 0x1c);
    cdb[2] = 0x40 | 0x3f;
    assert_true(local_answer(&view, cdb, &reply));
    assert_memory_equal(reply.data + 24, "\x0a\x0a\0\0\0\0\0\0\0\0\0\0", 12);
    cdb[2] = 0x0a;
    assert_false(local_answer(&view, cdb, &reply));
    disk.has_control_page = false;
    cdb[2] = 0x3f;
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.bytes, 4 + 20 + 12);
}

static void prevent_is_refused_and_allow_is_not(void **state)
{
    (void)state;
    struct disk_identity disk = disk_of("x", 10, 512);
    struct local_view view = {.disk = &disk, .medium = true};
    struct local_reply reply;
    uint8_t cdb[16] = {OP_PREVENT_ALLOW, 0, 0, 0, 1};
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.sense.key, SENSE_ILLEGAL_REQUEST);
    cdb[4] = 0;
    assert_true(local_answer(&view, cdb, &reply));
    assert_int_equal(reply.sense.key, SENSE_NO_SENSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read6_of_zero_blocks_means_256),
        cmocka_unit_test(read16_has_a_64_bit_address),
        cmocka_unit_test(protection_information_makes_the_length_the_hosts),
        cmocka_unit_test(verify_without_bytchk_moves_nothing),
        cmocka_unit_test(write_same_moves_one_block_or_none),
        cmocka_unit_test(compare_and_write_moves_its_blocks_twice),
        cmocka_unit_test(byte_counts_are_read_where_the_standard_has_them),
        cmocka_unit_test(unknown_opcode_is_alone_and_never_repeated),
        cmocka_unit_test(range_beyond_what_the_cdb_can_address_is_not_plain),
        cmocka_unit_test(set_range_keeps_all_but_the_range),
        cmocka_unit_test(every_opcode_decodes_to_the_length_of_its_group),
        cmocka_unit_test(sense_is_read_back_from_both_formats),
        cmocka_unit_test(truncated_sense_is_not_read_beyond_its_end),
        cmocka_unit_test(reads_overlap_and_writes_do_not),
        cmocka_unit_test(full_order_table_refuses),
        cmocka_unit_test(pool_gives_each_slice_once),
        cmocka_unit_test(deferred_call_runs_once_and_what_it_adds_waits),
        cmocka_unit_test(cancelled_call_does_not_run),
        cmocka_unit_test(disks_differ_by_serial_number),
        cmocka_unit_test(same_disk_by_another_port_is_the_same),
        cmocka_unit_test(disk_with_a_designator_more_is_another),
        cmocka_unit_test(disk_with_a_damaged_designator_list_still_has_a_name),
        cmocka_unit_test(capacity10_of_a_large_disk_points_to_capacity16),
        cmocka_unit_test(page_that_was_cut_is_asked_of_the_target),
        cmocka_unit_test(sense_without_bytes_is_not_an_empty_answer),
        cmocka_unit_test(format_capacities_say_formatted_media),
        cmocka_unit_test(format_capacities_without_a_medium_say_so),
        cmocka_unit_test(all_units_on_the_cable_are_reported),
        cmocka_unit_test(serial_number_page_is_there_in_any_case),
        cmocka_unit_test(sense_for_a_host_that_reads_fixed_format_keeps_its_fields),
        cmocka_unit_test(sense_of_a_block_that_fixed_format_cannot_name_is_not_valid),
        cmocka_unit_test(mode_pages_that_hosts_can_wait_for_are_the_targets),
        cmocka_unit_test(saved_mode_pages_are_not_supported),
        cmocka_unit_test(mode_sense_tells_the_targets_write_cache),
        cmocka_unit_test(all_mode_pages_have_the_targets_control_page),
        cmocka_unit_test(prevent_is_refused_and_allow_is_not),
    };
    return cmocka_run_group_tests_name("bridge parts", tests, NULL, NULL);
}
