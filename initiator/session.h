/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One iSCSI session to one LUN: a back end of the bridge over libiscsi.
 * RFC 7143; libiscsi is the connection, the session state machine is ours:
 *
 *   DOWN -> RESOLVING -> CONNECTING -> PROBING -> UP
 *             ^                                   |
 *             +------------- BACKOFF <------------+   (from any state, on a fault)
 *
 * A target may send a login elsewhere (RFC 7143 11.13.5, status class 1), four
 * times in one login, within two login time-outs, and to no portal twice: to an
 * address, or to the portal's own name at another port; to this machine itself
 * only from there, and not to an address that is no host's. All else is a fault
 * that the next login may not have. After a loss the login begins at the user's
 * portal again.
 *
 * libiscsi never reconnects by itself here. On a loss every command comes back
 * LOST, the context is destroyed, and a new login follows with the same ISID
 * and TSIH 0, so that the target replaces the old session (RFC 7143 6.3.5).
 */
#ifndef LUNSTICK_INITIATOR_SESSION_H
#define LUNSTICK_INITIATOR_SESSION_H

#include "address.h"
#include "bridge/backend.h"
#include "bridge/lun.h" /* enum lun_log_level */

/* Room for every fault in full, with names of 223 bytes. */
#define SESSION_WHY_BYTES    768
#define SESSION_PORTAL_BYTES 96

/* First byte of an ISID of type T=10b, RFC 7143 11.12.5. */
#define SESSION_ISID_RANDOM 0x80

enum session_state {
    SESSION_DOWN,
    SESSION_RESOLVING,
    SESSION_CONNECTING, /* TCP connect and login */
    SESSION_PROBING,    /* full feature phase; the logical unit looks at the disk */
    SESSION_UP,
    SESSION_BACKOFF,
};
const char *session_state_name(enum session_state state);

struct session;

struct session_config {
    struct address address; /* portal as the user wrote it, IQN, LUN, user, digest */
    char initiator_name[224];
    uint8_t isid[6];       /* session_isid() */
    char target_user[256]; /* mutual CHAP; empty: none */
    /* CHAP; NULL or empty: none. They stay the caller's, who keeps them until the
     * session is destroyed: each login reads them. */
    const char *secret, *target_secret;
    bool header_digest;        /* ask for CRC32C, accept None; address.header_digest does, too */
    uint32_t login_timeout_ms; /* 0: 5000; connect (2000 of it at most) and login together */
    uint32_t keepalive_ms;     /* 0: 5000; NOP-Out when nothing came; twice unanswered: loss */
    uint32_t backoff_max_ms;   /* 0: 1000; starts at 100 and doubles */
    struct deferred_list *deferred;
    uint64_t (*now_us)(void);
    /* State moves and remarks; faults only where there is no fault(). */
    void (*log)(enum lun_log_level level, const char *text);
    /* Asks for the numeric form of a host name; the answer comes with
     * session_resolved(), later. NULL: the portal is numeric already. After a
     * loss the address that the session had is tried first, without asking. */
    void (*resolve)(void *ctx, const char *host);
    void *resolve_ctx;
    /* Every fault before the first acceptance and every loss after it, with
     * the cause and the fix in one line. May be NULL. */
    void (*fault)(void *ctx, enum backend_fault fault, const char *why);
    void *fault_ctx;
};

/* NULL with errno; EINVAL: isid is not session_isid()'s, a secret without its
 * user, a mutual secret without the other or equal to it (RFC 7143 9.2.1).
 * Nothing is sent before session_start(). All but the secrets is copied. */
struct session *session_create(const struct session_config *config);
void session_start(struct session *s);
/* Logs out if there is a session and the target answers within a second; then
 * DOWN for good. May be called at any time; the commands in it come back LOST. */
void session_stop(struct session *s);
bool session_stopped(const struct session *s);
void session_destroy(struct session *s); /* once stopped */
struct backend *session_backend(struct session *s);

/* For the event loop. The descriptor changes with each connect: ask every turn. */
int session_fd(const struct session *s);            /* -1: none */
short session_poll_events(const struct session *s); /* POLLIN | POLLOUT */
void session_service(struct session *s, short revents);
uint64_t session_next_timeout_us(const struct session *s);
void session_run_timeouts(struct session *s);
/* `numeric` is an IPv4 or IPv6 address without brackets; NULL: not resolved, `why` says it. */
void session_resolved(struct session *s, const char *numeric, const char *why);

/* ISID of type RANDOM/hash (RFC 7143 11.12.5, T=10b): the same for the same
 * board, gadget, LUN and use ("usb", "probe", ...), another for each other. */
void session_isid(uint8_t isid[6], const char *board, const char *gadget, const char *lun,
                  const char *use);

struct session_stats {
    enum session_state state;
    uint64_t since_us; /* of the state */
    uint64_t logins, losses;
    uint64_t keepalive_rtt_us; /* last NOP-Out, 0: none yet */
    unsigned outstanding;
    char last_fault[SESSION_WHY_BYTES];
    char portal[SESSION_PORTAL_BYTES]; /* numeric, of the last attempt; after a redirect the new one
                                        */
    bool header_digest, authenticated, target_authenticated; /* as negotiated */
    uint32_t max_send_bytes, first_burst_bytes;              /* as negotiated */
    int portal_group, time2wait_s, time2retain_s;            /* as the target told; group -1: not */
    const void *last_iov_base; /* of the last command with data, for tests */
};
const struct session_stats *session_stats(const struct session *s);

#endif
