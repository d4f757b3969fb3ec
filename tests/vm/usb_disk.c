/* SPDX-License-Identifier: BSD-2-Clause */
#include "usb_disk.h"

#include "bridge/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC 0x4b54534cu /* "LSTK" */

jmp_buf fail_jump;
char fail_why[256];
uint8_t disk_data[DATA_BYTES];

unsigned disk_recoveries, disk_late_answers;

static uint32_t tag;
static bool old_answer_may_come;

_Noreturn void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(fail_why, sizeof(fail_why), format, args);
    va_end(args);
    longjmp(fail_jump, 1);
}

void must(const char *what, int status)
{
    if (status)
        fail("%s: %s", what, strerror(-status));
}

/* ---- the wrappers ---- */

struct cbw cbw_make(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t length)
{
    struct cbw cbw = {.bytes = {'U', 'S', 'B', 'C'}};

    put_le32(cbw.bytes + 4, ++tag);
    put_le32(cbw.bytes + 8, length);
    cbw.bytes[12] = in ? 0x80 : 0;
    cbw.bytes[14] = cdb_bytes;
    memcpy(cbw.bytes + 15, cdb, cdb_bytes < 16 ? cdb_bytes : 16);
    return cbw;
}

uint32_t cbw_tag(const struct cbw *cbw)
{
    return get_le32(cbw->bytes + 4);
}

void cbw_send(const struct cbw *cbw)
{
    uint8_t bytes[sizeof(cbw->bytes)];

    memcpy(bytes, cbw->bytes, sizeof(bytes));
    struct usb_result sent = usb_bulk(USB_TO_DEVICE, bytes, sizeof(bytes), HANG_MS);
    must("CBW", sent.status);
}

bool csw_parse(const uint8_t *data, unsigned bytes, struct csw *csw)
{
    if (bytes != 13 || memcmp(data, "USBS", 4) != 0)
        return false;
    csw->tag = get_le32(data + 4);
    csw->residue = get_le32(data + 8);
    csw->status = data[12];
    return true;
}

/* A transfer from the device, past what is left of a time before a reset. */
static struct usb_result receive(void *buf, unsigned bytes)
{
    struct usb_result got = usb_bulk(USB_FROM_DEVICE, buf, bytes, HANG_MS);
    struct csw csw;
    bool late = got.status == 0 && got.bytes <= 64 &&
                (got.bytes != bytes || (csw_parse(buf, got.bytes, &csw) && csw.tag != tag));

    if (old_answer_may_come && late) {
        disk_late_answers++;
        got = usb_bulk(USB_FROM_DEVICE, buf, bytes, HANG_MS);
    }
    old_answer_may_come = false;
    return got;
}

static bool csw_try(struct csw *csw, bool *halted)
{
    uint8_t buf[13] = {0};
    struct usb_result got = receive(buf, sizeof(buf));

    if (halted)
        *halted = got.status == -EPIPE;
    if (got.status == -EPIPE) {
        must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
        got = usb_bulk(USB_FROM_DEVICE, buf, sizeof(buf), HANG_MS);
    }
    if (got.status == -EPIPE)
        return false;
    if (got.status)
        fail("CSW: %s, %u bytes beginning with %02x %02x", strerror(-got.status), got.bytes, buf[0],
             buf[1]);
    if (!csw_parse(buf, got.bytes, csw))
        fail("CSW: %u bytes, beginning with %02x %02x", got.bytes, buf[0], buf[1]);
    if (csw->tag != tag)
        fail("CSW: tag %u, not %u", csw->tag, tag);
    return true;
}

struct csw csw_receive(bool *halted)
{
    struct csw csw;

    if (!csw_try(&csw, halted))
        fail("CSW: halted twice");
    return csw;
}

/* ---- commands ---- */

void disk_after_reset(void)
{
    old_answer_may_come = true;
}

void cdb_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks)
{
    memset(cdb, 0, 10);
    cdb[0] = write ? 0x2a : 0x28;
    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
}

struct attempt {
    struct csw csw;
    unsigned bytes;
    bool wants_recovery;
};

static struct attempt attempt(const uint8_t *cdb, uint8_t cdb_bytes, bool in, void *data,
                              uint32_t length)
{
    struct cbw cbw = cbw_make(cdb, cdb_bytes, in, length);
    struct attempt result = {.bytes = 0};

    cbw_send(&cbw);
    if (length > 0) {
        struct usb_result moved =
            in ? receive(data, length) : usb_bulk(USB_TO_DEVICE, data, length, HANG_MS);
        if (in && moved.status == -EPIPE)
            must("CLEAR_HALT", usb_clear_halt(USB_FROM_DEVICE));
        else
            must(in ? "data-in" : "data-out", moved.status);
        result.bytes = moved.bytes;
    }
    result.wants_recovery = !csw_try(&result.csw, NULL);
    if (result.wants_recovery)
        return result;
    if (result.csw.residue > length)
        fail("residue %u of %u", result.csw.residue, length);
    if (result.csw.residue + result.bytes < length)
        fail("%u of %u bytes came, residue %u", result.bytes, length, result.csw.residue);
    return result;
}

