/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libiscsi (1.19.0 and 1.20.0, read in their sources) makes necessary:
 *
 * - Its own accounts are not trusted: on some faults of the target it forgets a
 *   command without calling back. The slots here are the truth; conn_close()
 *   completes what is left in them.
 * - A context is never destroyed on the stack of one of its callbacks.
 * - When it gives a session up, and nothing is outstanding, it says so to the log
 *   function at level 2 alone.
 * - Data-Out that is still queued refers to the task of its command, even after
 *   the target has answered the command early. Such a task is kept, without its
 *   buffers, until nothing is left to be sent; an attempt to send more of it
 *   then ends the session.
 * - What was negotiated is nowhere to be asked for, but told to the log function
 *   at level 6, key by key.
 */
#include "conn.h"

#include "bridge/bytes.h"
#include "guard.h"
#include "libiscsi.h"
#include "login_fault.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

/* As long as libiscsi's own. */
#define ERROR_BYTES 256

/* Levels of libiscsi's log: errors are 1, at 2 it tells that it gave up, at 6
 * the keys of a login answer. */
#define LOG_LEVEL_ERRORS 1
#define LOG_LEVEL_END    2
#define LOG_LEVEL_KEYS   6

enum slot_state {
    SLOT_FREE,
    SLOT_BUSY,    /* the command is libiscsi's */
    SLOT_RETIRED, /* the command went back, libiscsi may still refer to the task */
};

struct slot {
    enum slot_state state;
    struct conn *conn;
    struct backend_cmd *cmd;
    struct scsi_task *task;
    struct scsi_iovec iov[BACKEND_IOV_MAX];
    uint64_t order; /* of submission */
    uint64_t mark;
};

struct conn {
    const struct conn_events *events;
    void *ctx;
    struct deferred_list *deferred;
    struct conn_params params;
    struct iscsi_context *iscsi;
    struct conn_agreed agreed;
    bool connected;
    bool logged_in;
    bool over;     /* failed(), redirected() or stage_refused() was called */
    bool closing;  /* callbacks come from the destruction of the context */
    bool given_up; /* libiscsi gave the session up */
    bool leaving;  /* conn_logout() was called */
    bool bad_keys; /* the login answer holds values that RFC 7143 forbids */
    bool digest_answered;
    bool want_room; /* conn_submit() said -EAGAIN */
    unsigned busy, retired;
    unsigned writing; /* of the busy: with data-out */
    uint64_t order;
    uint64_t mark_key;
    const void *last_iov_base;
    char error[ERROR_BYTES]; /* the first that libiscsi told of in this service call */
    struct slot slots[CONN_SLOTS];
};

/* libiscsi's log function has no argument of ours; one thread, set around calls. */
static struct conn *logging;

/* CHAP was picked, and there is nothing to do CHAP with. */
static bool stage_refused(const struct conn *c)
{
    return c->params.security_stage && c->params.secret[0] == '\0' && !c->logged_in &&
           c->agreed.authenticated;
}

static void fail(struct conn *c, enum backend_fault fault, const char *why)
{
    if (c->over || c->closing)
        return;
    c->over = true;
    if (stage_refused(c))
        c->events->stage_refused(c->ctx);
    else
        c->events->failed(c->ctx, fault, why);
}

static void lost(struct conn *c, const char *why)
{
    if (c->over || c->closing)
        return;
    c->over = true;
    c->events->closed(c->ctx, why);
}

static struct login_fault_context fault_context(const struct conn *c)
{
    return (struct login_fault_context){
        .portal = c->params.portal,
        .iqn = c->params.iqn,
        .initiator_name = c->params.initiator_name,
        .chap = c->params.secret[0] != '\0',
        .mutual = c->params.target_secret[0] != '\0',
    };
}

