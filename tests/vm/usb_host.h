/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One USB device, VID:PID 1d6b:0104, over Linux usbfs, for test programs that
 * are hosts of their own, or that do to the host's device what its driver would
 * not do. One device, one process: the state is global.
 */
#ifndef LUNSTICK_TESTS_USB_HOST_H
#define LUNSTICK_TESTS_USB_HOST_H

#include <stdbool.h>
#include <stdint.h>

enum usb_way { USB_TO_DEVICE, USB_FROM_DEVICE };

/* Wait for it to be configured. 0 or -ETIMEDOUT. usb_open() claims its interface;
 * for a port reset, a configuration or a replug no kernel driver may be loaded
 * then that would want it. usb_watch() leaves it to the driver: no transfers,
 * no halts. */
int usb_open(unsigned timeout_ms);
int usb_watch(unsigned timeout_ms);
/* Lets kernel drivers have it again. */
void usb_close(void);
const char *usb_sysfs_dir(void);
unsigned usb_packet_bytes(void); /* wMaxPacketSize of the bulk endpoints */

/* Bytes, or -errno: -EPIPE stalled, -ETIMEDOUT. */
int usb_control(uint8_t type, uint8_t request, uint16_t value, uint16_t index, void *data,
                uint16_t bytes);

/* status: 0, or -errno: -EPIPE halted, -ETIMEDOUT, -EOVERFLOW the device sent
 * more, others when it is reset or gone. `bytes` moved, whatever the status. */
struct usb_result {
    int status;
    unsigned bytes;
};
struct usb_result usb_bulk(enum usb_way way, void *buf, unsigned bytes, unsigned timeout_ms);
/* The same, given up after a time that is no time-out: 0 is at once. */
struct usb_result usb_bulk_abort(enum usb_way way, void *buf, unsigned bytes, unsigned after_us);

/* Each: 0 or -errno. */
int usb_clear_halt(enum usb_way way);
int usb_is_halted(enum usb_way way); /* GET_STATUS of the endpoint: 1, 0 */
int usb_bot_reset(void);             /* the class request alone */
int usb_bot_recovery(void);          /* BOT 5.3.4: with both CLEAR_HALTs */
int usb_port_reset(void);
int usb_configuration_zero(void); /* and back to 1 */
int usb_suspend(void);
int usb_resume(void);
int usb_replug(void); /* the gadget is unbound and bound again */

uint64_t usb_now_ms(void);
void usb_sleep_ms(unsigned ms);

#endif
