/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sense data: building it in both formats and reading what a target sent.
 * SPC-4 4.5 (fixed: 4.5.3, descriptor: 4.5.2).
 */
#ifndef LUNSTICK_BRIDGE_SENSE_H
#define LUNSTICK_BRIDGE_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SPC-4 4.5.1: sense data are at most 252 bytes. */
#define SENSE_MAX_BYTES   252
#define SENSE_FIXED_BYTES 18

enum sense_key {
    SENSE_NO_SENSE = 0x0,
    SENSE_RECOVERED_ERROR = 0x1,
    SENSE_NOT_READY = 0x2,
    SENSE_MEDIUM_ERROR = 0x3,
    SENSE_HARDWARE_ERROR = 0x4,
    SENSE_ILLEGAL_REQUEST = 0x5,
    SENSE_UNIT_ATTENTION = 0x6,
    SENSE_DATA_PROTECT = 0x7,
    SENSE_ABORTED_COMMAND = 0xb,
};

/* What our own answers say: key, ASC, ASCQ in one value, for one table. */
struct sense_code {
    uint8_t key;
    uint8_t asc;
    uint8_t ascq;
};

extern const struct sense_code sense_none;                 /* 00/00/00 */
extern const struct sense_code sense_becoming_ready;       /* 02/04/01 */
extern const struct sense_code sense_no_medium;            /* 02/3A/00 */
extern const struct sense_code sense_writes_lost;          /* 03/14/00 */
extern const struct sense_code sense_internal_failure;     /* 04/44/00 */
extern const struct sense_code sense_invalid_opcode;       /* 05/20/00 */
extern const struct sense_code sense_lba_out_of_range;     /* 05/21/00 */
extern const struct sense_code sense_invalid_field;        /* 05/24/00 */
extern const struct sense_code sense_reservation_conflict; /* 05/2C/09 */
extern const struct sense_code sense_saving_not_supported; /* 05/39/00 */
extern const struct sense_code sense_medium_changed;       /* 06/28/00 */
extern const struct sense_code sense_capacity_changed;     /* 06/2A/09 */
extern const struct sense_code sense_write_protected;      /* 07/27/00 */
extern const struct sense_code sense_nexus_loss;           /* 0B/29/07 */
extern const struct sense_code sense_data_phase_error;     /* 0B/4B/00 */

/* Write sense data of `code`, current (not deferred). Return the length. */
size_t sense_build_fixed(uint8_t out[SENSE_FIXED_BYTES], struct sense_code code);
size_t sense_build_descriptor(uint8_t out[8], struct sense_code code);

/* Read key, ASC and ASCQ of either format. False if the bytes are too short
 * or of no known response code; `code` is then NO SENSE. */
bool sense_parse(const uint8_t *sense, size_t length, struct sense_code *code);

/* Descriptor format as fixed format, with what fits into it (SPC-4 4.5.3). */
void sense_to_fixed(const uint8_t *sense, size_t length, uint8_t out[SENSE_FIXED_BYTES]);

/* A deferred error (SPC-4 4.5.5): of an earlier command; this one was not executed. */
bool sense_deferred(const uint8_t *sense, size_t length);

bool sense_code_equal(struct sense_code a, struct sense_code b);

#endif
