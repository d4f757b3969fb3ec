/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line of the hostile tests: a host's commands, the logical unit, the
 * session, TCP over loopback, and the scripted target, all in one process and
 * one thread. The clock stands still while anything happens, and jumps to the
 * next time-out when nothing does.
 */
#ifndef LUNSTICK_TESTS_TARGET_HOSTILE_LINE_H
#define LUNSTICK_TESTS_TARGET_HOSTILE_LINE_H

#include "bridge/lun.h"
#include "hostile.h"
#include "initiator/session.h"

#include <stdio.h>

/* cmocka's own include order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LINE_SLICES 32u
/* What a buffer holds that another command used before. */
#define LINE_STALE 0x5e
/* The host is answered within this time, whatever the target does. */
#define LINE_ANSWER_MS 10000u

struct line {
    struct session_config config;
    struct session *session;
    struct lun *lun;
    struct pool pool;
    struct deferred_list deferred;
    struct hostile target;
    int listener, connection; /* the target's sockets; -1: none */
    uint16_t port;
    bool deaf; /* the target reads nothing */
    /* Called each tick_ms; 0: never. */
    void (*tick)(void);
    unsigned tick_ms;
    uint64_t next_tick_us;
    unsigned connections;
    uint64_t now_us;
    unsigned faults;
    enum backend_fault last_fault;
    char last_why[SESSION_WHY_BYTES]; /* of the last fault */
};

extern struct line line;

/* The target, listening, and a configuration for it. */
void line_prepare(void);
/* Calls `tick` every so many milliseconds from now on; 0: no more. */
void line_tick(void (*tick)(void), unsigned ms);
/* The target takes little at a time: a part of a PDU waits in its sender. */
void line_make_narrow(void);
/* The target resets the connection. */
void line_reset(void);
/* Creates and starts session and logical unit. */
void line_open(void);
/* Both, and the disk is accepted; then forgets what the target counted. */
void line_up(void);
/* Logs out, and looks that nothing is missing; the teardown of each test. Does
 * nothing where nothing was prepared. */
int line_close(void **state);

/* Until `met`, or so much time has passed: then false. */
bool line_until(bool (*met)(void), unsigned limit_ms);
void line_for(unsigned ms);
/* The target's part of a turn, for callers with an event loop of their own. */
bool line_serve(void);
bool line_is_up(void);
bool line_has_fault(void);

/* A twist for the next `times` requests of this opcode and, for SCSI commands,
 * operation code. */
void line_twist(hostile_twist *twist, int opcode, int cdb, unsigned times);

/* One command of the host, from its submit to its release. Asserts that it is
 * answered in time, and that no byte of data-in is another command's. */
struct scsi_outcome line_command(const uint8_t *cdb, uint8_t cdb_bytes, enum scsi_dir dir,
                                 uint8_t *data, uint32_t bytes);
/* A READ or WRITE of whole blocks: GOOD, with the disk's data. */
void line_reads_well(uint32_t lba, uint32_t bytes);
void line_writes_well(uint32_t lba, uint32_t bytes, uint8_t seed);
struct scsi_outcome line_read(uint32_t lba, uint32_t bytes);
/* The bytes of the last line_read() that the host took. */
const uint8_t *line_data(void);

#endif
