/* SPDX-License-Identifier: BSD-2-Clause */
#include "reserve.h"
#include "bytes.h"
#include "opcode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Service actions of PERSISTENT RESERVE OUT and IN. */
enum {
    OUT_REGISTER = 0x00,
    OUT_RESERVE = 0x01,
    OUT_PREEMPT = 0x04,
    OUT_PREEMPT_AND_ABORT = 0x05,
    OUT_REGISTER_AND_IGNORE = 0x06,
    IN_READ_FULL_STATUS = 0x03,
};

#define TYPE_EXCLUSIVE_ACCESS 3
#define OUT_PARAMETER_BYTES   24
#define FULL_STATUS_BYTES     24 /* of a descriptor, before its TransportID */
#define PROTOCOL_ISCSI        5
/* Others come and go while we try: not for ever. */
#define ROUNDS 4

enum {
    STEP_REGISTER,
    STEP_RESERVE,
    STEP_HOLDER, /* whose reservation is in the way? */
    STEP_PREEMPT,
    STEP_NAME, /* and what is its holder called? */
    STEP_UNREGISTER,
};

static void send_out(struct reserve *r, uint8_t action, uint64_t key, uint64_t action_key)
{
    uint8_t *cdb = r->errand.cmd.cdb;
    memset(r->data, 0, OUT_PARAMETER_BYTES);
    put_be64(r->data, key);
    put_be64(r->data + 8, action_key);
    errand_prepare(&r->errand, 10, SCSI_DIR_OUT, r->data, OUT_PARAMETER_BYTES);
    cdb[0] = OP_PERSISTENT_RESERVE_OUT;
    cdb[1] = action;
    cdb[2] = TYPE_EXCLUSIVE_ACCESS;
    put_be32(cdb + 5, OUT_PARAMETER_BYTES);
    errand_send(&r->errand);
}

static void send_in(struct reserve *r, uint8_t action, uint16_t bytes)
{
    uint8_t *cdb = r->errand.cmd.cdb;
    errand_prepare(&r->errand, 10, SCSI_DIR_IN, r->data, bytes);
    cdb[0] = OP_PERSISTENT_RESERVE_IN;
    cdb[1] = action;
    put_be16(cdb + 7, bytes);
    errand_send(&r->errand);
}

static void go(struct reserve *r, unsigned step)
{
    r->step = step;
    switch (step) {
    case STEP_REGISTER:
        r->registered = true; /* also if the session ends before the answer */
        send_out(r, OUT_REGISTER_AND_IGNORE, 0, r->key);
        break;
    case STEP_RESERVE:
        send_out(r, OUT_RESERVE, r->key, 0);
        break;
    case STEP_HOLDER:
        send_in(r, SA_READ_RESERVATION, 24);
        break;
    case STEP_PREEMPT:
        send_out(r, r->no_abort ? OUT_PREEMPT : OUT_PREEMPT_AND_ABORT, r->key, r->holder);
        break;
    case STEP_NAME:
        send_in(r, IN_READ_FULL_STATUS, RESERVE_DATA_BYTES);
        break;
    case STEP_UNREGISTER: /* the holder's reservation ends with its registration */
        send_out(r, OUT_REGISTER, r->key, 0);
        break;
    default:
        break;
    }
}

/* The iSCSI name in a TransportID (SPC-4 7.6.4.6), as far as it is printable;
 * false: of another protocol. */
static bool name_in(const uint8_t *id, uint32_t bytes, char *out, size_t size)
{
    size_t n = 0;
    if (bytes < 4 || (id[0] & 0x0f) != PROTOCOL_ISCSI)
        return false;
    for (uint32_t i = 4; i < bytes && n + 1 < size && id[i] > 0x20 && id[i] < 0x7f; i++) {
        if (id[i] == ',') /* ",i,0x" and the ISID */
            break;
        out[n++] = (char)id[i];
    }
    out[n] = '\0';
    return n > 0;
}

/* The name of the reservation's holder in READ FULL STATUS data (SPC-4 6.15.5). */
static bool find_holder(const uint8_t *data, uint32_t bytes, char *out, size_t size)
{
    uint32_t at = 8;
    while (bytes >= FULL_STATUS_BYTES && at <= bytes - FULL_STATUS_BYTES) {
        const uint8_t *d = data + at;
        uint32_t left = bytes - at - FULL_STATUS_BYTES;
        uint32_t id_bytes = get_be32(d + 20);
        if (id_bytes > left)
            return false;
        if (d[12] & 1)
            return name_in(d + FULL_STATUS_BYTES, id_bytes, out, size);
        at += FULL_STATUS_BYTES + id_bytes;
    }
    return false;
}

