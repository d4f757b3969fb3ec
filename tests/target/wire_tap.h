/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay on loopback in a process of its own, between initiator and target,
 * that writes down each SCSI command as it is on the wire. Without digests.
 */
#ifndef LUNSTICK_TESTS_TARGET_WIRE_TAP_H
#define LUNSTICK_TESTS_TARGET_WIRE_TAP_H

#include <stdint.h>
#include <sys/types.h>

#define WIRE_TAP_COMMANDS 4096

struct wire_command {
    uint8_t cdb[16];
    uint32_t expected_bytes; /* expected data transfer length */
    uint8_t flags;           /* RFC 7143 11.3.1: F, R, W */
};

/* Shared with the relay. */
struct wire_log {
    volatile unsigned count;
    struct wire_command commands[WIRE_TAP_COMMANDS];
};

struct wire_tap {
    pid_t pid;
    uint16_t port;
    struct wire_log *log;
};

struct wire_tap wire_tap_start(uint16_t target_port);
void wire_tap_stop(struct wire_tap *tap);

#endif
