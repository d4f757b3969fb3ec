/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real usb_port: FunctionFS endpoint files driven with libaio. Runs in the
 * unprivileged child on descriptors that the parent handed over. One thread,
 * one event loop; nothing blocks.
 *
 * Order of use: create with ep0; write the descriptors; the endpoint files
 * appear; the parent opens them (O_RDWR | O_NONBLOCK) and hands them over;
 * attach; watch the two descriptors for reading; then the UDC may be bound.
 */
#ifndef LUNSTICK_GADGET_FFS_PORT_H
#define LUNSTICK_GADGET_FFS_PORT_H

#include "bridge/deferred.h"
#include "usb_port.h"

#include <stddef.h>

struct ffs_port;

/* Outstanding requests per direction: enough to keep a high-speed bus busy. */
#define FFS_PORT_DEPTH 4

/* Opens nothing; owns ep0_fd from now on. NULL with errno. */
struct ffs_port *ffs_port_create(int ep0_fd, struct deferred_list *deferred,
                                 void (*log)(int level, const char *text));
void ffs_port_destroy(struct ffs_port *port);
struct usb_port *ffs_port_usb(struct ffs_port *port);

/* Full-, high- and super-speed descriptors and the strings, to ep0. 0 or -errno. */
int ffs_port_write_descriptors(struct ffs_port *port);
/* Takes over the two endpoint files (endpoint 1 IN, endpoint 2 OUT, the order
 * of the descriptors) and makes the AIO context. 0 or -errno. */
int ffs_port_attach(struct ffs_port *port, int ep_in_fd, int ep_out_fd);

/* For the event loop: watch both for reading, call the matching function. */
int ffs_port_ep0_fd(const struct ffs_port *port);
int ffs_port_aio_fd(const struct ffs_port *port);
void ffs_port_ep0_ready(struct ffs_port *port); /* polls before each read */
void ffs_port_aio_ready(struct ffs_port *port); /* reaps the ring in order */

/* For `status` and tests: the last io_submit() buffer per direction. */
struct ffs_port_stats {
    uint64_t in_bytes, out_bytes, stale;
    const void *last_in_buf, *last_out_buf;
    bool suspended;
};
const struct ffs_port_stats *ffs_port_stats(const struct ffs_port *port);

#endif
