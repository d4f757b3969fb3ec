/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A USB host that sends what usb-storage never sends, and judges the answers.
 *
 *   usb_raw WHAT...
 *
 *   control      GET MAX LUN, and requests that must be stalled
 *   cases        the thirteen cases of BOT 6.7 of a disk with short_in = packet
 *   halts        the same, short_in = halt
 *   invalid      CBWs that are not valid, BOT 6.6.1
 *   meaningless  valid ones that mean nothing, BOT 6.2.2
 *   noise        500 of these in a row
 *   cells        every event in every phase of a command
 *
 * Writes the beginning of the disk. One line per test: `ok NAME`, or
 * `FAIL NAME: WHY`; exit status 1 if one failed. With LUNSTICK_FREEZER set
 * (freezer.h) there are cells with commands outstanding at the target.
 */
#include "bridge/bytes.h"
#include "freezer.h"
#include "usb_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_MS 1000 /* nothing that needs no target takes longer */
#define OPEN_MS  20000

static bool any_failed;
static uint64_t slowest_ms; /* of what a test measures */

/* Runs one test; after a failure the next begins with a port reset. */
static void test(const char *name, void (*run)(const void *arg), const void *arg)
{
    uint64_t start_ms = usb_now_ms();

    slowest_ms = 0;
    if (setjmp(fail_jump) == 0) {
        run(arg);
        printf("ok %s (%llu ms)\n", name, (unsigned long long)(usb_now_ms() - start_ms));
    } else {
        printf("FAIL %s: %s\n", name, fail_why);
        any_failed = true;
        if (setjmp(fail_jump) == 0) {
            if (freezer_exists())
                freezer_continue();
            must("port reset", usb_port_reset());
            disk_works();
        } else {
            printf("FAIL %s, a port reset does not help: %s\n", name, fail_why);
            exit(1);
        }
    }
    (void)fflush(stdout);
}

static struct usb_result in(void *buf, unsigned bytes, unsigned timeout_ms)
{
    return usb_bulk(USB_FROM_DEVICE, buf, bytes, timeout_ms);
}

static void out(const void *buf, unsigned bytes)
{
    struct usb_result sent = usb_bulk(USB_TO_DEVICE, (void *)buf, bytes, HANG_MS);

    if (sent.status || sent.bytes != bytes)
        fail("%u of %u bytes taken: %s", sent.bytes, bytes, strerror(-sent.status));
}

static void nothing_comes(unsigned wait_ms)
{
    uint8_t buf[64];
    struct usb_result got = in(buf, sizeof(buf), wait_ms);

    if (got.status != -ETIMEDOUT || got.bytes > 0)
        fail("%u bytes came: %s", got.bytes, strerror(-got.status));
}

/* ---- control requests ---- */

static void max_lun(const void *arg)
{
    uint8_t answer = 0xff;
    int n = usb_control(0xa1, 0xfe, 0, 0, &answer, 1);

    (void)arg;
    if (n != 1 || answer > 15)
        fail("%d bytes, max LUN %u", n, answer);
}

static const struct bad_request {
    const char *name;
    uint8_t type, request;
    uint16_t value, index, length;
} bad_requests[] = {
    {"GET MAX LUN of 2 bytes is stalled", 0xa1, 0xfe, 0, 0, 2},
    {"GET MAX LUN with a value is stalled", 0xa1, 0xfe, 1, 0, 1},
    {"GET MAX LUN to the device is stalled", 0x21, 0xfe, 0, 0, 0},
    {"a reset with a value is stalled", 0x21, 0xff, 1, 0, 0},
    {"a reset with data is stalled", 0x21, 0xff, 0, 0, 4},
    {"a reset to the host is stalled", 0xa1, 0xff, 0, 0, 1},
    {"an unknown request in is stalled", 0xa1, 0x01, 0, 0, 8},
    {"an unknown request out is stalled", 0x21, 0x01, 0, 0, 0},
    {"a vendor request is stalled", 0xc1, 0x01, 0, 0, 8},
};

static void is_stalled(const void *arg)
{
    const struct bad_request *bad = arg;
    uint8_t data[8] = {0};
    int n = usb_control(bad->type, bad->request, bad->value, bad->index, data, bad->length);

    if (n != -EPIPE)
        fail("%s", n < 0 ? strerror(-n) : "taken");
    disk_works();
}

static void control(void)
{
    test("GET MAX LUN", max_lun, NULL);
    for (size_t i = 0; i < sizeof(bad_requests) / sizeof(bad_requests[0]); i++)
        test(bad_requests[i].name, is_stalled, &bad_requests[i]);
}

