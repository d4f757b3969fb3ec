/* SPDX-License-Identifier: BSD-2-Clause */
/* A session came up: which disk is behind it, and may commands go to it? */
#include "lun_internal.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static void start_probe(struct lun *lun)
{
    lun->accepted = false;
    lun->stats.session_up = false;
    if (lun->probe_since_us == 0)
        lun->probe_since_us = lun_now(lun);
    lun->attach_again = lun->attach == ATTACH_RESERVING || lun->attach == ATTACH_PROVING;
    if (lun->attach_again)
        return;
    lun->attach = ATTACH_PROBING;
    probe_start(&lun->probe);
}

void lun_reprobe(struct lun *lun, const char *why)
{
    if (!lun->link_up || (!lun->accepted && lun->probe_since_us == 0))
        return;
    lun_log(lun, LUN_LOG_INFO, "%s: probing it again", why);
    start_probe(lun);
}

/* What the disk is to the host, seen against the one it knows. */
enum verdict {
    DISK_SAME,
    DISK_FIRST, /* there was none before */
    DISK_OTHER,
    DISK_DISPROVED, /* the same by name, but not what was written to it */
    DISK_GROWN,
    DISK_RESHAPED, /* smaller, or with other blocks: what the host knows of it is worth nothing */
};

static enum verdict judge(const struct lun *lun, const struct disk_identity *fresh)
{
    const struct disk_identity *known = &lun->disk;
    if (!lun->have_disk)
        return DISK_FIRST;
    if ((lun->config.ephemeral && lun->new_session) || !disk_same(known, fresh))
        return DISK_OTHER;
    if (known->block_bytes != fresh->block_bytes || known->blocks > fresh->blocks)
        return DISK_RESHAPED;
    return known->blocks < fresh->blocks ? DISK_GROWN : DISK_SAME;
}

static void tell_host(struct lun *lun, enum verdict verdict, const struct disk_identity *fresh)
{
    switch (verdict) {
    case DISK_SAME:
        break;
    case DISK_FIRST:
        if (lun->told_no_medium)
            lun_raise_attention(lun, sense_medium_changed);
        break;
    case DISK_DISPROVED:
        lun_log(lun, LUN_LOG_WARNING,
                "the host is told of a new medium: %s; an older copy of the disk, or a cache that "
                "was lost",
                lun->continuity.why);
        medium_exchanged(lun);
        break;
    case DISK_OTHER:
        lun_log(lun, LUN_LOG_WARNING, "the host is told of a new medium: %s",
                lun->config.ephemeral ? "this target makes a fresh disk at each login"
                                      : "the target presents another disk than before");
        medium_exchanged(lun);
        break;
    case DISK_GROWN:
    case DISK_RESHAPED:
        lun_log(lun, LUN_LOG_WARNING, "the disk's capacity changed from %llu to %llu blocks",
                (unsigned long long)lun->disk.blocks, (unsigned long long)fresh->blocks);
        if (verdict == DISK_RESHAPED)
            medium_exchanged(lun);
        else
            lun_raise_attention(lun, sense_capacity_changed);
        break;
    }
}

/* For a process that comes after this one. */
static void keep_in_mind(struct lun *lun)
{
    struct lun_memory *memory = lun->memory;
    memory->known = false;
    atomic_signal_fence(memory_order_seq_cst); /* we may be killed in between */
    memory->disk = lun->disk;
    atomic_signal_fence(memory_order_seq_cst);
    memory->known = true;
}

/* The disk is what the host shall see: what waits may go. */
static void accept_disk(struct lun *lun, enum verdict verdict)
{
    struct backend *backend = lun->config.backend;
    const struct disk_identity *fresh = &lun->probe.disk;
    tell_host(lun, verdict, fresh);
    if (verdict != DISK_SAME && verdict != DISK_GROWN) {
        continuity_forget(&lun->continuity, 0, UINT64_MAX);
        /* The host that is told of another medium with its next command may flush
         * what it wrote before with the one after: that is never GOOD. */
        lun->writes_lost = verdict != DISK_FIRST && (lun->writes_lost || lun->unflushed);
        lun->unflushed = false;
    }
    lun->attach = ATTACH_IDLE;
    lun->probe_since_us = 0;
    lun->disk = *fresh;
    lun->have_disk = true;
    lun->new_session = lun->unproved = false;
    medium_found(lun);
    lun->accepted = true;
    lun->silent = false;
    lun->stats.session_up = true;
    backend->ops->accept(backend);
    if (verdict != DISK_SAME)
        keep_in_mind(lun);
    if ((verdict != DISK_SAME || !lun->shown) && lun->config.disk_changed)
        lun->config.disk_changed(lun->config.disk_changed_ctx, &lun->disk);
    lun->shown = true;
    lun_kick(lun);
}

static void reject_disk(struct lun *lun, enum backend_fault fault, const char *why)
{
    struct backend *backend = lun->config.backend;
    lun->attach = ATTACH_IDLE;
    lun->probe_since_us = 0;
    backend->ops->reject(backend, fault, why);
}

