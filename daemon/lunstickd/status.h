/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `lunstick status`: what the daemon says about itself. The child fills a view
 * of pointers to the modules' own numbers; these functions turn it into text
 * for people or JSON for programs. They change nothing and allocate nothing.
 */
#ifndef LUNSTICK_DAEMON_STATUS_H
#define LUNSTICK_DAEMON_STATUS_H

#include "bridge/lun.h"
#include "gadget/bot.h"
#include "gadget/ffs_port.h"
#include "initiator/session.h"

/* Enough for the longest answer, text or JSON, with all LUNs. */
#define STATUS_BYTES 131072

struct status_lun {
    const struct address *address;
    const char *portal;                  /* numeric; NULL: the session's own word for it */
    const struct session_stats *session; /* never NULL */
    const struct lun_stats *lun;         /* never NULL */
    const struct disk_identity *disk;    /* NULL: no disk was accepted yet */
    enum medium medium;
    enum medium_reinsert reinsert;
    bool read_only; /* by configuration, or by the user */
    bool removable;
    bool cdrom;
    bool exclusive; /* wanted; whether it is so, the logical unit knows */
};

struct status_view {
    const char *version;
    const char *name;
    long pid; /* of the child */
    uint64_t now_us, started_us;
    const char *initiator_name;
    const char *serial; /* USB */

    bool local;                        /* no USB: `udc` is this machine's own block device */
    const char *udc;                   /* NULL or "": none */
    bool bound;                        /* the gadget is bound to it */
    bool unplugged;                    /* the user does not want it to be */
    const char *host;                  /* its profile; NULL: not known */
    const char *gadget_fault;          /* why it is not, in one sentence; NULL or "": no fault */
    const struct bot_stats *bot;       /* NULL before it exists */
    const char *bot_state;             /* bot_state_name(), NULL likewise */
    const struct ffs_port_stats *port; /* NULL likewise */

    struct status_lun luns[BOT_LUNS_MAX];
    unsigned lun_count;
};

/* One sentence: what the host now sees and why. Returns its length; it is cut
 * to `size` - 1 characters and always terminated. */
size_t status_sentence(const struct status_view *view, char *buf, size_t size);

/* A byte count for people, decimal as disks are sold: "64 MB", "1.5 GB". */
size_t status_size(uint64_t bytes, char *buf, size_t size);

/* The sentence and the details, several lines. Length as above. */
size_t status_text(const struct status_view *view, char *buf, size_t size);

/*
 * One line, one JSON object, strings as RFC 8259 wants them (bytes that are no
 * printable ASCII become \u00XX). When `size` is too small it returns 0 and
 * leaves "": half an object is never given. Keys are only ever added:
 *
 *   summary version name pid uptime_ms initiator_name
 *   usb: { udc bound serial speed suspended state fault cbws invalid_cbws
 *          resets enables phase_errors in_bytes out_bytes stale
 *          last_in_buf last_out_buf plugged host }
 *   device (in place of usb: the local block device)
 *   luns: [ { url portal iqn lun read_only removable medium cdrom exclusive
 *     access_held
 *     session: { state since_ms logins reconnects losses keepalive_rtt_us
 *                outstanding header_digest authenticated
 *                target_authenticated max_send_bytes first_burst_bytes
 *                last_fault last_iov_base }
 *     disk: null or { id vendor product revision blocks block_bytes bytes
 *                     write_protected write_cache usable why }
 *     io: { commands local_answers passed_through read_bytes written_bytes
 *           check_conditions answered_late retried orphans adopted outstanding
 *           latency_us_mean latency_us_max
 *           proofs disproofs
 *           last_streamed_read: { bytes first_to_host_us last_segment_us }
 *           last_streamed_write: { bytes first_to_target_us last_from_host_us } } } ]
 *
 * Addresses are strings ("0x..."). Numbers above 2^53 do not occur but in
 * `blocks` and `bytes` of disks beyond 8 PiB.
 */
size_t status_json(const struct status_view *view, char *buf, size_t size);

#endif