/* libiscsi gave up: in the words of what it told, or of how far we were. */
static void service_failed(struct conn *c)
{
    char why[CONN_WHY_BYTES];

    if (!c->connected)
        snprintf(why, sizeof(why), "no connection to %s: check address and network",
                 c->params.portal);
    else if (!c->logged_in)
        snprintf(why, sizeof(why),
                 "%s closed the connection during the login: is it an iSCSI target?",
                 c->params.portal);
    else if (!c->given_up && !iscsi_is_logged_in(c->iscsi))
        snprintf(why, sizeof(why), "the target at %s asked for a logout", c->params.portal);
    else if (c->error[0] != '\0')
        snprintf(why, sizeof(why), "the connection to %s was lost: %s", c->params.portal, c->error);
    else
        snprintf(why, sizeof(why), "the target at %s closed the connection", c->params.portal);
    if (c->logged_in)
        lost(c, why);
    else
        fail(c, BACKEND_FAULT_TRANSIENT, why);
}

/* ---- what is negotiated ---- */

static const char *value_of(const char *text, const char *key)
{
    size_t bytes = strlen(key);

    return strncmp(text, key, bytes) == 0 && text[bytes] == '=' ? text + bytes + 1 : NULL;
}

static bool value_is(const char *value, const char *wanted)
{
    size_t bytes = strlen(wanted);

    return strncmp(value, wanted, bytes) == 0 && (value[bytes] == '\0' || value[bytes] == ' ');
}

/* A number of 512 to 2^24-1 (RFC 7143 13.12 to 13.14); libiscsi takes any, and
 * a MaxRecvDataSegmentLength of 0 would have it loop for ever. The first
 * character is a digit: what strtoul() makes of signs is not what it makes. */
static void take_length(struct conn *c, const char *value, uint32_t *length)
{
    unsigned long number = strtoul(value, NULL, 10);

    if (value[0] < '0' || value[0] > '9' || number < 512 || number > 0xffffff)
        c->bad_keys = true;
    else
        *length = (uint32_t)number;
}

/* Whether CHAP_R is one: libiscsi compares it with zeros where it sent no
 * challenge that it could answer (RFC 7143 12.1.3). */
static bool is_proof(const char *value)
{
    return strncasecmp(value, "0x", 2) == 0 && value[2 + strspn(value + 2, "0")] != '\0' &&
           value[2 + strspn(value + 2, "0")] != ' ';
}

static int take_number(const char *value)
{
    long number = strtol(value, NULL, 10);

    return number >= 0 && number <= 0xffff ? (int)number : 0;
}

/* One "KEY=VALUE" of a login answer; libiscsi puts " [IQN]" behind it. It tells
 * of CHAP_R after it compared it with what it expected. */
static void take_key(struct conn *c, const char *text)
{
    const char *value;
    uint32_t ignored;

    if ((value = value_of(text, "AuthMethod")) != NULL)
        c->agreed.authenticated = value_is(value, "CHAP");
    else if ((value = value_of(text, "CHAP_R")) != NULL)
        c->agreed.target_authenticated = is_proof(value);
    else if ((value = value_of(text, "HeaderDigest")) != NULL) {
        c->agreed.header_digest = value_is(value, "CRC32C");
        c->digest_answered = true;
    } else if ((value = value_of(text, "MaxRecvDataSegmentLength")) != NULL)
        take_length(c, value, &c->agreed.max_send_bytes);
    else if ((value = value_of(text, "FirstBurstLength")) != NULL)
        take_length(c, value, &c->agreed.first_burst_bytes);
    else if ((value = value_of(text, "MaxBurstLength")) != NULL ||
             (value = value_of(text, "TargetRecvDataSegmentLength")) != NULL ||
             (value = value_of(text, "InitiatorRecvDataSegmentLength")) != NULL)
        take_length(c, value, &ignored);
    else if ((value = value_of(text, "TargetPortalGroupTag")) != NULL)
        c->agreed.portal_group = take_number(value);
    else if ((value = value_of(text, "DefaultTime2Wait")) != NULL)
        c->agreed.time2wait_s = take_number(value);
    else if ((value = value_of(text, "DefaultTime2Retain")) != NULL)
        c->agreed.time2retain_s = take_number(value);
}

