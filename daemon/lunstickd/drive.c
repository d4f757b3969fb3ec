/* SPDX-License-Identifier: BSD-2-Clause */
#include "drive.h"

#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED_RETRY_MS 5000
/* So long a user waits for the disk that shall come in. */
#define INSERT_ANSWER_MS 10000
/* So long a target may take to let go of a reservation. */
#define RELEASE_MS 1000

enum exchange { IN_USE, ASKED, GRANTED, LEAVING };

struct drive {
    struct drive_config config;
    struct slot slot;
    const struct config_lun *configured;
    struct session *session;
    struct lun *lun;
    struct loop_watch watch;
    struct lun_secrets *secrets; /* [0] the session's, [1] of the next one; in no core file */

    /* Another disk. */
    enum exchange exchange;
    struct slot next;
    bool next_take_over;
    bool put_back;         /* the old disk, if it is refused */
    uint32_t ticket;       /* of who waits for a disk to come in; 0: nobody */
    uint64_t answer_by_us; /* and until when */

    bool stopping;
    uint64_t leave_by_us; /* the session ends then, also with the reservation; LOOP_NEVER */
    bool unplugged;       /* no host: nobody needs the disk for himself */

    bool accepted;     /* a disk was accepted once */
    bool patient;      /* the target was away before it answered, or the host knew it: go on */
    uint64_t retry_us; /* LOOP_NEVER, or when a session that was refused starts again */
    uint32_t resolves; /* since the last session */
    char portal[64];   /* numeric; empty: not known yet */
};

/* ---- the session ---- */

static void tell_parent(struct drive *d, enum privsep_type type, uint32_t number, const char *text)
{
    struct privsep_msg msg;

    privsep_init(&msg, type);
    msg.lun = (uint8_t)d->config.number;
    msg.number = number;
    privsep_text(&msg, 0, text);
    d->config.tell_parent(d->config.ctx, &msg);
}

static void ask_resolver(void *ctx, const char *host)
{
    struct drive *d = ctx;

    (void)host; /* the parent resolves the slot's name and no other */
    tell_parent(d, PRIVSEP_RESOLVE, d->resolves++, "");
}

void drive_resolved(struct drive *d, const char *numeric, const char *why)
{
    if (numeric[0]) {
        (void)snprintf(d->portal, sizeof d->portal, "%.63s", numeric);
        session_resolved(d->session, d->portal, NULL);
    } else {
        session_resolved(d->session, NULL, why);
    }
}

__attribute__((format(printf, 3, 4))) static void answer(struct drive *d, int status,
                                                         const char *format, ...)
{
    char text[DRIVE_ANSWER_BYTES];
    uint32_t ticket = d->ticket;
    va_list args;

    d->ticket = 0;
    d->answer_by_us = LOOP_NEVER;
    if (!ticket)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->config.answer(d->config.ctx, ticket, status, text);
}

/* Before the first acceptance a permanent fault ends the daemon, a transient
 * one only with --once; afterwards nothing does. What a target that was away
 * says at first is not permanent: many listen before their LUNs are there. The
 * session gives up on its own after such an answer, and is started again. */
static void session_fault(void *ctx, enum backend_fault fault, const char *why)
{
    struct drive *d = ctx;
    bool permanent = fault == BACKEND_FAULT_PERMANENT;
    bool ends = !d->accepted && !d->patient && (permanent || d->config.config->once);

    if (ends) {
        log_text(LUN_LOG_ERROR, why);
        d->config.end(d->config.ctx, permanent ? CHILD_EXIT_PERMANENT : CHILD_EXIT_TRANSIENT);
    } else {
        log_text(LUN_LOG_WARNING, why);
    }
    if (permanent) {
        if (d->exchange == IN_USE)
            answer(d, 2, "%s; trying again, until there is another insert or eject", why);
        d->retry_us = loop_now_us() + REFUSED_RETRY_MS * 1000ULL;
    } else {
        d->patient = true;
    }
}

