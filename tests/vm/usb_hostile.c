/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usb_hostile COUNT SEED: a USB host that does COUNT things at random: CBWs good
 * and bad, data of any length, aborted transfers, halts, resets, a target that
 * stands still for a while (LUNSTICK_FREEZER, freezer.h). After every few of
 * them it becomes honest, recovers, and the disk has to work within 10 s.
 *
 * Whatever arrives has to belong to a command since the last reset: each block
 * to a READ of its address, in a version that may be there, each CSW to a CBW
 * that was not answered yet. Writes the beginning of the disk. Prints the seed
 * and, when something is wrong, what it did last; exit status 0 or 1.
 */
#include "bridge/bytes.h"
#include "freezer.h"
#include "usb_disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MS   20000
#define IN_BYTES  (128 * 1024)
#define SENT_MAX  64
#define TRACE_MAX 48

/* ---- chance ---- */

static uint32_t seed;

static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

static bool one_in(uint32_t n)
{
    return random_below(n) == 0;
}

/* ---- what was done ---- */

static char trace_lines[TRACE_MAX][96];
static unsigned trace_next;
static struct {
    unsigned things, recoveries, blocks, csws, late_answers, resets, replugs, freezes;
    uint64_t longest_ms;
} counts;

static void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void trace(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(trace_lines[trace_next++ % TRACE_MAX], sizeof(trace_lines[0]), format, args);
    va_end(args);
}

/* ---- what may arrive ---- */

/* The CBWs since the last reset. */
static struct sent {
    uint32_t tag, declared, lba;
    uint16_t blocks; /* of a READ; 0: its data cannot be blocks */
    bool other;      /* its data are something else */
    bool answered;
} sent[SENT_MAX];
static unsigned sent_count;
static bool fifo_may_hold; /* an answer of before a Bulk-Only reset (usb_disk.h) */

/* Where a host would be that had only done what it should. */
static struct {
    enum phase { IDLE, DATA_IN, DATA_OUT, CSW } phase;
    uint32_t bytes, done;     /* of data-in or data-out */
    uint8_t data[DATA_BYTES]; /* to the device */
} command;

static void all_is_over(bool fifo_keeps)
{
    sent_count = 0;
    command.phase = IDLE;
    fifo_may_hold = fifo_keeps;
}

static void check_csw(const struct csw *csw)
{
    for (unsigned i = 0; i < sent_count; i++) {
        struct sent *s = &sent[i];
        if (s->tag != csw->tag)
            continue;
        if (s->answered)
            fail("a second CSW for tag %u", csw->tag);
        if (csw->residue > s->declared || csw->status > CSW_PHASE_ERROR)
            fail("CSW of %u bytes: residue %u, status %u", s->declared, csw->residue, csw->status);
        s->answered = true;
        counts.csws++;
        return;
    }
    fail("a CSW with tag %u, which is none since the last reset", csw->tag);
}

static bool was_read(uint32_t lba)
{
    for (unsigned i = 0; i < sent_count; i++)
        if (lba >= sent[i].lba && lba < sent[i].lba + sent[i].blocks)
            return true;
    return false;
}

static bool other_data_may_come(void)
{
    for (unsigned i = 0; i < sent_count; i++)
        if (sent[i].other)
            return true;
    return false;
}

static void check_chunk(const uint8_t *chunk, unsigned bytes)
{
    uint32_t lba;

    if (bytes >= 8 && pattern_lba(chunk, &lba)) {
        if (!was_read(lba))
            fail("data of LBA %u, which was not read since the last reset", lba);
        if (bytes == BLOCK_BYTES)
            pattern_check(chunk, lba);
        counts.blocks++;
    } else if (bytes >= 8 && !other_data_may_come()) {
        fail("%u bytes of no command since the last reset: %08x %08x", bytes, get_le32(chunk),
             get_le32(chunk + 4));
    }
}

