/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real usb_port: FunctionFS endpoint files driven with libaio. Runs in the
 * unprivileged child on descriptors that the parent handed over. One thread,
 * one event loop; nothing waits for the host, but the answer to a control
 * request that the host itself has just made.
 *
 * Order of use: create with ep0; write the descriptors; the endpoint files
 * appear; the parent opens them (O_RDWR | O_NONBLOCK) and hands them over;
 * attach; watch the two descriptors for reading; then the UDC may be bound.
 *
 * Generations: every enable and disable starts a new one. A request of an
 * older generation completes with -ESHUTDOWN and no bytes, whatever the kernel
 * says of it: it only gives its buffer back.
 */
#ifndef LUNSTICK_GADGET_FFS_PORT_H
#define LUNSTICK_GADGET_FFS_PORT_H

#include "bridge/deferred.h"
#include "bridge/lun.h" /* enum lun_log_level */
#include "usb_port.h"

#include <stddef.h>

struct ffs_port;

/* Outstanding requests per direction: four of data keep a high-speed bus busy,
 * and a CSW follows them. One more is refused with -EAGAIN. */
#define FFS_PORT_DEPTH 5

/* Opens nothing; owns ep0_fd (opened without O_NONBLOCK) from now on. Allocates
 * all that it will ever need. NULL with errno, and ep0_fd is still the caller's. */
struct ffs_port *ffs_port_create(int ep0_fd, struct deferred_list *deferred,
                                 void (*log)(enum lun_log_level level, const char *text));
/* Cancels and waits for what is outstanding; no event is called any more. The
 * buffers must live until it returns. Closes the descriptors. */
void ffs_port_destroy(struct ffs_port *port);
struct usb_port *ffs_port_usb(struct ffs_port *port);

/* Full-, high- and super-speed descriptors and the strings, to ep0. 0 or -errno. */
int ffs_port_write_descriptors(struct ffs_port *port);
/* Takes over the two endpoint files (endpoint 1 IN, endpoint 2 OUT, the order
 * of the descriptors), also when it fails, and makes the AIO context. 0 or
 * -errno. */
int ffs_port_attach(struct ffs_port *port, int ep_in_fd, int ep_out_fd);

/* For the event loop: watch both for reading (level), call the matching
 * function. ep0 goes first: what it tells makes other work of the turn void. */
int ffs_port_ep0_fd(const struct ffs_port *port);
int ffs_port_aio_fd(const struct ffs_port *port);
void ffs_port_ep0_ready(struct ffs_port *port); /* polls before each read */
void ffs_port_aio_ready(struct ffs_port *port); /* reaps the ring in order */

/* For `status` and tests: the last io_submit() buffer per direction that is
 * longer than any packet: of data, not of a CBW or CSW. */
struct ffs_port_stats {
    uint64_t in_bytes, out_bytes;
    uint64_t stale; /* completions of an older generation */
    const void *last_in_buf, *last_out_buf;
    bool suspended;
};
const struct ffs_port_stats *ffs_port_stats(const struct ffs_port *port);

#endif
