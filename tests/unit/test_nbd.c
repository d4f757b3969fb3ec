/* SPDX-License-Identifier: BSD-2-Clause */
/* The NBD front end over a socket pair, with a real logical unit and a RAM disk. */
#include "boot/nbd.h"
#include "boot/nbd_wire.h"
#include "bridge/bytes.h"
#include "bridge/opcode.h"
#include "lun_bench.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LUN_SEGMENT 65536u
#define DATA_MAX    (NBD_REQUEST_SEGMENTS * LUN_SEGMENT)

static struct bench bench;
static struct nbd *nbd;
static struct nbd_geometry geometry;
static int kernel; /* our end of the socket */
static unsigned ends;
static uint8_t data[DATA_MAX], got[DATA_MAX];

static void ended(void *ctx)
{
    assert_ptr_equal(ctx, &bench);
    ends++;
}

static void as_nbd(struct lun_config *config)
{
    config->answer_within_ms = 0;
    config->removable = false;
    config->attention_off = true;
    config->whole_reads = true;
}

static void open_nbd(void)
{
    int pair[2];
    ends = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    kernel = pair[0];
    const struct nbd_config config = {
        .fd = pair[1],
        .lun = bench.lun,
        .deferred = &bench.deferred,
        .ended = ended,
        .ctx = &bench,
    };
    nbd = nbd_create(&config);
    assert_non_null(nbd);
}

static int set_up(void **state)
{
    (void)state;
    bench_open(&bench, as_nbd);
    bench_up(&bench);
    open_nbd();
    geometry = nbd_describe(lun_disk(bench.lun), LUN_SEGMENT, false);
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
    for (uint32_t i = 0; i < DATA_MAX; i++)
        data[i] = (uint8_t)(i * 13 + i / 512);
    return 0;
}

static void close_nbd(void)
{
    nbd_destroy(nbd);
    bench_settle(&bench);
    close(kernel);
}

static int tear_down(void **state)
{
    (void)state;
    close_nbd();
    bench_close(&bench);
    return 0;
}

/* ---- the kernel's side ---- */

static void turn(void)
{
    for (int i = 0; i < 200; i++) {
        nbd_ready(nbd);
        bench_settle(&bench);
    }
}

static void send_all(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t n = send(kernel, at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            turn();
            continue;
        }
        at += n;
        length -= (size_t)n;
    }
}

static struct nbd_request_wire request(uint16_t type, uint64_t offset, uint32_t length,
                                       uint64_t handle)
{
    struct nbd_request_wire wire = {.magic = {0}};
    put_be32(wire.magic, NBD_REQUEST_MAGIC_VALUE);
    put_be16(wire.type, type);
    put_be64(wire.handle, handle);
    put_be64(wire.offset, offset);
    put_be32(wire.length, length);
    return wire;
}

static void ask(uint16_t type, uint64_t offset, uint32_t length, uint64_t handle)
{
    struct nbd_request_wire wire = request(type, offset, length, handle);
    send_all(&wire, sizeof wire);
}

/* True when so many bytes are there. */
static bool receive(void *to, size_t length)
{
    uint8_t *at = to;
    for (int i = 0; i < 50 && length > 0; i++) {
        ssize_t n = recv(kernel, at, length, MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
        turn();
    }
    return length == 0;
}

static uint32_t reply(uint64_t handle)
{
    struct nbd_reply_wire wire;
    assert_true(receive(&wire, sizeof wire));
    assert_int_equal(get_be32(wire.magic), NBD_REPLY_MAGIC_VALUE);
    assert_int_equal(get_be64(wire.handle), handle);
    return get_be32(wire.error);
}

static bool silent(void)
{
    uint8_t byte;
    turn();
    return recv(kernel, &byte, 1, MSG_DONTWAIT) < 0;
}

static void write_is_good(uint64_t offset, uint32_t length, uint64_t handle)
{
    ask(NBD_TYPE_WRITE, offset, length, handle);
    send_all(data, length);
    assert_int_equal(reply(handle), NBD_OK);
    assert_memory_equal(ram_block(&bench.ram, offset / RAM_BLOCK_BYTES), data, length);
}

static void read_is_good(uint64_t offset, uint32_t length, uint64_t handle)
{
    ask(NBD_TYPE_READ, offset, length, handle);
    assert_int_equal(reply(handle), NBD_OK);
    assert_true(receive(got, length));
    assert_memory_equal(got, ram_block(&bench.ram, offset / RAM_BLOCK_BYTES), length);
}

static void works(void)
{
    write_is_good(512 * 7, 4096, 0x1122334455667788u);
    read_is_good(512 * 7, 8192, 0xffeeddccbbaa9988u);
    assert_true(silent());
}

/* ---- tests ---- */

static void a_read_brings_the_data(void **state)
{
    (void)state;
    memcpy(ram_block(&bench.ram, 100), data, 4096);
    read_is_good(51200, 4096, 1);
    assert_memory_equal(got, data, 4096);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_READ_10);
}