/* The first is the cause of what follows; the name at the end is known. */
static void take_error(struct conn *c, const char *text)
{
    char *name;

    if (c->error[0] != '\0')
        return;
    snprintf(c->error, sizeof(c->error), "%s", text);
    name = strstr(c->error, " [");
    if (name != NULL)
        *name = '\0';
}

static void log_line(int level, const char *text)
{
    static const char prefix[] = "TargetLoginReply: ";

    if (logging == NULL)
        return;
    if (level <= LOG_LEVEL_ERRORS)
        take_error(logging, text);
    else if (level == LOG_LEVEL_END && strncmp(text, "reconnect deferred", 18) == 0)
        logging->given_up = true;
    else if (level == LOG_LEVEL_KEYS && strncmp(text, prefix, sizeof(prefix) - 1) == 0)
        take_key(logging, text + sizeof(prefix) - 1);
}

/* ---- connect and login ---- */

/* libiscsi offers CHAP and None together, so that a target may let us in
 * without a word: for mutual CHAP, where the target has to prove itself, that
 * is a fault; for plain CHAP the target's own business, told in the log. */
static void check_agreement(struct conn *c)
{
    char why[CONN_WHY_BYTES];

    if (c->bad_keys) {
        snprintf(why, sizeof(why), "%s answers the login with values that iSCSI does not allow",
                 c->params.portal);
        fail(c, BACKEND_FAULT_TRANSIENT, why);
        return;
    }
    if (c->params.target_secret[0] != '\0' && !c->agreed.target_authenticated) {
        snprintf(why, sizeof(why),
                 "%s lets us in without proving that it is %s (mutual CHAP): set the target's "
                 "outgoing user and secret there",
                 c->params.portal, c->params.iqn);
        fail(c, BACKEND_FAULT_PERMANENT, why);
        return;
    }
    if (c->params.secret[0] != '\0' && !c->agreed.authenticated) {
        snprintf(why, sizeof(why),
                 "%s asks for no authentication, although a CHAP secret is configured: anyone "
                 "may log in there",
                 c->params.portal);
        c->events->log(c->ctx, true, why);
    }
    if (c->params.header_digest && !c->digest_answered) {
        /* libiscsi goes on with digests then, and the target without. */
        snprintf(why, sizeof(why), "%s does not answer the wish for a header digest: leave it out",
                 c->params.portal);
        fail(c, BACKEND_FAULT_PERMANENT, why);
        return;
    }
    if (c->params.header_digest && !c->agreed.header_digest)
        c->events->log(c->ctx, true, "the target declines the header digest: going on without");
    c->logged_in = true;
    iscsi_set_log_level(c->iscsi, LOG_LEVEL_END);
    c->events->logged_in(c->ctx);
}

static void login_done(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
    struct conn *c = private_data;
    struct login_fault_context context = fault_context(c);
    const char *text = iscsi_get_error(iscsi);
    const char *moved = iscsi_get_target_address(iscsi);
    char why[CONN_WHY_BYTES];
    enum backend_fault fault;

    (void)data;
    if (c->closing || c->over)
        return;
    if (status == SCSI_STATUS_GOOD) {
        check_agreement(c);
        return;
    }
    if (status == SCSI_STATUS_REDIRECT || fault_number(text) >> 8 == 1) {
        if (moved != NULL && moved[0] != '\0') {
            c->over = true;
            c->events->redirected(c->ctx, moved);
            return;
        }
    }
    fault = login_fault(text, &context, why, sizeof(why));
    fail(c, fault, why);
}