static void check_arrived(const uint8_t *data, unsigned bytes)
{
    struct csw csw;
    bool fifo = fifo_may_hold;
    unsigned tail = bytes % BLOCK_BYTES;

    if (bytes == 0)
        return;
    fifo_may_hold = false;
    if (fifo && bytes <= 64) {
        counts.late_answers++;
        return;
    }
    for (unsigned at = 0; at + BLOCK_BYTES <= bytes; at += BLOCK_BYTES)
        check_chunk(data + at, BLOCK_BYTES);
    if (csw_parse(data + bytes - tail, tail, &csw))
        check_csw(&csw);
    else if (tail > 0)
        check_chunk(data + bytes - tail, tail);
}

/* ---- CBWs ---- */

/* Often too short for what goes on, now and then long enough for everything. */
static unsigned patience_ms(void)
{
    return one_in(10) ? 100 : 1 + random_below(8);
}

static void remember(const struct cbw *cbw, uint32_t lba, uint16_t blocks, bool other)
{
    if (sent_count == SENT_MAX)
        fail("too many CBWs without a recovery");
    sent[sent_count++] = (struct sent){.tag = cbw_tag(cbw),
                                       .declared = get_le32(cbw->bytes + 8),
                                       .lba = lba,
                                       .blocks = blocks,
                                       .other = other};
}

/* What did not go leaves everything as it was. What did ends data-out by being
 * a short packet. */
static bool push(const struct cbw *cbw, unsigned bytes)
{
    uint8_t wire[1024];

    memset(wire, 0x5a, sizeof(wire));
    memcpy(wire, cbw->bytes, sizeof(cbw->bytes));
    struct usb_result went = usb_bulk(USB_TO_DEVICE, wire, bytes, patience_ms());
    trace("  %u of %u bytes went: %d", went.bytes, bytes, went.status);
    if (went.bytes == 0 && went.status)
        return false;
    command.phase = IDLE;
    return true;
}

static void begin(enum phase phase, unsigned blocks)
{
    command.phase = phase;
    command.bytes = blocks * BLOCK_BYTES;
    command.done = 0;
    if (phase == DATA_OUT)
        memcpy(command.data, disk_data, command.bytes);
}

static uint32_t odd_length(void)
{
    static const uint32_t lengths[] = {
        0,    1,    13,   31,   36,    63,    64,    511,    512,        513,        1000,
        1024, 4095, 4096, 8192, 65535, 65536, 65537, 131072, 0x7fffffff, 0xfffffe00, 0xffffffff};

    return lengths[random_below(sizeof(lengths) / sizeof(lengths[0]))];
}

static void cbw_read(void)
{
    uint8_t cdb[10];
    uint16_t blocks = (uint16_t)(1 + random_below(DATA_BLOCKS));
    uint32_t lba = random_below(PATTERN_BLOCKS - DATA_BLOCKS);
    uint32_t length = one_in(4) ? odd_length() : (uint32_t)blocks * BLOCK_BYTES;
    bool in = !one_in(8);

    if (one_in(20))
        lba = 0x7fffff00; /* no disk is that large here */
    cdb_rw10(cdb, false, lba, blocks);
    struct cbw cbw = cbw_make(cdb, sizeof(cdb), in, length);
    remember(&cbw, lba, in ? blocks : 0, false);
    trace("READ %u at %u, %s %u", blocks, lba, in ? "in" : "out", length);
    if (push(&cbw, sizeof(cbw.bytes)))
        begin(DATA_IN, blocks);
}

static void cbw_write(void)
{
    uint8_t cdb[10];
    uint16_t blocks = (uint16_t)(1 + random_below(DATA_BLOCKS));
    uint32_t lba = random_below(PATTERN_BLOCKS - DATA_BLOCKS);
    uint32_t length = one_in(4) ? odd_length() : (uint32_t)blocks * BLOCK_BYTES;
    bool in = one_in(8);

    cdb_rw10(cdb, true, lba, blocks);
    struct cbw cbw = cbw_make(cdb, sizeof(cdb), in, length);
    remember(&cbw, 0, 0, false);
    pattern_next(lba, blocks);
    trace("WRITE %u at %u, %s %u", blocks, lba, in ? "in" : "out", length);
    if (push(&cbw, sizeof(cbw.bytes)))
        begin(DATA_OUT, blocks);
}

