/* SPDX-License-Identifier: BSD-2-Clause */
#include "host.h"
#include "opcode.h"

#include <stddef.h>
#include <string.h>

const struct host_profile host_unknown = {
    .name = "unknown",
    .data_ms = 4000,
    .status_ms = 2500,
    .lun_in_cdb = true,
    .reason = "firmware (EDK2, U-Boot, SeaBIOS) gives a transfer up after 5 s",
    .source = "seen here: EDK2, U-Boot, SeaBIOS",
};

/* Chosen by configuration: it sends what other firmware sends. */
static const struct host_profile host_raspberry_pi = {
    .name = "raspberry-pi",
    .data_ms = 1500,
    .status_ms = 1500,
    .lun_in_cdb = true,
    .reason = "the boot loader leaves a unit after 2 s, U-Boot's dwc2 driver a transfer",
    .source = "reported, not seen here: USB_MSD_LUN_TIMEOUT of the boot loader's "
              "documentation; U-Boot, drivers/usb/host/dwc2.c, wait_for_chhltd()",
};

static const struct host_profile host_linux = {
    .name = "linux",
    .data_ms = 10000,
    .status_ms = 10000,
    .reason = "usb-storage waits 30 s for a command and retries NOT READY for 180 s",
    .source = "seen here: Linux 6.1, 6.12",
};

static const struct host_profile host_windows = {
    .name = "windows",
    .data_ms = 10000,
    .status_ms = 10000,
    .reason = "waits 20 s, three times, for READ FORMAT CAPACITIES and the serial number page",
    .source = "reported, not seen here: libopencm3 pull request 1334; who sends which MODE "
              "SENSE: a comment in the Teensy's disk driver",
};

/* Chosen by configuration: what it sends is not known well enough. */
static const struct host_profile host_macos = {
    .name = "macos",
    .data_ms = 10000,
    .status_ms = 10000,
    .reason = "asks no more whether the medium is there once PREVENT was accepted",
    .source = "reported, not seen here: CircuitPython issue 10965 and pull request 6555",
};

static const struct host_profile host_console = {
    .name = "console",
    .data_ms = 4000,
    .status_ms = 2500,
    .lun_in_cdb = true,
    .reason = "consoles, printers, instruments: own small drivers that take one plain disk, no "
              "composite device and no halts",
    .source = "reported, not seen here: USB_Host_Shield_2.0 issue 665, ps2sdk issue 79",
};

static const struct host_profile *const rows[] = {
    &host_unknown, &host_raspberry_pi, &host_linux, &host_windows, &host_macos, &host_console,
};

const struct host_profile *host_row(unsigned index)
{
    return index < sizeof(rows) / sizeof(rows[0]) ? rows[index] : NULL;
}

const struct host_profile *host_find(const char *name)
{
    const struct host_profile *row;
    for (unsigned i = 0; (row = host_row(i)); i++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* MODE SENSE(6) with the 192 bytes that Windows came to ask for, and Linux after
 * it, because disks choke on other lengths. EDK2 asks for 4, SeaBIOS for a page of
 * its own, and U-Boot does not ask. */
static bool asks_for_192(const uint8_t *cdb, uint8_t cdb_bytes, uint32_t length_bytes, uint8_t page)
{
    return cdb_bytes >= 6 && cdb[0] == OP_MODE_SENSE_6 && (cdb[2] & 0x3f) == page &&
           cdb[4] == 192 && length_bytes == 192;
}

const struct host_profile *host_recognise(const struct host_profile *known, const uint8_t *cdb,
                                          uint8_t cdb_bytes, uint32_t length_bytes)
{
    if (asks_for_192(cdb, cdb_bytes, length_bytes, 0x1c))
        return &host_windows;
    if (known != &host_windows && asks_for_192(cdb, cdb_bytes, length_bytes, 0x3f))
        return &host_linux;
    return known;
}