static void connect_failed(struct conn *c, const char *text)
{
    struct login_fault_context context = fault_context(c);
    char why[CONN_WHY_BYTES];
    enum backend_fault fault = connect_fault(text, &context, why, sizeof(why));

    fail(c, fault, why);
}

/* Called with GOOD once connected, and with an error then or later. */
static void connect_done(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
    struct conn *c = private_data;

    (void)data;
    if (c->closing || c->over || c->connected)
        return;
    if (status != SCSI_STATUS_GOOD) {
        connect_failed(c, iscsi_get_error(iscsi));
        return;
    }
    c->connected = true;
    if (iscsi_login_async(iscsi, login_done, c) != 0)
        fail(c, BACKEND_FAULT_TRANSIENT, iscsi_get_error(iscsi));
}

static int configure(struct conn *c, const struct conn_params *params)
{
    const uint8_t *isid = params->isid;
    struct iscsi_context *iscsi = c->iscsi;
    uint32_t random = (uint32_t)isid[1] << 16 | (uint32_t)isid[2] << 8 | isid[3];
    uint32_t qualifier = (uint32_t)isid[4] << 8 | isid[5];

    iscsi_set_log_fn(iscsi, log_line);
    iscsi_set_log_level(iscsi, LOG_LEVEL_KEYS);
    iscsi_set_timeout(iscsi, 0);
    iscsi_set_noautoreconnect(iscsi, 1);
    iscsi_set_tcp_user_timeout(iscsi, (int)params->tcp_user_timeout_ms);
    return iscsi_set_isid_random(iscsi, random, qualifier) |
           iscsi_set_targetname(iscsi, params->iqn) |
           iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL) |
           iscsi_set_header_digest(iscsi, params->header_digest ? ISCSI_HEADER_DIGEST_CRC32C_NONE
                                                                : ISCSI_HEADER_DIGEST_NONE);
}

void conn_open(struct conn *c, const struct conn_params *params)
{
    assert(c->iscsi == NULL);
    c->params = *params;
    c->agreed = (struct conn_agreed){
        .max_send_bytes = 8192, .first_burst_bytes = 65536, .portal_group = -1, .time2wait_s = 2};
    c->connected = c->logged_in = c->over = c->closing = c->bad_keys = c->want_room = false;
    c->digest_answered = false;
    c->given_up = c->leaving = false;
    c->iscsi = iscsi_create_context(params->initiator_name);
    if (c->iscsi == NULL) {
        fail(c, BACKEND_FAULT_TRANSIENT, "out of memory");
        return;
    }
    if (configure(c, params) != 0) {
        fail(c, BACKEND_FAULT_PERMANENT, iscsi_get_error(c->iscsi));
        return;
    }
    if (iscsi_connect_async(c->iscsi, params->portal, connect_done, c) != 0)
        connect_failed(c, iscsi_get_error(c->iscsi));
}

/* ---- commands ---- */

static struct slot *free_slot(struct conn *c)
{
    for (unsigned i = 0; i < CONN_SLOTS; i++)
        if (c->slots[i].state == SLOT_FREE)
            return &c->slots[i];
    return NULL;
}

static void release(struct slot *slot)
{
    struct conn *c = slot->conn;

    scsi_free_scsi_task(slot->task);
    slot->task = NULL;
    slot->cmd = NULL;
    slot->state = SLOT_FREE;
    if (c->want_room) {
        c->want_room = false;
        c->events->room(c->ctx);
    }
}

/* The command is the logical unit's again: it may use and give away buffers at
 * once, so whatever libiscsi still has to send of them must not be sent. */
static void give_back(struct slot *slot, enum backend_result result)
{
    struct conn *c = slot->conn;
    struct backend_cmd *cmd = slot->cmd;
    bool out = cmd->dir == SCSI_DIR_OUT;

    c->busy--;
    c->writing -= out;
    cmd->result = result;
    cmd->backend_data = NULL;
    deferred_add(c->deferred, &cmd->done);
    if (out && !c->closing && (iscsi_which_events(c->iscsi) & POLLOUT) != 0) {
        scsi_task_set_iov_out(slot->task, NULL, 0);
        slot->state = SLOT_RETIRED;
        c->retired++;
        return;
    }
    release(slot);
}