/* ---- the thirteen cases, BOT 6.7 ---- */

enum what { NOTHING, READ, WRITE };

#define LBA 100

static const struct bot_case {
    const char *name;
    enum what what; /* the command, of so many blocks */
    uint16_t blocks;
    bool in; /* and what the host says of it */
    uint32_t declared, comes, residue;
    enum csw_status status;
    bool stalls; /* under `halt` */
} cases[] = {
    {"case 1, Hn = Dn", NOTHING, 0, false, 0, 0, 0, CSW_PASSED, false},
    {"case 2, Hn < Di", READ, 8, true, 0, 0, 0, CSW_PHASE_ERROR, false},
    {"case 3, Hn < Do", WRITE, 8, false, 0, 0, 0, CSW_PHASE_ERROR, false},
    {"case 4, Hi > Dn", NOTHING, 0, true, 4096, 0, 4096, CSW_PASSED, true},
    {"case 5, Hi > Di", READ, 2, true, 4096, 1024, 3072, CSW_PASSED, true},
    {"case 6, Hi = Di", READ, 128, true, 65536, 65536, 0, CSW_PASSED, false},
    {"case 7, Hi < Di", READ, 16, true, 4096, 0, 4096, CSW_PHASE_ERROR, true},
    {"case 8, Hi <> Do", WRITE, 8, true, 4096, 0, 4096, CSW_PHASE_ERROR, true},
    {"case 9, Ho > Dn", NOTHING, 0, false, 70000, 0, 70000, CSW_PASSED, false},
    {"case 10, Ho <> Di", READ, 8, false, 4096, 0, 4096, CSW_PHASE_ERROR, false},
    {"case 11, Ho > Do", WRITE, 2, false, 4096, 0, 3072, CSW_PASSED, false},
    {"case 12, Ho = Do", WRITE, 128, false, 65536, 0, 0, CSW_PASSED, false},
    {"case 13, Ho < Do", WRITE, 16, false, 4096, 0, 4096, CSW_PHASE_ERROR, false},
};

static bool in_is_halted; /* by the device, where data-in are short */

/* The data phase as the host declared it. True: IN was halted in it. */
static bool data_phase(const struct bot_case *c)
{
    if (c->declared == 0)
        return false;
    if (!c->in) {
        out(disk_data, c->declared);
        return false;
    }
    struct usb_result got = in(disk_data, c->declared, HANG_MS);
    bool halted = got.status == -EPIPE;
    if (halted)
        must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
    else
        must("data-in", got.status);
    if (got.bytes != c->comes)
        fail("%u bytes of data, not %u", got.bytes, c->comes);
    for (unsigned i = 0; i < got.bytes / BLOCK_BYTES; i++)
        pattern_check(disk_data + (size_t)i * BLOCK_BYTES, LBA + i);
    return halted;
}

static void run_case(const void *arg)
{
    const struct bot_case *c = arg;
    uint8_t cdb[10] = {0};
    bool written = c->what == WRITE && c->status == CSW_PASSED;

    if (c->what != NOTHING)
        cdb_rw10(cdb, c->what == WRITE, LBA, c->blocks);
    if (written)
        pattern_next(LBA, c->blocks);
    else
        memset(disk_data, 0x5a, sizeof(disk_data)); /* must not be found on the disk */
    struct cbw cbw = cbw_make(cdb, c->what == NOTHING ? 6 : 10, c->in, c->declared);
    cbw_send(&cbw);
    bool halted = data_phase(c), halted_late = false;
    struct csw csw = csw_receive(&halted_late);
    if (csw.status != c->status || csw.residue != c->residue)
        fail("status %u, residue %u", csw.status, csw.residue);
    if ((halted || halted_late) != (in_is_halted && c->stalls))
        fail("IN %s", halted || halted_late ? "was halted" : "was not halted");
    if (written)
        pattern_acknowledged(LBA, c->blocks);
    disk_read(LBA, 24);
    disk_works();
}

static void all_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        test(cases[i].name, run_case, &cases[i]);
}

static void cases_of_packet(void)
{
    in_is_halted = false;
    all_cases();
}

static void cases_of_halt(void)
{
    in_is_halted = true;
    all_cases();
}

/* ---- invalid CBWs ---- */

