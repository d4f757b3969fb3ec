/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network block device protocol as the Linux kernel speaks it: the
 * transmission phase with simple replies. All numbers are big-endian.
 */
#ifndef LUNSTICK_BOOT_NBD_WIRE_H
#define LUNSTICK_BOOT_NBD_WIRE_H

#include <stdint.h>

#define NBD_REQUEST_MAGIC_VALUE 0x25609513u
#define NBD_REPLY_MAGIC_VALUE   0x67446698u

struct nbd_request_wire {
    uint8_t magic[4];
    uint8_t flags[2]; /* of the command */
    uint8_t type[2];
    uint8_t handle[8]; /* comes back in the reply, as it is */
    uint8_t offset[8]; /* bytes */
    uint8_t length[4]; /* bytes; so many follow a WRITE */
};

struct nbd_reply_wire {
    uint8_t magic[4];
    uint8_t error[4]; /* 0, or an errno value of the protocol's list */
    uint8_t handle[8];
    /* the data of a READ follow when error is 0 */
};

_Static_assert(sizeof(struct nbd_request_wire) == 28, "as on the wire");
_Static_assert(sizeof(struct nbd_reply_wire) == 16, "as on the wire");

enum nbd_type {
    NBD_TYPE_READ = 0,
    NBD_TYPE_WRITE = 1,
    NBD_TYPE_DISCONNECT = 2,
    NBD_TYPE_FLUSH = 3,
    NBD_TYPE_TRIM = 4,
    NBD_TYPE_WRITE_ZEROES = 6, /* from Linux 6.12 on */
};

#define NBD_COMMAND_FUA     0x0001u
#define NBD_COMMAND_NO_HOLE 0x0002u /* of WRITE_ZEROES: the blocks stay allocated */

/* Transmission flags: what the device can do. */
enum {
    NBD_CAN_FLAGS = 1 << 0, /* the others count */
    NBD_IS_READ_ONLY = 1 << 1,
    NBD_CAN_FLUSH = 1 << 2,
    NBD_CAN_FUA = 1 << 3,
    NBD_CAN_TRIM = 1 << 5,
    NBD_CAN_WRITE_ZEROES = 1 << 6,
};

enum nbd_error {
    NBD_OK = 0,
    NBD_EPERM = 1,
    NBD_EIO = 5,
    NBD_EINVAL = 22,
    NBD_ENOSPC = 28,
};

#endif
