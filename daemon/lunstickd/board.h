/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who this board is: stable over reboots, another for each board, and hashed,
 * because it goes over the network and the cable (machine-id(5) asks for it).
 */
#ifndef LUNSTICK_DAEMON_BOARD_H
#define LUNSTICK_DAEMON_BOARD_H

#include <stdbool.h>
#include <stddef.h>

#define BOARD_ID_BYTES 33 /* 32 hexadecimal digits */

/* From the device tree's serial number, else /etc/machine-id, else the lowest
 * permanent network address. False (and the hash of nothing) if there is none
 * of them. `root` is put before the paths: "" outside of tests. */
bool board_id(char id[BOARD_ID_BYTES], const char *root);

/* The first `digits` (at most 64) hexadecimal digits of SHA-256 over the parts,
 * each with its terminating 0; `parts` ends with NULL. */
void board_hash(char *out, unsigned digits, const char *const *parts);

#endif