/* Frees retired tasks. Data-Out has its command's CmdSN, so that it is at the
 * head of the queue, in the window: without POLLOUT there is none. */
static void reap_retired(struct conn *c)
{
    if (c->retired == 0 || (iscsi_which_events(c->iscsi) & POLLOUT) != 0)
        return;
    for (unsigned i = 0; i < CONN_SLOTS; i++)
        if (c->slots[i].state == SLOT_RETIRED)
            release(&c->slots[i]);
    c->retired = 0;
}

/* The raw sense data, RFC 7143 11.4.7: two bytes of length before them. iSCSI
 * demands them with CHECK CONDITION; a target that sends none is spoken for,
 * since the host would ask for what nobody has. */
static void take_sense(struct conn *c, const struct scsi_task *task, struct scsi_outcome *outcome)
{
    size_t bytes = task->datain.size > 0 ? (size_t)task->datain.size : 0;

    if (bytes > 2) {
        size_t told = get_be16(task->datain.data);
        bytes -= 2;
        bytes = told < bytes ? told : bytes;
        bytes = bytes < SENSE_MAX_BYTES ? bytes : SENSE_MAX_BYTES;
        memcpy(outcome->sense, task->datain.data + 2, bytes);
        outcome->sense_bytes = (uint16_t)bytes;
    }
    if (outcome->sense_bytes == 0) {
        c->events->log(c->ctx, true, "the target sent CHECK CONDITION without sense data");
        scsi_outcome_check(outcome, sense_internal_failure);
    }
}

/* Data-in of a command that failed is not trusted to be there, unless the
 * sense key says that the command was carried out; a deferred error says
 * nothing of this command (SPC-4 4.5.5). */
static bool carried_out(const struct scsi_outcome *outcome)
{
    struct sense_code code;

    if (outcome->status == SCSI_STATUS_CODE_GOOD ||
        outcome->status == SCSI_STATUS_CODE_CONDITION_MET)
        return true;
    return outcome->status == SCSI_STATUS_CODE_CHECK_CONDITION &&
           sense_parse(outcome->sense, outcome->sense_bytes, &code) &&
           !sense_deferred(outcome->sense, outcome->sense_bytes) &&
           (code.key == SENSE_NO_SENSE || code.key == SENSE_RECOVERED_ERROR);
}

/* Status, sense and residual (RFC 7143 11.4.5), as far as the target may say
 * them; otherwise what is wrong with them. An overflow means that the device
 * had more to move than the host declared: BOT calls that a phase error. */
static const char *take_outcome(struct slot *slot, int status)
{
    const struct scsi_task *task = slot->task;
    struct backend_cmd *cmd = slot->cmd;
    struct scsi_outcome *outcome = &cmd->outcome;
    const struct iovec *iov = cmd->iov;
    bool over = task->residual_status == SCSI_RESIDUAL_OVERFLOW && task->residual > 0;
    bool under = task->residual_status == SCSI_RESIDUAL_UNDERFLOW;

    outcome->status = (uint8_t)status;
    outcome->phase_error = false;
    outcome->sense_bytes = 0;
    outcome->moved_bytes = cmd->length_bytes;
    if (under && task->residual > cmd->length_bytes)
        return "the target reports a residual that is longer than the command";
    if (under)
        outcome->moved_bytes -= (uint32_t)task->residual;
    if (status == SCSI_STATUS_CHECK_CONDITION)
        take_sense(slot->conn, task, outcome);
    if (!carried_out(outcome)) {
        if (cmd->dir == SCSI_DIR_IN)
            outcome->moved_bytes = 0;
        return NULL;
    }
    outcome->phase_error = over;
    if (cmd->dir == SCSI_DIR_IN &&
        !guard_overwritten(iov, cmd->iov_count, slot->mark, outcome->moved_bytes))
        return "the target calls a command good and did not send all its data";
    return NULL;
}