static void a_write_is_on_the_disk_when_it_is_answered(void **state)
{
    (void)state;
    write_is_good(51200, 65536 + 512, 2);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_WRITE_10);
    assert_int_equal(bench.ram.seen[0].cdb[1], 0);
}

static void a_write_is_not_answered_before_the_target_has_it(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_WRITE, 0, 4096, 3);
    send_all(data, 4096);
    assert_true(silent());
    ram_let_go(&bench.ram, 1);
    assert_int_equal(reply(3), NBD_OK);
}

static void the_longest_requests_go_through(void **state)
{
    (void)state;
    write_is_good(1024, geometry.max_bytes, 4);
    read_is_good(1024, geometry.max_bytes, 5);
}

static void fua_goes_along(void **state)
{
    (void)state;
    struct nbd_request_wire wire = request(NBD_TYPE_WRITE, 0, 512, 6);
    put_be16(wire.flags, NBD_COMMAND_FUA);
    send_all(&wire, sizeof wire);
    send_all(data, 512);
    assert_int_equal(reply(6), NBD_OK);
    assert_int_equal(bench.ram.seen[0].cdb[1], 0x08);
}

static void a_flush_is_the_targets(void **state)
{
    (void)state;
    ask(NBD_TYPE_FLUSH, 0, 0, 7);
    assert_int_equal(reply(7), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 1);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_SYNCHRONIZE_CACHE_10);
}

static void begin_with_trim(uint32_t blocks)
{
    geometry.flags |= NBD_CAN_TRIM;
    geometry.trim_blocks = blocks;
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
}

static void a_trim_is_one_unmap(void **state)
{
    (void)state;
    begin_with_trim(4096);
    ask(NBD_TYPE_TRIM, 512 * 100, 512 * 50, 8);
    assert_int_equal(reply(8), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 1);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_UNMAP);
    assert_int_equal(bench.ram.seen[0].length_bytes, 24);
    const uint8_t *list = bench.ram.seen[0].iov_base;
    assert_int_equal(get_be16(list), 22);
    assert_int_equal(get_be16(list + 2), 16);
    assert_int_equal(get_be64(list + 8), 100);
    assert_int_equal(get_be32(list + 16), 50);
}

static void a_long_trim_is_several_unmaps(void **state)
{
    (void)state;
    begin_with_trim(40);
    ask(NBD_TYPE_TRIM, 512 * 100, 512 * 100, 9);
    assert_int_equal(reply(9), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 3);
    const uint8_t *list = bench.ram.seen[2].iov_base;
    assert_int_equal(get_be64(list + 8), 180);
    assert_int_equal(get_be32(list + 16), 20);
    works();
}

static void trim_without_unmap_is_refused(void **state)
{
    (void)state;
    assert_false(geometry.flags & NBD_CAN_TRIM);
    ask(NBD_TYPE_TRIM, 0, 4096, 10);
    assert_int_equal(reply(10), NBD_EINVAL);
    assert_int_equal(bench.ram.seen_count, 0);
}

/* The next command fails with this sense. */
static void plan_failure(struct sense_code sense)
{
    bench.ram.fail_number = 1;
    bench.ram.fail_last = 1;
    bench.ram.fail_status = SCSI_STATUS_CODE_CHECK_CONDITION;
    bench.ram.fail_sense = sense;
}

