/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole line in one process: a host's packets on a scripted USB port, BOT,
 * the logical unit, the session, a relay that writes down what is on the wire,
 * and a real tgtd.
 */
#include "bench.h"
#include "bridge/bytes.h"
#include "bridge/lun.h"
#include "gadget/bot.h"
#include "gadget/bot_wire.h"
#include "tests/unit/script_port.h"
#include "wire_tap.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLICES        32u
#define PACKET_BYTES  512
#define ANSWER_MS     10000
#define CSW_PASSED    0
#define CSW_FAILED    1
#define BUFFERS_TO_BE 64u

static struct {
    struct deferred_list deferred;
    struct script_port port;
    struct usb_port_ops ops; /* the port's, with an eye on the buffers */
    const struct usb_port_ops *real;
    const uint8_t *out_buffers[BUFFERS_TO_BE];
    const uint8_t *in_buffers[BUFFERS_TO_BE];
    unsigned outs, ins;
    struct pool pool;
    struct session *session;
    struct lun *lun;
    struct bot *bot;
    struct wire_tap tap;
    uint32_t tag;
} line;

static _Alignas(4096) uint8_t arena[SLICES * POOL_SLICE_BYTES];
static uint8_t data[262144];
static uint8_t copy[262144];
static uint32_t segment_bytes; /* 0: the default */

