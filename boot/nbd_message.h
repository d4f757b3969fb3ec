/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said to the kernel's nbd over generic netlink (linux/nbd-netlink.h), and
 * how. The kernel acts while the message is being sent.
 */
#ifndef LUNSTICK_BOOT_NBD_MESSAGE_H
#define LUNSTICK_BOOT_NBD_MESSAGE_H

#include "boot/nbd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NBD_BACKEND_BYTES 128 /* with its end */
#define NBD_MESSAGE_BYTES 512 /* more than the longest message */
#define NBD_ANSWER_MS     5000

/* Most seconds that a 32-bit kernel at 1000 ticks per second can count as ticks in
 * a signed long; nearly 25 days. A longer time would overflow there, and time out
 * at once. */
#define NBD_DEAD_CONNECTION_S 2147483u

struct nbd_message {
    uint8_t command; /* NBD_CMD_CONNECT, _RECONFIGURE, _DISCONNECT */
    int index;
    int fd;                              /* the kernel's end; -1: none */
    const char *backend;                 /* NULL: none */
    const struct nbd_geometry *geometry; /* NULL: none */
    bool own;                            /* CONNECT: the device goes when it is disconnected */
};

/* Composes it in `buf`; returns its length. */
uint32_t nbd_message_put(uint8_t buf[NBD_MESSAGE_BYTES], uint16_t family, uint32_t sequence,
                         const struct nbd_message *m);

/* What the kernel sent in one piece of `bytes`. 1: the end, with its verdict (0 or
 * -errno) in `verdict`; 0: that is still to come. Sets `family` if it was told. */
int nbd_message_answer(const void *buf, size_t bytes, uint32_t sequence, uint16_t *family,
                       int *verdict);

/* Says it. 0; -ENOENT: the kernel has no nbd; -ETIMEDOUT: no answer within
 * NBD_ANSWER_MS; or what the kernel says (EPERM, EBUSY, EINVAL). */
int nbd_message_send(const struct nbd_message *m);

#endif