static void begin_with_zeroes(uint32_t blocks, bool unmaps)
{
    geometry.zero_blocks = blocks;
    geometry.zero_unmaps = unmaps;
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
}

static void ask_zeroes(uint64_t block, uint32_t blocks, uint16_t flags, uint64_t handle)
{
    struct nbd_request_wire wire =
        request(NBD_TYPE_WRITE_ZEROES, block * RAM_BLOCK_BYTES, blocks * RAM_BLOCK_BYTES, handle);
    put_be16(wire.flags, flags);
    memset(ram_block(&bench.ram, block), 0x5a, blocks * RAM_BLOCK_BYTES);
    send_all(&wire, sizeof wire);
}

/* And what is before and behind them is as it was. */
static void assert_zeroes(uint64_t block, uint32_t blocks)
{
    const uint8_t *at = ram_block(&bench.ram, block);
    uint32_t bytes = blocks * RAM_BLOCK_BYTES;
    assert_int_equal(at[0], 0);
    assert_memory_equal(at, at + 1, bytes - 1);
    assert_int_not_equal(at[-1] | at[-2], 0);
    assert_int_not_equal(at[bytes] | at[bytes + 1], 0);
}

static void zeroes_are_one_write_same(void **state)
{
    (void)state;
    begin_with_zeroes(4096, false);
    ask_zeroes(100, 50, 0, 8);
    assert_int_equal(reply(8), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 1);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_WRITE_SAME_10);
    assert_int_equal(bench.ram.seen[0].cdb[1], 0);
    assert_int_equal(bench.ram.seen[0].length_bytes, RAM_BLOCK_BYTES);
    assert_zeroes(100, 50);
    assert_int_equal(nbd_stats(nbd)->zeroes, 1);
}

static void many_zeroes_are_several_write_sames(void **state)
{
    (void)state;
    begin_with_zeroes(40, false);
    ask_zeroes(100, 100, 0, 9);
    assert_int_equal(reply(9), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 3);
    assert_int_equal(get_be16(bench.ram.seen[2].cdb + 7), 20);
    assert_zeroes(100, 100);
    works();
}

static void zeroes_may_be_unmapped_unless_the_kernel_forbids_it(void **state)
{
    (void)state;
    begin_with_zeroes(4096, true);
    ask_zeroes(100, 50, 0, 1);
    assert_int_equal(reply(1), NBD_OK);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_WRITE_SAME_16);
    assert_int_equal(bench.ram.seen[0].cdb[1], 0x08);
    assert_zeroes(100, 50);
    ask_zeroes(100, 50, NBD_COMMAND_NO_HOLE, 2);
    assert_int_equal(reply(2), NBD_OK);
    assert_int_equal(bench.ram.seen[1].cdb[0], OP_WRITE_SAME_10);
    assert_int_equal(bench.ram.seen[1].cdb[1], 0);
    assert_zeroes(100, 50);
}

static void zeroes_far_away_are_a_write_same_16(void **state)
{
    (void)state;
    geometry.bytes = UINT64_C(1) << 50;
    begin_with_zeroes(4096, false);
    ask(NBD_TYPE_WRITE_ZEROES, UINT64_C(1) << 48, 4096, 1);
    assert_int_equal(reply(1), NBD_EIO); /* it ends before that */
    assert_int_equal(bench.ram.seen_count, 1);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_WRITE_SAME_16);
    assert_int_equal(get_be64(bench.ram.seen[0].cdb + 2), UINT64_C(1) << 39);
    assert_int_equal(get_be32(bench.ram.seen[0].cdb + 10), 8);
}

static void zeroes_with_fua_are_flushed(void **state)
{
    struct nbd_request_wire wire = request(NBD_TYPE_WRITE_ZEROES, 0, 8192, 1);
    (void)state;
    begin_with_zeroes(8, false);
    put_be16(wire.flags, NBD_COMMAND_FUA);
    send_all(&wire, sizeof wire);
    assert_int_equal(reply(1), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 3);
    assert_int_equal(bench.ram.seen[1].cdb[0], OP_WRITE_SAME_10);
    assert_int_equal(bench.ram.seen[2].cdb[0], OP_SYNCHRONIZE_CACHE_10);
}