static void session_ready(void *ctx, short revents)
{
    struct drive *d = ctx;

    session_service(d->session, revents);
}

static struct session *make_session(struct drive *d)
{
    const struct daemon_config *config = d->config.config;
    const struct config_lun *lun = &d->slot.lun;
    bool numeric = address_is_numeric(lun->address.host);
    char number[8];
    struct session_config sc = {
        .address = lun->address,
        .header_digest = lun->header_digest,
        .login_timeout_ms = config->login_timeout_ms,
        .keepalive_ms = config->keepalive_ms,
        .backoff_max_ms = config->backoff_max_ms,
        .deferred = d->config.deferred,
        .now_us = loop_now_us,
        .log = d->config.log,
        .resolve = numeric ? NULL : ask_resolver,
        .resolve_ctx = d,
        .fault = session_fault,
        .fault_ctx = d,
    };

    (void)snprintf(number, sizeof number, "%u", d->config.number);
    memcpy(sc.initiator_name, config->initiator_name, sizeof sc.initiator_name);
    memcpy(sc.target_user, lun->target_user, sizeof sc.target_user);
    sc.secret = d->secrets[0].secret;
    sc.target_secret = d->secrets[0].target_secret;
    session_isid(sc.isid, config->board, config->name, number,
                 config->front == CONFIG_FRONT_NBD ? "nbd" : "usb");
    d->portal[0] = 0;
    if (numeric)
        (void)snprintf(d->portal, sizeof d->portal, "%.63s", lun->address.host);
    return session_create(&sc);
}

/* ---- making it ---- */

static bool ephemeral(const struct drive *d)
{
    bool is = config_ephemeral(&d->slot.lun);

    if (is)
        log_printf(LUN_LOG_INFO,
                   "%.223s makes a fresh disk at each login%s: whenever the session "
                   "is lost, the host is told of a new medium",
                   d->slot.lun.address.iqn,
                   d->slot.lun.ephemeral == CONFIG_BY_ITSELF
                       ? ", as anonymous targets of scsipub do (ephemeral = false; if not)"
                       : "");
    return is;
}

/* Promise 6: the host sees the gadget when every LUN was accepted once. */
static void disk_changed(void *ctx, const struct disk_identity *disk)
{
    struct drive *d = ctx;

    (void)disk;
    d->accepted = true;
    d->resolves = 0;
    d->config.settled(d->config.ctx);
}

static void disk_refused(void *ctx, const char *why)
{
    tell_parent(ctx, PRIVSEP_OTHER_DISK, 0, why);
}

static struct lun *make_lun(struct drive *d)
{
    const struct daemon_config *config = d->config.config;
    const struct config_lun *lun = &d->slot.lun;
    bool exclusive = lun->access == CONFIG_EXCLUSIVE;
    bool nbd = config->front == CONFIG_FRONT_NBD;
    uint32_t answer_within_ms =
        config->answer_within_ms ? config->answer_within_ms : LUN_ANSWER_BY_HOST;
    const struct lun_config lc = {
        .backend = session_backend(d->session),
        .deferred = d->config.deferred,
        .pool = d->config.pool,
        .now_us = loop_now_us,
        .log = d->config.log,
        .disk_changed = disk_changed,
        .disk_changed_ctx = d,
        .disk_refused = nbd ? disk_refused : NULL,
        .disk_refused_ctx = d,
        .memory = d->config.memory,
        .answer_within_ms = nbd ? 0 : answer_within_ms,
        .attention_off = nbd,
        .cable = nbd ? NULL : d->config.cable,
        .number = d->config.number,
        .segment_bytes = config->segment_bytes,
        .whole_reads = nbd,
        .read_only = lun->read_only,
        .removable = lun->removable,
        .reinsert = lun->reinsert,
        .reinsert_after_ms = lun->reinsert_after_s * 1000,
        .give_up_after_ms = lun->give_up_after_s * 1000,
        .ephemeral = ephemeral(d),
        .cdrom = lun->cdrom,
        .continuity_off = !lun->continuity,
        .reservation_key = exclusive ? config_reservation_key(config) : 0,
        .take_over = config->take_over && !d->config.host_knew,
    };

