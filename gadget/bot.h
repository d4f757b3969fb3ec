/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * USB Mass Storage, Bulk-Only Transport 1.0, as a pure state machine between a
 * usb_port and an array of logical units. One command at a time: a BOT host
 * sends no other CBW before the CSW.
 *
 * A CBW that is invalid (not 31 bytes, another signature; BOT 6.6.1): neither
 * data nor CSW until a reset recovery. OUT is discarded. IN is halted, and
 * again within BOT_HALT_AGAIN_MS of each CLEAR_HALT.
 *
 * A CBW that is valid but not meaningful (BOT 6.2.2; the answer is the device's
 * choice): a reserved bit set in bmCBWFlags, bCBWLUN or bCBWCBLength, a LUN that
 * does not exist, a CDB of no or of more than 16 bytes. It reaches no logical
 * unit: data-in end with an empty packet (or a halt), data-out are drained, the
 * CSW says FAILED with everything as residue, and the next command works.
 *
 * A host that takes only part of what IN has for it has given the command up: the
 * next thing it sends is a CBW.
 *
 *   OFF        not configured by a host
 *   IDLE       waits for a CBW
 *   NO_CMD     has one, but the logical unit has no command free: asks again
 *   NO_DATA    command out, no data declared
 *   DATA_IN    command out, data to the host as they become valid
 *   DATA_OUT   command out, data from the host; what nobody wants is drained
 *   HALT_IN    short data-in under BOT_SHORT_IN_HALT: halts when all is sent
 *   CSW        the CSW is behind the data; the next CBW may come already
 *   INVALID    after an invalid CBW: IN halted, OUT discarded, until a reset
 *   RESETTING  waits for its USB requests to come home, then OFF, IDLE, INVALID
 */
#ifndef LUNSTICK_GADGET_BOT_H
#define LUNSTICK_GADGET_BOT_H

#include "bridge/lun.h"
#include "usb_port.h"

#define BOT_LUNS_MAX 16

/* Data requests outstanding at a time. */
#define BOT_DEPTH 4

/* After an invalid CBW: FunctionFS has no wedge and tells of no CLEAR_HALT, so
 * the halt is renewed at this pace. A host that reads meanwhile gets NAKs. */
#define BOT_HALT_AGAIN_MS 50

/* What a data-in phase that is shorter than the host declared ends with.
 * BOT 6.7.2 case 5 asks for a halt; hosts are known that take it badly, and
 * all take a short or zero-length packet. */
enum bot_short_in { BOT_SHORT_IN_PACKET, BOT_SHORT_IN_HALT };

struct bot_config {
    struct usb_port *port;
    struct deferred_list *deferred;
    struct lun *const *luns; /* lun_count of them, 1 to BOT_LUNS_MAX; must outlive the bot */
    unsigned lun_count;
    enum bot_short_in short_in;
    uint64_t (*now_us)(void);                                /* monotonic; virtual in tests */
    void (*log)(enum lun_log_level level, const char *text); /* NULL: silent */
};

struct bot;

/* Registers itself as the port's events. NULL with errno (ENOMEM, EINVAL). */
struct bot *bot_create(const struct bot_config *config);
/* Only after the port is disabled and all requests have come back. */
void bot_destroy(struct bot *bot);
bool bot_idle(const struct bot *bot); /* nothing is lent: bot_destroy() may be called */

/* Call bot_run_timeouts() when now_us() has reached bot_next_timeout_us()
 * (UINT64_MAX: nothing is waited for). */
uint64_t bot_next_timeout_us(const struct bot *bot);
void bot_run_timeouts(struct bot *bot);

struct bot_stats {
    uint64_t cbws;           /* valid ones */
    uint64_t invalid_cbws;   /* wrong length or signature: INVALID until a reset */
    uint64_t not_meaningful; /* valid, yet of no use: answered with a failed CSW */
    uint64_t resets;         /* Bulk-Only Mass Storage Resets */
    uint64_t enables;        /* SET_CONFIGURATIONs */
    uint64_t phase_errors;   /* CSWs with status 02h */
    uint64_t faults;         /* the port or a logical unit broke its contract */
    enum usb_speed speed;    /* USB_SPEED_NONE: not configured by a host */
};
const struct bot_stats *bot_stats(const struct bot *bot);
const char *bot_state_name(const struct bot *bot);

#endif
