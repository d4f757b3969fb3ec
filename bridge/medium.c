/* SPDX-License-Identifier: BSD-2-Clause */
#include "medium.h"
#include "lun_internal.h"

#include <errno.h>

#define POWER_CONDITION 0xf0
#define LOEJ            0x02
#define START           0x01

const char *medium_name(enum medium medium)
{
    switch (medium) {
    case MEDIUM_UNSEEN:
        break;
    case MEDIUM_IN:
        return "in";
    case MEDIUM_OUT_HOST:
        return "ejected by the host";
    case MEDIUM_OUT_USER:
        return "ejected";
    case MEDIUM_GIVEN_UP:
        return "given up";
    case MEDIUM_EXCHANGED:
        return "exchanged";
    }
    return "awaited";
}

enum medium lun_medium(const struct lun *lun)
{
    return lun->medium;
}

static void put_in(struct lun *lun)
{
    lun->medium = MEDIUM_IN;
    lun->medium_until_us = LUN_NEVER_US;
    lun_raise_attention(lun, sense_medium_changed);
    if (!lun->accepted)
        medium_missed(lun);
}

static void take_out(struct lun *lun, enum medium how)
{
    lun->medium = how;
    lun->medium_until_us = LUN_NEVER_US;
}

/* What the host sent before it ejected still goes its way. */
static void host_ejects(struct lun *lun)
{
    lun_log(lun, LUN_LOG_INFO, "the host ejected the disk");
    take_out(lun, MEDIUM_OUT_HOST);
    if (lun->config.reinsert == MEDIUM_REINSERT_AFTER)
        lun->medium_until_us = lun_now(lun) + lun->config.reinsert_after_ms * (uint64_t)1000;
}

struct sense_code medium_start_stop(struct lun *lun, const uint8_t *cdb)
{
    bool load = cdb[4] & LOEJ, start = cdb[4] & START;
    if (cdb[4] & POWER_CONDITION)
        return sense_none;
    if (load && !lun->config.removable)
        return sense_invalid_field;
    if (!start) {
        if (load && lun->medium == MEDIUM_IN)
            host_ejects(lun);
        return sense_none;
    }
    if (load && lun->medium == MEDIUM_OUT_HOST && lun->config.reinsert != MEDIUM_REINSERT_NEVER)
        put_in(lun);
    return lun->medium == MEDIUM_IN ? sense_none : sense_no_medium;
}

void medium_found(struct lun *lun)
{
    if (lun->medium == MEDIUM_GIVEN_UP)
        put_in(lun);
    if (lun->medium == MEDIUM_UNSEEN)
        lun->medium = MEDIUM_IN;
    if (lun->medium == MEDIUM_IN)
        lun->medium_until_us = LUN_NEVER_US;
}

void medium_missed(struct lun *lun)
{
    if (lun->medium == MEDIUM_IN && lun->medium_until_us == LUN_NEVER_US &&
        lun->config.give_up_after_ms != 0)
        lun->medium_until_us = lun_now(lun) + lun->config.give_up_after_ms * (uint64_t)1000;
}

void medium_exchanged(struct lun *lun)
{
    if (lun->config.removable) {
        lun_fail_all(lun, sense_medium_changed);
        lun_raise_attention(lun, sense_medium_changed);
    } else if (lun->medium == MEDIUM_IN) {
        lun_log(lun, LUN_LOG_WARNING,
                "a fixed disk cannot be exchanged: the host sees no medium until the cable is "
                "unplugged and plugged in again");
        take_out(lun, MEDIUM_EXCHANGED);
        lun_fail_all(lun, sense_no_medium);
    }
}

uint64_t medium_timeout_us(const struct lun *lun)
{
    return lun->medium_until_us;
}

void medium_run_timeout(struct lun *lun)
{
    if (lun->medium == MEDIUM_OUT_HOST) {
        put_in(lun);
    } else if (lun->medium == MEDIUM_IN) {
        lun_log(lun, LUN_LOG_WARNING,
                "the target is away for %u s: the host is told that there is no medium",
                lun->config.give_up_after_ms / 1000);
        take_out(lun, MEDIUM_GIVEN_UP);
        lun_fail_all(lun, sense_no_medium);
    }
}

int lun_eject(struct lun *lun, bool force)
{
    if (lun->medium == MEDIUM_OUT_USER)
        return -EALREADY;
    if (!force && lun_busy(lun))
        return -EBUSY;
    take_out(lun, MEDIUM_OUT_USER);
    lun_fail_all(lun, sense_no_medium);
    return 0;
}

int lun_insert(struct lun *lun)
{
    if (lun->medium == MEDIUM_IN)
        return -EALREADY;
    if (!lun->have_disk)
        lun->medium = MEDIUM_UNSEEN;
    if (lun->medium == MEDIUM_UNSEEN || lun->medium == MEDIUM_GIVEN_UP)
        return -ENOTCONN;
    put_in(lun);
    return 0;
}

void lun_write_protect(struct lun *lun, bool read_only)
{
    lun->config.read_only = read_only;
}

void lun_replugged(struct lun *lun)
{
    lun->writes_lost = false; /* whoever wrote them is gone */
    bool ejected = lun->medium == MEDIUM_OUT_HOST && lun->config.reinsert != MEDIUM_REINSERT_NEVER;
    if (ejected || lun->medium == MEDIUM_EXCHANGED)
        put_in(lun);
}