static void on_log(enum lun_log_level level, const char *text)
{
    if (getenv("TARGET_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", level, text);
}

static int watch_submit(struct usb_port *usb, struct usb_req *req)
{
    if (req->endpoint == USB_OUT)
        line.out_buffers[line.outs++ % BUFFERS_TO_BE] = req->buf;
    else
        line.in_buffers[line.ins++ % BUFFERS_TO_BE] = req->buf;
    return line.real->submit(usb, req);
}

/* ---- the event loop ---- */

static void pump(void)
{
    struct pollfd fd = {session_fd(line.session), session_poll_events(line.session), 0};
    uint64_t now;

    poll(&fd, 1, deferred_pending(&line.deferred) ? 0 : 5);
    if (fd.revents != 0)
        session_service(line.session, fd.revents);
    script_port_turn(&line.port);
    now = bench_now_us();
    if (now >= session_next_timeout_us(line.session))
        session_run_timeouts(line.session);
    if (now >= lun_next_timeout_us(line.lun))
        lun_run_timeouts(line.lun);
}

static bool pump_until(bool (*met)(void), unsigned limit_ms)
{
    uint64_t end_us = bench_now_us() + (uint64_t)limit_ms * 1000;

    while (!met()) {
        if (bench_now_us() >= end_us)
            return false;
        pump();
    }
    return true;
}

static bool disk_is_there(void)
{
    return lun_stats(line.lun)->session_up;
}

static bool is_stopped(void)
{
    return session_stopped(line.session) && !deferred_pending(&line.deferred);
}

static bool is_idle(void)
{
    return bot_idle(line.bot) && !deferred_pending(&line.deferred);
}

static void plug_in(const char *name)
{
    struct bot_config bot_config = {.port = &line.port.usb,
                                    .deferred = &line.deferred,
                                    .luns = &line.lun,
                                    .lun_count = 1,
                                    .now_us = bench_now_us,
                                    .log = on_log};
    struct lun_config lun_config = {.deferred = &line.deferred,
                                    .pool = &line.pool,
                                    .now_us = bench_now_us,
                                    .log = on_log,
                                    .answer_within_ms = ANSWER_MS,
                                    .segment_bytes = segment_bytes};

    bench_prepare(name);
    memset(&line, 0, sizeof(line));
    deferred_list_init(&line.deferred);
    line.tap = wire_tap_start((uint16_t)fixture_port());
    bench.config.address.port = line.tap.port;
    bench.config.deferred = &line.deferred;
    memset(arena, 0xee, sizeof(arena));
    pool_init(&line.pool, arena, SLICES);
    line.session = session_create(&bench.config);
    assert_non_null(line.session);
    lun_config.backend = session_backend(line.session);
    line.lun = lun_create(&lun_config);
    assert_non_null(line.lun);
    script_port_init(&line.port, &line.deferred);
    line.real = line.port.usb.ops;
    line.ops = *line.real;
    line.ops.submit = watch_submit;
    line.port.usb.ops = &line.ops;
    line.bot = bot_create(&bot_config);
    assert_non_null(line.bot);
    session_start(line.session);
    assert_true(pump_until(disk_is_there, 10000));
    script_port_enable(&line.port, USB_SPEED_HIGH, PACKET_BYTES);
    script_port_turn(&line.port);
}

static int unplug(void **state)
{
    (void)state;
    if (line.session == NULL)
        return 0;
    script_port_disable(&line.port);
    assert_true(pump_until(is_idle, 5000));
    session_stop(line.session);
    assert_true(pump_until(is_stopped, 5000));
    bot_destroy(line.bot);
    lun_destroy(line.lun);
    session_destroy(line.session);
    wire_tap_stop(&line.tap);
    memset(&line, 0, sizeof(line));
    return 0;
}

/* ---- the host ---- */

static uint32_t host_reads(void *bytes, uint32_t count)
{
    uint64_t end_us = bench_now_us() + UINT64_C(20000000);
    uint32_t got = 0;

    for (;;) {
        struct host_result result = host_in(&line.port, (uint8_t *)bytes + got, count - got);
        got += result.bytes;
        if (result.end == HOST_DONE)
            return got;
        assert_int_equal(result.end, HOST_NAK);
        assert_true(bench_now_us() < end_us);
        pump();
    }
}

static void host_writes(const void *bytes, uint32_t count)
{
    uint64_t end_us = bench_now_us() + UINT64_C(20000000);
    uint32_t done = 0;

    for (;;) {
        struct host_result result =
            host_out(&line.port, (const uint8_t *)bytes + done, count - done);
        done += result.bytes;
        if (result.end == HOST_DONE)
            return;
        assert_int_equal(result.end, HOST_NAK);
        assert_true(bench_now_us() < end_us);
        pump();
    }
}

/* One command: CBW, data, CSW. Returns the status of the CSW. */
static uint8_t host_command(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir, void *bytes,
                            uint32_t count, uint32_t *moved)
{
    struct bot_cbw_wire cbw;
    struct bot_csw_wire csw;
    uint32_t got = count;

    memset(&cbw, 0, sizeof(cbw));
    put_le32(cbw.signature, BOT_CBW_SIGNATURE);
    put_le32(cbw.tag, ++line.tag);
    put_le32(cbw.length, count);
    cbw.flags = dir == SCSI_DIR_IN ? BOT_CBW_FLAG_IN : 0;
    cbw.cb_bytes = cdb_bytes;
    memcpy(cbw.cb, cdb, cdb_bytes);
    host_writes(&cbw, sizeof(cbw));
    if (dir == SCSI_DIR_OUT)
        host_writes(bytes, count);
    if (dir == SCSI_DIR_IN)
        got = host_reads(bytes, count);
    assert_int_equal(host_reads(&csw, sizeof(csw)), sizeof(csw));
    assert_int_equal(get_le32(csw.signature), BOT_CSW_SIGNATURE);
    assert_int_equal(get_le32(csw.tag), line.tag);
    assert_true(get_le32(csw.residue) <= count);
    assert_true(dir != SCSI_DIR_IN || count - get_le32(csw.residue) <= got);
    if (moved != NULL)
        *moved = count - get_le32(csw.residue);
    return csw.status;
}

static uint8_t host_io(bool write, uint32_t lba, void *bytes, uint32_t count)
{
    uint8_t cdb[10] = {write ? 0x2a : 0x28};

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, (uint16_t)(count / 512));
    return host_command(cdb, 10, write ? SCSI_DIR_OUT : SCSI_DIR_IN, bytes, count, NULL);
}