/* Anything that changes nothing, with anything in its CDB. */
static void cbw_other(void)
{
    static const uint8_t opcodes[] = {0x00, 0x03, 0x12, 0x1a, 0x1e, 0x23, 0x25, 0x2f, 0x34, 0x35,
                                      0x4d, 0x5a, 0x5e, 0x06, 0x1f, 0x91, 0xa0, 0xc0, 0xdf, 0xff};
    uint8_t cdb[16], cdb_bytes = (uint8_t)(1 + random_below(sizeof(cdb)));

    for (unsigned i = 0; i < sizeof(cdb); i++)
        cdb[i] = one_in(3) ? (uint8_t)random_below(256) : 0;
    cdb[0] = opcodes[random_below(sizeof(opcodes))];
    if (cdb[0] == 0x1a || cdb[0] == 0x5a) {
        cdb[2] = 0x3f; /* not a page of the target's: tgtd dies when it may send nothing */
        cdb[3] = 0;
        cdb_bytes = sizeof(cdb); /* with less the page would be 0 */
    }
    struct cbw cbw = cbw_make(cdb, cdb_bytes, !one_in(4), odd_length());
    remember(&cbw, 0, 0, true);
    trace("opcode %02x, %02x %u", cdb[0], cbw.bytes[12], get_le32(cbw.bytes + 8));
    (void)push(&cbw, sizeof(cbw.bytes));
}

/* A READ that no logical unit may see. */
static void cbw_wrong(void)
{
    static const unsigned lengths[] = {0, 1, 13, 30, 31, 32, 64, 511, 512, 513, 1024};
    uint8_t cdb[10];
    unsigned bytes = sizeof(((struct cbw *)0)->bytes);

    cdb_rw10(cdb, false, random_below(PATTERN_BLOCKS - 8), 8);
    struct cbw cbw = cbw_make(cdb, sizeof(cdb), !one_in(3), odd_length());
    switch (random_below(5)) {
    case 0:
        cbw.bytes[12] |= (uint8_t)(1 + random_below(127));
        break;
    case 1:
        cbw.bytes[13] = (uint8_t)(1 + random_below(255));
        break;
    case 2:
        cbw.bytes[14] = (uint8_t)(one_in(2) ? 0 : 17 + random_below(239));
        break;
    case 3:
        cbw.bytes[random_below(4)] ^= (uint8_t)(1 + random_below(255));
        break;
    default:
        bytes = lengths[random_below(sizeof(lengths) / sizeof(lengths[0]))];
        cbw.bytes[0] = 'X';
        break;
    }
    remember(&cbw, 0, 0, false);
    trace("CBW of %u bytes: %02x.. flags %02x, LUN %u, CDB %u", bytes, cbw.bytes[0], cbw.bytes[12],
          cbw.bytes[13], cbw.bytes[14]);
    if (command.phase == DATA_OUT && bytes % usb_packet_bytes() == 0)
        bytes = 0; /* whole packets would be data of the WRITE */
    (void)push(&cbw, bytes);
}

/* ---- data ---- */

static uint8_t arrived[IN_BYTES];

static unsigned some_bytes(void)
{
    if (one_in(4))
        return random_below(IN_BYTES) + 1;
    if (one_in(6))
        return 13;
    return (1 + random_below(IN_BYTES / 1024)) * 1024;
}

static struct usb_result transfer(enum usb_way way, uint8_t *data, unsigned bytes)
{
    struct usb_result result = one_in(4) ? usb_bulk_abort(way, data, bytes, random_below(3000))
                                         : usb_bulk(way, data, bytes, patience_ms());