static const char *refusal(const struct lun *lun, enum verdict verdict)
{
    switch (verdict) {
    case DISK_DISPROVED:
        return lun->continuity.why;
    case DISK_RESHAPED:
        return "the disk is smaller than before, or has other blocks";
    case DISK_OTHER:
        return lun->config.ephemeral ? "this target makes a fresh disk at each login"
                                     : "the target presents another disk than before";
    case DISK_SAME:
    case DISK_GROWN:
    case DISK_FIRST:
        break;
    }
    return NULL;
}

/* Another disk may be one more medium, or be refused; what waits goes on waiting then,
 * and not a block of it reaches the wrong disk. */
static void decide(struct lun *lun, enum verdict verdict)
{
    const char *why = lun->config.disk_refused ? refusal(lun, verdict) : NULL;
    if (!why) {
        accept_disk(lun, verdict);
        return;
    }
    lun->config.disk_refused(lun->config.disk_refused_ctx, why);
    reject_disk(lun, BACKEND_FAULT_PERMANENT, why);
}

/* The disk is the one by name: it has to show that it is the one by content. */
static void prove_disk(struct lun *lun)
{
    enum verdict verdict = judge(lun, &lun->probe.disk);
    bool known = verdict == DISK_SAME || verdict == DISK_GROWN;
    if (!known || !lun->unproved || lun->config.continuity_off ||
        continuity_empty(&lun->continuity)) {
        decide(lun, verdict);
        return;
    }
    lun->attach = ATTACH_PROVING;
    continuity_prove(&lun->continuity, lun->disk.block_bytes);
}

/* A phase came to its end. False: there is nothing to go on with, the session was
 * dropped, or everything begins anew. */
static bool goes_on(struct lun *lun)
{
    bool again = lun->attach_again;
    lun->attach_again = false;
    if (!lun->link_up || again)
        lun->attach = ATTACH_IDLE;
    if (lun->link_up && again)
        start_probe(lun);
    return lun->link_up && !again;
}

static void start_anew(struct lun *lun)
{
    lun->attach = ATTACH_IDLE;
    start_probe(lun);
}

static void proof_done(struct continuity *c, enum continuity_end end, const char *why)
{
    struct lun *lun = c->ctx;
    if (!goes_on(lun))
        return;
    switch (end) {
    case CONTINUITY_PROVED:
        lun->stats.proofs++;
        decide(lun, judge(lun, &lun->probe.disk));
        break;
    case CONTINUITY_DISPROVED:
        lun->stats.disproofs++;
        decide(lun, DISK_DISPROVED);
        break;
    case CONTINUITY_CHANGED:
        start_anew(lun);
        break;
    case CONTINUITY_FAULT:
        reject_disk(lun, BACKEND_FAULT_TRANSIENT, why);
        break;
    }
}

/* ---- exclusive access ---- */

static bool wants_exclusive(const struct lun *lun)
{
    return lun->config.reservation_key != 0 && !lun->access_released;
}

static void reserve_disk(struct lun *lun)
{
    bool exclusive = wants_exclusive(lun);
    if (!exclusive && !lun->reserve.registered) {
        prove_disk(lun);
        return;
    }
    lun->attach = ATTACH_RESERVING;
    if (!exclusive) { /* the session ended before it could be given back */
        reserve_release(&lun->reserve);
        return;
    }
    /* Who took the disk from us later did so on purpose, and keeps it. */
    reserve_take(&lun->reserve, lun->config.take_over && !lun->have_disk);
}

static void tell_released(struct deferred *d)
{
    struct lun *lun = (struct lun *)((char *)d - offsetof(struct lun, released_call));
    void (*released)(void *ctx) = lun->released;
    lun->released = NULL;
    if (released)
        released(lun->released_ctx);
}

static void access_is_released(struct lun *lun)
{
    lun->stats.access_held = false;
    deferred_add(lun->config.deferred, &lun->released_call);
}

static void reserved(struct lun *lun, bool held)
{
    if (held && !lun->stats.access_held)
        lun_log(lun, LUN_LOG_INFO, "the disk is reserved for us alone");
    if (held && lun->reserve.holder != 0 && lun->reserve.holder != lun->reserve.key)
        lun_log(lun, LUN_LOG_WARNING, "it was taken over from the holder of key %016llx",
                (unsigned long long)lun->reserve.holder);
    lun->stats.access_held = held;
    if (!held && !lun->warned_of_sharing)
        lun_log(lun, LUN_LOG_WARNING,
                "the target has no persistent reservations: others may write to the disk, too");
    lun->warned_of_sharing |= !held;
    if (held && lun->probe.conflict)
        start_anew(lun); /* now it tells everything */
    else if (lun->probe.why[0])
        reject_disk(lun, BACKEND_FAULT_TRANSIENT, lun->probe.why);
    else
        prove_disk(lun);
}

