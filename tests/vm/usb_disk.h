/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An honest Bulk-Only host over usb_host.h, and what the tests write on its
 * disk: each block names its own address and a version, so that a byte of
 * another command, or of an older write, is seen.
 */
#ifndef LUNSTICK_TESTS_USB_DISK_H
#define LUNSTICK_TESTS_USB_DISK_H

#include "usb_host.h"

#include <setjmp.h>

#define BLOCK_BYTES    512
#define DATA_BLOCKS    240 /* a command's at most */
#define DATA_BYTES     (DATA_BLOCKS * BLOCK_BYTES)
#define PATTERN_BLOCKS 2048u /* from LBA 0 on */

/* No answer may take longer. */
#define HANG_MS 10000

/* What went wrong: jumps to where failed() was set up. */
extern jmp_buf fail_jump;
extern char fail_why[256];
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* fail() unless `status` is 0. */
void must(const char *what, int status);

/* ---- the wrappers ---- */

struct cbw {
    uint8_t bytes[31];
};
/* A valid one with a tag of its own. `in`: direction; `length`: declared. */
struct cbw cbw_make(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t length);
uint32_t cbw_tag(const struct cbw *cbw);
void cbw_send(const struct cbw *cbw);

enum csw_status { CSW_PASSED, CSW_FAILED, CSW_PHASE_ERROR };
struct csw {
    uint32_t tag, residue;
    uint8_t status;
};
/* Whether these are the bytes of one. */
bool csw_parse(const uint8_t *data, unsigned bytes, struct csw *csw);
/* Reads it, clearing a halt of IN once. `halted` may be NULL. */
struct csw csw_receive(bool *halted);

/* ---- commands ---- */

void cdb_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks);

/* The last data-in or the next data-out. */
extern uint8_t disk_data[DATA_BYTES];

/* A command that must succeed: NOT READY, IN PROCESS OF BECOMING READY is
 * retried for HANG_MS, a CSW that is halted twice is an order to do a reset
 * recovery (BOT 5.3.3), once; everything else fails. Data bytes moved. */
unsigned disk_command(const uint8_t *cdb, uint8_t cdb_bytes, bool in, uint32_t length);
void disk_read(uint32_t lba, uint16_t blocks);  /* into disk_data, and checked */
void disk_write(uint32_t lba, uint16_t blocks); /* a new version of each */

extern unsigned disk_recoveries; /* that disk_command() had to do */

/* dummy_hcd has a FIFO of 64 bytes that no gadget can empty: after a reset it
 * may send an answer of before. The next command passes over one. */
void disk_after_reset(void);
extern unsigned disk_late_answers; /* that were passed over */

/* ---- the pattern ---- */

/* Version 1 of all; nothing is written. */
void pattern_begin(void);
/* disk_data becomes a new version of these blocks, which may now be read. */
void pattern_next(uint32_t lba, unsigned blocks);
/* The last pattern_next() is acknowledged: no older version may be read. */
void pattern_acknowledged(uint32_t lba, unsigned blocks);
/* Fails unless the block is `lba` in a version that may be there. What was read
 * once stays: an older version that comes back fails. */
void pattern_check(const uint8_t *block, uint32_t lba);
/* The address that a block names; false: it is no block of the pattern. */
bool pattern_lba(const uint8_t *block, uint32_t *lba);

/* Writes the whole pattern. */
void disk_fill(void);
/* Reads and writes somewhere: everything is as it should be. */
void disk_works(void);

#endif