static void zeroes_are_written_where_write_same_is_refused(void **state)
{
    (void)state;
    begin_with_zeroes(4096, false);
    plan_failure((struct sense_code){SENSE_ILLEGAL_REQUEST, 0x20, 0});
    ask_zeroes(100, 300, 0, 1);
    assert_int_equal(reply(1), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 1 + 3);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(bench.ram.seen[i].cdb[0], OP_WRITE_10);
    assert_zeroes(100, 300);
    ask_zeroes(500, 8, 0, 2); /* and it is not tried again */
    assert_int_equal(reply(2), NBD_OK);
    assert_int_equal(bench.ram.seen[4].cdb[0], OP_WRITE_10);
    assert_zeroes(500, 8);
    works();
}

static void zeroes_of_several_requests_survive_the_refusal(void **state)
{
    (void)state;
    begin_with_zeroes(4096, false);
    bench.ram.same_blocks = 1;
    ask_zeroes(100, 8, 0, 1);
    ask_zeroes(200, 8, 0, 2);
    assert_int_equal(reply(1), NBD_OK);
    assert_int_equal(reply(2), NBD_OK);
    assert_zeroes(100, 8);
    assert_zeroes(200, 8);
}

static void zeroes_that_fail_are_an_error(void **state)
{
    (void)state;
    begin_with_zeroes(4096, false);
    plan_failure((struct sense_code){SENSE_MEDIUM_ERROR, 0x0c, 0});
    ask_zeroes(100, 8, NBD_COMMAND_FUA, 1);
    assert_int_equal(reply(1), NBD_EIO);
    assert_int_equal(bench.ram.seen_count, 1);
    works();
}

/* The kernel asks for it all the same after another process was behind the device. */
static void zeroes_are_written_to_a_disk_that_tells_of_no_write_same(void **state)
{
    (void)state;
    assert_false(geometry.flags & NBD_CAN_WRITE_ZEROES);
    ask_zeroes(100, 8, 0, 1);
    assert_int_equal(reply(1), NBD_OK);
    assert_int_equal(bench.ram.seen_count, 1);
    assert_int_equal(bench.ram.seen[0].cdb[0], OP_WRITE_10);
    assert_zeroes(100, 8);
}

static void a_failed_read_has_no_data(void **state)
{
    (void)state;
    plan_failure((struct sense_code){SENSE_MEDIUM_ERROR, 0x11, 0});
    ask(NBD_TYPE_READ, 0, 4096, 11);
    assert_int_equal(reply(11), NBD_EIO);
    assert_true(silent());
    assert_int_equal(nbd_stats(nbd)->errors, 1);
    works();
}

static void a_failed_write_takes_its_data_along(void **state)
{
    (void)state;
    plan_failure((struct sense_code){SENSE_MEDIUM_ERROR, 0x0c, 0});
    ask(NBD_TYPE_WRITE, 0, DATA_MAX, 12);
    send_all(data, DATA_MAX);
    assert_int_equal(reply(12), NBD_EIO);
    works();
}

static void write_protection_is_said(void **state)
{
    (void)state;
    plan_failure((struct sense_code){SENSE_DATA_PROTECT, 0x27, 0});
    ask(NBD_TYPE_WRITE, 0, 512, 13);
    send_all(data, 512);
    assert_int_equal(reply(13), NBD_EPERM);
}

static void a_thin_disk_that_is_full_says_so(void **state)
{
    (void)state;
    plan_failure((struct sense_code){SENSE_DATA_PROTECT, 0x27, 0x07});
    ask(NBD_TYPE_WRITE, 0, 512, 14);
    send_all(data, 512);
    assert_int_equal(reply(14), NBD_ENOSPC);
}