    trace("%s: %u of %u bytes: %d", way == USB_FROM_DEVICE ? "in" : "out", result.bytes, bytes,
          result.status);
    return result;
}

static struct usb_result receive(unsigned bytes)
{
    memset(arrived, 0xee, sizeof(arrived));
    struct usb_result got = transfer(USB_FROM_DEVICE, arrived, bytes);
    check_arrived(arrived, got.bytes);
    return got;
}

static void data_in(void)
{
    (void)receive(some_bytes());
    if (command.phase != DATA_OUT)
        command.phase = IDLE;
}

/* Nobody's bytes; while a WRITE is under way they would be written. */
static void data_out(void)
{
    static uint8_t junk[IN_BYTES];

    if (command.phase == DATA_OUT)
        return;
    memset(junk, 0x5a, sizeof(junk));
    (void)transfer(USB_TO_DEVICE, junk, some_bytes());
    command.phase = IDLE;
}

/* ---- what an honest host would do next, as far as that goes ---- */

static unsigned next_bytes(void)
{
    unsigned left = command.bytes - command.done;
    unsigned bytes = (1 + random_below(64)) * 1024;

    return bytes > left || one_in(3) ? left : bytes;
}

static void honest_step(void)
{
    struct usb_result moved = {0, 0};

    switch (command.phase) {
    case IDLE:
        if (one_in(2))
            cbw_read();
        else
            cbw_write();
        return;
    case DATA_IN:
        moved = receive(next_bytes());
        break;
    case DATA_OUT:
        moved = transfer(USB_TO_DEVICE, command.data + command.done, next_bytes());
        break;
    case CSW:
        moved = receive(13);
        if (moved.bytes > 0)
            command.phase = IDLE;
        break;
    }
    if (moved.status == -EPIPE)
        must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
    command.done += moved.bytes;
    if (command.phase == DATA_IN && (moved.status == -EPIPE || moved.bytes % BLOCK_BYTES))
        command.phase = CSW;
    else if (command.phase != IDLE && command.done >= command.bytes)
        command.phase = CSW;
}

/* ---- the rest of a host's repertoire ---- */

static void get_max_lun(void)
{
    uint8_t answer = 0xff;
    int n = usb_control(0xa1, 0xfe, 0, 0, &answer, 1);

    trace("GET MAX LUN: %d", n);
    if (n != 1 || answer > 15)
        fail("GET MAX LUN: %d, %u", n, answer);
}

static void some_control(void)
{
    uint8_t data[64];
    uint8_t type = (uint8_t)((one_in(2) ? 0x80 : 0) | (one_in(2) ? 0x20 : 0x40) | 1);
    uint8_t request = (uint8_t)random_below(0xfe);
    uint16_t bytes = (uint16_t)random_below(sizeof(data));
    int n = usb_control(type, request, (uint16_t)random_below(3), 0, data, bytes);

    trace("control %02x %02x, %u bytes: %d", type, request, bytes, n);
    if (n != -EPIPE)
        fail("request %02x %02x is not stalled: %d", type, request, n);
}

static void halts(void)
{
    enum usb_way way = one_in(2) ? USB_FROM_DEVICE : USB_TO_DEVICE;
    int err = usb_clear_halt(way);

    trace("CLEAR_HALT of %s: %d", way == USB_FROM_DEVICE ? "IN" : "OUT", err);
    must("CLEAR_HALT", err);
}

static void reset_alone(void)
{
    int err = usb_bot_reset();

    trace("Bulk-Only reset: %d", err);
    must("Bulk-Only reset", err);
    counts.resets++;
    all_is_over(true);
}

static void suspend(void)
{
    trace("suspend, resume");
    must("suspend", usb_suspend());
    must("resume", usb_resume());
}

static bool frozen;

static void freeze(void)
{
    if (!freezer_exists())
        return;
    trace("the target stands still");
    counts.freezes++;
    freezer_stop();
    frozen = true;
}

