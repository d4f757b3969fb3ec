/* SPDX-License-Identifier: BSD-2-Clause */
#include "sense.h"
#include "bytes.h"

#include <string.h>

const struct sense_code sense_none = {0x0, 0x00, 0x00};
const struct sense_code sense_becoming_ready = {0x2, 0x04, 0x01};
const struct sense_code sense_no_medium = {0x2, 0x3a, 0x00};
/* RECORDED ENTITY NOT FOUND: one of the few that no host tries again. Linux does with
 * MEDIUM ERROR 0C/00 (write error), and on USB with HARDWARE ERROR. */
const struct sense_code sense_writes_lost = {SENSE_MEDIUM_ERROR, 0x14, 0x00};
const struct sense_code sense_internal_failure = {0x4, 0x44, 0x00};
const struct sense_code sense_invalid_opcode = {0x5, 0x20, 0x00};
const struct sense_code sense_lba_out_of_range = {0x5, 0x21, 0x00};
const struct sense_code sense_invalid_field = {0x5, 0x24, 0x00};
const struct sense_code sense_reservation_conflict = {0x5, 0x2c, 0x09};
const struct sense_code sense_saving_not_supported = {0x5, 0x39, 0x00};
const struct sense_code sense_medium_changed = {0x6, 0x28, 0x00};
const struct sense_code sense_capacity_changed = {0x6, 0x2a, 0x09};
const struct sense_code sense_write_protected = {0x7, 0x27, 0x00};
const struct sense_code sense_nexus_loss = {0xb, 0x29, 0x07};
const struct sense_code sense_data_phase_error = {0xb, 0x4b, 0x00};

size_t sense_build_fixed(uint8_t out[SENSE_FIXED_BYTES], struct sense_code code)
{
    memset(out, 0, SENSE_FIXED_BYTES);
    out[0] = 0x70;
    out[2] = code.key;
    out[7] = SENSE_FIXED_BYTES - 8;
    out[12] = code.asc;
    out[13] = code.ascq;
    return SENSE_FIXED_BYTES;
}

size_t sense_build_descriptor(uint8_t out[8], struct sense_code code)
{
    memset(out, 0, 8);
    out[0] = 0x72;
    out[1] = code.key;
    out[2] = code.asc;
    out[3] = code.ascq;
    return 8;
}

bool sense_parse(const uint8_t *sense, size_t length, struct sense_code *code)
{
    *code = sense_none;
    if (length < 1)
        return false;
    switch (sense[0] & 0x7f) {
    case 0x70:
    case 0x71:
        if (length < 3)
            return false;
        code->key = sense[2] & 0x0f;
        code->asc = length > 12 ? sense[12] : 0;
        code->ascq = length > 13 ? sense[13] : 0;
        return true;
    case 0x72:
    case 0x73:
        if (length < 4)
            return false;
        code->key = sense[1] & 0x0f;
        code->asc = sense[2];
        code->ascq = sense[3];
        return true;
    default:
        return false;
    }
}

/* One sense data descriptor, SPC-4 4.5.2: `d[1]` bytes behind its first two. */
static void descriptor_to_fixed(const uint8_t *d, uint8_t out[SENSE_FIXED_BYTES])
{
    enum { INFORMATION, COMMAND_SPECIFIC, KEY_SPECIFIC, FIELD_REPLACEABLE, BLOCK_COMMANDS = 5 };
    uint64_t value = d[1] >= 10 ? get_be64(d + 4) : 0;
    if (d[0] == INFORMATION && d[1] >= 10 && value <= UINT32_MAX) {
        out[0] |= d[2] & 0x80;
        put_be32(out + 3, (uint32_t)value);
    } else if (d[0] == COMMAND_SPECIFIC && d[1] >= 10 && value <= UINT32_MAX) {
        put_be32(out + 8, (uint32_t)value);
    } else if (d[0] == KEY_SPECIFIC && d[1] >= 6) {
        memcpy(out + 15, d + 4, 3);
    } else if (d[0] == FIELD_REPLACEABLE && d[1] >= 2) {
        out[14] = d[3];
    } else if (d[0] == BLOCK_COMMANDS && d[1] >= 2) {
        out[2] |= d[3] & 0x20; /* ILI */
    }
}

void sense_to_fixed(const uint8_t *sense, size_t length, uint8_t out[SENSE_FIXED_BYTES])
{
    struct sense_code code;
    sense_parse(sense, length, &code);
    sense_build_fixed(out, code);
    if (sense_deferred(sense, length))
        out[0] |= 1;
    size_t end = length > 7 ? 8u + sense[7] : 0;
    if (end > length)
        end = length;
    for (size_t at = 8; at + 2 <= end && at + 2 + sense[at + 1] <= end; at += 2u + sense[at + 1])
        descriptor_to_fixed(sense + at, out);
}

bool sense_deferred(const uint8_t *sense, size_t length)
{
    uint8_t response = length > 0 ? sense[0] & 0x7f : 0;
    return response == 0x71 || response == 0x73;
}

bool sense_code_equal(struct sense_code a, struct sense_code b)
{
    return a.key == b.key && a.asc == b.asc && a.ascq == b.ascq;
}