/* Halted, and again after each CLEAR_HALT; whatever goes out brings nothing. */
static void needs_reset_recovery(void)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 36};
    uint8_t buf[64];

    for (int i = 0; i < 4; i++) {
        uint64_t start_ms = usb_now_ms();
        struct usb_result got = in(buf, sizeof(buf), HANG_MS);
        uint64_t took_ms = usb_now_ms() - start_ms;
        if (got.status != -EPIPE || got.bytes > 0)
            fail("%u bytes came in round %d: %s", got.bytes, i, strerror(-got.status));
        if (took_ms > slowest_ms)
            slowest_ms = took_ms;
        if (usb_is_halted(USB_FROM_DEVICE) != 1)
            fail("GET_STATUS says that IN is not halted");
        if (i == 2) {
            must("CLEAR_HALT of OUT", usb_clear_halt(USB_TO_DEVICE));
            struct cbw cbw = cbw_make(inquiry, 6, true, 36);
            cbw_send(&cbw);
        }
        must("CLEAR_HALT of IN", usb_clear_halt(USB_FROM_DEVICE));
    }
    if (slowest_ms > 500)
        fail("halted again after %llu ms", (unsigned long long)slowest_ms);
}

static void is_invalid(const void *arg)
{
    const unsigned *length = arg;
    uint8_t cbw[1024];
    struct cbw valid = cbw_make((const uint8_t *)"\0\0\0\0\0\0", 6, false, 0);

    memset(cbw, 0, sizeof(cbw));
    memcpy(cbw, valid.bytes, sizeof(valid.bytes));
    if (*length == 31)
        cbw[3] = 'S';
    out(cbw, *length);
    needs_reset_recovery();
    must("reset recovery", usb_bot_recovery());
    disk_works();
}

static void port_reset_instead(const void *arg)
{
    (void)arg;
    out("x", 1);
    needs_reset_recovery();
    must("port reset", usb_port_reset());
    disk_works();
}

static void configuration_instead(const void *arg)
{
    (void)arg;
    out("x", 1);
    needs_reset_recovery();
    must("configuration 0 and 1", usb_configuration_zero());
    disk_works();
}

/* BOT 3.1: a reset changes no halt; the host clears it. */
static void reset_alone(const void *arg)
{
    (void)arg;
    out("x", 1);
    needs_reset_recovery();
    usb_sleep_ms(200);
    must("reset", usb_bot_reset());
    if (usb_is_halted(USB_FROM_DEVICE) != 1)
        fail("the reset has cleared the halt");
    must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
    usb_sleep_ms(200);
    if (usb_is_halted(USB_FROM_DEVICE) != 0)
        fail("halted again after the reset recovery");
    disk_works();
}

static void invalid(void)
{
    static const unsigned lengths[] = {0, 1, 13, 30, 31, 32, 64, 511, 512};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char name[64];
        if (lengths[i] == 31)
            (void)snprintf(name, sizeof(name), "invalid: a CBW with another signature");
        else
            (void)snprintf(name, sizeof(name), "invalid: a CBW of %u bytes", lengths[i]);
        test(name, is_invalid, &lengths[i]);
    }
    test("invalid: a port reset instead of reset recovery", port_reset_instead, NULL);
    test("invalid: a new configuration instead of reset recovery", configuration_instead, NULL);
    test("invalid: the reset leaves the halt to the host", reset_alone, NULL);
}

/* ---- valid, yet of no meaning ---- */

static const struct meaningless {
    const char *name;
    unsigned at; /* byte of the CBW */
    uint8_t value;
} meaningless_cbws[] = {
    {"meaningless: flag 0x01", 12, 0x01},     {"meaningless: flag 0x40", 12, 0x40},
    {"meaningless: LUN 15", 13, 15},          {"meaningless: LUN bit 0x10", 13, 0x10},
    {"meaningless: a CDB of 0", 14, 0},       {"meaningless: a CDB of 17", 14, 17},
    {"meaningless: a CDB of 31", 14, 31},     {"meaningless: CDB length bit 0x20", 14, 0x2a},
    {"meaningless: CDB length 255", 14, 255},
};