static void a_read_only_device_takes_no_write(void **state)
{
    (void)state;
    geometry.flags |= NBD_IS_READ_ONLY;
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
    ask(NBD_TYPE_WRITE, 0, 8192, 15);
    send_all(data, 8192);
    assert_int_equal(reply(15), NBD_EPERM);
    ask(NBD_TYPE_WRITE_ZEROES, 0, 8192, 17);
    assert_int_equal(reply(17), NBD_EPERM);
    assert_int_equal(bench.ram.seen_count, 0);
    read_is_good(0, 4096, 16);
}

static void what_is_not_on_the_disk_is_refused(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t length;
    } wrong[] = {
        {RAM_BLOCKS * 512, 512},
        {RAM_BLOCKS * 512 - 512, 1024},
        {UINT64_MAX - 511, 512},
        {UINT64_MAX - 511, 1024},
        {1, 512},
        {0, 513},
        {0, 0},
        {512, DATA_MAX + 512},
        {0, 0xfffffe00},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ask(NBD_TYPE_READ, wrong[i].offset, wrong[i].length, 17 + i);
        assert_int_equal(reply(17 + i), NBD_EINVAL);
    }
    assert_int_equal(bench.ram.seen_count, 0);
    works();
}

static void a_write_that_is_refused_takes_its_data_along(void **state)
{
    (void)state;
    ask(NBD_TYPE_WRITE, RAM_BLOCKS * 512, 70000, 18);
    send_all(data, 70000);
    assert_int_equal(reply(18), NBD_EINVAL);
    works();
}

static void an_unknown_request_is_refused(void **state)
{
    (void)state;
    ask(5, 0, 4096, 19);
    assert_int_equal(reply(19), NBD_EINVAL);
    ask(7, 0, 4096, 21);
    assert_int_equal(reply(21), NBD_EINVAL);
    ask(0xffff, 0, 0, 20);
    assert_int_equal(reply(20), NBD_EINVAL);
    works();
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct nbd_request_wire wire = request(NBD_TYPE_WRITE, 512, 512, 21);
    (void)state;
    for (size_t i = 0; i < sizeof wire; i++) {
        send_all((uint8_t *)&wire + i, 1);
        nbd_ready(nbd);
    }
    for (size_t i = 0; i < 512; i++) {
        send_all(data + i, 1);
        nbd_ready(nbd);
    }
    assert_int_equal(reply(21), NBD_OK);
    assert_memory_equal(ram_block(&bench.ram, 1), data, 512);
}

static void what_is_no_request_ends_it(void **state)
{
    struct nbd_request_wire wire = request(NBD_TYPE_READ, 0, 512, 22);
    (void)state;
    wire.magic[3]++;
    send_all(&wire, sizeof wire);
    turn();
    assert_int_equal(ends, 1);
    assert_int_equal(nbd_events(nbd), 0);
}

static void the_kernel_disconnects(void **state)
{
    (void)state;
    ask(NBD_TYPE_DISCONNECT, 0, 0, 0);
    turn();
    assert_int_equal(ends, 1);
}

static void the_kernel_closes_the_socket(void **state)
{
    (void)state;
    shutdown(kernel, SHUT_RDWR);
    turn();
    assert_int_equal(ends, 1);
}

/* Of a mebibyte each, a multiple of what the pool holds. */
static void more_than_there_is_room_for_waits_in_the_socket(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        ask(NBD_TYPE_READ, (uint64_t)i * 512, DATA_MAX, 100 + i);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(reply(100 + i), NBD_OK);
        assert_true(receive(got, DATA_MAX));
        assert_memory_equal(got, ram_block(&bench.ram, i), DATA_MAX);
    }
    works();
}

static void several_are_at_the_target_at_a_time(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    for (unsigned i = 0; i < 8; i++)
        ask(NBD_TYPE_READ, (uint64_t)i * 4096, 4096, i);
    turn();
    assert_int_equal(bench.ram.outstanding, 8);
    assert_int_equal(nbd_stats(nbd)->outstanding, 8);
    bench.ram.hold_from = 0;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(reply(i), NBD_OK);
        assert_true(receive(got, 4096));
    }
}

