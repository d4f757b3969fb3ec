/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What parent and child say to each other over a SOCK_SEQPACKET pair: one
 * packet, one message. The parent does not trust the child: a packet that does
 * not decode, is of the wrong direction or carries descriptors that do not
 * belong to it ends the child.
 *
 *   child                            parent
 *     <--- START (control) ------------ once
 *     <--- FRONT (ep0) ---------------- for USB; then SECRETS, one for each LUN
 *     ---- DESCRIPTORS_WRITTEN ------->
 *     <--- ENDPOINTS (IN, OUT) -------- its own copies are closed
 *     ---- BIND ----------------------> the LUN is ready
 *     <--- FRONT (socket) ------------- for a local block device
 *     <--- BOUND ---------------------- the outcome, again with each new try
 *     ---- PLUG ----------------------> the user's wish; BOUND follows
 *     ---- EJECT, INSERT -------------> likewise, of a LUN's disk
 *     <--- INSERTED ------------------- another disk's address, SECRETS behind it,
 *                                       or the reason why not
 *     ---- RESOLVE -------------------> LUN number and count of tries
 *     <--- RESOLVED ------------------- numeric address, or the reason
 *     ---- STATUS --------------------> a sentence for the service manager
 *     ---- OTHER_DISK ----------------> one that was refused: it may not be exchanged
 *     <--- STOP ----------------------- log out and end
 */
#ifndef LUNSTICK_DAEMON_PRIVSEP_H
#define LUNSTICK_DAEMON_PRIVSEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum privsep_type {
    PRIVSEP_START = 1, /* text[0]: the UDC or device. fds: listening control socket */
    PRIVSEP_FRONT,     /* fds: ep0, or the socket of the block device */
    PRIVSEP_SECRETS,   /* lun; text: the secret, the target's secret */
    PRIVSEP_ENDPOINTS, /* fds: IN, OUT */
    PRIVSEP_BOUND,     /* number: enum privsep_bound; text[0]: why not; text[1]: UDC or device */
    PRIVSEP_RESOLVED,  /* lun; text[0]: numeric address or empty; text[1]: why not */
    PRIVSEP_INSERTED,  /* lun; number: read-only; text[0]: URL or empty; text[1]: why not */
    PRIVSEP_STOP,
    PRIVSEP_DESCRIPTORS_WRITTEN, /* the first from the child */
    PRIVSEP_BIND,                /* text[0]: what the outlet has to know of the disk (outlet.h) */
    PRIVSEP_RESOLVE,             /* lun; number: tries since the last session */
    PRIVSEP_STATUS,              /* text[0] */
    PRIVSEP_PLUG,                /* number: 1 plug, 0 unplug */
    PRIVSEP_EJECT,               /* lun */
    PRIVSEP_INSERT,              /* lun; number: read-only; text[0]: another disk's URL, or empty */
    PRIVSEP_OTHER_DISK,          /* text[0]: how it is known */
    PRIVSEP_TYPE_END,
};

enum privsep_bound { PRIVSEP_NOT_BOUND, PRIVSEP_IS_BOUND, PRIVSEP_UNPLUGGED };

#define PRIVSEP_TEXT_BYTES   800 /* with the terminating 0: the longest URL */
#define PRIVSEP_FDS_MAX      2
#define PRIVSEP_PACKET_BYTES (12 + 2 * PRIVSEP_TEXT_BYTES)

struct privsep_msg {
    enum privsep_type type;
    uint8_t lun;
    uint32_t number;
    char text[2][PRIVSEP_TEXT_BYTES];
    int fds[PRIVSEP_FDS_MAX]; /* the receiver's own from then on; -1: none */
};

/* An empty message. Texts are copied in, cut if they are too long. */
void privsep_init(struct privsep_msg *msg, enum privsep_type type);
void privsep_text(struct privsep_msg *msg, unsigned index, const char *text);

bool privsep_from_child(enum privsep_type type);
unsigned privsep_fd_count(enum privsep_type type); /* how many belong to it */

/* The packet without its descriptors. Encode returns its length; decode is
 * false for anything that encode does not make. */
size_t privsep_encode(const struct privsep_msg *msg, uint8_t packet[PRIVSEP_PACKET_BYTES]);
bool privsep_decode(struct privsep_msg *msg, const uint8_t *packet, size_t length);

/* Never blocks: -EAGAIN when the other side does not read. The descriptors
 * stay the caller's. 0 or -errno. */
int privsep_send(int sock, const struct privsep_msg *msg);
/* 0; -EPIPE at the end of file; -EPROTO for a packet that is none; -errno. On
 * an error no descriptor is left open. Blocks as the socket does. */
int privsep_recv(int sock, struct privsep_msg *msg);

#endif
