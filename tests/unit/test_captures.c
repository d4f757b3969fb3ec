/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What real hosts said to a disk, from plug to unplug, as tests/vm/capture.sh
 * recorded it: said once more to BOT, a logical unit and a RAM disk. Each command
 * has the status, the residue and the length of data that it had then, reads bring
 * what is on the disk, and the host is recognised or, firmware, is not.
 */
#include "bridge/bytes.h"
#include "bridge/host.h"
#include "bridge/opcode.h"
#include "gadget/bot.h"
#include "lun_bench.h"
#include "script_port.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CAPTURES   LUNSTICK_SOURCE_DIR "/tests/unit/captures/"
#define DATA_BYTES (128 * 1024u)

struct capture {
    const char *file;
    const char *host; /* recognised as, at its end */
};

struct said {
    unsigned unit;
    char way[5];
    unsigned length_bytes, status, residue_bytes;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t cdb_bytes;
};

static struct bench b;
static struct cable cable;
static struct script_port port;
static struct bot *bot;
static uint8_t data[DATA_BYTES];
static uint32_t tag;

static void settle(void)
{
    for (int i = 0; i < 20; i++) {
        script_port_turn(&port);
        bench_settle(&b);
    }
}

static uint64_t now_us(void)
{
    return bench_now_us;
}

/* As lunstickd has it when nothing is configured. */
static void as_by_default(struct lun_config *config)
{
    config->cable = &cable;
    config->answer_within_ms = LUN_ANSWER_BY_HOST;
    config->removable = true;
}

static int setup(void **state)
{
    (void)state;
    memset(&cable, 0xa5, sizeof(cable));
    cable_init(&cable, 1, NULL);
    bench_open(&b, as_by_default);
    for (uint32_t i = 0; i < RAM_BLOCKS * RAM_BLOCK_BYTES; i += 4)
        put_be32(b.ram.disk + i, i * 2654435761u);
    bench_up(&b);
    memset(&port, 0xa5, sizeof(port));
    script_port_init(&port, &b.deferred);
    struct bot_config config = {
        .port = &port.usb,
        .deferred = &b.deferred,
        .luns = &b.lun,
        .lun_count = 1,
        .now_us = now_us,
    };
    bot = bot_create(&config);
    assert_non_null(bot);
    script_port_enable(&port, USB_SPEED_HIGH, 512);
    settle();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_port_disable(&port);
    settle();
    bot_destroy(bot);
    bench_close(&b);
    return 0;
}

/* False: the line is a comment. */
static bool parse(const char *line, struct said *said)
{
    char hex[2 * SCSI_CDB_MAX_BYTES + 1];
    if (*line == '#')
        return false;
    memset(said, 0xa5, sizeof(*said));
    assert_int_equal(sscanf(line, "%u %4s %u %u %u %32s", &said->unit, said->way,
                            &said->length_bytes, &said->status, &said->residue_bytes, hex),
                     6);
    assert_in_range(said->length_bytes, 0, DATA_BYTES);
    memset(said->cdb, 0, sizeof(said->cdb));
    said->cdb_bytes = (uint8_t)(strlen(hex) / 2);
    for (unsigned i = 0; i < said->cdb_bytes; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + (size_t)2 * i, "%2x", &byte), 1);
        said->cdb[i] = (uint8_t)byte;
    }
    return true;
}

static void send_cbw(const struct said *said)
{
    uint8_t cbw[31] = "USBC";
    put_le32(cbw + 4, ++tag);
    put_le32(cbw + 8, said->length_bytes);
    cbw[12] = said->way[0] == 'i' ? 0x80 : 0;
    cbw[13] = (uint8_t)said->unit;
    cbw[14] = said->cdb_bytes;
    memcpy(cbw + 15, said->cdb, said->cdb_bytes);
    assert_int_equal(host_out(&port, cbw, sizeof(cbw)).end, HOST_DONE);
    settle();
}

static void move_data(const struct said *said)
{
    uint32_t moved = 0;
    if (said->way[0] == 'o')
        for (uint32_t i = 0; i < said->length_bytes; i++)
            data[i] = (uint8_t)(tag + i);
    while (said->length_bytes > moved) {
        uint32_t left = said->length_bytes - moved;
        struct host_result r = said->way[0] == 'i' ? host_in(&port, data + moved, left)
                                                   : host_out(&port, data + moved, left);
        assert_int_not_equal(r.end, HOST_STALL);
        settle();
        moved += r.bytes;
        if (r.end == HOST_DONE)
            break;
        assert_int_not_equal(r.bytes, 0); /* it would wait for ever */
    }
    if (said->way[0] == 'i')
        assert_int_equal(moved, said->length_bytes - said->residue_bytes);
}

static void receive_csw(const struct said *said)
{
    uint8_t csw[13], want[13] = "USBS";
    put_le32(want + 4, tag);
    put_le32(want + 8, said->residue_bytes);
    want[12] = (uint8_t)said->status;
    assert_int_equal(host_in(&port, csw, sizeof(csw)).bytes, sizeof(csw));
    assert_memory_equal(csw, want, sizeof(csw));
    settle();
}

static void is_answered_as_then(const struct said *said)
{
    send_cbw(said);
    move_data(said);
    receive_csw(said);
    if (said->cdb[0] == OP_READ_10 || said->cdb[0] == OP_WRITE_10)
        assert_memory_equal(data, ram_block(&b.ram, get_be32(said->cdb + 2)), said->length_bytes);
}

static void replay(void **state)
{
    const struct capture *capture = *state;
    char path[512], line[256];
    struct said said;
    unsigned count = 0;

    (void)snprintf(path, sizeof(path), "%s%s", CAPTURES, capture->file);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (!parse(line, &said))
            continue;
        is_answered_as_then(&said);
        count++;
    }
    (void)fclose(file);
    assert_in_range(count, 5, 10000);
    assert_string_equal(cable.host->name, capture->host);
}

static struct capture captures[] = {
    {"seabios.txt", "unknown"},    {"edk2.txt", "unknown"},       {"edk2-arm64.txt", "unknown"},
    {"uboot.txt", "unknown"},      {"uboot-xhci.txt", "unknown"}, {"linux.txt", "linux"},
    {"linux-trixie.txt", "linux"},
};

static void every_capture_is_replayed(void **state)
{
    (void)state;
    unsigned there = 0, known = 0;
    DIR *dir = opendir(CAPTURES);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        there += entry->d_name[0] != '.';
        for (size_t i = 0; i < sizeof(captures) / sizeof(captures[0]); i++)
            known += strcmp(entry->d_name, captures[i].file) == 0;
    }
    (void)closedir(dir);
    assert_int_equal(there, sizeof(captures) / sizeof(captures[0]));
    assert_int_equal(known, there);
}

#define REPLAY(name, i)                                                                            \
    {                                                                                              \
#name, replay, setup, teardown, &captures[i]                                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_capture_is_replayed),
        REPLAY(seabios_is_answered_as_captured, 0),
        REPLAY(edk2_is_answered_as_captured, 1),
        REPLAY(edk2_of_arm64_is_answered_as_captured, 2),
        REPLAY(uboot_is_answered_as_captured, 3),
        REPLAY(uboot_on_xhci_is_answered_as_captured, 4),
        REPLAY(linux_6_1_is_answered_as_captured, 5),
        REPLAY(linux_6_12_is_answered_as_captured, 6),
    };
    return cmocka_run_group_tests_name("captures", tests, NULL, NULL);
}