static void replies_come_in_the_order_of_the_target(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_READ, 0, 512, 1);
    ask(NBD_TYPE_READ, 512, 512, 2);
    turn();
    ram_let_go(&bench.ram, 2);
    assert_int_equal(reply(2), NBD_OK);
    assert_true(receive(got, 512));
    assert_true(silent());
    ram_let_go(&bench.ram, 1);
    assert_int_equal(reply(1), NBD_OK);
    assert_true(receive(got, 512));
}

static void a_kernel_that_does_not_read_is_waited_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        ask(NBD_TYPE_READ, 0, DATA_MAX, i);
    turn();
    assert_true(nbd_events(nbd) & POLLOUT);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(reply(i), NBD_OK);
        assert_true(receive(got, DATA_MAX));
    }
    assert_int_equal(nbd_events(nbd), POLLIN);
}

static void an_outage_is_only_a_pause(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_READ, 4096, 8192, 1);
    ask(NBD_TYPE_WRITE, 65536, 8192, 2);
    send_all(data, 8192);
    turn();
    ram_lose(&bench.ram, "gone");
    bench_pass(&bench, 300 * UINT64_C(1000000));
    ask(NBD_TYPE_FLUSH, 0, 0, 3);
    assert_true(silent());
    bench.ram.hold_from = 0;
    ram_up(&bench.ram);
    assert_int_equal(reply(1), NBD_OK);
    assert_true(receive(got, 8192));
    assert_int_equal(reply(2), NBD_OK);
    assert_int_equal(reply(3), NBD_OK);
    assert_memory_equal(ram_block(&bench.ram, 128), data, 8192);
}

static void a_disk_that_grew_is_no_error(void **state)
{
    (void)state;
    ram_lose(&bench.ram, "gone");
    bench.ram.blocks += 64;
    ram_up(&bench.ram);
    works();
}

static void another_disk_behind_the_name_fails_everything(void **state)
{
    (void)state;
    write_is_good(0, 4096, 1);
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_WRITE, 4096, 4096, 2);
    send_all(data, 4096);
    turn();
    ram_lose(&bench.ram, "gone");
    bench.ram.hold_from = 0;
    bench.ram.serial = "ANOTHER1";
    memset(ram_block(&bench.ram, 8), 0, 4096);
    ram_up(&bench.ram);
    assert_int_equal(reply(2), NBD_EIO);
    ask(NBD_TYPE_READ, 0, 512, 3);
    assert_int_equal(reply(3), NBD_EIO);
    assert_int_equal(*ram_block(&bench.ram, 9), 0);
}

/* tear_down() looks for what is missing. */
static void what_is_under_way_is_given_up_at_the_end(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_READ, 0, DATA_MAX, 1);
    ask(NBD_TYPE_FLUSH, 0, 0, 2);
    ask(NBD_TYPE_WRITE, 0, 65536, 3);
    send_all(data, 1000);
    turn();
}

static void a_front_end_that_takes_over_goes_on(void **state)
{
    (void)state;
    bench.ram.hold_from = 1;
    ask(NBD_TYPE_WRITE, 0, 4096, 1);
    send_all(data, 4096);
    turn();
    close_nbd();
    bench.ram.hold_from = 0;
    open_nbd();
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
    ask(NBD_TYPE_WRITE, 0, 4096, 1);
    send_all(data, 4096);
    assert_int_equal(reply(1), NBD_OK);
    works();
}

static void nothing_is_taken_before_the_begin(void **state)
{
    (void)state;
    close_nbd();
    open_nbd();
    ask(NBD_TYPE_READ, 0, 512, 1);
    assert_int_equal(nbd_events(nbd), 0);
    assert_true(silent());
    nbd_begin(nbd, &geometry, LUN_SEGMENT);
    assert_int_equal(reply(1), NBD_OK);
    assert_true(receive(got, 512));
}

/* ---- the device ---- */

static struct disk_identity plain_disk(void)
{
    struct disk_identity disk;
    memset(&disk, 0xa5, sizeof disk);
    disk.vpd_count = 0;
    memset(disk.capacity16, 0, sizeof disk.capacity16);
    disk.blocks = 1000;
    disk.block_bytes = 4096;
    disk.write_protected = disk.dpofua = disk.has_caching_page = false;
    return disk;
}

