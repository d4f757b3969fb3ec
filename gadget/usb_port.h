/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A USB function's two bulk endpoints, as a protocol (bot.h) sees them, and
 * what the port tells the protocol. The real port is FunctionFS (ffs_port.h),
 * the one of the tests a script.
 */
#ifndef LUNSTICK_GADGET_USB_PORT_H
#define LUNSTICK_GADGET_USB_PORT_H

#include <stdbool.h>
#include <stdint.h>

enum usb_endpoint { USB_OUT, USB_IN };

enum usb_speed { USB_SPEED_NONE, USB_SPEED_FULL, USB_SPEED_HIGH, USB_SPEED_SUPER };

/*
 * One transfer request. The protocol fills the first part and lends request
 * and buffer with submit(); the port fills the second part and calls io_done()
 * once, later. Requests of one endpoint complete in the order of submission.
 */
struct usb_req {
    enum usb_endpoint endpoint;
    uint8_t *buf;
    uint32_t length_bytes; /* OUT: a multiple of wMaxPacketSize. IN: 0 is a zero-length packet */

    /* 0, or -errno: -ESHUTDOWN disabled or reset; -ECONNRESET cancelled; -ESTALE, OUT only:
     * disabled and enabled again while it was submitted, and it has taken what the host sent
     * since: the protocol makes the host begin anew. */
    int status;
    uint32_t actual_bytes;

    uint32_t generation; /* the port's: requests of an older configuration only give buffers back */
    bool busy;           /* the port's */
};

struct usb_port;

struct usb_port_ops {
    /* 0, or -errno (-ESHUTDOWN: not configured; -EAGAIN: queue full, try again
     * after an io_done of that endpoint) and it was not taken. At least four
     * requests per endpoint fit; a fifth on IN lets a CSW follow four pieces of
     * data at once. A halted endpoint takes requests and sends them when the
     * host has cleared the halt. Never completes from inside. */
    int (*submit)(struct usb_port *port, struct usb_req *req);
    /* Halts the endpoint; 0, also when it is halted already; -EAGAIN while
     * requests of it are queued; -ESHUTDOWN. */
    int (*halt)(struct usb_port *port, enum usb_endpoint endpoint);
    /* Asks for all outstanding requests back; each still completes by io_done,
     * with -ECONNRESET or with what it had moved already. From the return on
     * nothing that the host sends lands in one of them. */
    void (*cancel)(struct usb_port *port);
};

/* bRequest values of the class, BOT 3. */
enum { USB_BOT_RESET = 0xff, USB_BOT_GET_MAX_LUN = 0xfe };

/* What the port calls, from the event loop only. */
struct usb_port_events {
    /* SET_CONFIGURATION with a speed and the bulk wMaxPacketSize that goes with
     * it. Without disabled() before it, it means both. */
    void (*enabled)(void *ctx, enum usb_speed speed, uint16_t max_packet_bytes);
    /* Bus reset, configuration 0, cable pulled, unbind. Requests come back
     * with -ESHUTDOWN before or after. May be called twice. */
    void (*disabled)(void *ctx);
    void (*io_done)(void *ctx, struct usb_req *req);
    /* Bulk-Only Mass Storage Reset (BOT 3.1). The port acknowledges it on ep0
     * when this has returned, not before: the host's next CBW then cannot land
     * in a request of before the reset. */
    void (*bot_reset)(void *ctx);
    /* Highest LUN for GET MAX LUN, 0 to 15 (BOT 3.2). */
    uint8_t (*max_lun)(void *ctx);
};

struct usb_port {
    const struct usb_port_ops *ops;
    const struct usb_port_events *events; /* set by the protocol before the port runs */
    void *events_ctx;
};

#endif