    return lun_create(&lc);
}

struct drive *drive_create(const struct drive_config *config)
{
    struct drive *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->config = *config;
    d->slot = *config->slot;
    d->configured = &config->config->luns[config->number];
    d->patient = config->host_knew;
    d->retry_us = d->answer_by_us = d->leave_by_us = LOOP_NEVER;
    d->watch = (struct loop_watch){.fd = -1, .ready = session_ready, .ctx = d};
    d->secrets = secrets_room(2);
    if (!d->secrets)
        return NULL;
    d->secrets[0] = *config->secrets;
    d->config.secrets = NULL;
    d->session = make_session(d);
    d->lun = d->session ? make_lun(d) : NULL;
    if (!d->lun)
        return NULL; /* and the process ends */
    if (d->slot.ejected)
        (void)lun_eject(d->lun, true);
    int rc = loop_add(config->loop, &d->watch);
    errno = -rc;
    return rc < 0 ? NULL : d;
}

struct lun *drive_lun(const struct drive *d)
{
    return d->lun;
}

void drive_start(struct drive *d)
{
    session_start(d->session);
}

/* Nothing comes from the host any more; the session may log out. */
static void released(void *ctx)
{
    struct drive *d = ctx;

    if (d->leave_by_us != LOOP_NEVER)
        session_stop(d->session);
    d->leave_by_us = LOOP_NEVER;
}

/* The session ends once the disk is free for others. */
static void leave(struct drive *d)
{
    d->retry_us = LOOP_NEVER;
    d->leave_by_us = loop_now_us() + RELEASE_MS * 1000ULL;
    lun_release_access(d->lun, released, d);
}

void drive_stop(struct drive *d)
{
    d->stopping = true;
    d->exchange = IN_USE;
    answer(d, 1, "the daemon is stopping");
    leave(d);
}

bool drive_stopped(const struct drive *d)
{
    return d->stopping && session_stopped(d->session);
}

bool drive_settled(const struct drive *d)
{
    return d->accepted || d->slot.ejected || d->config.config->early;
}

bool drive_may_be_empty(const struct drive *d)
{
    return d->slot.lun.removable;
}

void drive_replugged(struct drive *d)
{
    lun_replugged(d->lun);
}

void drive_unplugged(struct drive *d, bool unplugged)
{
    if (unplugged == d->unplugged || d->stopping)
        return;
    d->unplugged = unplugged;
    if (d->exchange == LEAVING || d->slot.lun.access != CONFIG_EXCLUSIVE)
        return; /* given back anyway; never taken */
    if (unplugged)
        lun_release_access(d->lun, released, d);
    else
        lun_claim_access(d->lun);
}

/* ---- the user's wishes ---- */

__attribute__((format(printf, 3, 4))) static int say(char text[DRIVE_ANSWER_BYTES], int status,
                                                     const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, DRIVE_ANSWER_BYTES, format, args);
    va_end(args);
    return status;
}

static int say_busy(char text[DRIVE_ANSWER_BYTES])
{
    return say(text, 1,
               "the host is using the disk; unmount or eject it there, or take it away from the "
               "host with --force");
}

static int eject(struct drive *d, bool force, char text[DRIVE_ANSWER_BYTES])
{
    int rc = lun_eject(d->lun, force);

    if (rc == -EBUSY)
        return say_busy(text);
    if (d->slot.ejected)
        return say(text, 1, "it is ejected already; lunstick insert puts a disk in");
    d->slot.ejected = d->next.ejected = true;
    tell_parent(d, PRIVSEP_EJECT, 0, "");
    answer(d, 1, "it was ejected in the meantime");
    d->config.settled(d->config.ctx);
    return say(text, 0, "Ejected: the host sees an empty drive.");
}