static bool from_target(int status)
{
    switch (status) {
    case SCSI_STATUS_GOOD:
    case SCSI_STATUS_CHECK_CONDITION:
    case SCSI_STATUS_CONDITION_MET:
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_RESERVATION_CONFLICT:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_ACA_ACTIVE:
    case SCSI_STATUS_TASK_ABORTED:
        return true;
    default: /* libiscsi's own: cancelled, error, timeout */
        return false;
    }
}

/* libiscsi's callback of a command. On anything but the target's own answer the
 * command stays in its slot, and conn_close() completes it. */
static void command_done(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
    struct slot *slot = private_data;
    struct conn *c = slot->conn;
    const char *wrong;

    (void)data;
    if (c->closing || slot->state != SLOT_BUSY)
        return;
    if (status == SCSI_STATUS_CANCELLED) {
        service_failed(c);
        return;
    }
    if (!from_target(status)) {
        char why[CONN_WHY_BYTES];
        snprintf(why, sizeof(why), "the target broke the protocol: %s", iscsi_get_error(iscsi));
        fail(c, BACKEND_FAULT_TRANSIENT, why);
        return;
    }
    wrong = take_outcome(slot, status);
    if (wrong != NULL) {
        fail(c, BACKEND_FAULT_TRANSIENT, wrong);
        return;
    }
    c->error[0] = '\0'; /* it told of the status: no error of the connection */
    give_back(slot, BACKEND_DONE);
}

static int xfer_dir(const struct backend_cmd *cmd)
{
    if (cmd->length_bytes == 0)
        return SCSI_XFER_NONE;
    return cmd->dir == SCSI_DIR_IN    ? SCSI_XFER_READ
           : cmd->dir == SCSI_DIR_OUT ? SCSI_XFER_WRITE
                                      : SCSI_XFER_NONE;
}

/* The caller's addresses, in libiscsi's own array: it moves in it as it sends. */
static void lend_buffers(struct slot *slot)
{
    struct backend_cmd *cmd = slot->cmd;
    struct conn *c = slot->conn;

    for (int i = 0; i < cmd->iov_count; i++)
        slot->iov[i] = (struct scsi_iovec){cmd->iov[i].iov_base, cmd->iov[i].iov_len};
    if (cmd->iov_count > 0)
        c->last_iov_base = slot->iov[0].iov_base;
    if (slot->task->xfer_dir == SCSI_XFER_WRITE)
        scsi_task_set_iov_out(slot->task, slot->iov, cmd->iov_count);
    if (slot->task->xfer_dir == SCSI_XFER_READ) {
        slot->mark = c->mark_key ^ c->order * UINT64_C(0x9e3779b97f4a7c15);
        guard_lay(cmd->iov, cmd->iov_count, slot->mark);
        scsi_task_set_iov_in(slot->task, slot->iov, cmd->iov_count);
    }
}

/* SAM-5 4.7: one byte up to 255, flat space addressing above. */
static int wire_lun(uint16_t lun)
{
    return lun < 256 ? lun : 0x4000 | lun;
}

static void check_buffers(const struct backend_cmd *cmd)
{
    size_t covered = 0;

    assert(cmd->iov_count >= 0 && cmd->iov_count <= BACKEND_IOV_MAX);
    assert(cmd->cdb_bytes > 0 && cmd->cdb_bytes <= SCSI_CDB_MAX_BYTES);
    for (int i = 0; i < cmd->iov_count; i++)
        covered += cmd->iov[i].iov_len;
    assert(covered == cmd->length_bytes && covered <= INT_MAX);
    (void)covered;
}