static void image_io(const char *name, bool write, off_t offset, uint8_t *bytes, size_t count)
{
    char path[400];
    int fd;

    snprintf(path, sizeof(path), "%s/%s.img", fixture_dir(), name);
    fd = open(path, write ? O_WRONLY : O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(write ? pwrite(fd, bytes, count, offset) : pread(fd, bytes, count, offset),
                     (ssize_t)count);
    close(fd);
}

static void fill(uint8_t *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}

/* ---- what the wire saw ---- */

/* The commands since `from` with this operation code. */
static unsigned wire_count(unsigned from, uint8_t code)
{
    unsigned found = 0;

    for (unsigned i = from; i < line.tap.log->count; i++)
        if (line.tap.log->commands[i].cdb[0] == code)
            found++;
    return found;
}

static const struct wire_command *wire_only(unsigned from, uint8_t code)
{
    const struct wire_command *command = NULL;

    assert_int_equal(wire_count(from, code), 1);
    for (unsigned i = from; i < line.tap.log->count; i++)
        if (line.tap.log->commands[i].cdb[0] == code)
            command = &line.tap.log->commands[i];
    return command;
}

/* The command of the host is on the wire once, byte for byte. */
static void passed_unchanged(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir, void *bytes,
                             uint32_t count, uint8_t status)
{
    unsigned before = line.tap.log->count;
    uint8_t padded[16] = {0};
    const struct wire_command *command;

    assert_int_equal(host_command(cdb, cdb_bytes, dir, bytes, count, NULL), status);
    command = wire_only(before, cdb[0]);
    memcpy(padded, cdb, cdb_bytes);
    assert_memory_equal(command->cdb, padded, sizeof(padded));
    assert_int_equal(command->expected_bytes, count);
    assert_int_equal(command->flags & 0x60, dir == SCSI_DIR_IN    ? 0x40
                                            : dir == SCSI_DIR_OUT ? 0x20
                                                                  : 0);
}

/* ---- tests ---- */

static void a_read_of_120_kib_comes_from_the_image_in_segments(void **state)
{
    const uint32_t bytes = 120 * 1024;
    unsigned before;
    unsigned blocks = 0;

    (void)state;
    fill(data, bytes, 3);
    image_io("plain", true, 512 * 1000, data, bytes);
    plug_in("plain");
    before = line.tap.log->count;
    memset(copy, 0, bytes);
    assert_int_equal(host_io(false, 1000, copy, bytes), CSW_PASSED);
    assert_memory_equal(copy, data, bytes);
    assert_true(wire_count(before, 0x28) >= 2);
    for (unsigned i = before; i < line.tap.log->count; i++) {
        const uint8_t *cdb = line.tap.log->commands[i].cdb;
        if (cdb[0] != 0x28)
            continue;
        assert_int_equal(get_be32(cdb + 2), 1000 + blocks);
        blocks += get_be16(cdb + 7);
    }
    assert_int_equal(blocks, 240);
}

static void a_write_of_120_kib_is_on_the_image_at_its_status(void **state)
{
    const uint32_t bytes = 120 * 1024;
    unsigned before;

    (void)state;
    plug_in("plain");
    before = line.tap.log->count;
    fill(data, bytes, 5);
    assert_int_equal(host_io(true, 2000, data, bytes), CSW_PASSED);
    image_io("plain", false, 512 * 2000, copy, bytes);
    assert_memory_equal(copy, data, bytes);
    assert_true(wire_count(before, 0x2a) >= 2);
}

static void many_reads_and_writes_keep_their_data(void **state)
{
    (void)state;
    plug_in("plain");
    for (unsigned i = 0; i < 60; i++) {
        uint32_t bytes = 512 * (1 + i * 37 % 256);
        uint32_t lba = i * 331 % 20000;
        fill(data, bytes, i);
        assert_int_equal(host_io(true, lba, data, bytes), CSW_PASSED);
        image_io("plain", false, (off_t)lba * 512, copy, bytes);
        assert_memory_equal(copy, data, bytes);
        memset(copy, 0, bytes);
        assert_int_equal(host_io(false, lba, copy, bytes), CSW_PASSED);
        assert_memory_equal(copy, data, bytes);
    }
}

static bool among(const uint8_t *const *buffers, unsigned count, const void *address)
{
    for (unsigned i = 0; i < count && i < BUFFERS_TO_BE; i++)
        if (buffers[i] == address)
            return true;
    return false;
}

static void reads_use_one_buffer_from_network_to_usb(void **state)
{
    (void)state;
    plug_in("plain");
    line.ins = 0;
    assert_int_equal(host_io(false, 0, copy, 4096), CSW_PASSED);
    assert_true(among(line.in_buffers, line.ins, session_stats(line.session)->last_iov_base));
}

static void writes_use_one_buffer_from_usb_to_network(void **state)
{
    (void)state;
    plug_in("plain");
    line.outs = 0;
    assert_int_equal(host_io(true, 0, data, 4096), CSW_PASSED);
    assert_true(among(line.out_buffers, line.outs, session_stats(line.session)->last_iov_base));
}

/* What zero_copy.sh counts the instructions of: N_TRANSFERS writes and as many
 * reads of ZERO_COPY_BYTES, each in one segment, whatever its size. */
#define N_TRANSFERS 32

__attribute__((noinline)) void zero_copy_transfers(uint32_t bytes);

__attribute__((noinline)) void zero_copy_transfers(uint32_t bytes)
{
    for (uint32_t i = 0; i < N_TRANSFERS; i++) {
        assert_int_equal(host_io(true, i * 128, data, bytes), CSW_PASSED);
        assert_int_equal(host_io(false, i * 128, copy, bytes), CSW_PASSED);
    }
}

static void transfers_of_one_segment(void **state)
{
    const char *text = getenv("ZERO_COPY_BYTES");
    uint32_t bytes = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : POOL_SLICE_BYTES;
    unsigned before;

    (void)state;
    segment_bytes = POOL_SLICE_BYTES;
    plug_in("plain");
    segment_bytes = 0;
    fill(data, bytes, 41);
    before = line.tap.log->count;
    zero_copy_transfers(bytes);
    assert_memory_equal(copy, data, bytes);
    assert_int_equal(wire_count(before, 0x28), N_TRANSFERS);
    assert_int_equal(wire_count(before, 0x2a), N_TRANSFERS);
}

static void verify_passes_unchanged(void **state)
{
    const uint8_t cdb[10] = {0x2f, 0x10, 0, 0, 0, 9, 0, 0, 8, 0};

    (void)state;
    plug_in("plain");
    passed_unchanged(cdb, 10, SCSI_DIR_NONE, NULL, 0, CSW_PASSED);
}

static void verify_with_bytes_to_compare_passes_unchanged(void **state)
{
    const uint8_t cdb[10] = {0x2f, 0x02, 0, 0, 0, 16, 0, 0, 2, 0};

    (void)state;
    fill(data, 1024, 11);
    image_io("plain", true, 512 * 16, data, 1024);
    plug_in("plain");
    passed_unchanged(cdb, 10, SCSI_DIR_OUT, data, 1024, CSW_PASSED);
    data[1000] ^= 1;
    passed_unchanged(cdb, 10, SCSI_DIR_OUT, data, 1024, CSW_FAILED);
}

static void unmap_passes_unchanged(void **state)
{
    const uint8_t cdb[10] = {0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0};
    uint8_t list[24] = {0, 22, 0, 16};

    (void)state;
    fill(data, 4096, 12);
    image_io("thin", true, 4096, data, 4096);
    plug_in("thin");
    put_be64(list + 8, 8);
    put_be32(list + 16, 8);
    passed_unchanged(cdb, 10, SCSI_DIR_OUT, list, 24, CSW_PASSED);
    image_io("thin", false, 4096, copy, 4096);
    memset(data, 0, 4096);
    assert_memory_equal(copy, data, 4096);
}

static void write_same_passes_unchanged(void **state)
{
    uint8_t cdb[16] = {0x93};

    (void)state;
    plug_in("plain");
    put_be64(cdb + 2, 40);
    put_be32(cdb + 10, 8);
    fill(data, 512, 13);
    passed_unchanged(cdb, 16, SCSI_DIR_OUT, data, 512, CSW_PASSED);
    image_io("plain", false, 512 * 40, copy, 4096);
    for (unsigned i = 0; i < 8; i++)
        assert_memory_equal(copy + (size_t)512 * i, data, 512);
}

static void an_unknown_opcode_passes_unchanged_and_brings_the_targets_sense(void **state)
{
    const uint8_t cdb[12] = {0xc7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const uint8_t request_sense[6] = {0x03, 0, 0, 0, 18, 0};
    struct sense_code code;
    uint32_t moved;

    (void)state;
    plug_in("plain");
    passed_unchanged(cdb, 12, SCSI_DIR_NONE, NULL, 0, CSW_FAILED);
    assert_int_equal(host_command(request_sense, 6, SCSI_DIR_IN, copy, 18, &moved), CSW_PASSED);
    assert_true(sense_parse(copy, moved, &code));
    assert_true(sense_code_equal(code, sense_invalid_opcode));
}

static void sense_of_an_address_out_of_range_is_the_targets_own(void **state)
{
    const uint8_t read10[10] = {0x28, 0, 0x0f, 0, 0, 0, 0, 0, 1, 0};
    const uint8_t request_sense[6] = {0x03, 0, 0, 0, 18, 0};
    struct iovec iov = {data, 512};
    struct scsi_outcome own;
    uint32_t moved;

    (void)state;
    bench_prepare("plain");
    bench_open();
    assert_true(bench_until(bench_is_up, 5000));
    bench_settle();
    own = bench_command(read10, 10, SCSI_DIR_IN, &iov, 1)->cmd.outcome;
    bench_close();
    assert_int_equal(own.status, SCSI_STATUS_CODE_CHECK_CONDITION);

    plug_in("plain");
    passed_unchanged(read10, 10, SCSI_DIR_IN, copy, 512, CSW_FAILED);
    assert_int_equal(host_command(request_sense, 6, SCSI_DIR_IN, copy, 18, &moved), CSW_PASSED);
    assert_int_equal(moved, 18);
    assert_memory_equal(copy, own.sense, 18);
}

static void a_disk_of_4096_byte_blocks_reads_and_writes(void **state)
{
    uint8_t write10[10] = {0x2a, 0, 0, 0, 0, 3, 0, 0, 30, 0};
    uint8_t read10[10] = {0x28, 0, 0, 0, 0, 3, 0, 0, 30, 0};

    (void)state;
    plug_in("big4k");
    fill(data, 30 * 4096, 21);
    assert_int_equal(host_command(write10, 10, SCSI_DIR_OUT, data, 30 * 4096, NULL), CSW_PASSED);
    image_io("big4k", false, (off_t)3 * 4096, copy, (size_t)30 * 4096);
    assert_memory_equal(copy, data, 30 * 4096);
    memset(copy, 0, sizeof(copy));
    assert_int_equal(host_command(read10, 10, SCSI_DIR_IN, copy, 30 * 4096, NULL), CSW_PASSED);
    assert_memory_equal(copy, data, 30 * 4096);
}

static void a_write_goes_on_when_the_target_comes_back(void **state)
{
    (void)state;
    plug_in("plain");
    fill(data, 65536, 31);
    fixture("kill");
    for (unsigned i = 0; i < 20; i++)
        pump();
    fixture("restart");
    assert_int_equal(host_io(true, 4000, data, 65536), CSW_PASSED);
    image_io("plain", false, (off_t)4000 * 512, copy, 65536);
    assert_memory_equal(copy, data, 65536);
    assert_int_equal(session_stats(line.session)->losses, 1);
}

#define TEST(function) cmocka_unit_test_teardown(function, unplug)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_of_120_kib_comes_from_the_image_in_segments),
        TEST(a_write_of_120_kib_is_on_the_image_at_its_status),
        TEST(many_reads_and_writes_keep_their_data),
        TEST(reads_use_one_buffer_from_network_to_usb),
        TEST(writes_use_one_buffer_from_usb_to_network),
        TEST(transfers_of_one_segment),
        TEST(verify_passes_unchanged),
        TEST(verify_with_bytes_to_compare_passes_unchanged),
        TEST(unmap_passes_unchanged),
        TEST(write_same_passes_unchanged),
        TEST(an_unknown_opcode_passes_unchanged_and_brings_the_targets_sense),
        TEST(sense_of_an_address_out_of_range_is_the_targets_own),
        TEST(a_disk_of_4096_byte_blocks_reads_and_writes),
        TEST(a_write_goes_on_when_the_target_comes_back),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bridge", tests, NULL, NULL);
}
