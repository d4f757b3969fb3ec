/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FunctionFS' control file: events, and the answers to control requests. The
 * only file that knows linux/usb/functionfs.h, whose names for speeds are those
 * of usb_port.h with other values.
 */
#ifndef LUNSTICK_GADGET_FFS_EP0_H
#define LUNSTICK_GADGET_FFS_EP0_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ffs_event_type {
    FFS_EV_BIND,
    FFS_EV_UNBIND,
    FFS_EV_ENABLE,
    FFS_EV_DISABLE,
    FFS_EV_SETUP,
    FFS_EV_SUSPEND,
    FFS_EV_RESUME,
    FFS_EV_UNKNOWN,
};

struct ffs_event {
    enum ffs_event_type type;
    /* SETUP only: USB 2.0 9.3. The index is the function's own interface number. */
    uint8_t request_type, request;
    uint16_t value, index, length;
};

/* 1: an event; 0: none now; or -errno. Never waits. A SETUP must be answered
 * with one of the next three before the next event is read. */
int ffs_ep0_read(int ep0_fd, struct ffs_event *event);
/* The data stage of a request from the device to the host. 0 or -errno;
 * -EIDRM: the host has given it up. */
int ffs_ep0_answer(int ep0_fd, const void *data, size_t bytes);
/* The status stage of a request to the device without data. */
int ffs_ep0_acknowledge(int ep0_fd);
int ffs_ep0_stall(int ep0_fd, const struct ffs_event *setup);

int ffs_ep0_write_descriptors(int ep0_fd);
/* wMaxPacketSize of the descriptor that is in use now, or -errno. */
int ffs_endpoint_max_packet(int endpoint_fd);
/* Empties its FIFO; does nothing where the controller has no such operation. */
void ffs_endpoint_flush(int endpoint_fd);
void ffs_endpoint_clear_halt(int endpoint_fd);

#endif