static void reserve_done(struct reserve *r, enum reserve_end end, const char *why)
{
    struct lun *lun = r->ctx;
    if (end == RESERVE_RELEASED) {
        access_is_released(lun);
        if (lun->attach != ATTACH_RESERVING)
            return;
    }
    if (!goes_on(lun))
        return;
    switch (end) {
    case RESERVE_HELD:
    case RESERVE_NONE:
        reserved(lun, end == RESERVE_HELD);
        break;
    case RESERVE_RELEASED:
        if (lun->probe.conflict)
            start_anew(lun);
        else
            prove_disk(lun);
        break;
    case RESERVE_REFUSED:
        reject_disk(lun, BACKEND_FAULT_PERMANENT, why);
        break;
    case RESERVE_CHANGED:
        start_anew(lun);
        break;
    case RESERVE_FAULT:
        reject_disk(lun, BACKEND_FAULT_TRANSIENT, why);
        break;
    }
}

void lun_release_access(struct lun *lun, void (*released)(void *ctx), void *ctx)
{
    lun->released = released;
    lun->released_ctx = ctx;
    lun->access_released = true;
    if (lun->link_up && lun->reserve.registered)
        reserve_release(&lun->reserve);
    else
        access_is_released(lun);
}

void lun_claim_access(struct lun *lun)
{
    if (!lun->access_released)
        return;
    lun->access_released = false;
    lun->unproved = true; /* others may have written meanwhile */
    lun_reprobe(lun, "exclusive access is wanted again");
}

/* ---- the session ---- */

static void probe_done(struct probe *p, const char *fault, enum backend_fault severity)
{
    struct lun *lun = p->ctx;
    if (!goes_on(lun))
        return;
    if (!fault && lun->config.cdrom) {
        fault = cdrom_unusable(&p->disk);
        severity = BACKEND_FAULT_PERMANENT;
    }
    /* What a reservation hides may be hidden by one of our own, or be taken over. */
    if (fault && !(p->conflict && wants_exclusive(lun)))
        reject_disk(lun, severity, fault);
    else
        reserve_disk(lun);
}

static void backend_up(void *ctx)
{
    struct lun *lun = ctx;
    lun->link_up = true;
    lun->new_session = lun->unproved = true;
    start_probe(lun);
}

static void backend_down(void *ctx, const char *why)
{
    struct lun *lun = ctx;
    lun_log(lun, LUN_LOG_DEBUG, "no session to the target: %s", why);
    lun->link_up = false;
    lun->accepted = false;
    lun->stats.session_up = lun->stats.access_held = false;
    lun->probe_since_us = 0;
    lun->attach = ATTACH_IDLE;
    lun->attach_again = false;
    if (lun->reserve.releasing) {
        lun->reserve.releasing = false;
        access_is_released(lun);
    }
    medium_missed(lun);
}

static void backend_more(void *ctx)
{
    struct lun *lun = ctx;
    if (lun->attach == ATTACH_PROBING)
        probe_more(&lun->probe);
    if (lun->attach == ATTACH_PROVING)
        continuity_more(&lun->continuity);
    if (lun->attach == ATTACH_RESERVING || lun->reserve.releasing)
        reserve_more(&lun->reserve);
    lun_kick(lun);
}

static const struct backend_events lun_backend_events = {
    .up = backend_up,
    .down = backend_down,
    .more = backend_more,
};

static void attach_backend(struct lun *lun, struct backend *backend)
{
    lun->config.backend = backend;
    lun->attach = ATTACH_IDLE;
    lun->warned_of_sharing = false;
    probe_init(&lun->probe, backend, probe_done, lun);
    reserve_init(&lun->reserve, backend, lun->config.reservation_key, reserve_done, lun);
    continuity_init(&lun->continuity, lun->memory->blocks, backend, proof_done, lun);
    backend->events = &lun_backend_events;
    backend->events_ctx = lun;
}

void attach_create(struct lun *lun)
{
    struct lun_memory *memory = lun->config.memory;
    deferred_init(&lun->released_call, tell_released);
    lun->memory = memory ? memory : &lun->own_memory;
    if (memory && memory->known && disk_plausible(&memory->disk)) {
        lun->disk = memory->disk;
        lun->have_disk = true;
    } else {
        memset(lun->memory, 0, sizeof *lun->memory);
    }
    attach_backend(lun, lun->config.backend);
}

bool attach_idle(const struct lun *lun)
{
    return !probe_running(&lun->probe) && !reserve_running(&lun->reserve) &&
           !continuity_running(&lun->continuity);
}

void lun_retarget(struct lun *lun, const struct lun_target *target)
{
    assert(!lun->link_up && attach_idle(lun) && lun->stats.outstanding == 0);
    assert(lun->medium != MEDIUM_IN);
    memset(lun->memory, 0, sizeof *lun->memory);
    attach_backend(lun, target->backend);
    lun->config.ephemeral = target->ephemeral;
    lun->config.take_over = target->take_over;
    lun->have_disk = false;
    lun->told_no_medium = true; /* it will be, if it asks */
}
