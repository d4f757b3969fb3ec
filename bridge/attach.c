/* SPDX-License-Identifier: BSD-2-Clause */
/* A session came up: which disk is behind it, and may commands go to it? */
#include "lun_internal.h"

#include <assert.h>

static void start_probe(struct lun *lun)
{
    lun->accepted = false;
    lun->stats.session_up = false;
    if (lun->probe_since_us == 0)
        lun->probe_since_us = lun_now(lun);
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
    case DISK_OTHER:
        lun_log(lun, LUN_LOG_WARNING, "the host is told of a new medium: %s",
                lun->config.ephemeral ? "this target makes a fresh disk at each login"
                                      : "the target presents another disk than before");
        lun_fail_all(lun, sense_medium_changed);
        lun_raise_attention(lun, sense_medium_changed);
        break;
    case DISK_GROWN:
    case DISK_RESHAPED:
        lun_log(lun, LUN_LOG_WARNING, "the disk's capacity changed from %llu to %llu blocks",
                (unsigned long long)lun->disk.blocks, (unsigned long long)fresh->blocks);
        if (verdict == DISK_RESHAPED)
            lun_fail_all(lun, sense_medium_changed);
        lun_raise_attention(lun,
                            verdict == DISK_GROWN ? sense_capacity_changed : sense_medium_changed);
        break;
    }
}

static void probe_done(struct probe *p, const char *fault, enum backend_fault severity)
{
    struct lun *lun = p->ctx;
    struct backend *backend = lun->config.backend;
    if (!lun->link_up)
        return; /* the session was dropped meanwhile */
    lun->probe_since_us = 0;
    if (!fault && lun->config.cdrom) {
        fault = cdrom_unusable(&p->disk);
        severity = BACKEND_FAULT_PERMANENT;
    }
    if (fault) {
        backend->ops->reject(backend, severity, fault);
        return;
    }
    enum verdict verdict = judge(lun, &p->disk);
    tell_host(lun, verdict, &p->disk);
    lun->disk = p->disk;
    lun->have_disk = true;
    lun->new_session = false;
    medium_found(lun);
    lun->accepted = true;
    lun->silent = false;
    lun->stats.session_up = true;
    backend->ops->accept(backend);
    if (verdict != DISK_SAME && lun->config.disk_changed)
        lun->config.disk_changed(lun->config.disk_changed_ctx, &lun->disk);
    lun_kick(lun);
}

static void backend_up(void *ctx)
{
    struct lun *lun = ctx;
    lun->link_up = true;
    lun->new_session = true;
    start_probe(lun);
}

static void backend_down(void *ctx, const char *why)
{
    struct lun *lun = ctx;
    lun_log(lun, LUN_LOG_DEBUG, "no session to the target: %s", why);
    lun->link_up = false;
    lun->accepted = false;
    lun->stats.session_up = false;
    lun->probe_since_us = 0;
    medium_missed(lun);
}

static void backend_more(void *ctx)
{
    struct lun *lun = ctx;
    probe_more(&lun->probe);
    lun_kick(lun);
}

static const struct backend_events lun_backend_events = {
    .up = backend_up,
    .down = backend_down,
    .more = backend_more,
};

void attach_backend(struct lun *lun, struct backend *backend)
{
    lun->config.backend = backend;
    probe_init(&lun->probe, backend, probe_done, lun);
    backend->events = &lun_backend_events;
    backend->events_ctx = lun;
}

void lun_retarget(struct lun *lun, struct backend *backend, bool ephemeral)
{
    assert(!lun->link_up && !lun->probe.running && lun->stats.outstanding == 0);
    assert(lun->medium != MEDIUM_IN);
    attach_backend(lun, backend);
    lun->config.ephemeral = ephemeral;
    lun->have_disk = false;
    lun->told_no_medium = true; /* it will be, if it asks */
}