int conn_submit(struct conn *c, struct backend_cmd *cmd)
{
    struct slot *slot;

    if (!c->logged_in || c->over || c->closing)
        return -ENOTCONN;
    check_buffers(cmd);
    slot = free_slot(c);
    if (slot == NULL) {
        c->want_room = true;
        return -EAGAIN;
    }
    slot->task = scsi_create_task(cmd->cdb_bytes, cmd->cdb, xfer_dir(cmd), (int)cmd->length_bytes);
    if (slot->task == NULL) {
        fail(c, BACKEND_FAULT_TRANSIENT, "out of memory");
        return -ENOTCONN;
    }
    slot->cmd = cmd;
    slot->order = ++c->order;
    slot->state = SLOT_BUSY;
    c->busy++;
    c->writing += cmd->dir == SCSI_DIR_OUT;
    cmd->backend_data = slot;
    lend_buffers(slot);
    if (iscsi_scsi_command_async(c->iscsi, wire_lun(c->params.lun), slot->task, command_done, NULL,
                                 slot) != 0) {
        c->busy--;
        c->writing -= cmd->dir == SCSI_DIR_OUT;
        cmd->backend_data = NULL;
        release(slot);
        fail(c, BACKEND_FAULT_TRANSIENT, iscsi_get_error(c->iscsi));
        return -ENOTCONN;
    }
    return 0;
}

/* ---- keepalive and logout ---- */

static void nop_done(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
    struct conn *c = private_data;

    (void)iscsi;
    (void)data;
    if (c->closing || c->over)
        return;
    if (status == SCSI_STATUS_GOOD)
        c->events->nop_answered(c->ctx);
    else
        service_failed(c);
}

int conn_nop(struct conn *c)
{
    if (!c->logged_in || c->over)
        return -ENOTCONN;
    return iscsi_nop_out_async(c->iscsi, nop_done, NULL, 0, c) == 0 ? 0 : -ENOTCONN;
}

static void logout_done(struct iscsi_context *iscsi, int status, void *data, void *private_data)
{
    struct conn *c = private_data;

    (void)iscsi;
    (void)status;
    (void)data;
    if (!c->closing && !c->over)
        c->events->logged_out(c->ctx);
}

int conn_logout(struct conn *c)
{
    if (!c->logged_in || c->over)
        return -ENOTCONN;
    c->leaving = true;
    return iscsi_logout_async(c->iscsi, logout_done, c) == 0 ? 0 : -ENOTCONN;
}

/* ---- event loop ---- */

int conn_fd(const struct conn *c)
{
    return c->iscsi == NULL || c->over ? -1 : iscsi_get_fd(c->iscsi);
}

short conn_poll_events(const struct conn *c)
{
    return c->iscsi == NULL || c->over ? 0 : (short)iscsi_which_events(c->iscsi);
}

/* libiscsi copies the secrets into its context, which a core file would show.
 * They are there only while it works on the login, not while it waits. */
static void lend_secrets(struct iscsi_context *iscsi, const struct conn_params *params)
{
    /* A name makes it offer "CHAP,None" in the security stage. */
    bool none = params->secret[0] == '\0' && params->security_stage;

    (void)iscsi_set_initiator_username_pwd(iscsi, none ? "none" : params->user,
                                           none ? "none" : params->secret);
    (void)iscsi_set_target_username_pwd(iscsi, params->target_user, params->target_secret);
}

/* One character in their place: it fills the rest of its arrays with zeroes. */
static void take_secrets_back(struct iscsi_context *iscsi)
{
    (void)iscsi_set_initiator_username_pwd(iscsi, "-", "-");
    (void)iscsi_set_target_username_pwd(iscsi, "-", "-");
}

/* libiscsi follows a target that asks for a logout; the session is over then,
 * with or without the connection. */
static bool was_logged_out(const struct conn *c)
{
    return c->logged_in && !c->leaving && !iscsi_is_logged_in(c->iscsi);
}

