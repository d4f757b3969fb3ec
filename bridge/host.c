/* SPDX-License-Identifier: BSD-2-Clause */
#include "host.h"
#include "opcode.h"

#include <stddef.h>
#include <string.h>

const struct host_profile host_unknown = {
    .name = "unknown",
    .data_ms = 4000,
    .status_ms = 2500,
    .reason = "firmware gives up after 5 s",
    .source = "seen here: EDK2, U-Boot",
};

static const struct host_profile host_linux = {
    .name = "linux",
    .data_ms = 10000,
    .status_ms = 10000,
    .reason = "usb-storage waits 30 s for a command and retries NOT READY for 180 s",
    .source = "seen here: Linux 6.1, 6.12",
};

static const struct host_profile *const rows[] = {&host_unknown, &host_linux};

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

const struct host_profile *host_recognise(const struct host_profile *known, const uint8_t *cdb,
                                          uint8_t cdb_bytes, uint32_t length_bytes)
{
    /* sd_mod asks for all mode pages, with the 192 bytes that other drivers shy away from. */
    if (cdb_bytes >= 6 && cdb[0] == OP_MODE_SENSE_6 && (cdb[2] & 0x3f) == 0x3f && cdb[4] == 192 &&
        length_bytes == 192)
        return &host_linux;
    return known;
}