static void name_holder(struct reserve *r, uint32_t bytes)
{
    char name[224];
    if (!find_holder(r->data, bytes, name, sizeof(name)))
        snprintf(name, sizeof(name), "another initiator");
    snprintf(r->why, sizeof(r->why),
             "the disk is reserved for %s (reservation key %016" PRIx64 "); stop it there, or take "
             "the disk over with --take-over",
             name, r->holder);
}

static void finish(struct reserve *r, enum reserve_end end, const char *why)
{
    r->done(r, end, why);
}

static void refused(struct reserve *r)
{
    const struct errand *e = &r->errand;
    bool conflict = e->cmd.outcome.status == SCSI_STATUS_CODE_RESERVATION_CONFLICT;
    bool illegal = e->sense.key == SENSE_ILLEGAL_REQUEST;
    switch (r->step) {
    case STEP_RESERVE:
        if (conflict) {
            go(r, STEP_HOLDER);
            return;
        }
        break;
    case STEP_PREEMPT:
        if (illegal && !r->no_abort) {
            r->no_abort = true;
            go(r, STEP_PREEMPT);
            return;
        }
        if (conflict) { /* the holder went meanwhile */
            go(r, STEP_RESERVE);
            return;
        }
        break;
    case STEP_NAME:
        name_holder(r, 0);
        go(r, STEP_UNREGISTER);
        return;
    default:
        break;
    }
    if (conflict) {
        finish(r, RESERVE_REFUSED,
               "the disk is reserved for another initiator (by RESERVE, which names nobody)");
    } else if (illegal && r->step != STEP_PREEMPT && !r->known) {
        finish(r, RESERVE_NONE, NULL);
    } else {
        snprintf(r->why, sizeof(r->why),
                 "the target does not let us reserve the disk (status %02X, sense %02X/%02X/%02X)",
                 e->cmd.outcome.status, e->sense.key, e->sense.asc, e->sense.ascq);
        finish(r, RESERVE_FAULT, r->why);
    }
}

static void found_holder(struct reserve *r, uint32_t bytes)
{
    if (bytes < 16 || get_be32(r->data + 4) < 8) { /* released meanwhile */
        go(r, STEP_RESERVE);
        return;
    }
    r->holder = get_be64(r->data + 8);
    go(r, r->holder == r->key || r->take_over ? STEP_PREEMPT : STEP_NAME);
}

static void executed(struct reserve *r, uint32_t bytes)
{
    switch (r->step) {
    case STEP_REGISTER:
    case STEP_PREEMPT:
        go(r, STEP_RESERVE);
        break;
    case STEP_RESERVE:
        r->known = true;
        finish(r, RESERVE_HELD, NULL);
        break;
    case STEP_HOLDER:
        if (++r->rounds == ROUNDS)
            finish(r, RESERVE_FAULT, "others reserve the disk and release it all the time");
        else
            found_holder(r, bytes);
        break;
    case STEP_NAME:
        name_holder(r, bytes);
        go(r, STEP_UNREGISTER);
        break;
    default:
        break;
    }
}

static void step_done(struct errand *errand, enum errand_end end)
{
    struct reserve *r = errand->ctx;
    if (r->step == STEP_UNREGISTER && (end != ERRAND_CHANGED || ++r->rounds >= ROUNDS)) {
        /* Whatever the answer is, there is no more that could be done. */
        r->registered = false;
        bool releasing = r->releasing;
        r->releasing = false;
        finish(r, releasing ? RESERVE_RELEASED : RESERVE_REFUSED, r->why);
    } else if (r->step == STEP_UNREGISTER || r->releasing) {
        go(r, STEP_UNREGISTER);
    } else if (end == ERRAND_CHANGED) {
        finish(r, RESERVE_CHANGED, NULL);
    } else if (end == ERRAND_BUSY) {
        finish(r, RESERVE_FAULT, "the LUN stays busy");
    } else if (end == ERRAND_REFUSED) {
        refused(r);
    } else {
        executed(r, errand->cmd.outcome.moved_bytes);
    }
}

void reserve_init(struct reserve *r, struct backend *backend, uint64_t key,
                  void (*done)(struct reserve *, enum reserve_end, const char *why), void *ctx)
{
    memset(r, 0, sizeof(*r));
    errand_init(&r->errand, backend, step_done, r);
    r->key = key;
    r->done = done;
    r->ctx = ctx;
}

void reserve_take(struct reserve *r, bool take_over)
{
    r->take_over = take_over;
    r->releasing = false;
    r->rounds = 0;
    r->holder = 0;
    go(r, STEP_REGISTER);
}

void reserve_release(struct reserve *r)
{
    r->releasing = true;
    r->rounds = 0;
    if (!r->errand.running)
        go(r, STEP_UNREGISTER);
}

void reserve_more(struct reserve *r)
{
    errand_more(&r->errand);
}

bool reserve_running(const struct reserve *r)
{
    return r->errand.running;
}