static void the_device_has_the_disks_size(void **state)
{
    struct disk_identity disk = plain_disk();
    struct nbd_geometry g = nbd_describe(&disk, 65536, false);
    (void)state;
    assert_int_equal(g.bytes, 4096000);
    assert_int_equal(g.block_bytes, 4096);
    assert_int_equal(g.max_bytes, 262144);
    assert_int_equal(g.flags, NBD_CAN_FLAGS);
}

static void a_write_cache_is_flushed(void **state)
{
    struct disk_identity disk = plain_disk();
    (void)state;
    disk.has_caching_page = true;
    disk.caching_page[2] = 0x04;
    assert_int_equal(nbd_describe(&disk, 65536, false).flags, NBD_CAN_FLAGS | NBD_CAN_FLUSH);
    disk.dpofua = true;
    assert_int_equal(nbd_describe(&disk, 65536, false).flags,
                     NBD_CAN_FLAGS | NBD_CAN_FLUSH | NBD_CAN_FUA);
    disk.caching_page[2] = 0;
    assert_int_equal(nbd_describe(&disk, 65536, false).flags, NBD_CAN_FLAGS);
}

static void a_protected_disk_is_read_only(void **state)
{
    struct disk_identity disk = plain_disk();
    (void)state;
    assert_true(nbd_describe(&disk, 65536, true).flags & NBD_IS_READ_ONLY);
    disk.write_protected = true;
    assert_true(nbd_describe(&disk, 65536, false).flags & NBD_IS_READ_ONLY);
}

static void a_thin_disk_has_trim(void **state)
{
    struct disk_identity disk = plain_disk();
    (void)state;
    disk.capacity16[14] = 0x80;
    disk.vpd_count = 2;
    disk.vpd[0] = (struct disk_vpd){.code = 0xb0, .bytes = 64};
    put_be32(disk.vpd[0].data + 20, 8192);
    put_be32(disk.vpd[0].data + 24, 1);
    disk.vpd[1] = (struct disk_vpd){.code = 0xb2, .bytes = 8};
    disk.vpd[1].data[5] = 0x80;
    assert_true(nbd_describe(&disk, 65536, false).flags & NBD_CAN_TRIM);
    assert_int_equal(nbd_describe(&disk, 65536, false).trim_blocks, 8192);
    disk.vpd[1].data[5] = 0;
    assert_false(nbd_describe(&disk, 65536, false).flags & NBD_CAN_TRIM);
    disk.vpd[1].data[5] = 0x80;
    disk.vpd[0].bytes = 20;
    assert_false(nbd_describe(&disk, 65536, false).flags & NBD_CAN_TRIM);
    disk.vpd[0].bytes = 64;
    disk.capacity16[14] = 0;
    assert_int_equal(nbd_describe(&disk, 65536, false).trim_blocks, 0);
}

static void a_disk_with_write_same_takes_zeroes(void **state)
{
    struct disk_identity disk = plain_disk();
    struct nbd_geometry g;
    (void)state;
    assert_int_equal(nbd_describe(&disk, 65536, false).zero_blocks, 0);
    disk.vpd_count = 2;
    disk.vpd[0] = (struct disk_vpd){.code = 0xb0, .bytes = 64};
    put_be64(disk.vpd[0].data + 36, 2048);
    disk.vpd[1] = (struct disk_vpd){.code = 0xb2, .bytes = 8};
    g = nbd_describe(&disk, 65536, false);
    assert_true(g.flags & NBD_CAN_WRITE_ZEROES);
    assert_int_equal(g.zero_blocks, 2048);
    assert_false(g.zero_unmaps);
    put_be64(disk.vpd[0].data + 36, UINT64_MAX);
    assert_int_equal(nbd_describe(&disk, 65536, false).zero_blocks, 8192);
    disk.vpd[0].bytes = 43;
    assert_false(nbd_describe(&disk, 65536, false).flags & NBD_CAN_WRITE_ZEROES);
}