/* "iscsi://..., 64 MB" */
static void put_disk(const struct drive *d, char *text, size_t size)
{
    const struct disk_identity *disk = lun_disk(d->lun);
    char url[ADDRESS_TEXT_BYTES], capacity[32] = "?";

    if (disk)
        (void)status_size(disk->blocks * disk->block_bytes, capacity, sizeof capacity);
    (void)snprintf(text, size, "%.300s, %s%s",
                   address_format(&d->slot.lun.address, url, sizeof url), capacity,
                   d->slot.lun.read_only ? ", read-only" : "");
}

static int wait_for_disk(struct drive *d, uint32_t ticket)
{
    answer(d, 1, "there was another insert in the meantime");
    d->ticket = ticket;
    d->answer_by_us = loop_now_us() + INSERT_ANSWER_MS * 1000ULL;
    return REQUEST_LATER;
}

/* The disk that is there, or shall be there. */
static int insert(struct drive *d, const struct request *request, uint32_t ticket,
                  char text[DRIVE_ANSWER_BYTES])
{
    char disk[400];

    if (request->take_over)
        return say(text, 2, "--take-over goes with the URL of another disk");
    if (lun_medium(d->lun) == MEDIUM_IN)
        return say(text, 1,
                   "there is a disk in it already; lunstick eject takes it out, lunstick insert "
                   "URL puts in another");
    slot_insert(&d->slot, d->configured, request->read_only);
    slot_insert(&d->next, d->configured, request->read_only);
    tell_parent(d, PRIVSEP_INSERT, request->read_only, "");
    lun_write_protect(d->lun, d->slot.lun.read_only);
    d->put_back = true;
    if (d->exchange != IN_USE || lun_insert(d->lun) == -ENOTCONN)
        return wait_for_disk(d, ticket);
    put_disk(d, disk, sizeof disk);
    return say(text, 0, "Inserted: %s.", disk);
}

/* Another one. The parent looks at the address, too, and has the last word. */
static int insert_other(struct drive *d, const struct request *request, uint32_t ticket,
                        char text[DRIVE_ANSWER_BYTES])
{
    char why[CONFIG_WHY_BYTES];

    if (d->exchange != IN_USE)
        return say(text, 1, "another insert is under way; try again");
    if (!slot_choose(&d->next, d->configured, request->url, request->read_only, why))
        return say(text, 2, "%s", why);
    enum medium medium = lun_medium(d->lun);
    if (lun_eject(d->lun, request->force) == -EBUSY)
        return say_busy(text);
    d->next_take_over = request->take_over;
    d->put_back = medium != MEDIUM_OUT_USER && medium != MEDIUM_OUT_HOST;
    d->exchange = ASKED;
    tell_parent(d, PRIVSEP_INSERT, request->read_only, request->url);
    return wait_for_disk(d, ticket);
}

int drive_request(struct drive *d, const struct request *request, uint32_t ticket,
                  char text[DRIVE_ANSWER_BYTES])
{
    if (!d->slot.lun.removable)
        return say(text, 2,
                   "it is a fixed disk to the host, which has no medium; set removable = true "
                   "and restart lunstickd");
    if (request->verb == REQUEST_EJECT)
        return eject(d, request->force, text);
    if (request->url)
        return insert_other(d, request, ticket, text);
    return insert(d, request, ticket, text);
}

/* ---- another disk ---- */

void drive_inserted(struct drive *d, const struct privsep_msg *msg)
{
    if (d->exchange != ASKED)
        return;
    if (msg->text[0][0]) {
        d->exchange = GRANTED;
        return;
    }
    d->exchange = IN_USE;
    if (d->put_back && !d->slot.ejected)
        (void)lun_insert(d->lun);
    answer(d, 2, "%s", msg->text[1]);
}

void drive_secrets(struct drive *d, const struct lun_secrets *secrets)
{
    if (d->exchange != GRANTED)
        return;
    d->secrets[1] = *secrets;
    d->exchange = LEAVING;
    leave(d);
}

