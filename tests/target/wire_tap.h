/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A relay on loopback in a process of its own, between initiator and target,
 * that writes down each login and each SCSI command as it is on the wire. Without
 * digests; any number of connections at once.
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

#define WIRE_TAP_LOGINS 64

/* The first request of a login (RFC 7143 11.12). */
struct wire_login {
    uint8_t isid[6];
    uint16_t tsih;
};

/* Shared with the relay. */
struct wire_log {
    volatile unsigned count;
    struct wire_command commands[WIRE_TAP_COMMANDS];
    volatile unsigned login_count;
    struct wire_login logins[WIRE_TAP_LOGINS];
};

struct wire_tap {
    pid_t pid;
    uint16_t port;
    struct wire_log *log;
};

struct wire_tap wire_tap_start(uint16_t target_port);
void wire_tap_stop(struct wire_tap *tap);

#endif