unsigned disk_command(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t length)
{
    static const uint8_t request_sense[6] = {0x03, 0, 0, 0, 18};
    uint64_t end_ms = usb_now_ms() + HANG_MS;
    uint8_t sense[18];
    bool recovered = false;

    for (;;) {
        struct attempt result = attempt(cdb, cdb_bytes, in, disk_data, length);
        if (result.wants_recovery) {
            if (recovered)
                fail("opcode %02x: halted again after a reset recovery", cdb[0]);
            recovered = true;
            disk_recoveries++;
            must("reset recovery", usb_bot_recovery());
            continue;
        }
        if (result.csw.status == CSW_PASSED)
            return result.bytes;
        if (result.csw.status != CSW_FAILED)
            fail("opcode %02x: CSW status %u", cdb[0], result.csw.status);
        memset(sense, 0, sizeof(sense));
        (void)attempt(request_sense, sizeof(request_sense), true, sense, sizeof(sense));
        bool becoming_ready = (sense[2] & 0x0f) == 2 && sense[12] == 4 && sense[13] == 1;
        if (!becoming_ready || usb_now_ms() >= end_ms)
            fail("opcode %02x: sense %x/%02x/%02x", cdb[0], sense[2] & 0x0f, sense[12], sense[13]);
        usb_sleep_ms(20);
    }
}

void disk_read(uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10];

    cdb_rw10(cdb, false, lba, blocks);
    memset(disk_data, 0, sizeof(disk_data));
    unsigned bytes = disk_command(cdb, sizeof(cdb), true, (uint32_t)blocks * BLOCK_BYTES);
    if (bytes != (unsigned)blocks * BLOCK_BYTES)
        fail("READ of %u blocks at %u: %u bytes", blocks, lba, bytes);
    for (unsigned i = 0; i < blocks; i++)
        pattern_check(disk_data + (size_t)i * BLOCK_BYTES, lba + i);
}

void disk_write(uint32_t lba, uint16_t blocks)
{
    uint8_t cdb[10];

    cdb_rw10(cdb, true, lba, blocks);
    pattern_next(lba, blocks);
    (void)disk_command(cdb, sizeof(cdb), false, (uint32_t)blocks * BLOCK_BYTES);
    pattern_acknowledged(lba, blocks);
}

/* ---- the pattern ---- */

/* What may be read: at least the first, at most the second. */
static struct {
    uint32_t acknowledged, newest;
} versions[PATTERN_BLOCKS];
static uint32_t last_version;

static uint32_t word(uint32_t lba, uint32_t version, unsigned i)
{
    return (lba + 1) * 2654435761u ^ version * 2246822519u ^ i * 3266489917u;
}

static void block_build(uint8_t *block, uint32_t lba, uint32_t version)
{
    put_le32(block, MAGIC);
    put_le32(block + 4, lba);
    put_le32(block + 8, version);
    for (unsigned i = 3; i < BLOCK_BYTES / 4; i++)
        put_le32(block + (size_t)4 * i, word(lba, version, i));
}

void pattern_begin(void)
{
    last_version = 1;
    for (uint32_t lba = 0; lba < PATTERN_BLOCKS; lba++)
        versions[lba].acknowledged = versions[lba].newest = last_version;
}

void pattern_next(uint32_t lba, unsigned blocks)
{
    last_version++;
    for (unsigned i = 0; i < blocks; i++) {
        versions[lba + i].newest = last_version;
        block_build(disk_data + (size_t)i * BLOCK_BYTES, lba + i, last_version);
    }
}

void pattern_acknowledged(uint32_t lba, unsigned blocks)
{
    for (unsigned i = 0; i < blocks; i++)
        versions[lba + i].acknowledged = versions[lba + i].newest;
}

bool pattern_lba(const uint8_t *block, uint32_t *lba)
{
    *lba = get_le32(block + 4);
    return get_le32(block) == MAGIC && *lba < PATTERN_BLOCKS;
}

void pattern_check(const uint8_t *block, uint32_t lba)
{
    uint32_t named, version = get_le32(block + 8);

    if (!pattern_lba(block, &named))
        fail("LBA %u: no block of the disk: %08x %08x %08x", lba, get_le32(block),
             get_le32(block + 4), version);
    if (named != lba)
        fail("LBA %u: the data of LBA %u", lba, named);
    if (version < versions[lba].acknowledged || version > versions[lba].newest)
        fail("LBA %u: version %u, not %u to %u", lba, version, versions[lba].acknowledged,
             versions[lba].newest);
    versions[lba].acknowledged = version;
    for (unsigned i = 3; i < BLOCK_BYTES / 4; i++)
        if (get_le32(block + (size_t)4 * i) != word(lba, version, i))
            fail("LBA %u, version %u: wrong from byte %u on", lba, version, 4 * i);
}

void disk_fill(void)
{
    pattern_begin();
    for (uint32_t lba = 0; lba < PATTERN_BLOCKS; lba += 128)
        disk_write(lba, 128);
}

void disk_works(void)
{
    static uint32_t lba;

    lba = (lba + 1021) % (PATTERN_BLOCKS - DATA_BLOCKS);
    disk_read(lba, 128);
    disk_write(lba + 3, 16);
    disk_read(lba, 24);
}