/* Case 4, 9 or 1 with a CSW that says FAILED. */
static void is_meaningless(const void *arg)
{
    const struct meaningless *m = arg;
    uint8_t cdb[10];

    cdb_rw10(cdb, true, LBA, 8); /* a WRITE that must not happen */
    memset(disk_data, 0x5a, sizeof(disk_data));
    for (int way = 0; way < 3; way++) {
        uint32_t declared = way == 2 ? 0 : 4096;
        struct cbw cbw = cbw_make(cdb, sizeof(cdb), way == 0, declared);
        if (m->at == 12)
            cbw.bytes[12] |= m->value;
        else
            cbw.bytes[m->at] = m->value;
        cbw_send(&cbw);
        if (way == 0) {
            struct usb_result got = in(disk_data, declared, HANG_MS);
            if (got.status == -EPIPE)
                must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
            else if (got.status || got.bytes > 0)
                fail("%u bytes of data: %s", got.bytes, strerror(-got.status));
        } else if (way == 1) {
            out(disk_data, declared);
        }
        struct csw csw = csw_receive(NULL);
        if (csw.status != CSW_FAILED || csw.residue != declared)
            fail("status %u, residue %u", csw.status, csw.residue);
    }
    disk_read(LBA, 8);
    disk_works();
}

static void meaningless(void)
{
    for (size_t i = 0; i < sizeof(meaningless_cbws) / sizeof(meaningless_cbws[0]); i++)
        test(meaningless_cbws[i].name, is_meaningless, &meaningless_cbws[i]);
}

static void noise_is_answered(const void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 500; i++) {
        static const uint8_t test_unit_ready[6];
        struct cbw cbw = cbw_make(test_unit_ready, sizeof(test_unit_ready), false, 0);
        cbw.bytes[13] = 15; /* a LUN that is not there */
        cbw_send(&cbw);
        if (csw_receive(NULL).status != CSW_FAILED)
            fail("CBW %u: not refused", i);
    }
    disk_works();
}

static void noise(void)
{
    test("meaningless: 500 in a row", noise_is_answered, NULL);
}

/* ---- every event in every phase ---- */

#define BLOCKS  128
#define BYTES   (BLOCKS * BLOCK_BYTES)
#define QUARTER (BYTES / 4)

static uint8_t data[BYTES]; /* of the command that is under way */

static void send_rw(bool write)
{
    uint8_t cdb[10];

    cdb_rw10(cdb, write, LBA, BLOCKS);
    if (write) {
        pattern_next(LBA, BLOCKS);
        memcpy(data, disk_data, sizeof(data));
    }
    struct cbw cbw = cbw_make(cdb, sizeof(cdb), !write, BYTES);
    cbw_send(&cbw);
}

static void take(unsigned from, unsigned bytes)
{
    struct usb_result got = in(data + from, bytes, HANG_MS);

    must("data-in", got.status);
    if (got.bytes != bytes)
        fail("%u of %u bytes of data-in", got.bytes, bytes);
    for (unsigned i = from / BLOCK_BYTES; i < (from + bytes) / BLOCK_BYTES; i++)
        pattern_check(data + (size_t)i * BLOCK_BYTES, LBA + i);
}

static void at_idle(void)
{
}

static void at_cbw(void)
{
    send_rw(false);
}

static void at_data_in(void)
{
    send_rw(false);
    take(0, QUARTER);
}

static void at_data_out(void)
{
    send_rw(true);
    out(data, QUARTER);
}

static void at_csw_of_a_read(void)
{
    send_rw(false);
    take(0, BYTES);
}

static void at_csw_of_a_write(void)
{
    send_rw(true);
    out(data, BYTES);
}

static void at_read_outstanding(void)
{
    freezer_stop();
    send_rw(false);
    nothing_comes(50);
}

static void at_write_outstanding(void)
{
    freezer_stop();
    send_rw(true);
    out(data, BYTES);
    nothing_comes(50);
}

static void csw_of_a_read(void)
{
    struct csw csw = csw_receive(NULL);

    if (csw.status != CSW_PASSED || csw.residue != 0)
        fail("READ: status %u, residue %u", csw.status, csw.residue);
}

static void csw_of_a_write(void)
{
    struct csw csw = csw_receive(NULL);

    if (csw.status != CSW_PASSED || csw.residue != 0)
        fail("WRITE: status %u, residue %u", csw.status, csw.residue);
    pattern_acknowledged(LBA, BLOCKS);
}

static void all_data_in(void)
{
    take(0, BYTES);
    csw_of_a_read();
}

static void rest_of_data_in(void)
{
    take(QUARTER, BYTES - QUARTER);
    csw_of_a_read();
}

static void rest_of_data_out(void)
{
    out(data + QUARTER, BYTES - QUARTER);
    csw_of_a_write();
}