/* The old session is gone and has given everything back. */
static void exchange_session(struct drive *d)
{
    struct session *old = d->session;

    d->exchange = IN_USE;
    d->slot = d->next;
    log_printf(LUN_LOG_INFO, "disk %u: another target, %s", d->config.number,
               d->slot.lun.address.iqn);
    d->secrets[0] = d->secrets[1];
    secrets_wipe(&d->secrets[1]);
    d->session = make_session(d);
    if (!d->session) {
        log_printf(LUN_LOG_ERROR, "another session: %s", strerror(errno));
        d->session = old;
        d->config.end(d->config.ctx, CHILD_EXIT_BROKEN);
        return;
    }
    const struct lun_target target = {.backend = session_backend(d->session),
                                      .ephemeral = ephemeral(d),
                                      .take_over = d->next_take_over};
    lun_retarget(d->lun, &target);
    if (!d->unplugged)
        lun_claim_access(d->lun);
    lun_write_protect(d->lun, d->slot.lun.read_only);
    if (!d->slot.ejected)
        (void)lun_insert(d->lun);
    session_destroy(old);
    d->accepted = false;
    d->patient = true;
    d->resolves = 0;
    session_start(d->session);
}

static void answer_insert(struct drive *d)
{
    char disk[400];
    const char *fault = session_stats(d->session)->last_fault;

    if (!d->ticket || d->exchange != IN_USE)
        return;
    if (lun_medium(d->lun) == MEDIUM_IN && lun_stats(d->lun)->session_up) {
        put_disk(d, disk, sizeof disk);
        answer(d, 0, "Inserted: %s.", disk);
    } else if (loop_now_us() >= d->answer_by_us) {
        answer(d, 1, "not yet: %.300s; still trying, see lunstick status",
               fault[0] ? fault : "the target does not answer");
    }
}

/* ---- the loop ---- */

/* What the host ejected for good is not there for the next child, either. */
static void note_host_eject(struct drive *d)
{
    if (d->slot.ejected || d->slot.lun.reinsert != MEDIUM_REINSERT_NEVER ||
        lun_medium(d->lun) != MEDIUM_OUT_HOST)
        return;
    d->slot.ejected = true;
    tell_parent(d, PRIVSEP_EJECT, 0, "");
}

uint64_t drive_prepare(struct drive *d)
{
    note_host_eject(d);
    if (d->exchange == LEAVING && session_stopped(d->session))
        exchange_session(d);
    answer_insert(d);
    d->watch.fd = session_fd(d->session);
    d->watch.events = session_poll_events(d->session);
    uint64_t next_us = loop_earlier(d->retry_us, loop_earlier(d->answer_by_us, d->leave_by_us));
    next_us = loop_earlier(next_us, session_next_timeout_us(d->session));
    return loop_earlier(next_us, lun_next_timeout_us(d->lun));
}

void drive_run_timeouts(struct drive *d)
{
    uint64_t now_us = loop_now_us();

    if (session_next_timeout_us(d->session) <= now_us)
        session_run_timeouts(d->session);
    if (lun_next_timeout_us(d->lun) <= now_us)
        lun_run_timeouts(d->lun);
    if (d->leave_by_us <= now_us)
        released(d);
    if (d->retry_us <= now_us) {
        d->retry_us = LOOP_NEVER;
        session_start(d->session);
    }
}

unsigned drive_state(const struct drive *d)
{
    return (unsigned)session_stats(d->session)->state * 16 + (unsigned)lun_medium(d->lun);
}

void drive_view(const struct drive *d, struct status_lun *view)
{
    *view = (struct status_lun){
        .address = &d->slot.lun.address,
        .portal = d->portal[0] ? d->portal : NULL,
        .session = session_stats(d->session),
        .lun = lun_stats(d->lun),
        .disk = lun_disk(d->lun),
        .medium = lun_medium(d->lun),
        .reinsert = d->slot.lun.reinsert,
        .read_only = d->slot.lun.read_only,
        .removable = d->slot.lun.removable,
        .cdrom = d->slot.lun.cdrom,
        .exclusive = d->slot.lun.access == CONFIG_EXCLUSIVE,
    };
}