static void a_thin_disk_takes_zeroes_and_may_unmap_them(void **state)
{
    struct disk_identity disk = plain_disk();
    (void)state;
    disk.capacity16[14] = 0x80;
    disk.vpd_count = 1;
    disk.vpd[0] = (struct disk_vpd){.code = 0xb2, .bytes = 8};
    disk.vpd[0].data[5] = 0x40; /* what is unmapped may read as anything */
    assert_int_equal(nbd_describe(&disk, 65536, false).zero_blocks, 8192);
    assert_false(nbd_describe(&disk, 65536, false).zero_unmaps);
    disk.vpd[0].data[5] = 0x24; /* not by WRITE SAME(16) */
    assert_int_equal(nbd_describe(&disk, 65536, false).zero_blocks, 8192);
    assert_false(nbd_describe(&disk, 65536, false).zero_unmaps);
    disk.vpd[0].data[5] = 0x44;
    assert_true(nbd_describe(&disk, 65536, false).zero_unmaps);
    disk.capacity16[14] = 0;
    assert_int_equal(nbd_describe(&disk, 65536, false).zero_blocks, 0);
    assert_false(nbd_describe(&disk, 65536, false).zero_unmaps);
}

#define NBD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NBD_TEST(a_read_brings_the_data),
        NBD_TEST(a_write_is_on_the_disk_when_it_is_answered),
        NBD_TEST(a_write_is_not_answered_before_the_target_has_it),
        NBD_TEST(the_longest_requests_go_through),
        NBD_TEST(fua_goes_along),
        NBD_TEST(a_flush_is_the_targets),
        NBD_TEST(a_trim_is_one_unmap),
        NBD_TEST(a_long_trim_is_several_unmaps),
        NBD_TEST(trim_without_unmap_is_refused),
        NBD_TEST(zeroes_are_one_write_same),
        NBD_TEST(many_zeroes_are_several_write_sames),
        NBD_TEST(zeroes_may_be_unmapped_unless_the_kernel_forbids_it),
        NBD_TEST(zeroes_far_away_are_a_write_same_16),
        NBD_TEST(zeroes_with_fua_are_flushed),
        NBD_TEST(zeroes_are_written_where_write_same_is_refused),
        NBD_TEST(zeroes_of_several_requests_survive_the_refusal),
        NBD_TEST(zeroes_that_fail_are_an_error),
        NBD_TEST(zeroes_are_written_to_a_disk_that_tells_of_no_write_same),
        NBD_TEST(a_failed_read_has_no_data),
        NBD_TEST(a_failed_write_takes_its_data_along),
        NBD_TEST(write_protection_is_said),
        NBD_TEST(a_thin_disk_that_is_full_says_so),
        NBD_TEST(a_read_only_device_takes_no_write),
        NBD_TEST(what_is_not_on_the_disk_is_refused),
        NBD_TEST(a_write_that_is_refused_takes_its_data_along),
        NBD_TEST(an_unknown_request_is_refused),
        NBD_TEST(a_request_may_come_byte_by_byte),
        NBD_TEST(what_is_no_request_ends_it),
        NBD_TEST(the_kernel_disconnects),
        NBD_TEST(the_kernel_closes_the_socket),
        NBD_TEST(more_than_there_is_room_for_waits_in_the_socket),
        NBD_TEST(several_are_at_the_target_at_a_time),
        NBD_TEST(replies_come_in_the_order_of_the_target),
        NBD_TEST(a_kernel_that_does_not_read_is_waited_for),
        NBD_TEST(an_outage_is_only_a_pause),
        NBD_TEST(a_disk_that_grew_is_no_error),
        NBD_TEST(another_disk_behind_the_name_fails_everything),
        NBD_TEST(what_is_under_way_is_given_up_at_the_end),
        NBD_TEST(a_front_end_that_takes_over_goes_on),
        NBD_TEST(nothing_is_taken_before_the_begin),
        cmocka_unit_test(the_device_has_the_disks_size),
        cmocka_unit_test(a_write_cache_is_flushed),
        cmocka_unit_test(a_protected_disk_is_read_only),
        cmocka_unit_test(a_thin_disk_has_trim),
        cmocka_unit_test(a_disk_with_write_same_takes_zeroes),
        cmocka_unit_test(a_thin_disk_takes_zeroes_and_may_unmap_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