static const struct phase {
    const char *name;
    void (*reach)(void);
    void (*go_on)(void); /* after an event that leaves the command alone */
    bool frozen;
} phases[] = {
    {"idle", at_idle, at_idle, false},
    {"behind the CBW", at_cbw, all_data_in, false},
    {"in data-in", at_data_in, rest_of_data_in, false},
    {"in data-out", at_data_out, rest_of_data_out, false},
    {"between data-in and CSW", at_csw_of_a_read, csw_of_a_read, false},
    {"between data-out and CSW", at_csw_of_a_write, csw_of_a_write, false},
    {"with a READ at the target", at_read_outstanding, all_data_in, true},
    {"with a WRITE at the target", at_write_outstanding, csw_of_a_write, true},
};

static void bulk_only_reset(void)
{
    must("reset recovery", usb_bot_recovery());
    disk_after_reset();
}

static void port_reset(void)
{
    must("port reset", usb_port_reset());
}

static void configuration_zero(void)
{
    must("configuration 0 and 1", usb_configuration_zero());
}

static void cable_pulled(void)
{
    must("cable", usb_replug());
}

static void clear_halts(void)
{
    must("CLEAR_HALT of IN", usb_clear_halt(USB_FROM_DEVICE));
    must("CLEAR_HALT of OUT", usb_clear_halt(USB_TO_DEVICE));
}

static void suspend_and_resume(void)
{
    must("suspend", usb_suspend());
    usb_sleep_ms(20);
    must("resume", usb_resume());
}

static void get_max_lun(void)
{
    uint64_t start_ms = usb_now_ms();

    max_lun(NULL);
    if (usb_now_ms() - start_ms > SHORT_MS)
        fail("answered after %llu ms", (unsigned long long)(usb_now_ms() - start_ms));
}

static const struct event {
    const char *name;
    void (*happen)(void);
    bool ends; /* the command that is under way */
} events[] = {
    {"GET MAX LUN", get_max_lun, false},
    {"CLEAR_HALT", clear_halts, false},
    {"suspend and resume", suspend_and_resume, false},
    {"Bulk-Only reset", bulk_only_reset, true},
    {"port reset", port_reset, true},
    {"configuration 0 and back", configuration_zero, true},
    {"cable pulled", cable_pulled, true},
};

struct cell {
    const struct phase *phase;
    const struct event *event;
};

/* Answered without the target, thus at once. */
static void inquiry_is_answered(void)
{
    static const uint8_t inquiry[6] = {0x12, 0, 0, 0, 36};
    uint64_t start_ms = usb_now_ms();

    (void)disk_command(inquiry, sizeof(inquiry), true, 36);
    if (usb_now_ms() - start_ms > SHORT_MS)
        fail("INQUIRY after %llu ms", (unsigned long long)(usb_now_ms() - start_ms));
}

static void run_cell(const void *arg)
{
    const struct cell *cell = arg;

    cell->phase->reach();
    cell->event->happen();
    if (cell->event->ends)
        inquiry_is_answered();
    if (cell->phase->frozen)
        freezer_continue();
    if (!cell->event->ends)
        cell->phase->go_on();
    disk_read(LBA, BLOCKS); /* what it is, it stays */
    disk_write(LBA, BLOCKS);
    disk_read(LBA, BLOCKS);
    disk_works();
}

static void cells(void)
{
    for (size_t e = 0; e < sizeof(events) / sizeof(events[0]); e++)
        for (size_t p = 0; p < sizeof(phases) / sizeof(phases[0]); p++) {
            struct cell cell = {&phases[p], &events[e]};
            char name[96];
            if (cell.phase->frozen && !freezer_exists())
                continue;
            (void)snprintf(name, sizeof(name), "%s %s", cell.event->name, cell.phase->name);
            test(name, run_cell, &cell);
        }
}

static void fill(const void *arg)
{
    (void)arg;
    must("reset recovery", usb_bot_recovery());
    disk_after_reset();
    disk_fill();
    disk_works();
}

static const struct verb {
    const char *name;
    void (*run)(void);
} verbs[] = {
    {"control", control}, {"cases", cases_of_packet},   {"halts", cases_of_halt},
    {"invalid", invalid}, {"meaningless", meaningless}, {"noise", noise},
    {"cells", cells},
};

static bool run_verb(const char *name)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, name) == 0) {
            verbs[i].run();
            return true;
        }
    printf("FAIL %s: no such test\n", name);
    return false;
}

int main(int argc, char **argv)
{
    if (usb_open(OPEN_MS) != 0) {
        printf("FAIL open: no device 1d6b:0104\n");
        return 1;
    }
    test("the disk works to begin with", fill, NULL);
    for (int i = 1; i < argc; i++)
        any_failed = !run_verb(argv[i]) || any_failed;
    usb_close();
    return any_failed;
}