/* libiscsi sends the header of each PDU and its data by themselves: what it has to
 * send now shall travel in few packets, not each piece in its own. */
static bool cork(const struct conn *c, bool on)
{
    const int value = on;

    return setsockopt(iscsi_get_fd(c->iscsi), IPPROTO_TCP, TCP_CORK, &value, sizeof(value)) == 0;
}

static bool sends_pieces(const struct conn *c)
{
    return c->logged_in && (c->writing > 0 || iscsi_out_queue_length(c->iscsi) > 1);
}

void conn_service(struct conn *c, short revents)
{
    bool login = !c->logged_in, corked;
    int result;

    if (c->iscsi == NULL || c->over)
        return;
    c->error[0] = '\0';
    logging = c;
    if (login)
        lend_secrets(c->iscsi, &c->params);
    corked = (revents & POLLOUT) != 0 && sends_pieces(c) && cork(c, true);
    result = iscsi_service(c->iscsi, revents);
    if (corked)
        (void)cork(c, false);
    if (login)
        take_secrets_back(c->iscsi);
    logging = NULL;
    if (result != 0 || c->given_up || was_logged_out(c))
        service_failed(c);
    reap_retired(c);
}

/* ---- life ---- */

static struct slot *oldest_busy(struct conn *c)
{
    struct slot *oldest = NULL;

    for (unsigned i = 0; i < CONN_SLOTS; i++) {
        struct slot *slot = &c->slots[i];
        if (slot->state == SLOT_BUSY && (oldest == NULL || slot->order < oldest->order))
            oldest = slot;
    }
    return oldest;
}

void conn_close(struct conn *c)
{
    struct slot *slot;

    c->closing = true;
    if (c->iscsi != NULL)
        iscsi_destroy_context(c->iscsi);
    c->iscsi = NULL;
    c->want_room = false;
    while ((slot = oldest_busy(c)) != NULL)
        give_back(slot, BACKEND_LOST);
    for (unsigned i = 0; i < CONN_SLOTS; i++)
        if (c->slots[i].state == SLOT_RETIRED)
            release(&c->slots[i]);
    c->retired = 0;
    c->connected = c->logged_in = c->closing = false;
}

/* libiscsi's mutual CHAP challenge comes from rand(), which it seeds with its
 * first context: from /dev/urandom, or, where a sandbox hides that, from the
 * process id. So it is seeded again behind that. Returns the key of the guard's
 * marks: a kernel that has no random numbers yet, early at boot, still gives one
 * that no disk holds. */
static uint64_t seed(void)
{
    struct iscsi_context *first = iscsi_create_context("iqn.seed");
    struct timespec now = {0, 0};
    uint64_t random[2];

    iscsi_destroy_context(first);
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) == (ssize_t)sizeof(random)) {
        srand((unsigned)random[0]);
        return random[1];
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_nsec * UINT64_C(0xbf58476d1ce4e5b9) ^ (uint64_t)(uintptr_t)first << 16 ^
           (uint64_t)now.tv_sec;
}

struct conn *conn_create(const struct conn_events *events, void *ctx,
                         struct deferred_list *deferred)
{
    struct conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    libiscsi_clear_environment();
    c->events = events;
    c->ctx = ctx;
    c->deferred = deferred;
    c->mark_key = seed();
    for (unsigned i = 0; i < CONN_SLOTS; i++)
        c->slots[i].conn = c;
    return c;
}

void conn_destroy(struct conn *c)
{
    if (c == NULL)
        return;
    assert(c->iscsi == NULL);
    free(c);
}

bool conn_has_tcp(const struct conn *c)
{
    return c->connected;
}

unsigned conn_outstanding(const struct conn *c)
{
    return c->busy;
}

const struct conn_agreed *conn_agreed(const struct conn *c)
{
    return &c->agreed;
}

const void *conn_last_iov_base(const struct conn *c)
{
    return c->last_iov_base;
}