static void thaw(void)
{
    if (!frozen)
        return;
    trace("the target goes on");
    freezer_continue();
    frozen = false;
}

static void pause_a_little(void)
{
    usb_sleep_ms(random_below(20));
}

/* ---- recovery ---- */

static void recover(void)
{
    uint64_t start_ms = usb_now_ms();
    uint32_t way = random_below(100);

    counts.recoveries++;
    thaw();
    if (way < 94) {
        trace("recovery: Bulk-Only reset");
        must("reset recovery", usb_bot_recovery());
    } else if (way < 96) {
        trace("recovery: port reset");
        must("port reset", usb_port_reset());
    } else if (way < 99) {
        trace("recovery: configuration 0 and 1");
        must("configuration", usb_configuration_zero());
    } else {
        trace("recovery: the cable");
        must("cable", usb_replug());
        counts.replugs++;
    }
    all_is_over(false);
    disk_after_reset();

    uint32_t lba = random_below(PATTERN_BLOCKS - DATA_BLOCKS);
    disk_read(lba, (uint16_t)(1 + random_below(one_in(8) ? DATA_BLOCKS : 16)));
    if (one_in(4)) {
        uint16_t blocks = (uint16_t)(1 + random_below(32));
        disk_write(lba, blocks);
        disk_read(lba, blocks);
    }
    uint64_t took_ms = usb_now_ms() - start_ms;
    if (took_ms > counts.longest_ms)
        counts.longest_ms = took_ms;
    if (took_ms > HANG_MS)
        fail("the recovery took %llu ms", (unsigned long long)took_ms);
}

static void (*const things[])(void) = {
    cbw_read, cbw_write, cbw_other, cbw_other,   cbw_wrong,    data_in,
    data_in,  data_out,  halts,     get_max_lun, some_control, pause_a_little,
};

static void one_thing(void)
{
    counts.things++;
    if (one_in(40))
        reset_alone();
    else if (one_in(300))
        suspend();
    else if (one_in(150))
        freeze();
    else if (one_in(4))
        things[random_below(sizeof(things) / sizeof(things[0]))]();
    else
        honest_step();
}

static void all_things(unsigned count)
{
    disk_fill();
    while (counts.things < count) {
        for (unsigned few = 1 + random_below(12); few > 0 && counts.things < count; few--)
            one_thing();
        recover();
    }
    for (uint32_t lba = 0; lba < PATTERN_BLOCKS; lba += 128)
        disk_read(lba, 128);
}

static void report(void)
{
    printf("%u things, %u recoveries (longest %llu ms, %u of them twice), %u resets more, %u "
           "replugs, %u times without target; %u blocks and %u CSWs that were theirs; %u old "
           "answers in the FIFO\n",
           counts.things, counts.recoveries, (unsigned long long)counts.longest_ms, disk_recoveries,
           counts.resets, counts.replugs, counts.freezes, counts.blocks, counts.csws,
           counts.late_answers + disk_late_answers);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    unsigned count = (unsigned)strtoul(argv[1], NULL, 10);
    seed = (uint32_t)strtoul(argv[2], NULL, 10) | 1;
    printf("seed %s\n", argv[2]);
    (void)fflush(stdout);
    if (usb_open(OPEN_MS) != 0) {
        printf("no device 1d6b:0104\n");
        return 1;
    }
    if (setjmp(fail_jump) == 0) {
        must("reset recovery", usb_bot_recovery());
        disk_after_reset();
        all_things(count);
        report();
        usb_close();
        return 0;
    }
    report();
    for (unsigned i = trace_next > TRACE_MAX ? trace_next - TRACE_MAX : 0; i < trace_next; i++)
        printf("%s\n", trace_lines[i % TRACE_MAX]);
    printf("wrong: %s\n", fail_why);
    if (frozen && setjmp(fail_jump) == 0)
        freezer_continue();
    return 1;
}
