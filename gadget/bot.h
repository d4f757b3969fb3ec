/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USB Mass Storage, Bulk-Only Transport 1.0, as a pure state machine between a
 * usb_port and an array of logical units. One command at a time: a BOT host
 * sends no other CBW before the CSW.
 */
#ifndef LUNSTICK_GADGET_BOT_H
#define LUNSTICK_GADGET_BOT_H

#include "bridge/lun.h"
#include "usb_port.h"

#define BOT_CBW_BYTES 31
#define BOT_CSW_BYTES 13
#define BOT_LUNS_MAX  16

/* What a data-in phase that is shorter than the host declared ends with.
 * BOT 6.7.2 case 5 asks for a halt; hosts are known that take it badly, and
 * all take a short or zero-length packet. */
enum bot_short_in { BOT_SHORT_IN_PACKET, BOT_SHORT_IN_HALT };

struct bot_config {
    struct usb_port *port;
    struct deferred_list *deferred;
    struct lun *const *luns; /* lun_count of them, 1 to BOT_LUNS_MAX */
    unsigned lun_count;
    enum bot_short_in short_in;
    void (*log)(enum lun_log_level level, const char *text);
};

struct bot;

/* Registers itself as the port's events. NULL with errno (ENOMEM, EINVAL). */
struct bot *bot_create(const struct bot_config *config);
/* Only after the port is disabled and all requests have come back. */
void bot_destroy(struct bot *bot);
bool bot_idle(const struct bot *bot); /* nothing is lent: bot_destroy() may be called */

struct bot_stats {
    uint64_t cbws, invalid_cbws, resets, enables, phase_errors;
    enum usb_speed speed; /* USB_SPEED_NONE: not configured by a host */
};
const struct bot_stats *bot_stats(const struct bot *bot);
const char *bot_state_name(const struct bot *bot);

#endif
